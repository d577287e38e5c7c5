//! Who may do what in the Identity API: the rules under Keystone's names, with its defaults.

use novella_rest::{
    policy::{
        Claim::{self, Domain, InDomain, Own, Project, Role, System, User},
        MANAGER, MEMBER, PolicyDescription, READER, SERVICE, Who,
    },
    rules,
};

/// The policy of Identity. Its rules may name whose a thing is in Keystone's words; of several names in a row of these each
/// means the same.
pub(crate) const POLICY: PolicyDescription = PolicyDescription {
    rules: ALL,
    admin: ADMIN_REQUIRED.name,
    in_project: |role| format!("rule:admin_required or (role:{role} and project_id:%(target.project.id)s)"),
    attributes: &[
        "target.user.id",
        "target.credential.user_id",
        "target.token.user_id",
        "target.trust.trustor_user_id",
        "target.trust.trustee_user_id",
        "target.project.id",
        "target.limit.project_id",
        "target.domain_id",
        "target.domain.id",
        "target.user.domain_id",
        "target.project.domain_id",
        "target.group.domain_id",
        "target.role.domain_id",
        "target.limit.domain.id",
        "target.limit.project.domain_id",
    ],
};

/// Readers of the system, and administrators.
const READ: Who = Who::AnyOf(&[System(READER)]);
/// The same, and the user himself.
const READ_OWN: Who = Who::AnyOf(&[System(READER), User]);
/// The user himself, and administrators.
const OWN: Who = Who::AnyOf(&[User]);
/// Those, and readers of the domain.
const READ_IN_DOMAIN: Who = Who::AnyOf(DOMAIN_READERS);
const DOMAIN_READERS: &[Claim] = &[System(READER), Domain(READER)];
/// Those, and the user himself.
const READ_IN_DOMAIN_OR_OWN: Who = Who::AnyOf(&[System(READER), Domain(READER), User]);
/// Those, and whoever has a token for the project.
const READ_PROJECT: Who = Who::AnyOf(&[System(READER), Domain(READER), Project]);
/// Managers of the domain, and administrators.
const MANAGE: Who = Who::AnyOf(&[Domain(MANAGER)]);

