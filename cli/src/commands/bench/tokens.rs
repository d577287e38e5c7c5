//! What it costs to know whose a token is, which every request does.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use novella_common::{
    config::{DatabaseConfig, SecretUrl},
    db::Database,
};
use novella_identity::{Identity, IdentityConfig, SecurityComplianceConfig};
use novella_rest::Authenticator;

use super::{deployment::Deployment, report::Column};

const CHECKS: u32 = 100_000;

/// Checks a token again and again, as the API does, on the cloud's database but in this process: the first time it is read,
/// and later only the number that says whether anything has changed.
pub(super) async fn measure(cloud: &Deployment, token: &str, column: &mut Column) -> Result<()> {
    let config = DatabaseConfig { url: SecretUrl::new(&cloud.database), ..DatabaseConfig::default() };
    let database = Database::connect(&config).await?;
    let ttl = Duration::from_secs(3600);
    let identity = Identity::new(database, ttl, IdentityConfig::default(), SecurityComplianceConfig::default());
    let begun = Instant::now();
    identity.authenticate(token).await?.context("a token that is not valid")?;
    column.duration("a token checked for the first time", begun.elapsed());
    let begun = Instant::now();
    for _ in 0..CHECKS {
        black_box(identity.authenticate(black_box(token)).await?);
    }
    column.microseconds("a token checked again, the mean", begun.elapsed() / CHECKS);
    Ok(())
}
