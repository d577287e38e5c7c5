//! A row to begin with.

use std::collections::BTreeMap;

use novella_common::{
    ids::InstanceUuid,
    lifecycle::{PowerState, VmState},
    models::{Flavor, Instance, NetworkInfo, RxtxFactor},
};

/// An instance with nothing under way, on no host.
pub fn instance() -> Instance {
    let uuid = InstanceUuid::random();
    let now = jiff::Timestamp::now();
    Instance {
        uuid,
        project_id: "project".into(),
        user_id: "user".into(),
        name: "vm".into(),
        description: None,
        hostname: "vm".into(),
        image_ref: None,
        flavor: Flavor {
            id: "1".into(),
            name: "small".into(),
            vcpus: 1,
            memory_mb: 512,
            disk_gb: 1,
            ephemeral_gb: 0,
            swap_mb: 0,
            is_public: true,
            description: None,
            extra_specs: BTreeMap::new(),
            rxtx_factor: RxtxFactor::default(),
        },
        metadata: BTreeMap::new(),
        requested_zone: None,
        user_data: None,
        key_name: None,
        config_drive: false,
        reservation_id: "r-1".into(),
        launch_index: 0,
        host: None,
        availability_zone: None,
        vm_state: VmState::Active,
        task_state: None,
        power_state: PowerState::NoState,
        task_id: None,
        task_request_id: None,
        owner: None,
        report_seq: 0,
        attempts: 0,
        created_at: now,
        updated_at: now,
        launched_at: None,
        terminated_at: None,
        deleted_at: None,
        locked_by: None,
        locked_reason: None,
        network_info: NetworkInfo::default(),
        has_ports: false,
        access_ip_v4: None,
        access_ip_v6: None,
        auto_disk_config: false,
        trusted_certs: Vec::new(),
    }
}
