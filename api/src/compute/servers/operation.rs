//! StartingOperation an operation on a server: one compare-and-swap, one cast, and the way back if the cast fails.
//!
//! ```text
//! check the table ──▶ transaction: task_state, task_id, action row ──▶ cast ──▶ 202
//!        │ 409                 │ lost: 409                              │ not taken: states as before, 503
//! ```
//!
//! Between the commit and the cast the operation is the queue's in name only. Whoever finds it so after a crash casts it
//! again; so that a client which hangs up is no such crash, this part runs to its end in a task of its own
//! ([`uninterrupted`]).

use std::future::Future;

use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{
        Transaction, actions, instances,
        migrations::{self, NewMigration},
    },
    ids::{InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{self, Action, NotAllowed, Transition},
    models::{Instance, InstanceAction},
};
use novella_messaging::MessagingError;
use novella_rest::ApiError;
use tracing::Instrument;

use crate::state::Api;

/// Runs `work` to its end, whatever becomes of the client that waits for it.
///
/// # Errors
/// Those of `work`.
pub(super) async fn uninterrupted<T, F>(work: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    match tokio::spawn(work.in_current_span()).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "a handler's work broke");
            Err(ApiError::Broken)
        }
    }
}

/// 409 in Nova's words.
pub(super) fn not_allowed(transition: &Transition, uuid: InstanceUuid, why: NotAllowed) -> ApiError {
    let verb = transition.verb;
    ApiError::Conflict(match why {
        NotAllowed::NoHost => format!("Instance {uuid} is not ready: it has no host yet, and '{verb}' needs one"),
        why => format!("Cannot '{verb}' instance {uuid} while it is in {why}"),
    })
}

/// Refuses to change a locked server, but to administrators.
///
/// # Errors
/// 409 in Nova's words.
pub(super) fn check_unlocked(context: &RequestContext, instance: &Instance) -> Result<(), ApiError> {
    if instance.locked_by.is_some() && !context.is_admin {
        return Err(ApiError::Conflict(format!("Instance {} is locked", instance.uuid)));
    }
    Ok(())
}

/// 409: somebody else began something between our look and our write.
pub(super) fn overtaken(transition: &Transition, uuid: InstanceUuid) -> ApiError {
    let verb = transition.verb;
    ApiError::Conflict(format!("Cannot '{verb}' instance {uuid}: another operation began on it at the same time"))
}

/// The entry of a request in a server's history.
pub(super) fn action_row(context: &RequestContext, instance: InstanceUuid, action: &str) -> InstanceAction {
    let now = Timestamp::now();
    InstanceAction {
        instance,
        request_id: context.request_id.clone(),
        action: action.to_owned(),
        user_id: context.user_id.clone(),
        project_id: context.project_id.clone(),
        start_time: now,
        updated_at: now,
        message: None,
    }
}

/// An operation that is being begun: its transaction is open, for what else belongs to it.
pub(super) struct StartingOperation {
    /// Where everything is written that must be there if the operation is.
    pub(super) transaction: Transaction,
    /// The operation.
    pub(super) task_id: TaskId,
    before: Instance,
    migration: Option<MigrationUuid>,
}

/// An operation that has begun: its row says so.
#[derive(Debug)]
pub(super) struct StartedOperation {
    /// The operation.
    pub(super) task_id: TaskId,
    /// The instance as it was before.
    before: Instance,
    /// The migration that is part of it.
    migration: Option<MigrationUuid>,
}

/// Whether `action` may begin on `instance`.
///
/// # Errors
/// 409 if not.
pub(super) fn check(action: Action, instance: &Instance) -> Result<&'static Transition, ApiError> {
    lifecycle::check(action, instance.vm_state, instance.task_state, instance.host.is_some())
        .map_err(|why| not_allowed(action.transition(), instance.uuid, why))
}

/// Begins `action` on `instance`: its row and its history.
///
/// # Errors
/// 409 if the instance's state does not allow it, or is no longer what it was read as.
pub(super) async fn begin(
    api: &Api,
    context: &RequestContext,
    instance: Instance,
    action: Action,
) -> Result<StartingOperation, ApiError> {
    check_unlocked(context, &instance)?;
    let transition = check(action, &instance)?;
    let task_id = TaskId::random();
    let mut transaction = api.database.begin().await?;
    let task_state = transition.first_task();
    if !instances::begin_task(&mut transaction, &instance, task_state, task_id, &context.request_id).await? {
        return Err(overtaken(transition, instance.uuid));
    }
    actions::start(&mut transaction, &[action_row(context, instance.uuid, transition.instance_action)]).await?;
    Ok(StartingOperation { transaction, task_id, before: instance, migration: None })
}

impl StartingOperation {
    /// Writes a migration that is part of the operation: it goes if the operation can't be handed over.
    ///
    /// # Errors
    /// The database can't be written.
    pub(super) async fn migrate(&mut self, new: &NewMigration) -> Result<(), ApiError> {
        migrations::insert(&mut self.transaction, new).await?;
        self.migration = Some(new.uuid);
        Ok(())
    }

    /// Commits: the operation has begun.
    ///
    /// # Errors
    /// The database can't be written; then nothing has begun.
    pub(super) async fn commit(self) -> Result<StartedOperation, ApiError> {
        self.transaction.commit().await?;
        let (instance, task_id) = (self.before.uuid, self.task_id);
        tracing::debug!(%instance, %task_id, migration = self.migration.map(tracing::field::display), "operation begun");
        Ok(StartedOperation { task_id: self.task_id, before: self.before, migration: self.migration })
    }
}

impl StartedOperation {
    /// Hands the operation over by `cast`. If the bus does not take it, all is as before.
    ///
    /// # Errors
    /// 503 if the bus does not take it.
    pub(super) async fn hand_over<C>(self, api: &Api, context: &RequestContext, cast: C) -> Result<(), ApiError>
    where
        C: Future<Output = Result<(), MessagingError>>,
    {
        let Err(error) = cast.await else { return Ok(()) };
        let refused = ApiError::bus(&error);
        let mut transaction = api.database.begin().await?;
        if instances::abandon_task(&mut transaction, &self.before, self.task_id).await? {
            actions::forget(&mut transaction, self.before.uuid, &context.request_id).await?;
            if let Some(migration) = self.migration {
                migrations::forget(&mut transaction, migration).await?;
            }
            transaction.commit().await?;
        }
        Err(refused)
    }
}
