//! `GET /servers/{id}/diagnostics`: what the hypervisor says of a guest.

use std::collections::BTreeMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use novella_compute::rpcapi::{ComputeClient, Diagnostics};
use novella_rest::{ApiError, Path};
use serde::Serialize;

use super::hosts;
use crate::Request;

/// The form from 2.48 on. What no hypervisor here knows is null, as Nova's schema permits.
#[derive(Serialize)]
struct View {
    state: String,
    /// One of Nova's own drivers, or clients refuse the answer; Nova's simulated one says the same.
    driver: &'static str,
    hypervisor: String,
    hypervisor_os: Option<String>,
    uptime: Option<i64>,
    config_drive: bool,
    num_cpus: usize,
    num_nics: usize,
    num_disks: usize,
    disk_details: Vec<DiskView>,
    cpu_details: Vec<CpuView>,
    nic_details: Vec<NicView>,
    memory_details: MemoryView,
}

#[derive(Serialize)]
struct CpuView {
    id: usize,
    /// Nanoseconds.
    time: i64,
    /// Per cent.
    utilisation: Option<i64>,
}

#[derive(Clone, Default, Serialize)]
struct DiskView {
    read_bytes: Option<i64>,
    read_requests: Option<i64>,
    write_bytes: Option<i64>,
    write_requests: Option<i64>,
    errors_count: Option<i64>,
}

#[derive(Clone, Default, Serialize)]
struct NicView {
    mac_address: Option<String>,
    rx_octets: Option<i64>,
    rx_errors: Option<i64>,
    rx_drop: Option<i64>,
    rx_packets: Option<i64>,
    rx_rate: Option<i64>,
    tx_octets: Option<i64>,
    tx_errors: Option<i64>,
    tx_drop: Option<i64>,
    tx_packets: Option<i64>,
    tx_rate: Option<i64>,
}

#[derive(Serialize)]
struct MemoryView {
    /// MiB.
    maximum: i64,
    used: Option<i64>,
}

/// Asks the server's host.
pub(super) async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &id).await?;
    let (context, uuid) = (&request.context, instance.uuid);
    let ask = async |host: ComputeClient| host.get_diagnostics(context, uuid).await;
    let found = hosts::ask(&request, &instance, ask).await?;
    if request.version.before(48) {
        return Ok(Json(figures(&found)).into_response());
    }
    let count = |number: u32| usize::try_from(number).unwrap_or(0);
    let cpus = found.cpu_time_ns.iter().enumerate().map(|(id, time)| CpuView { id, time: *time, utilisation: None });
    let view = View {
        state: found.power_state.to_string(),
        driver: "libvirt",
        hypervisor: found.hypervisor,
        hypervisor_os: None,
        uptime: found.uptime_seconds,
        config_drive: instance.config_drive,
        num_cpus: found.cpu_time_ns.len(),
        num_nics: count(found.nics),
        num_disks: count(found.disks),
        disk_details: vec![DiskView::default(); count(found.disks)],
        cpu_details: cpus.collect(),
        nic_details: vec![NicView::default(); count(found.nics)],
        memory_details: MemoryView { maximum: found.memory_mb, used: None },
    };
    Ok(Json(view).into_response())
}

/// The form before 2.48: the hypervisor's own figures by its own names, here libvirt's.
fn figures(found: &Diagnostics) -> BTreeMap<String, i64> {
    const KIB: i64 = 1024;
    let cpus = found.cpu_time_ns.iter().enumerate().map(|(id, time)| (format!("cpu{id}_time"), *time));
    cpus.chain([("memory".to_owned(), found.memory_mb.saturating_mul(KIB))]).collect()
}
