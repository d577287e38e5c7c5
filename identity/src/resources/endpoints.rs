//! `/endpoints`: where the services of the catalog are.

use axum::response::Response;
use novella_common::{
    db::{
        Connection,
        list::{Direction, SortKey},
        table::insert,
    },
    table,
};
use novella_rest::{
    ApiError, Links, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body, patch, post,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{regions::Region, services::Service};
use crate::{
    Request,
    catalog::reachable,
    db,
    inputs::expecting,
    policy,
    resource::{self, Resource, locked, look_up, no_marker, with_extra},
};

/// An endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) service_id: String,
    pub(crate) region_id: Option<String>,
    /// `public`, `internal` or `admin`.
    pub(crate) interface: String,
    /// Without a scheme: below where this cloud is reached.
    pub(crate) url: String,
    pub(crate) enabled: bool,
    pub(crate) extra: Map<String, Value>,
}

table! {
    Endpoint in "catalog_endpoints", key text "id";
    id,
    service_id,
    region_id,
    interface,
    url,
    enabled,
    extra as Json,
}

static ENDPOINTS: ListDescription = ListDescription {
    filters: &[
        list::text("service_id", "service_id"),
        list::text("interface", "interface"),
        list::text("region_id", "region_id"),
    ],
    sort_keys: &[],
    default_sort: &[(SortKey::text("service_id"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/endpoints/{endpoint_id}";
    vec![
        get("/endpoints", policy::LIST_ENDPOINTS, resource::index::<Endpoint>).list(&ENDPOINTS, u16::MAX),
        post("/endpoints", policy::CREATE_ENDPOINT, create).status(201),
        get(ONE, policy::GET_ENDPOINT, resource::show::<Endpoint>),
        patch(ONE, policy::UPDATE_ENDPOINT, update),
        delete(ONE, policy::DELETE_ENDPOINT, resource::remove::<Endpoint>).status(204),
    ]
}

/// Whom an endpoint is for.
#[derive(Clone, Debug)]
struct Interface(String);

impl<'de> Deserialize<'de> for Interface {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        match name.as_str() {
            "admin" | "internal" | "public" => Ok(Self(name)),
            _ => Err(serde::de::Error::custom(format!("'{name}' is not one of ['admin', 'internal', 'public']"))),
        }
    }
}

/// A URL with a scheme.
#[derive(Clone, Debug)]
struct Url(String);

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = String::deserialize(deserializer)?;
        let scheme = url.split_once(':').is_some_and(|(scheme, _)| {
            !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
        });
        if url.chars().count() > 225 {
            return Err(serde::de::Error::custom(format!("'{url}' is too long")));
        }
        if scheme {
            Ok(Self(url))
        } else {
            Err(serde::de::Error::custom(format!("'{url}' does not match '^[a-zA-Z0-9+.-]+:.+'")))
        }
    }
}

novella_rest::documented_as! {
    Interface => String;
    Url => String;
}

open_body! {
    /// `POST /endpoints`.
    struct NewEndpoint in "endpoint" {
        service_id: String = "service_id",
        interface: Interface = "interface",
        url: Url = "url",
        region_id: Option<String> = "region_id",
        region: Option<String> = "region",
        // Here no word counts for a boolean.
        enabled: Option<bool> = "enabled",
    }
}

open_body! {
    /// `PATCH /endpoints/{endpoint_id}`.
    struct EndpointChange in "endpoint" {
        service_id: Option<String> = "service_id",
        interface: Option<Interface> = "interface",
        url: Option<Url> = "url",
        region_id: Option<String> = "region_id",
        region: Option<String> = "region",
        enabled: Option<bool> = "enabled",
    }
}

impl Resource for Endpoint {
    const ONE: &'static str = "endpoint";
    const MANY: &'static str = "endpoints";
    const LIST: &'static ListDescription = &ENDPOINTS;
    const IN_TOKENS: bool = true;

    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self, links: &Links) -> Map<String, Value> {
        let fields = json!({
            "id": self.id, "interface": self.interface, "service_id": self.service_id, "enabled": self.enabled,
            "region": self.region_id, "region_id": self.region_id, "url": reachable(&self.url, links),
        });
        with_extra(fields, &self.extra)
    }
}

/// What an endpoint names is there, or, of a region that is named as older clients do, made.
async fn check(transaction: &mut Connection, endpoint: &Endpoint, make_region: bool) -> Result<(), ApiError> {
    let service: Option<Service> = look_up(transaction, &endpoint.service_id).await?;
    service.ok_or_else(|| expecting("endpoint service_id", "service table"))?;
    let Some(id) = &endpoint.region_id else { return Ok(()) };
    let region: Option<Region> = look_up(transaction, id).await?;
    match region {
        Some(_) => Ok(()),
        None if make_region => {
            let region =
                Region { id: id.clone(), description: String::new(), parent_region_id: None, extra: Map::new() };
            Ok(insert(transaction, &region).await?)
        }
        None => Err(expecting("endpoint region_id", "region table")),
    }
}

async fn create(request: Request, new: NewEndpoint) -> Result<Response, ApiError> {
    let make_region = new.region_id.is_none();
    let endpoint = Endpoint {
        id: db::new_id(),
        service_id: new.service_id,
        region_id: new.region_id.or(new.region),
        interface: new.interface.0,
        url: new.url.0,
        enabled: new.enabled.unwrap_or(true),
        extra: new.extra,
    };
    let mut transaction = request.state.database.begin().await?;
    check(&mut transaction, &endpoint, make_region).await?;
    resource::store(&request, transaction, &endpoint).await?;
    Ok(resource::created(&request, &endpoint))
}

async fn update(request: Request, Path(id): Path<String>, change: EndpointChange) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut endpoint = locked::<Endpoint>(&request, &mut transaction, &id).await?;
    let make_region = change.region_id.is_none();
    if let Some(service) = change.service_id {
        endpoint.service_id = service;
    }
    if let Some(Interface(interface)) = change.interface {
        endpoint.interface = interface;
    }
    if let Some(Url(url)) = change.url {
        endpoint.url = url;
    }
    if let Some(region) = change.region_id.or(change.region) {
        endpoint.region_id = Some(region);
    }
    if let Some(enabled) = change.enabled {
        endpoint.enabled = enabled;
    }
    endpoint.extra.extend(change.extra);
    check(&mut transaction, &endpoint, make_region).await?;
    resource::change(&request, transaction, &endpoint).await?;
    Ok(resource::shown(&request, &endpoint))
}
