//! What Keystone says of a token, read: the answer of `GET /v3/auth/tokens`.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{AccessRule, ApplicationCredential, Named, Token, Trust};

#[derive(Deserialize)]
struct Document {
    user: User,
    project: Option<Project>,
    #[serde(default)]
    is_domain: bool,
    domain: Option<Thing>,
    system: Option<System>,
    #[serde(default)]
    roles: Vec<Thing>,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    audit_ids: Vec<String>,
    application_credential: Option<Credential>,
    #[serde(rename = "OS-TRUST:trust")]
    trust: Option<TrustView>,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Deserialize)]
struct User {
    id: String,
    name: String,
    domain: Thing,
    password_expires_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
    name: String,
    domain: Thing,
}

#[derive(Deserialize)]
struct Thing {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct System {
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize)]
struct Credential {
    id: String,
    name: String,
    /// What Keystone does not say is taken for what permits less.
    #[serde(default = "restricted")]
    restricted: bool,
    access_rules: Option<Vec<Rule>>,
}

const fn restricted() -> bool {
    true
}

#[derive(Deserialize)]
struct Rule {
    #[serde(default)]
    id: String,
    service: String,
    method: String,
    path: String,
}

#[derive(Deserialize)]
struct TrustView {
    id: String,
    impersonation: bool,
    trustor_user: Id,
    trustee_user: Id,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

impl From<Thing> for Named {
    fn from(Thing { id, name }: Thing) -> Self {
        Self { id, name }
    }
}

impl Token {
    /// The token that Keystone describes so, under the key `token`.
    ///
    /// # Errors
    /// It lacks something that each token has.
    pub fn from_document(token: &Value) -> Result<Self, serde_json::Error> {
        let document = Document::deserialize(token)?;
        let (project, project_domain) = match document.project {
            Some(Project { id, name, domain }) => (Some(Named { id, name }), Some(domain.into())),
            None => (None, None),
        };
        let credential = document.application_credential.map(|credential| ApplicationCredential {
            id: credential.id,
            name: credential.name,
            restricted: credential.restricted,
            access_rules: credential.access_rules.map(|rules| {
                let rule = |Rule { id, service, method, path }| AccessRule { id, service, method, path };
                rules.into_iter().map(rule).collect()
            }),
        });
        Ok(Self {
            user: Named { id: document.user.id, name: document.user.name },
            user_domain: document.user.domain.into(),
            password_expires_at: document.user.password_expires_at,
            project,
            project_domain,
            is_domain: document.is_domain,
            domain: document.domain.map(Named::from),
            system: document.system.is_some_and(|system| system.all),
            roles: document.roles.into_iter().map(Named::from).collect(),
            methods: document.methods,
            audit_ids: document.audit_ids,
            application_credential: credential,
            trust: document.trust.map(|trust| Trust {
                id: trust.id,
                impersonation: trust.impersonation,
                trustor: trust.trustor_user.id,
                trustee: trust.trustee_user.id,
            }),
            issued_at: document.issued_at,
            expires_at: document.expires_at,
        })
    }
}
