//! Live migration, both ends. The conductor drives it; see its `tasks/live_migrate.rs` for the whole.
//!
//! ```text
//! destination   check ─ pre ─────────────────────────────── post        (or rollback)
//! source        check ─────── live_migration: copy, switch ──── post    (or rollback)
//! ```
//!
//! The destination's journal has the instance as `incoming` from `pre` to `post`; the source's has the operation while
//! it copies, and the instance until `post`.

use novella_common::{
    RequestContext,
    ids::{InstanceUuid, MigrationUuid},
    lifecycle::Action,
    models::MigrationProgress,
    reports::MigrationOutcome,
};

use super::{Manager, turns::Turn};
use crate::{
    journal::{Begun, Departure, Needs, Operation, Say},
    rpcapi::{ActionArguments, ComputeError, LiveMigration, MigrateData},
    store::StoreError,
    virt::{MigrationEnding, MigrationState, MigrationWatch},
};

/// How many wishes are remembered. Each is good for the moment in which its migration starts.
const WISHES: usize = 256;

/// What a person can ask of a migration under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Abort,
    ForceComplete,
}

impl Manager {
    pub(super) async fn check_destination(&self, migration: &LiveMigration) -> Result<MigrateData, ComputeError> {
        let instance = migration.spec.uuid;
        if migration.source == self.0.name {
            let reason = format!("instance {instance} is on host {} already", self.0.name);
            return Err(ComputeError::MigrationPreCheckError { reason });
        }
        let free = self.0.inventory.capacity().less(&self.journal().held());
        let own = self.journal().look(instance, |entry| entry.map(crate::journal::Entry::holds)).unwrap_or_default();
        if !free.plus(&own).covers(&migration.spec.flavor.resources()) {
            return Err(self.no_room(free));
        }
        self.driver().check_destination(migration).await
    }

    pub(super) async fn check_source(
        &self,
        migration: &LiveMigration,
        data: &MigrateData,
    ) -> Result<MigrateData, ComputeError> {
        self.driver().check_source(migration, data).await
    }

    pub(super) async fn prepare_arrival(
        &self,
        migration: &LiveMigration,
        data: &MigrateData,
    ) -> Result<MigrateData, ComputeError> {
        let instance = migration.spec.uuid;
        let turn = self.turn(instance).await?;
        match self.journal().expect(migration, self.0.inventory.capacity())? {
            Begun::New(commit) => commit.durable().await?,
            Begun::UnderWay => self.journal().barrier().durable().await?,
            Begun::NoRoom(free) => return Err(self.no_room(free)),
            Begun::Over | Begun::Occupied | Begun::Unknown => {
                return Err(self.invalid(instance, "it is here already"));
            }
        }
        match turn.run(self.driver().prepare_destination(migration, data)).await {
            Some(Ok(data)) => Ok(data),
            Some(Err(error)) => {
                // The conductor undoes it too, but may be gone by then.
                if let Err(error) = self.forget_arrival(migration).await {
                    tracing::warn!(%instance, %error, "what a failed preparation left is cleared by reconciliation");
                }
                Err(error)
            }
            None => Err(self.invalid(instance, "it is being removed from here")),
        }
    }

    /// The instance's turn, for a step that has nothing to do once the instance is being removed.
    async fn turn(&self, instance: InstanceUuid) -> Result<Turn, ComputeError> {
        let turn = self.turns().enter(instance).await;
        turn.ok_or_else(|| self.invalid(instance, "it is being removed from here"))
    }

    /// Takes over the copying: answers once it is written down, and goes on outside the RPC slot.
    pub(super) async fn depart(
        &self,
        ctx: RequestContext,
        migration: LiveMigration,
        data: MigrateData,
    ) -> Result<(), ComputeError> {
        let (instance, task_id) = (migration.spec.uuid, migration.task_id);
        let departure = Departure { migration, data };
        let arguments = ActionArguments::of(&departure).map_err(|error| ComputeError::Failed {
            message: format!("the migration can't be written down: {error}"),
        })?;
        let operation = Operation::new(task_id, Some(ctx.request_id), Action::LiveMigrate, arguments);
        match self.begin(instance, operation, Needs::Instance).await {
            Ok(Some(turn)) => {
                let manager = self.clone();
                self.spawn(async move {
                    if let Some(Err(error)) = turn.run(manager.copy(&departure)).await {
                        tracing::error!(%instance, %error, "a migration's end is left to the next start");
                    }
                });
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error @ ComputeError::InstanceNotFound { .. }) => {
                let commit = self.journal().change(instance, |entry| {
                    entry.remember(task_id);
                    let outcome = MigrationOutcome::Failed { message: error.to_string() };
                    Some(say(&departure.migration, MigrationProgress::default(), outcome))
                })?;
                Ok(commit.durable().await?)
            }
            Err(error) => Err(error),
        }
    }

