//! Decisions and what is written of them, many at a time.
//!
//! One task decides for the whole process. It takes all requests that wait, decides them one after the other on one
//! picture of the hosts, so that each sees the claims of those before it, and writes all of them in one transaction: the
//! more requests wait, the more share the price of a commit. What was decided on a picture that has proved wrong (a
//! host was fuller than it looked) goes another round on a new one.

mod known;
mod no_valid_host;
mod task;

use novella_common::{
    db::{
        Database, DbError,
        instances::{ports::Allocated, transitions::RevertedAttempt},
    },
    ids::{Incarnation, InstanceUuid, TaskId},
    models::{Fault, Instance, NetworkInfo, RequestSpec},
};
use tokio::sync::{mpsc, oneshot};

use self::task::{PlacementTask, Written};
use crate::{
    SchedulerConfig,
    rpcapi::{Destination, DestinationRequest, SchedulerError},
};

/// How often a decision is made anew because other schedulers were faster.
const ROUNDS: u32 = 20;

/// What became of an instance that was to be placed.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It has a host and a claim there, and is this scheduler's until the host has accepted.
    Placed(Box<Assignment>),
    /// It does not wait for a host, or another scheduler looks for one.
    NotWaiting,
    /// It waits, and no host takes work at the moment.
    NoLiveHost,
    /// There is no host; it is in ERROR.
    NoValidHost,
}

/// An instance and the host that is to build it.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) instance: Instance,
    pub(crate) spec: RequestSpec,
    pub(crate) host: String,
    /// The host's availability zone.
    pub(crate) zone: String,
    pub(crate) attempt: TaskId,
}

impl Assignment {
    /// The attempt, to be given up. `spec`: what is asked for from now on; `counts`: whether the host was asked at all.
    pub(crate) fn reverted(&self, spec: RequestSpec, counts: bool) -> RevertedAttempt {
        let (instance, attempt, host) = (self.instance.uuid, self.attempt, self.host.clone());
        RevertedAttempt { instance, attempt, host, spec, counts }
    }
}

type Reply<T> = oneshot::Sender<Result<T, SchedulerError>>;

enum Job {
    Place {
        instance: InstanceUuid,
        round: u32,
        answer: Reply<Decision>,
    },
    HandOver {
        instance: InstanceUuid,
        attempt: TaskId,
        host: String,
        answer: Reply<()>,
    },
    /// Writes what Networking has given for an attempt.
    Allocated {
        allocated: Box<Allocated>,
        answer: Reply<bool>,
    },
    /// Gives an attempt up, and the build with it.
    Fail {
        attempt: Box<RevertedAttempt>,
        fault: Box<Fault>,
        request_id: Option<String>,
        answer: Reply<bool>,
    },
    Revert {
        attempt: Box<RevertedAttempt>,
        blame: bool,
        answer: Reply<bool>,
    },
    Select {
        request: Box<DestinationRequest>,
        round: u32,
        answer: Reply<Vec<Destination>>,
    },
}

impl Job {
    /// The instance whose row it changes, if it is done.
    fn changes(&self) -> Option<InstanceUuid> {
        match self {
            Self::Place { instance, .. } | Self::HandOver { instance, .. } => Some(*instance),
            Self::Allocated { allocated, .. } => Some(allocated.instance),
            Self::Fail { attempt, .. } | Self::Revert { attempt, .. } => Some(attempt.instance),
            Self::Select { .. } => None,
        }
    }
}

/// The way to the task that decides. Clones share it; it ends when the last is dropped.
#[derive(Clone)]
pub struct Placer {
    jobs: mpsc::Sender<Job>,
}

impl Placer {
    /// Starts the task. `owner` is this run of this scheduler, as its service row says.
    ///
    /// # Errors
    /// The first name in `enabled_filters` that is no filter's.
    pub fn start(
        database: Database,
        owner: Incarnation,
        config: &SchedulerConfig,
        service_down_time: std::time::Duration,
    ) -> Result<Self, String> {
        let (sender, receiver) = mpsc::channel(config.concurrency.max(1) * 2);
        let task = PlacementTask::new(database, owner, config, service_down_time)?;
        tokio::spawn(task.run(receiver));
        Ok(Self { jobs: sender })
    }

    pub(crate) async fn place(&self, instance: InstanceUuid) -> Result<Decision, SchedulerError> {
        self.ask(|answer| Job::Place { instance, round: 0, answer }).await
    }

    pub(crate) async fn hand_over(&self, assigned: &Assignment) -> Result<(), SchedulerError> {
        let (instance, attempt, host) = (assigned.instance.uuid, assigned.attempt, assigned.host.clone());
        self.ask(|answer| Job::HandOver { instance, attempt, host, answer }).await
    }

