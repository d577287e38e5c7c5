//! Who may do what in the Identity API: the rules under Keystone's names, with its defaults.

use novella_rest::{
    policy::{
        Grantee::{Domain, InDomain, Own, Project, Role, System, User},
        MANAGER, MEMBER, PolicyDescription, READER, SERVICE, SERVICES,
        Who::{self, Admin, AnyOf, Anyone, Check},
    },
    rules,
};

/// The policy of Identity. Its rules may name whose a thing is in Keystone's words; of several names in a row of these each
/// means the same.
static POLICY: PolicyDescription = PolicyDescription {
    admin: "admin_required",
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
    denied: |rule| format!("You are not authorized to perform the requested action: {rule}."),
};

/// Readers of the system, and administrators.
const READ: Who = AnyOf(&[System(READER)]);
/// The same, and the user himself.
const READ_OWN: Who = AnyOf(&[System(READER), User]);
/// The user himself, and administrators.
const OWN: Who = AnyOf(&[User]);
/// Those, and readers of the domain.
const READ_IN_DOMAIN: Who = AnyOf(&[System(READER), Domain(READER)]);
/// Those, and the user himself.
const READ_IN_DOMAIN_OR_OWN: Who = AnyOf(&[System(READER), Domain(READER), User]);
/// Those, and whoever has a token for the project.
const READ_PROJECT: Who = AnyOf(&[System(READER), Domain(READER), Project]);
/// Managers of the domain, and administrators.
const MANAGE: Who = AnyOf(&[Domain(MANAGER)]);

