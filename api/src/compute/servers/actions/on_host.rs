//! Actions that a server's host does alone: one compare-and-swap, one message to the host.

use axum::response::Response;
use novella_common::{
    lifecycle::{Action, NotAllowed},
    policy::Rule,
};
use novella_compute::rpcapi::{ActionArguments, Operation};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::operation::{self, not_allowed, uninterrupted},
    ActionRequest, accepted,
};
use crate::{
    body::{object, typed, wrong},
    error::ApiError,
};

/// What stands behind an action's name, and which row of the table it asks for.
#[derive(Clone, Copy)]
pub(super) enum Body {
    /// Ignored, as by Nova.
    Ignored(Action),
    /// Null and nothing else.
    Null(Action),
    /// Read by this function.
    Read(fn(&Value) -> Result<(Action, ActionArguments), ApiError>),
}

impl Body {
    fn read(self, name: &str, argument: &Value) -> Result<(Action, ActionArguments), ApiError> {
        match self {
            Self::Null(_) if !argument.is_null() => {
                Err(wrong(name, argument, &format!("{argument} is not of type 'null'")))
            }
            Self::Ignored(action) | Self::Null(action) => Ok((action, ActionArguments::default())),
            Self::Read(read) => read(argument),
        }
    }
}

/// What `reboot` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reboot {
    #[serde(rename = "type")]
    kind: RebootType,
}

#[derive(Clone, Copy, Deserialize)]
enum RebootType {
    #[serde(rename = "SOFT", alias = "Soft", alias = "soft")]
    Soft,
    #[serde(rename = "HARD", alias = "Hard", alias = "hard")]
    Hard,
}

/// `reboot`.
pub(super) fn reboot(argument: &Value) -> Result<(Action, ActionArguments), ApiError> {
    object("reboot", argument)?;
    let Reboot { kind } = typed("reboot", argument)?;
    let action = match kind {
        RebootType::Soft => Action::RebootSoft,
        RebootType::Hard => Action::RebootHard,
    };
    Ok((action, ActionArguments::default()))
}

/// Begins the action that `body` asks for and tells the server's host.
pub(super) async fn perform(request: ActionRequest, name: &str, rule: Rule, body: Body) -> Result<Response, ApiError> {
    let ActionRequest { api, caller, id, argument, .. } = request;
    let (action, arguments) = body.read(name, &argument)?;
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
        begun.hand_over(&api, &context, host.perform_action(&context, operation, action, arguments)).await
    })
    .await?;
    Ok(accepted())
}
