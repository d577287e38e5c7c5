//! Security groups as devices have them.

use std::collections::BTreeMap;

use novella_common::{
    RequestContext,
    db::list::{Condition, List, SortKey},
};
use novella_rest::ApiError;

use super::{
    Devices,
    questions::{SecurityGroupView, listed},
};
use crate::{
    resource::{Resource, grouped},
    resources::{
        ports::{self, Port},
        security_groups::SecurityGroup,
    },
};

impl Devices {
    /// The security groups of these devices' ports, as far as whoever asks may see both: one for each port and group, with the
    /// device.
    ///
    /// # Errors
    /// The database's.
    pub async fn security_groups_of(
        &self,
        context: &RequestContext,
        devices: &[String],
    ) -> Result<Vec<(String, SecurityGroupView)>, ApiError> {
        let request = self.on_behalf(context);
        let mut connection = request.state.database.read().await?;
        let of_devices = Condition::is_in("device_id", devices.iter().filter(|device| !device.is_empty()));
        // Lists of servers ask this for thousands, so no whole port is read.
        let ports = List::<(String, String)>::select("id, device_id", "ports", SortKey::text("id"));
        let mut ports = ports.filter(of_devices);
        if let Some(visible) = Port::visible(&request) {
            ports = ports.visible(visible);
        }
        let ports = ports.page(&mut connection).await?.unwrap_or_default();
        let ids: Vec<&str> = ports.iter().map(|(port, _)| port.as_str()).collect();
        let mut of_ports = grouped(ports::groups_of(&mut connection, &ids).await?);
        let mut wanted: Vec<&String> = of_ports.values().flatten().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let named = Condition::is_in("id", wanted);
        let groups: Vec<SecurityGroup> = listed(&request, &mut connection, Some(named), true).await?;
        let groups: BTreeMap<&str, &SecurityGroup> = groups.iter().map(|group| (group.id.as_str(), group)).collect();
        let mut pairs = Vec::new();
        for (port, device) in ports {
            for id in of_ports.remove(&port).unwrap_or_default() {
                if let Some(group) = groups.get(id.as_str()) {
                    let view = SecurityGroupView {
                        id,
                        name: group.name.clone(),
                        description: group.description.clone(),
                        project: group.project_id.clone(),
                    };
                    pairs.push((device.clone(), view));
                }
            }
        }
        Ok(pairs)
    }
}