rules! { POLICY, "identity:":
    ADMIN_REQUIRED == "admin_required": Check("role:admin"), "Be an administrator, who may do everything.";
    SERVICE_ROLE == "service_role": Check("role:service"), "As a service that checks tokens.";
    SERVICE_OR_ADMIN == "service_or_admin": Check("rule:admin_required or rule:service_role"), "As such a service, or an administrator.";
    OWNER == "owner": Check("user_id:%(target.user.id)s"), "As the user himself.";
    ADMIN_OR_OWNER == "admin_or_owner": Check("rule:admin_required or rule:owner"), "As the user himself, or an administrator.";
    TOKEN_SUBJECT == "token_subject": Check("user_id:%(target.token.user_id)s"), "As the user whose token it is.";
    ADMIN_OR_TOKEN_SUBJECT == "admin_or_token_subject": Check("rule:admin_required or rule:token_subject"), "As that user, or an administrator.";
    ISSUE_TOKEN: Anyone, "Give out a token.";
    VALIDATE_TOKEN: AnyOf(&[System(READER), Role(SERVICE), User]), "Show a token.";
    CHECK_TOKEN: READ_OWN, "Say whether a token is valid.";
    REVOKE_TOKEN: OWN, "End a token.";
    EC2TOKENS_VALIDATE: SERVICES, "Say whose a request with a signature of EC2's kind is, with a token.";
    S3TOKENS_VALIDATE: SERVICES, "Say whose a request with a signature of S3's kind is.";
    AUTH_CATALOG = "get_auth_catalog": Anyone, "Show the catalog.";
    AUTH_PROJECTS = "get_auth_projects": Anyone, "List the projects that the caller can get a token for.";
    AUTH_DOMAINS = "get_auth_domains": Anyone, "List the domains that the caller can get a token for.";
    AUTH_SYSTEM = "get_auth_system": Anyone, "Say whether the caller can get a token for the system.";
    LIST_PROJECTS: READ_IN_DOMAIN, "List projects.";
    LIST_USER_PROJECTS: READ_IN_DOMAIN_OR_OWN, "List the projects that a user has a role in.";
    GET_PROJECT: READ_PROJECT, "Show a project.";
    CREATE_PROJECT: MANAGE, "Make a project.";
    UPDATE_PROJECT: MANAGE, "Change a project.";
    DELETE_PROJECT: MANAGE, "Delete a project.";
    LIST_PROJECT_TAGS: READ_PROJECT, "List the tags of a project.";
    GET_PROJECT_TAG: READ_PROJECT, "Say whether a project has a tag.";
    CREATE_PROJECT_TAG: MANAGE, "Add a tag to a project.";
    UPDATE_PROJECT_TAGS: MANAGE, "Give a project other tags.";
    DELETE_PROJECT_TAG: MANAGE, "Take a tag from a project.";
    DELETE_PROJECT_TAGS: MANAGE, "Take all tags from a project.";
    LIST_DOMAINS: READ_IN_DOMAIN, "List domains.";
    GET_DOMAIN: AnyOf(&[System(READER), InDomain]), "Show a domain.";
    CREATE_DOMAIN: Admin, "Make a domain.";
    UPDATE_DOMAIN: Admin, "Change a domain.";
    DELETE_DOMAIN: Admin, "Delete a domain with all that is in it.";
    LIST_USERS: READ_IN_DOMAIN, "List users.";
    GET_USER: READ_IN_DOMAIN_OR_OWN, "Show a user.";
    CREATE_USER: MANAGE, "Make a user.";
    UPDATE_USER: MANAGE, "Change a user.";
    DELETE_USER: MANAGE, "Delete a user.";
    CHANGE_PASSWORD: Anyone, "Change one's own password, with the old one.";
    LIST_GROUPS: READ_IN_DOMAIN, "List groups.";
    LIST_GROUPS_FOR_USER: READ_IN_DOMAIN_OR_OWN, "List the groups that a user is in.";
    GET_GROUP: READ_IN_DOMAIN, "Show a group.";
    CREATE_GROUP: MANAGE, "Make a group.";
    UPDATE_GROUP: MANAGE, "Change a group.";
    DELETE_GROUP: MANAGE, "Delete a group.";
    LIST_USERS_IN_GROUP: READ_IN_DOMAIN, "List the users in a group.";
    ADD_USER_TO_GROUP: MANAGE, "Put a user into a group.";
    CHECK_USER_IN_GROUP: READ_IN_DOMAIN, "Say whether a user is in a group.";
    REMOVE_USER_FROM_GROUP: MANAGE, "Take a user out of a group.";
    LIST_ROLES: AnyOf(&[System(READER), Domain(MANAGER)]), "List roles.";
    LIST_DOMAIN_ROLES: READ, "List the roles of a domain.";
    GET_ROLE: AnyOf(&[System(READER), Role(MANAGER)]), "Show a role.";
    GET_DOMAIN_ROLE: READ, "Show a role of a domain.";
    CREATE_ROLE: Admin, "Make a role.";
    UPDATE_ROLE: Admin, "Change a role.";
    DELETE_ROLE: Admin, "Delete a role.";
    LIST_IMPLIED_ROLES: READ, "List the roles that a role implies.";
    GET_IMPLIED_ROLE: READ, "Show that a role implies another.";
    CHECK_IMPLIED_ROLE: READ, "Say whether a role implies another.";
    CREATE_IMPLIED_ROLE: Admin, "Let a role imply another.";
    DELETE_IMPLIED_ROLE: Admin, "Let a role no longer imply another.";
    LIST_ROLE_INFERENCE_RULES: READ, "List which roles imply which.";
    LIST_GRANTS: READ_IN_DOMAIN, "List the roles that a user or a group has in a project or a domain.";
    CHECK_GRANT: READ_IN_DOMAIN, "Say whether a user or a group has a role in a project or a domain.";
    CREATE_GRANT: MANAGE, "Give a user or a group a role in a project or a domain.";
    REVOKE_GRANT: MANAGE, "Take a role in a project or a domain from a user or a group.";
    LIST_SYSTEM_GRANTS_FOR_USER: READ, "List the roles that a user has in the system.";
    CHECK_SYSTEM_GRANT_FOR_USER: READ, "Say whether a user has a role in the system.";
    CREATE_SYSTEM_GRANT_FOR_USER: Admin, "Give a user a role in the system.";
    REVOKE_SYSTEM_GRANT_FOR_USER: Admin, "Take a role in the system from a user.";
    LIST_SYSTEM_GRANTS_FOR_GROUP: READ, "List the roles that a group has in the system.";
    CHECK_SYSTEM_GRANT_FOR_GROUP: READ, "Say whether a group has a role in the system.";
    CREATE_SYSTEM_GRANT_FOR_GROUP: Admin, "Give a group a role in the system.";
    REVOKE_SYSTEM_GRANT_FOR_GROUP: Admin, "Take a role in the system from a group.";
    LIST_ROLE_ASSIGNMENTS: READ_IN_DOMAIN, "List who has which role where.";
    LIST_ROLE_ASSIGNMENTS_FOR_TREE: READ_IN_DOMAIN, "List who has which role in a project and below.";
    LIST_SERVICES: READ, "List the services of the catalog.";
    GET_SERVICE: READ, "Show a service of the catalog.";
    CREATE_SERVICE: Admin, "Add a service to the catalog.";
    UPDATE_SERVICE: Admin, "Change a service of the catalog.";
    DELETE_SERVICE: Admin, "Take a service with its endpoints from the catalog.";
    LIST_ENDPOINTS: READ, "List the endpoints of the catalog.";
    GET_ENDPOINT: READ, "Show an endpoint of the catalog.";
    CREATE_ENDPOINT: Admin, "Add an endpoint to the catalog.";
    UPDATE_ENDPOINT: Admin, "Change an endpoint of the catalog.";
    DELETE_ENDPOINT: Admin, "Take an endpoint from the catalog.";
    LIST_REGIONS: Anyone, "List regions.";
    GET_REGION: Anyone, "Show a region.";
    CREATE_REGION: Admin, "Make a region.";
    UPDATE_REGION: Admin, "Change a region.";
    DELETE_REGION: Admin, "Delete a region.";
    LIST_CREDENTIALS: READ_OWN, "List credentials.";
    GET_CREDENTIAL: READ_OWN, "Show a credential.";
    CREATE_CREDENTIAL: OWN, "Make a credential.";
    UPDATE_CREDENTIAL: OWN, "Change a credential.";
    DELETE_CREDENTIAL: OWN, "Delete a credential.";
    EC2_LIST_CREDENTIALS: READ_OWN, "List the EC2 credentials of a user.";
    EC2_GET_CREDENTIAL: READ_OWN, "Show an EC2 credential.";
    EC2_CREATE_CREDENTIAL: AnyOf(&[Own(MEMBER)]), "Make an EC2 credential.";
    EC2_DELETE_CREDENTIAL: AnyOf(&[Own(MEMBER)]), "Delete an EC2 credential.";
    LIST_APPLICATION_CREDENTIALS: READ_OWN, "List the application credentials of a user.";
    GET_APPLICATION_CREDENTIAL: READ_OWN, "Show an application credential.";
    CREATE_APPLICATION_CREDENTIAL: OWN, "Make an application credential, for oneself.";
    DELETE_APPLICATION_CREDENTIAL: OWN, "Delete an application credential.";
    LIST_ACCESS_RULES: READ_OWN, "List the access rules of a user.";
    GET_ACCESS_RULE: READ_OWN, "Show an access rule.";
    DELETE_ACCESS_RULE: OWN, "Delete an access rule.";
    LIST_TRUSTS: READ_OWN, "List trusts.";
    GET_TRUST: READ_OWN, "Show a trust.";
    CREATE_TRUST: OWN, "Make a trust, as the one who gives.";
    DELETE_TRUST: OWN, "Delete a trust.";
    LIST_ROLES_FOR_TRUST: READ_OWN, "List the roles of a trust.";
    GET_ROLE_FOR_TRUST: READ_OWN, "Show a role of a trust.";
    LIST_POLICIES: READ, "List policies.";
    GET_POLICY: READ, "Show a policy.";
    CREATE_POLICY: Admin, "Make a policy.";
    UPDATE_POLICY: Admin, "Change a policy.";
    DELETE_POLICY: Admin, "Delete a policy.";
    LIST_CONSUMERS: READ, "List OAuth consumers.";
    GET_CONSUMER: READ, "Show an OAuth consumer.";
    CREATE_CONSUMER: Admin, "Make an OAuth consumer.";
    UPDATE_CONSUMER: Admin, "Change an OAuth consumer.";
    DELETE_CONSUMER: Admin, "Delete an OAuth consumer.";
    LIST_ENDPOINT_GROUPS: READ, "List endpoint groups.";
    GET_ENDPOINT_GROUP: READ, "Show an endpoint group.";
    CREATE_ENDPOINT_GROUP: Admin, "Make an endpoint group.";
    UPDATE_ENDPOINT_GROUP: Admin, "Change an endpoint group.";
    DELETE_ENDPOINT_GROUP: Admin, "Delete an endpoint group.";
    LIST_PROJECTS_OF_ENDPOINT_GROUP = "list_projects_associated_with_endpoint_group": READ, "List the projects of an endpoint group.";
    LIST_ENDPOINTS_OF_ENDPOINT_GROUP = "list_endpoints_associated_with_endpoint_group": READ, "List the endpoints of an endpoint group.";
    GET_ENDPOINT_GROUP_IN_PROJECT: READ, "Show an endpoint group that a project has.";
    LIST_ENDPOINT_GROUPS_FOR_PROJECT: READ, "List the endpoint groups of a project.";
    ADD_ENDPOINT_GROUP_TO_PROJECT: Admin, "Give a project an endpoint group.";
    REMOVE_ENDPOINT_GROUP_FROM_PROJECT: Admin, "Take an endpoint group from a project.";
    LIST_PROJECTS_FOR_ENDPOINT: READ, "List the projects that were given an endpoint.";
    LIST_ENDPOINTS_FOR_PROJECT: READ, "List the endpoints that a project was given.";
    CHECK_ENDPOINT_IN_PROJECT: READ, "Say whether a project was given an endpoint.";
    ADD_ENDPOINT_TO_PROJECT: Admin, "Give a project an endpoint.";
    REMOVE_ENDPOINT_FROM_PROJECT: Admin, "Take an endpoint from a project.";
    GET_LIMIT_MODEL: Anyone, "Say how limits of projects hang together.";
    LIST_LIMITS: Anyone, "List limits.";
    GET_LIMIT: AnyOf(&[System(READER), InDomain, Project]), "Show a limit.";
    CREATE_LIMITS: Admin, "Make limits.";
    UPDATE_LIMIT: Admin, "Change a limit.";
    DELETE_LIMIT: Admin, "Delete a limit.";
    LIST_REGISTERED_LIMITS: Anyone, "List registered limits.";
    GET_REGISTERED_LIMIT: Anyone, "Show a registered limit.";
    CREATE_REGISTERED_LIMITS: Admin, "Make registered limits.";
    UPDATE_REGISTERED_LIMIT: Admin, "Change a registered limit.";
    DELETE_REGISTERED_LIMIT: Admin, "Delete a registered limit.";
    GET_DOMAIN_CONFIG: READ, "Show the configuration of a domain.";
    CREATE_DOMAIN_CONFIG: Admin, "Give a domain a configuration.";
    UPDATE_DOMAIN_CONFIG: Admin, "Change the configuration of a domain.";
    DELETE_DOMAIN_CONFIG: Admin, "Delete the configuration of a domain.";
    GET_DOMAIN_CONFIG_DEFAULT: READ, "Show what the configuration of a domain is without one.";
}
