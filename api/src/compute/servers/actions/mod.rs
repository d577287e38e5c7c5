//! `POST /servers/{id}/action`: what can be done to a server.
//!
//! The body has one key, the action's name. [`ACTIONS`] says which there are and in which versions.

mod console;
mod live_migrate;
mod on_host;
mod reset_state;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use novella_common::{
    lifecycle::Action,
    policy::{self, Rule},
};
use serde_json::Value;

use self::on_host::Body;
use super::super::microversion::{Microversion, Served};
use crate::{authentication::Caller, body::JsonBody, error::ApiError, state::Api};

/// One action: its name, the versions that have it, and what does it.
type Row = (&'static str, Served, Handler);

/// What does an action.
#[derive(Clone, Copy)]
enum Handler {
    /// The server's host alone, told by one message.
    OnHost(Rule, Body),
    ConsoleOutput,
    MigrateLive,
    ResetState,
}

/// The actions by name, with the versions that have them.
const ACTIONS: &[Row] = &[
    ("os-start", Served::ALWAYS, Handler::OnHost(policy::SERVERS_START, Body::Ignored(Action::Start))),
    ("os-stop", Served::ALWAYS, Handler::OnHost(policy::SERVERS_STOP, Body::Ignored(Action::Stop))),
    ("reboot", Served::ALWAYS, Handler::OnHost(policy::SERVERS_REBOOT, Body::Read(on_host::reboot))),
    ("pause", Served::ALWAYS, Handler::OnHost(policy::PAUSE, Body::Ignored(Action::Pause))),
    ("unpause", Served::ALWAYS, Handler::OnHost(policy::UNPAUSE, Body::Ignored(Action::Unpause))),
    ("suspend", Served::ALWAYS, Handler::OnHost(policy::SUSPEND, Body::Ignored(Action::Suspend))),
    ("resume", Served::ALWAYS, Handler::OnHost(policy::RESUME, Body::Ignored(Action::Resume))),
    (
        "trigger_crash_dump",
        Served::since(17),
        Handler::OnHost(policy::SERVERS_TRIGGER_CRASH_DUMP, Body::Null(Action::TriggerCrashDump)),
    ),
    ("os-getConsoleOutput", Served::ALWAYS, Handler::ConsoleOutput),
    ("os-migrateLive", Served::ALWAYS, Handler::MigrateLive),
    ("os-resetState", Served::ALWAYS, Handler::ResetState),
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
    let Some((name, served, handler)) = ACTIONS.iter().find(|(known, ..)| known == name) else {
        return Err(ApiError::bad_request(format!("There is no such action: {name}")));
    };
    if !served.includes(version) {
        return Err(ApiError::no_such_path());
    }
    let request = ActionRequest { api, caller, version, id, argument: argument.clone() };
    match *handler {
        Handler::OnHost(rule, body) => on_host::perform(request, name, rule, body).await,
        Handler::ConsoleOutput => console::get_output(request).await,
        Handler::MigrateLive => live_migrate::migrate_live(request).await,
        Handler::ResetState => reset_state::reset_state(request).await,
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
