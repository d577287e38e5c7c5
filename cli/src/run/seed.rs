//! What a new cloud has in it: each component puts in what it has. Running it again changes nothing that is there.

use anyhow::Result;
use novella_common::db::{Database, flavors};
use novella_identity::seed::{self, SeedConfig, Seeded};

use crate::config::Config;

/// Fills the database. Several processes may do so at once.
pub(crate) async fn run(database: &Database, config: &Config) -> Result<Seeded> {
    flavors::seed(database).await?;
    novella_image::db::seed(database).await?;
    let seed = SeedConfig { admin_password: config.admin_password.clone(), ..SeedConfig::default() };
    Ok(seed::run(database, &seed).await?)
}
