//! `/os-networks`, `/os-tenant-networks`, `/os-floating-ip-pools`: networks in the forms that they had when Compute had them
//! itself, until 2.35.

use std::collections::BTreeMap;

use axum::response::Response;
use novella_common::networks::{Network, NetworkFilter};
use novella_rest::{ApiError, Operation, Path, get};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::networking::failed;
use crate::{Request, neighbours::caller, policy, state::Api};

/// The last minor version that has them.
pub(super) const UNTIL: u16 = 35;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    let operations = [
        get("/os-networks", policy::NETWORKS_LIST, index).answers_list::<OldNetwork>("networks"),
        get("/os-networks/{network_id}", policy::NETWORKS_SHOW, show).answers::<OldNetwork>("network"),
        get("/os-tenant-networks", policy::TENANT_NETWORKS_LIST, tenant_index)
            .answers_list::<TenantNetwork>("networks"),
        get("/os-tenant-networks/{network_id}", policy::TENANT_NETWORKS_SHOW, tenant_show)
            .answers::<TenantNetwork>("network"),
        get("/os-floating-ip-pools", policy::FLOATING_IP_POOLS, pools).answers_list::<Pool>("floating_ip_pools"),
    ];
    operations.into_iter().map(|operation| operation.until(UNTIL)).collect()
}

/// What a network had that Networking does not tell, beside its id and its label.
const FIELDS: [&str; 9] =
    ["cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6", "netmask_v6"];

/// The same, for administrators.
const ADMIN_FIELDS: [&str; 21] = [
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
    "injected",
    "bridge",
    "vlan",
    "vpn_public_address",
    "vpn_public_port",
    "vpn_private_address",
    "dhcp_start",
    "project_id",
    "host",
    "bridge_interface",
    "multi_host",
    "priority",
    "rxtx_base",
    "mtu",
    "dhcp_server",
    "enable_dhcp",
    "share_address",
];

/// A network, of whose fields all but two are null.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Object)]
struct OldNetwork(BTreeMap<&'static str, Value>);

impl OldNetwork {
    fn of(request: &Request, network: &Network) -> Self {
        let admins: &[_] = if request.context.is_admin { &ADMIN_FIELDS } else { &[] };
        let mut fields: BTreeMap<_, _> = FIELDS.iter().chain(admins).map(|name| (*name, Value::Null)).collect();
        fields.insert("id", json!(network.id));
        fields.insert("label", json!(network.name));
        Self(fields)
    }
}

/// A network, as projects saw it. The text `None` is what Nova answers.
#[derive(Serialize, ToSchema)]
struct TenantNetwork {
    id: String,
    cidr: &'static str,
    label: String,
}

impl TenantNetwork {
    fn of(network: Network) -> Self {
        Self { id: network.id, cidr: "None", label: network.name }
    }
}

/// Where floating IPs are from: an external network.
#[derive(Serialize, ToSchema)]
struct Pool {
    name: String,
}

async fn find(request: &Request, filter: NetworkFilter) -> Result<Vec<Network>, ApiError> {
    request.state.networks.networks(caller(request), filter).await.map_err(failed)
}

async fn one(request: &Request, id: String) -> Result<Network, ApiError> {
    let found = find(request, NetworkFilter::Ids(vec![id])).await?.pop();
    found.ok_or_else(|| ApiError::not_found("Network not found"))
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let found = find(&request, NetworkFilter::All).await?;
    let shown: Vec<_> = found.iter().map(|network| OldNetwork::of(&request, network)).collect();
    Ok(request.plain("networks", shown))
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let network = one(&request, id).await?;
    Ok(request.plain("network", OldNetwork::of(&request, &network)))
}

async fn tenant_index(request: Request) -> Result<Response, ApiError> {
    let found = find(&request, NetworkFilter::All).await?;
    Ok(request.plain("networks", found.into_iter().map(TenantNetwork::of).collect::<Vec<_>>()))
}

async fn tenant_show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let network = one(&request, id).await?;
    Ok(request.plain("network", TenantNetwork::of(network)))
}

async fn pools(request: Request) -> Result<Response, ApiError> {
    let external = find(&request, NetworkFilter::All).await?.into_iter().filter(|network| network.external);
    let name = |network: Network| Pool { name: if network.name.is_empty() { network.id } else { network.name } };
    Ok(request.plain("floating_ip_pools", external.map(name).collect::<Vec<_>>()))
}
