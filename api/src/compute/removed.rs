//! What Nova once had and has taken out of every version: 410, whatever is asked.
//!
//! Source: nova/api/openstack/compute (34.0.0), the methods that raise `HTTPGone`.

use http::StatusCode;
use novella_rest::{ApiError, Operation, delete, get, policy::EVERYBODY, post, put};

use crate::{Request, state::Api};

/// Paths and the methods that were there.
static REMOVED: &[(&str, &[&str])] = &[
    ("/os-agents", &["GET", "POST"]),
    ("/os-agents/{agent_id}", &["PUT", "DELETE"]),
    ("/os-cells", &["GET", "POST"]),
    ("/os-cells/capacities", &["GET"]),
    ("/os-cells/detail", &["GET"]),
    ("/os-cells/info", &["GET"]),
    ("/os-cells/sync_instances", &["POST"]),
    ("/os-cells/{cell_id}", &["GET", "PUT", "DELETE"]),
    ("/os-cells/{cell_id}/capacities", &["GET"]),
    ("/os-certificates", &["POST"]),
    ("/os-certificates/{certificate_id}", &["GET"]),
    ("/os-cloudpipe", &["GET", "POST"]),
    ("/os-cloudpipe/{cloudpipe_id}", &["PUT"]),
    ("/os-fixed-ips/{fixed_ip}", &["GET"]),
    ("/os-floating-ip-dns", &["GET"]),
    ("/os-floating-ip-dns/{domain_id}", &["PUT", "DELETE"]),
    ("/os-floating-ip-dns/{domain_id}/entries/{entry}", &["GET", "PUT", "DELETE"]),
    ("/os-floating-ips-bulk", &["GET", "POST"]),
    ("/os-floating-ips-bulk/{host}", &["GET", "PUT"]),
    ("/os-fping", &["GET"]),
    ("/os-fping/{server_id}", &["GET"]),
    ("/os-networks", &["POST"]),
    ("/os-networks/add", &["POST"]),
    ("/os-networks/{network_id}", &["DELETE"]),
    ("/os-security-group-default-rules", &["GET", "POST"]),
    ("/os-security-group-default-rules/{rule_id}", &["GET", "DELETE"]),
    ("/os-tenant-networks", &["POST"]),
    ("/os-tenant-networks/{network_id}", &["DELETE"]),
    ("/servers/{server_id}/consoles", &["GET", "POST"]),
    ("/servers/{server_id}/consoles/{console_id}", &["GET", "DELETE"]),
    ("/servers/{server_id}/os-virtual-interfaces", &["GET"]),
];

/// Paths and the actions that were there.
static REMOVED_ACTIONS: &[(&str, &[&str])] = &[
    ("/os-fixed-ips/{fixed_ip}/action", &["reserve", "unreserve"]),
    (
        "/os-networks/{network_id}/action",
        &["disassociate", "disassociate_host", "disassociate_project", "associate_host"],
    ),
    ("/servers/{server_id}/action", &["resetNetwork"]),
];

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    let methods = REMOVED.iter().flat_map(|(path, methods)| {
        methods.iter().map(|method| match *method {
            "POST" => post(path, EVERYBODY, gone),
            "PUT" => put(path, EVERYBODY, gone),
            "DELETE" => delete(path, EVERYBODY, gone),
            _ => get(path, EVERYBODY, gone),
        })
    });
    let actions = REMOVED_ACTIONS
        .iter()
        .flat_map(|(path, actions)| actions.iter().map(|action| post(path, EVERYBODY, gone).action(action)));
    methods.chain(actions).map(|operation| operation.status(410)).collect()
}

async fn gone(_: Request) -> Result<StatusCode, ApiError> {
    Err(ApiError::Gone("This resource is gone.".into()))
}
