//! An instance: what the API calls a server.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Flavor, NetworkInfo, RequestedNetworks};
use crate::{
    ids::{Incarnation, InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    named,
};

/// An instance as the database knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its id.
    pub uuid: InstanceUuid,
    /// The project it belongs to.
    pub project_id: String,
    /// The user who made it.
    pub user_id: String,
    /// Display name.
    pub name: String,
    /// Free text (microversion 2.19).
    pub description: Option<String>,
    /// The guest's host name, made from the name.
    pub hostname: String,
    /// The image it was built from.
    pub image_ref: Option<String>,
    /// A copy of the flavor it was built with.
    pub flavor: Flavor,
    /// Free key-value pairs of the user's.
    pub metadata: BTreeMap<String, String>,
    /// The availability zone that the request named.
    pub requested_zone: Option<String>,
    /// `cloud-init` data, base64 as it was sent.
    pub user_data: Option<String>,
    /// The key pair's name that the request gave.
    pub key_name: Option<String>,
    /// Whether a config drive was asked for.
    pub config_drive: bool,
    /// One id for all servers of one request.
    pub reservation_id: String,
    /// Which of the servers of one request.
    pub launch_index: i64,
    /// Where it is. Written together with the claim there.
    pub host: Option<String>,
    /// The zone of that host.
    pub availability_zone: Option<String>,
    /// What it is.
    pub vm_state: VmState,
    /// What is being done to it.
    pub task_state: Option<TaskState>,
    /// What the guest does, as the host last said.
    pub power_state: PowerState,
    /// The operation under way; set exactly while `task_state` is.
    pub task_id: Option<TaskId>,
    /// The request that asked for the operation under way.
    pub task_request_id: Option<String>,
    /// The scheduler or conductor that works on it; `None`: the queue, or the host if `host` is set.
    pub owner: Option<Incarnation>,
    /// Number of the last report of `host` that was written down; 0 when `host` changed.
    pub report_seq: i64,
    /// How many times a build was attempted.
    pub attempts: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it first ran.
    pub launched_at: Option<Timestamp>,
    /// When its end began to be final.
    pub terminated_at: Option<Timestamp>,
    /// When it was deleted; the row stays for what the API shows of deleted servers.
    pub deleted_at: Option<Timestamp>,
    /// Who has locked it; nobody but administrators changes it then.
    pub locked_by: Option<LockedBy>,
    /// Why it is locked, for people.
    pub locked_reason: Option<String>,
    /// What Networking has given it.
    pub network_info: NetworkInfo,
    /// Whether Networking may have ports for it that are to be given back when it is deleted. Set before the first is asked
    /// for, so that none is forgotten.
    pub has_ports: bool,
    /// The IPv4 address by which its user wants it known; not one that it has.
    pub access_ip_v4: Option<String>,
    /// The same for IPv6.
    pub access_ip_v6: Option<String>,
    /// Whether the guest's file system is to fill its disk (`OS-DCF:diskConfig` `AUTO`).
    pub auto_disk_config: bool,
    /// Ids of the certificates that its image's signature may be verified by.
    pub trusted_certs: Vec<String>,
}

named! {
    /// Who has locked a server.
    pub enum LockedBy {
        /// A user of its project.
        Owner = "owner",
        /// An administrator, for another project: users can't unlock it.
        Admin = "admin",
    }
}

impl Instance {
    /// What a host must know to run it.
    #[must_use]
    pub fn spec(&self) -> InstanceSpec {
        InstanceSpec {
            uuid: self.uuid,
            name: self.name.clone(),
            hostname: self.hostname.clone(),
            project_id: self.project_id.clone(),
            user_id: self.user_id.clone(),
            image_ref: self.image_ref.clone(),
            flavor: self.flavor.clone(),
            metadata: self.metadata.clone(),
            user_data: self.user_data.clone(),
            config_drive: self.config_drive,
            network_info: self.network_info.clone(),
        }
    }
}

/// What a host must know of an instance to run it. Sent to hosts; kept in their journals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Its id.
    pub uuid: InstanceUuid,
    /// Display name.
    pub name: String,
    /// The guest's host name.
    pub hostname: String,
    /// The project it belongs to.
    pub project_id: String,
    /// The user who made it.
    pub user_id: String,
    /// The image it boots from.
    pub image_ref: Option<String>,
    /// Its size.
    pub flavor: Flavor,
    /// Free key-value pairs; the fake driver reads its failure injection from here.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// `cloud-init` data, base64.
    #[serde(default)]
    pub user_data: Option<String>,
    /// Whether it gets a config drive.
    #[serde(default)]
    pub config_drive: bool,
    /// The interfaces that it gets.
    #[serde(default)]
    pub network_info: NetworkInfo,
}

/// The hints of a create request that filters read (`os:scheduler_hints`). Hints that no filter knows are kept.
pub type SchedulerHints = BTreeMap<String, serde_json::Value>;

/// What was asked of the scheduler for an instance; kept, so that every later move obeys it too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestSpec {
    /// The zone that the request named.
    #[serde(default)]
    pub availability_zone: Option<String>,
    /// The only host that will do for the build, if an administrator named one. It must pass the filters too.
    #[serde(default)]
    pub requested_host: Option<String>,
    /// Hints for filters.
    #[serde(default)]
    pub hints: SchedulerHints,
    /// What the image's properties ask of hosts, as they were when the server was made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub image_properties: BTreeMap<String, String>,
    /// The interfaces that were asked for.
    #[serde(default, skip_serializing_if = "RequestedNetworks::is_none")]
    pub networks: RequestedNetworks,
    /// Hosts that have failed to build it.
    #[serde(default)]
    pub excluded_hosts: Vec<String>,
    /// The last failure's text, for the fault when no host is left.
    #[serde(default)]
    pub last_failure: Option<String>,
}

impl RequestSpec {
    /// Whether it was asked for in a server group.
    #[must_use]
    pub fn names_group(&self) -> bool {
        self.hints.contains_key("group")
    }
}

/// Why an instance is in ERROR, or why its last operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The HTTP status that fits best: 500 for what went wrong here, as in Nova.
    pub code: i64,
    /// For users.
    pub message: String,
    /// For administrators.
    #[serde(default)]
    pub details: Option<String>,
    /// When it happened, by the receiver's clock.
    pub created_at: Timestamp,
}
