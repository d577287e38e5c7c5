//! Finds a host for each instance that waits for one, and hands its build over.
//!
//! ```text
//!   queue ──▶ scheduler: host, claim and attempt in the row ──▶ the host accepts ──▶ the host's
//!                 ▲                                                    │
//!                 └── claim and host reverted, host excluded ◀───────┘ refused, or no answer
//! ```
//!
//! What if the scheduler dies? Before the row names it, the message is delivered again. After that the row says whose it
//! is, and a conductor lets whatever was owned by a scheduler that is gone be scheduled or reconciled. What if a
//! message comes twice? The second finds an instance that no longer waits. What if a host accepts too late? Its reports
//! name an attempt that the row no longer knows.

use std::{sync::Arc, time::Duration};

use novella_common::{
    RequestContext, db::instances::transitions::RevertedAttempt, ids::InstanceUuid, networks::Networks,
};
use novella_compute::rpcapi::{BuildRequest, ComputeClient};
use novella_messaging::{CallError, MessagingError, Transport, trace};

use crate::{
    build_locks::BuildLocks,
    placement::{Assignment, Decision, Placer},
    rpcapi::{Destination, DestinationRequest, Scheduler, SchedulerError},
};

/// How long a build waits for a host to take work, at first; each wait is twice as long as the one before.
const NO_LIVE_HOST_WAIT: Duration = Duration::from_millis(50);

/// The scheduler's manager.
pub struct SchedulerManager {
    placer: Placer,
    compute: ComputeClient,
    networks: Arc<dyn Networks>,
    build_locks: BuildLocks,
}

/// What a host did with a build that was to be handed over.
enum HandOver {
    Accepted,
    /// It refused or did not answer: another one may do.
    Refused(String),
    /// The bus carries nothing, so nothing is said about the host.
    BusAway(MessagingError),
}

impl SchedulerManager {
    /// A manager that decides through `placer`.
    #[must_use]
    pub fn new(placer: Placer, transport: &Transport, networks: Arc<dyn Networks>) -> Self {
        Self { placer, compute: ComputeClient::new(transport), networks, build_locks: BuildLocks::default() }
    }

    async fn hand_over(&self, ctx: &RequestContext, assigned: &Assignment) -> HandOver {
        let build = BuildRequest { spec: assigned.instance.spec(), task_id: assigned.attempt };
        match self.compute.server(&assigned.host).build_and_run_instance(ctx, build).await {
            Ok(()) => HandOver::Accepted,
            Err(CallError::Remote(refusal)) => HandOver::Refused(refusal.to_string()),
            Err(CallError::Messaging(error)) => match error {
                MessagingError::Disconnected { .. }
                | MessagingError::Blocked { .. }
                | MessagingError::AccessRefused { .. }
                | MessagingError::Closed => HandOver::BusAway(error),
                error => HandOver::Refused(error.to_string()),
            },
        }
    }

    /// Offers a build that is this scheduler's to its host. Whether it waits for another one after that.
    async fn offer(&self, ctx: &RequestContext, assigned: &Assignment) -> Result<bool, SchedulerError> {
        let (instance, host) = (assigned.instance.uuid, &assigned.host);
        match self.hand_over(ctx, assigned).await {
            HandOver::Accepted => {
                self.placer.hand_over(assigned).await?;
                tracing::info!(%instance, host, "build handed over");
                Ok(false)
            }
            HandOver::Refused(reason) => {
                tracing::warn!(%instance, host, reason, "the host did not take the build");
                self.revert(assigned, Some(&reason)).await
            }
            HandOver::BusAway(error) => {
                tracing::warn!(%instance, host, %error, "the bus is away; the build waits");
                if !self.revert(assigned, None).await? {
                    return Ok(false);
                }
                Err(SchedulerError::BusUnavailable { message: error.to_string() })
            }
        }
    }

    /// Whether the instance waits for a host again. If not, the host has accepted after all, or somebody has deleted
    /// the instance: either way it is no longer this scheduler's.
    async fn revert(&self, assigned: &Assignment, failure: Option<&str>) -> Result<bool, SchedulerError> {
        let mut spec = assigned.spec.clone();
        if let Some(failure) = failure {
            spec.excluded_hosts.push(assigned.host.clone());
            spec.last_failure = Some(failure.to_owned());
        }
        let reverted = RevertedAttempt {
            instance: assigned.instance.uuid,
            attempt: assigned.attempt,
            host: assigned.host.clone(),
            spec,
            counts: failure.is_some(),
        };
        let done = self.placer.revert(reverted, failure.is_some()).await?;
        if !done {
            self.placer.hand_over(assigned).await?;
        }
        Ok(done)
    }
}

impl Scheduler for SchedulerManager {
    async fn select_destinations(
        &self,
        _: RequestContext,
        request: DestinationRequest,
    ) -> Result<Vec<Destination>, SchedulerError> {
        let instance = request.instance;
        let selected = self.placer.select(request).await?;
        let hosts: Vec<&str> = selected.iter().map(|destination| destination.host.as_str()).collect();
        tracing::debug!(%instance, ?hosts, "destinations selected");
        Ok(selected)
    }

    async fn build_instance(&self, ctx: RequestContext, instance: InstanceUuid) -> Result<(), SchedulerError> {
        let _lock = self.build_locks.lock(instance).await;
        let mut wait = NO_LIVE_HOST_WAIT;
        loop {
            let assigned = match self.placer.place(instance).await? {
                Decision::Placed(assigned) => assigned,
                Decision::NotWaiting => {
                    tracing::debug!(%instance, "not waiting for a host");
                    return Ok(());
                }
                // Soon after a start the first host is there in a moment. What takes longer is cast again, when a host
                // comes or after a while.
                Decision::NoLiveHost if wait < NO_LIVE_HOST_WAIT * 32 => {
                    tracing::info!(%instance, request_id = ctx.request_id, "no host is up; the build waits for one");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                    continue;
                }
                Decision::NoLiveHost => return Ok(()),
                Decision::NoValidHost => {
                    tracing::warn!(%instance, "no valid host was found");
                    return Ok(());
                }
            };
            let host = &assigned.host;
            tracing::debug!(%instance, host, attempt = %assigned.attempt, "host chosen and claimed");
            let offered = self.offer(&ctx, &assigned);
            if !trace::own("owns the build", &ctx.request_id, trace::current(), offered).await? {
                return Ok(());
            }
        }
    }
}
