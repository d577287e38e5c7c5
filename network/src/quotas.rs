//! `/quotas`: how much projects may have.
//!
//! What is in use is counted where it is asked for. Who makes something that has a limit locks its name when all is written,
//! and counts then, with what it has written: of two at once the second sees what the first has made, and others wait as
//! short as can be.

use std::collections::BTreeMap;

use axum::Json;
use http::StatusCode;
use novella_common::{
    db::{Connection, Sql, quotas::lock},
    sql,
};
use novella_rest::{
    ApiError, Operation, Path, delete, get,
    policy::{EVERYBODY, Target},
    put,
};
use serde_json::{Map, Value, json};

use crate::{
    Networking, Request,
    attributes::checks,
    config::NetworkConfig,
    errors::{conflict, disallowed, missing},
    policy,
    resource::{Resource, Work, body_of, granted, is_admin},
};

/// What has a limit and is counted, with its table.
const COUNTED: [(&str, &str); 10] = [
    ("network", "networks"),
    ("subnet", "subnets"),
    ("subnetpool", "subnet_pools"),
    ("port", "ports"),
    ("router", "routers"),
    ("floatingip", "floating_ips"),
    ("rbac_policy", "network_rbac"),
    ("security_group", "security_groups"),
    ("security_group_rule", "security_group_rules"),
    ("trunk", "trunks"),
];

/// The operations.
pub(crate) fn operations() -> Vec<Operation<Networking>> {
    const ONE: &str = "/quotas/{project_id}";
    vec![
        get("/quotas", policy::GET_QUOTA, index),
        // Whoever asks for his own is answered.
        get(ONE, EVERYBODY, show),
        get("/quotas/{project_id}/default", EVERYBODY, defaults),
        get("/quotas/{project_id}/details", EVERYBODY, details),
        get("/quotas/{project_id}/details.json", EVERYBODY, details),
        put(ONE, policy::UPDATE_QUOTA, update),
        delete(ONE, policy::DELETE_QUOTA, remove).status(204),
    ]
}

/// The limits that were set for a project.
async fn set_limits(connection: &mut Connection, project: &str) -> Result<BTreeMap<String, i64>, ApiError> {
    let rows: Vec<(String, i64)> = sql!("SELECT resource, hard_limit FROM network_quotas WHERE project_id = "(project))
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

/// The limits that hold for a project.
fn limits(config: &NetworkConfig, set: &BTreeMap<String, i64>) -> Map<String, Value> {
    let limit = |(name, default): (&str, i64)| (name.to_owned(), set.get(name).copied().unwrap_or(default).into());
    config.limits().into_iter().map(limit).collect()
}

async fn in_use(connection: &mut Connection, table: &'static str, project: &str) -> Result<i64, ApiError> {
    let mut sql = Sql::new("SELECT COUNT(*) FROM ");
    Ok(sql.push(table).push(" WHERE project_id = ").bind(project).fetch_one(connection).await?)
}

/// How many a project may have of a resource; `None`: any number.
async fn limit_of<R: Resource>(
    connection: &mut Connection,
    config: &NetworkConfig,
    project: &str,
) -> Result<Option<(&'static str, i64)>, ApiError> {
    let Some(resource) = R::ABOUT.quota else { return Ok(None) };
    Ok(limit_named(connection, config, project, resource).await?.map(|limit| (resource, limit)))
}

/// The limit of this name that holds for a project; `None`: there is none.
async fn limit_named(
    connection: &mut Connection,
    config: &NetworkConfig,
    project: &str,
    resource: &str,
) -> Result<Option<i64>, ApiError> {
    let set = set_limits(connection, project).await?;
    let default = config.limits().into_iter().find(|(name, _)| *name == resource);
    let limit = set.get(resource).copied().or(default.map(|(_, limit)| limit)).unwrap_or(-1);
    Ok((limit >= 0).then_some(limit))
}

/// Refuses more routes than a router of this project may have.
///
/// # Errors
/// 409.
pub(crate) async fn check_routes(work: &mut Work<'_>, project: &str, routes: usize) -> Result<(), ApiError> {
    const ROUTES: &str = "router_route";
    let config = &work.request.state.config;
    let limit = limit_named(&mut work.transaction, config, project, ROUTES).await?;
    let over = limit.is_some_and(|limit| usize::try_from(limit).is_ok_and(|limit| routes > limit));
    if over { Err(over_named(ROUTES)) } else { Ok(()) }
}

/// Refuses what takes a project past its limit. To be called when all is written.
///
/// # Errors
/// 409.
pub(crate) async fn check<'p, R: Resource>(
    work: &mut Work<'_>,
    projects: impl Iterator<Item = &'p str>,
) -> Result<(), ApiError> {
    let projects: std::collections::BTreeSet<&str> = projects.collect();
    for project in projects {
        if left_locked::<R>(work, project).await?.is_some_and(|left| left < 0) {
            return Err(over::<R>());
        }
    }
    Ok(())
}

