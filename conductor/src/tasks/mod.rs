//! Long tasks: one file each, with its steps and their undoing ([`step`]); here, what drives them from step to step.
//!
//! ```text
//!            take up                       cast                      report
//!  the queue ───────▶ a conductor, step by step ───▶ a host alone ───────────▶ a conductor ──▶ ... ──▶ ended
//!                          ▲      │ waits to be let in, or for a person
//!                          │      ▼
//!                          └── nobody ◀── a conductor that has died, once it counts as gone
//! ```
//!
//! A task's state is its row. It is driven by whoever the row names as its owner, in the background and not in the
//! handler of a message, so that no task holds a slot that others wait for. A driver that dies leaves its name in the
//! row, and the search for work that nobody does (`takeover`) gives the row to another one. What status of a
//! row is whose, is said by [`MigrationStatus::holder`](novella_common::models::MigrationStatus::holder).

mod context;
mod destination;
mod events;
pub(crate) mod live_migrate;
mod migrate;
pub mod step;

use std::sync::Arc;

use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{
        Connection, DbError, instances,
        migrations::{self, transitions},
        takeover,
    },
    ids::{MigrationUuid, TaskId},
    lifecycle::{Action, check},
    models::{Holder, Migration, MigrationKind, MigrationStatus},
    reports::MigrationOutcome,
    telemetry::request_span,
    traces,
};
use novella_messaging::trace;
use tracing::Instrument;

use self::{context::TaskContext, step::Next};
use crate::{one_each::OneEach, reconcile::Reconciler, shared::Shared};

/// Drives long tasks.
pub(crate) struct Tasks {
    shared: Arc<Shared>,
    reconciler: Arc<Reconciler>,
    driven: Arc<OneEach<MigrationUuid>>,
}

impl Tasks {
    pub(crate) fn new(shared: Arc<Shared>, reconciler: Arc<Reconciler>) -> Self {
        Self { shared, reconciler, driven: OneEach::new() }
    }

    /// Drives a task in the background as far as it goes now; if it is being driven, looks at it once more after that.
    pub(crate) fn resume(self: &Arc<Self>, task: MigrationUuid) {
        let Some(mut guard) = self.driven.begin(task) else { return };
        let this = Arc::clone(self);
        let shutdown = self.shared.shutdown.clone();
        self.shared.shutdown.spawn(async move {
            loop {
                let driven = tokio::select! {
                    driven = this.drive(task) => driven,
                    // Between two steps or in one: the row says which, and whoever takes over does it again.
                    () = shutdown.requested() => return,
                };
                if driven.is_err() {
                    if !shutdown.pause(this.shared.config.call_retry_interval).await {
                        return;
                    }
                    continue;
                }
                if !guard.once_more() {
                    return;
                }
            }
        });
    }

    /// The same, but for a task that is being driven.
    pub(crate) fn resume_unless_driven(self: &Arc<Self>, task: MigrationUuid) {
        if !self.driven.runs(&task) {
            self.resume(task);
        }
    }

    /// Makes a task this conductor's, if it is nobody's and there is something to do, and drives it.
    pub(crate) async fn take_up(self: &Arc<Self>, uuid: MigrationUuid) -> Result<(), DbError> {
        if let Some(task) = self.read(uuid).await?
            && task.status.holder() == Holder::Conductor
        {
            self.own(&task).await?;
        }
        self.resume(uuid);
        Ok(())
    }

    async fn read(&self, uuid: MigrationUuid) -> Result<Option<Migration>, DbError> {
        let mut connection = self.shared.database.read().await?;
        migrations::get(&mut connection, uuid).await
    }

    async fn drive(self: &Arc<Self>, uuid: MigrationUuid) -> Result<(), DbError> {
        let mut context = TaskContext::new(Arc::clone(&self.shared));
        let driven = self.drive_with(&mut context, uuid).await;
        if let Some(host) = context.unreconciled() {
            self.reconciler.request(host);
        }
        driven
    }

