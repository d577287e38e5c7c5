//! What Compute asks of Networking, in Compute's words. The API asks what may be had, a scheduler asks for it and binds it to
//! a host, a conductor moves it and gives it back.
//!
//! Answered by the Networking component of the same process, or by one elsewhere over HTTP.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::{
    RequestContext,
    ids::InstanceUuid,
    models::{NetworkInfo, RequestedNetworks, RequestedVif},
};

/// How Networking refuses, or can't be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It says no.
    #[error("{message}")]
    Refused {
        /// The HTTP status that it says it with.
        status: u16,
        /// Neutron's word for it: `IpAddressAlreadyAllocated`, `OverQuota`, `PortNotFound`.
        kind: String,
        /// For people.
        message: String,
    },
    /// It can't be asked now; asked again it may answer.
    #[error("Networking can't be asked: {0}")]
    Unavailable(String),
}

/// The answer to a question.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, NetworkError>>;

/// Waits for an answer no longer than `limit`.
///
/// # Errors
/// That of the answer; [`NetworkError::Unavailable`] if there is none by then.
pub async fn within<T>(limit: Duration, answer: Answer<'_, T>) -> Result<T, NetworkError> {
    let late = |_| Err(NetworkError::Unavailable(format!("no answer within {} s", limit.as_secs())));
    tokio::time::timeout(limit, answer).await.unwrap_or_else(late)
}

/// Who asks: a user for what is theirs, or Compute itself.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Who, and for which project.
    pub context: &'a RequestContext,
    /// Their token, where there is one: a Networking elsewhere is asked with it, so that its own rules hold.
    pub token: Option<&'a str>,
}

/// A network, as far as Compute cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The project that it belongs to.
    pub project_id: String,
    /// Whether it is shared with everybody.
    pub shared: bool,
    /// Whether it leads out of the cloud (`router:external`).
    pub external: bool,
    /// Whether it is to work.
    pub admin_state_up: bool,
    /// Whether its ports have security groups.
    pub port_security_enabled: bool,
    /// Its subnets.
    pub subnets: Vec<String>,
}

/// Which networks are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkFilter {
    /// Those of these ids that the caller may see.
    Ids(Vec<String>),
    /// Those on which a server of this project is put that names none: its own that are not shared, and all that are.
    OfProject(String),
    /// All that the caller may see.
    All,
}

/// A port, as far as Compute cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Its id.
    pub id: String,
    /// The network that it is on.
    pub network_id: String,
    /// The project that it belongs to.
    pub project_id: String,
    /// What has it: an instance's id; empty: nothing.
    pub device_id: String,
    /// What kind of thing that is: `compute:nova` in the zone `nova`.
    pub device_owner: String,
    /// Its hardware address.
    pub mac_address: String,
    /// Its status: `ACTIVE`, `DOWN`.
    pub status: String,
    /// Its addresses, each with its subnet.
    pub fixed_ips: Vec<(String, String)>,
    /// Ids of its security groups.
    pub security_groups: Vec<String>,
    /// The host that it is bound to; empty: none.
    pub host: String,
    /// How it is bound there.
    pub vif_type: String,
    /// When it gets its addresses: `immediate`, `deferred` until it is bound, or `none`, never.
    pub ip_allocation: String,
    /// Whether it has security groups at all.
    pub port_security_enabled: bool,
}

/// Which ports are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortFilter {
    /// Those of these ids.
    Ids(Vec<String>),
    /// Those of these instances.
    Instances(Vec<InstanceUuid>),
    /// Those that have an address in which this text occurs.
    AddressPart(String),
}

/// A security group, as far as Compute cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Its id.
    pub id: String,
    /// Its name; a project may have several of one.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The project that it belongs to.
    pub project_id: String,
}

/// What is asked for one instance, for the host that is to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortsWanted {
    /// The instance: the ports' device.
    pub instance: InstanceUuid,
    /// The project that the ports are made for.
    pub project_id: String,
    /// The instance's name, which its ports' DNS name is made of.
    pub hostname: String,
    /// The host that they are bound to.
    pub host: String,
    /// The host's availability zone, which the ports' owner names.
    pub zone: String,
    /// What they are to be.
    pub requested: RequestedNetworks,
}