/// How many more of a resource a project may have, which nobody else changes until the transaction ends. Less than none:
/// there are too many. `None`: any number.
pub(crate) async fn left_locked<R: Resource>(work: &mut Work<'_>, project: &str) -> Result<Option<i64>, ApiError> {
    let config = &work.request.state.config;
    let Some((resource, limit)) = limit_of::<R>(&mut work.transaction, config, project).await? else { return Ok(None) };
    lock(&mut work.transaction, &format!("network quota {resource} {project}")).await?;
    Ok(Some(limit - in_use(&mut work.transaction, R::NAME, project).await?))
}

/// How many more of a resource a project may have at this moment; `None`: any number.
pub(crate) async fn left<R: Resource>(
    connection: &mut Connection,
    config: &NetworkConfig,
    project: &str,
) -> Result<Option<u64>, ApiError> {
    let Some((_, limit)) = limit_of::<R>(connection, config, project).await? else { return Ok(None) };
    Ok(Some(u64::try_from(limit - in_use(connection, R::NAME, project).await?).unwrap_or(0)))
}

/// 409: it would be more than a project may have.
pub(crate) fn over<R: Resource>() -> ApiError {
    over_named(R::ABOUT.quota.unwrap_or_default())
}

fn over_named(resource: &str) -> ApiError {
    conflict("OverQuota", format!("Quota exceeded for resources: ['{resource}']."))
}

/// The limits of others are for administrators.
fn check_own(request: &Request, project: &str) -> Result<(), ApiError> {
    if is_admin(request) || request.context.project_id.as_deref() == Some(project) {
        return Ok(());
    }
    Err(disallowed("rule:get_quota"))
}

async fn index(request: Request) -> Result<Json<Value>, ApiError> {
    // All of them belong to no project.
    if !granted(&request, policy::GET_QUOTA, &Target::default()) {
        return Err(disallowed("rule:get_quota"));
    }
    let mut connection = request.state.database.read().await?;
    let rows: Vec<(String, String, i64)> =
        sql!("SELECT project_id, resource, hard_limit FROM network_quotas ORDER BY project_id")
            .fetch_all(&mut connection)
            .await?;
    let mut projects: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for (project, resource, limit) in rows {
        projects.entry(project).or_default().insert(resource, limit);
    }
    let quotas: Vec<Value> = projects
        .into_iter()
        .map(|(project, set)| {
            let mut quota = limits(&request.state.config, &set);
            quota.insert("project_id".to_owned(), project.clone().into());
            quota.insert("tenant_id".to_owned(), project.into());
            Value::Object(quota)
        })
        .collect();
    Ok(Json(json!({"quotas": quotas})))
}

