//! `/servers`: instances, as users see them.

mod actions;
mod addresses;
mod consoles;
mod create;
mod delete;
mod diagnostics;
mod filters;
mod hostname;
mod hosts;
mod instance_actions;
mod interfaces;
mod ips;
mod list;
mod metadata;
mod metadata_rules;
mod migrations;
mod operation;
mod password;
mod security_groups;
mod show;
mod tags;
mod topology;
mod update;
mod view;
mod volumes;

use novella_common::{db::instances, ids::InstanceUuid, models::Instance};
use novella_rest::{ApiError, Operation, delete, get, policy::Target, post, put};

pub(crate) use self::create::ServerWriter;
use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    let mut operations = collection();
    operations.extend([
        get("/servers/{server_id}/ips", policy::SERVER_IPS_INDEX, ips::index),
        get("/servers/{server_id}/ips/{network_label}", policy::SERVER_IPS_SHOW, ips::show).status(404),
    ]);
    operations.extend(of_old());
    operations.push(get("/servers/{server_id}/diagnostics", policy::SERVER_DIAGNOSTICS, diagnostics::show));
    operations.extend(actions::operations());
    operations.extend(security_groups::operations());
    operations.extend(interfaces::operations());
    operations.extend(volumes::operations());
    operations.extend(consoles::operations());
    operations.extend(password::operations());
    operations.extend(topology::operations());
    operations.extend(metadata::operations());
    operations.extend(tags::operations());
    operations.extend(instance_actions::operations());
    operations.extend(migrations::operations());
    operations
}

/// What is done with servers as such.
fn collection() -> Vec<Operation<Api>> {
    const ONE: &str = "/servers/{server_id}";
    vec![
        get("/servers", policy::SERVERS_INDEX, list::index)
            .list(&filters::SERVERS, 75)
            .answers_list::<view::Brief>("servers"),
        get("/servers/detail", policy::SERVERS_DETAIL, list::detail)
            .list(&filters::SERVERS, 75)
            .answers_list::<view::Detail>("servers"),
        post("/servers", policy::SERVERS_CREATE, create::create).status(202).answers::<create::Created>("server"),
        get(ONE, policy::SERVERS_SHOW, show::show).answers::<view::Detail>("server"),
        put(ONE, policy::SERVERS_UPDATE, update::update).answers::<view::Detail>("server"),
        delete(ONE, policy::SERVERS_DELETE, delete::delete).status(204),
    ]
}

/// Some of it under another name, from the time when servers booted from volumes were made elsewhere.
fn of_old() -> impl Iterator<Item = Operation<Api>> {
    const ACTIONS: [&str; 9] = [
        "confirmResize",
        "createImage",
        "os-start",
        "os-stop",
        "reboot",
        "rebuild",
        "resize",
        "revertResize",
        "trigger_crash_dump",
    ];
    let same = collection().into_iter().map(|operation| {
        let path = match operation.route().1 {
            "/servers" => "/os-volumes_boot",
            "/servers/detail" => "/os-volumes_boot/detail",
            _ => "/os-volumes_boot/{server_id}",
        };
        operation.on_path(path)
    });
    let actions = actions::operations().into_iter();
    let actions = actions.filter(|operation| operation.action_key().is_some_and(|name| ACTIONS.contains(&name)));
    same.chain(actions.map(|operation| operation.on_path("/os-volumes_boot/{server_id}/action")))
        .map(|operation| operation.until(102))
}

/// 404 for a server, in Nova's words.
fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("Instance {id} could not be found."))
}

/// The server of this id, if the caller may know of it, and may do with it what he asks for.
///
/// # Errors
/// 404 if there is none, or it is another project's; 403.
async fn find(request: &Request, id: &str) -> Result<Instance, ApiError> {
    let found = find_with_deleted(request, id).await?;
    if found.deleted_at.is_some() {
        return Err(not_found(id));
    }
    Ok(found)
}

/// As [`find`], deleted ones too.
///
/// # Errors
/// 404 if there is none, or it is another project's; 403.
async fn find_with_deleted(request: &Request, id: &str) -> Result<Instance, ApiError> {
    // What is no UUID is the name of no server: clients ask so before they list.
    let uuid: InstanceUuid = id.parse().map_err(|_| not_found(id))?;
    let instance = instances::get_with_deleted(&mut *request.state.database.read().await?, uuid).await?;
    let instance = instance.filter(|instance| knows(request, instance)).ok_or_else(|| not_found(id))?;
    let (user, project) = (Some(instance.user_id.as_str()), Some(instance.project_id.as_str()));
    request.check_target(&Target { user, project, ..Target::default() })?;
    Ok(instance)
}

/// Whether a caller may know that an instance exists.
fn knows(request: &Request, instance: &Instance) -> bool {
    request.context.is_admin || request.context.project_id.as_ref() == Some(&instance.project_id)
}
