//! Faults at run time, where they are enabled.

use anyhow::{Context, Result};
use novella_common::{
    faults::{FaultService, Faults, FaultsConfig},
    service::Shutdown,
};
use novella_messaging::Transport;

/// The faults of this process, which is told of them under `process`; `None` where they are not enabled.
///
/// # Errors
/// The bus can't be used.
pub(crate) async fn start(
    config: FaultsConfig,
    transport: &Transport,
    process: &str,
    shutdown: &Shutdown,
) -> Result<Option<Faults>> {
    if !config.enabled {
        return Ok(None);
    }
    let faults = Faults::default();
    FaultService::start(transport, process, faults.clone(), shutdown).await.context("faults")?;
    Ok(Some(faults))
}
