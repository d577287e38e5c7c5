//! `/domains`: the roots of the tree of projects; what has names of its own is in one.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use novella_common::{
    db::{
        Connection,
        list::{Condition, Direction, SortKey},
    },
    sql,
};
use novella_rest::{
    ApiError, Body, Links, Nullable, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED, own},
    open_body, patch,
    policy::Target,
    post, wrong_open,
};
use serde_json::{Map, Value, json};

use super::projects::{self, apply, domain_of_caller};
use crate::{
    Request,
    db::{self, Project},
    inputs::{Flag, IMMUTABLE, Name, Object},
    policy,
    resource::{self, Resource as _, listing, no_marker, not_found, page_of, read_page, with_extra},
};

static DOMAINS: ListDescription = ListDescription {
    filters: &[list::text("name", "name"), own("enabled")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("name"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/domains/{domain_id}";
    vec![
        get("/domains", policy::LIST_DOMAINS, index).list(&DOMAINS, u16::MAX),
        post("/domains", policy::CREATE_DOMAIN, create).status(201),
        get(ONE, policy::GET_DOMAIN, show),
        patch(ONE, policy::UPDATE_DOMAIN, update),
        delete(ONE, policy::DELETE_DOMAIN, remove).status(204),
    ]
}

open_body! {
    /// `POST /domains`.
    struct NewDomain in "domain" {
        name: Name<64> = "name",
        description: Option<String> = "description",
        enabled: Option<Flag> = "enabled",
        tags: Option<Vec<String>> = "tags",
        options: Option<Object> = "options",
        explicit_domain_id: Option<String> = "explicit_domain_id",
    }
}

open_body! {
    /// `PATCH /domains/{domain_id}`.
    struct DomainChange in "domain" {
        name: Option<Name<64>> = "name",
        description: Nullable<String> = "description",
        enabled: Option<Flag> = "enabled",
        tags: Option<Vec<String>> = "tags",
        options: Option<Object> = "options",
    }
}

/// What clients see of a domain.
pub(crate) fn view(domain: &Project, links: &Links) -> Value {
    let fields = json!({
        "id": domain.id, "name": domain.name, "description": domain.description, "enabled": domain.enabled,
        "tags": domain.tags, "options": domain.options,
        "links": {"self": links.to(&format!("domains/{}", domain.id))},
    });
    Value::Object(with_extra(fields, &domain.extra))
}

fn shown(request: &Request, domain: &Project) -> Response {
    Json(json!({"domain": view(domain, &request.links)})).into_response()
}

fn target(domain: &str) -> Target<'_> {
    Target::of_domain(Some(domain))
}

async fn index(request: Request) -> Result<Response, ApiError> {
    resource::check_list(&request)?;
    let listing = listing::<Project>(&request)?
        .visible(Condition::equal("is_domain", &true))
        .filter_by(projects::own_domain(&request, "id"));
    let rows = read_page(listing, &mut *request.state.database.read().await?).await?;
    let view = |domain| view(domain, &request.links);
    Ok(page_of(&request, &rows, "domains", "domains", |domain: &Project| domain.id(), view))
}

async fn create(request: Request, new: NewDomain) -> Result<Response, ApiError> {
    let mut domain = Project {
        id: new.explicit_domain_id.map_or_else(|| Ok(db::new_id()), explicit)?,
        name: new.name.0,
        domain_id: None,
        parent_id: None,
        is_domain: true,
        description: Some(new.description.unwrap_or_default()),
        enabled: new.enabled.is_none_or(|flag| flag.0),
        tags: super::tags::checked(new.tags.unwrap_or_default())?,
        extra: new.extra,
        ..Project::new("", "")
    };
    IMMUTABLE.merge(&mut domain.options, new.options)?;
    let transaction = request.state.database.begin().await?;
    resource::store(&request, transaction, &domain).await?;
    Ok((StatusCode::CREATED, shown(&request, &domain)).into_response())
}

/// An id that the request itself gives: 32 hexadecimal digits.
fn explicit(id: String) -> Result<String, ApiError> {
    if id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(id.to_ascii_lowercase());
    }
    let value = Value::from(id);
    Err(wrong_open("explicit_domain_id", &value, "It must be 32 hexadecimal digits"))
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    request.check_target(&target(&id))?;
    let found = db::domain(&mut *request.state.database.read().await?, Some(&id), None).await?;
    Ok(shown(&request, &found.ok_or_else(|| not_found("domain", &id))?))
}

async fn lock(request: &Request, transaction: &mut Connection, id: &str) -> Result<Project, ApiError> {
    request.check_target(&target(id))?;
    let found: Option<Project> = novella_common::db::table::lock(transaction, id).await?;
    found.filter(|found| found.is_domain).ok_or_else(|| not_found("domain", id))
}

async fn update(mut request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let version = request.version;
    let body = request.json().await?;
    DomainChange::from_json(body, version)?;
    // A domain is changed as a project is.
    let change = projects::ProjectChange::from_json(&json!({"project": body["domain"]}), version)?;
    let mut transaction = request.state.database.begin().await?;
    let mut domain = lock(&request, &mut transaction, &id).await?;
    apply(&mut transaction, &mut domain, change).await?;
    resource::change(&request, transaction, &domain).await?;
    Ok(shown(&request, &domain))
}

async fn remove(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let domain = lock(&request, &mut transaction, &id).await?;
    domain.before_removal(&mut transaction).await?;
    // With all that is in it: users, groups, projects, roles. Projects know the ones above them.
    sql!("UPDATE projects SET parent_id = NULL WHERE domain_id = "(id)).execute(&mut transaction).await?;
    resource::delete_row::<Project>(&mut transaction, &id).await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The domain that is asked for by a query's `domain_id`, or that something new is in.
pub(super) async fn of_new(
    request: &Request,
    connection: &mut Connection,
    given: Option<String>,
) -> Result<String, ApiError> {
    let domain = given.unwrap_or_else(|| domain_of_caller(request));
    projects::existing_domain(connection, &domain).await?;
    Ok(domain)
}

/// `{"id": ..., "name": ...}`.
pub(crate) fn named(domain: &Project) -> Map<String, Value> {
    Map::from_iter([("id".to_owned(), domain.id.clone().into()), ("name".to_owned(), domain.name.clone().into())])
}
