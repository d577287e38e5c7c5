//! What a new cloud has in it: each component puts in what it has, and what a file asks for. Running it again changes
//! nothing that is there.

mod file;
mod servers;

use anyhow::Result;
use novella_common::db::{Database, flavors};
use novella_identity::seed::{self, SeedConfig, Seeded};

pub(crate) use file::SeedFile;
pub(crate) use servers::create;

use super::rest;
use crate::config::Config;

/// Fills the database. Several processes may do so at once.
pub(crate) async fn run(database: &Database, config: &Config, file: &SeedFile) -> Result<Seeded> {
    flavors::seed(database).await?;
    if config.api.image_url.is_none() {
        novella_image::seed::run(database, &file.images).await?;
    }
    let seed = SeedConfig {
        admin_password: config.admin_password.clone(),
        demo_password: config.demo_password.clone(),
        projects: file.projects.clone(),
        users: file.users.clone(),
        catalog: rest::catalog(config),
        password_cost: config.identity.password_cost(),
    };
    let seeded = seed::run(database, &seed).await?;
    let admin = novella_identity::db::Reference::Name("admin".to_owned());
    let admin = novella_identity::db::project(&mut *database.read().await?, &admin).await?;
    if let Some(admin) = admin
        && config.api.network_url.is_none()
    {
        novella_network::seed::run(database, &admin.id).await?;
    }
    Ok(seeded)
}
