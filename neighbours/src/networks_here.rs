//! The Networking component of the same process.

use novella_common::{
    RequestContext,
    ids::InstanceUuid,
    models::{NetworkInfo, RequestedVif},
    networks::{
        Answer, Binding, Caller, Network, NetworkError, NetworkFilter, Networks, Port, PortFilter, PortsWanted,
        SecurityGroup,
    },
};
use novella_network::Networking;

/// Answers by calling the component.
#[derive(Clone, Debug)]
pub struct NetworksHere(Networking);

impl NetworksHere {
    /// On this component.
    #[must_use]
    pub fn new(networking: Networking) -> Self {
        Self(networking)
    }
}

impl Networks for NetworksHere {
    fn networks<'a>(&'a self, caller: Caller<'a>, filter: NetworkFilter) -> Answer<'a, Vec<Network>> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn ports<'a>(&'a self, caller: Caller<'a>, filter: PortFilter) -> Answer<'a, Vec<Port>> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn security_groups<'a>(&'a self, caller: Caller<'a>, project: &'a str) -> Answer<'a, Vec<SecurityGroup>> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn security_groups_of<'a>(
        &'a self,
        caller: Caller<'a>,
        instances: &'a [InstanceUuid],
    ) -> Answer<'a, Vec<(InstanceUuid, SecurityGroup)>> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn ports_left<'a>(&'a self, caller: Caller<'a>, project: &'a str) -> Answer<'a, Option<u64>> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn auto_allocate<'a>(&'a self, caller: Caller<'a>, project: &'a str, check: bool) -> Answer<'a, Option<String>> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn allocate<'a>(&'a self, wanted: &'a PortsWanted) -> Answer<'a, NetworkInfo> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn add<'a>(&'a self, wanted: &'a PortsWanted, vif: &'a RequestedVif) -> Answer<'a, NetworkInfo> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn deallocate<'a>(&'a self, instances: &'a [(InstanceUuid, Vec<String>)]) -> Answer<'a, ()> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn remove<'a>(&'a self, instance: InstanceUuid, port: &'a str, keep: bool) -> Answer<'a, ()> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn bind<'a>(&'a self, instance: InstanceUuid, binding: Binding<'a>) -> Answer<'a, ()> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn describe<'a>(&'a self, instances: &'a [InstanceUuid]) -> Answer<'a, Vec<(InstanceUuid, NetworkInfo)>> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }

    fn change_security_groups<'a>(
        &'a self,
        caller: Caller<'a>,
        instance: InstanceUuid,
        add: &'a [String],
        remove: &'a [String],
    ) -> Answer<'a, ()> {
        Box::pin(async { Err(NetworkError::Unavailable("not yet".into())) })
    }
}
