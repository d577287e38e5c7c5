//! Ports are given back.

use std::collections::BTreeSet;

use novella_rest::ApiError;
use serde_json::Map;

use super::{Release, describe::ports_of, lock_devices};
use crate::{
    Request,
    attributes::Fields as _,
    resource::{Work, delete_rows, retried},
    resources::{
        ports::{Port, several},
        trunks,
    },
};

/// What came of each; of all the same, since they are one transaction.
pub(super) async fn release(request: &Request, releases: &[Release]) -> Vec<Result<(), ApiError>> {
    let result = retried!(together(request, releases));
    vec![result; releases.len()]
}

async fn together(request: &Request, releases: &[Release]) -> Result<(), ApiError> {
    let mut work = Work::begin(request).await?;
    let devices: Vec<&str> = releases.iter().map(|release| release.device.as_str()).collect();
    lock_devices(&mut work.transaction, devices.iter().copied()).await?;
    let mut ports = ports_of(&mut work.transaction, &devices, true).await?;
    let is_wanted = |port: &Port, release: &Release| {
        release.device == port.device_id && release.only.as_ref().is_none_or(|only| *only == port.id)
    };
    ports.retain(|port| releases.iter().any(|release| is_wanted(port, release)));
    if ports.is_empty() {
        return Ok(());
    }
    let kept: BTreeSet<&str> = releases.iter().flat_map(|release| &release.kept).map(String::as_str).collect();
    let ids: Vec<&str> = ports.iter().map(|port| port.id.as_str()).collect();
    // A port of a trunk can't be deleted: it is its user's.
    let in_trunks = trunks::used(&mut work.transaction, &ids).await?;
    let (mut kept, gone): (Vec<Port>, Vec<Port>) =
        ports.into_iter().partition(|port| kept.contains(port.id.as_str()) || in_trunks.contains(&port.id));
    if !kept.is_empty() {
        for port in &mut kept {
            leave(port);
            port.bump(work.now);
        }
        several::write_devices(&mut work, &kept.iter().collect::<Vec<_>>()).await?;
        let kept: Vec<&str> = kept.iter().map(|port| port.id.as_str()).collect();
        several::forget_bindings(&mut work, &kept).await?;
    }
    if !gone.is_empty() {
        let gone: Vec<&str> = gone.iter().map(|port| port.id.as_str()).collect();
        several::release(&mut work, &gone).await?;
        delete_rows::<Port>(&mut work.transaction, &gone).await?;
    }
    Ok(work.transaction.commit().await?)
}

/// Takes the device out of a port.
fn leave(port: &mut Port) {
    port.device_id = String::new();
    port.device_owner = String::new();
    port.host_id = String::new();
    port.dns_name = String::new();
    port.profile = Map::new();
    port.bind();
}
