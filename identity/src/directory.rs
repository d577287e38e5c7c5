//! Who and what there is: projects, users, roles, the one domain.

use axum::{Json, response::Response};
use novella_common::db::list::{Condition, Direction, SortKey};
use novella_rest::{
    ApiError, FieldTable, Links, Parameters, Path, field,
    list::{self, ListDescription, Listing, PAGED, Rows, nothing, own},
    policy,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    Request,
    db::{self, DEFAULT_DOMAIN_ID, DEFAULT_DOMAIN_NAME, Project, Reference, User},
    policy as rules,
};

/// What can be asked of lists of projects and of users.
pub(crate) static NAMED: ListDescription = ListDescription {
    filters: &[list::text("name", "name"), own("enabled"), own("domain_id")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("name"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker: |marker| format!("Marker {marker} could not be found."),
};
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

/// The conditions `enabled` and `domain_id`. A flag without a value is set, as by Keystone.
fn conditions(query: &Parameters) -> Result<Vec<Condition>, ApiError> {
    let mut conditions = Vec::new();
    if query.get("domain_id").is_some_and(|domain| domain != DEFAULT_DOMAIN_ID) {
        conditions.push(nothing());
    }
    match query.get("enabled") {
        None => {}
        Some("") => conditions.push(Condition::equal("enabled", &true)),
        Some(_) => {
            let enabled = query.boolean("enabled").transpose()?;
            conditions.extend(enabled.map(|enabled| Condition::equal("enabled", &enabled)));
        }
    }
    Ok(conditions)
}

/// A page in Keystone's form: a full one says `truncated` and where the next is.
fn page<R, V: Serialize>(
    request: &Request,
    name: &str,
    path: &str,
    rows: Rows<R>,
    id: impl Fn(&R) -> String,
    view: impl Fn(R, &Links) -> V,
) -> Json<Value> {
    let next = request.next_link(&rows, path, id).map(|next| next.href);
    let own = request.links.to(path);
    let truncated = next.is_some();
    let items: Vec<V> = rows.items.into_iter().map(|row| view(row, &request.links)).collect();
    let mut page = json!({ name: items, "links": {"self": own, "previous": null, "next": next} });
    if truncated {
        page["truncated"] = true.into();
    }
    Json(page)
}

/// 404 in Keystone's words.
pub(crate) fn not_found(what: &str, id: &str) -> ApiError {
    ApiError::not_found(format!("Could not find {what}: {id}."))
}

/// 403 in Keystone's words.
fn denied(request: &Request, rule: policy::Rule) -> ApiError {
    ApiError::Forbidden((request.service.denied)(rule.name))
}

/// The projects.
pub(crate) async fn projects(request: Request) -> Result<Json<Value>, ApiError> {
    let listing = request.list::<Project>(&NAMED)?;
    project_page(&request, listing, "projects").await
}

/// The projects of one user: of oneself, or for administrators of anybody.
pub(crate) async fn projects_of_user(request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    rules::LIST_USER_PROJECTS
        .check_user(&request.context, &id)
        .map_err(|_| denied(&request, rules::LIST_USER_PROJECTS))?;
    let user = db::user(&mut *request.state.database.read().await?, &Reference::Id(id.clone())).await?;
    user.ok_or_else(|| not_found("user", &id))?;
    let listing = request.list::<Project>(&NAMED)?.visible(Condition::raw(db::has_role(&id)));
    project_page(&request, listing, &format!("users/{id}/projects")).await
}

async fn project_page(request: &Request, listing: Listing<Project>, path: &str) -> Result<Json<Value>, ApiError> {
    let listing = conditions(&request.query)?.into_iter().fold(listing, Listing::filter);
    let found = listing.page(&mut *request.state.database.read().await?).await?;
    Ok(page(request, "projects", path, found, |project| project.id.clone(), ProjectView::new))
}

/// One project, by id. Who has a token for another one is not told whether it is there.
pub(crate) async fn project(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    if !request.context.is_admin && request.context.project_id.as_deref() != Some(id.as_str()) {
        return Err(denied(&request, rules::GET_PROJECT));
    }
    let found = db::project(&mut *request.state.database.read().await?, &Reference::Id(id.clone())).await?;
    let project = found.ok_or_else(|| not_found("project", &id))?;
    Ok(request.plain("project", ProjectView::new(project, &request.links)))
}

/// The users.
pub(crate) async fn users(request: Request) -> Result<Json<Value>, ApiError> {
    let listing = request.list::<User>(&NAMED)?;
    let listing = conditions(&request.query)?.into_iter().fold(listing, Listing::filter);
    let found = listing.page(&mut *request.state.database.read().await?).await?;
    Ok(page(&request, "users", "users", found, |user| user.id.clone(), UserView::new))
}

/// One user, by id: oneself, or an administrator anybody.
pub(crate) async fn user(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let own = rules::GET_USER.check_user(&request.context, &id);
    own.map_err(|_| denied(&request, rules::GET_USER))?;
    let found = db::user(&mut *request.state.database.read().await?, &Reference::Id(id.clone())).await?;
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
    // Every project is in the one domain.
    let own = request.context.project_id.is_some() && id == DEFAULT_DOMAIN_ID;
    if !request.context.is_admin && !own {
        return Err(denied(&request, rules::GET_DOMAIN));
    }
    if id != DEFAULT_DOMAIN_ID {
        return Err(not_found("domain", &id));
    }
    Ok(request.plain("domain", default_domain(&request.links)))
}
