//! `/os-security-groups`, `/os-security-group-rules`: Networking's security groups in the form that they had here, until 2.35;
//! a server's are shown so at every version.

mod rules;

use std::collections::{BTreeSet, HashMap};

use axum::response::Response;
use http::{Method, StatusCode};
use novella_common::networks::NetworkError;
use novella_rest::{ApiError, Operation, Path, as_object, delete, get, object, post, put, typed, wrong};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use self::rules::{Rule, RuleView};
use super::{
    networking::{ask, failed, query_text},
    networks::UNTIL,
};
use crate::{Request, neighbours::caller, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ALL: &str = "/os-security-groups";
    const ONE: &str = "/os-security-groups/{group_id}";
    const RULE: &str = "/os-security-group-rules/{rule_id}";
    let operations = [
        get(ALL, policy::SECURITY_GROUPS_GET, index).answers_list::<SecurityGroup>("security_groups"),
        post(ALL, policy::SECURITY_GROUPS_CREATE, create).answers::<SecurityGroup>("security_group"),
        get(ONE, policy::SECURITY_GROUPS_SHOW, show).answers::<SecurityGroup>("security_group"),
        put(ONE, policy::SECURITY_GROUPS_UPDATE, update).answers::<SecurityGroup>("security_group"),
        delete(ONE, policy::SECURITY_GROUPS_DELETE, remove).status(202),
        post("/os-security-group-rules", policy::SECURITY_GROUPS_RULE_CREATE, rules::create)
            .answers::<RuleView>("security_group_rule"),
        delete(RULE, policy::SECURITY_GROUPS_RULE_DELETE, rules::remove).status(202),
    ];
    operations.into_iter().map(|operation| operation.until(UNTIL)).collect()
}

/// A security group, as Networking shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Group {
    pub(super) id: String,
    name: String,
    description: Option<String>,
    project_id: String,
    #[serde(default)]
    security_group_rules: Vec<Rule>,
}

/// A security group, as it is shown here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SecurityGroup {
    id: String,
    name: String,
    description: Option<String>,
    tenant_id: String,
    /// Of what comes in; this form knows no others.
    rules: Vec<RuleView>,
}

impl SecurityGroup {
    /// What lists are sorted by.
    pub(super) fn order(&self) -> (&str, &str) {
        (&self.tenant_id, &self.name)
    }
}

/// The group that a rule lets in.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct RemoteGroup {
    name: String,
    tenant_id: String,
}

/// Groups as they are shown: with the names of the groups that their rules let in, which takes one question for all. A rule for
/// a group that is gone is left out.
///
/// # Errors
/// Networking can't be asked.
pub(super) async fn with_rules(request: &Request, groups: Vec<Group>) -> Result<Vec<SecurityGroup>, NetworkError> {
    let remote = |group: &Group| {
        let (name, tenant_id) = (group.name.clone(), group.project_id.clone());
        (group.id.clone(), RemoteGroup { name, tenant_id })
    };
    let mut known: HashMap<String, RemoteGroup> = groups.iter().map(remote).collect();
    let rules = groups.iter().flat_map(|group| &group.security_group_rules).filter(|rule| rule.comes_in());
    let missing: BTreeSet<&str> = rules.filter_map(Rule::remote_group).filter(|id| !known.contains_key(*id)).collect();
    if !missing.is_empty() {
        let ids: Vec<String> = missing.into_iter().map(|id| format!("&id={id}")).collect();
        let path = format!("/security-groups?fields=id&fields=name&fields=project_id{}", ids.concat());
        let found: Vec<Group> =
            ask(&request.state, caller(request), (Method::GET, &path), None, "security_groups").await?;
        known.extend(found.iter().map(remote));
    }
    let shown = |group: Group| SecurityGroup {
        rules: group
            .security_group_rules
            .iter()
            .filter(|rule| rule.comes_in())
            .filter_map(|rule| RuleView::of(rule, &known))
            .collect(),
        id: group.id,
        name: group.name,
        description: group.description,
        tenant_id: group.project_id,
    };
    Ok(groups.into_iter().map(shown).collect())
}

