//! What Keystone shows of a token, catalog included.

use novella_rest::{CatalogEntry, Links, Named, Token, policy, times::MicrosUtc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::{DEFAULT_DOMAIN_ID, DEFAULT_DOMAIN_NAME};

/// The one region.
pub(super) const REGION: &str = "RegionOne";

/// `{"token": ...}`.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenBody {
    token: TokenView,
}

#[derive(Serialize, ToSchema)]
struct TokenView {
    methods: Vec<&'static str>,
    user: UserView,
    audit_ids: [String; 1],
    expires_at: MicrosUtc,
    issued_at: MicrosUtc,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<ProjectView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_domain: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<RoleView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<Vec<Service>>,
}

#[derive(Serialize, ToSchema)]
struct UserView {
    domain: Domain,
    id: String,
    name: String,
    password_expires_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ProjectView {
    domain: Domain,
    id: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
struct Domain {
    id: &'static str,
    name: &'static str,
}

#[derive(Serialize, ToSchema)]
struct RoleView {
    /// The same as the name: a role has no other id here.
    id: String,
    name: String,
}

/// A service of the catalog with its endpoints.
#[derive(Serialize, ToSchema)]
pub(crate) struct Service {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) r#type: &'static str,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) interface: &'static str,
    pub(super) region: &'static str,
    pub(super) region_id: &'static str,
    pub(super) url: String,
}

const DEFAULT_DOMAIN: Domain = Domain { id: DEFAULT_DOMAIN_ID, name: DEFAULT_DOMAIN_NAME };

impl TokenBody {
    /// The view of `token`, known by `hash`. `methods`: how it was come by. With a catalog where there is one to show.
    pub(crate) fn new(token: &Token, hash: &str, methods: &[&'static str], catalog: Option<Vec<Service>>) -> Self {
        let Named { id, name } = token.user.clone();
        let scoped = token.project.is_some();
        Self {
            token: TokenView {
                methods: methods.to_vec(),
                user: UserView { domain: DEFAULT_DOMAIN, id, name, password_expires_at: None },
                // Tells tokens apart in logs, without being any use as a token.
                audit_ids: [hash.chars().take(22).collect()],
                expires_at: MicrosUtc(token.expires_at),
                issued_at: MicrosUtc(token.issued_at),
                project: token.project.clone().map(|Named { id, name }| ProjectView {
                    domain: DEFAULT_DOMAIN,
                    id,
                    name,
                }),
                is_domain: scoped.then_some(false),
                roles: scoped.then(|| {
                    policy::with_implied_roles(token.roles.iter().map(String::as_str))
                        .into_iter()
                        .map(|name| RoleView { id: name.clone(), name })
                        .collect()
                }),
                catalog: catalog.filter(|_| scoped),
            },
        }
    }
}

/// Where the services are.
pub(crate) fn catalog(entries: &[CatalogEntry], links: &Links) -> Vec<Service> {
    entries
        .iter()
        .map(|&CatalogEntry { name, kind, endpoint }| Service {
            id: kind,
            name,
            r#type: kind,
            endpoints: ["public", "internal", "admin"]
                .into_iter()
                .map(|interface| Endpoint {
                    id: format!("{kind}-{interface}"),
                    interface,
                    region: REGION,
                    region_id: REGION,
                    url: format!("{}/{endpoint}", links.base()),
                })
                .collect(),
        })
        .collect()
}
