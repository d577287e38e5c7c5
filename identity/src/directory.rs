//! Who and what there is: projects, users, roles, the one domain.

use axum::{Json, response::Response};
use novella_common::db::identity::{self, DEFAULT_DOMAIN_ID, DEFAULT_DOMAIN_NAME, Project, Reference, User};
use novella_rest::{ApiError, FieldTable, Links, Parameters, Path, field, policy};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{Request, policy as rules};

/// What lists of projects and users can be filtered by.
pub(crate) const QUERY: FieldTable = FieldTable(&[field("name"), field("enabled"), field("domain_id")]);
pub(crate) const BY_NAME: FieldTable = FieldTable(&[field("name")]);

#[derive(Serialize, ToSchema)]
struct SelfLink {
    #[serde(rename = "self")]
    own: String,
}

/// A project, as Keystone shows it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProjectView {
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
    pub(crate) fn new(project: Project, links: &Links) -> Self {
        let own = links.to(&format!("projects/{}", project.id));
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
        let own = links.to(&format!("users/{}", user.id));
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
pub(crate) fn collection<T: Serialize>(name: &str, items: Vec<T>, links: &Links) -> Json<Value> {
    let own = links.to(name);
    Json(json!({ name: items, "links": {"self": own, "previous": null, "next": null} }))
}

/// Whether a thing passes the filters `name`, `enabled` and `domain_id` of a list.
fn wanted(query: &Parameters, name: &str, enabled: bool) -> Result<bool, ApiError> {
    let of_domain = query.get("domain_id").is_none_or(|domain| domain == DEFAULT_DOMAIN_ID);
    let enabled = query.boolean("enabled").transpose()?.is_none_or(|wanted| wanted == enabled);
    Ok(of_domain && enabled && query.get("name").is_none_or(|wanted| wanted == name))
}

/// 404 in Keystone's words.
pub(crate) fn not_found(what: &str, id: &str) -> ApiError {
    ApiError::not_found(format!("Could not find {what}: {id}."))
}

/// The projects: all for administrators, one's own for others.
pub(crate) async fn projects(request: Request) -> Result<Json<Value>, ApiError> {
    let mut connection = request.state.database.read().await?;
    let found = if request.context.is_admin {
        identity::projects(&mut connection).await?
    } else {
        identity::projects_of_user(&mut connection, request.user()).await?
    };
    let mut projects = Vec::new();
    for project in found {
        if wanted(&request.query, &project.name, project.enabled)? {
            projects.push(ProjectView::new(project, &request.links));
        }
    }
    Ok(collection("projects", projects, &request.links))
}

/// One project, by id.
pub(crate) async fn project(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let found = if request.context.is_admin {
        identity::project(&mut connection, &Reference::Id(id.clone())).await?
    } else {
        let own = identity::projects_of_user(&mut connection, request.user()).await?;
        own.into_iter().find(|project| project.id == id)
    };
    let project = found.ok_or_else(|| not_found("project", &id))?;
    Ok(request.plain("project", ProjectView::new(project, &request.links)))
}

/// The users.
pub(crate) async fn users(request: Request) -> Result<Json<Value>, ApiError> {
    let mut users = Vec::new();
    for user in identity::users(&mut *request.state.database.read().await?).await? {
        if wanted(&request.query, &user.name, user.enabled)? {
            users.push(UserView::new(user, &request.links));
        }
    }
    Ok(collection("users", users, &request.links))
}

/// One user, by id: oneself, or an administrator anybody.
pub(crate) async fn user(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let own = rules::GET_USER.check_user(&request.context, &id);
    own.map_err(|denied| ApiError::Forbidden((request.service.denied)(denied.rule)))?;
    let found = identity::user(&mut *request.state.database.read().await?, &Reference::Id(id.clone())).await?;
    let (user, _) = found.ok_or_else(|| not_found("user", &id))?;
    Ok(request.plain("user", UserView::new(user, &request.links)))
}

/// The roles. A role's id is its name.
pub(crate) async fn roles(request: Request) -> Result<Json<Value>, ApiError> {
    let wanted = request.query.get("name");
    let roles = policy::ROLES.into_iter().filter(|role| wanted.is_none_or(|wanted| wanted == *role)).map(|role| {
        let own = request.links.to(&format!("roles/{role}"));
        json!({"id": role, "name": role, "domain_id": null, "description": null, "options": {}, "links": {"self": own}})
    });
    Ok(collection("roles", roles.collect(), &request.links))
}

fn default_domain(links: &Links) -> Value {
    let own = links.to(&format!("domains/{DEFAULT_DOMAIN_ID}"));
    json!({
        "id": DEFAULT_DOMAIN_ID, "name": DEFAULT_DOMAIN_NAME, "description": "", "enabled": true, "tags": [],
        "options": {}, "links": {"self": own},
    })
}

/// The domains: one.
pub(crate) async fn domains(request: Request) -> Result<Json<Value>, ApiError> {
    let shown = request.query.get("name").is_none_or(|name| name == DEFAULT_DOMAIN_NAME);
    let domains = shown.then(|| default_domain(&request.links)).into_iter().collect();
    Ok(collection("domains", domains, &request.links))
}

/// One domain, by id.
pub(crate) async fn domain(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    if id != DEFAULT_DOMAIN_ID {
        return Err(not_found("domain", &id));
    }
    Ok(request.plain("domain", default_domain(&request.links)))
}
