//! `POST /servers/{id}/action`: what can be done to a server. The body has one key, the action's name.

mod console;
mod live_migrate;
mod lock;
mod migrate;
mod network;
mod not_yet;
mod on_host;
mod reset_state;

use novella_common::lifecycle::Action;
use novella_compute::rpcapi::ActionArguments;
use novella_rest::{Null, Operation, Path, policy::Rule, post};

use self::on_host::perform;
use super::{delete, security_groups};
use crate::{Request, policy, state::Api};

const PATH: &str = "/servers/{server_id}/action";

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    let mut operations = vec![
        on_host(policy::SERVERS_START, Action::Start),
        on_host(policy::SERVERS_STOP, Action::Stop),
        on_host(policy::PAUSE, Action::Pause),
        on_host(policy::UNPAUSE, Action::Unpause),
        on_host(policy::SUSPEND, Action::Suspend),
        on_host(policy::RESUME, Action::Resume),
        on_host_without_arguments(policy::SERVERS_TRIGGER_CRASH_DUMP, Action::TriggerCrashDump).since(17),
        post(PATH, policy::SERVERS_REBOOT, on_host::reboot).action("reboot").status(202),
        post(PATH, policy::CONSOLE_OUTPUT, console::get_output).action("os-getConsoleOutput"),
        post(PATH, policy::MIGRATE_LIVE, live_migrate::migrate_live).action("os-migrateLive").status(202),
        post(PATH, policy::LOCK, lock::lock).action("lock").status(202),
        post(PATH, policy::UNLOCK, lock::unlock).action("unlock").status(202),
        post(PATH, policy::MIGRATE, migrate::migrate).action("migrate").status(202),
        post(PATH, policy::SERVERS_CONFIRM_RESIZE, migrate::confirm).action("confirmResize").status(204),
        post(PATH, policy::SERVERS_REVERT_RESIZE, migrate::revert).action("revertResize").status(202),
        post(PATH, policy::RESET_STATE, reset_state::reset_state).action("os-resetState").status(202),
        post(PATH, policy::DEFERRED_DELETE_FORCE, delete::force).action("forceDelete").status(202),
        post(PATH, policy::DEFERRED_DELETE_RESTORE, delete::restore).action("restore").status(202),
        post(PATH, policy::ADMIN_PASSWORD, on_host::change_password).action("changePassword").status(202),
    ];
    operations.extend(network::operations());
    operations.extend(security_groups::actions(PATH));
    operations.extend(not_yet::operations());
    operations
}

/// An action that the server's host does alone. What stands behind its name is ignored, as by Nova.
fn on_host(rule: Rule, action: Action) -> Operation<Api> {
    let handler = move |request: Request, Path(id): Path<String>| async move {
        perform(request, &id, action, ActionArguments::default()).await
    };
    post(PATH, rule, handler).action(action.transition().rest).status(202)
}

/// The same, where null and nothing else may stand behind the name.
fn on_host_without_arguments(rule: Rule, action: Action) -> Operation<Api> {
    let handler = move |request: Request, Path(id): Path<String>, _: Null| async move {
        perform(request, &id, action, ActionArguments::default()).await
    };
    post(PATH, rule, handler).action(action.transition().rest).status(202)
}
