//! `/os-availability-zone`: the zones that hosts are in.

use std::collections::BTreeMap;

use axum::response::Response;
use novella_common::{
    db::services,
    models::{Binary, Service},
};
use novella_rest::{ApiError, Operation, get, times::Micros};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/os-availability-zone", policy::AVAILABILITY_ZONE_LIST, index)
            .answers_list::<Zone>("availabilityZoneInfo"),
        get("/os-availability-zone/detail", policy::AVAILABILITY_ZONE_DETAIL, detail)
            .answers_list::<Zone>("availabilityZoneInfo"),
    ]
}

#[derive(Serialize, ToSchema)]
struct Zone {
    #[serde(rename = "zoneName")]
    name: String,
    #[serde(rename = "zoneState")]
    state: ZoneState,
    /// Services by host and name; null in the brief list, and where all are disabled.
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

/// As in Nova: by name, those that can be asked for before the others.
fn in_order(zones: impl Iterator<Item = Zone>) -> Vec<Zone> {
    let mut zones: Vec<_> = zones.collect();
    zones.sort_by_key(|zone| !zone.state.available);
    zones
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let zones = by_zone(&request.state).await?.into_iter().filter(|(name, _)| name != Binary::INTERNAL_ZONE);
    let zones = zones.map(|(name, services)| Zone { name, state: available(&services), hosts: None });
    Ok(request.plain("availabilityZoneInfo", in_order(zones)))
}

/// What is disabled is not named, nor are APIs, as in Nova.
async fn detail(request: Request) -> Result<Response, ApiError> {
    let fresh_since = request.state.fresh_since(&mut *request.state.database.read().await?).await?;
    let zone = |(name, services): (String, Vec<Service>)| {
        let state = available(&services);
        let mut hosts: BTreeMap<String, BTreeMap<&'static str, ServiceState>> = BTreeMap::new();
        for service in services.iter().filter(|service| !service.disabled && service.binary != Binary::Api) {
            let state = ServiceState {
                available: service.is_up(&fresh_since),
                active: true,
                updated_at: Some(Micros(service.last_seen)),
            };
            hosts.entry(service.host.clone()).or_default().insert(service.binary.as_str(), state);
        }
        let hosts = state.available.then_some(hosts);
        Zone { name, state, hosts }
    };
    let zones = by_zone(&request.state).await?.into_iter().map(zone);
    Ok(request.plain("availabilityZoneInfo", in_order(zones)))
}