rules! {
    ADMIN_REQUIRED = "admin_required", Who::Check("role:admin"), "Be an administrator, who may do everything.";
    SERVICE_ROLE = "service_role", Who::Check("role:service"), "As a service that checks tokens.";
    SERVICE_OR_ADMIN = "service_or_admin", Who::Check("rule:admin_required or rule:service_role"), "As such a service, or an administrator.";
    OWNER = "owner", Who::Check("user_id:%(target.user.id)s"), "As the user himself.";
    ADMIN_OR_OWNER = "admin_or_owner", Who::Check("rule:admin_required or rule:owner"), "As the user himself, or an administrator.";
    TOKEN_SUBJECT = "token_subject", Who::Check("user_id:%(target.token.user_id)s"), "As the user whose token it is.";
    ADMIN_OR_TOKEN_SUBJECT = "admin_or_token_subject", Who::Check("rule:admin_required or rule:token_subject"), "As that user, or an administrator.";
    ISSUE_TOKEN = "identity:issue_token", Who::Anyone, "Give out a token.";
    VALIDATE_TOKEN = "identity:validate_token", Who::AnyOf(&[System(READER), Role(SERVICE), User]), "Show a token.";
    CHECK_TOKEN = "identity:check_token", READ_OWN, "Say whether a token is valid.";
    REVOKE_TOKEN = "identity:revoke_token", OWN, "End a token.";
    AUTH_CATALOG = "identity:get_auth_catalog", Who::Anyone, "Show the catalog.";
    AUTH_PROJECTS = "identity:get_auth_projects", Who::Anyone, "List the projects that the caller can get a token for.";
    AUTH_DOMAINS = "identity:get_auth_domains", Who::Anyone, "List the domains that the caller can get a token for.";
    AUTH_SYSTEM = "identity:get_auth_system", Who::Anyone, "Say whether the caller can get a token for the system.";
    LIST_PROJECTS = "identity:list_projects", READ_IN_DOMAIN, "List projects.";
    LIST_USER_PROJECTS = "identity:list_user_projects", READ_IN_DOMAIN_OR_OWN, "List the projects that a user has a role in.";
    GET_PROJECT = "identity:get_project", READ_PROJECT, "Show a project.";
    CREATE_PROJECT = "identity:create_project", MANAGE, "Make a project.";
    UPDATE_PROJECT = "identity:update_project", MANAGE, "Change a project.";
    DELETE_PROJECT = "identity:delete_project", MANAGE, "Delete a project.";
    LIST_PROJECT_TAGS = "identity:list_project_tags", READ_PROJECT, "List the tags of a project.";
    GET_PROJECT_TAG = "identity:get_project_tag", READ_PROJECT, "Say whether a project has a tag.";
    CREATE_PROJECT_TAG = "identity:create_project_tag", MANAGE, "Add a tag to a project.";
    UPDATE_PROJECT_TAGS = "identity:update_project_tags", MANAGE, "Give a project other tags.";
    DELETE_PROJECT_TAG = "identity:delete_project_tag", MANAGE, "Take a tag from a project.";
    DELETE_PROJECT_TAGS = "identity:delete_project_tags", MANAGE, "Take all tags from a project.";
    LIST_DOMAINS = "identity:list_domains", READ_IN_DOMAIN, "List domains.";
    GET_DOMAIN = "identity:get_domain", Who::AnyOf(&[System(READER), InDomain]), "Show a domain.";
    CREATE_DOMAIN = "identity:create_domain", Who::Admin, "Make a domain.";
    UPDATE_DOMAIN = "identity:update_domain", Who::Admin, "Change a domain.";
    DELETE_DOMAIN = "identity:delete_domain", Who::Admin, "Delete a domain with all that is in it.";
    LIST_USERS = "identity:list_users", READ_IN_DOMAIN, "List users.";
    GET_USER = "identity:get_user", READ_IN_DOMAIN_OR_OWN, "Show a user.";
    CREATE_USER = "identity:create_user", MANAGE, "Make a user.";
    UPDATE_USER = "identity:update_user", MANAGE, "Change a user.";
    DELETE_USER = "identity:delete_user", MANAGE, "Delete a user.";
    CHANGE_PASSWORD = "identity:change_password", Who::Anyone, "Change one's own password, with the old one.";
    LIST_GROUPS = "identity:list_groups", READ_IN_DOMAIN, "List groups.";
    LIST_GROUPS_FOR_USER = "identity:list_groups_for_user", READ_IN_DOMAIN_OR_OWN, "List the groups that a user is in.";
    GET_GROUP = "identity:get_group", READ_IN_DOMAIN, "Show a group.";
    CREATE_GROUP = "identity:create_group", MANAGE, "Make a group.";
    UPDATE_GROUP = "identity:update_group", MANAGE, "Change a group.";
    DELETE_GROUP = "identity:delete_group", MANAGE, "Delete a group.";
    LIST_USERS_IN_GROUP = "identity:list_users_in_group", READ_IN_DOMAIN, "List the users in a group.";
    ADD_USER_TO_GROUP = "identity:add_user_to_group", MANAGE, "Put a user into a group.";
    CHECK_USER_IN_GROUP = "identity:check_user_in_group", READ_IN_DOMAIN, "Say whether a user is in a group.";
    REMOVE_USER_FROM_GROUP = "identity:remove_user_from_group", MANAGE, "Take a user out of a group.";
    LIST_ROLES = "identity:list_roles", Who::AnyOf(&[System(READER), Domain(MANAGER)]), "List roles.";
    LIST_DOMAIN_ROLES = "identity:list_domain_roles", READ, "List the roles of a domain.";
    GET_ROLE = "identity:get_role", Who::AnyOf(&[System(READER), Role(MANAGER)]), "Show a role.";
    GET_DOMAIN_ROLE = "identity:get_domain_role", READ, "Show a role of a domain.";
    CREATE_ROLE = "identity:create_role", Who::Admin, "Make a role.";
    UPDATE_ROLE = "identity:update_role", Who::Admin, "Change a role.";
    DELETE_ROLE = "identity:delete_role", Who::Admin, "Delete a role.";
    LIST_IMPLIED_ROLES = "identity:list_implied_roles", READ, "List the roles that a role implies.";
    GET_IMPLIED_ROLE = "identity:get_implied_role", READ, "Show that a role implies another.";
    CHECK_IMPLIED_ROLE = "identity:check_implied_role", READ, "Say whether a role implies another.";
    CREATE_IMPLIED_ROLE = "identity:create_implied_role", Who::Admin, "Let a role imply another.";
    DELETE_IMPLIED_ROLE = "identity:delete_implied_role", Who::Admin, "Let a role no longer imply another.";
    LIST_ROLE_INFERENCE_RULES = "identity:list_role_inference_rules", READ, "List which roles imply which.";
    LIST_GRANTS = "identity:list_grants", READ_IN_DOMAIN, "List the roles that a user or a group has in a project or a domain.";
    CHECK_GRANT = "identity:check_grant", READ_IN_DOMAIN, "Say whether a user or a group has a role in a project or a domain.";
    CREATE_GRANT = "identity:create_grant", MANAGE, "Give a user or a group a role in a project or a domain.";
    REVOKE_GRANT = "identity:revoke_grant", MANAGE, "Take a role in a project or a domain from a user or a group.";
    LIST_SYSTEM_GRANTS_FOR_USER = "identity:list_system_grants_for_user", READ, "List the roles that a user has in the system.";
    CHECK_SYSTEM_GRANT_FOR_USER = "identity:check_system_grant_for_user", READ, "Say whether a user has a role in the system.";
    CREATE_SYSTEM_GRANT_FOR_USER = "identity:create_system_grant_for_user", Who::Admin, "Give a user a role in the system.";
    REVOKE_SYSTEM_GRANT_FOR_USER = "identity:revoke_system_grant_for_user", Who::Admin, "Take a role in the system from a user.";
    LIST_SYSTEM_GRANTS_FOR_GROUP = "identity:list_system_grants_for_group", READ, "List the roles that a group has in the system.";
    CHECK_SYSTEM_GRANT_FOR_GROUP = "identity:check_system_grant_for_group", READ, "Say whether a group has a role in the system.";
    CREATE_SYSTEM_GRANT_FOR_GROUP = "identity:create_system_grant_for_group", Who::Admin, "Give a group a role in the system.";
    REVOKE_SYSTEM_GRANT_FOR_GROUP = "identity:revoke_system_grant_for_group", Who::Admin, "Take a role in the system from a group.";
    LIST_ROLE_ASSIGNMENTS = "identity:list_role_assignments", READ_IN_DOMAIN, "List who has which role where.";
    LIST_ROLE_ASSIGNMENTS_FOR_TREE = "identity:list_role_assignments_for_tree", READ_IN_DOMAIN, "List who has which role in a project and below.";
    LIST_SERVICES = "identity:list_services", READ, "List the services of the catalog.";
    GET_SERVICE = "identity:get_service", READ, "Show a service of the catalog.";
    CREATE_SERVICE = "identity:create_service", Who::Admin, "Add a service to the catalog.";
    UPDATE_SERVICE = "identity:update_service", Who::Admin, "Change a service of the catalog.";
    DELETE_SERVICE = "identity:delete_service", Who::Admin, "Take a service with its endpoints from the catalog.";
    LIST_ENDPOINTS = "identity:list_endpoints", READ, "List the endpoints of the catalog.";
    GET_ENDPOINT = "identity:get_endpoint", READ, "Show an endpoint of the catalog.";
    CREATE_ENDPOINT = "identity:create_endpoint", Who::Admin, "Add an endpoint to the catalog.";
    UPDATE_ENDPOINT = "identity:update_endpoint", Who::Admin, "Change an endpoint of the catalog.";
    DELETE_ENDPOINT = "identity:delete_endpoint", Who::Admin, "Take an endpoint from the catalog.";
    LIST_REGIONS = "identity:list_regions", Who::Anyone, "List regions.";
    GET_REGION = "identity:get_region", Who::Anyone, "Show a region.";
    CREATE_REGION = "identity:create_region", Who::Admin, "Make a region.";
    UPDATE_REGION = "identity:update_region", Who::Admin, "Change a region.";
    DELETE_REGION = "identity:delete_region", Who::Admin, "Delete a region.";
    LIST_CREDENTIALS = "identity:list_credentials", READ_OWN, "List credentials.";
    GET_CREDENTIAL = "identity:get_credential", READ_OWN, "Show a credential.";
    CREATE_CREDENTIAL = "identity:create_credential", OWN, "Make a credential.";
    UPDATE_CREDENTIAL = "identity:update_credential", OWN, "Change a credential.";
    DELETE_CREDENTIAL = "identity:delete_credential", OWN, "Delete a credential.";
    EC2_LIST_CREDENTIALS = "identity:ec2_list_credentials", READ_OWN, "List the EC2 credentials of a user.";
    EC2_GET_CREDENTIAL = "identity:ec2_get_credential", READ_OWN, "Show an EC2 credential.";
    EC2_CREATE_CREDENTIAL = "identity:ec2_create_credential", Who::AnyOf(&[Own(MEMBER)]), "Make an EC2 credential.";
    EC2_DELETE_CREDENTIAL = "identity:ec2_delete_credential", Who::AnyOf(&[Own(MEMBER)]), "Delete an EC2 credential.";
    LIST_APPLICATION_CREDENTIALS = "identity:list_application_credentials", READ_OWN, "List the application credentials of a user.";
    GET_APPLICATION_CREDENTIAL = "identity:get_application_credential", READ_OWN, "Show an application credential.";
    CREATE_APPLICATION_CREDENTIAL = "identity:create_application_credential", OWN, "Make an application credential, for oneself.";
    DELETE_APPLICATION_CREDENTIAL = "identity:delete_application_credential", OWN, "Delete an application credential.";
    LIST_ACCESS_RULES = "identity:list_access_rules", READ_OWN, "List the access rules of a user.";
    GET_ACCESS_RULE = "identity:get_access_rule", READ_OWN, "Show an access rule.";
    DELETE_ACCESS_RULE = "identity:delete_access_rule", OWN, "Delete an access rule.";
    LIST_TRUSTS = "identity:list_trusts", READ_OWN, "List trusts.";
    GET_TRUST = "identity:get_trust", READ_OWN, "Show a trust.";
    CREATE_TRUST = "identity:create_trust", OWN, "Make a trust, as the one who gives.";
    DELETE_TRUST = "identity:delete_trust", OWN, "Delete a trust.";
    LIST_ROLES_FOR_TRUST = "identity:list_roles_for_trust", READ_OWN, "List the roles of a trust.";
    GET_ROLE_FOR_TRUST = "identity:get_role_for_trust", READ_OWN, "Show a role of a trust.";
    LIST_POLICIES = "identity:list_policies", READ, "List policies.";
    GET_POLICY = "identity:get_policy", READ, "Show a policy.";
    CREATE_POLICY = "identity:create_policy", Who::Admin, "Make a policy.";
    UPDATE_POLICY = "identity:update_policy", Who::Admin, "Change a policy.";
    DELETE_POLICY = "identity:delete_policy", Who::Admin, "Delete a policy.";
    LIST_CONSUMERS = "identity:list_consumers", READ, "List OAuth consumers.";
    GET_CONSUMER = "identity:get_consumer", READ, "Show an OAuth consumer.";
    CREATE_CONSUMER = "identity:create_consumer", Who::Admin, "Make an OAuth consumer.";
    UPDATE_CONSUMER = "identity:update_consumer", Who::Admin, "Change an OAuth consumer.";
    DELETE_CONSUMER = "identity:delete_consumer", Who::Admin, "Delete an OAuth consumer.";
    LIST_ENDPOINT_GROUPS = "identity:list_endpoint_groups", READ, "List endpoint groups.";
    GET_ENDPOINT_GROUP = "identity:get_endpoint_group", READ, "Show an endpoint group.";
    CREATE_ENDPOINT_GROUP = "identity:create_endpoint_group", Who::Admin, "Make an endpoint group.";
    UPDATE_ENDPOINT_GROUP = "identity:update_endpoint_group", Who::Admin, "Change an endpoint group.";
    DELETE_ENDPOINT_GROUP = "identity:delete_endpoint_group", Who::Admin, "Delete an endpoint group.";
    LIST_PROJECTS_OF_ENDPOINT_GROUP = "identity:list_projects_associated_with_endpoint_group", READ, "List the projects of an endpoint group.";
    LIST_ENDPOINTS_OF_ENDPOINT_GROUP = "identity:list_endpoints_associated_with_endpoint_group", READ, "List the endpoints of an endpoint group.";
    GET_ENDPOINT_GROUP_IN_PROJECT = "identity:get_endpoint_group_in_project", READ, "Show an endpoint group that a project has.";
    LIST_ENDPOINT_GROUPS_FOR_PROJECT = "identity:list_endpoint_groups_for_project", READ, "List the endpoint groups of a project.";
    ADD_ENDPOINT_GROUP_TO_PROJECT = "identity:add_endpoint_group_to_project", Who::Admin, "Give a project an endpoint group.";
    REMOVE_ENDPOINT_GROUP_FROM_PROJECT = "identity:remove_endpoint_group_from_project", Who::Admin, "Take an endpoint group from a project.";
    LIST_PROJECTS_FOR_ENDPOINT = "identity:list_projects_for_endpoint", READ, "List the projects that were given an endpoint.";
    LIST_ENDPOINTS_FOR_PROJECT = "identity:list_endpoints_for_project", READ, "List the endpoints that a project was given.";
    CHECK_ENDPOINT_IN_PROJECT = "identity:check_endpoint_in_project", READ, "Say whether a project was given an endpoint.";
    ADD_ENDPOINT_TO_PROJECT = "identity:add_endpoint_to_project", Who::Admin, "Give a project an endpoint.";
    REMOVE_ENDPOINT_FROM_PROJECT = "identity:remove_endpoint_from_project", Who::Admin, "Take an endpoint from a project.";
    GET_LIMIT_MODEL = "identity:get_limit_model", Who::Anyone, "Say how limits of projects hang together.";
    LIST_LIMITS = "identity:list_limits", Who::Anyone, "List limits.";
    GET_LIMIT = "identity:get_limit", Who::AnyOf(&[System(READER), InDomain, Project]), "Show a limit.";
    CREATE_LIMITS = "identity:create_limits", Who::Admin, "Make limits.";
    UPDATE_LIMIT = "identity:update_limit", Who::Admin, "Change a limit.";
    DELETE_LIMIT = "identity:delete_limit", Who::Admin, "Delete a limit.";
    LIST_REGISTERED_LIMITS = "identity:list_registered_limits", Who::Anyone, "List registered limits.";
    GET_REGISTERED_LIMIT = "identity:get_registered_limit", Who::Anyone, "Show a registered limit.";
    CREATE_REGISTERED_LIMITS = "identity:create_registered_limits", Who::Admin, "Make registered limits.";
    UPDATE_REGISTERED_LIMIT = "identity:update_registered_limit", Who::Admin, "Change a registered limit.";
    DELETE_REGISTERED_LIMIT = "identity:delete_registered_limit", Who::Admin, "Delete a registered limit.";
    GET_DOMAIN_CONFIG = "identity:get_domain_config", READ, "Show the configuration of a domain.";
    CREATE_DOMAIN_CONFIG = "identity:create_domain_config", Who::Admin, "Give a domain a configuration.";
    UPDATE_DOMAIN_CONFIG = "identity:update_domain_config", Who::Admin, "Change the configuration of a domain.";
    DELETE_DOMAIN_CONFIG = "identity:delete_domain_config", Who::Admin, "Delete the configuration of a domain.";
    GET_DOMAIN_CONFIG_DEFAULT = "identity:get_domain_config_default", READ, "Show what the configuration of a domain is without one.";
}
