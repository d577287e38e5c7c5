//! Finds a host for each instance that waits for one, and hands its build over.
//!
//! ```text
//!   queue ──▶ scheduler: host, claim and attempt in the row ─▶ ports, bound there ─▶ the host accepts ──▶ the host's
//!                 ▲                                                    │
//!                 └── claim and host reverted, host excluded ◀───────┘ refused, or no answer
//! ```
//!
//! What if the scheduler dies? Before the row names it, the message is delivered again. After that the row says whose it
//! is, and a conductor lets whatever was owned by a scheduler that is gone be scheduled or reconciled. What if a
//! message comes twice? The second finds an instance that no longer waits. What if a host accepts too late? Its reports
//! name an attempt that the row no longer knows.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::instances::ports,
    ids::InstanceUuid,
    models::{Fault, InstanceSpec, NetworkInfo, RequestedNetworks},
    networks::{self, NetworkError, Networks, PortsWanted},
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

/// How long Networking may take to make an instance's ports.
const NETWORKING_TIMEOUT: Duration = Duration::from_secs(40);

// Less than a conductor waits before it takes an instance's ports for given back.
const _: () = assert!(NETWORKING_TIMEOUT.as_secs() < ports::SETTLED_AFTER.as_secs());

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

    /// Has Networking make the instance's ports, bound to the host, and writes them down. `None`: the instance is no
    /// longer this scheduler's.
    async fn allocate(&self, assigned: &Assignment) -> Result<Option<NetworkInfo>, SchedulerError> {
        if assigned.spec.networks.is_none() {
            return Ok(Some(NetworkInfo::default()));
        }
        let instance = assigned.instance.uuid;
        let wanted = PortsWanted {
            instance,
            project_id: assigned.instance.project_id.clone(),
            hostname: assigned.instance.hostname.clone(),
            host: assigned.host.clone(),
            zone: assigned.zone.clone(),
            requested: assigned.spec.networks.clone(),
        };
        match networks::within(NETWORKING_TIMEOUT, self.networks.allocate(&wanted)).await {
            Ok(info) => {
                let info = with_requests(info, &wanted.requested);
                if self.placer.allocated(assigned, info.clone()).await? {
                    return Ok(Some(info));
                }
                // Deleted meanwhile, and its ports may have been given back before these were made.
                tracing::info!(%instance, "no longer this scheduler's: its ports are given back");
                self.deallocate(assigned).await;
                Ok(None)
            }
            Err(error @ NetworkError::Unavailable(_)) => {
                tracing::warn!(%instance, %error, "the build waits for Networking");
                if !self.revert(assigned, None).await? {
                    return Ok(None);
                }
                Err(SchedulerError::NetworkingUnavailable { message: error.to_string() })
            }
            Err(error @ NetworkError::Refused { .. }) => {
                tracing::warn!(%instance, %error, "no ports for a build, which is given up");
                let fault = Fault {
                    code: 500,
                    message: format!(
                        "Build of instance {instance} aborted: Failed to allocate the network(s), not rescheduling."
                    ),
                    details: Some(error.to_string()),
                    created_at: Timestamp::now(),
                };
                if !self.placer.fail(assigned.reverted(assigned.spec.clone(), true), fault, assigned).await? {
                    self.placer.hand_over(assigned).await?;
                }
                self.deallocate(assigned).await;
                Ok(None)
            }
        }
    }

    /// Gives back what this attempt may have. What fails is left to a conductor, which finds that the instance may have ports.
    async fn deallocate(&self, assigned: &Assignment) {
        let kept = ports::kept(&assigned.instance.network_info, &assigned.spec);
        let instance = assigned.instance.uuid;
        let given_back = networks::within(NETWORKING_TIMEOUT, self.networks.deallocate(&[(instance, kept)])).await;
        if let Err(error) = given_back {
            tracing::warn!(%instance, %error, "the ports of a build that was given up are given back later");
        }
    }

    async fn hand_over(&self, ctx: &RequestContext, assigned: &Assignment, network_info: NetworkInfo) -> HandOver {
        let spec = InstanceSpec { network_info, ..assigned.instance.spec() };
        let build = BuildRequest { spec, task_id: assigned.attempt };
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
        let Some(network_info) = self.allocate(assigned).await? else { return Ok(false) };
        match self.hand_over(ctx, assigned, network_info).await {
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
        let done = self.placer.revert(assigned.reverted(spec, failure.is_some()), failure.is_some()).await?;
        if !done {
            self.placer.hand_over(assigned).await?;
        }
        Ok(done)
    }
}

/// The interfaces with what only the request says of each. Networking answers in the order of the request.
fn with_requests(mut info: NetworkInfo, requested: &RequestedNetworks) -> NetworkInfo {
    for (vif, asked) in info.0.iter_mut().zip(&requested.vifs) {
        vif.preserve_on_delete = asked.port_id.is_some();
        vif.tag.clone_from(&asked.tag);
    }
    info
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
