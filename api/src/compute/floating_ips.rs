//! `/os-floating-ips`: Networking's floating IPs in the form that they had here, until 2.35. And how they are found by those
//! who still give them to servers by an action.

use axum::response::Response;
use http::{Method, StatusCode};
use novella_common::{
    db::instances::network_refresh,
    ids::InstanceUuid,
    networks::{Caller, NetworkError, NetworkFilter},
};
use novella_rest::{ApiError, Operation, Path, delete, get, post, wrong};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    networking::{ask, failed, is_not_found, is_refused_as, query_text},
    networks::UNTIL,
};
use crate::{Request, neighbours::caller, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ALL: &str = "/os-floating-ips";
    const ONE: &str = "/os-floating-ips/{floating_ip_id}";
    let operations = [
        get(ALL, policy::FLOATING_IPS_LIST, index).answers_list::<OldFloatingIp>("floating_ips"),
        post(ALL, policy::FLOATING_IPS_CREATE, create).answers::<OldFloatingIp>("floating_ip"),
        get(ONE, policy::FLOATING_IPS_SHOW, show).answers::<OldFloatingIp>("floating_ip"),
        delete(ONE, policy::FLOATING_IPS_DELETE, remove).status(202),
    ];
    operations.into_iter().map(|operation| operation.until(UNTIL)).collect()
}

/// A floating IP, as Networking shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FloatingIp {
    pub(super) id: String,
    floating_ip_address: String,
    fixed_ip_address: Option<String>,
    floating_network_id: String,
    pub(super) port_id: Option<String>,
    port_details: Option<PortDetails>,
}

#[derive(Clone, Debug, Deserialize)]
struct PortDetails {
    device_id: String,
}

impl FloatingIp {
    /// What has its port: an instance's id, or another device's.
    fn device(&self) -> Option<&str> {
        self.port_details.as_ref().map(|port| port.device_id.as_str()).filter(|device| !device.is_empty())
    }

    /// The instance that it leads to.
    pub(super) fn instance(&self) -> Option<InstanceUuid> {
        self.device().and_then(|device| device.parse().ok())
    }
}

/// A floating IP, as it is shown here.
#[derive(Serialize, ToSchema)]
struct OldFloatingIp {
    id: String,
    ip: String,
    fixed_ip: Option<String>,
    instance_id: Option<String>,
    pool: String,
}

/// The floating IP of this address.
///
/// # Errors
/// 404 if there is none; 409 if there are several.
pub(super) async fn of_address(request: &Request, address: &str) -> Result<FloatingIp, ApiError> {
    let path = format!("/floatingips?floating_ip_address={}", query_text(address));
    let mut found: Vec<FloatingIp> =
        ask(&request.state, caller(request), (Method::GET, &path), None, "floatingips").await.map_err(failed)?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(ApiError::not_found(format!("Floating IP not found for address {address}."))),
        _ => Err(ApiError::Conflict(format!("Multiple floating IPs are found for address {address}."))),
    }
}

/// Lets a floating IP lead to an address of a port, or nowhere.
///
/// # Errors
/// Networking refuses, or can't be asked.
pub(super) async fn lead(
    api: &Api,
    caller: Caller<'_>,
    id: &str,
    to: Option<(&str, &str)>,
) -> Result<(), NetworkError> {
    let change = match to {
        Some((port, address)) => json!({"port_id": port, "fixed_ip_address": address}),
        None => json!({"port_id": null}),
    };
    let body = json!({ "floatingip": change });
    api.networking.send(caller, Method::PUT, &format!("/floatingips/{id}"), Some(body)).await.map(drop)
}

/// Has servers show the floating IPs that they have now. What can't be done at this moment is done when Networking tells of
/// it, or a conductor looks.
pub(super) async fn show_now(api: &Api, instances: &[InstanceUuid]) {
    if let Err(error) = network_refresh::refresh(&api.database, &*api.networks, instances).await {
        tracing::warn!(%error, "what servers have of Networking could not be written down");
    }
}

async fn one(request: &Request, id: &str) -> Result<FloatingIp, ApiError> {
    let path = format!("/floatingips/{}", query_text(id));
    let found = ask(&request.state, caller(request), (Method::GET, &path), None, "floatingip").await;
    found.map_err(|error| match error {
        error if is_not_found(&error) => ApiError::not_found(format!("Floating IP not found for ID {id}")),
        error => failed(error),
    })
}

