//! Security groups as devices have them.

use novella_common::{RequestContext, db::list::Condition};
use novella_rest::ApiError;

use super::{
    Devices,
    questions::{SecurityGroupView, listed},
};
use crate::{
    resource::grouped,
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
        let ports: Vec<Port> = listed(&request, &mut connection, Some(of_devices), true).await?;
        let ids: Vec<&str> = ports.iter().map(|port| port.id.as_str()).collect();
        let mut of_ports = grouped(ports::groups_of(&mut connection, &ids).await?);
        let mut wanted: Vec<&String> = of_ports.values().flatten().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let named = Condition::is_in("id", wanted);
        let groups: Vec<SecurityGroup> = listed(&request, &mut connection, Some(named), true).await?;
        let mut pairs = Vec::new();
        for port in ports {
            for id in of_ports.remove(&port.id).unwrap_or_default() {
                if let Some(group) = groups.iter().find(|group| group.id == id) {
                    let view = SecurityGroupView {
                        id,
                        name: group.name.clone(),
                        description: group.description.clone(),
                        project: group.project_id.clone(),
                    };
                    pairs.push((port.device_id.clone(), view));
                }
            }
        }
        Ok(pairs)
    }
}
