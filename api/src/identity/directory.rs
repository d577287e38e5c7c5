//! Who and what there is: projects, users, roles, the one domain.

use axum::{
    Json,
    extract::{Path, State},
};
use novella_common::{
    db::identity::{self, DEFAULT_DOMAIN_ID, DEFAULT_DOMAIN_NAME, Project, Reference, User},
    policy,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{authentication::Caller, error::ApiError, links::Links, query::Parameters, state::Api};

#[derive(Serialize, ToSchema)]
struct SelfLink {
    #[serde(rename = "self")]
    own: String,
}

/// A project, as Keystone shows it.
#[derive(Serialize, ToSchema)]
pub(super) struct ProjectView {
    id: String,
    name: String,
    description: String,
    enabled: bool,
    domain_id: &'static str,
    parent_id: &'static str,
    is_domain: bool,
    tags: [String; 0],
    #[schema(value_type = Object)]
    options: Value,
    links: SelfLink,
}

impl ProjectView {
    pub(super) fn new(project: Project, links: &Links) -> Self {
        let own = links.identity(&format!("projects/{}", project.id));
        Self {
            id: project.id,
            name: project.name,
            description: project.description,
            enabled: project.enabled,
            domain_id: DEFAULT_DOMAIN_ID,
            parent_id: DEFAULT_DOMAIN_ID,
            is_domain: false,
            tags: [],
            options: json!({}),
            links: SelfLink { own },
        }
    }
}

#[derive(Serialize, ToSchema)]
struct UserView {
    id: String,
    name: String,
    enabled: bool,
    domain_id: &'static str,
    password_expires_at: Option<String>,
    #[schema(value_type = Object)]
    options: Value,
    links: SelfLink,
}

impl UserView {
    fn new(user: User, links: &Links) -> Self {
        let own = links.identity(&format!("users/{}", user.id));
        Self {
            id: user.id,
            name: user.name,
            enabled: user.enabled,
            domain_id: DEFAULT_DOMAIN_ID,
            password_expires_at: None,
            options: json!({}),
            links: SelfLink { own },
        }
    }
}

/// `{"name": [...], "links": ...}`, as Keystone's lists are.
pub(super) fn collection<T: Serialize>(name: &str, items: Vec<T>, links: &Links) -> Json<Value> {
    let own = links.identity(name);
    Json(json!({ name: items, "links": {"self": own, "previous": null, "next": null} }))
}

/// Refuses everybody else.
///
/// # Errors
/// 403 in Keystone's words.
pub(super) fn administrators_only(caller: &Caller, action: &str) -> Result<(), ApiError> {
    if caller.context.is_admin {
        return Ok(());
    }
    Err(ApiError::Forbidden(format!("You are not authorized to perform the requested action: {action}.")))
}

/// Whether a thing passes the filters `name`, `enabled` and `domain_id` of a list.
fn wanted(query: &Parameters, name: &str, enabled: bool) -> Result<bool, ApiError> {
    let of_domain = query.get("domain_id").is_none_or(|domain| domain == DEFAULT_DOMAIN_ID);
    let enabled = query.boolean("enabled").transpose()?.is_none_or(|wanted| wanted == enabled);
    Ok(of_domain && enabled && query.get("name").is_none_or(|wanted| wanted == name))
}

/// 404 in Keystone's words.
pub(super) fn not_found(what: &str, id: &str) -> ApiError {
    ApiError::not_found(format!("Could not find {what}: {id}."))
}

/// The projects: all for administrators, one's own for others.
#[utoipa::path(get, path = "/v3/projects", tag = "identity", responses((status = 200)))]
pub(super) async fn projects(
    State(api): State<Api>,
    caller: Caller,
    links: Links,
    query: Parameters,
) -> Result<Json<Value>, ApiError> {
    let mut connection = api.database.read().await?;
    let found = if caller.context.is_admin {
        identity::projects(&mut connection).await?
    } else {
        identity::projects_of_user(&mut connection, &caller.token.user.id).await?
    };
    let mut projects = Vec::new();
    for project in found {
        if wanted(&query, &project.name, project.enabled)? {
            projects.push(ProjectView::new(project, &links));
        }
    }
    Ok(collection("projects", projects, &links))
}

/// One project, by id.
#[utoipa::path(get, path = "/v3/projects/{project_id}", tag = "identity", responses((status = 200)))]
pub(super) async fn project(
    State(api): State<Api>,
    caller: Caller,
    links: Links,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let mut connection = api.database.read().await?;
    let found = if caller.context.is_admin {
        identity::project(&mut connection, &Reference::Id(id.clone())).await?
    } else {
        let own = identity::projects_of_user(&mut connection, &caller.token.user.id).await?;
        own.into_iter().find(|project| project.id == id)
    };
    let project = found.ok_or_else(|| not_found("project", &id))?;
    Ok(Json(json!({"project": ProjectView::new(project, &links)})))
}

/// The users.
#[utoipa::path(get, path = "/v3/users", tag = "identity", responses((status = 200)))]
pub(super) async fn users(
    State(api): State<Api>,
    caller: Caller,
    links: Links,
    query: Parameters,
) -> Result<Json<Value>, ApiError> {
    administrators_only(&caller, "identity:list_users")?;
    let mut users = Vec::new();
    for user in identity::users(&mut *api.database.read().await?).await? {
        if wanted(&query, &user.name, user.enabled)? {
            users.push(UserView::new(user, &links));
        }
    }
    Ok(collection("users", users, &links))
}

/// One user, by id: oneself, or an administrator anybody.
#[utoipa::path(get, path = "/v3/users/{user_id}", tag = "identity", responses((status = 200)))]
pub(super) async fn user(
    State(api): State<Api>,
    caller: Caller,
    links: Links,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    if caller.token.user.id != id {
        administrators_only(&caller, "identity:get_user")?;
    }
    let found = identity::user(&mut *api.database.read().await?, &Reference::Id(id.clone())).await?;
    let (user, _) = found.ok_or_else(|| not_found("user", &id))?;
    Ok(Json(json!({"user": UserView::new(user, &links)})))
}

/// The roles. A role's id is its name.
#[utoipa::path(get, path = "/v3/roles", tag = "identity", responses((status = 200)))]
pub(super) async fn roles(caller: Caller, links: Links, query: Parameters) -> Result<Json<Value>, ApiError> {
    administrators_only(&caller, "identity:list_roles")?;
    let wanted = query.get("name");
    let roles = policy::ROLES.into_iter().filter(|role| wanted.is_none_or(|wanted| wanted == *role)).map(|role| {
        let own = links.identity(&format!("roles/{role}"));
        json!({"id": role, "name": role, "domain_id": null, "description": null, "options": {}, "links": {"self": own}})
    });
    Ok(collection("roles", roles.collect(), &links))
}

fn default_domain(links: &Links) -> Value {
    let own = links.identity(&format!("domains/{DEFAULT_DOMAIN_ID}"));
    json!({
        "id": DEFAULT_DOMAIN_ID, "name": DEFAULT_DOMAIN_NAME, "description": "", "enabled": true, "tags": [],
        "options": {}, "links": {"self": own},
    })
}

/// The domains: one.
#[utoipa::path(get, path = "/v3/domains", tag = "identity", responses((status = 200)))]
pub(super) async fn domains(caller: Caller, links: Links, query: Parameters) -> Result<Json<Value>, ApiError> {
    administrators_only(&caller, "identity:list_domains")?;
    let shown = query.get("name").is_none_or(|name| name == DEFAULT_DOMAIN_NAME);
    Ok(collection("domains", shown.then(|| default_domain(&links)).into_iter().collect(), &links))
}

/// One domain, by id.
#[utoipa::path(get, path = "/v3/domains/{domain_id}", tag = "identity", responses((status = 200)))]
pub(super) async fn domain(caller: Caller, links: Links, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    administrators_only(&caller, "identity:get_domain")?;
    if id != DEFAULT_DOMAIN_ID {
        return Err(not_found("domain", &id));
    }
    Ok(Json(json!({"domain": default_domain(&links)})))
}
