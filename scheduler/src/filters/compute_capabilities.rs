//! Hosts that can do what a flavor asks for.

use serde_json::Value;

use super::{Filter, extra_specs_ops};
use crate::{HostState, SchedulerConfig, Wanted};

/// The namespace of extra specs that ask for capabilities of a host.
const SCOPE: &str = "capabilities";

/// Only hosts with the capabilities that the flavor's extra specs ask for: `capabilities:cpu_info:arch` is `x86_64`. A key
/// without a namespace counts too, if it is one that hosts have.
#[derive(Debug)]
pub struct ComputeCapabilitiesFilter;

impl Filter for ComputeCapabilitiesFilter {
    fn name(&self) -> &'static str {
        "ComputeCapabilitiesFilter"
    }

    fn passes(&self, host: &HostState, wanted: &Wanted, _: &SchedulerConfig) -> bool {
        wanted.extra_specs.iter().all(|(key, asked)| {
            let path = match key.split_once(':') {
                Some((SCOPE, path)) => path,
                Some(_) => return true,
                None => match capability(host, key) {
                    Some(_) => key,
                    None => return true,
                },
            };
            let mut steps = path.split(':');
            let first = steps.next().and_then(|name| capability(host, name));
            let found = steps.try_fold(first, |value, step| Some(value.as_ref()?.get(step).cloned())).flatten();
            found.is_some_and(|value| extra_specs_ops::matches(&text(&value), asked))
        })
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A capability of a host, under the name that Nova has for it.
fn capability(host: &HostState, name: &str) -> Option<Value> {
    const MIB_OF_GIB: i64 = 1024;
    let inventory = host.inventory.as_deref();
    let free = host.free();
    Some(match name {
        "host" => host.host.as_str().into(),
        "hypervisor_type" => inventory?.hypervisor_type.as_str().into(),
        "hypervisor_version" => inventory?.hypervisor_version.into(),
        "hypervisor_hostname" | "nodename" => inventory?.hypervisor_hostname.as_str().into(),
        "host_ip" => inventory?.host_ip.as_str().into(),
        "cpu_info" => inventory?.cpu_info.clone(),
        "cpu_allocation_ratio" => inventory?.ratios.cpu.into(),
        "ram_allocation_ratio" => inventory?.ratios.ram.into(),
        "disk_allocation_ratio" => inventory?.ratios.disk.into(),
        "vcpus_total" => inventory?.total.vcpus.into(),
        "total_usable_ram_mb" => inventory?.total.memory_mb.into(),
        "total_usable_disk_gb" => inventory?.total.disk_gb.into(),
        "vcpus_used" => host.used.vcpus.into(),
        "disk_mb_used" => host.used.disk_gb.saturating_mul(MIB_OF_GIB).into(),
        "free_ram_mb" => free.memory_mb.into(),
        "free_disk_mb" => free.disk_gb.saturating_mul(MIB_OF_GIB).into(),
        "num_instances" => host.instances.into(),
        "num_io_ops" => host.io_ops.into(),
        "failed_builds" => host.failures.into(),
        _ => return None,
    })
}