    async fn copy(&self, departure: &Departure) -> Result<(), ComputeError> {
        let migration = &departure.migration;
        match self.driver().start_migration(migration, &departure.data).await {
            Ok(watch) => {
                // What came while the driver had not begun yet.
                self.steer(migration.spec.uuid, migration.migration);
                self.follow(migration, watch).await
            }
            Err(error) => {
                let outcome = MigrationOutcome::Failed { message: error.to_string() };
                self.tell_outcome(migration, MigrationProgress::default(), outcome).await
            }
        }
    }

    /// Passes on to the driver what a person asks of a migration under way. The message may overtake the one that
    /// starts the migration, so it is noted first: one of the two finds the other.
    pub(super) fn ask(&self, instance: InstanceUuid, migration: MigrationUuid, wish: Wish) {
        {
            let mut wishes = self.0.state.wishes.lock();
            if wishes.len() == WISHES {
                wishes.pop_front();
            }
            wishes.push_back((migration, wish));
        }
        self.steer(instance, migration);
    }

    fn steer(&self, instance: InstanceUuid, migration: MigrationUuid) {
        let wishes: Vec<Wish> = {
            let wishes = self.0.state.wishes.lock();
            wishes.iter().filter(|(of, _)| *of == migration).map(|(_, wish)| *wish).collect()
        };
        for wish in wishes {
            match wish {
                Wish::Abort => self.driver().abort_migration(instance, migration),
                Wish::ForceComplete => self.driver().force_complete_migration(instance, migration),
            }
        }
    }

    async fn follow(&self, migration: &LiveMigration, mut watch: MigrationWatch) -> Result<(), ComputeError> {
        let instance = migration.spec.uuid;
        let ending = loop {
            tokio::select! {
                biased;
                ending = &mut watch.ending => break ending,
                Ok(()) = watch.progress.changed() => {
                    let progress = *watch.progress.borrow_and_update();
                    let commit = self.journal().step(instance, migration.task_id, |_, _| {
                        Some(say(migration, progress, MigrationOutcome::Running))
                    })?;
                    if let Some(commit) = commit {
                        commit.detach();
                    }
                }
            }
        };
        // The driver was closed: the next start finds out what has become of it.
        let Ok(ending) = ending else { return Ok(()) };
        let outcome = match ending {
            MigrationEnding::Switched => MigrationOutcome::Switched,
            MigrationEnding::Cancelled => MigrationOutcome::Cancelled,
            MigrationEnding::Failed(message) | MigrationEnding::Held(message) => MigrationOutcome::Failed { message },
        };
        let progress = *watch.progress.borrow();
        self.tell_outcome(migration, progress, outcome).await
    }

    /// Reports what has become of a migration that an earlier run of this host was copying.
    pub(super) async fn resume_departure(&self, departure: &Departure) -> Result<(), ComputeError> {
        let migration = &departure.migration;
        let state = self.driver().migration_state(migration.spec.uuid, migration.migration).await;
        let outcome = match state {
            Ok(MigrationState::Switched) => MigrationOutcome::Switched,
            Ok(MigrationState::NotUnderWay) => {
                MigrationOutcome::Failed { message: format!("host {} was restarted while it copied", self.0.name) }
            }
            Ok(MigrationState::Held) => MigrationOutcome::Failed {
                message: format!("host {} was restarted while the guest switched", self.0.name),
            },
            Err(error) => MigrationOutcome::Failed { message: error.to_string() },
        };
        self.tell_outcome(migration, MigrationProgress::default(), outcome).await
    }

