//! `/availability_zones` and `/service-providers`: where things are, and by what they are done. There is one of each.

use axum::Json;
use novella_rest::{ApiError, Operation, get};
use serde_json::{Map, Value, json};

use super::ZONE;
use crate::{Networking, Request, policy};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    vec![
        get("/availability_zones", policy::GET_AVAILABILITY_ZONE, zones),
        get("/service-providers", policy::GET_SERVICE_PROVIDER, providers),
    ]
}

/// What of these fulfils the query, with the fields that it asks for.
fn chosen(request: &Request, all: Vec<Value>) -> Vec<Value> {
    let fields: Vec<&str> = request.query.all("fields").collect();
    let fits = |item: &Value| {
        request
            .query
            .iter()
            .filter(|(name, _)| item.get(*name).is_some())
            .all(|(name, _)| request.query.all(name).any(|value| item[name].as_str() == Some(value)))
    };
    let cut = |item: Value| match item {
        Value::Object(item) if !fields.is_empty() => {
            Value::Object(item.into_iter().filter(|(name, _)| fields.contains(&name.as_str())).collect::<Map<_, _>>())
        }
        item => item,
    };
    all.into_iter().filter(fits).map(cut).collect()
}

async fn zones(request: Request) -> Result<Json<Value>, ApiError> {
    let zone = |resource: &str| json!({"name": ZONE, "resource": resource, "state": "available"});
    Ok(Json(json!({"availability_zones": chosen(&request, vec![zone("network"), zone("router")])})))
}

async fn providers(request: Request) -> Result<Json<Value>, ApiError> {
    let provider = json!({"service_type": "L3_ROUTER_NAT", "name": "single_node", "default": true});
    Ok(Json(json!({"service_providers": chosen(&request, vec![provider])})))
}
