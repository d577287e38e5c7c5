//! What `POST /auth/tokens` says.

use novella_common::config::Secret;
use novella_rest::{ApiError, Body, FieldTable, Microversion, inputs::AnyValue, open_body};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{
    ToSchema,
    openapi::{RefOr, schema::Schema},
};

use crate::{
    db::{self, DEFAULT_DOMAIN_ID},
    inputs::expecting,
};

open_body! {
    /// `POST /auth/tokens`.
    pub(super) struct AuthRequest in "auth" {
        identity: Identity = "identity",
        scope: Option<AnyValue> = "scope",
    }
}

/// The same, with a text of its own for a body without it.
#[derive(Debug)]
pub(super) struct Auth(pub(super) AuthRequest);

impl Body for Auth {
    const KEY: Option<&'static str> = AuthRequest::KEY;
    const FIELDS: FieldTable = AuthRequest::FIELDS;

    fn from_fields(object: &Map<String, Value>) -> Result<Self, ApiError> {
        AuthRequest::from_fields(object).map(Self)
    }

    fn schema() -> RefOr<Schema> {
        AuthRequest::schema()
    }

    fn from_json(body: &Value, version: Microversion) -> Result<Self, ApiError> {
        if body.get("auth").is_none() {
            return Err(expecting("auth", "request body"));
        }
        AuthRequest::from_json(body, version).map(Self)
    }
}

/// Who wants a token, by which methods.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Identity {
    pub(super) methods: Vec<String>,
    pub(super) password: Option<PasswordMethod>,
    pub(super) token: Option<TokenMethod>,
    pub(super) application_credential: Option<ApplicationCredentialMethod>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PasswordMethod {
    pub(super) user: PasswordUser,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PasswordUser {
    #[serde(flatten)]
    pub(super) user: NamedUser,
    #[schema(value_type = String)]
    pub(super) password: Secret,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NamedUser {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) domain: Option<NamedDomain>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct NamedDomain {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TokenMethod {
    #[schema(value_type = String)]
    pub(super) id: Secret,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ApplicationCredentialMethod {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) user: Option<NamedUser>,
    #[schema(value_type = String)]
    pub(super) secret: Secret,
}

impl NamedDomain {
    /// Its id, if there is such a domain.
    pub(super) async fn find(
        &self,
        connection: &mut novella_common::db::Connection,
    ) -> Result<Option<String>, ApiError> {
        // The one that nearly everybody means needs no query.
        if self.id.as_deref() == Some(DEFAULT_DOMAIN_ID) {
            return Ok(Some(DEFAULT_DOMAIN_ID.to_owned()));
        }
        let found = db::domain(connection, self.id.as_deref(), self.name.as_deref()).await?;
        Ok(found.map(|domain| domain.id))
    }
}

/// What names a user or a project: an id, or a name with a domain. `None`: in a domain that does not exist.
pub(super) async fn reference(
    connection: &mut novella_common::db::Connection,
    what: &str,
    id: Option<&String>,
    name: Option<&String>,
    domain: Option<&NamedDomain>,
) -> Result<Option<db::Reference>, ApiError> {
    match (id, name, domain) {
        (Some(id), _, _) => Ok(Some(db::Reference::Id(id.clone()))),
        (None, Some(name), Some(domain)) => {
            let domain = domain.find(connection).await?;
            Ok(domain.map(|domain| db::Reference::In(domain, name.clone())))
        }
        (None, Some(_), None) => Err(expecting("domain", what)),
        (None, None, _) => Err(expecting("id or name", what)),
    }
}
