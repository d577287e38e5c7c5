//! What an event says: names as in the Compute API, so that a list that was read there can be kept up by events.

use axum::body::Bytes;
use jiff::Timestamp;
use novella_common::{
    lifecycle::server_status,
    models::{ComputeNode, Fault, FreshSince, Instance, Migration, MigrationProgress, Service},
};
use novella_rest::times::{Micros, MicrosUtc, Seconds};
use serde::Serialize;
use uuid::Uuid;

use super::feed::{Event, Key};

/// A server, as far as a list shows it.
#[derive(Serialize)]
struct ServerEvent<'i> {
    id: Uuid,
    name: &'i str,
    status: &'static str,
    #[serde(rename = "OS-EXT-STS:vm_state")]
    vm_state: &'static str,
    #[serde(rename = "OS-EXT-STS:task_state")]
    task_state: Option<&'static str>,
    #[serde(rename = "OS-EXT-STS:power_state")]
    power_state: i64,
    #[serde(rename = "OS-EXT-SRV-ATTR:host", skip_serializing_if = "Option::is_none")]
    host: Option<Option<&'i str>>,
    tenant_id: &'i str,
    user_id: &'i str,
    flavor: FlavorOf<'i>,
    image: Option<&'i str>,
    address: Option<&'i str>,
    locked: bool,
    fault: Option<FaultOf<'i>>,
    /// The request that what is under way belongs to.
    request_id: Option<&'i str>,
    created: Seconds,
    updated: MicrosUtc,
}

#[derive(Serialize)]
struct FlavorOf<'i> {
    original_name: &'i str,
    vcpus: i64,
    ram: i64,
    disk: i64,
}

#[derive(Serialize)]
struct FaultOf<'i> {
    code: i64,
    message: &'i str,
}

/// A migration. The fields until `updated_at` are those of `/os-migrations` and `/servers/{server_id}/migrations`.
#[derive(Serialize)]
struct MigrationEvent<'m> {
    id: i64,
    uuid: Uuid,
    instance_uuid: Uuid,
    migration_type: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_compute: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_compute: Option<Option<&'m str>>,
    memory_total_bytes: i64,
    memory_processed_bytes: i64,
    memory_remaining_bytes: i64,
    disk_total_bytes: i64,
    disk_processed_bytes: i64,
    disk_remaining_bytes: i64,
    project_id: Option<&'m str>,
    created_at: Micros,
    updated_at: MicrosUtc,
    error: Option<&'m str>,
    request_id: &'m str,
}

/// A compute host. The names are those of `/os-hypervisors/detail` before 2.88, in one object.
#[derive(Serialize)]
struct HostEvent<'h> {
    hypervisor_hostname: &'h str,
    /// The id of its service, by which it is enabled and disabled.
    service_id: &'h str,
    zone: &'h str,
    state: &'static str,
    status: &'static str,
    disabled_reason: Option<&'h str>,
    vcpus: i64,
    /// What may be claimed, with what is given out more than once.
    vcpus_capacity: i64,
    vcpus_used: i64,
    memory_mb: i64,
    memory_mb_capacity: i64,
    memory_mb_used: i64,
    local_gb: i64,
    local_gb_capacity: i64,
    local_gb_used: i64,
    running_vms: i64,
}

/// A service.
#[derive(Serialize)]
struct ServiceEvent<'s> {
    id: &'s str,
    binary: &'static str,
    host: &'s str,
    zone: &'s str,
    state: &'static str,
    status: &'static str,
    disabled_reason: Option<&'s str>,
    since: MicrosUtc,
}

/// A frame without its end: what may follow is an id.
pub(super) fn frame(event: &str, data: &impl Serialize) -> Bytes {
    // Data of these types can always be written; JSON has no line break, which would end the field.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {event}\ndata: {data}\n").into()
}

