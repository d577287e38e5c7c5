//! What decisions need to know beside the hosts, read in a few queries for all of them.

use std::collections::{HashMap, HashSet};

use novella_common::{
    db::{Connection, DbError, instances::transitions, server_groups::Groups},
    ids::{Incarnation, InstanceUuid},
    models::{Instance, RequestSpec, Resources},
};

use crate::{Wanted, host_state::named_instances};

/// What is known of the instances to be placed.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Their owners that are gone.
    pub(super) gone: HashSet<Incarnation>,
    /// The hosts of the instances that their hints name.
    hosts: HashMap<InstanceUuid, String>,
    /// Their server groups.
    pub(super) groups: Groups,
}

impl Known {
    /// Reads it, the owners aside. What no hint asks for costs no query.
    pub(super) async fn read(
        connection: &mut Connection,
        asked: &[(InstanceUuid, &RequestSpec)],
    ) -> Result<Self, DbError> {
        let named: Vec<_> = asked.iter().flat_map(|(_, spec)| hinted(spec)).collect();
        let grouped: Vec<_> =
            asked.iter().filter(|(_, spec)| spec.names_group()).map(|(instance, _)| *instance).collect();
        Ok(Self {
            gone: HashSet::new(),
            hosts: transitions::hosts_of(connection, &named).await?,
            groups: Groups::load(connection, &grouped).await?,
        })
    }

    /// What an instance wants of a host.
    pub(super) fn wanted(&self, instance: &Instance, spec: &RequestSpec, resources: Resources) -> Wanted {
        let hosts = |hint: &str| -> Option<HashSet<String>> {
            let hint = spec.hints.get(hint)?;
            Some(named_instances(hint).iter().filter_map(|instance| self.hosts.get(instance).cloned()).collect())
        };
        Wanted {
            project_id: instance.project_id.clone(),
            extra_specs: instance.flavor.extra_specs.clone(),
            image_properties: spec.image_properties.clone(),
            resources,
            availability_zone: spec.availability_zone.clone(),
            ignore_hosts: spec.excluded_hosts.iter().cloned().collect(),
            only_host: spec.requested_host.clone(),
            different_from: hosts("different_host"),
            same_as: hosts("same_host"),
            group: self.groups.rule(instance.uuid),
        }
    }
}

/// The instances that the hints name.
fn hinted(spec: &RequestSpec) -> Vec<InstanceUuid> {
    ["different_host", "same_host"].iter().filter_map(|hint| spec.hints.get(*hint)).flat_map(named_instances).collect()
}
