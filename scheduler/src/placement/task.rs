//! The task that decides, and writes what it has decided.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use novella_common::{
    db::{
        Connection, Database, DbError, TRANSACTION_ATTEMPTS, actions,
        instances::{
            self, ports,
            transitions::{self, Build, FailedBuild, Placement},
        },
        listening,
        server_groups::Groups,
        services, takeover,
    },
    ids::{Incarnation, InstanceUuid, TaskId},
    lifecycle::{TaskState, VmState},
    models::{Instance, Resources},
    telemetry::request_span,
};
use tokio::sync::mpsc;

use super::{
    Assignment, Decision, Job, answer,
    known::Known,
    no_valid_host::{failed_build, failure, given_up},
    refuse,
};
use crate::{
    NoneLeft, SchedulerConfig, Selector,
    host_state::asks_of_inventory,
    host_states::HostStates,
    rpcapi::{Destination, DestinationRequest, SchedulerError},
};

/// The most requests that are written in one transaction: what waits behind it waits some milliseconds only.
const BATCH: usize = 256;

/// The task that decides, with all it knows.
pub(super) struct PlacementTask {
    database: Database,
    hosts: HostStates,
    selector: Selector,
    max_attempts: i64,
    owner: Incarnation,
    service_down_time: Duration,
    live_host_timeout: Duration,
}

/// What a round has decided for one job, before it is written.
enum Plan {
    Place {
        placement: Placement,
        resources: Resources,
        build: Box<Build>,
    },
    Adopt {
        build: Box<Build>,
        host: String,
        attempt: TaskId,
        seen_owner: Incarnation,
    },
    NoValidHost {
        failed_build: FailedBuild,
        request_id: Option<String>,
    },
    NotWaiting,
    NoLiveHost,
    /// On a younger picture.
    Again,
    HandOver,
    Allocated,
    Fail,
    Revert,
    Selected(Result<Vec<Destination>, SchedulerError>),
}

/// What a round has come to for one job.
pub(super) enum Written {
    Decided(Decision),
    Again,
    HandedOver,
    /// Whether the attempt was still this scheduler's.
    Done(bool),
    Selected(Result<Vec<Destination>, SchedulerError>),
}

impl PlacementTask {
    /// Works as `owner`; the error is the first name in `enabled_filters` that is no filter's.
    pub(super) fn new(
        database: Database,
        owner: Incarnation,
        config: &SchedulerConfig,
        service_down_time: Duration,
    ) -> Result<Self, String> {
        Ok(Self {
            hosts: HostStates::new(database.clone(), service_down_time, config),
            selector: Selector::new(config)?,
            max_attempts: i64::from(config.max_attempts.max(1)),
            owner,
            service_down_time,
            live_host_timeout: config.live_host_timeout,
            database,
        })
    }

