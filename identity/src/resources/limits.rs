//! `/limits`: how much of a resource one project or domain may have.

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
    sql, table,
};
use novella_rest::{
    ApiError, Body as _, Links, Nullable, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body, patch,
    policy::{ADMIN, SERVICE, Target},
    post,
};
use serde_json::{Map, Value, json};

use super::{projects, registered_limits::each};
use crate::{
    Request,
    db::{self, Project},
    policy,
    resource::{self, Resource, listing, locked, look_up, no_marker, page, with_extra},
};

/// A limit.
#[derive(Clone, Debug, PartialEq)]
struct Limit {
    id: String,
    project_id: Option<String>,
    domain_id: Option<String>,
    registered_limit_id: String,
    service_id: String,
    region_id: Option<String>,
    resource_name: String,
    resource_limit: i64,
    description: Option<String>,
}

table! {
    Limit in "project_limits", key text "id";
    id,
    project_id,
    domain_id,
    registered_limit_id,
    service_id,
    region_id,
    resource_name,
    resource_limit,
    description,
}

static LIMITS: ListDescription = ListDescription {
    filters: &[
        list::text("service_id", "service_id"),
        list::text("region_id", "region_id"),
        list::text("resource_name", "resource_name"),
        list::text("project_id", "project_id"),
        list::text("domain_id", "domain_id"),
    ],
    sort_keys: &[],
    default_sort: &[(SortKey::text("id"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/limits/{limit_id}";
    vec![
        get("/limits/model", policy::GET_LIMIT_MODEL, model),
        get("/limits", policy::LIST_LIMITS, index).list(&LIMITS, u16::MAX),
        post("/limits", policy::CREATE_LIMITS, create).status(201),
        get(ONE, policy::GET_LIMIT, show),
        patch(ONE, policy::UPDATE_LIMIT, update),
        delete(ONE, policy::DELETE_LIMIT, resource::remove::<Limit>).status(204),
    ]
}

open_body! {
    /// One of `POST /limits`.
    struct NewLimit in "limit" {
        project_id: Option<String> = "project_id",
        domain_id: Option<String> = "domain_id",
        service_id: String = "service_id",
        region_id: Option<String> = "region_id",
        resource_name: String = "resource_name",
        resource_limit: i64 = "resource_limit",
        description: Option<String> = "description",
    }
}

open_body! {
    /// `PATCH /limits/{limit_id}`.
    struct LimitChange in "limit" {
        resource_limit: Option<i64> = "resource_limit",
        description: Nullable<String> = "description",
    }
}

impl Resource for Limit {
    const ONE: &'static str = "limit";
    const MANY: &'static str = "limits";
    const LIST: &'static ListDescription = &LIMITS;

    fn id(&self) -> &str {
        &self.id
    }

    fn missing(id: &str) -> ApiError {
        ApiError::not_found(format!("Could not find limit for {id}."))
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        let fields = json!({
            "id": self.id, "project_id": self.project_id, "domain_id": self.domain_id,
            "service_id": self.service_id, "region_id": self.region_id, "resource_name": self.resource_name,
            "resource_limit": self.resource_limit, "description": self.description,
        });
        with_extra(fields, &Map::new())
    }

    fn target(&self) -> Target<'_> {
        Target { project: self.project_id.as_deref(), domain: self.domain_id.as_deref(), ..Target::default() }
    }
}

async fn model(_: Request) -> Result<Json<Value>, ApiError> {
    let description = "Limit enforcement and validation does not take project hierarchy into consideration.";
    Ok(Json(json!({"model": {"name": "flat", "description": description}})))
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let mut listing = listing::<Limit>(&request)?;
    let token = request.token.as_ref().ok_or(ApiError::Unauthorized)?;
    let all = token.system || token.roles.iter().any(|role| role.name == ADMIN || role.name == SERVICE);
    if !all {
        // What is one's own.
        listing = listing.visible(match (&token.domain, &token.project) {
            (Some(domain), _) => Condition::raw(sql!(
                "(domain_id = " (domain.id) " OR project_id IN (SELECT id FROM projects WHERE domain_id = " (domain.id)
                "))"
            )),
            (None, Some(project)) => Condition::equal("project_id", &project.id),
            (None, None) => list::nothing(),
        });
    }
    page(&request, listing, "limits").await
}

async fn create(mut request: Request) -> Result<Response, ApiError> {
    let bodies = each(&mut request, "limits", "limit").await?;
    let mut transaction = request.state.database.begin().await?;
    let mut limits = Vec::new();
    for body in bodies {
        let new = NewLimit::from_json(&body, request.version)?;
        let limit = checked(&mut transaction, new).await?;
        resource::insert(&mut transaction, &limit).await?;
        limits.push(limit);
    }
    transaction.commit().await?;
    let views: Vec<Value> = limits.iter().map(|limit| resource::view(limit, &request.links)).collect();
    Ok((StatusCode::CREATED, Json(json!({"limits": views}))).into_response())
}

/// A new limit, for something that is there, of a kind that is registered.
async fn checked(connection: &mut Connection, new: NewLimit) -> Result<Limit, ApiError> {
    let in_body = |error: ApiError| ApiError::bad_request(error.to_string());
    match (&new.project_id, &new.domain_id) {
        (Some(project), None) => {
            projects::existing_project(connection, project).await.map_err(in_body)?;
        }
        (None, Some(domain)) => {
            projects::existing_domain(connection, domain).await.map_err(in_body)?;
        }
        _ => return Err(ApiError::bad_request("Specify a domain or project, not both")),
    }
    let registered: Option<String> = sql!(
        "SELECT id FROM registered_limits WHERE service_id = " (new.service_id) " AND COALESCE(region_id, '') = "
        (new.region_id.as_deref().unwrap_or_default()) " AND resource_name = " (new.resource_name)
    )
    .fetch_optional(connection)
    .await?;
    let registered = registered.ok_or_else(|| {
        ApiError::Forbidden("Unable to create a limit that has no corresponding registered limit.".into())
    })?;
    Ok(Limit {
        id: db::new_id(),
        project_id: new.project_id,
        domain_id: new.domain_id,
        registered_limit_id: registered,
        service_id: new.service_id,
        region_id: new.region_id,
        resource_name: new.resource_name,
        resource_limit: new.resource_limit,
        description: new.description,
    })
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let limit: Option<Limit> = look_up(&mut connection, &id).await?;
    // Of a project's limit, its domain knows, too.
    let project: Option<Project> = match limit.as_ref().and_then(|limit| limit.project_id.as_ref()) {
        Some(project) => look_up(&mut connection, project).await?,
        None => None,
    };
    let mut target = limit.as_ref().map(Limit::target).unwrap_or_default();
    if let Some(project) = &project {
        target.domain = Some(project.domain());
    }
    request.check_target(&target)?;
    let limit = limit.ok_or_else(|| Limit::missing(&id))?;
    Ok(resource::shown(&request, &limit))
}

async fn update(request: Request, Path(id): Path<String>, change: LimitChange) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut limit = locked::<Limit>(&request, &mut transaction, &id).await?;
    if let Some(most) = change.resource_limit {
        limit.resource_limit = most;
    }
    if let Some(description) = change.description.change() {
        limit.description = description;
    }
    resource::change(&request, transaction, &limit).await?;
    Ok(resource::shown(&request, &limit))
}
