//! Who may do what: the rules of the Compute API under Nova's names, with Nova's defaults.
//!
//! A rule names a role. It is granted to whoever holds the role in the project that the thing belongs to, and to
//! administrators. Roles imply each other, `admin` ⊃ `manager` ⊃ `member` ⊃ `reader`; the implied ones are put into
//! the token when it is issued ([`with_implied_roles`]), so that a check is one look-up.
//!
//! Source: nova/policies/ (34.0.0), with the scopes and the new defaults enforced, as Nova does since 27.

use crate::RequestContext;

/// The role that may do everything.
pub const ADMIN: &str = "admin";
/// The role that runs a project: migrations of its servers.
pub const MANAGER: &str = "manager";
/// The role that uses a project.
pub const MEMBER: &str = "member";
/// The role that looks.
pub const READER: &str = "reader";

/// Every role, each implying those after it.
pub const ROLES: [&str; 4] = [ADMIN, MANAGER, MEMBER, READER];

/// The roles with all that they imply. Roles that are not among [`ROLES`] imply nothing and are kept.
#[must_use]
pub fn with_implied_roles<I, S>(roles: I) -> Vec<String>
where
    I: IntoIterator<Item = S>,
    S: Into<String>,
{
    let mut all: Vec<String> = Vec::new();
    let mut add = |role: String| {
        if !all.contains(&role) {
            all.push(role);
        }
    };
    for role in roles {
        let role = role.into();
        let implied = ROLES.iter().position(|known| *known == role).map_or(ROLES.len(), |index| index + 1);
        add(role);
        ROLES[implied..].iter().for_each(|role| add((*role).to_owned()));
    }
    all
}

/// Who a rule is granted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever has a token.
    Anyone,
    /// Whoever has this role in the project that the thing belongs to, and administrators.
    Role(&'static str),
    /// Administrators.
    Admin,
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Nova's name of it.
    pub name: &'static str,
    /// Who it is granted to.
    pub who: Who,
}

/// A rule that is not granted. The text is Nova's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Policy doesn't allow {rule} to be performed.")]
pub struct Denied {
    /// The rule's name.
    pub rule: &'static str,
}

impl Rule {
    /// Whether it is granted for something of `project`; `None`: for something that belongs to no project.
    #[must_use]
    pub fn allows(&self, context: &RequestContext, project: Option<&str>) -> bool {
        if context.is_admin {
            return true;
        }
        match self.who {
            Who::Anyone => true,
            Who::Admin => false,
            Who::Role(role) => {
                context.roles.iter().any(|held| held == role)
                    && project.is_some()
                    && context.project_id.as_deref() == project
            }
        }
    }

    /// As [`Rule::allows`], for `?`.
    ///
    /// # Errors
    /// [`Denied`] if it is not granted.
    pub fn check(&self, context: &RequestContext, project: Option<&str>) -> Result<(), Denied> {
        if self.allows(context, project) { Ok(()) } else { Err(Denied { rule: self.name }) }
    }

