//! Starting an operation on a server: one compare-and-swap, one cast.
//!
//! ```text
//! check the table ──▶ transaction: task_state, task_id, action row ──▶ cast ──▶ 202
//!        │ 409                 │ lost: 409                              │ not taken: 202 as well
//! ```
//!
//! What is written down is done ([decision 8](../../../../docs/decisions/0008-what-is-written-down-is-done.md)). Between
//! the commit and the cast the operation is the queue's in name only, and stays so when the bus does not take the message:
//! whoever finds it so sends it again. So that a client which hangs up is no such case, this part runs to its end in a task
//! of its own ([`uninterrupted`]).

use std::future::Future;

use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{
        Connection, DbError, TRANSACTION_ATTEMPTS, Transaction,
        actions::{self, EventOf},
        instances,
    },
    ids::{InstanceUuid, TaskId},
    lifecycle::{self, Action, NotAllowed, Transition},
    models::{ActionEvent, EventResult, Instance, InstanceAction},
};
use novella_messaging::{MessagingError, trace};
use novella_rest::ApiError;
use tracing::Instrument;

use crate::state::Api;

/// Runs `work` on `parts` to its end, whatever becomes of the client that waits for it; from its beginning again if the database has
/// ended its transaction. It must have done nothing before that transaction's commit, and not fail in this way after it.
///
/// # Errors
/// Those of `work`.
pub(super) async fn uninterrupted<P, T, W, F>(parts: P, work: W) -> Result<T, ApiError>
where
    P: Clone + Send + 'static,
    T: Send + 'static,
    W: Fn(P) -> F + Send + 'static,
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    let patient = async move {
        let mut left = TRANSACTION_ATTEMPTS;
        loop {
            left -= 1;
            match work(parts.clone()).await {
                Err(ApiError::TransactionLost) if left > 0 => {}
                result => return result,
            }
        }
    };
    match tokio::spawn(trace::within(trace::current(), patient).in_current_span()).await {
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
    instance: InstanceUuid,
    /// Where everything is written that must be there if the operation is.
    pub(super) transaction: Transaction,
    /// The operation.
    pub(super) task_id: TaskId,
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
    end_overtaken(&mut transaction, context, &instance, transition.instance_action).await?;
    Ok(StartingOperation { transaction, instance: instance.uuid, task_id })
}

impl StartingOperation {
    /// Commits: the operation has begun, and is done whatever becomes of the message that tells of it.
    ///
    /// # Errors
    /// The database can't be written; then nothing has begun.
    pub(super) async fn commit(self) -> Result<TaskId, ApiError> {
        self.transaction.commit().await?;
        let (instance, task_id) = (self.instance, self.task_id);
        tracing::debug!(%instance, %task_id, "operation begun");
        Ok(task_id)
    }
}

/// Tells whoever is to do what was just written down. That the bus does not take the message changes nothing: the row says
/// what is to be done, and a conductor sends the message again, or the host finds it when it is reconciled.
pub(super) async fn hand_over<C>(instance: InstanceUuid, cast: C)
where
    C: Future<Output = Result<(), MessagingError>>,
{
    if let Err(error) = cast.await {
        metrics::counter!("api_messages_not_taken_total").increment(1);
        tracing::warn!(%instance, %error, "the bus did not take a message; a conductor sees to it");
    }
}

/// Ends the history of what is under way on an instance: this request takes over.
///
/// # Errors
/// The database can't be written.
pub(super) async fn end_overtaken(
    connection: &mut Connection,
    context: &RequestContext,
    instance: &Instance,
    by: &str,
) -> Result<(), DbError> {
    let (Some(request_id), Some(task_state)) = (&instance.task_request_id, instance.task_state) else { return Ok(()) };
    let details = format!("Overtaken by '{by}' ({}).", context.request_id);
    let event = Action::of(task_state).transition().event;
    actions::end_open(connection, instance.uuid, request_id, event, &details).await
}

/// Writes into a server's history what a request asks for, with its first event as it stands now.
///
/// # Errors
/// The database can't be written.
pub(super) async fn record_action(
    connection: &mut Connection,
    context: &RequestContext,
    action: &str,
    event: EventOf,
) -> Result<(), DbError> {
    actions::start(connection, &[action_row(context, event.instance, action)]).await?;
    actions::record_events(connection, &[event]).await
}

/// An event of a request's action that the API does itself, or begins for others to end.
pub(super) fn event_of(
    context: &RequestContext,
    instance: InstanceUuid,
    event: &str,
    host: Option<&str>,
    end: Option<(EventResult, Option<String>)>,
) -> EventOf {
    let now = Timestamp::now();
    let (result, details) = end.map_or((None, None), |(result, details)| (Some(result), details));
    let event = ActionEvent {
        event: event.to_owned(),
        host: host.map(ToOwned::to_owned),
        start_time: now,
        finish_time: result.map(|_| now),
        result,
        details,
    };
    EventOf { instance, request_id: context.request_id.clone(), event }
}
