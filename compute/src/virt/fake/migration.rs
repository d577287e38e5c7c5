//! The steps of a simulated live migration before the copy and after the switch, on either end.

use novella_common::{
    faults::HostOperation,
    ids::{InstanceUuid, MigrationUuid},
    lifecycle::PowerState,
};
use serde::{Deserialize, Serialize};
use tracing::Span;

use super::{
    FakeDriver,
    guest::Guest,
    handover::{self, OneTimeSecret, Transfer},
    settings::Settings,
};
use crate::{
    rpcapi::{ComputeError, MigrateData, MigrationSpec},
    virt::{DriverFuture, LiveMigrationDriver, MigrationState, MigrationWatch},
};

/// What the two ends tell each other by way of the conductor.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Offer {
    /// `fake`: a guest can't go to another hypervisor.
    pub(super) driver: String,
    /// Whether the destination sees the source's storage.
    pub(super) shared_storage: bool,
    /// Whether disks are copied; decided by the source.
    pub(super) block_migration: bool,
    /// Where the destination waits for the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) incoming: Option<IncomingAddress>,
}

/// Where and how to bring the guest.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct IncomingAddress {
    pub(super) address: String,
    pub(super) secret: OneTimeSecret,
}

impl Offer {
    /// A destination's offer to take the disks of a guest that is powered off.
    pub(super) fn of_cold(shared_storage: bool) -> Self {
        Self { driver: "fake".into(), shared_storage, block_migration: !shared_storage, incoming: None }
    }

    pub(super) fn read(data: &MigrateData) -> Result<Self, ComputeError> {
        let offer: Self = serde_json::from_value(data.0.clone()).map_err(|error| pre_check(error.to_string()))?;
        if offer.driver == "fake" {
            Ok(offer)
        } else {
            Err(pre_check(format!("the other host runs {}, this one fake", offer.driver)))
        }
    }

    pub(super) fn write(&self) -> Result<MigrateData, ComputeError> {
        serde_json::to_value(self).map(MigrateData).map_err(|error| ComputeError::Failed { message: error.to_string() })
    }
}

fn pre_check(reason: String) -> ComputeError {
    ComputeError::MigrationPreCheckError { reason }
}

impl LiveMigrationDriver for FakeDriver {
    fn check_can_live_migrate_destination<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, MigrateData> {
        Box::pin(async move {
            let instance = migration.spec.uuid;
            let occupied = self.hypervisor.look(instance, |guest| match guest {
                None => false,
                Some(guest) => !matches!(&guest.transfer,
                Some(Transfer::Expected { migration: own, .. }) if *own == migration.migration),
            });
            if occupied {
                return Err(pre_check(format!("host {} already has a guest of instance {instance}", self.host)));
            }
            Offer { driver: "fake".into(), shared_storage: self.config.shared_storage, ..Offer::default() }.write()
        })
    }

