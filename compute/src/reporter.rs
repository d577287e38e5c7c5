//! Sends what a host has to say, in order, and keeps what could not be sent.
//!
//! ```text
//!   journal ──durable──▶ Outbox ──▶ Reporter ──▶ the bus
//!                          ▲            │
//!                          └── failed ──┘  again, later
//! ```
//!
//! Reports are snapshots: of two about the same thing only the newer is worth sending. So the outbox holds at most one for
//! each operation of an instance, one about what it does by itself, and one about its migration, however long the bus is
//! away. The end of an operation is never given up for what came after it: the row waits for it, and takes nothing else
//! before. What a crash loses from the outbox comes again by reconciliation.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use novella_common::{
    RequestContext,
    ids::{InstanceUuid, TaskId},
    reports::{self, Fact, Report},
    service::Shutdown,
};
use novella_messaging::{MessagingError, Notifier, Transport};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::journal::fact_seq;

/// How many reports are sent before the bus's word for them is waited for.
const BATCH: usize = 256;

/// How long to wait before a batch that could not be sent is tried again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What waits to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// By number, which is the order in which they happened.
    by_seq: BTreeMap<i64, Fact>,
    newest: HashMap<Subject, i64>,
}

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    /// By this operation, or by the guest itself.
    Instance(InstanceUuid, Option<TaskId>),
    Migration(InstanceUuid),
}

fn subject(fact: &Fact) -> Option<Subject> {
    match fact {
        Fact::Instance(report) => Some(Subject::Instance(report.instance, report.task_id)),
        Fact::Migration(report) => Some(Subject::Migration(report.instance)),
        Fact::Hello(_) | Fact::Alive { .. } | Fact::Goodbye { .. } | Fact::Echo => None,
    }
}

impl Queue {
    /// Adds a report, unless a newer one about the same is waiting; an older one goes.
    fn add(&mut self, fact: Fact) {
        let (Some(seq), Some(subject)) = (fact_seq(&fact), subject(&fact)) else {
            return;
        };
        match self.newest.get(&subject) {
            Some(newest) if *newest > seq => return,
            Some(older) => {
                self.by_seq.remove(older);
            }
            None => {}
        }
        self.newest.insert(subject, seq);
        self.by_seq.insert(seq, fact);
    }

    fn take(&mut self, most: usize) -> Vec<Fact> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((_, fact)) = self.by_seq.pop_first()
        {
            if let Some(subject) = subject(&fact) {
                self.newest.remove(&subject);
            }
            taken.push(fact);
        }
        taken
    }
}

impl Outbox {
    /// Queues a report about an instance or its migration.
    pub(crate) fn push(&self, fact: Fact) {
        self.queue.lock().add(fact);
        self.filled.notify_one();
    }

    /// Queues again what could not be sent.
    fn put_back(&self, facts: Vec<Fact>) {
        let mut queue = self.queue.lock();
        for fact in facts {
            queue.add(fact);
        }
    }

    async fn next_batch(&self) -> Vec<Fact> {
        loop {
            let filled = self.filled.notified();
            let batch = self.queue.lock().take(BATCH);
            if !batch.is_empty() {
                return batch;
            }
            filled.await;
        }
    }

    /// Everything that waits.
    #[cfg(test)]
    pub(crate) fn drain(&self) -> Vec<Fact> {
        self.queue.lock().take(usize::MAX)
    }

    fn is_empty(&self) -> bool {
        self.queue.lock().by_seq.is_empty()
    }
}

/// Sends one host's reports.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    host: String,
    notifier: Notifier,
    /// For what belongs to no single request.
    own: RequestContext,
}

impl Reporter {
    pub(crate) fn new(transport: &Transport, host: &str) -> Self {
        Self {
            host: host.to_owned(),
            notifier: reports::notifier(transport, &format!("compute.{host}")),
            own: RequestContext::internal(),
        }
    }

    /// Sends one fact about the host itself, once.
    pub(crate) async fn send(&self, fact: Fact) -> Result<(), MessagingError> {
        let report = Report { host: self.host.clone(), fact };
        self.notifier.info(&self.own, report.event_type(), &report).await
    }

