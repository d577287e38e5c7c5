//! What a host remembers across a crash: which instances are its own, what it does to them, what it last reported.
//!
//! All of it is in memory too; a change is made under one lock and handed to the store under it. A report gets its
//! number, and is kept as the instance's last, in the same commit as the change that it tells of; it is sent only
//! once that is durable. So no number is ever used twice, and nothing is reported that a crash could undo.

mod entry;

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use novella_common::{
    ids::{InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{Action, PowerState},
    models::{ActionEvent, InstanceSpec, MigrationProgress, Resources},
    reports::{Fact, InstanceReport, MigrationOutcome, MigrationReport, OperationProgress},
};
use parking_lot::Mutex;
use uuid::Uuid;

pub(crate) use entry::{Entry, Identity, MigrationArguments, Operation};

use crate::{
    reporter::Outbox,
    store::{Change, Commit, Partition, Store, StoreError},
};

/// Key of the report counter; an instance's key is its UUID, which is 16 bytes long.
const COUNTER: &[u8] = b"seq";

/// One host's journal.
#[derive(Debug)]
pub(crate) struct Journal {
    state: Mutex<State>,
    partition: Partition,
    outbox: Arc<Outbox>,
}

#[derive(Debug)]
struct State {
    entries: HashMap<InstanceUuid, Entry>,
    /// The number of the last report.
    seq: i64,
    /// The sum of what all entries hold.
    held: Resources,
}

impl State {
    /// What is left of `capacity`, not counting what `entry` itself holds.
    fn free(&self, capacity: &Resources, entry: &Entry) -> Resources {
        capacity.less(&self.held.less(&entry.holds()))
    }
}

/// A report before it has its number.
#[derive(Clone, Debug)]
pub(crate) enum PendingReport {
    /// About the instance.
    Instance {
        task_id: Option<TaskId>,
        request_id: Option<String>,
        power_state: PowerState,
        progress: OperationProgress,
        event: Option<ActionEvent>,
    },
    /// About its migration.
    Migration { migration: MigrationUuid, task_id: TaskId, progress: MigrationProgress, outcome: MigrationOutcome },
}

impl PendingReport {
    fn numbered(self, instance: InstanceUuid, seq: i64) -> Fact {
        match self {
            Self::Instance { task_id, request_id, power_state, progress, event } => {
                Fact::Instance(InstanceReport { instance, seq, task_id, request_id, power_state, progress, event })
            }
            Self::Migration { migration, task_id, progress, outcome } => {
                Fact::Migration(MigrationReport { migration, instance, seq, task_id, progress, outcome })
            }
        }
    }
}

/// The answer to an operation that wants to begin.
#[derive(Debug)]
pub(crate) enum Began {
    /// It is the host's from when this is durable.
    New(Commit),
    /// The same operation is under way.
    UnderWay,
    /// The same operation is over.
    Over,
    /// There is no room for it: how much is left.
    Insufficient(Resources),
    /// The instance is here already, by another operation.
    Occupied,
    /// The host has no such instance.
    Unknown,
}

/// What an operation needs, to begin.
#[derive(Clone, Debug)]
pub(crate) enum Needs {
    /// Resources for a new instance, within this capacity.
    Resources(Box<InstanceSpec>, Resources),
    /// An instance that is here.
    Instance,
    /// Nothing.
    Nothing,
}

impl Journal {
    /// Takes over what an earlier run of the host has written down.
    pub(crate) async fn open(store: &Arc<Store>, host: &str, outbox: Arc<Outbox>) -> Result<Self, StoreError> {
        let (partition, found) = Partition::open(store, host).await?;
        let mut entries = HashMap::new();
        // A new journal begins above all numbers that the host can have used before its disk was lost.
        let mut seq = Timestamp::now().as_microsecond();
        let mut held = Resources::default();
        for (key, value) in found {
            if key == COUNTER {
                seq = serde_json::from_slice(&value).map_err(|error| partition.damaged(error))?;
                continue;
            }
            let uuid = Uuid::from_slice(&key).map_err(|error| partition.damaged(error))?;
            let entry: Entry = serde_json::from_slice(&value).map_err(|error| partition.damaged(error))?;
            held = held.plus(&entry.holds());
            entries.insert(InstanceUuid(uuid), entry);
        }
        Ok(Self { state: Mutex::new(State { entries, seq, held }), partition, outbox })
    }

    /// What is remembered of an instance.
    pub(crate) fn look<R>(&self, instance: InstanceUuid, look: impl FnOnce(Option<&Entry>) -> R) -> R {
        look(self.state.lock().entries.get(&instance))
    }

    /// Every instance that something is remembered of.
    pub(crate) fn identities(&self) -> HashMap<InstanceUuid, Identity> {
        self.state.lock().entries.iter().map(|(instance, entry)| (*instance, entry.identity())).collect()
    }

    /// What the host's instances hold in all.
    pub(crate) fn held(&self) -> Resources {
        self.state.lock().held
    }

    /// Durable when everything is that can be seen now.
    pub(crate) fn barrier(&self) -> Commit {
        self.partition.barrier()
    }

    /// Makes an operation the host's own. What was under way before is taken over.
    pub(crate) fn begin(
        &self,
        instance: InstanceUuid,
        operation: Operation,
        needs: &Needs,
    ) -> Result<Began, StoreError> {
        let mut state = self.state.lock();
        let mut entry = state.entries.get(&instance).cloned().unwrap_or_default();
        if entry.does(operation.task_id) {
            return Ok(Began::UnderWay);
        }
        if entry.settled.contains(&operation.task_id) {
            return Ok(Began::Over);
        }
        match needs {
            Needs::Resources(spec, capacity) => {
                let building = entry.operation.as_ref().is_some_and(|operation| operation.action == Action::Create);
                if entry.spec.is_some() && !building {
                    return Ok(Began::Occupied);
                }
                let free = state.free(capacity, &entry);
                if !free.covers(&spec.flavor.resources()) {
                    return Ok(Began::Insufficient(free));
                }
                entry.spec = Some(spec.as_ref().clone());
            }
            Needs::Instance if entry.spec.is_none() => return Ok(Began::Unknown),
            Needs::Instance | Needs::Nothing => {}
        }
        entry.overtake();
        entry.operation = Some(operation);
        self.put(&mut state, instance, Some(entry), None).map(Began::New)
    }

    /// Makes an instance the host's own that comes by another way than an operation of its own. `change` may refuse.
    pub(crate) fn begin_with(
        &self,
        spec: &InstanceSpec,
        capacity: Resources,
        change: impl FnOnce(&mut Entry) -> Option<Began>,
    ) -> Result<Began, StoreError> {
        let mut state = self.state.lock();
        let mut entry = state.entries.get(&spec.uuid).cloned().unwrap_or_default();
        if let Some(refusal) = change(&mut entry) {
            return Ok(refusal);
        }
        let free = state.free(&capacity, &entry);
        if !free.covers(&spec.flavor.resources()) {
            return Ok(Began::Insufficient(free));
        }
        entry.spec = Some(spec.clone());
        self.put(&mut state, spec.uuid, Some(entry), None).map(Began::New)
    }

    /// Changes what is remembered of an instance (nothing, if it is new), and reports what the change says.
    pub(crate) fn change(
        &self,
        instance: InstanceUuid,
        change: impl FnOnce(&mut Entry) -> Option<PendingReport>,
    ) -> Result<Commit, StoreError> {
        let mut state = self.state.lock();
        let mut entry = state.entries.get(&instance).cloned().unwrap_or_default();
        let report = change(&mut entry);
        self.put(&mut state, instance, Some(entry), report)
    }

    /// As [`Journal::change`], but only while this operation is under way: a step that comes too late says nothing.
    pub(crate) fn step(
        &self,
        instance: InstanceUuid,
        task_id: TaskId,
        change: impl FnOnce(&mut Entry, Operation) -> Option<PendingReport>,
    ) -> Result<Option<Commit>, StoreError> {
        let mut state = self.state.lock();
        let Some(entry) = state.entries.get(&instance).filter(|entry| entry.does(task_id)) else {
            return Ok(None);
        };
        let mut entry = entry.clone();
        let Some(operation) = entry.operation.clone() else {
            return Ok(None);
        };
        let report = change(&mut entry, operation);
        self.put(&mut state, instance, Some(entry), report).map(Some)
    }

    /// Forgets an instance if it is still as expected.
    pub(crate) fn forget_if(
        &self,
        instance: InstanceUuid,
        expected: impl FnOnce(&Entry) -> bool,
    ) -> Result<Option<Commit>, StoreError> {
        let mut state = self.state.lock();
        if !state.entries.get(&instance).is_some_and(expected) {
            return Ok(None);
        }
        self.put(&mut state, instance, None, None).map(Some)
    }

    /// Forgets an instance, and reports nothing.
    pub(crate) fn forget(&self, instance: InstanceUuid) -> Result<Commit, StoreError> {
        let mut state = self.state.lock();
        self.put(&mut state, instance, None, None)
    }

    /// Sends the last report of an instance again, if it is newer than `after`, and the last one about its migration,
    /// whose row counts by itself.
    pub(crate) async fn repeat(&self, instance: InstanceUuid, after: i64) -> Result<(), StoreError> {
        let last = self.look(instance, |entry| {
            let newer = |fact: &Fact| !matches!(fact, Fact::Instance(report) if report.seq <= after);
            let facts = entry.map(|entry| entry.last_migration_report.iter().chain(&entry.last_report));
            facts.into_iter().flatten().filter(|fact| newer(fact)).cloned().collect::<Vec<_>>()
        });
        if !last.is_empty() {
            self.barrier().durable().await?;
        }
        last.into_iter().for_each(|fact| self.outbox.push(fact));
        Ok(())
    }

    fn put(
        &self,
        state: &mut State,
        instance: InstanceUuid,
        entry: Option<Entry>,
        report: Option<PendingReport>,
    ) -> Result<Commit, StoreError> {
        let mut entry = entry;
        let mut changes = Vec::with_capacity(2);
        let mut then: Option<Box<dyn FnOnce() + Send>> = None;
        let mut seq = state.seq;
        if let (Some(entry), Some(report)) = (&mut entry, report) {
            seq += 1;
            let fact = report.numbered(instance, seq);
            match fact {
                Fact::Migration(_) => entry.last_migration_report = Some(fact.clone()),
                _ => entry.last_report = Some(fact.clone()),
            }
            let counter = serde_json::to_vec(&seq).map_err(|error| self.partition.damaged(error))?;
            changes.push(Change { key: COUNTER.to_vec(), value: Some(counter) });
            let outbox = self.outbox.clone();
            then = Some(Box::new(move || outbox.push(fact)));
        }
        let value = match &entry {
            Some(entry) => Some(serde_json::to_vec(entry).map_err(|error| self.partition.damaged(error))?),
            None => None,
        };
        changes.push(Change { key: instance.0.as_bytes().to_vec(), value });

        state.seq = seq;
        let now_held = entry.as_ref().map(Entry::holds).unwrap_or_default();
        let before = match entry {
            Some(entry) => state.entries.insert(instance, entry),
            None => state.entries.remove(&instance),
        };
        let was_held = before.as_ref().map(Entry::holds).unwrap_or_default();
        state.held = state.held.less(&was_held).plus(&now_held);
        Ok(self.partition.submit(changes, then))
    }
}

/// The number of a report about an instance.
pub(crate) fn fact_seq(fact: &Fact) -> Option<i64> {
    match fact {
        Fact::Instance(report) => Some(report.seq),
        Fact::Migration(report) => Some(report.seq),
        Fact::Hello(_) | Fact::Alive { .. } | Fact::Goodbye { .. } | Fact::Echo => None,
    }
}

#[cfg(test)]
mod tests;