    async fn drive_with(self: &Arc<Self>, context: &mut TaskContext, uuid: MigrationUuid) -> Result<(), DbError> {
        loop {
            let interrupted =
                |error: &DbError| tracing::warn!(task = %uuid, %error, "task interrupted; it goes on in a moment");
            let Some(task) = self.read(uuid).await.inspect_err(interrupted)? else { return Ok(()) };
            // The request may be another one now: the one that confirms or reverts what waited for it.
            let span = request_span(Some(&task.request_id));
            let current = traces::of_request(&task.request_id, "conductor", &self.shared.host);
            let advance = async { self.advance(context, &task).await.inspect_err(interrupted) };
            let advance = async {
                if task.owner != Some(self.shared.incarnation) {
                    return trace::within(current, advance).await;
                }
                let name = format!("owns the {}: {}", task.kind.as_str(), task.status.as_str());
                trace::own(name, &task.request_id, current, advance).await
            };
            match advance.instrument(span).await? {
                Next::Step | Next::Status => {}
                Next::Rest => return Ok(()),
                Next::Again => {
                    if !self.shared.shutdown.pause(self.shared.config.call_retry_interval).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Does what can be done now in the status that the task's row has.
    async fn advance(self: &Arc<Self>, context: &mut TaskContext, task: &Migration) -> Result<Next, DbError> {
        match task.status.holder() {
            Holder::Nobody => return self.admit(&task.source).await.map(|()| Next::Rest),
            Holder::Slot if !task.abort_requested => return self.admit(&task.source).await.map(|()| Next::Rest),
            Holder::Slot | Holder::Conductor | Holder::Host | Holder::Person => {}
        }
        if self.own(task).await? { step::run(context, task).await } else { Ok(Next::Rest) }
    }

    /// Whether the task is this conductor's, now if it was nobody's.
    async fn own(&self, task: &Migration) -> Result<bool, DbError> {
        let me = self.shared.incarnation;
        let takeable = match task.owner {
            Some(owner) if owner == me => return Ok(true),
            Some(owner) => {
                let fresh_since = self.shared.fresh_since().await?.reported;
                let mut connection = self.shared.database.read().await?;
                takeover::is_gone(&mut connection, owner, fresh_since).await?
            }
            None => task.status.holder() != Holder::Host,
        };
        if !takeable {
            return Ok(false);
        }
        let mut connection = self.shared.database.write().await?;
        transitions::take(&mut connection, task, me).await
    }

    /// Confirms migrations that have waited for it longer than `resize_confirm_window`.
    pub(crate) async fn confirm_old(self: &Arc<Self>) -> Result<(), DbError> {
        let window = self.shared.config.resize_confirm_window;
        if window.is_zero() {
            return Ok(());
        }
        let mut connection = self.shared.database.read().await?;
        let old = migrations::finished_before(&mut connection, Timestamp::now() - window).await?;
        drop(connection);
        for task in old {
            let mut transaction = self.shared.database.begin().await?;
            let Some(instance) = instances::get(&mut transaction, task.instance).await? else { continue };
            let (confirming, task_id) = (Action::ConfirmResize.transition().first_task(), TaskId::random());
            let (request_id, status) = (RequestContext::internal().request_id, MigrationStatus::Confirming);
            let allowed = check(Action::ConfirmResize, instance.vm_state, instance.task_state, true).is_ok();
            if allowed
                && instances::begin_task(&mut transaction, &instance, confirming, task_id, &request_id).await?
                && transitions::end_finished(&mut transaction, task.uuid, status, task_id, &request_id).await?
            {
                transaction.commit().await?;
                request_span(Some(&request_id)).in_scope(|| {
                    tracing::info!(task = %task.uuid, instance = %task.instance, "confirmed: its window is over");
                });
                self.resume(task.uuid);
            }
        }
        Ok(())
    }

    /// Takes a task from its host, which is gone or can't be relied on, and drives it.
    pub(crate) async fn take_from_host(self: &Arc<Self>, task: &Migration) -> Result<(), DbError> {
        let taken = {
            let mut connection = self.shared.database.write().await?;
            transitions::take(&mut connection, task, self.shared.incarnation).await?
        };
        if taken {
            self.resume(task.uuid);
        }
        Ok(())
    }

    /// Lets as many queued tasks begin as the source has free slots.
    pub(crate) async fn admit(self: &Arc<Self>, source: &str) -> Result<(), DbError> {
        let limit = i64::from(self.shared.config.max_concurrent_live_migrations.max(1));
        let admitted = {
            let mut transaction = self.shared.database.begin().await?;
            let admitted = transitions::admit(&mut transaction, source, limit, self.shared.incarnation).await?;
            transaction.commit().await?;
            admitted
        };
        for (task, request_id) in admitted {
            // Mostly not the request by which this was noticed.
            request_span(Some(&request_id)).in_scope(|| tracing::info!(%task, source, "migration let in"));
            self.resume(task);
        }
        Ok(())
    }
}

/// Writes what a host has reported of a task that is its own, in the caller's transaction. Says whether the task is this
/// conductor's now, to be driven on.
pub(crate) async fn apply_outcome(
    shared: &Shared,
    connection: &mut Connection,
    task: &Migration,
    outcome: &MigrationOutcome,
) -> Result<bool, DbError> {
    let error = match outcome {
        MigrationOutcome::Running => return Ok(false),
        MigrationOutcome::Switched => {
            return match task.kind {
                MigrationKind::LiveMigration => {
                    live_migrate::switched(shared, connection, task, MigrationStatus::Running).await
                }
                MigrationKind::Migration => migrate::moved(shared, connection, task, MigrationStatus::Migrating).await,
            };
        }
        MigrationOutcome::Cancelled => None,
        MigrationOutcome::Failed { message } => Some(message.as_str()),
    };
    let (from, to) = (task.status, MigrationStatus::Reverting);
    if from.holder() != Holder::Host {
        return Ok(false);
    }
    transitions::set_status(connection, task.uuid, from, to, shared.incarnation, error).await
}
