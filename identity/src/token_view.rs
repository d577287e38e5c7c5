//! What Keystone shows of a token, catalog included.

use novella_rest::{AccessRule, Named, Token, times::MicrosUtc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::catalog::ServiceView;

/// `{"token": ...}`.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenBody {
    token: TokenView,
}

#[derive(Serialize, ToSchema)]
struct TokenView {
    methods: Vec<String>,
    user: UserView,
    audit_ids: Vec<String>,
    expires_at: MicrosUtc,
    issued_at: MicrosUtc,
    #[serde(rename = "OS-TRUST:trust", skip_serializing_if = "Option::is_none")]
    trust: Option<TrustView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<ProjectView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_domain: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<NamedView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<SystemView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<NamedView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<Vec<ServiceView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_credential: Option<ApplicationCredentialView>,
}

#[derive(Serialize, ToSchema)]
struct NamedView {
    id: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
struct UserView {
    domain: NamedView,
    id: String,
    name: String,
    password_expires_at: Option<MicrosUtc>,
}

#[derive(Serialize, ToSchema)]
struct ProjectView {
    domain: NamedView,
    id: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
struct SystemView {
    all: bool,
}

#[derive(Serialize, ToSchema)]
struct UserIdView {
    id: String,
}

#[derive(Serialize, ToSchema)]
struct TrustView {
    id: String,
    impersonation: bool,
    trustor_user: UserIdView,
    trustee_user: UserIdView,
}

#[derive(Serialize, ToSchema)]
struct ApplicationCredentialView {
    id: String,
    name: String,
    restricted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_rules: Option<Vec<AccessRuleView>>,
}

#[derive(Serialize, ToSchema)]
struct AccessRuleView {
    id: String,
    service: String,
    path: String,
    method: String,
}

fn named(named: &Named) -> NamedView {
    NamedView { id: named.id.clone(), name: named.name.clone() }
}

fn rule(rule: &AccessRule) -> AccessRuleView {
    let AccessRule { id, service, method, path } = rule.clone();
    AccessRuleView { id, service, path, method }
}

impl TokenBody {
    /// The view of `token`. With a catalog where there is one to show.
    pub(crate) fn new(token: &Token, catalog: Option<Vec<ServiceView>>) -> Self {
        let scoped = token.project.is_some() || token.domain.is_some() || token.system;
        let user = UserView {
            domain: named(&token.user_domain),
            id: token.user.id.clone(),
            name: token.user.name.clone(),
            password_expires_at: token.password_expires_at.map(MicrosUtc),
        };
        let project = token.project.as_ref().map(|project| ProjectView {
            domain: named(token.project_domain.as_ref().unwrap_or(project)),
            id: project.id.clone(),
            name: project.name.clone(),
        });
        let trust = token.trust.as_ref().map(|trust| TrustView {
            id: trust.id.clone(),
            impersonation: trust.impersonation,
            trustor_user: UserIdView { id: trust.trustor.clone() },
            trustee_user: UserIdView { id: trust.trustee.clone() },
        });
        let credential = token.application_credential.as_ref().map(|credential| ApplicationCredentialView {
            id: credential.id.clone(),
            name: credential.name.clone(),
            restricted: credential.restricted,
            access_rules: credential.access_rules.as_ref().map(|rules| rules.iter().map(rule).collect()),
        });
        Self {
            token: TokenView {
                methods: token.methods.clone(),
                user,
                audit_ids: token.audit_ids.clone(),
                expires_at: MicrosUtc(token.expires_at),
                issued_at: MicrosUtc(token.issued_at),
                is_domain: (project.is_some() && trust.is_none()).then_some(token.is_domain),
                trust,
                project,
                domain: token.domain.as_ref().map(named),
                system: token.system.then_some(SystemView { all: true }),
                roles: scoped.then(|| token.roles.iter().map(named).collect()),
                catalog: catalog.filter(|_| scoped),
                application_credential: credential,
            },
        }
    }
}