    /// Works until the last [`super::Placer`] is gone.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = Vec::new();
        loop {
            if waiting.is_empty() {
                match jobs.recv().await {
                    Some(job) => waiting.push(job),
                    None => return,
                }
            }
            while waiting.len() < BATCH {
                match jobs.try_recv() {
                    Ok(job) => waiting.push(job),
                    Err(_) => break,
                }
            }
            waiting = self.round(waiting).await;
        }
    }

    /// Decides, writes and answers. Returns the jobs that must go another round.
    async fn round(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        metrics::histogram!("scheduler_batch_size").record(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        match self.attempt(&jobs).await {
            Ok(results) => jobs.into_iter().zip(results).filter_map(|(job, result)| answer(job, result)).collect(),
            Err(error) if jobs.len() == 1 => {
                self.hosts.distrust();
                if let Some(job) = jobs.into_iter().next() {
                    refuse(job, error);
                }
                Vec::new()
            }
            Err(error) => {
                // One row that can't be read, or one lock that could not be had, must not stop the others.
                tracing::warn!(%error, jobs = jobs.len(), "a batch could not be written; each is tried alone");
                self.hosts.distrust();
                let mut again = Vec::new();
                for job in jobs {
                    match self.attempt(std::slice::from_ref(&job)).await {
                        Ok(results) => {
                            again
                                .extend(results.into_iter().zip([job]).filter_map(|(result, job)| answer(job, result)));
                        }
                        Err(error) => refuse(job, error),
                    }
                }
                self.hosts.distrust();
                again
            }
        }
    }

    /// Decides and writes, anew if the database has ended the transaction.
    async fn attempt(&mut self, jobs: &[Job]) -> Result<Vec<Written>, DbError> {
        let mut left = TRANSACTION_ATTEMPTS;
        loop {
            left -= 1;
            let plans = self.decide(jobs).await?;
            match self.write(jobs, plans).await {
                Err(error) if error.is_transaction_lost() && left > 0 => {
                    tracing::info!(%error, jobs = jobs.len(), "decided anew: the transaction was ended");
                    self.hosts.distrust();
                }
                result => return result,
            }
        }
    }

    async fn decide(&mut self, jobs: &[Job]) -> Result<Vec<Plan>, DbError> {
        let began = Instant::now();
        let wanted: Vec<InstanceUuid> = jobs
            .iter()
            .filter_map(|job| if let Job::Place { instance, .. } = job { Some(*instance) } else { None })
            .collect();
        let chooses = !wanted.is_empty() || jobs.iter().any(|job| matches!(job, Job::Select { .. }));
        let mut builds = HashMap::new();
        let mut known = Known::default();
        if chooses {
            if jobs.iter().any(|job| matches!(job, Job::Select { .. })) {
                // What is answered is written by others, who do not look again.
                self.hosts.distrust();
            }
            self.hosts.refresh().await?;
            let mut connection = self.database.read().await?;
            let selects = || {
                jobs.iter().filter_map(|job| match job {
                    Job::Select { request, .. } => Some((request.instance, &request.spec)),
                    _ => None,
                })
            };
            let all: Vec<InstanceUuid> =
                wanted.iter().copied().chain(selects().map(|(instance, _)| instance)).collect();
            for build in transitions::builds(&mut connection, &all).await? {
                builds.insert(build.instance.uuid, build);
            }
            let placed = wanted.iter().filter_map(|instance| builds.get(instance));
            let asked: Vec<_> = placed.map(|build| (build.instance.uuid, &build.spec)).chain(selects()).collect();
            known = Known::read(&mut connection, &asked).await?;
            let asks =
                |build: &Build| asks_of_inventory(&build.instance.flavor.extra_specs, &build.spec.image_properties);
            if builds.values().any(asks) {
                self.hosts.read_inventories(&mut connection).await?;
            }
            known.gone = self.gone(&mut connection, builds.values()).await?;
        }
        let fresh = self.hosts.is_fresh_since(began);
        Ok(jobs
            .iter()
            .map(|job| match job {
                Job::Place { instance, round, .. } => match builds.remove(instance) {
                    Some(build) => self.plan(build, &mut known, fresh || *round > 0),
                    None => Plan::NotWaiting,
                },
                Job::HandOver { .. } => Plan::HandOver,
                Job::Allocated { .. } => Plan::Allocated,
                Job::Fail { .. } => Plan::Fail,
                Job::Revert { .. } => Plan::Revert,
                Job::Select { request, round, .. } => {
                    match self.destinations(request, &known, builds.get(&request.instance)) {
                        Err(_) if !fresh && *round == 0 => Plan::Again,
                        result => Plan::Selected(result),
                    }
                }
            })
            .collect())
    }

    /// Those of the builds' owners that are gone. Nearly always there is no other owner, and nothing is asked.
    async fn gone(
        &self,
        connection: &mut Connection,
        builds: impl Iterator<Item = &Build>,
    ) -> Result<HashSet<Incarnation>, DbError> {
        let others: HashSet<Incarnation> =
            builds.filter_map(|build| build.instance.owner).filter(|owner| *owner != self.owner).collect();
        let mut gone = HashSet::new();
        if others.is_empty() {
            return Ok(gone);
        }
        let fresh_since = listening::fresh_since(connection, self.service_down_time).await?.reported;
        for owner in others {
            if takeover::is_gone(connection, owner, fresh_since).await? {
                gone.insert(owner);
            }
        }
        Ok(gone)
    }

    fn plan(&mut self, build: Build, known: &mut Known, fresh: bool) -> Plan {
        let instance = &build.instance;
        let waits = instance.deleted_at.is_none()
            && instance.vm_state == VmState::Building
            && instance.task_state == Some(TaskState::Scheduling);
        // A row that names this scheduler, while no other handler works on it (the manager sees to that), is what a
        // failure has left.
        let takeable = instance.owner.is_none_or(|owner| owner == self.owner || known.gone.contains(&owner));
        if !waits || !takeable {
            return Plan::NotWaiting;
        }
        match (&instance.host, instance.task_id, instance.owner) {
            (Some(host), Some(attempt), Some(seen_owner)) => {
                let host = host.clone();
                return Plan::Adopt { build: Box::new(build), host, attempt, seen_owner };
            }
            // Handed over to the host already.
            (Some(_), ..) => return Plan::NotWaiting,
            (None, ..) => {}
        }
        if instance.attempts >= self.max_attempts {
            return fail(&build, None);
        }
        let resources = instance.flavor.resources();
        let wanted = known.wanted(instance, &build.spec, resources);
        match self.selector.select(self.hosts.hosts(), &wanted, 1, &mut rand::rng()) {
            Ok(selected) => match selected.first() {
                Some(best) => {
                    self.hosts.claim(best.index, &resources);
                    let host = &self.hosts.hosts()[best.index];
                    known.groups.claimed(instance.uuid, &host.host);
                    let placement = Placement {
                        instance: instance.uuid,
                        seen_task: instance.task_id,
                        seen_owner: instance.owner,
                        host: host.host.clone(),
                        zone: host.availability_zone.clone(),
                        attempt: TaskId::random(),
                    };
                    Plan::Place { placement, resources, build: Box::new(build) }
                }
                None => fail(&build, None),
            },
            Err(_) if !fresh => Plan::Again,
            Err(_) if !self.hosts.any_up() && self.may_wait(instance) => Plan::NoLiveHost,
            Err(none_left) => fail(&build, Some(&none_left)),
        }
    }

    /// Whether a build is young enough to wait for a host to come up.
    fn may_wait(&self, instance: &Instance) -> bool {
        Timestamp::now().duration_since(instance.created_at).unsigned_abs() < self.live_host_timeout
    }

    fn destinations(
        &self,
        request: &DestinationRequest,
        known: &Known,
        build: Option<&Build>,
    ) -> Result<Vec<Destination>, SchedulerError> {
        let Some(Build { instance, .. }) = build else {
            let reason = format!("There is no instance {}.", request.instance);
            return Err(SchedulerError::NoValidHost { reason });
        };
        let mut wanted = known.wanted(instance, &request.spec, request.resources);
        wanted.ignore_hosts = request.ignore_hosts.iter().cloned().collect();
        wanted.only_host.clone_from(&request.only_host);
        let count = usize::try_from(self.max_attempts).unwrap_or(usize::MAX);
        let selected = self
            .selector
            .select(self.hosts.hosts(), &wanted, count, &mut rand::rng())
            .map_err(|none_left| SchedulerError::NoValidHost { reason: none_left.to_string() })?;
        Ok(selected
            .into_iter()
            .map(|selected| {
                let host = &self.hosts.hosts()[selected.index];
                Destination {
                    host: host.host.clone(),
                    availability_zone: host.availability_zone.clone(),
                    weight: selected.weight,
                }
            })
            .collect())
    }

    async fn write(&mut self, jobs: &[Job], plans: Vec<Plan>) -> Result<Vec<Written>, DbError> {
        if plans
            .iter()
            .all(|plan| matches!(plan, Plan::NotWaiting | Plan::NoLiveHost | Plan::Again | Plan::Selected(_)))
        {
            if plans.iter().any(|plan| matches!(plan, Plan::Again)) {
                self.hosts.distrust();
            }
            return Ok(plans.into_iter().map(unwritten).collect());
        }
        let mut transaction = self.database.begin().await?;
        let touched: Vec<InstanceUuid> = jobs.iter().filter_map(Job::changes).collect();
        instances::lock_in_order(&mut transaction, &touched).await?;
        let handed_over: Vec<_> = jobs
            .iter()
            .filter_map(|job| match job {
                Job::HandOver { instance, attempt, .. } => Some((*instance, *attempt)),
                _ => None,
            })
            .collect();
        transitions::hand_over(&mut transaction, &handed_over, self.owner).await?;
        let allocated: Vec<_> = jobs
            .iter()
            .filter_map(
                |job| if let Job::Allocated { allocated, .. } = job { Some((**allocated).clone()) } else { None },
            )
            .collect();
        let allocated = ports::allocated(&mut transaction, &allocated, self.owner).await?;
        let placed = self.place(&mut transaction, &plans).await?;

        let mut results = Vec::with_capacity(jobs.len());
        let mut events = Vec::new();
        for (job, plan) in jobs.iter().zip(plans) {
            results.push(match plan {
                Plan::Place { placement, build, .. } => match placed.get(&placement.instance) {
                    Some(Placed::Yes) => {
                        Written::Decided(assignment(*build, placement.host, placement.zone, placement.attempt))
                    }
                    Some(Placed::Full) => Written::Again,
                    None => Written::Decided(Decision::NotWaiting),
                },
                Plan::Adopt { build, host, attempt, seen_owner } => {
                    let uuid = build.instance.uuid;
                    let adopted = transitions::adopt(&mut transaction, uuid, attempt, seen_owner, self.owner).await?;
                    Written::Decided(match adopted {
                        true => {
                            let zone = build.instance.availability_zone.clone().unwrap_or_default();
                            assignment(*build, host, zone, attempt)
                        }
                        false => Decision::NotWaiting,
                    })
                }
                Plan::NoValidHost { failed_build, request_id } => {
                    let done = transitions::fail_build(&mut transaction, &failed_build).await?;
                    if let (true, Some(request_id)) = (done, request_id) {
                        events.push(failure(&failed_build, request_id));
                    }
                    Written::Decided(if done { Decision::NoValidHost } else { Decision::NotWaiting })
                }
                Plan::Allocated => match job {
                    Job::Allocated { allocated: of, .. } => Written::Done(allocated.contains(&of.instance)),
                    _ => Written::Done(false),
                },
                Plan::Fail => match job {
                    Job::Fail { attempt, fault, request_id, .. } => {
                        let done = transitions::revert_attempt(&mut transaction, attempt, self.owner).await?;
                        if done {
                            let failed_build = given_up(attempt, fault);
                            transitions::fail_build(&mut transaction, &failed_build).await?;
                            events.extend(request_id.clone().map(|request| failure(&failed_build, request)));
                        }
                        Written::Done(done)
                    }
                    _ => Written::Done(false),
                },
                Plan::Revert => match job {
                    Job::Revert { attempt, .. } => {
                        Written::Done(transitions::revert_attempt(&mut transaction, attempt, self.owner).await?)
                    }
                    _ => Written::Done(false),
                },
                plan => unwritten(plan),
            });
        }
        actions::record_events(&mut transaction, &events).await?;
        transaction.commit().await?;
        self.learn(jobs, &results);
        Ok(results)
    }

    /// Writes hosts and claims. What could not be placed because it no longer waits is left out of the answer.
    async fn place(
        &self,
        transaction: &mut Connection,
        plans: &[Plan],
    ) -> Result<HashMap<InstanceUuid, Placed>, DbError> {
        let mut placements: Vec<(&Placement, Resources)> = plans
            .iter()
            .filter_map(|plan| match plan {
                Plan::Place { placement, resources, .. } => Some((placement, *resources)),
                _ => None,
            })
            .collect();
        let all: Vec<Placement> = placements.iter().map(|(placement, _)| (*placement).clone()).collect();
        let waited = transitions::place(transaction, &all, self.owner).await?;
        placements.retain(|(placement, _)| waited.contains(&placement.instance));
        let grouped: Vec<_> = plans
            .iter()
            .filter_map(|plan| match plan {
                Plan::Place { placement, build, .. } if build.spec.names_group() => Some(placement.instance),
                _ => None,
            })
            .collect();
        let mut groups = Groups::locked(transaction, &grouped).await?;
        let hosts: BTreeSet<&str> = placements.iter().map(|(placement, _)| placement.host.as_str()).collect();
        let hosts: Vec<&str> = hosts.into_iter().collect();
        let usable: HashMap<String, String> = services::of_compute_hosts(transaction, &hosts)
            .await?
            .into_iter()
            .filter(|service| !service.disabled && !service.forced_down)
            .map(|service| (service.host, service.zone))
            .collect();
        // Hosts in one order in every transaction: see `transitions`.
        placements.sort_by(|(a, _), (b, _)| a.host.cmp(&b.host));
        let mut placed = HashMap::new();
        let mut full = Vec::new();
        for (placement, resources) in placements {
            // The picture is a moment old: what an operator has said since is obeyed.
            let as_seen = usable.get(&placement.host) == Some(&placement.zone);
            if as_seen && groups.claim(transaction, placement.instance, &placement.host, resources).await? {
                placed.insert(placement.instance, Placed::Yes);
            } else {
                placed.insert(placement.instance, Placed::Full);
                full.push(placement);
            }
        }
        transitions::revert_placements(transaction, &full).await?;
        Ok(placed)
    }

    /// What the round has taught about the hosts.
    fn learn(&mut self, jobs: &[Job], results: &[Written]) {
        for (job, result) in jobs.iter().zip(results) {
            match (job, result) {
                (Job::HandOver { host, .. }, _) => self.hosts.note_handover(host, true),
                (Job::Revert { attempt, blame: true, .. }, _) => self.hosts.note_handover(&attempt.host, false),
                (Job::Place { .. }, Written::Again | Written::Decided(Decision::NotWaiting)) => {
                    self.hosts.distrust();
                }
                (_, Written::Again) => self.hosts.distrust(),
                _ => {}
            }
        }
    }
}

enum Placed {
    Yes,
    /// Or other servers of the group have taken what its policy permits, or the host is not what it was.
    Full,
}

fn unwritten(plan: Plan) -> Written {
    match plan {
        Plan::Again => Written::Again,
        Plan::NoLiveHost => Written::Decided(Decision::NoLiveHost),
        Plan::HandOver => Written::HandedOver,
        Plan::Selected(selected) => Written::Selected(selected),
        _ => Written::Decided(Decision::NotWaiting),
    }
}

fn fail(build: &Build, none_left: Option<&NoneLeft>) -> Plan {
    if let Some(none_left) = none_left {
        request_span(build.instance.task_request_id.as_deref()).in_scope(|| {
            tracing::debug!(instance = %build.instance.uuid, %none_left, "no host passes the filters");
        });
    }
    Plan::NoValidHost {
        failed_build: failed_build(build, none_left),
        request_id: build.instance.task_request_id.clone(),
    }
}

fn assignment(build: Build, host: String, zone: String, attempt: TaskId) -> Decision {
    Decision::Placed(Box::new(Assignment { instance: build.instance, spec: build.spec, host, zone, attempt }))
}
