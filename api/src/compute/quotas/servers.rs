//! Whether a project, and a user in it, may have so many more servers: their number, their virtual CPUs, their memory.

use std::collections::{BTreeSet, HashMap};

use novella_common::{
    db::{
        Connection, DbError,
        quotas::{self, ServersInUse},
    },
    models::Flavor,
};
use novella_rest::ApiError;

use super::{Amounts, Limits, Resource, exceeds};

/// What servers are counted by, in the order in which Nova names what is exceeded.
const COUNTED: [Resource; 3] = [Resource::Cores, Resource::Instances, Resource::Ram];

/// What is locked while a project's servers are counted.
pub(super) fn lock_name(project: &str) -> String {
    format!("servers of {project}")
}

/// How many servers are asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::compute) struct Wanted {
    /// At least so many, or none.
    pub(in crate::compute) least: u32,
    /// As many as the limits allow, up to so many.
    pub(in crate::compute) most: u32,
}

/// The limits for the servers that a request makes.
#[derive(Clone, Debug)]
pub(in crate::compute) struct ServerQuota {
    limits: Limits,
    project: String,
    user: String,
    vcpus: i64,
    memory_mb: i64,
}

impl ServerQuota {
    /// `None`: nothing is limited, so that nothing need be counted or locked.
    pub(in crate::compute) fn new(limits: Limits, project: &str, user: &str, flavor: &Flavor) -> Option<Self> {
        COUNTED.iter().any(|resource| limits.is_limited(*resource)).then(|| Self {
            limits,
            project: project.to_owned(),
            user: user.to_owned(),
            vcpus: flavor.vcpus,
            memory_mb: flavor.memory_mb,
        })
    }

    /// The project whose servers are counted.
    pub(in crate::compute) fn project(&self) -> &str {
        &self.project
    }

    /// How many of the wanted ones there may be at this moment.
    ///
    /// # Errors
    /// 403 in Nova's words if that is fewer than the least.
    pub(in crate::compute) async fn allowed(
        &self,
        connection: &mut Connection,
        wanted: Wanted,
    ) -> Result<u32, ApiError> {
        let (project, user) = quotas::servers_in_use(connection, &self.project, &self.user).await?;
        self.of_usage(project, user, wanted).map_err(ApiError::Forbidden)
    }

    fn of_usage(&self, project: ServersInUse, user: ServersInUse, wanted: Wanted) -> Result<u32, String> {
        let mut count = wanted.most;
        loop {
            // The project's limits come first, and with them what the project has.
            let scopes = [(&self.limits.project, project), (&self.limits.user, user)];
            let over = |(limits, used): &(&Amounts, ServersInUse)| !self.exceeded(limits, *used, count).is_empty();
            let Some((limits, used)) = scopes.into_iter().find(over) else { return Ok(count) };
            let fits = self.headroom(limits, used).min(count);
            if fits >= wanted.least && fits < count {
                count = fits;
                continue;
            }
            return Err(self.refusal(limits, used, Wanted { least: wanted.least, most: count }));
        }
    }

    /// What one server takes.
    fn size(&self, resource: Resource) -> i64 {
        match resource {
            Resource::Cores => self.vcpus,
            Resource::Ram => self.memory_mb,
            _ => 1,
        }
    }

    fn exceeded(&self, limits: &Amounts, used: ServersInUse, count: u32) -> Vec<Resource> {
        let total = |resource| of(used, resource).saturating_add(self.size(resource).saturating_mul(count.into()));
        COUNTED.into_iter().filter(|resource| exceeds(total(*resource), limits[*resource])).collect()
    }

    /// How many more servers the limits leave room for.
    fn headroom(&self, limits: &Amounts, used: ServersInUse) -> u32 {
        let limited = COUNTED.into_iter().filter(|resource| limits[*resource] >= 0 && self.size(*resource) > 0);
        let room = limited.map(|resource| (limits[resource] - of(used, resource)).max(0) / self.size(resource)).min();
        room.and_then(|room| u32::try_from(room).ok()).unwrap_or(u32::MAX)
    }

    fn refusal(&self, limits: &Amounts, used: ServersInUse, wanted: Wanted) -> String {
        let over = self.exceeded(limits, used, wanted.most);
        let joined = |text: &dyn Fn(Resource) -> String| {
            over.iter().map(|resource| text(*resource)).collect::<Vec<_>>().join(", ")
        };
        let names = joined(&|resource| resource.as_str().to_owned());
        let requested = joined(&|resource| match resource {
            Resource::Instances if wanted.least < wanted.most => format!("{}-{}", wanted.least, wanted.most),
            resource => self.size(resource).saturating_mul(wanted.most.into()).to_string(),
        });
        let used = joined(&|resource| of(used, resource).to_string());
        let allowed = joined(&|resource| limits[resource].to_string());
        format!("Quota exceeded for {names}: Requested {requested}, but already used {used} of {allowed} {names}")
    }
}

