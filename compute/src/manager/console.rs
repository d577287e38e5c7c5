//! What a user or operator can read of a guest and of the host.

use novella_common::ids::InstanceUuid;

use super::Manager;
use crate::rpcapi::ComputeError;

impl Manager {
    /// The guest's console, its last `tail` lines or all that is kept.
    pub(super) async fn console(&self, instance: InstanceUuid, tail: Option<usize>) -> Result<String, ComputeError> {
        self.driver().console_output(instance, tail).await
    }

    /// How long the host has been up.
    pub(super) fn uptime(&self) -> String {
        self.driver().uptime()
    }
}
