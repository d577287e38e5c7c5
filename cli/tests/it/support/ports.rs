//! Whose the ports of a cloud are, by the rows of Networking and of Compute.

use std::collections::{BTreeMap, BTreeSet};

use novella_common::{
    db::{Database, Json},
    ids::InstanceUuid,
    lifecycle::VmState,
    models::NetworkInfo,
    sql,
};

/// What is wrong with the ports that servers have: each is of a server that is there, bound to that server's host, and what
/// the server shows; and no server shows another.
pub async fn wrong_ports(database: &Database) -> Vec<String> {
    let mut connection = database.read().await.unwrap();
    let instances: Vec<(InstanceUuid, Option<String>, VmState, Json<NetworkInfo>)> =
        sql!("SELECT uuid, host, vm_state, network_info FROM instances WHERE deleted_at IS NULL")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let ports: Vec<(String, String, String)> =
        sql!("SELECT id, device_id, host_id FROM ports WHERE device_owner LIKE 'compute:%'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let mut shown: BTreeMap<String, (Option<String>, VmState, BTreeSet<String>)> = instances
        .into_iter()
        .map(|(uuid, host, vm_state, Json(info))| {
            (uuid.to_string(), (host, vm_state, info.0.into_iter().map(|vif| vif.port_id).collect()))
        })
        .collect();
    let mut wrong = Vec::new();
    for (port, device, host) in ports {
        let Some((of, vm_state, shown)) = shown.get_mut(&device) else {
            wrong.push(format!("port {port} is of the server {device}, which is not there"));
            continue;
        };
        if of.as_deref() != Some(&*host) {
            wrong.push(format!("port {port} is bound to {host}, and its server {device}, {vm_state}, is on {of:?}"));
        }
        if !shown.remove(&port) {
            wrong.push(format!("port {port} is of the server {device}, which does not show it"));
        }
    }
    for (server, (_, vm_state, left)) in shown {
        wrong.extend(left.iter().map(|port| format!("{server}, {vm_state}, shows port {port}, which is not its own")));
    }
    wrong
}