async fn answer_one(request: &Request, group: Group) -> Result<Response, ApiError> {
    let shown = with_rules(request, vec![group]).await.map_err(failed)?.pop().ok_or(ApiError::Broken)?;
    Ok(request.plain("security_group", shown))
}

/// The id that a path names.
fn checked_id(id: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(id).map_err(|_| ApiError::bad_request("Security group id should be uuid"))
}

async fn find(request: &Request, id: Uuid) -> Result<Group, ApiError> {
    let path = format!("/security-groups/{id}");
    ask(&request.state, caller(request), (Method::GET, &path), None, "security_group").await.map_err(failed)
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let all = request.context.is_admin && request.query.get("all_tenants").is_some();
    let path = match all {
        true => "/security-groups".to_owned(),
        false => format!("/security-groups?project_id={}", query_text(request.project()?)),
    };
    let (limit, offset) = (number(&request, "limit")?, number(&request, "offset")?);
    let found: Vec<Group> =
        ask(&request.state, caller(&request), (Method::GET, &path), None, "security_groups").await.map_err(failed)?;
    let page = found.into_iter().skip(offset.unwrap_or(0)).take(limit.unwrap_or(usize::MAX)).collect();
    let mut shown = with_rules(&request, page).await.map_err(failed)?;
    shown.sort_by(|a, b| a.order().cmp(&b.order()));
    Ok(request.plain("security_groups", shown))
}

fn number(request: &Request, name: &str) -> Result<Option<usize>, ApiError> {
    let number =
        |text: &str| text.parse().map_err(|_| wrong(name, &text.into(), "It must be a number that is not negative."));
    request.query.get(name).map(number).transpose()
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let group = find(&request, checked_id(&id)?).await?;
    answer_one(&request, group).await
}

/// The name and the description in a body. Other fields are ignored, as by Nova.
fn named(body: &Value) -> Result<Value, ApiError> {
    let body = as_object(body)?.get("security_group");
    let required = |name: &str| ApiError::bad_request(format!("Invalid input: '{name}' is a required property"));
    let group = object("security_group", body.ok_or_else(|| required("security_group"))?)?;
    let text = |name: &str| {
        let place = format!("security_group.{name}");
        let value = group.get(name).ok_or_else(|| required(name))?;
        let text: String = typed(&place, value)?;
        match text.chars().count() > 255 {
            true => Err(wrong(&place, value, "It is longer than 255 characters.")),
            false => Ok(text),
        }
    };
    Ok(json!({"security_group": {"name": text("name")?, "description": text("description")?}}))
}

async fn create(mut request: Request) -> Result<Response, ApiError> {
    let body = named(request.json().await?)?;
    let made =
        ask(&request.state, caller(&request), (Method::POST, "/security-groups"), Some(body), "security_group").await;
    let made = made.map_err(over_limit)?;
    answer_one(&request, made).await
}

/// What Networking says no to with 409 is more than there may be, in this form.
fn over_limit(error: NetworkError) -> ApiError {
    match error {
        NetworkError::Refused { status: 409, message, .. } => ApiError::Forbidden(message),
        error => failed(error),
    }
}

async fn update(mut request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let body = named(request.json().await?)?;
    let path = format!("/security-groups/{}", checked_id(&id)?);
    let changed = ask(&request.state, caller(&request), (Method::PUT, &path), Some(body), "security_group").await;
    answer_one(&request, changed.map_err(failed)?).await
}

async fn remove(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let path = format!("/security-groups/{}", checked_id(&id)?);
    let removed = request.state.networking.send(caller(&request), Method::DELETE, &path, None).await;
    removed.map_err(|error| match error {
        // It is in use.
        NetworkError::Refused { status: 409, message, .. } => ApiError::BadRequest(message),
        error => failed(error),
    })?;
    Ok(StatusCode::ACCEPTED)
}
