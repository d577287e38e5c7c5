//! What is known of extra specs, from 2.86 on: a name in one of these namespaces must be one of these, and its value fit.
//!
//! In a name `#` stands for digits, `*` for anything, and `**` at its end for `:` and a word, any number of times.
//!
//! Source: nova/api/validation/extra_specs (34.0.0).

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Boolean,
    /// From the one to the other.
    Integer(i64, i64),
    OneOf(&'static [&'static str]),
    /// Numbers of CPUs: `0,2-4,^3`.
    CpuMask,
    PageSize,
    /// Names with commas.
    Names,
    /// Names and counts, `gpu:1`, with commas.
    Aliases,
}

impl Kind {
    const ANY_INTEGER: Self = Self::Integer(i64::MIN, i64::MAX);

    const fn from(least: i64) -> Self {
        Self::Integer(least, i64::MAX)
    }
}

/// By what a value must be, the names.
static RULES: &[(Kind, &[&str])] = &[
    (
        Kind::Text,
        &[
            "accel:device_profile",
            "aggregate_instance_extra_specs:*",
            "capabilities:id",
            "capabilities:uuid",
            "capabilities:service_id",
            "capabilities:host",
            "capabilities:vcpus",
            "capabilities:memory_mb",
            "capabilities:local_gb",
            "capabilities:vcpus_used",
            "capabilities:memory_mb_used",
            "capabilities:local_gb_used",
            "capabilities:hypervisor_type",
            "capabilities:hypervisor_version",
            "capabilities:hypervisor_hostname",
            "capabilities:free_ram_mb",
            "capabilities:free_disk_gb",
            "capabilities:current_workload",
            "capabilities:running_vms",
            "capabilities:disk_available_least",
            "capabilities:host_ip",
            "capabilities:mapped",
            "capabilities:cpu_allocation_ratio",
            "capabilities:ram_allocation_ratio",
            "capabilities:disk_allocation_ratio",
            "capabilities:total_usable_ram_mb",
            "capabilities:total_usable_disk_gb",
            "capabilities:disk_mb_used",
            "capabilities:free_disk_mb",
            "capabilities:vcpus_total",
            "capabilities:num_instances",
            "capabilities:num_io_ops",
            "capabilities:failed_builds",
            "capabilities:aggregates",
            "capabilities:cell_uuid",
            "capabilities:updated",
            "capabilities:cpu_info**",
            "capabilities:metrics**",
            "capabilities:stats**",
            "capabilities:numa_topology**",
            "capabilities:supported_hv_specs**",
            "capabilities:pci_device_pools**",
            "capabilities:nodename**",
            "capabilities:pci_stats**",
            "capabilities:supported_instances**",
            "capabilities:limits**",
            "capabilities:instances**",
            "vmware:hw_version",
            "vmware:storage_policy",
        ],
    ),
    (
        Kind::Boolean,
        &[
            "hw:cpu_realtime",
            "hw:hide_hypervisor_id",
            "hw:locked_memory",
            "hw:boot_menu",
            "hw:vif_multiqueue_enabled",
            "hw:mem_encryption",
            "hw:pmu",
            "hw:virtio_packed_ring",
            "hw:ephemeral_encryption",
            "hw_rng:allowed",
            "hide_hypervisor_id",
        ],
    ),
    (Kind::CpuMask, &["hw:cpu_realtime_mask", "hw:cpu_dedicated_mask", "hw:numa_cpus.#"]),
    (Kind::OneOf(&["dedicated", "shared", "mixed"]), &["hw:cpu_policy"]),
    (Kind::OneOf(&["prefer", "isolate", "require"]), &["hw:cpu_thread_policy"]),
    (Kind::OneOf(&["isolate", "share"]), &["hw:emulator_threads_policy"]),
    (Kind::PageSize, &["hw:mem_page_size"]),
    (
        Kind::from(1),
        &[
            "hw:numa_nodes",
            "hw:numa_mem.#",
            "hw:cpu_sockets",
            "hw:cpu_cores",
            "hw:cpu_threads",
            "hw:cpu_max_sockets",
            "hw:cpu_max_cores",
            "hw:cpu_max_threads",
        ],
    ),
    (Kind::OneOf(&["required", "preferred", "legacy", "socket"]), &["hw:pci_numa_affinity_policy"]),
    (Kind::OneOf(&["amd-sev", "amd-sev-es", "amd-sev-snp", "intel-tdx"]), &["hw:mem_encryption_model"]),
    (Kind::Names, &["hw:pmem"]),
    (
        Kind::from(0),
        &[
            "hw:serial_port_count",
            "hw_rng:rate_bytes",
            "hw_rng:rate_period",
            "hw_video:ram_max_mb",
            "quota:cpu_limit",
            "quota:cpu_shares_share",
            "quota:memory_limit",
            "quota:memory_shares_share",
            "quota:disk_io_limit",
            "quota:disk_io_shares_share",
            "quota:vif_limit",
            "quota:vif_shares_share",
            "quota:cpu_shares",
            "quota:cpu_period",
            "quota:disk_read_bytes_sec",
            "quota:disk_read_iops_sec",
            "quota:disk_write_bytes_sec",
            "quota:disk_write_iops_sec",
            "quota:disk_total_bytes_sec",
            "quota:disk_total_iops_sec",
            "quota:vif_inbound_average",
            "quota:vif_inbound_peak",
            "quota:vif_inbound_burst",
            "quota:vif_outbound_average",
            "quota:vif_outbound_peak",
            "quota:vif_outbound_burst",
        ],
    ),
    (Kind::OneOf(&["tpm-tis", "tpm-crb"]), &["hw:tpm_model"]),
    (Kind::OneOf(&["1.2", "2.0"]), &["hw:tpm_version"]),
    (Kind::OneOf(&["user", "host", "deployment"]), &["hw:tpm_secret_security"]),
    (Kind::OneOf(&["none", "pause", "poweroff", "reset", "disabled"]), &["hw:watchdog_action"]),
    (Kind::OneOf(&["intel", "smmuv3", "virtio", "auto"]), &["hw:viommu_model"]),
    (Kind::OneOf(&["sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio"]), &["hw:sound_model"]),
    (Kind::OneOf(&["none", "nec-xhci", "qemu-xhci"]), &["hw:usb_model"]),
    (Kind::Integer(0, 15), &["hw:redirected_usb_ports"]),
    (Kind::OneOf(&["plain", "luks", "luksv2"]), &["hw:ephemeral_encryption_format"]),
    (Kind::OneOf(&["isolate", "none"]), &["group_policy"]),
    (Kind::OneOf(&["disabled", "required"]), &["os:secure_boot"]),
    (Kind::Aliases, &["pci_passthrough:alias"]),
    (
        Kind::ANY_INTEGER,
        &[
            "quota:cpu_reservation",
            "quota:memory_reservation",
            "quota:disk_io_reservation",
            "quota:vif_reservation",
            "quota:cpu_quota",
        ],
    ),
    (
        Kind::OneOf(&["custom", "high", "normal", "low"]),
        &[
            "quota:cpu_shares_level",
            "quota:memory_shares_level",
            "quota:disk_io_shares_level",
            "quota:vif_shares_level",
        ],
    ),
];

