//! Who must know of it when what devices have has changed: those whose servers show it.
//!
//! What a request changes is collected by its [`Work`](crate::resource::Work), and told after its commit, before the request
//! is answered. Devices are those that Compute has: `compute:` in the owner of their ports. What is changed through
//! [`Devices`](crate::devices::Devices) is not told: whoever changes it knows.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use novella_common::{
    db::{Connection, Sql},
    sql,
};
use novella_rest::ApiError;

use crate::{resource::AT_ONCE, resources::ports::Port};

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceChanges {
    /// Devices that have other ports than before, or ports with other addresses, names or floating IPs.
    pub devices: BTreeSet<String>,
    /// Ports that were deleted, each with the device that had it.
    pub deleted_ports: BTreeMap<String, String>,
}

/// Wants to know what has changed for devices.
pub trait DeviceWatcher: Send + Sync + 'static {
    /// This has. What goes wrong is the watcher's own to say: the change is made.
    fn changed(&self, changes: DeviceChanges) -> BoxFuture<'_, ()>;
}

/// What a request has changed so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touched {
    changes: DeviceChanges,
    /// Ports that something else leads to than before.
    ports: BTreeSet<String>,
    /// Networks whose names have changed.
    networks: BTreeSet<String>,
}

/// Whether a port's device is one of Compute's.
fn is_watched(port: &Port) -> bool {
    port.device_owner.starts_with("compute:") && !port.device_id.is_empty()
}

impl Touched {
    /// A port of a device is another than before.
    pub(crate) fn port(&mut self, port: &Port) {
        if is_watched(port) {
            self.changes.devices.insert(port.device_id.clone());
        }
    }

    /// A port is deleted.
    pub(crate) fn deleted(&mut self, port: &Port) {
        self.port(port);
        if is_watched(port) {
            self.changes.deleted_ports.insert(port.id.clone(), port.device_id.clone());
        }
    }

    /// Something else leads to this port than before.
    pub(crate) fn port_id(&mut self, id: &str) {
        self.ports.insert(id.to_owned());
    }

    /// The name of this network has changed.
    pub(crate) fn network(&mut self, id: &str) {
        self.networks.insert(id.to_owned());
    }

    /// The changes, with the devices of all that was touched.
    pub(crate) async fn changes(self, connection: &mut Connection) -> Result<DeviceChanges, ApiError> {
        let mut changes = self.changes;
        for (column, ids) in [("id", self.ports), ("network_id", self.networks)] {
            let ids: Vec<String> = ids.into_iter().collect();
            for ids in ids.chunks(AT_ONCE) {
                let mut sql = sql!(
                    "SELECT DISTINCT device_id FROM ports WHERE SUBSTR(device_owner, 1, 8) = " ("compute:")
                    " AND device_id <> " ("") " AND "
                );
                sql.push(column).is_in(ids);
                changes.devices.extend(Sql::fetch_all::<String>(&mut sql, connection).await?);
            }
        }
        Ok(changes)
    }
}
