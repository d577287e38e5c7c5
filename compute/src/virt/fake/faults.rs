//! Where faults that are set at run time fire on a simulated host.

use novella_common::{
    faults::{HostEffect, HostEvent, HostOperation},
    models::InstanceSpec,
};

use super::{FakeDriver, pause};
use crate::rpcapi::ComputeError;

impl FakeDriver {
    /// The fault that fires on this operation, which counts.
    pub(super) fn fires(&self, operation: HostOperation, spec: &InstanceSpec) -> Option<HostEffect> {
        let event = HostEvent { host: &self.host, flavor: &spec.flavor.name, project: &spec.project_id, operation };
        let effect = self.faults.as_ref()?.on_host(&event)?;
        tracing::info!(fault = effect.id, host = self.host, instance = %spec.uuid, %operation, "a fault fires");
        Some(effect)
    }

    /// Waits or fails, if a fault asks for it.
    pub(super) async fn fault(&self, operation: HostOperation, spec: &InstanceSpec) -> Result<(), ComputeError> {
        let Some(effect) = self.fires(operation, spec) else { return Ok(()) };
        pause(effect.delay).await;
        effect.failure.map_or(Ok(()), |message| Err(ComputeError::Failed { message }))
    }
}
