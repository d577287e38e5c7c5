//! Finding work that nobody does any more, and doing it or giving it to somebody.
//!
//! | found | then |
//! | --- | --- |
//! | an instance whose scheduler or conductor is gone, without a host | cast to a scheduler |
//! | the same, with a host (it may or may not have accepted) | the host is reconciled |
//! | a build that has waited too long for a scheduler | cast again |
//! | a build on a host that is down | cast to a scheduler, without that host |
//! | a deletion on a host that is down | finished here; what is left goes when the host is back and reconciled |
//! | a migration whose conductor is gone, or has never heard that it is its own | driven on |
//! | a migration whose source is down | the destination is asked whether the guest runs there |
//! | a migration of which its source reports nothing | the source is told again to copy |
//! | a migration whose abort its source has not heard of | the source is told again |
//! | a live migration whose source has not heard that it is to be completed by force | the source is told again |
//! | what a host that is up does alone, and where nothing moves | the host is reconciled |
//! | an event of an action that nobody works on any more | ended |
//! | a server that was put aside long ago | deleted |
//! | an operation of a long task that is not there | ended, with a fault |
//! | a migration that waits for a person, of a server that is gone | confirmed |
//! | a queued migration | let in, if there is a slot |
//! | ports of an instance that is deleted, or could not be built | given back |
//! | a claim for which there is no reason | given back, and logged: it should not happen |
//!
//! What a host does alone, and has never heard of or forgotten how it ended, it finds itself when it is reconciled; what a
//! host that is down was to do waits until it is back, or until the server is deleted. Whose each task state is, is said by
//! [`TaskState::keeper`](novella_common::lifecycle::TaskState::keeper).
//!
//! Every conductor searches. Each find is taken by a compare-and-swap, so two of them do nothing twice; and whatever is
//! cast once too often finds its work done.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{
        DbError, actions,
        actions::EventOf,
        allocations,
        instances::{self, transitions},
        migrations, services,
        takeover::{self, LostTask, Orphan},
    },
    ids::TaskId,
    lifecycle::Action,
    models::{ActionEvent, Binary, EventResult, Fault, FreshSince, Holder, InstanceAction},
    telemetry::request_span,
};
use tracing::Instrument;

use crate::{
    ports::Ports,
    reconcile::Reconciler,
    reports::{RECASTS, recast},
    shared::Shared,
    tasks::{Tasks, live_migrate},
};

/// The event in the action of a deletion that was finished without the host.
const LOCAL_DELETE: &str = "conductor_local_delete";

/// The event in the action of an operation whose long task was not there.
const LOST_TASK: &str = "conductor_lost_task";

/// How much longer than `service_down_time` a scheduler may keep a build before it counts as forgotten.
const STUCK_FACTOR: u32 = 10;

/// How old a claim must be before it is asked what it is for.
const CLAIM_AGE: Duration = Duration::from_secs(60);

/// How often, and how long apart, what the bus has lost is cast again while no scheduler listens yet.
const RECAST_ATTEMPTS: u32 = 300;
const RECAST_PAUSE: Duration = Duration::from_millis(100);

/// Searches for work that nobody does.
pub(crate) struct Takeover {
    shared: Arc<Shared>,
    reconciler: Arc<Reconciler>,
    tasks: Arc<Tasks>,
    ports: Arc<Ports>,
}

impl Takeover {
    pub(crate) fn new(shared: Arc<Shared>, reconciler: Arc<Reconciler>, tasks: Arc<Tasks>, ports: Arc<Ports>) -> Self {
        Self { shared, reconciler, tasks, ports }
    }

    /// Searches each `takeover_interval` until stopping is asked for. With `bus_was_empty`, first casts again all that
    /// was in the queue.
    pub(crate) async fn run(self, bus_was_empty: bool) {
        let shutdown = self.shared.shutdown.clone();
        let mut after_restart = bus_was_empty;
        let mut claims_checked: Option<Timestamp> = None;
        loop {
            if after_restart {
                match self.after_restart().await {
                    Ok(()) => after_restart = false,
                    Err(error) => tracing::warn!(%error, "what waited could not be cast again; tried again"),
                }
            }
            if let Err(error) = self.search().await {
                tracing::warn!(%error, "the search for abandoned work failed; it is repeated");
            }
            let due = claims_checked.is_none_or(|checked| {
                Timestamp::now().duration_since(checked).unsigned_abs() >= self.shared.config.reconcile_interval
            });
            if due {
                match self.release_claims().await {
                    Ok(()) => claims_checked = Some(Timestamp::now()),
                    Err(error) => tracing::warn!(%error, "the search for unreasonable claims failed; it is repeated"),
                }
            }
            if !shutdown.pause(self.shared.config.takeover_interval).await {
                return;
            }
        }
    }