    /// Sends what comes into the outbox; once stopping is asked for, until the outbox is empty.
    pub(crate) async fn run(self, outbox: Arc<Outbox>, stopping: Shutdown) {
        let mut delay = RETRY.0;
        loop {
            let batch = tokio::select! {
                biased;
                batch = outbox.next_batch() => batch,
                () = stopping.requested() => return,
            };
            match self.send_all(&batch).await {
                Ok(()) => delay = RETRY.0,
                Err(error) => {
                    tracing::warn!(host = self.host, %error, reports = batch.len(), "reports wait to be sent again");
                    outbox.put_back(batch);
                    if stopping.is_requested() {
                        // The journal has them; reconciliation brings them.
                        return;
                    }
                    stopping.pause(delay).await;
                    delay = (delay * 2).min(RETRY.1);
                }
            }
            if stopping.is_requested() && outbox.is_empty() {
                return;
            }
        }
    }

    async fn send_all(&self, facts: &[Fact]) -> Result<(), MessagingError> {
        let mut events = Vec::with_capacity(facts.len());
        for fact in facts {
            let report = Report { host: self.host.clone(), fact: fact.clone() };
            let payload = serde_json::to_value(&report)
                .map_err(|error| MessagingError::Malformed { what: format!("a report can't be written: {error}") })?;
            events.push((report.event_type(), payload));
        }
        metrics::counter!("compute_reports_sent_total").increment(facts.len() as u64);
        self.notifier.info_many(&self.context(facts), events).await
    }

    /// The request that all the reports belong to, if it is one.
    fn context(&self, facts: &[Fact]) -> RequestContext {
        let mut requests = facts.iter().map(|fact| match fact {
            Fact::Instance(report) => report.request_id.as_deref(),
            _ => None,
        });
        match requests.next().flatten() {
            Some(first) if requests.all(|other| other == Some(first)) => RequestContext::resumed(first),
            _ => self.own.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use novella_common::{
        lifecycle::{PowerState, VmState},
        reports::{InstanceReport, OperationProgress},
    };
    use uuid::Uuid;

    use super::*;

    fn report(instance: u128, seq: i64) -> Fact {
        Fact::Instance(InstanceReport {
            instance: InstanceUuid(Uuid::from_u128(instance)),
            seq,
            task_id: None,
            request_id: None,
            power_state: PowerState::Running,
            progress: OperationProgress::Done { vm_state: VmState::Active },
            event: None,
        })
    }

    fn numbers(facts: &[Fact]) -> Vec<i64> {
        facts.iter().filter_map(fact_seq).collect()
    }

    #[test]
    fn of_two_reports_about_the_same_only_the_newer_waits() {
        let mut queue = Queue::default();
        for fact in [report(1, 1), report(2, 2), report(1, 3)] {
            queue.add(fact);
        }
        assert_eq!(numbers(&queue.take(10)), [2, 3]);
    }

    #[test]
    fn the_end_of_an_operation_waits_beside_what_the_guest_did_after_it() {
        let mut queue = Queue::default();
        let Fact::Instance(mut end) = report(1, 1) else { unreachable!() };
        end.task_id = Some(TaskId::random());
        queue.add(Fact::Instance(end));
        queue.add(report(1, 2));
        queue.add(report(1, 3));
        assert_eq!(numbers(&queue.take(10)), [1, 3]);
    }

    #[test]
    fn what_could_not_be_sent_does_not_replace_what_is_newer() {
        let mut queue = Queue::default();
        queue.add(report(1, 1));
        queue.add(report(2, 2));
        let failed = queue.take(10);
        queue.add(report(1, 3));
        failed.into_iter().for_each(|fact| queue.add(fact));
        assert_eq!(numbers(&queue.take(10)), [2, 3]);
    }

    #[test]
    fn however_long_the_bus_is_away_what_waits_is_bounded_by_the_instances() {
        let mut queue = Queue::default();
        for seq in 0..10_000_i64 {
            queue.add(report(seq.unsigned_abs().into(), seq));
            queue.add(report(u128::from(seq.unsigned_abs() % 10), seq + 10_000));
        }
        assert_eq!(queue.by_seq.len(), queue.newest.len());
        assert!(queue.by_seq.len() <= 10_000);
    }
}
