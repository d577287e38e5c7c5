//! An instance that comes from another host, until the conductor has confirmed its arrival or undone it. Alike for
//! every kind of migration.

use novella_common::{
    ids::{InstanceUuid, MigrationUuid, TaskId},
    models::{InstanceSpec, Resources},
};

use super::{Manager, instance_locks::InstanceLock};
use crate::{
    journal::{Began, Journal},
    rpcapi::ComputeError,
    store::{Commit, StoreError},
};

impl Manager {
    /// Whether this host could take the instance: another one than it is on, with enough resources.
    pub(super) fn check_destination(&self, source: &str, spec: &InstanceSpec) -> Result<(), ComputeError> {
        let instance = spec.uuid;
        if source == self.0.name {
            let reason = format!("instance {instance} is on host {} already", self.0.name);
            return Err(ComputeError::MigrationPreCheckError { reason });
        }
        let free = self.0.inventory.capacity().less(&self.journal().held());
        let own = self.journal().look(instance, |entry| entry.map(crate::journal::Entry::holds)).unwrap_or_default();
        if !free.plus(&own).covers(&spec.flavor.resources()) {
            return Err(self.insufficient(free));
        }
        Ok(())
    }

    /// Writes an incoming instance down, and returns its lock. Again for the same migration: nothing new.
    pub(super) async fn begin_incoming(
        &self,
        migration: MigrationUuid,
        spec: &InstanceSpec,
    ) -> Result<InstanceLock, ComputeError> {
        let instance = spec.uuid;
        let lock = self.lock_instance(instance).await?;
        match self.journal().begin_incoming(migration, spec, self.0.inventory.capacity())? {
            Began::New(commit) => commit.durable().await?,
            Began::UnderWay => self.journal().barrier().durable().await?,
            Began::Insufficient(free) => return Err(self.insufficient(free)),
            Began::Over | Began::Occupied | Began::Unknown => {
                return Err(self.invalid(instance, "it is here already"));
            }
        }
        Ok(lock)
    }

    /// The instance's lock, for a step that has nothing to do once the instance is being removed.
    pub(super) async fn lock_instance(&self, instance: InstanceUuid) -> Result<InstanceLock, ComputeError> {
        let lock = self.locks().lock(instance).await;
        lock.ok_or_else(|| self.being_removed(instance))
    }

    pub(super) fn being_removed(&self, instance: InstanceUuid) -> ComputeError {
        self.invalid(instance, "it is being removed from here")
    }
}

impl Journal {
    /// Makes an incoming instance the host's own, until it has arrived or is forgotten.
    fn begin_incoming(
        &self,
        migration: MigrationUuid,
        spec: &InstanceSpec,
        capacity: Resources,
    ) -> Result<Began, StoreError> {
        self.begin_with(spec, capacity, |entry| match entry.incoming {
            Some(incoming) if incoming == migration => Some(Began::UnderWay),
            _ if entry.spec.is_some() => Some(Began::Occupied),
            _ => {
                entry.incoming = Some(migration);
                None
            }
        })
    }

    /// The instance has arrived. `task_id`: the operation that brought it is over.
    pub(super) fn end_incoming(
        &self,
        migration: MigrationUuid,
        task_id: TaskId,
        spec: &InstanceSpec,
    ) -> Result<Commit, StoreError> {
        self.change(spec.uuid, |entry| {
            if entry.incoming.take_if(|incoming| *incoming == migration).is_some() || entry.spec.is_none() {
                entry.spec = Some(spec.clone());
                entry.remember(task_id);
            }
            None
        })
    }

    /// Forgets an instance that does not come after all. Nothing, if it is not this migration that would bring it.
    pub(super) fn forget_incoming(
        &self,
        instance: InstanceUuid,
        migration: MigrationUuid,
    ) -> Result<Option<Commit>, StoreError> {
        self.forget_if(instance, |entry| entry.incoming == Some(migration))
    }
}
