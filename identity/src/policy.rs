//! Who may do what in the Identity API: the rules under Keystone's names.

use novella_rest::{policy::Who, rules};

rules! {
    ISSUE_TOKEN = "identity:issue_token", Who::Anyone, "Give out a token.";
    VALIDATE_TOKEN = "identity:validate_token", Who::Owner, "Show a token.";
    REVOKE_TOKEN = "identity:revoke_token", Who::Owner, "End a token.";
    AUTH_CATALOG = "identity:get_auth_catalog", Who::Anyone, "Show the catalog.";
    AUTH_PROJECTS = "identity:get_auth_projects", Who::Anyone, "List the projects that the caller can get a token for.";
    LIST_PROJECTS = "identity:list_projects", Who::Admin, "List projects.";
    LIST_USER_PROJECTS = "identity:list_user_projects", Who::Owner, "List the projects that a user has a role in.";
    GET_PROJECT = "identity:get_project", Who::Owner, "Show a project: the token's own, or for administrators any.";
    LIST_USERS = "identity:list_users", Who::Admin, "List users.";
    GET_USER = "identity:get_user", Who::Owner, "Show a user.";
    LIST_ROLES = "identity:list_roles", Who::Admin, "List roles.";
    LIST_DOMAINS = "identity:list_domains", Who::Admin, "List domains.";
    GET_DOMAIN = "identity:get_domain", Who::Owner, "Show a domain: that of the token's project, or for administrators any.";
    LIST_ROLE_ASSIGNMENTS = "identity:list_role_assignments", Who::Admin, "List who has which role where.";
    LIST_SERVICES = "identity:list_services", Who::Admin, "List the services of the catalog.";
    GET_SERVICE = "identity:get_service", Who::Admin, "Show a service of the catalog.";
    LIST_ENDPOINTS = "identity:list_endpoints", Who::Admin, "List the endpoints of the catalog.";
    LIST_REGIONS = "identity:list_regions", Who::Anyone, "List regions.";
    GET_REGION = "identity:get_region", Who::Anyone, "Show a region.";
}
