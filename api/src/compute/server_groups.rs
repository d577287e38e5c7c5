//! `/os-server-groups`: servers that are to be on the same host, or on different ones.

use std::collections::{BTreeMap, HashMap};

use axum::{http::StatusCode, response::Response};
use novella_common::{
    db::{
        Connection, DbError,
        list::{Condition, Direction, List, SortKey},
        quotas, server_groups,
        table::insert,
    },
    ids::InstanceUuid,
    models::{GroupPolicy, ServerGroup},
    sql,
};
use novella_rest::{
    ApiError, FieldTable, Operation, Path, body, delete, field, get,
    inputs::{Integer, Name, not_null},
    list::{ListDescription, own},
    paging,
    policy::Target,
    post,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::quotas::{Limits, Resource};
use crate::{Request, policy, state::Api};

static SERVER_GROUPS: ListDescription = ListDescription {
    filters: &[own("all_projects"), own("offset")],
    sort_keys: &[],
    default_sort: &[(SortKey::int("id"), Direction::Ascending)],
    paging: &[field("limit")],
    marker: |_| None,
    no_marker: |marker| format!("marker [{marker}] not found"),
};

const FIELDS: FieldTable = FieldTable(&[
    field("project_id").since(13),
    field("user_id").since(13),
    field("policies").until(63),
    field("metadata").until(63),
    field("policy").since(64),
    field("rules").since(64),
]);

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ONE: &str = "/os-server-groups/{server_group_id}";
    vec![
        get("/os-server-groups", policy::SERVER_GROUPS_INDEX, index)
            .list(&SERVER_GROUPS, 75)
            .answers_list::<View>("server_groups"),
        post("/os-server-groups", policy::SERVER_GROUPS_CREATE, create).answers::<View>("server_group"),
        get(ONE, policy::SERVER_GROUPS_SHOW, show).answers::<View>("server_group"),
        delete(ONE, policy::SERVER_GROUPS_DELETE, remove).status(204),
    ]
}