    /// Writes what Networking has given. Whether the attempt is still this scheduler's.
    pub(crate) async fn allocated(
        &self,
        assigned: &Assignment,
        network_info: NetworkInfo,
    ) -> Result<bool, SchedulerError> {
        let (instance, attempt) = (assigned.instance.uuid, assigned.attempt);
        let allocated = Box::new(Allocated { instance, attempt, network_info });
        self.ask(|answer| Job::Allocated { allocated, answer }).await
    }

    /// Puts the instance into ERROR, if the attempt is still this scheduler's. Says whether it was.
    pub(crate) async fn fail(
        &self,
        attempt: RevertedAttempt,
        fault: Fault,
        assigned: &Assignment,
    ) -> Result<bool, SchedulerError> {
        let request_id = assigned.instance.task_request_id.clone();
        self.ask(|answer| Job::Fail { attempt: Box::new(attempt), fault: Box::new(fault), request_id, answer }).await
    }

    /// `blame`: whether it speaks against the host that it did not take the build.
    pub(crate) async fn revert(&self, attempt: RevertedAttempt, blame: bool) -> Result<bool, SchedulerError> {
        self.ask(|answer| Job::Revert { attempt: Box::new(attempt), blame, answer }).await
    }

    pub(crate) async fn select(&self, request: DestinationRequest) -> Result<Vec<Destination>, SchedulerError> {
        self.ask(|answer| Job::Select { request: Box::new(request), round: 0, answer }).await
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, SchedulerError> {
        let stopped = || SchedulerError::DatabaseUnavailable { message: "the scheduler is stopping".into() };
        let (sender, receiver) = oneshot::channel();
        self.jobs.send(job(sender)).await.map_err(|_| stopped())?;
        let answer = receiver.await.map_err(|_| stopped())?;
        if let Err(error @ (SchedulerError::DatabaseUnavailable { .. } | SchedulerError::DatabaseFailed { .. })) =
            &answer
        {
            // Here and not where it failed, since this is inside the request's span.
            tracing::warn!(%error, "a decision could not be made or written");
        }
        answer
    }
}

/// Answers a job, or gives it back for another round.
fn answer(job: Job, result: Written) -> Option<Job> {
    // Whoever asked may be gone; then nobody needs the answer, and the row says what was decided.
    match (job, result) {
        (Job::Place { instance, round, answer }, Written::Again) if round < ROUNDS => {
            Some(Job::Place { instance, round: round + 1, answer })
        }
        (Job::Select { request, round, answer }, Written::Again) => {
            Some(Job::Select { request, round: round + 1, answer })
        }
        (Job::Place { answer, .. }, Written::Decided(decision)) => {
            let outcome = match &decision {
                Decision::Placed(_) => "placed",
                Decision::NotWaiting => "not_waiting",
                Decision::NoLiveHost => "no_live_host",
                Decision::NoValidHost => "no_valid_host",
            };
            metrics::counter!("scheduler_decisions_total", "outcome" => outcome).increment(1);
            let _ = answer.send(Ok(decision));
            None
        }
        (Job::Place { answer, .. }, _) => {
            let reason = format!("Each host that looked free was full when it was claimed, {ROUNDS} times in a row.");
            let _ = answer.send(Err(SchedulerError::NoValidHost { reason }));
            None
        }
        (Job::HandOver { answer, .. }, _) => {
            let _ = answer.send(Ok(()));
            None
        }
        (Job::Allocated { answer, .. } | Job::Fail { answer, .. }, result) => {
            let _ = answer.send(Ok(matches!(result, Written::Done(true))));
            None
        }
        (Job::Revert { answer, .. }, result) => {
            let _ = answer.send(Ok(matches!(result, Written::Done(true))));
            None
        }
        (Job::Select { answer, .. }, Written::Selected(selected)) => {
            let _ = answer.send(selected);
            None
        }
        (Job::Select { answer, .. }, _) => {
            let _ = answer.send(Ok(Vec::new()));
            None
        }
    }
}

fn refuse(job: Job, error: DbError) {
    let error = SchedulerError::from(error);
    match job {
        Job::Place { answer, .. } => drop(answer.send(Err(error))),
        Job::HandOver { answer, .. } => drop(answer.send(Err(error))),
        Job::Allocated { answer, .. } | Job::Fail { answer, .. } | Job::Revert { answer, .. } => {
            drop(answer.send(Err(error)));
        }
        Job::Select { answer, .. } => drop(answer.send(Err(error))),
    }
}