/// What a project, and users in it, have: counted in a transaction that holds the project's lock, and from then on with what
/// this transaction adds.
#[derive(Default)]
pub(in crate::compute) struct CountedUsage {
    project: ServersInUse,
    users: HashMap<String, ServersInUse>,
}

impl CountedUsage {
    /// Locks the project of these limits, which is one, until the transaction ends, and counts what it has.
    ///
    /// # Errors
    /// The database can't be read.
    pub(in crate::compute) async fn lock_and_count(
        transaction: &mut Connection,
        quotas: &[&ServerQuota],
    ) -> Result<Self, DbError> {
        let mut counted = Self::default();
        let Some(ServerQuota { project, .. }) = quotas.first() else { return Ok(counted) };
        quotas::lock(transaction, &lock_name(project)).await?;
        let users: BTreeSet<_> = quotas.iter().map(|quota| &quota.user).collect();
        for user in users {
            let (all, own) = quotas::servers_in_use(transaction, project, user).await?;
            counted.project = all;
            counted.users.insert(user.clone(), own);
        }
        Ok(counted)
    }

    /// Counts `count` more servers in, if they fit.
    ///
    /// # Errors
    /// 403 in Nova's words if they don't.
    pub(in crate::compute) fn take(&mut self, quota: &ServerQuota, count: u32) -> Result<(), ApiError> {
        let own = self.users.entry(quota.user.clone()).or_default();
        quota.of_usage(self.project, *own, Wanted { least: count, most: count }).map_err(ApiError::Forbidden)?;
        for used in [&mut self.project, own] {
            used.instances = used.instances.saturating_add(count.into());
            used.cores = used.cores.saturating_add(quota.vcpus.saturating_mul(count.into()));
            used.ram = used.ram.saturating_add(quota.memory_mb.saturating_mul(count.into()));
        }
        Ok(())
    }
}

fn of(used: ServersInUse, resource: Resource) -> i64 {
    match resource {
        Resource::Cores => used.cores,
        Resource::Ram => used.ram,
        _ => used.instances,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compute::quotas::UNLIMITED;

    fn limits(instances: i64, cores: i64, ram: i64) -> Amounts {
        let mut limits = Amounts([UNLIMITED; Resource::ALL.len()]);
        limits[Resource::Instances] = instances;
        limits[Resource::Cores] = cores;
        limits[Resource::Ram] = ram;
        limits
    }

    fn quota(project: Amounts, user: Amounts) -> ServerQuota {
        let limits = Limits { project, user };
        ServerQuota { limits, project: String::new(), user: String::new(), vcpus: 2, memory_mb: 512 }
    }

    fn used(instances: i64) -> ServersInUse {
        ServersInUse { instances, cores: 2 * instances, ram: 512 * instances }
    }

    #[test]
    fn what_is_exceeded_is_said_in_novas_words() {
        let quota = quota(limits(3, 5, -1), limits(3, 5, -1));
        let ask = |have: i64, least, most| quota.of_usage(used(have), used(have), Wanted { least, most });
        assert_eq!(ask(0, 1, 2), Ok(2));
        assert_eq!(ask(0, 1, 100), Ok(2), "as many as fit");
        assert_eq!(ask(2, 1, 1).unwrap_err(), "Quota exceeded for cores: Requested 2, but already used 4 of 5 cores");
        assert_eq!(
            ask(2, 2, 4).unwrap_err(),
            "Quota exceeded for cores, instances: Requested 8, 2-4, but already used 4, 2 of 5, 3 cores, instances"
        );
    }

    #[test]
    fn a_user_may_have_less_than_the_project() {
        let quota = quota(limits(10, -1, -1), limits(2, -1, -1));
        assert_eq!(quota.of_usage(used(5), used(1), Wanted { least: 1, most: 1 }), Ok(1));
        let refused = quota.of_usage(used(5), used(2), Wanted { least: 1, most: 1 }).unwrap_err();
        assert_eq!(refused, "Quota exceeded for instances: Requested 1, but already used 2 of 2 instances");
    }

    proptest! {
        #[test]
        fn what_is_allowed_fits_and_one_more_does_not(
            (instances, cores, ram) in (-1i64..20, -1i64..40, -1i64..10_000),
            (own_instances, have, own) in (-1i64..20, 0i64..10, 0i64..10),
            (least, more) in (1u32..6, 0u32..30),
        ) {
            let quota = quota(limits(instances, cores, ram), limits(own_instances, cores, ram));
            let (all, own) = (used(have + own), used(own));
            let wanted = Wanted { least, most: least + more };
            let fits = |count: u32| {
                let fits = |limits: &Amounts, used| quota.exceeded(limits, used, count).is_empty();
                fits(&quota.limits.project, all) && fits(&quota.limits.user, own)
            };
            match quota.of_usage(all, own, wanted) {
                Ok(count) => {
                    prop_assert!((wanted.least..=wanted.most).contains(&count) && fits(count));
                    prop_assert!(count == wanted.most || !fits(count + 1));
                }
                Err(_) => prop_assert!(!fits(wanted.least)),
            }
        }
    }
}
