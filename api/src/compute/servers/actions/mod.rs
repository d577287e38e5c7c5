//! `POST /servers/{id}/action`: what can be done to a server.
//!
//! The body has one key, the action's name. [`ACTIONS`] says which there are and in which versions.

mod console;
mod live_migrate;
mod power;
mod reset_state;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::super::microversion::{Microversion, Served};
use crate::{authentication::Caller, body::JsonBody, error::ApiError, state::Api};

/// Every action that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerAction {
    Start,
    Stop,
    Reboot,
    Pause,
    Unpause,
    Suspend,
    Resume,
    ConsoleOutput,
    MigrateLive,
    ResetState,
}

/// The actions by name, with the versions that have them.
const ACTIONS: [(&str, Served, ServerAction); 10] = [
    ("os-start", Served::ALWAYS, ServerAction::Start),
    ("os-stop", Served::ALWAYS, ServerAction::Stop),
    ("reboot", Served::ALWAYS, ServerAction::Reboot),
    ("pause", Served::ALWAYS, ServerAction::Pause),
    ("unpause", Served::ALWAYS, ServerAction::Unpause),
    ("suspend", Served::ALWAYS, ServerAction::Suspend),
    ("resume", Served::ALWAYS, ServerAction::Resume),
    ("os-getConsoleOutput", Served::ALWAYS, ServerAction::ConsoleOutput),
    ("os-migrateLive", Served::ALWAYS, ServerAction::MigrateLive),
    ("os-resetState", Served::ALWAYS, ServerAction::ResetState),
];

/// Does something to a server.
#[utoipa::path(
    post,
    path = "/servers/{server_id}/action",
    tag = "servers",
    params(("server_id" = String, Path)),
    request_body(content = Object, description = "One key, the action's name, with its arguments or null."),
    responses((status = 202)),
)]
pub(super) async fn act(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let body = body.object()?;
    let (name, argument) = match body.iter().next() {
        Some(only) if body.len() == 1 => only,
        _ => return Err(ApiError::bad_request("Malformed request body: one action is expected, as the only key.")),
    };
    let Some((_, served, action)) = ACTIONS.iter().find(|(known, _, _)| known == name) else {
        return Err(ApiError::bad_request(format!("There is no such action: {name}")));
    };
    if !served.includes(version) {
        return Err(ApiError::no_such_path());
    }
    let request = ActionRequest { api, caller, version, id, argument: argument.clone() };
    match action {
        ServerAction::Start => power::start(request).await,
        ServerAction::Stop => power::stop(request).await,
        ServerAction::Reboot => power::reboot(request).await,
        ServerAction::Pause => power::pause(request).await,
        ServerAction::Unpause => power::unpause(request).await,
        ServerAction::Suspend => power::suspend(request).await,
        ServerAction::Resume => power::resume(request).await,
        ServerAction::ConsoleOutput => console::get_output(request).await,
        ServerAction::MigrateLive => live_migrate::migrate_live(request).await,
        ServerAction::ResetState => reset_state::reset_state(request).await,
    }
}

/// What every action is given.
struct ActionRequest {
    api: Api,
    caller: Caller,
    version: Microversion,
    /// The server's id, as the path says it.
    id: String,
    /// What stands behind the action's name.
    argument: Value,
}

/// 202 without a body.
fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}