    fn check_can_live_migrate_source<'a>(
        &'a self,
        migration: &'a MigrationSpec,
        data: &'a MigrateData,
    ) -> DriverFuture<'a, MigrateData> {
        Box::pin(async move {
            let offer = Offer::read(data)?;
            let instance = migration.spec.uuid;
            let (power, here) = self.guest(instance, |guest| (guest.power, guest.is_here()))?;
            if !here || !matches!(power, PowerState::Running | PowerState::Paused) {
                let reason = format!("instance {instance} neither runs nor is paused on host {}", self.host);
                return Err(pre_check(reason));
            }
            let shared = offer.shared_storage && self.config.shared_storage;
            Offer { block_migration: migration.block_migration.unwrap_or(!shared), ..offer }.write()
        })
    }

    fn pre_live_migration<'a>(
        &'a self,
        migration: &'a MigrationSpec,
        data: &'a MigrateData,
    ) -> DriverFuture<'a, MigrateData> {
        Box::pin(async move {
            let offer = Offer::read(data)?;
            let instance = migration.spec.uuid;
            self.fault(HostOperation::PreMigration, &migration.spec).await?;
            let settings = Settings::of_built(&migration.spec);
            if settings.fail_pre_migration.names(&self.host) || self.chance.happens(self.config.pre_migration_failure) {
                let message =
                    format!("the simulated hypervisor on {} failed to prepare for instance {instance}", self.host);
                return Err(ComputeError::Failed { message });
            }
            let real =
                self.hub.listen(self.address.listen, &self.address.peers).map_err(|error| ComputeError::Failed {
                    message: format!(
                        "host {} can't listen on {} for migrations: {error}",
                        self.host, self.address.listen
                    ),
                })?;
            let address = match &self.address.advertised {
                Some(name) => format!("{name}:{}", real.port()),
                None => real.to_string(),
            };
            let mut secret = OneTimeSecret::random();
            let commit = self.hypervisor.change(instance, |guest| match guest {
                None => {
                    let transfer = Transfer::Expected { migration: migration.migration, secret: secret.clone() };
                    *guest = Some(Guest::absent(&migration.spec, Some(transfer)));
                    Ok(())
                }
                // Asked once more: the secret stays, the source may have it already.
                Some(Guest { transfer: Some(Transfer::Expected { migration: own, secret: given }), .. })
                    if *own == migration.migration =>
                {
                    secret = given.clone();
                    Ok(())
                }
                Some(_) => Err(self.invalid(instance, "a guest of it is here already")),
            })?;
            commit.durable().await?;
            self.expected.lock().insert(migration.migration, Span::current());
            Offer { incoming: Some(IncomingAddress { address, secret }), ..offer }.write()
        })
    }

    fn live_migration<'a>(
        &'a self,
        migration: &'a MigrationSpec,
        data: &'a MigrateData,
    ) -> DriverFuture<'a, MigrationWatch> {
        Box::pin(self.start_copying(migration, data))
    }

    fn live_migration_abort(&self, instance: InstanceUuid, migration: MigrationUuid) {
        if let Some(outgoing) = self.outgoing(instance, migration) {
            outgoing.abort();
        }
    }

    fn live_migration_force_complete(&self, instance: InstanceUuid, migration: MigrationUuid) {
        if let Some(outgoing) = self.outgoing(instance, migration) {
            outgoing.hold();
        }
    }

    fn live_migration_state(
        &self,
        instance: InstanceUuid,
        migration: MigrationUuid,
    ) -> DriverFuture<'_, MigrationState> {
        Box::pin(async move {
            let state = self.guest(instance, |guest| match &guest.transfer {
                Some(Transfer::Switching { migration: own }) if *own == migration => MigrationState::Held,
                Some(Transfer::Gone { migration: own }) if *own == migration => MigrationState::Switched,
                _ => MigrationState::NotUnderWay,
            })?;
            self.hypervisor.barrier().durable().await?;
            Ok(state)
        })
    }

    fn post_live_migration_at_destination<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let instance = migration.spec.uuid;
            if !self.guest(instance, Guest::is_here)? {
                return Err(self.invalid(instance, "it has not arrived here"));
            }
            Ok(self.hypervisor.barrier().durable().await?)
        })
    }

    fn post_live_migration<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let instance = migration.spec.uuid;
            self.stop_copying(instance).await;
            let commit =
                self.hypervisor.change(instance, |guest| match guest.as_ref().and_then(|g| g.transfer.as_ref()) {
                    Some(Transfer::Gone { migration: own } | Transfer::Switching { migration: own })
                        if *own == migration.migration =>
                    {
                        *guest = None;
                        Ok(())
                    }
                    _ if guest.is_none() => Ok(()),
                    _ => Err(self.invalid(instance, "it has not switched to the destination")),
                })?;
            Ok(commit.durable().await?)
        })
    }

    fn rollback_live_migration_at_destination<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let instance = migration.spec.uuid;
            let mut runs_here = false;
            self.expected.lock().remove(&migration.migration);
            let commit = self.hypervisor.change(instance, |guest| {
                match guest.as_ref().and_then(|guest| guest.transfer.as_ref()) {
                    Some(Transfer::Expected { migration: own, .. }) if *own == migration.migration => *guest = None,
                    _ => runs_here = guest.as_ref().is_some_and(Guest::is_here),
                }
                Ok(())
            })?;
            // Also before GuestRunsHere is said: the switch that made it so may not be on the disk yet.
            commit.durable().await?;
            if runs_here {
                return Err(ComputeError::GuestRunsHere { instance, host: self.host.clone() });
            }
            Ok(())
        })
    }

    fn rollback_live_migration<'a>(&'a self, migration: &'a MigrationSpec, confirmed: bool) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let instance = migration.spec.uuid;
            self.stop_copying(instance).await;
            let commit = self.hypervisor.change(instance, |guest| {
                let guest = guest.as_mut().ok_or_else(|| self.not_found(instance))?;
                let switches =
                    matches!(guest.transfer, Some(Transfer::Switching { migration: of }) if of == migration.migration);
                if switches && !confirmed {
                    return Err(ComputeError::GuestHeld { instance, host: self.host.clone() });
                }
                handover::roll_back_source(&mut guest.transfer, migration.migration)
                    .map_err(|error| self.invalid(instance, error.0))
            })?;
            commit.durable().await?;
            self.follow_fate(instance);
            Ok(())
        })
    }

    fn release_held(&self, instance: InstanceUuid) -> DriverFuture<'_, ()> {
        Box::pin(async move {
            let held = self.hypervisor.look(instance, |guest| match guest?.transfer {
                Some(Transfer::Switching { migration }) => Some(migration),
                _ => None,
            });
            let Some(migration) = held else { return Ok(()) };
            let commit = self.hypervisor.change(instance, |guest| {
                let guest = guest.as_mut().ok_or_else(|| self.not_found(instance))?;
                handover::roll_back_source(&mut guest.transfer, migration)
                    .map_err(|error| self.invalid(instance, error.0))
            })?;
            commit.durable().await?;
            self.follow_fate(instance);
            Ok(())
        })
    }
}
