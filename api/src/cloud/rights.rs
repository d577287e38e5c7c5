//! `/rights`: what whoever asks may do, for pages and programs that offer nothing else.

use axum::response::Response;
use novella_common::lifecycle::{Action, TaskState, Tasks};
use novella_rest::{ApiError, Operation, get, policy::Rule};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![get("/rights", policy::RIGHTS, show).answers::<Rights>("rights")]
}

/// What whoever asks may do in the project that the token is for.
#[derive(Serialize, ToSchema)]
struct Rights {
    user_id: Option<String>,
    project_id: Option<String>,
    /// The rules of the Compute and the Cloud API that are granted.
    rules: Vec<&'static str>,
    /// What may be asked of a server, and in which states: the rows of the table by which the API answers 409.
    actions: Vec<ActionRight>,
}

/// Something that may be asked of a server.
#[derive(Serialize, ToSchema)]
struct ActionRight {
    /// The key in the body of `POST /servers/{server_id}/action`, but for `delete`.
    action: &'static str,
    /// `SOFT` or `HARD`, where the action has both.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// The states it may begin in.
    vm_states: Vec<&'static str>,
    /// What may be under way when it begins; none if it is empty, anything if it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_states: Option<Vec<&'static str>>,
    /// Whether the server must be on a host.
    needs_host: bool,
}

/// The rule that an action asks for; `None`: it is not asked for by an action.
fn rule(action: Action) -> Option<Rule> {
    Some(match action {
        // A delete comes to it, where servers are kept for a while.
        Action::Create | Action::SoftDelete => return None,
        Action::ChangePassword => policy::ADMIN_PASSWORD,
        Action::Restore => policy::DEFERRED_DELETE_RESTORE,
        Action::Delete => policy::SERVERS_DELETE,
        Action::Stop => policy::SERVERS_STOP,
        Action::Start => policy::SERVERS_START,
        Action::RebootSoft | Action::RebootHard => policy::SERVERS_REBOOT,
        Action::Pause => policy::PAUSE,
        Action::Unpause => policy::UNPAUSE,
        Action::Suspend => policy::SUSPEND,
        Action::Resume => policy::RESUME,
        Action::TriggerCrashDump => policy::SERVERS_TRIGGER_CRASH_DUMP,
        Action::LiveMigrate => policy::MIGRATE_LIVE,
        Action::Migrate => policy::MIGRATE,
        Action::ConfirmResize => policy::SERVERS_CONFIRM_RESIZE,
        Action::RevertResize => policy::SERVERS_REVERT_RESIZE,
    })
}

fn right(action: Action) -> ActionRight {
    let row = action.transition();
    ActionRight {
        action: if action == Action::Delete { "delete" } else { row.rest },
        kind: match action {
            Action::RebootSoft => Some("SOFT"),
            Action::RebootHard => Some("HARD"),
            _ => None,
        },
        vm_states: row.from.iter().map(|state| state.as_str()).collect(),
        task_states: match row.tasks {
            Tasks::Any => None,
            Tasks::Idle => Some(Vec::new()),
            Tasks::IdleOr(tasks) => Some(tasks.iter().map(|task| TaskState::as_str(*task)).collect()),
        },
        needs_host: row.needs_host,
    }
}

/// Shows what whoever asks may do.
async fn show(request: Request) -> Result<Response, ApiError> {
    let context = &request.context;
    let granted = |rule: &Rule| rule.check_own(context).is_ok();
    let rights = Rights {
        user_id: context.user_id.clone(),
        project_id: context.project_id.clone(),
        rules: policy::ALL.iter().filter(|rule| granted(rule)).map(|rule| rule.name).collect(),
        actions: Action::ALL
            .iter()
            .filter(|action| rule(**action).is_some_and(|rule| granted(&rule)))
            .map(|action| right(*action))
            .collect(),
    };
    Ok(request.plain("rights", rights))
}
