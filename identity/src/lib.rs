//! Identity: what clients need of Keystone. Tokens, and who and what there is; no administration.

mod assignments;
mod auth;
mod cache;
pub mod db;
mod directory;
mod lockout;
mod passwords;
mod policy;
mod registry;
pub mod seed;
mod state;
mod token_view;
mod turns;

use http::StatusCode;
use novella_rest::{Document, Links, Operation, Service, delete, get, keystone_envelope, post};
use serde_json::{Value, json};

pub use lockout::SecurityComplianceConfig;
pub use state::{Identity, IdentityConfig};

/// A request of the Identity API.
type Request = novella_rest::Request<Identity>;

/// The Identity service.
pub static IDENTITY: Service = Service {
    name: "keystone",
    kind: "identity",
    root: "/identity",
    version_path: "/v3",
    endpoint: "identity",
    microversions: None,
    envelope: keystone_envelope,
    denied: |rule| format!("You are not authorized to perform the requested action: {rule}."),
    token_first: false,
    project_in_path: false,
    no_query_since: None,
    documents: &[
        // 300 with the versions, as Keystone.
        Document {
            path: "",
            write: |links| (StatusCode::MULTIPLE_CHOICES, json!({"versions": {"values": [version_document(links)]}})),
        },
        Document { path: "/v3", write: |links| (StatusCode::OK, json!({"version": version_document(links)})) },
    ],
};

fn version_document(links: &Links) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": links.to("")}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    })
}

/// Every operation.
#[must_use]
pub fn operations() -> Vec<Operation<Identity>> {
    vec![
        post("/auth/tokens", policy::ISSUE_TOKEN, auth::issue).public().status(201),
        get("/auth/tokens", policy::VALIDATE_TOKEN, auth::validate),
        delete("/auth/tokens", policy::REVOKE_TOKEN, auth::revoke).status(204),
        get("/auth/catalog", policy::AUTH_CATALOG, auth::catalog),
        get("/auth/projects", policy::AUTH_PROJECTS, auth::projects),
        get("/projects", policy::LIST_PROJECTS, directory::projects).list(&directory::NAMED, u16::MAX),
        get("/projects/{project_id}", policy::GET_PROJECT, directory::project),
        get("/users", policy::LIST_USERS, directory::users).list(&directory::NAMED, u16::MAX),
        get("/users/{user_id}", policy::GET_USER, directory::user),
        get("/users/{user_id}/projects", policy::LIST_USER_PROJECTS, directory::projects_of_user)
            .list(&directory::NAMED, u16::MAX),
        get("/roles", policy::LIST_ROLES, directory::roles).query(directory::BY_NAME, u16::MAX),
        get("/domains", policy::LIST_DOMAINS, directory::domains).query(directory::BY_NAME, u16::MAX),
        get("/domains/{domain_id}", policy::GET_DOMAIN, directory::domain),
        get("/role_assignments", policy::LIST_ROLE_ASSIGNMENTS, assignments::list).query(assignments::QUERY, u16::MAX),
        get("/services", policy::LIST_SERVICES, registry::services).query(registry::SERVICES, u16::MAX),
        get("/services/{service_id}", policy::GET_SERVICE, registry::service),
        get("/endpoints", policy::LIST_ENDPOINTS, registry::endpoints).query(registry::ENDPOINTS, u16::MAX),
        get("/regions", policy::LIST_REGIONS, registry::regions),
        get("/regions/{region_id}", policy::GET_REGION, registry::region),
    ]
}
