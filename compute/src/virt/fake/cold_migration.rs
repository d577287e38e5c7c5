//! The steps of a simulated cold migration: a guest that is powered off goes the way of a live one.

use novella_common::lifecycle::PowerState::{Running, Shutdown};

use super::{
    FakeDriver,
    guest::{Guest, Moment},
    handover,
    migration::Offer,
};
use crate::{
    rpcapi::{ComputeError, MigrateData, MigrationSpec},
    virt::{DriverFuture, LiveMigrationDriver, MigrationDriver, MigrationWatch},
};

impl MigrationDriver for FakeDriver {
    fn prep_resize<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, MigrateData> {
        Box::pin(async move {
            let data = Offer::of_cold(self.config.shared_storage).write()?;
            self.pre_live_migration(migration, &data).await
        })
    }

    fn resize_instance<'a>(
        &'a self,
        migration: &'a MigrationSpec,
        data: &'a MigrateData,
    ) -> DriverFuture<'a, MigrationWatch> {
        Box::pin(async move {
            let instance = migration.spec.uuid;
            let commit = self.hypervisor.change(instance, |guest| match guest {
                None => Err(self.not_found(instance)),
                Some(guest) if !guest.is_here() => Err(self.invalid(instance, "it is being moved to another host")),
                Some(guest) => {
                    if guest.power != Shutdown {
                        guest.becomes(Shutdown, Moment::PoweredOff);
                    }
                    Ok(())
                }
            })?;
            commit.durable().await?;
            self.start_copying(migration, data).await
        })
    }

    fn finish_resize<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            if !self.guest(migration.spec.uuid, Guest::is_here)? {
                return Err(self.invalid(migration.spec.uuid, "it has not arrived here"));
            }
            self.power_as_before(migration).await
        })
    }

    fn confirm_resize<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()> {
        self.post_live_migration(migration)
    }

    fn revert_resize<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()> {
        Box::pin(self.remove(migration.spec.uuid))
    }

    fn finish_revert_resize<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let instance = migration.spec.uuid;
            self.stop_copying(instance).await;
            let commit = self.hypervisor.change(instance, |guest| {
                let guest = guest.as_mut().ok_or_else(|| self.not_found(instance))?;
                handover::revert(&mut guest.transfer, migration.migration);
                Ok(())
            })?;
            commit.durable().await?;
            self.power_as_before(migration).await
        })
    }
}

impl FakeDriver {
    /// Powers a guest on that ran before it was moved.
    async fn power_as_before(&self, migration: &MigrationSpec) -> Result<(), ComputeError> {
        let instance = migration.spec.uuid;
        let commit = self.hypervisor.change(instance, |guest| {
            let guest = guest.as_mut().ok_or_else(|| self.not_found(instance))?;
            if migration.runs() && guest.is_here() && guest.power == Shutdown {
                guest.becomes(Running, Moment::Booted);
            }
            Ok(())
        })?;
        commit.durable().await?;
        self.follow_fate(instance);
        Ok(())
    }
}
