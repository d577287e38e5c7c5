//! Start, stop, reboot, pause, unpause, suspend, resume: one compare-and-swap, one cast to the server's host.

use axum::response::Response;
use novella_common::{
    RequestContext,
    lifecycle::{Action, NotAllowed},
    policy::{self, Rule},
};
use novella_compute::rpcapi::{ComputeClient, Operation, RebootType};
use novella_messaging::MessagingError;
use serde::Deserialize;

use super::{
    super::operation::{self, not_allowed, uninterrupted},
    ActionRequest, accepted,
};
use crate::{
    body::{object, typed},
    error::ApiError,
};

/// What a host is told.
#[derive(Clone, Copy, Debug)]
enum Command {
    Start,
    Stop,
    Reboot(RebootType),
    Pause,
    Unpause,
    Suspend,
    Resume,
}

impl Command {
    async fn cast(
        self,
        host: &ComputeClient,
        context: &RequestContext,
        operation: Operation,
    ) -> Result<(), MessagingError> {
        match self {
            Self::Start => host.start_instance(context, operation).await,
            Self::Stop => host.stop_instance(context, operation).await,
            Self::Reboot(kind) => host.reboot_instance(context, operation, kind).await,
            Self::Pause => host.pause_instance(context, operation).await,
            Self::Unpause => host.unpause_instance(context, operation).await,
            Self::Suspend => host.suspend_instance(context, operation).await,
            Self::Resume => host.resume_instance(context, operation).await,
        }
    }
}

/// `os-start`. What stands behind the name is ignored, as by Nova; likewise for the others but reboot.
pub(super) async fn start(request: ActionRequest) -> Result<Response, ApiError> {
    on_host(request, policy::SERVERS_START, Action::Start, Command::Start).await
}

/// `os-stop`.
pub(super) async fn stop(request: ActionRequest) -> Result<Response, ApiError> {
    on_host(request, policy::SERVERS_STOP, Action::Stop, Command::Stop).await
}

/// `pause`.
pub(super) async fn pause(request: ActionRequest) -> Result<Response, ApiError> {
    on_host(request, policy::PAUSE, Action::Pause, Command::Pause).await
}

/// `unpause`.
pub(super) async fn unpause(request: ActionRequest) -> Result<Response, ApiError> {
    on_host(request, policy::UNPAUSE, Action::Unpause, Command::Unpause).await
}

/// `suspend`.
pub(super) async fn suspend(request: ActionRequest) -> Result<Response, ApiError> {
    on_host(request, policy::SUSPEND, Action::Suspend, Command::Suspend).await
}

/// `resume`.
pub(super) async fn resume(request: ActionRequest) -> Result<Response, ApiError> {
    on_host(request, policy::RESUME, Action::Resume, Command::Resume).await
}

/// What `reboot` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reboot {
    #[serde(rename = "type")]
    kind: RebootWord,
}

#[derive(Clone, Copy, Deserialize)]
enum RebootWord {
    #[serde(rename = "SOFT", alias = "Soft", alias = "soft")]
    Soft,
    #[serde(rename = "HARD", alias = "Hard", alias = "hard")]
    Hard,
}

/// `reboot`.
pub(super) async fn reboot(request: ActionRequest) -> Result<Response, ApiError> {
    object("reboot", &request.argument)?;
    let Reboot { kind } = typed("reboot", &request.argument)?;
    let (action, kind) = match kind {
        RebootWord::Soft => (Action::RebootSoft, RebootType::Soft),
        RebootWord::Hard => (Action::RebootHard, RebootType::Hard),
    };
    on_host(request, policy::SERVERS_REBOOT, action, Command::Reboot(kind)).await
}

/// Begins `action` and tells the server's host.
async fn on_host(request: ActionRequest, rule: Rule, action: Action, command: Command) -> Result<Response, ApiError> {
    let ActionRequest { api, caller, id, .. } = request;
    let instance = super::super::find(&api, &caller, &id, rule).await?;
    let context = caller.context;
    uninterrupted(async move {
        let uuid = instance.uuid;
        // The table asks for a host where an action needs one; this is for the compiler.
        let host = instance.host.clone();
        let begun = operation::begin(&api, &context, instance, action).await?.commit().await?;
        let no_host = || not_allowed(action.transition(), uuid, NotAllowed::NoHost);
        let host = api.compute.clone().server(host.ok_or_else(no_host)?);
        let operation = Operation { instance: uuid, task_id: begun.task_id };
        begun.hand_over(&api, &context, command.cast(&host, &context, operation)).await
    })
    .await?;
    Ok(accepted())
}