async fn show(request: Request, Path(project): Path<String>) -> Result<Json<Value>, ApiError> {
    if let "tenant" | "project" = project.as_str() {
        // Of an old client, which asks who it is.
        let own = request.context.project_id.as_deref();
        return Ok(Json(json!({ &project: {format!("{project}_id"): own} })));
    }
    check_own(&request, &project)?;
    let set = set_limits(&mut *request.state.database.read().await?, &project).await?;
    Ok(Json(json!({"quota": limits(&request.state.config, &set)})))
}

async fn defaults(request: Request, Path(project): Path<String>) -> Result<Json<Value>, ApiError> {
    check_own(&request, &project)?;
    Ok(Json(json!({"quota": limits(&request.state.config, &BTreeMap::new())})))
}

async fn details(request: Request, Path(project): Path<String>) -> Result<Json<Value>, ApiError> {
    check_own(&request, &project)?;
    let mut connection = request.state.database.read().await?;
    let set = set_limits(&mut connection, &project).await?;
    let mut quota = Map::new();
    for (name, limit) in limits(&request.state.config, &set) {
        let used = match COUNTED.iter().find(|(counted, _)| *counted == name) {
            Some((_, table)) => in_use(&mut connection, table, &project).await?,
            None => 0,
        };
        quota.insert(name, json!({"limit": limit, "used": used, "reserved": 0}));
    }
    Ok(Json(json!({"quota": quota})))
}

async fn update(mut request: Request, Path(project): Path<String>) -> Result<Json<Value>, ApiError> {
    let given = body_of(request.json().await?, "quota")?.clone();
    let known = request.state.config.limits();
    let force = given.get("force") == Some(&Value::Bool(true));
    let mut new: Vec<(&'static str, i64)> = Vec::new();
    let others = ["check_limit", "force", "project_id", "tenant_id"];
    let unknown: Vec<&str> = given
        .keys()
        .map(String::as_str)
        .filter(|name| !others.contains(name) && !known.iter().any(|(known, _)| known == name))
        .collect();
    if !unknown.is_empty() {
        return Err(ApiError::bad_request(format!("Unrecognized attribute(s) '{}'", unknown.join(", "))));
    }
    for (name, _) in known {
        if let Some(value) = given.get(name) {
            let limit = checks::range::<{ -1 }, 2_147_483_647>(value).map_err(|refusal| refusal.of(name))?;
            new.push((name, limit.as_i64().unwrap_or(-1)));
        }
    }
    let mut transaction = request.state.database.begin().await?;
    if !force {
        for (name, limit) in &new {
            let Some((_, table)) = COUNTED.iter().find(|(counted, _)| counted == name) else { continue };
            let used = in_use(&mut transaction, table, &project).await?;
            if *limit >= 0 && *limit < used {
                return Err(ApiError::bad_request(format!(
                    "Quota limit {limit} for {name} must be greater than or equal to already used {used}"
                )));
            }
        }
    }
    if !new.is_empty() {
        let mut sql = Sql::new("INSERT INTO network_quotas (project_id, resource, hard_limit) ");
        sql.rows(&new, |(name, limit), cells| {
            cells.bind(&project).bind(*name).bind(limit);
        });
        sql.push(" ON CONFLICT (project_id, resource) DO UPDATE SET hard_limit = excluded.hard_limit")
            .execute(&mut transaction)
            .await?;
    }
    let set = set_limits(&mut transaction, &project).await?;
    transaction.commit().await?;
    Ok(Json(json!({"quota": limits(&request.state.config, &set)})))
}

async fn remove(request: Request, Path(project): Path<String>) -> Result<StatusCode, ApiError> {
    let gone = sql!("DELETE FROM network_quotas WHERE project_id = "(project))
        .execute(&mut *request.state.database.write().await?)
        .await?;
    if gone == 0 {
        return Err(missing("TenantQuotaNotFound", format!("Quota for project {project} could not be found.")));
    }
    Ok(StatusCode::NO_CONTENT)
}
