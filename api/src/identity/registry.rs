//! The catalog as lists: services, endpoints, regions. For administrators, as in Keystone.

use axum::{Json, extract::Path};
use serde_json::{Value, json};

use super::{
    directory::{administrators_only, collection, not_found},
    token_view::{REGION, Service, catalog},
};
use crate::{authentication::Caller, error::ApiError, links::Links, query::Parameters};

fn service_view(service: &Service, links: &Links) -> Value {
    json!({
        "id": service.id, "name": service.name, "type": service.r#type, "description": "", "enabled": true,
        "links": {"self": links.identity(&format!("services/{}", service.id))},
    })
}

/// The services.
#[utoipa::path(get, path = "/v3/services", tag = "identity", responses((status = 200)))]
pub(super) async fn services(caller: Caller, links: Links, query: Parameters) -> Result<Json<Value>, ApiError> {
    administrators_only(&caller, "identity:list_services")?;
    let is = |name: &str, value: &str| query.get(name).is_none_or(|wanted| wanted == value);
    let catalog = catalog(&links);
    let found = catalog.iter().filter(|service| is("name", service.name) && is("type", service.r#type));
    Ok(collection("services", found.map(|service| service_view(service, &links)).collect(), &links))
}

/// One service, by id.
#[utoipa::path(get, path = "/v3/services/{service_id}", tag = "identity", responses((status = 200)))]
pub(super) async fn service(caller: Caller, links: Links, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    administrators_only(&caller, "identity:get_service")?;
    let catalog = catalog(&links);
    let found = catalog.iter().find(|service| service.id == id).ok_or_else(|| not_found("service", &id))?;
    Ok(Json(json!({"service": service_view(found, &links)})))
}

/// The endpoints of all services.
#[utoipa::path(get, path = "/v3/endpoints", tag = "identity", responses((status = 200)))]
pub(super) async fn endpoints(caller: Caller, links: Links, query: Parameters) -> Result<Json<Value>, ApiError> {
    administrators_only(&caller, "identity:list_endpoints")?;
    let is = |name: &str, value: &str| query.get(name).is_none_or(|wanted| wanted == value);
    let mut found = Vec::new();
    for service in catalog(&links).iter().filter(|service| is("service_id", service.id)) {
        for endpoint in &service.endpoints {
            if is("interface", endpoint.interface) && is("region_id", endpoint.region_id) {
                found.push(json!({
                    "id": endpoint.id, "interface": endpoint.interface, "region": endpoint.region,
                    "region_id": endpoint.region_id, "service_id": service.id, "url": endpoint.url, "enabled": true,
                    "links": {"self": links.identity(&format!("endpoints/{}", endpoint.id))},
                }));
            }
        }
    }
    Ok(collection("endpoints", found, &links))
}

/// The regions: one.
#[utoipa::path(get, path = "/v3/regions", tag = "identity", responses((status = 200)))]
pub(super) async fn regions(_caller: Caller, links: Links) -> Json<Value> {
    collection("regions", vec![region_view(&links)], &links)
}

/// One region, by id.
#[utoipa::path(get, path = "/v3/regions/{region_id}", tag = "identity", responses((status = 200)))]
pub(super) async fn region(_caller: Caller, links: Links, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    if id != REGION {
        return Err(not_found("region", &id));
    }
    Ok(Json(json!({"region": region_view(&links)})))
}

fn region_view(links: &Links) -> Value {
    let own = links.identity(&format!("regions/{REGION}"));
    json!({"id": REGION, "description": "", "parent_region_id": null, "links": {"self": own}})
}
