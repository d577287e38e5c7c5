//! Compute elsewhere, Nova or another Novella's: it is told by external events what Networking has changed, as Neutron does.
//!
//! Source: neutron/notifiers/nova.py (29.0.0).

use std::{path::Path, sync::Arc};

use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use novella_network::{DeviceChanges, DeviceWatcher};
use novella_rest::{HttpClientError, keystone::Keystone};
use serde_json::{Value, json};

use crate::service_elsewhere::{As, ServiceElsewhere};

/// Events in one request.
const AT_ONCE: usize = 100;

/// Sends events to a Compute API, as a user that has the role `service` there.
#[derive(Debug)]
pub struct ServersElsewhere {
    compute: ServiceElsewhere,
}

impl ServersElsewhere {
    /// At this URL, or where the catalog says; as the user that `keystone` has. `authority` has signed its certificate; by
    /// default somebody whom the system trusts.
    ///
    /// # Errors
    /// The URL is none, or the authority's file can't be used.
    pub fn new(url: Option<&str>, authority: Option<&Path>, keystone: Arc<Keystone>) -> Result<Self, HttpClientError> {
        Ok(Self { compute: ServiceElsewhere::new("compute", url, authority, Some(keystone))? })
    }

    async fn send(&self, events: &[Value]) {
        let body = json!({ "events": events });
        let answer = async {
            let url = format!("{}/os-server-external-events", self.compute.base().await?);
            self.compute.send(As::Service, Method::POST, &url, Some(&body)).await
        };
        match answer.await {
            // Servers that are not there, or not on a host, are no fault.
            Ok(answer)
                if matches!(answer.status, StatusCode::OK | StatusCode::MULTI_STATUS | StatusCode::NOT_FOUND) => {}
            Ok(answer) => {
                let status = answer.status.as_u16();
                tracing::error!(status, events = events.len(), "Compute does not take what Networking has changed");
            }
            Err(error) => {
                tracing::error!(%error, events = events.len(), "Compute can't be told what Networking has changed");
            }
        }
    }
}

/// What Compute is told of.
fn events(changes: &DeviceChanges) -> Vec<Value> {
    let deleted = changes
        .deleted_ports
        .iter()
        .map(|(port, device)| json!({"name": "network-vif-deleted", "server_uuid": device, "tag": port}));
    let changed = changes.devices.iter().map(|device| json!({"name": "network-changed", "server_uuid": device}));
    deleted.chain(changed).collect()
}

impl DeviceWatcher for ServersElsewhere {
    fn changed(&self, changes: DeviceChanges) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for events in events(&changes).chunks(AT_ONCE) {
                self.send(events).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_port_is_told_with_its_id_and_every_device_that_has_changed() {
        let changes = DeviceChanges {
            devices: ["a".to_owned(), "b".to_owned()].into(),
            deleted_ports: [("port".to_owned(), "a".to_owned())].into(),
        };
        assert_eq!(
            events(&changes),
            [
                json!({"name": "network-vif-deleted", "server_uuid": "a", "tag": "port"}),
                json!({"name": "network-changed", "server_uuid": "a"}),
                json!({"name": "network-changed", "server_uuid": "b"}),
            ]
        );
    }
}
