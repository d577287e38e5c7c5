//! The security groups of a server: those of its ports, which Networking has. `/servers/{id}/os-security-groups`,
//! `addSecurityGroup`, `removeSecurityGroup`.

use std::collections::{BTreeSet, HashMap};

use axum::response::Response;
use http::{Method, StatusCode};
use novella_common::{
    ids::InstanceUuid,
    models::Instance,
    networks::{Port, PortFilter},
};
use novella_rest::{ApiError, Operation, Path, body, get, inputs::Name, post};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Request,
    compute::{
        networking::{NoGroup, ask, failed, group_ids},
        security_groups::{Group, SecurityGroup, with_rules},
    },
    neighbours::caller,
    policy,
    state::Api,
};

/// The operations, but for the actions.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/servers/{server_id}/os-security-groups", policy::SECURITY_GROUPS_LIST, index)
            .answers_list::<SecurityGroup>("security_groups"),
    ]
}

/// The actions.
pub(super) fn actions(path: &'static str) -> [Operation<Api>; 2] {
    [
        post(path, policy::SECURITY_GROUPS_ADD, add).action("addSecurityGroup").status(202),
        post(path, policy::SECURITY_GROUPS_REMOVE, remove).action("removeSecurityGroup").status(202),
    ]
}

/// A security group, as servers show theirs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct GroupName {
    name: String,
}

/// The names of the groups of these servers' ports, a name for each port and group, as in Nova. One question for all. Where
/// Networking does not answer, there are none: servers are shown all the same.
pub(super) async fn names_of(request: &Request, instances: &[Instance]) -> HashMap<InstanceUuid, Vec<GroupName>> {
    let with_ports = |instance: &&Instance| !instance.network_info.0.is_empty() && instance.deleted_at.is_none();
    let asked: Vec<InstanceUuid> = instances.iter().filter(with_ports).map(|instance| instance.uuid).collect();
    let mut names: HashMap<InstanceUuid, Vec<GroupName>> = HashMap::new();
    if asked.is_empty() {
        return names;
    }
    let found = request.state.networks.security_groups_of(caller(request), &asked).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "servers are shown without their security groups");
        Vec::new()
    });
    for (instance, group) in found {
        let name = if group.name.is_empty() { group.id } else { group.name };
        names.entry(instance).or_default().push(GroupName { name });
    }
    names
}

/// Lists a server's security groups with their rules.
async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &id).await?;
    let ports = ports_of(&request, instance.uuid).await?;
    let ids: BTreeSet<&str> = ports.iter().flat_map(|port| &port.security_groups).map(String::as_str).collect();
    let mut groups: Vec<Group> = Vec::new();
    if !ids.is_empty() {
        let ids: Vec<String> = ids.into_iter().map(|id| format!("id={id}")).collect();
        let path = format!("/security-groups?{}", ids.join("&"));
        let found: Vec<Group> = ask(&request.state, caller(&request), (Method::GET, &path), None, "security_groups")
            .await
            .map_err(failed)?;
        // One for each port, as in Nova.
        let of_ports = ports.iter().flat_map(|port| &port.security_groups);
        groups.extend(of_ports.filter_map(|id| found.iter().find(|group| group.id == *id).cloned()));
    }
    let mut shown = with_rules(&request, groups).await.map_err(failed)?;
    shown.sort_by(|a, b| a.order().cmp(&b.order()));
    Ok(request.plain("security_groups", shown))
}

async fn ports_of(request: &Request, instance: InstanceUuid) -> Result<Vec<Port>, ApiError> {
    let filter = PortFilter::Instances(vec![instance]);
    request.state.networks.ports(caller(request), filter).await.map_err(failed)
}

body! {
    /// `addSecurityGroup`.
    struct AddSecurityGroup in "addSecurityGroup" {
        name: Name = "name",
    }
}

body! {
    /// `removeSecurityGroup`.
    struct RemoveSecurityGroup in "removeSecurityGroup" {
        name: Name = "name",
    }
}

async fn add(
    request: Request,
    Path(id): Path<String>,
    AddSecurityGroup { name }: AddSecurityGroup,
) -> Result<StatusCode, ApiError> {
    let instance = super::find(&request, &id).await?;
    let group = group_id(&request, name.0).await?;
    let ports = ports_or_none(&request, instance.uuid).await?;
    let takes =
        |port: &Port| port.port_security_enabled && (!port.fixed_ips.is_empty() || port.ip_allocation == "deferred");
    if !ports.iter().all(takes) {
        return Err(ApiError::bad_request(
            "Network requires port_security_enabled and subnet associated in order to apply security groups.",
        ));
    }
    change(&request, instance.uuid, &[group], &[]).await
}

async fn remove(
    request: Request,
    Path(id): Path<String>,
    RemoveSecurityGroup { name }: RemoveSecurityGroup,
) -> Result<StatusCode, ApiError> {
    let instance = super::find(&request, &id).await?;
    let group = group_id(&request, name.0.clone()).await?;
    let ports = ports_or_none(&request, instance.uuid).await?;
    if !ports.iter().any(|port| port.security_groups.contains(&group)) {
        return Err(ApiError::not_found(format!(
            "Security group {} not associated with the instance {}",
            name.0, instance.uuid
        )));
    }
    change(&request, instance.uuid, &[], &[group]).await
}

async fn group_id(request: &Request, name: String) -> Result<String, ApiError> {
    let project = request.project()?;
    let found = group_ids(&request.state, caller(request), project, &[name]).await;
    let mut ids = found.map_err(|error| match error {
        NoGroup::Unknown(name) => {
            ApiError::not_found(format!("Security group {name} is not found for project {project}"))
        }
        NoGroup::Ambiguous(name) => NoGroup::ambiguous(&name),
        NoGroup::Failed(error) => failed(error),
    })?;
    ids.pop().ok_or(ApiError::Broken)
}

async fn ports_or_none(request: &Request, instance: InstanceUuid) -> Result<Vec<Port>, ApiError> {
    let ports = ports_of(request, instance).await?;
    if ports.is_empty() {
        return Err(ApiError::not_found(format!(
            "instance_id {instance} could not be found as device id on any ports"
        )));
    }
    Ok(ports)
}

async fn change(
    request: &Request,
    instance: InstanceUuid,
    add: &[String],
    remove: &[String],
) -> Result<StatusCode, ApiError> {
    request.state.networks.change_security_groups(caller(request), instance, add, remove).await.map_err(failed)?;
    Ok(StatusCode::ACCEPTED)
}