body! {
    /// `POST /os-server-groups`.
    struct NewServerGroup in "server_group" {
        name: Name = "name",
        policies: Option<Vec<Policy>> = "policies".until(63),
        policy: Option<Policy> = "policy".since(64),
        rules: Option<Rules> = "rules".since(64),
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
struct Policy(GroupPolicy);

novella_rest::documented_as! {
    Policy => String;
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rules {
    #[serde(default, deserialize_with = "not_null")]
    max_server_per_host: Option<Integer<1>>,
}

#[derive(Serialize, ToSchema)]
struct View<'g> {
    id: Uuid,
    name: &'g str,
    #[schema(value_type = Vec<String>)]
    policies: [GroupPolicy; 1],
    #[schema(value_type = String)]
    policy: GroupPolicy,
    rules: BTreeMap<&'static str, i64>,
    metadata: BTreeMap<String, String>,
    #[schema(value_type = Vec<String>)]
    members: &'g [InstanceUuid],
    project_id: &'g str,
    user_id: &'g str,
}

fn view<'g>(group: &'g ServerGroup, members: &'g HashMap<Uuid, Vec<InstanceUuid>>) -> View<'g> {
    View {
        id: group.uuid,
        name: &group.name,
        policies: [group.policy],
        policy: group.policy,
        rules: group.max_server_per_host.map(|most| ("max_server_per_host", most)).into_iter().collect(),
        metadata: BTreeMap::new(),
        members: members.get(&group.uuid).map(Vec::as_slice).unwrap_or_default(),
        project_id: &group.project_id,
        user_id: &group.user_id,
    }
}

/// The group of this id, if the caller may know of it.
pub(super) async fn find(
    connection: &mut Connection,
    request: &Request,
    id: &str,
) -> Result<Option<ServerGroup>, DbError> {
    let mut list = List::<ServerGroup>::all().filter(Condition::is_in("uuid", Uuid::try_parse(id).ok()));
    if !request.context.is_admin {
        list = list.visible(Condition::is_in("project_id", request.context.project_id.clone()));
    }
    Ok(list.page(connection).await?.unwrap_or_default().pop())
}

/// How many groups a project has, or a user in it.
pub(super) async fn count(connection: &mut Connection, project: &str, user: Option<&str>) -> Result<i64, DbError> {
    let mut list = List::<ServerGroup>::all().filter(Condition::equal("project_id", project));
    if let Some(user) = user {
        list = list.filter(Condition::equal("user_id", user));
    }
    list.count(connection).await
}

/// A group that new servers are to be in, and what its user may have in it.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) group: Uuid,
    pub(super) user: String,
    pub(super) limits: Limits,
}

/// Puts new servers into a group.
///
/// # Errors
/// 403 if the user then has more in it than the limits allow; 400 if it has just been deleted.
pub(super) async fn join(
    transaction: &mut Connection,
    joined: &Joined,
    servers: &[InstanceUuid],
) -> Result<(), ApiError> {
    let group = joined.group;
    if !server_groups::lock(transaction, group).await? {
        return Err(ApiError::bad_request(format!("Instance group {group} could not be found.")));
    }
    server_groups::join(transaction, group, servers).await?;
    let members = server_groups::members_of_user(transaction, group, &joined.user).await?;
    if joined.limits.exceeded(Resource::ServerGroupMembers, members) {
        return Err(ApiError::Forbidden("Quota exceeded, too many servers in group".into()));
    }
    Ok(())
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let mut listing = request.list::<ServerGroup>(&SERVER_GROUPS)?;
    // Others than administrators see their own project's, whatever they ask for, as in Nova.
    let all =
        request.query.get("all_projects").is_some() && policy::SERVER_GROUPS_INDEX_ALL.allows_own(&request.context);
    if !all {
        listing = listing.visible(Condition::equal("project_id", request.project()?));
    }
    if let Some(offset) = paging::count(&request.query, "offset")? {
        listing = listing.offset(offset);
    }
    let mut connection = request.state.database.read().await?;
    let found = listing.page(&mut connection).await?.items;
    let members = server_groups::members(&mut connection, found.iter().map(|group| group.uuid)).await?;
    let views: Vec<_> = found.iter().map(|group| view(group, &members)).collect();
    Ok(request.answer(&FIELDS).list("server_groups", &views, None))
}

async fn create(request: Request, new: NewServerGroup) -> Result<Response, ApiError> {
    let required = |name: &str| {
        ApiError::bad_request(format!(
            "Invalid input for field/attribute server_group. '{name}' is a required property"
        ))
    };
    let policy = if request.version.at_least(64) {
        new.policy.ok_or_else(|| required("policy"))?
    } else {
        match new.policies.ok_or_else(|| required("policies"))?.as_slice() {
            [one] => *one,
            others => {
                return Err(ApiError::bad_request(format!(
                    "Invalid input for field/attribute server_group.policies. One is expected, and not {}.",
                    others.len()
                )));
            }
        }
    };
    let Policy(policy) = policy;
    if policy.is_soft() && request.version.before(15) {
        return Err(ApiError::bad_request(format!(
            "Invalid input for field/attribute server_group.policies. Value: {}. Soft policies are served from 2.15 on.",
            policy.as_str()
        )));
    }
    let rules = new.rules.unwrap_or_default();
    if rules.max_server_per_host.is_some() && policy != GroupPolicy::AntiAffinity {
        return Err(ApiError::bad_request("Only anti-affinity policy supports rules."));
    }
    let group = ServerGroup {
        id: 0,
        uuid: Uuid::new_v4(),
        project_id: request.project()?.to_owned(),
        user_id: request.user().to_owned(),
        name: new.name.0,
        policy,
        max_server_per_host: rules.max_server_per_host.map(|most| most.0),
    };
    let mut transaction = request.state.database.begin().await?;
    let limits = Limits::of_caller(&mut transaction, &request).await?;
    if limits.is_limited(Resource::ServerGroups) {
        quotas::lock(&mut transaction, &format!("server groups of {}", group.project_id)).await?;
        let all = count(&mut transaction, &group.project_id, None).await?;
        let own = count(&mut transaction, &group.project_id, Some(&group.user_id)).await?;
        if limits.exceeded_by(Resource::ServerGroups, all + 1, own + 1) {
            return Err(ApiError::Forbidden("Quota exceeded, too many server groups.".into()));
        }
    }
    insert(&mut transaction, &group).await?;
    transaction.commit().await?;
    Ok(request.answer(&FIELDS).object("server_group", view(&group, &HashMap::new())))
}

/// The group, if the operation's rule is granted for it.
fn granted(request: &Request, found: Option<ServerGroup>, id: &str) -> Result<ServerGroup, ApiError> {
    let group = found.ok_or_else(|| not_found(id))?;
    let (user, project) = (Some(group.user_id.as_str()), Some(group.project_id.as_str()));
    request.check_target(&Target { user, project, ..Target::default() })?;
    Ok(group)
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let group = granted(&request, find(&mut connection, &request, &id).await?, &id)?;
    let members = server_groups::members(&mut connection, [group.uuid]).await?;
    Ok(request.answer(&FIELDS).object("server_group", view(&group, &members)))
}

async fn remove(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let group = granted(&request, find(&mut transaction, &request, &id).await?, &id)?;
    sql!("DELETE FROM server_groups WHERE uuid = "(group.uuid)).execute(&mut transaction).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("Instance group {id} could not be found."))
}