/// Classes of resources that can be asked for by `resources:VCPU` (os-resource-classes).
static RESOURCE_CLASSES: &[&str] = &[
    "VCPU",
    "MEMORY_MB",
    "DISK_GB",
    "PCI_DEVICE",
    "SRIOV_NET_VF",
    "NUMA_SOCKET",
    "NUMA_CORE",
    "NUMA_THREAD",
    "NUMA_MEMORY_MB",
    "IPV4_ADDRESS",
    "VGPU",
    "VGPU_DISPLAY_HEAD",
    "NET_BW_EGR_KILOBIT_PER_SEC",
    "NET_BW_IGR_KILOBIT_PER_SEC",
    "PCPU",
    "MEM_ENCRYPTION_CONTEXT",
    "FPGA",
    "PGPU",
    "NET_PACKET_RATE_KILOPACKET_PER_SEC",
    "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
    "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
];

/// Holds an extra spec against what is known of it.
///
/// # Errors
/// What is wrong with it, in Nova's words.
pub(super) fn check(name: &str, value: &str) -> Result<(), String> {
    let rule = RULES.iter().find(|(_, names)| names.iter().any(|known| matches_name(known, name)));
    if let Some((kind, _)) = rule {
        return check_value(*kind, value);
    }
    let Some((namespace, key)) = name.split_once(':') else { return Ok(()) };
    if group(namespace, "resources") {
        if RESOURCE_CLASSES.contains(&key) || key.strip_prefix("CUSTOM_").is_some_and(is_upper) {
            return check_value(Kind::ANY_INTEGER, value);
        }
    } else if group(namespace, "trait") {
        if is_upper(key) {
            return check_value(Kind::OneOf(&["required", "forbidden"]), value);
        }
    } else if !RULES
        .iter()
        .flat_map(|(_, names)| *names)
        .any(|known| known.split_once(':').is_some_and(|(of, _)| of == namespace))
    {
        return Ok(());
    }
    Err(format!("Validation failed; extra spec '{name}' does not appear to be a valid extra spec."))
}

/// `resources` and `trait` may have the name of a group behind them.
fn group(namespace: &str, word: &str) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    namespace.strip_prefix(word).is_some_and(|group| group.len() <= 64 && group.chars().all(named))
}

