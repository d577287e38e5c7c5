//! Networking that a test takes away, and gives back.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use novella_common::{
    ids::InstanceUuid,
    models::{NetworkInfo, RequestedVif},
    networks::{
        Answer, Binding, Caller, Network, NetworkError, NetworkFilter, Networks, Port, PortFilter, PortsWanted,
        SecurityGroup,
    },
};

/// Real networks that answer with an error for as long as a test says so.
pub struct FailingNetworks {
    inner: Arc<dyn Networks>,
    error: Mutex<Option<NetworkError>>,
    refused: Mutex<HashSet<InstanceUuid>>,
}

impl FailingNetworks {
    /// They answer at first.
    #[must_use]
    pub fn new(inner: Arc<dyn Networks>) -> Arc<Self> {
        Arc::new(Self { inner, error: Mutex::default(), refused: Mutex::default() })
    }

    /// Every answer is this error from now on; `None`: the real one.
    pub fn fail(&self, error: Option<NetworkError>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// The ports of this instance are not given back any more.
    pub fn keep_ports_of(&self, instance: InstanceUuid) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(instance);
    }

    fn ask<'a, T: Send + 'a>(&'a self, answer: impl FnOnce(&'a dyn Networks) -> Answer<'a, T>) -> Answer<'a, T> {
        match self.error.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(error) => Box::pin(async { Err(error) }),
            None => answer(&*self.inner),
        }
    }
}

impl Networks for FailingNetworks {
    fn networks<'a>(&'a self, caller: Caller<'a>, filter: NetworkFilter) -> Answer<'a, Vec<Network>> {
        self.ask(|inner| inner.networks(caller, filter))
    }

    fn ports<'a>(&'a self, caller: Caller<'a>, filter: PortFilter) -> Answer<'a, Vec<Port>> {
        self.ask(|inner| inner.ports(caller, filter))
    }

    fn security_groups<'a>(&'a self, caller: Caller<'a>, project: &'a str) -> Answer<'a, Vec<SecurityGroup>> {
        self.ask(|inner| inner.security_groups(caller, project))
    }

    fn security_groups_of<'a>(
        &'a self,
        caller: Caller<'a>,
        instances: &'a [InstanceUuid],
    ) -> Answer<'a, Vec<(InstanceUuid, SecurityGroup)>> {
        self.ask(|inner| inner.security_groups_of(caller, instances))
    }

    fn ports_left<'a>(&'a self, caller: Caller<'a>, project: &'a str) -> Answer<'a, Option<u64>> {
        self.ask(|inner| inner.ports_left(caller, project))
    }

    fn auto_allocate<'a>(&'a self, caller: Caller<'a>, project: &'a str, check: bool) -> Answer<'a, Option<String>> {
        self.ask(|inner| inner.auto_allocate(caller, project, check))
    }

    fn allocate<'a>(&'a self, wanted: &'a PortsWanted) -> Answer<'a, NetworkInfo> {
        self.ask(|inner| inner.allocate(wanted))
    }

    fn add<'a>(&'a self, wanted: &'a PortsWanted, vif: &'a RequestedVif) -> Answer<'a, NetworkInfo> {
        self.ask(|inner| inner.add(wanted, vif))
    }

    fn deallocate<'a>(&'a self, instances: &'a [(InstanceUuid, Vec<String>)]) -> Answer<'a, ()> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if instances.iter().any(|(instance, _)| refused.contains(instance)) {
            let message = "A port can't be deleted.".into();
            return Box::pin(async { Err(NetworkError::Refused { status: 409, kind: "PortInUse".into(), message }) });
        }
        self.ask(|inner| inner.deallocate(instances))
    }

    fn remove<'a>(&'a self, instance: InstanceUuid, port: &'a str, keep: bool) -> Answer<'a, ()> {
        self.ask(|inner| inner.remove(instance, port, keep))
    }

    fn bind<'a>(&'a self, instance: InstanceUuid, binding: Binding<'a>) -> Answer<'a, ()> {
        self.ask(|inner| inner.bind(instance, binding))
    }

    fn describe<'a>(&'a self, instances: &'a [(InstanceUuid, String)]) -> Answer<'a, Vec<(InstanceUuid, NetworkInfo)>> {
        self.ask(|inner| inner.describe(instances))
    }

    fn change_security_groups<'a>(
        &'a self,
        caller: Caller<'a>,
        instance: InstanceUuid,
        add: &'a [String],
        remove: &'a [String],
    ) -> Answer<'a, ()> {
        self.ask(|inner| inner.change_security_groups(caller, instance, add, remove))
    }
}
