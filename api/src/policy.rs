//! Who may do what in the Compute API: the rules under Nova's names, with Nova's defaults.
//!
//! Source: nova/policies/ (34.0.0), with the scopes and the new defaults enforced, as Nova does since 27.

use novella_rest::{
    policy::{MANAGER, MEMBER, PolicyDescription, READER, Who},
    rules,
};

/// The policy of Compute. Its rules may name whose a server or a key pair is; all else is the caller's own project's.
pub(crate) const POLICY: PolicyDescription = PolicyDescription {
    rules: ALL,
    admin: CONTEXT_IS_ADMIN.name,
    in_project: |role| format!("rule:project_{role}_or_admin"),
    attributes: &["project_id", "user_id"],
};

rules! {
    CONTEXT_IS_ADMIN = "context_is_admin", Who::Check("role:admin"), "Be an administrator, who may do everything in every project.";
    ADMIN_API = "admin_api", Who::Check("is_admin:True"), "As an administrator; an older name.";
    ADMIN_OR_OWNER = "admin_or_owner", Who::Check("is_admin:True or project_id:%(project_id)s"), "In one's own project; an older name.";
    PROJECT_MANAGER_API = "project_manager_api", Who::Check("role:manager and project_id:%(project_id)s"), "As a manager of the project.";
    PROJECT_MEMBER_API = "project_member_api", Who::Check("role:member and project_id:%(project_id)s"), "As a member of the project.";
    PROJECT_READER_API = "project_reader_api", Who::Check("role:reader and project_id:%(project_id)s"), "As a reader of the project.";
    PROJECT_MANAGER_OR_ADMIN = "project_manager_or_admin", Who::Check("rule:project_manager_api or rule:context_is_admin"), "As a manager of the project, or an administrator.";
    PROJECT_MEMBER_OR_ADMIN = "project_member_or_admin", Who::Check("rule:project_member_api or rule:context_is_admin"), "As a member of the project, or an administrator.";
    PROJECT_READER_OR_ADMIN = "project_reader_or_admin", Who::Check("rule:project_reader_api or rule:context_is_admin"), "As a reader of the project, or an administrator.";
    SERVERS_INDEX = "os_compute_api:servers:index", Who::Role(READER), "List servers.";
    SERVERS_DETAIL = "os_compute_api:servers:detail", Who::Role(READER), "List servers with details.";
    SERVERS_INDEX_ALL = "os_compute_api:servers:index:get_all_tenants", Who::Admin, "List servers of every project.";
    SERVERS_DETAIL_ALL = "os_compute_api:servers:detail:get_all_tenants", Who::Admin, "List servers of every project with details.";
    SERVERS_ALL_FILTERS = "os_compute_api:servers:allow_all_filters", Who::Admin, "Filter lists of servers by anything.";
    SERVERS_SHOW = "os_compute_api:servers:show", Who::Role(READER), "Show a server.";
    SERVERS_SHOW_HOST_STATUS = "os_compute_api:servers:show:host_status", Who::Admin, "See how a server's host is.";
    SERVERS_SHOW_FLAVOR_EXTRA_SPECS = "os_compute_api:servers:show:flavor-extra-specs", Who::Role(READER), "See the extra specs in a server's flavor.";
    EXTENDED_SERVER_ATTRIBUTES = "os_compute_api:os-extended-server-attributes", Who::Admin, "See a server's `OS-EXT-SRV-ATTR` fields.";
    SERVERS_CREATE = "os_compute_api:servers:create", Who::Role(MEMBER), "Make a server.";
    SERVERS_CREATE_FORCED_HOST = "os_compute_api:servers:create:forced_host", Who::Admin, "Make a server on a host by `availability_zone: zone:host`.";
    SERVERS_CREATE_REQUESTED = "compute:servers:create:requested_destination", Who::Admin, "Make a server on a named host.";
    SERVERS_CREATE_TRUSTED_CERTS = "os_compute_api:servers:create:trusted_certs", Who::Role(MEMBER), "Name the certificates that a server's image may be verified by.";
    SERVERS_UPDATE = "os_compute_api:servers:update", Who::Role(MEMBER), "Change a server's name and description.";
    SERVERS_DELETE = "os_compute_api:servers:delete", Who::Role(MEMBER), "Delete a server.";
    SERVERS_START = "os_compute_api:servers:start", Who::Role(MEMBER), "Start a server.";
    SERVERS_STOP = "os_compute_api:servers:stop", Who::Role(MEMBER), "Stop a server.";
    SERVERS_REBOOT = "os_compute_api:servers:reboot", Who::Role(MEMBER), "Reboot a server.";
    PAUSE = "os_compute_api:os-pause-server:pause", Who::Role(MEMBER), "Pause a server.";
    UNPAUSE = "os_compute_api:os-pause-server:unpause", Who::Role(MEMBER), "Unpause a server.";
    SUSPEND = "os_compute_api:os-suspend-server:suspend", Who::Role(MEMBER), "Suspend a server.";
    RESUME = "os_compute_api:os-suspend-server:resume", Who::Role(MEMBER), "Resume a server.";
    SERVERS_TRIGGER_CRASH_DUMP = "os_compute_api:servers:trigger_crash_dump", Who::Role(MEMBER), "Make a server's guest write a crash dump.";
    CONSOLE_OUTPUT = "os_compute_api:os-console-output", Who::Role(MEMBER), "Read a server's console.";
    RESET_STATE = "os_compute_api:os-admin-actions:reset_state", Who::Admin, "Set a server's state by hand.";
    MIGRATE = "os_compute_api:os-migrate-server:migrate", Who::Role(MANAGER), "Move a server that is powered off for it.";
    MIGRATE_HOST = "os_compute_api:os-migrate-server:migrate:host", Who::Admin, "Move a server that is powered off for it to a named host.";
    SERVERS_CONFIRM_RESIZE = "os_compute_api:servers:confirm_resize", Who::Role(MEMBER), "Keep a moved server where it is.";
    SERVERS_REVERT_RESIZE = "os_compute_api:servers:revert_resize", Who::Role(MEMBER), "Bring a moved server back.";
    MIGRATE_LIVE = "os_compute_api:os-migrate-server:migrate_live", Who::Role(MANAGER), "Move a running server.";
    MIGRATE_LIVE_HOST = "os_compute_api:os-migrate-server:migrate_live:host", Who::Admin, "Move a running server to a named host.";
    SERVER_MIGRATIONS_INDEX = "os_compute_api:servers:migrations:index", Who::Role(MANAGER), "List the migrations of a server.";
    SERVER_MIGRATIONS_INDEX_HOST = "os_compute_api:servers:migrations:index:host", Who::Admin, "See the hosts in the migrations of a server.";
    SERVER_MIGRATIONS_SHOW = "os_compute_api:servers:migrations:show", Who::Admin, "Show a migration of a server.";
    SERVER_MIGRATIONS_FORCE_COMPLETE = "os_compute_api:servers:migrations:force_complete", Who::Role(MANAGER), "Hurry a live migration.";
    SERVER_MIGRATIONS_DELETE = "os_compute_api:servers:migrations:delete", Who::Role(MANAGER), "Abort a live migration.";
    MIGRATIONS_INDEX = "os_compute_api:os-migrations:index", Who::Role(MANAGER), "List migrations.";
    MIGRATIONS_INDEX_ALL = "os_compute_api:os-migrations:index:all_projects", Who::Admin, "List migrations of every project.";
    MIGRATIONS_INDEX_HOST = "os_compute_api:os-migrations:index:host", Who::Admin, "See the hosts of migrations.";
    INSTANCE_ACTIONS_LIST = "os_compute_api:os-instance-actions:list", Who::Role(READER), "List what was asked of a server.";
    INSTANCE_ACTIONS_SHOW = "os_compute_api:os-instance-actions:show", Who::Role(READER), "Show one thing that was asked of a server.";
    INSTANCE_ACTIONS_EVENTS = "os_compute_api:os-instance-actions:events", Who::Admin, "See the events of an action before microversion 2.51, and their tracebacks.";
    INSTANCE_ACTIONS_EVENTS_DETAILS = "os_compute_api:os-instance-actions:events:details", Who::Admin, "See the details of an action's events.";
    SERVER_METADATA_INDEX = "os_compute_api:server-metadata:index", Who::Role(READER), "List a server's metadata.";
    SERVER_METADATA_SHOW = "os_compute_api:server-metadata:show", Who::Role(READER), "Show one item of a server's metadata.";
    SERVER_METADATA_CREATE = "os_compute_api:server-metadata:create", Who::Role(MEMBER), "Add to a server's metadata.";
    SERVER_METADATA_UPDATE_ALL = "os_compute_api:server-metadata:update_all", Who::Role(MEMBER), "Replace a server's metadata.";
    SERVER_METADATA_UPDATE = "os_compute_api:server-metadata:update", Who::Role(MEMBER), "Change one item of a server's metadata.";
    SERVER_METADATA_DELETE = "os_compute_api:server-metadata:delete", Who::Role(MEMBER), "Remove one item of a server's metadata.";
    SERVER_IPS_INDEX = "os_compute_api:ips:index", Who::Role(READER), "See a server's addresses.";
    SERVER_IPS_SHOW = "os_compute_api:ips:show", Who::Role(READER), "See a server's addresses on one network.";
    SECURITY_GROUPS_LIST = "os_compute_api:os-security-groups:list", Who::Role(READER), "List a server's security groups.";
    INTERFACES_LIST = "os_compute_api:os-attach-interfaces:list", Who::Role(READER), "List a server's ports.";
    INTERFACES_SHOW = "os_compute_api:os-attach-interfaces:show", Who::Role(READER), "Show a server's port.";
    INTERFACES_CREATE = "os_compute_api:os-attach-interfaces:create", Who::Role(MEMBER), "Attach a port to a server.";
    INTERFACES_DELETE = "os_compute_api:os-attach-interfaces:delete", Who::Role(MEMBER), "Detach a port from a server.";
    VOLUME_ATTACHMENTS_INDEX = "os_compute_api:os-volumes-attachments:index", Who::Role(READER), "List a server's volumes.";
    VOLUME_ATTACHMENTS_SHOW = "os_compute_api:os-volumes-attachments:show", Who::Role(READER), "Show a server's volume.";
    VOLUME_ATTACHMENTS_CREATE = "os_compute_api:os-volumes-attachments:create", Who::Role(MEMBER), "Attach a volume to a server.";
    VOLUME_ATTACHMENTS_UPDATE = "os_compute_api:os-volumes-attachments:update", Who::Role(MEMBER), "Change how a volume is attached to a server.";
    VOLUME_ATTACHMENTS_DELETE = "os_compute_api:os-volumes-attachments:delete", Who::Role(MEMBER), "Detach a volume from a server.";
    SERVER_DIAGNOSTICS = "os_compute_api:os-server-diagnostics", Who::Admin, "See what the hypervisor says of a server.";
    KEYPAIRS_INDEX = "os_compute_api:os-keypairs:index", Who::Owner, "List key pairs.";
    KEYPAIRS_CREATE = "os_compute_api:os-keypairs:create", Who::Owner, "Make or import a key pair.";
    KEYPAIRS_SHOW = "os_compute_api:os-keypairs:show", Who::Owner, "Show a key pair.";
    KEYPAIRS_DELETE = "os_compute_api:os-keypairs:delete", Who::Owner, "Delete a key pair.";
    SERVER_GROUPS_INDEX = "os_compute_api:os-server-groups:index", Who::Role(READER), "List server groups.";
    SERVER_GROUPS_INDEX_ALL = "os_compute_api:os-server-groups:index:all_projects", Who::Admin, "List the server groups of every project.";
    SERVER_GROUPS_CREATE = "os_compute_api:os-server-groups:create", Who::Role(MEMBER), "Make a server group.";
    SERVER_GROUPS_SHOW = "os_compute_api:os-server-groups:show", Who::Role(READER), "Show a server group.";
    SERVER_GROUPS_DELETE = "os_compute_api:os-server-groups:delete", Who::Role(MEMBER), "Delete a server group.";
    SERVER_TAGS_INDEX = "os_compute_api:os-server-tags:index", Who::Role(READER), "List a server's tags.";
    SERVER_TAGS_SHOW = "os_compute_api:os-server-tags:show", Who::Role(READER), "See whether a server has a tag.";
    SERVER_TAGS_UPDATE_ALL = "os_compute_api:os-server-tags:update_all", Who::Role(MEMBER), "Replace a server's tags.";
    SERVER_TAGS_UPDATE = "os_compute_api:os-server-tags:update", Who::Role(MEMBER), "Give a server a tag.";
    SERVER_TAGS_DELETE_ALL = "os_compute_api:os-server-tags:delete_all", Who::Role(MEMBER), "Take all tags from a server.";
    SERVER_TAGS_DELETE = "os_compute_api:os-server-tags:delete", Who::Role(MEMBER), "Take a tag from a server.";
    LOCK = "os_compute_api:os-lock-server:lock", Who::Role(MEMBER), "Lock a server.";
    UNLOCK = "os_compute_api:os-lock-server:unlock", Who::Role(MEMBER), "Unlock a server.";
    UNLOCK_OVERRIDE = "os_compute_api:os-lock-server:unlock:unlock_override", Who::Admin, "Unlock a server that an administrator has locked.";
    FLAVORS = "os_compute_api:flavors", Who::Anyone, "List flavors.";
    FLAVORS_SHOW = "os_compute_api:flavors:show", Who::Anyone, "Show a flavor.";
    FLAVORS_CREATE = "os_compute_api:os-flavor-manage:create", Who::Admin, "Make a flavor.";
    FLAVORS_UPDATE = "os_compute_api:os-flavor-manage:update", Who::Admin, "Change a flavor's description.";
    FLAVORS_DELETE = "os_compute_api:os-flavor-manage:delete", Who::Admin, "Delete a flavor.";
    FLAVOR_EXTRA_SPECS_INDEX = "os_compute_api:os-flavor-extra-specs:index", Who::Role(READER), "List a flavor's extra specs.";
    FLAVOR_EXTRA_SPECS_SHOW = "os_compute_api:os-flavor-extra-specs:show", Who::Role(READER), "Show one extra spec of a flavor.";
    SERVICES_LIST = "os_compute_api:os-services:list", Who::Admin, "List services.";
    SERVICES_UPDATE = "os_compute_api:os-services:update", Who::Admin, "Change services.";
    SERVICES_DELETE = "os_compute_api:os-services:delete", Who::Admin, "Delete services.";
    HYPERVISORS_LIST = "os_compute_api:os-hypervisors:list", Who::Admin, "List hypervisors.";
    HYPERVISORS_LIST_DETAIL = "os_compute_api:os-hypervisors:list-detail", Who::Admin, "List hypervisors with details.";
    HYPERVISORS_SHOW = "os_compute_api:os-hypervisors:show", Who::Admin, "Show a hypervisor.";
    HYPERVISORS_STATISTICS = "os_compute_api:os-hypervisors:statistics", Who::Admin, "See the sums over all hypervisors.";
    HYPERVISORS_UPTIME = "os_compute_api:os-hypervisors:uptime", Who::Admin, "See how long a hypervisor has been up.";
    HYPERVISORS_SEARCH = "os_compute_api:os-hypervisors:search", Who::Admin, "Find hypervisors by name.";
    HYPERVISORS_SERVERS = "os_compute_api:os-hypervisors:servers", Who::Admin, "List the servers on a hypervisor.";
    AGGREGATES_INDEX = "os_compute_api:os-aggregates:index", Who::Admin, "List host aggregates.";
    AGGREGATES_SHOW = "os_compute_api:os-aggregates:show", Who::Admin, "Show a host aggregate.";
    AVAILABILITY_ZONE_LIST = "os_compute_api:os-availability-zone:list", Who::Anyone, "List availability zones.";
    AVAILABILITY_ZONE_DETAIL = "os_compute_api:os-availability-zone:detail", Who::Admin, "List availability zones with their hosts.";
    QUOTA_SETS_SHOW = "os_compute_api:os-quota-sets:show", Who::Role(READER), "Show a project's quotas.";
    QUOTA_SETS_DETAIL = "os_compute_api:os-quota-sets:detail", Who::Role(READER), "Show a project's quotas with what is in use.";
    QUOTA_SETS_DEFAULTS = "os_compute_api:os-quota-sets:defaults", Who::Anyone, "Show the default quotas.";
    QUOTA_SETS_UPDATE = "os_compute_api:os-quota-sets:update", Who::Admin, "Set a project's quotas, or those of a user in it.";
    QUOTA_SETS_DELETE = "os_compute_api:os-quota-sets:delete", Who::Admin, "Put a project's quotas, or those of a user in it, back to the defaults.";
    QUOTA_CLASS_SETS_SHOW = "os_compute_api:os-quota-class-sets:show", Who::Admin, "Show the quotas of a class.";
    QUOTA_CLASS_SETS_UPDATE = "os_compute_api:os-quota-class-sets:update", Who::Admin, "Set the quotas of a class.";
    LIMITS = "os_compute_api:limits", Who::Anyone, "See one's own limits.";
    LIMITS_OTHER_PROJECT = "os_compute_api:limits:other_project", Who::Admin, "See another project's limits.";
    EXTENSIONS = "os_compute_api:extensions", Who::Anyone, "List extensions.";
}
