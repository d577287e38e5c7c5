//! Quotas: how much a project, and a user in it, may have.
//!
//! A limit is the first of these that there is: the user's in the project, the project's, that of the class `default`, the
//! configuration's. -1 says that there is none. Usage is counted in the transaction that adds to it, under a lock of the
//! project's (see [`novella_common::db::quotas`]), so that no number of requests at once comes to one too many.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `sets` | `/os-quota-sets` |
//! | `classes` | `/os-quota-class-sets` |
//! | `servers` | whether a project may have so many more servers |

/// The body that sets limits, under a key. Those of what belongs to the network are known until one version here and another
/// there.
macro_rules! new_limits {
    ($(#[$doc:meta])* $key:literal, network until $until:literal $(, $flag:ident: $type:ty = $name:literal)?) => {
        novella_rest::body! {
            $(#[$doc])*
            struct NewLimits in $key {
                $($flag: $type = $name,)?
                cores: Option<Integer<-1>> = "cores",
                fixed_ips: Option<Integer<-1>> = "fixed_ips".until($until),
                floating_ips: Option<Integer<-1>> = "floating_ips".until($until),
                injected_file_content_bytes: Option<Integer<-1>> = "injected_file_content_bytes".until(56),
                injected_file_path_bytes: Option<Integer<-1>> = "injected_file_path_bytes".until(56),
                injected_files: Option<Integer<-1>> = "injected_files".until(56),
                instances: Option<Integer<-1>> = "instances",
                key_pairs: Option<Integer<-1>> = "key_pairs",
                metadata_items: Option<Integer<-1>> = "metadata_items",
                ram: Option<Integer<-1>> = "ram",
                security_group_rules: Option<Integer<-1>> = "security_group_rules".until($until),
                security_groups: Option<Integer<-1>> = "security_groups".until($until),
                server_group_members: Option<Integer<-1>> = "server_group_members",
                server_groups: Option<Integer<-1>> = "server_groups",
            }
        }

        impl NewLimits {
            /// What is to be changed.
            fn changes(&self) -> Vec<(Resource, i64)> {
                let all = [
                    (Resource::Cores, self.cores),
                    (Resource::FixedIps, self.fixed_ips),
                    (Resource::FloatingIps, self.floating_ips),
                    (Resource::InjectedFileContentBytes, self.injected_file_content_bytes),
                    (Resource::InjectedFilePathBytes, self.injected_file_path_bytes),
                    (Resource::InjectedFiles, self.injected_files),
                    (Resource::Instances, self.instances),
                    (Resource::KeyPairs, self.key_pairs),
                    (Resource::MetadataItems, self.metadata_items),
                    (Resource::Ram, self.ram),
                    (Resource::SecurityGroupRules, self.security_group_rules),
                    (Resource::SecurityGroups, self.security_groups),
                    (Resource::ServerGroupMembers, self.server_group_members),
                    (Resource::ServerGroups, self.server_groups),
                ];
                all.into_iter().filter_map(|(resource, limit)| Some((resource, limit?.0))).collect()
            }
        }
    };
}

mod classes;
pub(super) mod servers;
mod sets;
mod view;

use std::ops::{Index, IndexMut};

use novella_common::{
    db::{
        Connection, DbError,
        quotas::{self, Of},
    },
    named,
};
use novella_rest::{ApiError, Operation};

use crate::{Request, config::QuotaConfig, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    sets::operations().into_iter().chain(classes::operations()).collect()
}

named! {
    /// What is limited, in the order in which Nova shows it.
    pub(super) enum Resource {
        Cores = "cores",
        FixedIps = "fixed_ips",
        FloatingIps = "floating_ips",
        InjectedFileContentBytes = "injected_file_content_bytes",
        InjectedFilePathBytes = "injected_file_path_bytes",
        InjectedFiles = "injected_files",
        Instances = "instances",
        KeyPairs = "key_pairs",
        MetadataItems = "metadata_items",
        Ram = "ram",
        SecurityGroupRules = "security_group_rules",
        SecurityGroups = "security_groups",
        ServerGroupMembers = "server_group_members",
        ServerGroups = "server_groups",
    }
}

impl Resource {
    /// Whether a limit is the project's even where a user is named (nova/db/main/api.py, `PER_PROJECT_QUOTAS`).
    const fn is_per_project(self) -> bool {
        matches!(self, Self::FixedIps | Self::FloatingIps)
    }
}

/// What is no limit.
const UNLIMITED: i64 = -1;

/// Whether `count` is more than a limit allows.
const fn exceeds(count: i64, limit: i64) -> bool {
    limit >= 0 && count > limit
}

/// A number for each resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amounts([i64; Resource::ALL.len()]);

impl Index<Resource> for Amounts {
    type Output = i64;

    fn index(&self, resource: Resource) -> &i64 {
        &self.0[resource as usize]
    }
}

impl IndexMut<Resource> for Amounts {
    fn index_mut(&mut self, resource: Resource) -> &mut i64 {
        &mut self.0[resource as usize]
    }
}

impl Amounts {
    const NOTHING: Self = Self([0; Resource::ALL.len()]);

    /// The limits of the configuration. What belongs to the network is none of Compute's any more and has none.
    fn configured(config: &QuotaConfig) -> Self {
        let limit = |resource| match resource {
            Resource::Cores => config.cores,
            Resource::InjectedFileContentBytes => config.injected_file_content_bytes,
            Resource::InjectedFilePathBytes => config.injected_file_path_length,
            Resource::InjectedFiles => config.injected_files,
            Resource::Instances => config.instances,
            Resource::KeyPairs => config.key_pairs,
            Resource::MetadataItems => config.metadata_items,
            Resource::Ram => config.ram,
            Resource::ServerGroupMembers => config.server_group_members,
            Resource::ServerGroups => config.server_groups,
            Resource::FixedIps | Resource::FloatingIps | Resource::SecurityGroupRules | Resource::SecurityGroups => {
                UNLIMITED
            }
        };
        let mut limits = Self::NOTHING;
        Resource::ALL.iter().for_each(|resource| limits[*resource] = limit(*resource));
        limits
    }

    fn with(mut self, limits: impl IntoIterator<Item = (String, i64)>) -> Self {
        for (name, limit) in limits {
            if let Ok(resource) = name.parse::<Resource>() {
                self[resource] = limit;
            }
        }
        self
    }
}

/// The limits that hold for a user in a project.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of all users of the project together.
    pub(super) project: Amounts,
    /// Of this user alone.
    pub(super) user: Amounts,
}

impl Limits {
    /// Those of a project and of a user in it.
    pub(super) async fn of(
        connection: &mut Connection,
        config: &QuotaConfig,
        project: &str,
        user: Option<&str>,
    ) -> Result<Self, DbError> {
        let set = quotas::limits(connection, project, user).await?;
        let of = |whose: Of| set.iter().filter(move |set| set.of == whose).map(|set| (set.resource.clone(), set.limit));
        let project = Amounts::configured(config).with(of(Of::DefaultClass)).with(of(Of::Project));
        Ok(Self { project, user: project.with(of(Of::User)) })
    }

    /// Those of whoever asks, in the project of the token; without one, the defaults.
    pub(super) async fn of_caller(connection: &mut Connection, request: &Request) -> Result<Self, DbError> {
        let project = request.context.project_id.as_deref().unwrap_or_default();
        Self::of(connection, &request.state.quota, project, Some(request.user())).await
    }

    /// Whether `count` is more than the project or the user may have.
    pub(super) fn exceeded(&self, resource: Resource, count: i64) -> bool {
        self.exceeded_by(resource, count, count)
    }

    /// Whether `all` of a project is more than it may have, or `own` of the user more than the user may.
    pub(super) fn exceeded_by(&self, resource: Resource, all: i64, own: i64) -> bool {
        exceeds(all, self.project[resource]) || exceeds(own, self.user[resource])
    }

    /// Whether there is a limit at all.
    pub(super) fn is_limited(&self, resource: Resource) -> bool {
        self.project[resource] >= 0 || self.user[resource] >= 0
    }

    /// Holds the number of a server's pairs of metadata against the limits.
    ///
    /// # Errors
    /// 403 in Nova's words.
    pub(super) fn check_metadata(&self, pairs: usize) -> Result<(), ApiError> {
        let pairs = i64::try_from(pairs).unwrap_or(i64::MAX);
        if pairs > 0 && self.exceeded(Resource::MetadataItems, pairs) {
            let allowed = self.project[Resource::MetadataItems];
            return Err(ApiError::Forbidden(format!("Maximum number of metadata items exceeds {allowed}")));
        }
        Ok(())
    }
}
