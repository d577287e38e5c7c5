//! `/services`: what is in the catalog.

use axum::response::Response;
use novella_common::{
    db::{
        Connection,
        list::{Direction, SortKey},
    },
    sql, table,
};
use novella_rest::{
    ApiError, Links, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body, patch, post,
};
use serde_json::{Map, Value, json};

use crate::{
    Request, db,
    inputs::{Flag, Name},
    policy,
    resource::{self, Resource, locked, no_marker, with_extra},
};

/// A service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Service {
    pub(crate) id: String,
    /// Such as `compute`.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) extra: Map<String, Value>,
}

table! {
    Service in "catalog_services", key text "id";
    id,
    kind = "type",
    name,
    enabled,
    extra as Json,
}

static SERVICES: ListDescription = ListDescription {
    filters: &[list::text("type", "type"), list::text("name", "name")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("type"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/services/{service_id}";
    vec![
        get("/services", policy::LIST_SERVICES, resource::index::<Service>).list(&SERVICES, u16::MAX),
        post("/services", policy::CREATE_SERVICE, create).status(201),
        get(ONE, policy::GET_SERVICE, resource::show::<Service>),
        patch(ONE, policy::UPDATE_SERVICE, update),
        delete(ONE, policy::DELETE_SERVICE, resource::remove::<Service>).status(204),
    ]
}

open_body! {
    /// `POST /services`.
    struct NewService in "service" {
        kind: Name = "type",
        name: Option<String> = "name",
        enabled: Option<Flag> = "enabled",
    }
}

open_body! {
    /// `PATCH /services/{service_id}`.
    struct ServiceChange in "service" {
        kind: Option<Name> = "type",
        name: Option<String> = "name",
        enabled: Option<Flag> = "enabled",
    }
}

impl Resource for Service {
    const ONE: &'static str = "service";
    const MANY: &'static str = "services";
    const LIST: &'static ListDescription = &SERVICES;
    const IN_TOKENS: bool = true;

    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        let fields = json!({"id": self.id, "type": self.kind, "name": self.name, "enabled": self.enabled});
        with_extra(fields, &self.extra)
    }

    async fn before_removal(&self, transaction: &mut Connection) -> Result<(), ApiError> {
        let limits: i64 =
            sql!("SELECT COUNT(*) FROM registered_limits WHERE service_id = "(self.id)).fetch_one(transaction).await?;
        if limits > 0 {
            return Err(ApiError::Forbidden(format!(
                "Unable to delete service {}: it has registered limits.",
                self.id
            )));
        }
        Ok(())
    }
}

async fn create(request: Request, new: NewService) -> Result<Response, ApiError> {
    let service = Service {
        id: db::new_id(),
        kind: new.kind.0,
        name: new.name.unwrap_or_default(),
        enabled: new.enabled.is_none_or(|flag| flag.0),
        extra: new.extra,
    };
    let transaction = request.state.database.begin().await?;
    resource::store(&request, transaction, &service).await?;
    Ok(resource::created(&request, &service))
}

async fn update(request: Request, Path(id): Path<String>, change: ServiceChange) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut service = locked::<Service>(&request, &mut transaction, &id).await?;
    if let Some(Name(kind)) = change.kind {
        service.kind = kind;
    }
    if let Some(name) = change.name {
        service.name = name;
    }
    if let Some(Flag(enabled)) = change.enabled {
        service.enabled = enabled;
    }
    service.extra.extend(change.extra);
    resource::change(&request, transaction, &service).await?;
    Ok(resource::shown(&request, &service))
}
