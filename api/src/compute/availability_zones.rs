//! `/os-availability-zone`: the zones that hosts are in.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use jiff::Timestamp;
use novella_common::{
    db::services,
    models::{Binary, Service},
    policy,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::strict_query::WithoutQueryExt;
use crate::{authentication::Caller, error::ApiError, state::Api, times::Micros};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(index).without_query()).routes(routes!(detail).without_query())
}

/// `{"availabilityZoneInfo": [...]}`.
#[derive(Serialize, ToSchema)]
struct ZonesBody {
    #[serde(rename = "availabilityZoneInfo")]
    zones: Vec<Zone>,
}

#[derive(Serialize, ToSchema)]
struct Zone {
    #[serde(rename = "zoneName")]
    name: String,
    #[serde(rename = "zoneState")]
    state: ZoneState,
    /// Services by host and name; null in the brief list.
    #[schema(value_type = Object)]
    hosts: Option<BTreeMap<String, BTreeMap<&'static str, ServiceState>>>,
}

#[derive(Serialize, ToSchema)]
struct ZoneState {
    available: bool,
}

#[derive(Serialize, ToSchema)]
struct ServiceState {
    available: bool,
    active: bool,
    #[schema(value_type = Option<String>)]
    updated_at: Option<Micros>,
}

/// Services by zone.
async fn by_zone(api: &Api) -> Result<BTreeMap<String, Vec<Service>>, ApiError> {
    let mut zones: BTreeMap<String, Vec<Service>> = BTreeMap::new();
    for service in services::list(&mut *api.database.read().await?, None, None).await? {
        zones.entry(service.zone.clone()).or_default().push(service);
    }
    Ok(zones)
}

/// A zone can be asked for as long as one of its services is enabled (nova/availability_zones.py).
fn available(services: &[Service]) -> ZoneState {
    ZoneState { available: services.iter().any(|service| !service.disabled) }
}

/// Lists zones.
#[utoipa::path(
    get,
    path = "/os-availability-zone",
    tag = "availability zones",
    responses((status = 200, body = ZonesBody)),
)]
async fn index(State(api): State<Api>, caller: Caller) -> Result<Json<ZonesBody>, ApiError> {
    policy::AVAILABILITY_ZONE_LIST.check_own(&caller.context)?;
    let zones = by_zone(&api).await?.into_iter().filter(|(name, _)| name != Binary::INTERNAL_ZONE);
    let zones = zones.map(|(name, services)| Zone { name, state: available(&services), hosts: None });
    Ok(Json(ZonesBody { zones: zones.collect() }))
}

/// Lists zones with what runs in them.
#[utoipa::path(
    get,
    path = "/os-availability-zone/detail",
    tag = "availability zones",
    responses((status = 200, body = ZonesBody)),
)]
async fn detail(State(api): State<Api>, caller: Caller) -> Result<Json<ZonesBody>, ApiError> {
    policy::AVAILABILITY_ZONE_DETAIL.check_own(&caller.context)?;
    let now = Timestamp::now();
    let zone = |(name, services): (String, Vec<Service>)| {
        let mut hosts: BTreeMap<String, BTreeMap<&'static str, ServiceState>> = BTreeMap::new();
        for service in &services {
            let state = ServiceState {
                available: service.is_up(now, api.service.service_down_time),
                active: !service.disabled,
                updated_at: Some(Micros(service.last_seen)),
            };
            hosts.entry(service.host.clone()).or_default().insert(service.binary.as_str(), state);
        }
        Zone { name, state: available(&services), hosts: Some(hosts) }
    };
    Ok(Json(ZonesBody { zones: by_zone(&api).await?.into_iter().map(zone).collect() }))
}
