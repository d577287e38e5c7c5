//! Actions that a server's host does alone: one compare-and-swap, one message to the host.

use http::StatusCode;
use novella_common::lifecycle::{Action, NotAllowed};
use novella_compute::rpcapi::{ActionArguments, NewPassword, OperationId};
use novella_rest::{ApiError, Path, body};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::operation::{self, not_allowed, uninterrupted};
use crate::Request;

body! {
    /// `reboot`.
    pub(super) struct Reboot in "reboot" {
        kind: RebootType = "type",
    }
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
enum RebootType {
    #[serde(rename = "SOFT", alias = "Soft", alias = "soft")]
    Soft,
    #[serde(rename = "HARD", alias = "Hard", alias = "hard")]
    Hard,
}

/// `reboot`.
pub(super) async fn reboot(
    request: Request,
    Path(id): Path<String>,
    Reboot { kind }: Reboot,
) -> Result<StatusCode, ApiError> {
    let action = match kind {
        RebootType::Soft => Action::RebootSoft,
        RebootType::Hard => Action::RebootHard,
    };
    perform(request, &id, action, ActionArguments::default()).await
}

body! {
    /// `changePassword`.
    pub(super) struct ChangePassword in "changePassword" {
        admin_password: String = "adminPass",
    }
}

/// `changePassword`.
pub(super) async fn change_password(
    request: Request,
    Path(id): Path<String>,
    ChangePassword { admin_password }: ChangePassword,
) -> Result<StatusCode, ApiError> {
    let arguments = ActionArguments::of(&NewPassword { admin_password });
    let arguments = arguments.map_err(|error| ApiError::bad_request(error.to_string()))?;
    perform(request, &id, Action::ChangePassword, arguments).await
}

/// Begins `action` and tells the server's host.
pub(super) async fn perform(
    request: Request,
    id: &str,
    action: Action,
    arguments: ActionArguments,
) -> Result<StatusCode, ApiError> {
    let instance = super::super::find(&request, id).await?;
    let (api, context) = (request.state, request.context);
    uninterrupted((api, context, instance, arguments), move |(api, context, instance, arguments)| async move {
        let uuid = instance.uuid;
        // The table asks for a host where an action needs one; this is for the compiler.
        let host = instance.host.clone();
        let task_id = operation::begin(&api, &context, instance, action).await?.commit().await?;
        let no_host = || not_allowed(action.transition(), uuid, NotAllowed::NoHost);
        let host = api.compute.clone().server(host.ok_or_else(no_host)?);
        let operation = OperationId { instance: uuid, task_id };
        operation::hand_over(uuid, host.perform_action(&context, operation, action, arguments)).await;
        Ok(())
    })
    .await?;
    Ok(StatusCode::ACCEPTED)
}
