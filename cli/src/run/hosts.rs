//! Starting the compute hosts of a process.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use novella_common::{
    models::Binary,
    service::{ServiceIdentity, Shutdown},
};
use novella_compute::{ComputeService, Stores};
use novella_messaging::Transport;

use crate::config::Config;

/// How many hosts start at once. One after the other, each would wait for the broker's answers alone.
const AT_ONCE: usize = 32;

/// Starts a compute host for each of these names. Dropped, a host stops where it stands.
///
/// # Errors
/// The first host that can't be started; the text says which and why.
pub(crate) async fn start(
    names: Vec<String>,
    config: &Config,
    stores: &Arc<Stores>,
    transport: &Transport,
    shutdown: &Shutdown,
) -> Result<Vec<ComputeService>> {
    stream::iter(names)
        .map(async |host| {
            ComputeService::start(
                transport,
                ServiceIdentity::new(Binary::Compute, host.clone()),
                config.compute.clone(),
                Arc::clone(stores),
                config.service.report_interval,
                shutdown.clone(),
            )
            .await
            .with_context(|| format!("compute host {host}"))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}
