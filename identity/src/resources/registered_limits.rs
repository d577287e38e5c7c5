//! `/registered_limits`: how much of a resource each project may have, where nothing else is said.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use novella_common::{
    db::{
        Connection,
        list::{Direction, SortKey},
    },
    sql, table,
};
use novella_rest::{
    ApiError, Body as _, Links, Nullable, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body, patch, post,
};
use serde_json::{Map, Value, json};

use super::{regions::Region, services::Service};
use crate::{
    Request, db,
    inputs::Name,
    policy,
    resource::{self, Resource, find, locked, no_marker, with_extra},
};

/// A registered limit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RegisteredLimit {
    pub(super) id: String,
    pub(super) service_id: String,
    pub(super) region_id: Option<String>,
    pub(super) resource_name: String,
    default_limit: i64,
    description: Option<String>,
}

table! {
    RegisteredLimit in "registered_limits", key text "id";
    id,
    service_id,
    region_id,
    resource_name,
    default_limit,
    description,
}

static REGISTERED_LIMITS: ListDescription = ListDescription {
    filters: &[
        list::text("service_id", "service_id"),
        list::text("region_id", "region_id"),
        list::text("resource_name", "resource_name"),
    ],
    sort_keys: &[],
    default_sort: &[(SortKey::text("id"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ALL: &str = "/registered_limits";
    const ONE: &str = "/registered_limits/{registered_limit_id}";
    let index = resource::index::<RegisteredLimit>;
    vec![
        get(ALL, policy::LIST_REGISTERED_LIMITS, index).list(&REGISTERED_LIMITS, u16::MAX),
        post(ALL, policy::CREATE_REGISTERED_LIMITS, create).status(201),
        get(ONE, policy::GET_REGISTERED_LIMIT, resource::show::<RegisteredLimit>),
        patch(ONE, policy::UPDATE_REGISTERED_LIMIT, update),
        delete(ONE, policy::DELETE_REGISTERED_LIMIT, resource::remove::<RegisteredLimit>).status(204),
    ]
}

open_body! {
    /// One of `POST /registered_limits`.
    struct NewRegisteredLimit in "registered_limit" {
        service_id: String = "service_id",
        region_id: Option<String> = "region_id",
        resource_name: Name = "resource_name",
        default_limit: i64 = "default_limit",
        description: Option<String> = "description",
    }
}

open_body! {
    /// `PATCH /registered_limits/{registered_limit_id}`.
    struct RegisteredLimitChange in "registered_limit" {
        service_id: Option<String> = "service_id",
        region_id: Nullable<String> = "region_id",
        resource_name: Option<Name> = "resource_name",
        default_limit: Option<i64> = "default_limit",
        description: Nullable<String> = "description",
    }
}

impl Resource for RegisteredLimit {
    const ONE: &'static str = "registered_limit";
    const MANY: &'static str = "registered_limits";
    const LIST: &'static ListDescription = &REGISTERED_LIMITS;

    fn id(&self) -> &str {
        &self.id
    }

    fn missing(id: &str) -> ApiError {
        ApiError::not_found(format!("Could not find registered limit for {id}."))
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        let fields = json!({
            "id": self.id, "service_id": self.service_id, "region_id": self.region_id,
            "resource_name": self.resource_name, "default_limit": self.default_limit,
            "description": self.description,
        });
        with_extra(fields, &Map::new())
    }

    async fn before_removal(&self, transaction: &mut Connection) -> Result<(), ApiError> {
        self.unused(transaction).await
    }
}

impl RegisteredLimit {
    /// Nobody has a limit of his own that refers to it.
    async fn unused(&self, connection: &mut Connection) -> Result<(), ApiError> {
        let used: i64 = sql!("SELECT COUNT(*) FROM project_limits WHERE registered_limit_id = "(self.id))
            .fetch_one(connection)
            .await?;
        if used > 0 {
            return Err(ApiError::Forbidden(format!(
                "Unable to update or delete registered limit {} because there are project limits associated with it.",
                self.id
            )));
        }
        Ok(())
    }

    /// What it names is there.
    async fn check(&self, connection: &mut Connection) -> Result<(), ApiError> {
        let in_body = |error: ApiError| ApiError::bad_request(error.to_string());
        find::<Service>(connection, &self.service_id).await.map_err(in_body)?;
        if let Some(region) = &self.region_id {
            find::<Region>(connection, region).await.map_err(in_body)?;
        }
        Ok(())
    }
}

/// The objects of a list in a body, each as a body of its own.
///
/// # Errors
/// 400 if there is no list under the key.
pub(super) async fn each(request: &mut Request, many: &str, one: &str) -> Result<Vec<Value>, ApiError> {
    let body = novella_rest::as_object(request.json().await?)?;
    let items: Vec<Value> = match body.get(many) {
        Some(Value::Array(items)) if !items.is_empty() => items.clone(),
        Some(other) => return Err(novella_rest::wrong_open(many, other, "A list with something in it is expected")),
        None => return Err(ApiError::bad_request(format!("'{many}' is a required property"))),
    };
    Ok(items.into_iter().map(|item| json!({ one: item })).collect())
}

async fn create(mut request: Request) -> Result<Response, ApiError> {
    let mut limits = Vec::new();
    for body in each(&mut request, "registered_limits", "registered_limit").await? {
        let new = NewRegisteredLimit::from_json(&body, request.version)?;
        limits.push(RegisteredLimit {
            id: db::new_id(),
            service_id: new.service_id,
            region_id: new.region_id,
            resource_name: new.resource_name.0,
            default_limit: new.default_limit,
            description: new.description,
        });
    }
    let mut transaction = request.state.database.begin().await?;
    for limit in &limits {
        limit.check(&mut transaction).await?;
        resource::insert(&mut transaction, limit).await?;
    }
    transaction.commit().await?;
    let views: Vec<Value> = limits.iter().map(|limit| resource::view(limit, &request.links)).collect();
    Ok((StatusCode::CREATED, Json(json!({"registered_limits": views}))).into_response())
}

async fn update(request: Request, Path(id): Path<String>, change: RegisteredLimitChange) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut limit = locked::<RegisteredLimit>(&request, &mut transaction, &id).await?;
    let before = limit.clone();
    if let Some(service) = change.service_id {
        limit.service_id = service;
    }
    if let Some(region) = change.region_id.change() {
        limit.region_id = region;
    }
    if let Some(Name(name)) = change.resource_name {
        limit.resource_name = name;
    }
    if let Some(default) = change.default_limit {
        limit.default_limit = default;
    }
    if limit != before {
        limit.unused(&mut transaction).await?;
        limit.check(&mut transaction).await?;
    }
    if let Some(description) = change.description.change() {
        limit.description = description;
    }
    resource::change(&request, transaction, &limit).await?;
    Ok(resource::shown(&request, &limit))
}
