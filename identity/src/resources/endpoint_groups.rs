//! `/OS-EP-FILTER/endpoint_groups`: endpoints that have something in common, to be given to projects.

use axum::response::Response;
use novella_common::{
    db::list::{Direction, SortKey},
    table,
};
use novella_rest::{
    ApiError, Links, Nullable, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body, patch, post,
};
use serde_json::{Map, Value, json};

use crate::{
    Request, db,
    inputs::{Name, Object, Options, expecting},
    policy,
    resource::{self, Resource, locked, no_marker, with_extra},
};

/// An endpoint group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EndpointGroup {
    pub(super) id: String,
    name: String,
    description: Option<String>,
    /// What its endpoints have: `interface`, `service_id`, `region_id`.
    pub(super) filters: Options,
}

table! {
    EndpointGroup in "endpoint_groups", key text "id";
    id,
    name,
    description,
    filters as Json,
}

static ENDPOINT_GROUPS: ListDescription = ListDescription {
    filters: &[list::text("name", "name")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("name"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ALL: &str = "/OS-EP-FILTER/endpoint_groups";
    const ONE: &str = "/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}";
    let index = resource::index::<EndpointGroup>;
    vec![
        get(ALL, policy::LIST_ENDPOINT_GROUPS, index).list(&ENDPOINT_GROUPS, u16::MAX),
        post(ALL, policy::CREATE_ENDPOINT_GROUP, create).status(201),
        get(ONE, policy::GET_ENDPOINT_GROUP, resource::show::<EndpointGroup>),
        patch(ONE, policy::UPDATE_ENDPOINT_GROUP, update),
        delete(ONE, policy::DELETE_ENDPOINT_GROUP, resource::remove::<EndpointGroup>).status(204),
    ]
}

open_body! {
    /// `POST /OS-EP-FILTER/endpoint_groups`.
    struct NewEndpointGroup in "endpoint_group" {
        name: Name = "name",
        description: Option<String> = "description",
        filters: Object = "filters",
    }
}

open_body! {
    /// `PATCH /OS-EP-FILTER/endpoint_groups/{endpoint_group_id}`.
    struct EndpointGroupChange in "endpoint_group" {
        name: Option<Name> = "name",
        description: Nullable<String> = "description",
        filters: Option<Object> = "filters",
    }
}

impl Resource for EndpointGroup {
    const ONE: &'static str = "endpoint_group";
    const MANY: &'static str = "endpoint_groups";
    const PATH: &'static str = "OS-EP-FILTER/endpoint_groups";
    const CALLED: &'static str = "Endpoint Group";
    const LIST: &'static ListDescription = &ENDPOINT_GROUPS;

    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        let (name, description, filters) = (&self.name, &self.description, &self.filters);
        let fields = json!({"id": self.id, "name": name, "description": description, "filters": filters});
        with_extra(fields, &Map::new())
    }
}

/// Filters by what an endpoint has.
fn checked(Object(filters): Object) -> Result<Options, ApiError> {
    let known = |name: &String| matches!(name.as_str(), "service_id" | "region_id" | "interface");
    if !filters.keys().all(known) {
        return Err(expecting("service_id or region_id or interface", "endpoint_group"));
    }
    if let Some(interface) = filters.get("interface")
        && !matches!(interface.as_str(), Some("public" | "internal" | "admin"))
    {
        return Err(expecting("interface of public, internal or admin", "endpoint_group"));
    }
    Ok(filters)
}

async fn create(request: Request, new: NewEndpointGroup) -> Result<Response, ApiError> {
    let group = EndpointGroup {
        id: db::new_id(),
        name: new.name.0,
        description: new.description,
        filters: checked(new.filters)?,
    };
    let transaction = request.state.database.begin().await?;
    resource::store(&request, transaction, &group).await?;
    Ok(resource::created(&request, &group))
}

async fn update(request: Request, Path(id): Path<String>, change: EndpointGroupChange) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut group = locked::<EndpointGroup>(&request, &mut transaction, &id).await?;
    if let Some(Name(name)) = change.name {
        group.name = name;
    }
    if let Some(description) = change.description.change() {
        group.description = description;
    }
    if let Some(filters) = change.filters {
        group.filters = checked(filters)?;
    }
    resource::change(&request, transaction, &group).await?;
    Ok(resource::shown(&request, &group))
}