    async fn search(&self) -> Result<(), DbError> {
        // Who is silent is judged by one moment for the whole search.
        let fresh_since = self.shared.fresh_since().await?;
        let reported = fresh_since.reported;
        let searches: [(&str, BoxFuture<'_, Result<(), DbError>>); 12] = [
            ("instances whose owner is gone", self.orphans(reported).boxed()),
            ("builds that wait", self.waiting_builds(&fresh_since).boxed()),
            ("builds on dead hosts", self.builds_on_dead_hosts(reported).boxed()),
            ("deletions", self.deletions(reported).boxed()),
            ("migrations", self.orphaned_migrations(reported).boxed()),
            ("lost tasks", self.lost_tasks().boxed()),
            ("servers put aside", self.soft_deleted().boxed()),
            ("hosts that were not told", self.untold_hosts(reported).boxed()),
            ("sources that were not told", self.untold_sources().boxed()),
            ("abandoned events", self.abandoned_events().boxed()),
            ("ports", self.ports.search().boxed()),
            ("migrations to confirm", self.tasks.confirm_old().boxed()),
        ];
        for (what, search) in searches {
            match search.await {
                // So would all the others.
                Err(error) if error.is_unavailable() => return Err(error),
                // A row that can't be read holds up no other search.
                Err(error) => tracing::warn!(what, %error, "a search for abandoned work failed; it is repeated"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn orphans(&self, fresh_since: Timestamp) -> Result<(), DbError> {
        let stuck_since = Timestamp::now() - self.shared.service_down_time * STUCK_FACTOR;
        let orphans = {
            let mut connection = self.shared.database.write().await?;
            takeover::release_orphans(&mut connection, fresh_since, stuck_since).await?
        };
        for Orphan { instance, host, request_id } in orphans {
            match host {
                Some(host) => {
                    request_span(request_id.as_deref()).in_scope(|| {
                        tracing::info!(%instance, host, "its owner is gone; the host is reconciled");
                    });
                    self.reconciler.request(host);
                }
                None => recast(&self.shared, instance, request_id.as_deref()).await,
            }
        }
        Ok(())
    }

    async fn waiting_builds(&self, fresh_since: &FreshSince) -> Result<(), DbError> {
        // Without a scheduler they wait for a scheduler, and their messages with them; more messages would not help.
        let up = {
            let mut connection = self.shared.database.read().await?;
            services::list(&mut connection, Some(Binary::Scheduler.as_str()), None).await?
        };
        if !up.iter().any(|scheduler| scheduler.is_up(fresh_since)) {
            return Ok(());
        }
        let waiting = {
            let mut connection = self.shared.database.write().await?;
            let since = Timestamp::now() - self.shared.config.reschedule_after;
            takeover::waiting_builds(&mut connection, since, RECASTS).await?
        };
        for build in waiting {
            recast(&self.shared, build.instance, build.request_id.as_deref()).await;
        }
        Ok(())
    }

    async fn builds_on_dead_hosts(&self, fresh_since: Timestamp) -> Result<(), DbError> {
        let found = {
            let mut connection = self.shared.database.read().await?;
            takeover::builds_on_dead_hosts(&mut connection, fresh_since).await?
        };
        for (orphan, rescheduled) in found {
            let mut transaction = self.shared.database.begin().await?;
            let ours = transitions::reschedule(&mut transaction, &rescheduled).await?;
            if let (true, Some(request_id)) = (ours, &orphan.request_id) {
                let (instance, host) = (orphan.instance, &rescheduled.host);
                let details = format!("Host {host} went down.");
                actions::end_open_of_host(&mut transaction, instance, request_id, host, &details).await?;
                transitions::still_trying(&mut transaction, &[(instance, request_id.clone())]).await?;
            }
            transaction.commit().await?;
            if ours {
                request_span(orphan.request_id.as_deref()).in_scope(|| {
                    let (instance, host) = (orphan.instance, &rescheduled.host);
                    tracing::info!(%instance, host, "build taken from a host that is down");
                });
                recast(&self.shared, orphan.instance, orphan.request_id.as_deref()).await;
            }
        }
        Ok(())
    }

    /// Deletes what was put aside and nobody has brought back. The host finds that in its rows.
    async fn soft_deleted(&self) -> Result<(), DbError> {
        let kept_for = self.shared.reclaim_instance_interval;
        if kept_for.is_zero() {
            return Ok(());
        }
        let mut connection = self.shared.database.read().await?;
        let found = takeover::soft_deleted(&mut connection, Timestamp::now() - kept_for).await?;
        let found = instances::get_many(&mut connection, &found).await?;
        drop(connection);
        for instance in found {
            let context = RequestContext::internal();
            let (uuid, transition) = (instance.uuid, Action::Delete.transition());
            let now = Timestamp::now();
            let action = InstanceAction {
                instance: uuid,
                request_id: context.request_id.clone(),
                action: transition.instance_action.into(),
                user_id: None,
                project_id: None,
                start_time: now,
                updated_at: now,
                message: None,
            };
            let mut transaction = self.shared.database.begin().await?;
            let (task_state, task_id) = (transition.first_task(), TaskId::random());
            let begun =
                instances::begin_task(&mut transaction, &instance, task_state, task_id, &context.request_id).await?;
            if !begun {
                continue;
            }
            actions::start(&mut transaction, &[action]).await?;
            transaction.commit().await?;
            tracing::info!(instance = %uuid, "kept long enough; it is deleted");
            if let Some(host) = instance.host {
                self.reconciler.request(host);
            }
        }
        Ok(())
    }

    async fn deletions(&self, fresh_since: Timestamp) -> Result<(), DbError> {
        let found = {
            let mut connection = self.shared.database.read().await?;
            takeover::deletions_without_host(&mut connection, fresh_since).await?
        };
        if found.is_empty() {
            return Ok(());
        }
        let mut transaction = self.shared.database.begin().await?;
        // Once more, now that nobody else writes or the rows are about to be ours.
        let found = takeover::deletions_without_host(&mut transaction, fresh_since).await?;
        let now = Timestamp::now();
        let events: Vec<EventOf> = found
            .iter()
            .filter_map(|orphan| {
                let details = orphan
                    .host
                    .as_ref()
                    .map(|host| format!("Host {host} is down; what it still holds is removed when it is back."));
                let event = ActionEvent {
                    event: LOCAL_DELETE.into(),
                    host: None,
                    start_time: now,
                    finish_time: Some(now),
                    result: Some(EventResult::Success),
                    details,
                };
                let (instance, request_id) = (orphan.instance, orphan.request_id.clone()?);
                Some(EventOf { instance, request_id, event })
            })
            .collect();
        let gone: Vec<_> = found.iter().map(|orphan| orphan.instance).collect();
        actions::record_events(&mut transaction, &events).await?;
        instances::mark_deleted(&mut transaction, &gone).await?;
        allocations::release_all(&mut transaction, &gone).await?;
        transaction.commit().await?;
        for Orphan { instance, host, request_id } in found {
            request_span(request_id.as_deref()).in_scope(|| {
                tracing::info!(%instance, host, "deleted without its host, which is down");
            });
        }
        Ok(())
    }

    async fn orphaned_migrations(&self, fresh_since: Timestamp) -> Result<(), DbError> {
        let waiting_since = Timestamp::now() - self.shared.config.reschedule_after;
        // To be told twice does a source no harm, so this is an age and nobody's silence.
        let told_since = Timestamp::now() - self.shared.service_down_time;
        let (orphaned, lost, sources) = {
            let mut connection = self.shared.database.read().await?;
            let me = self.shared.incarnation;
            let orphaned = takeover::orphaned_migrations(&mut connection, fresh_since, waiting_since, me).await?;
            let lost = takeover::lost_migrations(&mut connection, fresh_since, told_since).await?;
            let lost = migrations::get_many(&mut connection, &lost).await?;
            (orphaned, lost, takeover::sources_of_queued(&mut connection).await?)
        };
        for migration in orphaned {
            self.tasks.resume_unless_driven(migration);
        }
        for migration in lost {
            request_span(Some(&migration.request_id)).in_scope(|| {
                tracing::info!(migration = %migration.uuid, source = migration.source, "its holder is gone");
            });
            self.tasks.take_from_host(&migration).await?;
        }
        for source in sources {
            self.tasks.admit(&source).await?;
        }
        Ok(())
    }

    async fn lost_tasks(&self) -> Result<(), DbError> {
        // An age, and nobody's silence.
        let since = Timestamp::now() - self.shared.service_down_time;
        let lost = {
            let mut connection = self.shared.database.read().await?;
            takeover::lost_tasks(&mut connection, since).await?
        };
        for LostTask { instance, task_id, request_id } in lost {
            let now = Timestamp::now();
            let message = "The task of this operation was lost; the server is as its host has it.".to_owned();
            let mut transaction = self.shared.database.begin().await?;
            if !instances::end_task(&mut transaction, instance, task_id, None).await? {
                continue;
            }
            let fault = Fault { code: 500, message: message.clone(), details: None, created_at: now };
            instances::add_fault(&mut transaction, instance, &fault).await?;
            if let Some(request_id) = request_id {
                actions::end_open(&mut transaction, instance, &request_id, LOST_TASK, &message).await?;
            }
            transaction.commit().await?;
            tracing::error!(%instance, %task_id, "an operation without its long task was ended; this should not happen");
        }
        Ok(())
    }

    /// What a host does alone and has not heard of, it finds when it is reconciled.
    async fn untold_hosts(&self, fresh_since: Timestamp) -> Result<(), DbError> {
        let since = Timestamp::now() - self.shared.config.reschedule_after;
        let hosts = {
            let mut connection = self.shared.database.write().await?;
            takeover::untold_hosts(&mut connection, fresh_since, since).await?
        };
        for host in hosts {
            tracing::info!(host, "something is to be done there and does not move; the host is reconciled");
            self.reconciler.request(host);
        }
        Ok(())
    }

    async fn untold_sources(&self) -> Result<(), DbError> {
        let untold = {
            let mut connection = self.shared.database.read().await?;
            migrations::force_complete_untold(&mut connection).await?
        };
        for migration in untold {
            match live_migrate::force_complete_at_source(&self.shared, &migration).await {
                Ok(()) => {
                    let mut connection = self.shared.database.write().await?;
                    migrations::force_complete_told(&mut connection, migration.uuid).await?;
                }
                Err(error) => {
                    tracing::warn!(migration = %migration.uuid, %error, "the source could not be told to complete by force");
                }
            }
        }
        Ok(())
    }

    async fn abandoned_events(&self) -> Result<(), DbError> {
        let since = Timestamp::now() - self.shared.service_down_time;
        let found = {
            let mut connection = self.shared.database.read().await?;
            takeover::abandoned_events(&mut connection, since).await?
        };
        if found.is_empty() {
            return Ok(());
        }
        let mut transaction = self.shared.database.begin().await?;
        let ended: Vec<EventOf> = takeover::abandoned_events(&mut transaction, since)
            .await?
            .into_iter()
            .map(|of| EventOf {
                event: ActionEvent {
                    finish_time: Some(Timestamp::now()),
                    result: Some(EventResult::Error),
                    details: Some("Nobody works on this any more.".into()),
                    ..of.event
                },
                ..of
            })
            .collect();
        actions::record_events(&mut transaction, &ended).await?;
        transaction.commit().await
    }

    async fn release_claims(&self) -> Result<(), DbError> {
        let since = Timestamp::now() - CLAIM_AGE;
        let mut transaction = self.shared.database.begin().await?;
        let found = takeover::orphaned_allocations(&mut transaction, since).await?;
        for (instance, host) in &found {
            allocations::release(&mut transaction, *instance, host).await?;
        }
        transaction.commit().await?;
        for (instance, host) in found {
            metrics::counter!("orphaned_allocations_total").increment(1);
            tracing::error!(%instance, host, "a claim without a reason was given back; this should not happen");
        }
        Ok(())
    }

    /// Casts again what was in the queues of a bus that is gone. What hosts were to do comes back when they are
    /// reconciled.
    async fn after_restart(&self) -> Result<(), DbError> {
        let under_way = {
            let mut connection = self.shared.database.read().await?;
            migrations::under_way(&mut connection, None).await?
        };
        for migration in under_way.iter().rev() {
            if migration.status.holder() == Holder::Host {
                // The cast that told the source to copy may be lost, and so may an abort; a source that copies already
                // does nothing about a second one.
                self.tasks.take_from_host(migration).await?;
            } else {
                self.tasks.resume(migration.uuid);
            }
        }
        // What is cast here changes its time, and what comes later has its own message.
        let since = Timestamp::now();
        loop {
            let waiting = {
                let mut connection = self.shared.database.write().await?;
                takeover::waiting_builds(&mut connection, since, RECASTS).await?
            };
            for build in &waiting {
                self.recast_patiently(build).instrument(request_span(build.request_id.as_deref())).await;
            }
            if waiting.len() < usize::try_from(RECASTS).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
    }

    /// The scheduler of the same process may not listen yet.
    async fn recast_patiently(&self, build: &Orphan) {
        let ctx = build.request_id.as_deref().map_or_else(RequestContext::internal, RequestContext::resumed);
        for _ in 0..RECAST_ATTEMPTS {
            match self.shared.scheduler.build_instance(&ctx, build.instance).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(instance = %build.instance, %error, "no scheduler yet"),
            }
            if !self.shared.shutdown.pause(RECAST_PAUSE).await {
                return;
            }
        }
        tracing::warn!(instance = %build.instance, "no scheduler listens; the build waits");
    }
}