    async fn tell_outcome(
        &self,
        migration: &LiveMigration,
        progress: MigrationProgress,
        outcome: MigrationOutcome,
    ) -> Result<(), ComputeError> {
        let commit = self.journal().step(migration.spec.uuid, migration.task_id, |entry, _| {
            entry.settle();
            Some(say(migration, progress, outcome))
        })?;
        match commit {
            Some(commit) => Ok(commit.durable().await?),
            None => Ok(()),
        }
    }

    pub(super) async fn complete_arrival(&self, migration: &LiveMigration) -> Result<(), ComputeError> {
        let instance = migration.spec.uuid;
        let _turn = self.turn(instance).await?;
        self.driver().finish_at_destination(migration).await?;
        let commit = self.journal().change(instance, |entry| {
            let this = |incoming: &mut LiveMigration| incoming.migration == migration.migration;
            if entry.incoming.take_if(this).is_some() || entry.spec.is_none() {
                entry.spec = Some(migration.spec.clone());
                entry.remember(migration.task_id);
            }
            None
        })?;
        Ok(commit.durable().await?)
    }

    pub(super) async fn complete_departure(&self, migration: &LiveMigration) -> Result<(), ComputeError> {
        let instance = migration.spec.uuid;
        let _turn = self.interrupt(migration).await?;
        self.driver().cleanup_at_source(migration).await?;
        Ok(self.journal().forget(instance)?.durable().await?)
    }

    pub(super) async fn undo_arrival(&self, migration: &LiveMigration) -> Result<(), ComputeError> {
        let _turn = self.turn(migration.spec.uuid).await?;
        self.forget_arrival(migration).await
    }

    async fn forget_arrival(&self, migration: &LiveMigration) -> Result<(), ComputeError> {
        self.driver().rollback_at_destination(migration).await?;
        if let Some(commit) = self.journal().no_longer_expect(migration)? {
            commit.durable().await?;
        }
        Ok(())
    }

    pub(super) async fn undo_departure(&self, migration: &LiveMigration, confirmed: bool) -> Result<(), ComputeError> {
        let _turn = self.interrupt(migration).await?;
        self.driver().rollback_at_source(migration, confirmed).await?;
        // The conductor knows how it ended: no report. And should the message to copy only come now, it finds the
        // migration over.
        let commit = self.journal().change(migration.spec.uuid, |entry| {
            if entry.does(migration.task_id) {
                entry.settle();
            } else if !entry.settled.contains(&migration.task_id) {
                entry.remember(migration.task_id);
            }
            None
        })?;
        Ok(commit.durable().await?)
    }

    /// The instance's turn; ahead of the copying, if it is this migration's that is under way. A message that comes
    /// late must not stop anything else.
    async fn interrupt(&self, migration: &LiveMigration) -> Result<Turn, ComputeError> {
        let instance = migration.spec.uuid;
        if !self.does(instance, migration.task_id) {
            return self.turn(instance).await;
        }
        let turn = self.turns().take_over(instance).await;
        turn.ok_or_else(|| self.invalid(instance, "it is being removed from here"))
    }
}

fn say(migration: &LiveMigration, progress: MigrationProgress, outcome: MigrationOutcome) -> Say {
    Say::Migration { migration: migration.migration, task_id: migration.task_id, progress, outcome }
}

impl crate::journal::Journal {
    /// Makes an incoming migration's instance the host's own, until it is confirmed or undone.
    fn expect(
        &self,
        migration: &LiveMigration,
        capacity: novella_common::models::Resources,
    ) -> Result<Begun, StoreError> {
        self.admit(migration.spec.uuid, &migration.spec, capacity, |entry| match &entry.incoming {
            Some(incoming) if incoming.migration == migration.migration => Some(Begun::UnderWay),
            _ if entry.spec.is_some() => Some(Begun::Occupied),
            _ => {
                entry.incoming = Some(migration.clone());
                None
            }
        })
    }

    /// Forgets an incoming migration's instance.
    fn no_longer_expect(&self, migration: &LiveMigration) -> Result<Option<crate::store::Commit>, StoreError> {
        let this = |incoming: &LiveMigration| incoming.migration == migration.migration;
        self.forget_if(migration.spec.uuid, |entry| entry.incoming.as_ref().is_some_and(this))
    }
}