async fn shown(request: &Request, floating_ips: Vec<FloatingIp>) -> Result<Vec<OldFloatingIp>, ApiError> {
    if floating_ips.is_empty() {
        return Ok(Vec::new());
    }
    let mut pools: Vec<String> = floating_ips.iter().map(|ip| ip.floating_network_id.clone()).collect();
    pools.sort_unstable();
    pools.dedup();
    let pools = request.state.networks.networks(caller(request), NetworkFilter::Ids(pools)).await.map_err(failed)?;
    let shown = |ip: FloatingIp| {
        let pool = pools.iter().find(|network| network.id == ip.floating_network_id && !network.name.is_empty());
        OldFloatingIp {
            instance_id: ip.device().map(ToOwned::to_owned),
            pool: pool.map_or(ip.floating_network_id, |network| network.name.clone()),
            id: ip.id,
            ip: ip.floating_ip_address,
            fixed_ip: ip.fixed_ip_address,
        }
    };
    Ok(floating_ips.into_iter().map(shown).collect())
}

async fn answer_one(request: &Request, floating_ip: FloatingIp) -> Result<Response, ApiError> {
    let shown = shown(request, vec![floating_ip]).await?.pop().ok_or(ApiError::Broken)?;
    Ok(request.plain("floating_ip", shown))
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let path = format!("/floatingips?project_id={}", query_text(request.project()?));
    let found =
        ask(&request.state, caller(&request), (Method::GET, &path), None, "floatingips").await.map_err(failed)?;
    Ok(request.plain("floating_ips", shown(&request, found).await?))
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let floating_ip = one(&request, &id).await?;
    answer_one(&request, floating_ip).await
}

async fn create(mut request: Request) -> Result<Response, ApiError> {
    let pool = match request.json().await? {
        Value::Null => None,
        Value::Object(body) => match body.get("pool") {
            None | Some(Value::Null) => None,
            Some(Value::String(pool)) => Some(pool.clone()),
            Some(other) => return Err(wrong("pool", other, "It must be a text or null.")),
        },
        other => return Err(wrong("", other, "It must be an object or null.")),
    };
    let network = pool_id(&request, pool.as_deref()).await?;
    let in_pool = pool.map(|pool| format!(" in pool {pool}"));
    let body = json!({"floatingip": {"floating_network_id": network}});
    let made = ask(&request.state, caller(&request), (Method::POST, "/floatingips"), Some(body), "floatingip").await;
    let made = made.map_err(|error| {
        if is_refused_as(&error, &["IpAddressGenerationFailure", "ExternalIpAddressExhausted"]) {
            let place = in_pool.clone().unwrap_or_else(|| " available".into());
            return ApiError::not_found(format!("No more floating IPs{place}."));
        }
        if is_refused_as(&error, &["OverQuota"]) {
            return ApiError::Forbidden(format!("IP allocation over quota{}.", in_pool.as_deref().unwrap_or_default()));
        }
        failed(error)
    })?;
    answer_one(&request, made).await
}

/// The external network of this id or name. Where none is named: the one by default, or the only one.
async fn pool_id(request: &Request, pool: Option<&str>) -> Result<String, ApiError> {
    #[derive(Deserialize)]
    struct External {
        id: String,
        name: String,
        is_default: Option<bool>,
    }
    let path = "/networks?router:external=true&fields=id&fields=name&fields=is_default";
    let mut found: Vec<External> =
        ask(&request.state, caller(request), (Method::GET, path), None, "networks").await.map_err(failed)?;
    match pool {
        Some(pool) => found.retain(|network| network.id == pool || network.name == pool),
        None if found.iter().any(|network| network.is_default == Some(true)) => {
            found.retain(|network| network.is_default == Some(true));
        }
        None => {}
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only.id),
        (None, _) => Err(ApiError::not_found("Floating IP pool not found.")),
        _ => Err(ApiError::Conflict(format!(
            "Multiple floating IP pools matches found for name '{}'",
            pool.unwrap_or_default()
        ))),
    }
}

async fn remove(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let floating_ip = one(&request, &id).await?;
    let path = format!("/floatingips/{}", floating_ip.id);
    request.state.networking.send(caller(&request), Method::DELETE, &path, None).await.map_err(failed)?;
    if let Some(instance) = floating_ip.instance() {
        show_now(&request.state, &[instance]).await;
    }
    Ok(StatusCode::ACCEPTED)
}