    /// As [`Rule::check`], for something of the caller's own project: a list, a new server.
    ///
    /// # Errors
    /// [`Denied`] if it is not granted.
    pub fn check_own(&self, context: &RequestContext) -> Result<(), Denied> {
        self.check(context, context.project_id.as_deref())
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $who:expr;)*) => {
        $($(#[$doc])* pub const $constant: Rule = Rule { name: $name, who: $who };)*

        /// Every rule.
        pub const ALL: &[Rule] = &[$($constant),*];
    };
}

rules! {
    /// List servers.
    SERVERS_INDEX = "os_compute_api:servers:index", Who::Role(READER);
    /// List servers with details.
    SERVERS_DETAIL = "os_compute_api:servers:detail", Who::Role(READER);
    /// List servers of every project.
    SERVERS_INDEX_ALL = "os_compute_api:servers:index:get_all_tenants", Who::Admin;
    /// List servers of every project with details.
    SERVERS_DETAIL_ALL = "os_compute_api:servers:detail:get_all_tenants", Who::Admin;
    /// Filter lists of servers by anything.
    SERVERS_ALL_FILTERS = "os_compute_api:servers:allow_all_filters", Who::Admin;
    /// Show a server.
    SERVERS_SHOW = "os_compute_api:servers:show", Who::Role(READER);
    /// See how a server's host is.
    SERVERS_SHOW_HOST_STATUS = "os_compute_api:servers:show:host_status", Who::Admin;
    /// See the extra specs in a server's flavor.
    SERVERS_SHOW_FLAVOR_EXTRA_SPECS = "os_compute_api:servers:show:flavor-extra-specs", Who::Role(READER);
    /// See a server's `OS-EXT-SRV-ATTR` fields.
    EXTENDED_SERVER_ATTRIBUTES = "os_compute_api:os-extended-server-attributes", Who::Admin;
    /// Make a server.
    SERVERS_CREATE = "os_compute_api:servers:create", Who::Role(MEMBER);
    /// Make a server on a host by `availability_zone: zone:host`.
    SERVERS_CREATE_FORCED_HOST = "os_compute_api:servers:create:forced_host", Who::Admin;
    /// Make a server on a named host.
    SERVERS_CREATE_REQUESTED = "compute:servers:create:requested_destination", Who::Admin;
    /// Change a server's name and description.
    SERVERS_UPDATE = "os_compute_api:servers:update", Who::Role(MEMBER);
    /// Delete a server.
    SERVERS_DELETE = "os_compute_api:servers:delete", Who::Role(MEMBER);
    /// Start a server.
    SERVERS_START = "os_compute_api:servers:start", Who::Role(MEMBER);
    /// Stop a server.
    SERVERS_STOP = "os_compute_api:servers:stop", Who::Role(MEMBER);
    /// Reboot a server.
    SERVERS_REBOOT = "os_compute_api:servers:reboot", Who::Role(MEMBER);
    /// Pause a server.
    PAUSE = "os_compute_api:os-pause-server:pause", Who::Role(MEMBER);
    /// Unpause a server.
    UNPAUSE = "os_compute_api:os-pause-server:unpause", Who::Role(MEMBER);
    /// Make a server's guest write a crash dump.
    SERVERS_TRIGGER_CRASH_DUMP = "os_compute_api:servers:trigger_crash_dump", Who::Role(MEMBER);
    /// Suspend a server.
    SUSPEND = "os_compute_api:os-suspend-server:suspend", Who::Role(MEMBER);
    /// Resume a server.
    RESUME = "os_compute_api:os-suspend-server:resume", Who::Role(MEMBER);
    /// Read a server's console.
    CONSOLE_OUTPUT = "os_compute_api:os-console-output", Who::Role(MEMBER);
    /// Set a server's state by hand.
    RESET_STATE = "os_compute_api:os-admin-actions:reset_state", Who::Admin;
    /// Move a running server.
    MIGRATE_LIVE = "os_compute_api:os-migrate-server:migrate_live", Who::Role(MANAGER);
    /// Move a running server to a named host.
    MIGRATE_LIVE_HOST = "os_compute_api:os-migrate-server:migrate_live:host", Who::Admin;
    /// List the migrations of a server.
    SERVER_MIGRATIONS_INDEX = "os_compute_api:servers:migrations:index", Who::Role(MANAGER);
    /// See the hosts in the migrations of a server.
    SERVER_MIGRATIONS_INDEX_HOST = "os_compute_api:servers:migrations:index:host", Who::Admin;
    /// Show a migration of a server.
    SERVER_MIGRATIONS_SHOW = "os_compute_api:servers:migrations:show", Who::Admin;
    /// Hurry a live migration.
    SERVER_MIGRATIONS_FORCE_COMPLETE = "os_compute_api:servers:migrations:force_complete", Who::Role(MANAGER);
    /// Abort a live migration.
    SERVER_MIGRATIONS_DELETE = "os_compute_api:servers:migrations:delete", Who::Role(MANAGER);
    /// List migrations.
    MIGRATIONS_INDEX = "os_compute_api:os-migrations:index", Who::Role(MANAGER);
    /// List migrations of every project.
    MIGRATIONS_INDEX_ALL = "os_compute_api:os-migrations:index:all_projects", Who::Admin;
    /// See the hosts of migrations.
    MIGRATIONS_INDEX_HOST = "os_compute_api:os-migrations:index:host", Who::Admin;
    /// List what was asked of a server.
    INSTANCE_ACTIONS_LIST = "os_compute_api:os-instance-actions:list", Who::Role(READER);
    /// Show one thing that was asked of a server.
    INSTANCE_ACTIONS_SHOW = "os_compute_api:os-instance-actions:show", Who::Role(READER);
    /// See the events of an action before microversion 2.51, and their tracebacks.
    INSTANCE_ACTIONS_EVENTS = "os_compute_api:os-instance-actions:events", Who::Admin;
    /// See the details of an action's events.
    INSTANCE_ACTIONS_EVENTS_DETAILS = "os_compute_api:os-instance-actions:events:details", Who::Admin;
    /// List a server's metadata.
    SERVER_METADATA_INDEX = "os_compute_api:server-metadata:index", Who::Role(READER);
    /// Show one item of a server's metadata.
    SERVER_METADATA_SHOW = "os_compute_api:server-metadata:show", Who::Role(READER);
    /// Add to a server's metadata.
    SERVER_METADATA_CREATE = "os_compute_api:server-metadata:create", Who::Role(MEMBER);
    /// Replace a server's metadata.
    SERVER_METADATA_UPDATE_ALL = "os_compute_api:server-metadata:update_all", Who::Role(MEMBER);
    /// Change one item of a server's metadata.
    SERVER_METADATA_UPDATE = "os_compute_api:server-metadata:update", Who::Role(MEMBER);
    /// Remove one item of a server's metadata.
    SERVER_METADATA_DELETE = "os_compute_api:server-metadata:delete", Who::Role(MEMBER);
    /// See a server's addresses.
    SERVER_IPS_INDEX = "os_compute_api:ips:index", Who::Role(READER);
    /// See a server's addresses on one network.
    SERVER_IPS_SHOW = "os_compute_api:ips:show", Who::Role(READER);
    /// Make a flavor.
    FLAVORS_CREATE = "os_compute_api:os-flavor-manage:create", Who::Admin;
    /// Change a flavor's description.
    FLAVORS_UPDATE = "os_compute_api:os-flavor-manage:update", Who::Admin;
    /// Delete a flavor.
    FLAVORS_DELETE = "os_compute_api:os-flavor-manage:delete", Who::Admin;
    /// List a flavor's extra specs.
    FLAVOR_EXTRA_SPECS_INDEX = "os_compute_api:os-flavor-extra-specs:index", Who::Role(READER);
    /// Show one extra spec of a flavor.
    FLAVOR_EXTRA_SPECS_SHOW = "os_compute_api:os-flavor-extra-specs:show", Who::Role(READER);
    /// List services.
    SERVICES_LIST = "os_compute_api:os-services:list", Who::Admin;
    /// Change services.
    SERVICES_UPDATE = "os_compute_api:os-services:update", Who::Admin;
    /// Delete services.
    SERVICES_DELETE = "os_compute_api:os-services:delete", Who::Admin;
    /// List hypervisors.
    HYPERVISORS_LIST = "os_compute_api:os-hypervisors:list", Who::Admin;
    /// List hypervisors with details.
    HYPERVISORS_LIST_DETAIL = "os_compute_api:os-hypervisors:list-detail", Who::Admin;
    /// Show a hypervisor.
    HYPERVISORS_SHOW = "os_compute_api:os-hypervisors:show", Who::Admin;
    /// See the sums over all hypervisors.
    HYPERVISORS_STATISTICS = "os_compute_api:os-hypervisors:statistics", Who::Admin;
    /// See how long a hypervisor has been up.
    HYPERVISORS_UPTIME = "os_compute_api:os-hypervisors:uptime", Who::Admin;
    /// Find hypervisors by name.
    HYPERVISORS_SEARCH = "os_compute_api:os-hypervisors:search", Who::Admin;
    /// List the servers on a hypervisor.
    HYPERVISORS_SERVERS = "os_compute_api:os-hypervisors:servers", Who::Admin;
    /// List host aggregates.
    AGGREGATES_INDEX = "os_compute_api:os-aggregates:index", Who::Admin;
    /// Show a host aggregate.
    AGGREGATES_SHOW = "os_compute_api:os-aggregates:show", Who::Admin;
    /// List availability zones.
    AVAILABILITY_ZONE_LIST = "os_compute_api:os-availability-zone:list", Who::Anyone;
    /// List availability zones with their hosts.
    AVAILABILITY_ZONE_DETAIL = "os_compute_api:os-availability-zone:detail", Who::Admin;
    /// See one's own limits.
    LIMITS = "os_compute_api:limits", Who::Anyone;
    /// See another project's limits.
    LIMITS_OTHER_PROJECT = "os_compute_api:limits:other_project", Who::Admin;
    /// List extensions.
    EXTENSIONS = "os_compute_api:extensions", Who::Anyone;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(project: &str, role: &str) -> RequestContext {
        RequestContext {
            project_id: Some(project.into()),
            roles: with_implied_roles([role]),
            is_admin: role == ADMIN,
            ..RequestContext::internal()
        }
    }

    #[test]
    fn each_role_implies_the_ones_below_it() {
        assert_eq!(with_implied_roles(["admin"]), ROLES);
        assert_eq!(with_implied_roles(["reader", "manager"]), ["reader", "manager", "member"]);
        assert_eq!(with_implied_roles(["service"]), ["service"]);
    }

    #[test]
    fn a_role_counts_in_its_own_project_only_and_admin_counts_everywhere() {
        assert!(SERVERS_SHOW.allows(&context("p1", READER), Some("p1")));
        assert!(!SERVERS_SHOW.allows(&context("p1", MEMBER), Some("p2")));
        assert!(SERVERS_SHOW.allows(&context("p1", ADMIN), Some("p2")));
        assert!(!SERVERS_CREATE.allows(&context("p1", READER), Some("p1")));
        assert!(!SERVICES_LIST.allows(&context("p1", MANAGER), None));
        assert!(AVAILABILITY_ZONE_LIST.allows(&context("p1", "nothing"), None));
    }

    #[test]
    fn a_token_without_a_project_is_granted_nothing_that_belongs_to_one() {
        let unscoped = RequestContext { project_id: None, ..context("p1", MEMBER) };
        assert!(!SERVERS_INDEX.allows(&unscoped, unscoped.project_id.as_deref()));
    }

    #[test]
    fn the_text_names_the_rule() {
        let denied = SERVERS_CREATE.check_own(&context("p1", READER));
        assert_eq!(
            denied.map_err(|denied| denied.to_string()),
            Err("Policy doesn't allow os_compute_api:servers:create to be performed.".to_owned())
        );
    }

    #[test]
    fn no_two_rules_have_one_name() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
