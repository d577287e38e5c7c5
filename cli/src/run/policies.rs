//! Who may do what in the services of this process: as each describes it, with what files change.

use std::path::Path;

use anyhow::Result;
use novella_api::{CLOUD, COMPUTE};
use novella_identity::IDENTITY;
use novella_image::IMAGE;
use novella_network::NETWORK;
use novella_rest::{Service, policy::Policy};

use crate::config::{Config, PolicyConfig};

/// The policy of a service, and the file that it is from.
pub(crate) struct ServicePolicy<'c> {
    pub(crate) service: &'static Service,
    pub(crate) file: Option<&'c Path>,
    pub(crate) policy: Policy,
}

/// Those of all services.
///
/// # Errors
/// A file can't be read, or something in it is not understood: it is named with its line.
pub(crate) fn load(config: &Config) -> Result<Vec<ServicePolicy<'_>>> {
    let PolicyConfig { compute, identity, image, network } = &config.policy;
    // The Cloud API shows what Compute has, by Compute's rules.
    let files = [(&COMPUTE, compute), (&IDENTITY, identity), (&IMAGE, image), (&NETWORK, network), (&CLOUD, compute)];
    let policies = files.into_iter().map(|(service, file)| {
        let policy = match file {
            Some(file) => Policy::load(service.policy, file)?,
            None => Policy::of(service.policy)?,
        };
        Ok(ServicePolicy { service, file: file.as_deref(), policy })
    });
    policies.collect()
}

/// That of one service.
pub(crate) fn of(service: &Service, policies: &[ServicePolicy<'_>]) -> Policy {
    let own = policies.iter().find(|of| of.service.kind == service.kind);
    own.map(|of| of.policy.clone()).unwrap_or_default()
}
