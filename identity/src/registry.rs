//! The catalog as lists: services, endpoints, regions. For administrators, as in Keystone.

use axum::{Json, response::Response};
use novella_rest::{ApiError, FieldTable, Links, Path, field};
use serde_json::{Value, json};

use crate::{
    Request,
    directory::{collection, not_found},
    token_view::{REGION, Service, catalog},
};

pub(crate) const SERVICES: FieldTable = FieldTable(&[field("name"), field("type")]);
pub(crate) const ENDPOINTS: FieldTable = FieldTable(&[field("service_id"), field("interface"), field("region_id")]);

fn service_view(service: &Service, links: &Links) -> Value {
    json!({
        "id": service.id, "name": service.name, "type": service.r#type, "description": "", "enabled": true,
        "links": {"self": links.to(&format!("services/{}", service.id))},
    })
}

/// The services.
pub(crate) async fn services(request: Request) -> Result<Json<Value>, ApiError> {
    let is = |name: &str, value: &str| request.query.get(name).is_none_or(|wanted| wanted == value);
    let catalog = catalog(&request.state.config.catalog, &request.links);
    let found = catalog.iter().filter(|service| is("name", service.name) && is("type", service.r#type));
    let views = found.map(|service| service_view(service, &request.links)).collect();
    Ok(collection("services", views, &request.links))
}

/// One service, by id.
pub(crate) async fn service(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let catalog = catalog(&request.state.config.catalog, &request.links);
    let found = catalog.iter().find(|service| service.id == id).ok_or_else(|| not_found("service", &id))?;
    Ok(request.plain("service", service_view(found, &request.links)))
}

/// The endpoints of all services.
pub(crate) async fn endpoints(request: Request) -> Result<Json<Value>, ApiError> {
    let is = |name: &str, value: &str| request.query.get(name).is_none_or(|wanted| wanted == value);
    let mut found = Vec::new();
    for service in catalog(&request.state.config.catalog, &request.links) {
        if !is("service_id", service.id) {
            continue;
        }
        for endpoint in &service.endpoints {
            if is("interface", endpoint.interface) && is("region_id", endpoint.region_id) {
                found.push(json!({
                    "id": endpoint.id, "interface": endpoint.interface, "region": endpoint.region,
                    "region_id": endpoint.region_id, "service_id": service.id, "url": endpoint.url, "enabled": true,
                    "links": {"self": request.links.to(&format!("endpoints/{}", endpoint.id))},
                }));
            }
        }
    }
    Ok(collection("endpoints", found, &request.links))
}

/// The regions: one.
pub(crate) async fn regions(request: Request) -> Result<Json<Value>, ApiError> {
    Ok(collection("regions", vec![region_view(&request.links)], &request.links))
}

/// One region, by id.
pub(crate) async fn region(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    if id != REGION {
        return Err(not_found("region", &id));
    }
    Ok(request.plain("region", region_view(&request.links)))
}

fn region_view(links: &Links) -> Value {
    let own = links.to(&format!("regions/{REGION}"));
    json!({"id": REGION, "description": "", "parent_region_id": null, "links": {"self": own}})
}