/// What becomes of an instance's bindings when it moves between hosts. Each does nothing if it is so already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding<'a> {
    /// This host, too, will have the ports; they work where they are.
    Add(&'a str),
    /// The ports work on this host now, and were to have been added there. The binding that was stays, inactive.
    Activate(&'a str),
    /// This host does not have the ports any more. The last binding that is left is not removed by this.
    Remove(&'a str),
    /// The ports are bound to this host and to no other.
    Only(&'a str),
}

/// The Networking component.
pub trait Networks: Send + Sync + 'static {
    /// Networks, in the order in which Networking lists them.
    fn networks<'a>(&'a self, caller: Caller<'a>, filter: NetworkFilter) -> Answer<'a, Vec<Network>>;

    /// Ports that the caller may see.
    fn ports<'a>(&'a self, caller: Caller<'a>, filter: PortFilter) -> Answer<'a, Vec<Port>>;

    /// All security groups of a project, the default one made first if it is missing.
    fn security_groups<'a>(&'a self, caller: Caller<'a>, project: &'a str) -> Answer<'a, Vec<SecurityGroup>>;

    /// The security groups of these instances' ports, as far as the caller may see them: a pair for each port and group.
    fn security_groups_of<'a>(
        &'a self,
        caller: Caller<'a>,
        instances: &'a [InstanceUuid],
    ) -> Answer<'a, Vec<(InstanceUuid, SecurityGroup)>>;

    /// How many ports more the project may have; `None`: as many as it likes.
    fn ports_left<'a>(&'a self, caller: Caller<'a>, project: &'a str) -> Answer<'a, Option<u64>>;

    /// The network that is made for a project which has none, by its auto-allocated topology. `check`: nothing is made, and the
    /// answer is whether it could be, with no id.
    fn auto_allocate<'a>(&'a self, caller: Caller<'a>, project: &'a str, check: bool) -> Answer<'a, Option<String>>;

    /// Makes an instance's ports, or takes those that were brought, all or none, and binds them to the host. What an earlier
    /// call has made for the instance is used and bound to this host, so that it may be asked again after any failure.
    fn allocate<'a>(&'a self, wanted: &'a PortsWanted) -> Answer<'a, NetworkInfo>;

    /// Makes or takes one port more for an instance that has its others. The answer is that one's interface alone.
    fn add<'a>(&'a self, wanted: &'a PortsWanted, vif: &'a RequestedVif) -> Answer<'a, NetworkInfo>;

    /// Gives back all ports of these instances: deletes them, but takes only the instance out of those that are to be
    /// kept. Nothing is left to do for an instance without ports.
    fn deallocate<'a>(&'a self, instances: &'a [(InstanceUuid, Vec<String>)]) -> Answer<'a, ()>;

    /// Gives one port back; `keep`: it is its user's. Nothing if it is not the instance's.
    fn remove<'a>(&'a self, instance: InstanceUuid, port: &'a str, keep: bool) -> Answer<'a, ()>;

    /// Changes where the ports of an instance are bound.
    fn bind<'a>(&'a self, instance: InstanceUuid, binding: Binding<'a>) -> Answer<'a, ()>;

    /// What these instances, each with its project, have there, each in the order in which their ports were made: a port of
    /// another project shows nothing, whatever device its owner says that it is of. `preserve_on_delete` and `tag` are Compute's
    /// to know and are not filled in.
    fn describe<'a>(&'a self, instances: &'a [(InstanceUuid, String)]) -> Answer<'a, Vec<(InstanceUuid, NetworkInfo)>>;

    /// Sets the security groups of all of an instance's ports that can have some: those that they have, with `add` and
    /// without `remove` (ids).
    fn change_security_groups<'a>(
        &'a self,
        caller: Caller<'a>,
        instance: InstanceUuid,
        add: &'a [String],
        remove: &'a [String],
    ) -> Answer<'a, ()>;
}
