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

async fn index(request: Request) -> Result<Response, ApiError> {
    let zones = by_zone(&request.state).await?.into_iter().filter(|(name, _)| name != Binary::INTERNAL_ZONE);
    let zones = zones.map(|(name, services)| Zone { name, state: available(&services), hosts: None });
    Ok(request.plain("availabilityZoneInfo", zones.collect::<Vec<_>>()))
}

async fn detail(request: Request) -> Result<Response, ApiError> {
    let fresh_since = request.state.fresh_since(&mut *request.state.database.read().await?).await?;
    let zone = |(name, services): (String, Vec<Service>)| {
        let mut hosts: BTreeMap<String, BTreeMap<&'static str, ServiceState>> = BTreeMap::new();
        for service in &services {
            let state = ServiceState {
                available: service.is_up(&fresh_since),
                active: !service.disabled,
                updated_at: Some(Micros(service.last_seen)),
            };
            hosts.entry(service.host.clone()).or_default().insert(service.binary.as_str(), state);
        }
        Zone { name, state: available(&services), hosts: Some(hosts) }
    };
    let zones = by_zone(&request.state).await?.into_iter().map(zone);
    Ok(request.plain("availabilityZoneInfo", zones.collect::<Vec<_>>()))
}
