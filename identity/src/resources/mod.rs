//! The resources of the Identity API, a module each.

mod access_rules;
mod application_credentials;
mod assignments;
mod consumers;
mod credentials;
mod domain_config;
mod domains;
mod ec2;
mod endpoint_filter;
mod endpoint_groups;
mod endpoints;
mod grants;
mod groups;
mod implied_roles;
mod limits;
mod members;
mod policies;
pub(crate) mod projects;
mod regions;
mod registered_limits;
pub(crate) mod roles;
mod services;
mod tags;
mod trusts;
pub(crate) mod users;

use novella_rest::Operation;

pub(crate) use self::{
    application_credentials::ApplicationCredential,
    credentials::{Credential, ec2_blob, ec2_id},
    endpoints::Endpoint,
    regions::Region,
    services::Service,
};

use crate::state::Identity;

/// The operations on all of them.
pub(crate) fn operations() -> Vec<Operation<Identity>> {
    [
        projects::operations(),
        tags::operations(),
        domains::operations(),
        users::operations(),
        groups::operations(),
        members::operations(),
        roles::operations(),
        implied_roles::operations(),
        grants::operations(),
        assignments::operations(),
        regions::operations(),
        services::operations(),
        endpoints::operations(),
        endpoint_groups::operations(),
        endpoint_filter::operations(),
        credentials::operations(),
        ec2::operations(),
        application_credentials::operations(),
        access_rules::operations(),
        trusts::operations(),
        policies::operations(),
        consumers::operations(),
        registered_limits::operations(),
        limits::operations(),
        domain_config::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
