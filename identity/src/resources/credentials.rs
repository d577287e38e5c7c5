//! `/credentials`: secrets that Identity keeps for users. Those of the type `ec2` log in (see [`super::ec2`]).

use axum::response::Response;
use novella_common::{
    db::{
        Connection,
        list::{Condition, Direction, SortKey},
    },
    table,
};
use novella_rest::{
    ApiError, Links, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body, patch,
    policy::{ADMIN, READER, Target},
    post, wrong_open,
};
use serde_json::{Map, Value, json};

use super::{projects, users};
use crate::{
    Request,
    auth::delegation::is_delegated,
    db::{self, sha256_hex},
    inputs::{NOT_UNDERSTOOD, Name},
    policy,
    resource::{self, Resource, conflict, listing, locked, no_marker, page, with_extra},
};

/// A credential.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Credential {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) project_id: Option<String>,
    pub(crate) kind: String,
    pub(crate) blob: String,
    pub(crate) extra: Map<String, Value>,
}

table! {
    Credential in "credentials", key text "id";
    id,
    user_id,
    project_id,
    kind = "type",
    blob,
    extra as Json,
}

static CREDENTIALS: ListDescription = ListDescription {
    filters: &[list::text("user_id", "user_id"), list::text("type", "type")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("id"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/credentials/{credential_id}";
    vec![
        get("/credentials", policy::LIST_CREDENTIALS, index).list(&CREDENTIALS, u16::MAX),
        post("/credentials", policy::CREATE_CREDENTIAL, create).status(201),
        get(ONE, policy::GET_CREDENTIAL, show),
        patch(ONE, policy::UPDATE_CREDENTIAL, update),
        delete(ONE, policy::DELETE_CREDENTIAL, remove).status(204),
    ]
}

open_body! {
    /// `POST /credentials`.
    struct NewCredential in "credential" {
        kind: Name = "type",
        blob: String = "blob",
        user_id: String = "user_id",
        project_id: Option<String> = "project_id",
    }
}

open_body! {
    /// `PATCH /credentials/{credential_id}`.
    struct CredentialChange in "credential" {
        kind: Option<Name> = "type",
        blob: Option<String> = "blob",
        user_id: Option<String> = "user_id",
        project_id: Option<String> = "project_id",
    }
}

impl Resource for Credential {
    const ONE: &'static str = "credential";
    const MANY: &'static str = "credentials";
    const LIST: &'static ListDescription = &CREDENTIALS;

    fn id(&self) -> &str {
        &self.id
    }

    fn taken(&self) -> ApiError {
        conflict("credential", &format!("Duplicate entry found with ID {}", self.id))
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        let fields = json!({
            "id": self.id, "user_id": self.user_id, "project_id": self.project_id, "type": self.kind,
            "blob": self.blob,
        });
        with_extra(fields, &self.extra)
    }

    fn target(&self) -> Target<'_> {
        Target::of_user(&self.user_id)
    }
}

/// Refuses tokens that somebody was lent: what they make here would outlive them.
///
/// # Errors
/// 403.
pub(super) fn only_primary(request: &Request) -> Result<(), ApiError> {
    if request.token.as_ref().is_some_and(|token| is_delegated(token)) {
        return Err(ApiError::Forbidden(
            "You are not authorized to perform the requested action: Delegated tokens cannot access credentials \
             directly."
                .into(),
        ));
    }
    Ok(())
}

/// Whether the caller sees what belongs to others.
pub(super) fn sees_all(request: &Request) -> bool {
    request.token.as_ref().is_some_and(|token| {
        let holds = |name: &str| token.roles.iter().any(|role| role.name == name);
        holds(ADMIN) || (token.system && holds(READER))
    })
}

/// The blob of an EC2 credential.
///
/// # Errors
/// 400 if it is none.
pub(crate) fn ec2_blob(blob: &str) -> Result<Map<String, Value>, ApiError> {
    let wrong = || ApiError::bad_request("Invalid blob in credential");
    let blob: Value = serde_json::from_str(blob).map_err(|_| wrong())?;
    let Value::Object(blob) = blob else { return Err(wrong()) };
    match blob.get("access") {
        Some(Value::String(_)) => Ok(blob),
        _ => Err(ApiError::bad_request(format!("Expecting to find access in credential. {NOT_UNDERSTOOD}"))),
    }
}

/// The id of an EC2 credential with this access key.
pub(crate) fn ec2_id(access: &str) -> String {
    sha256_hex(access.as_bytes())
}

async fn index(request: Request) -> Result<Response, ApiError> {
    request.check_target(&Target::of_user(request.user()))?;
    only_primary(&request)?;
    let mut listing = listing::<Credential>(&request)?;
    if !sees_all(&request) {
        listing = listing.visible(Condition::equal("user_id", request.user()));
    }
    page(&request, listing, "credentials").await
}

async fn create(request: Request, new: NewCredential) -> Result<Response, ApiError> {
    request.check_target(&Target::of_user(&new.user_id))?;
    only_primary(&request)?;
    let is_ec2 = new.kind.0.eq_ignore_ascii_case("ec2");
    if is_ec2 && new.project_id.is_none() {
        let given = json!({"type": new.kind.0, "blob": new.blob, "user_id": new.user_id});
        return Err(wrong_open("credential", &given, "'project_id' is a required property"));
    }
    let id = if is_ec2 {
        let blob = ec2_blob(&new.blob)?;
        ec2_id(blob.get("access").and_then(Value::as_str).unwrap_or_default())
    } else {
        db::new_id()
    };
    let credential = Credential {
        id,
        user_id: new.user_id,
        project_id: new.project_id,
        kind: new.kind.0,
        blob: new.blob,
        extra: new.extra,
    };
    let mut transaction = request.state.database.begin().await?;
    check(&mut transaction, &credential).await?;
    resource::store(&request, transaction, &credential).await?;
    Ok(resource::created(&request, &credential))
}

/// What it names is there.
async fn check(connection: &mut Connection, credential: &Credential) -> Result<(), ApiError> {
    users::existing(connection, &credential.user_id).await?;
    if let Some(project) = &credential.project_id {
        projects::existing_project(connection, project).await?;
    }
    Ok(())
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    only_primary(&request)?;
    resource::show::<Credential>(request, Path(id)).await
}

async fn update(request: Request, Path(id): Path<String>, change: CredentialChange) -> Result<Response, ApiError> {
    only_primary(&request)?;
    let mut transaction = request.state.database.begin().await?;
    let mut credential = locked::<Credential>(&request, &mut transaction, &id).await?;
    let fixed = [
        ("type", change.kind.is_some_and(|kind| kind.0 != credential.kind)),
        ("user_id", change.user_id.is_some_and(|user| user != credential.user_id)),
        ("project_id", change.project_id.is_some_and(|project| Some(project) != credential.project_id)),
    ];
    if let Some((name, _)) = fixed.iter().find(|(_, changed)| *changed) {
        return Err(ApiError::bad_request(format!("{name} can not be updated for credential")));
    }
    if let Some(blob) = change.blob {
        if credential.kind.eq_ignore_ascii_case("ec2") {
            ec2_blob(&blob)?;
        }
        credential.blob = blob;
    }
    credential.extra.extend(change.extra);
    resource::change(&request, transaction, &credential).await?;
    Ok(resource::shown(&request, &credential))
}

async fn remove(request: Request, id: Path<String>) -> Result<axum::http::StatusCode, ApiError> {
    only_primary(&request)?;
    resource::remove::<Credential>(request, id).await
}