pub(super) fn server(instance: &Instance, fault: Option<&Fault>) -> Event {
    let view = |with_host: bool| ServerEvent {
        id: instance.uuid.0,
        name: &instance.name,
        status: server_status(instance.vm_state, instance.task_state),
        vm_state: instance.vm_state.as_str(),
        task_state: instance.task_state.map(|task| task.as_str()),
        power_state: instance.power_state.number(),
        host: with_host.then_some(instance.host.as_deref()),
        tenant_id: &instance.project_id,
        user_id: &instance.user_id,
        flavor: FlavorOf {
            original_name: &instance.flavor.name,
            vcpus: instance.flavor.vcpus,
            ram: instance.flavor.memory_mb,
            disk: instance.flavor.disk_gb,
        },
        image: instance.image_ref.as_deref(),
        address: instance.network_info.first_address(),
        locked: instance.locked_by.is_some(),
        fault: fault.map(|fault| FaultOf { code: fault.code, message: &fault.message }),
        request_id: instance.task_request_id.as_deref(),
        created: Seconds(instance.created_at),
        updated: MicrosUtc(instance.updated_at),
    };
    Event {
        key: Key::Server(instance.uuid),
        changed: instance.updated_at,
        project: Some(instance.project_id.clone()),
        with_hosts: frame("server", &view(true)),
        without_hosts: frame("server", &view(false)),
    }
}

/// `project` is whose the server is: who has asked for its migration may be of another one.
pub(super) fn migration(migration: &Migration, project: Option<String>) -> Event {
    let MigrationProgress {
        memory_total,
        memory_processed,
        memory_remaining,
        disk_total,
        disk_processed,
        disk_remaining,
    } = migration.progress;
    let view = |with_hosts: bool| MigrationEvent {
        id: migration.id,
        uuid: migration.uuid.0,
        instance_uuid: migration.instance.0,
        migration_type: migration.kind.as_str(),
        status: migration.status.as_str(),
        source_compute: with_hosts.then_some(&migration.source),
        dest_compute: with_hosts.then_some(migration.destination.as_deref()),
        memory_total_bytes: memory_total,
        memory_processed_bytes: memory_processed,
        memory_remaining_bytes: memory_remaining,
        disk_total_bytes: disk_total,
        disk_processed_bytes: disk_processed,
        disk_remaining_bytes: disk_remaining,
        project_id: migration.project_id.as_deref(),
        created_at: Micros(migration.created_at),
        updated_at: MicrosUtc(migration.updated_at),
        // It may name hosts.
        error: migration.error.as_deref().filter(|_| with_hosts),
        request_id: &migration.request_id,
    };
    Event {
        key: Key::Migration(migration.uuid),
        changed: migration.updated_at,
        project,
        with_hosts: frame("migration", &view(true)),
        without_hosts: frame("migration", &view(false)),
    }
}

fn of_hosts(key: Key, frame: Bytes) -> Event {
    Event { key, changed: Timestamp::now(), project: None, without_hosts: frame.clone(), with_hosts: frame }
}

pub(super) fn host(node: &ComputeNode, service: &Service, fresh_since: &FreshSince) -> Event {
    let (total, capacity, used) = (node.inventory.total, node.capacity, node.used);
    let view = HostEvent {
        hypervisor_hostname: &node.host,
        service_id: &service.uuid,
        zone: &service.zone,
        state: state(service, fresh_since),
        status: status(service),
        disabled_reason: service.disabled_reason.as_deref(),
        vcpus: total.vcpus,
        vcpus_capacity: capacity.vcpus,
        vcpus_used: used.vcpus,
        memory_mb: total.memory_mb,
        memory_mb_capacity: capacity.memory_mb,
        memory_mb_used: used.memory_mb,
        local_gb: total.disk_gb,
        local_gb_capacity: capacity.disk_gb,
        local_gb_used: used.disk_gb,
        running_vms: node.instances,
    };
    of_hosts(Key::Host(node.host.clone()), frame("host", &view))
}

pub(super) fn service(service: &Service, fresh_since: &FreshSince) -> Event {
    let view = ServiceEvent {
        id: &service.uuid,
        binary: service.binary.as_str(),
        host: &service.host,
        zone: &service.zone,
        state: state(service, fresh_since),
        status: status(service),
        disabled_reason: service.disabled_reason.as_deref(),
        since: MicrosUtc(service.created_at),
    };
    of_hosts(Key::Service(service.uuid.clone()), frame("service", &view))
}

fn state(service: &Service, fresh_since: &FreshSince) -> &'static str {
    if service.is_up(fresh_since) { "up" } else { "down" }
}

fn status(service: &Service) -> &'static str {
    if service.disabled { "disabled" } else { "enabled" }
}
