//! Interfaces that are plugged into a guest, and taken out of it, after it was built.

use novella_common::{
    ids::InstanceUuid,
    models::{NetworkInfo, Vif},
};

use super::Manager;
use crate::rpcapi::ComputeError;

impl Manager {
    /// Plugs an interface and writes it down, so that a guest that is made anew has it too.
    pub(super) async fn attach_interface(&self, instance: InstanceUuid, vif: &Vif) -> Result<(), ComputeError> {
        let lock = self.lock_instance(instance).await?;
        let plugged = lock.run(async {
            self.driver().attach_interface(instance, vif).await?;
            self.write_interfaces(instance, |info| {
                if info.port(&vif.port_id).is_none() {
                    info.0.push(vif.clone());
                }
            })
            .await
        });
        plugged.await.unwrap_or_else(|| Err(self.being_removed(instance)))
    }

    /// The reverse of it.
    pub(super) async fn detach_interface(&self, instance: InstanceUuid, port_id: &str) -> Result<(), ComputeError> {
        let lock = self.lock_instance(instance).await?;
        let unplugged = lock.run(async {
            self.driver().detach_interface(instance, port_id).await?;
            self.write_interfaces(instance, |info| info.0.retain(|vif| vif.port_id != port_id)).await
        });
        unplugged.await.unwrap_or_else(|| Err(self.being_removed(instance)))
    }

    async fn write_interfaces(
        &self,
        instance: InstanceUuid,
        change: impl FnOnce(&mut NetworkInfo),
    ) -> Result<(), ComputeError> {
        let commit = self.journal().change(instance, |entry| {
            if let Some(spec) = &mut entry.spec {
                change(&mut spec.network_info);
            }
            None
        })?;
        Ok(commit.durable().await?)
    }
}