fn is_upper(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn matches_name(known: &str, name: &str) -> bool {
    if let Some(start) = known.strip_suffix("**") {
        let rest = name.strip_prefix(start);
        return rest.is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix(':').is_some_and(|rest| rest.split(':').all(is_word))
        });
    }
    if let Some(start) = known.strip_suffix('*') {
        return name.strip_prefix(start).is_some_and(|rest| !rest.is_empty());
    }
    if let Some(start) = known.strip_suffix('#') {
        return name.strip_prefix(start).is_some_and(is_digits);
    }
    known == name
}

fn check_value(kind: Kind, value: &str) -> Result<(), String> {
    let form = |right: bool, form: &str| match right {
        true => Ok(()),
        false => Err(format!("Validation failed; '{value}' is not of the format '{form}'.")),
    };
    match kind {
        Kind::Text => Ok(()),
        Kind::Boolean => match novella_rest::truth(value) {
            Some(_) => Ok(()),
            None => Err(format!("Validation failed; '{value}' is not a valid boolean-like value.")),
        },
        Kind::Integer(least, most) => match value.trim().parse::<i64>() {
            Err(_) => Err(format!("Validation failed; '{value}' is not a valid integer value.")),
            Ok(number) if number > most => {
                Err(format!("Validation failed; '{number}' is greater than the max value of '{most}'."))
            }
            Ok(number) if number < least => {
                Err(format!("Validation failed; '{number}' is less than the min value of '{least}'."))
            }
            Ok(_) => Ok(()),
        },
        Kind::OneOf(words) if words.contains(&value) => Ok(()),
        Kind::OneOf(words) => Err(format!("Validation failed; '{value}' is not one of: {}.", words.join(", "))),
        Kind::CpuMask => form(value.split(',').all(is_cpus), "0,2-4,^3"),
        Kind::PageSize => form(is_page_size(value), "large, small, any, or a size such as 2MB"),
        Kind::Names => form(value.trim_end_matches(',').split(',').all(is_word), "name,name"),
        Kind::Aliases => form(value.split(',').all(is_alias), "name:1,name:2"),
    }
}

fn is_cpus(part: &str) -> bool {
    let part = part.strip_prefix('^').unwrap_or(part);
    match part.split_once('-') {
        Some((first, last)) => is_digits(first) && is_digits(last),
        None => is_digits(part),
    }
}

fn is_page_size(text: &str) -> bool {
    if matches!(text, "large" | "small" | "any") {
        return true;
    }
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let bare = ["bit", "b", "B"].iter().find_map(|end| unit.strip_suffix(end)).unwrap_or(unit);
    let multiple = bare.strip_suffix('i').unwrap_or(bare);
    unit.len() < text.len() && (bare.is_empty() || matches!(multiple, "k" | "K" | "M" | "G" | "T"))
}

fn is_alias(part: &str) -> bool {
    part.trim().split_once(':').is_some_and(|(name, count)| !name.is_empty() && is_digits(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nova_knows_is_held_to_its_form() {
        for (name, value) in [
            ("hw:cpu_policy", "dedicated"),
            ("hw:numa_cpus.1", "0,2-4,^3"),
            ("hw:mem_page_size", "2MB"),
            ("hw:mem_page_size", "1GiB"),
            ("hw:mem_page_size", "large"),
            ("hw:redirected_usb_ports", "15"),
            ("hw_rng:allowed", "True"),
            ("pci_passthrough:alias", "gpu:1, nic:2"),
            ("capabilities:cpu_info:features", "<in> avx"),
            ("aggregate_instance_extra_specs:ssd", "true"),
            ("resources:VCPU", "2"),
            ("resources_group1:CUSTOM_GOLD", "1"),
            ("trait:HW_CPU_X86_AVX", "required"),
            ("quota:cpu_quota", "-1"),
            // No namespace, and one that nobody knows.
            ("anything", "at all"),
            ("mine:anything", "at all"),
        ] {
            assert_eq!(check(name, value), Ok(()), "{name}");
        }
        for (name, value) in [
            ("hw:cpu_policy", "shredded"),
            ("hw:numa_cpus.x", "0"),
            ("hw:numa_cpus.1", "0-"),
            ("hw:mem_page_size", "MB"),
            ("hw:redirected_usb_ports", "16"),
            ("hw:numa_nodes", "0"),
            ("hw_rng:allowed", "perhaps"),
            ("pci_passthrough:alias", "gpu"),
            ("capabilities:nothing", "1"),
            ("resources:NOTHING", "1"),
            ("trait:HW_CPU_X86_AVX", "perhaps"),
            ("hw:unknown", "1"),
        ] {
            assert!(check(name, value).unwrap_err().starts_with("Validation failed; "), "{name}");
        }
    }
}
