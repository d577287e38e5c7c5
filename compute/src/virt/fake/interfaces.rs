//! Interfaces of simulated guests: they take time, fail when asked to, and are remembered.

use novella_common::{
    faults::HostOperation,
    ids::InstanceUuid,
    models::{InstanceSpec, NetworkInfo, Vif},
};

use super::{FakeDriver, guest::Guest, pause, settings::Settings};
use crate::rpcapi::ComputeError;

impl FakeDriver {
    /// Plugs what a guest that is to be built gets. The guest has it in its spec.
    pub(super) async fn plug_all(&self, spec: &InstanceSpec) -> Result<(), ComputeError> {
        pause(self.config.network_seconds).await;
        if spec.network_info.0.is_empty() {
            return Ok(());
        }
        self.fault(HostOperation::PlugInterface, spec).await?;
        self.may_plug(spec, &Settings::of(spec).map_err(|reason| self.invalid(spec.uuid, reason))?)
    }

    /// Plugs one more.
    pub(super) async fn attach(&self, instance: InstanceUuid, vif: &Vif) -> Result<(), ComputeError> {
        let spec = self.guest(instance, |guest| guest.spec.clone())?;
        if spec.network_info.port(&vif.port_id).is_some() {
            return Ok(self.hypervisor.barrier().durable().await?);
        }
        pause(self.config.network_seconds).await;
        self.fault(HostOperation::PlugInterface, &spec).await?;
        self.may_plug(&spec, &Settings::of_built(&spec))?;
        self.change_interfaces(instance, |info| {
            if info.port(&vif.port_id).is_none() {
                info.0.push(vif.clone());
            }
        })
        .await
    }

    /// Takes one out.
    pub(super) async fn detach(&self, instance: InstanceUuid, port_id: &str) -> Result<(), ComputeError> {
        let spec = self.guest(instance, |guest| guest.spec.clone())?;
        if spec.network_info.port(port_id).is_none() {
            return Ok(self.hypervisor.barrier().durable().await?);
        }
        pause(self.config.network_seconds).await;
        self.fault(HostOperation::UnplugInterface, &spec).await?;
        self.change_interfaces(instance, |info| info.0.retain(|vif| vif.port_id != port_id)).await
    }

    fn may_plug(&self, spec: &InstanceSpec, settings: &Settings) -> Result<(), ComputeError> {
        if !settings.fail_plug.names(&self.host) && !self.chance.happens(self.config.plug_failure) {
            return Ok(());
        }
        let message =
            format!("the simulated hypervisor on {} failed to plug an interface of instance {}", self.host, spec.uuid);
        Err(ComputeError::Failed { message })
    }

    async fn change_interfaces(
        &self,
        instance: InstanceUuid,
        change: impl FnOnce(&mut NetworkInfo),
    ) -> Result<(), ComputeError> {
        let commit = self.hypervisor.change(instance, |guest: &mut Option<Guest>| match guest {
            None => Err(self.not_found(instance)),
            Some(guest) if !guest.is_here() => Err(self.invalid(instance, "it is being moved to another host")),
            Some(guest) => {
                change(&mut guest.spec.network_info);
                Ok(())
            }
        })?;
        Ok(commit.durable().await?)
    }
}
