//! `/compute`: the OpenStack Compute API, one module per resource.

mod aggregates;
mod assisted_volume_snapshots;
mod availability_zones;
mod console_auth_tokens;
mod extensions;
mod external_events;
mod flavors;
mod floating_ips;
mod hosts;
mod hypervisors;
mod images;
mod keypairs;
mod limits;
mod migrations;
mod networking;
mod networks;
mod proxies;
mod quotas;
mod removed;
mod security_groups;
mod server_groups;
mod servers;
mod services;
mod tenant_usage;
mod usage_audit_log;
mod versions;

pub(crate) use self::servers::ServerWriter;

use http::StatusCode;
use novella_rest::{Family, Microversion, Operation, Service};
use serde_json::{Value, json};

use crate::{policy, state::Api};

/// The Compute service.
///
/// Every microversion up to the highest is served for the resources that exist: what a version adds to one that Novella
/// does not have yet (volumes) is a 404, or a 400 that says so, at every version alike.
pub static COMPUTE: Service = Service {
    name: "nova",
    kind: "compute",
    root: "/compute",
    version_path: "/v2.1",
    endpoint: "compute/v2.1",
    microversions: Some(MICROVERSIONS),
    envelope,
    policy: policy::ALL,
    token_first: true,
    project_in_path: true,
    no_query_since: Some(102),
    refused_methods: &[],
    documents: versions::DOCUMENTS,
};

/// The microversions that are served.
pub const MICROVERSIONS: Family = Family {
    service: "compute",
    min: Microversion::new(2, 1),
    max: Microversion::new(2, 104),
    legacy_header: Some("x-openstack-nova-api-version"),
};

/// Every operation.
#[must_use]
pub fn operations() -> Vec<Operation<Api>> {
    [
        flavors::operations(),
        servers::operations(),
        migrations::operations(),
        services::operations(),
        hypervisors::operations(),
        keypairs::operations(),
        server_groups::operations(),
        quotas::operations(),
        limits::operations(),
        aggregates::operations(),
        availability_zones::operations(),
        extensions::operations(),
        hosts::operations(),
        tenant_usage::operations(),
        usage_audit_log::operations(),
        external_events::operations(),
        console_auth_tokens::operations(),
        assisted_volume_snapshots::operations(),
        networks::operations(),
        floating_ips::operations(),
        security_groups::operations(),
        images::operations(),
        proxies::operations(),
        removed::operations(),
        versions::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The form of an error (nova/api/openstack/wsgi.py, `Fault`).
fn envelope(status: StatusCode, message: &str) -> Value {
    let name = match status.as_u16() {
        400 => "badRequest",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "itemNotFound",
        405 => "badMethod",
        409 => "conflictingRequest",
        413 | 429 => "overLimit",
        415 => "badMediaType",
        501 => "notImplemented",
        503 => "serviceUnavailable",
        _ => "computeFault",
    };
    json!({ name: {"code": status.as_u16(), "message": message} })
}
