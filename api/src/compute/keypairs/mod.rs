//! `/os-keypairs`: public keys that users have put into their servers.

mod keys;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use novella_common::{
    db::{
        Connection, DbError,
        list::{Condition, Direction, List, SortKey},
        quotas,
        table::insert,
    },
    sql, table,
};
use novella_rest::{
    ApiError, FieldTable, Operation, Path, body, delete, field, get,
    list::{ListDescription, own},
    post,
    times::Micros,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::quotas::{Limits, Resource};
use crate::{Request, policy, state::Api};

/// A key pair; the private key is nowhere but with its user.
#[derive(Clone, Debug)]
struct Keypair {
    id: i64,
    user_id: String,
    name: String,
    kind: String,
    public_key: String,
    fingerprint: String,
    created_at: Timestamp,
}

table! {
    Keypair in "keypairs", key int "id";
    generated id;
    user_id, name, kind, public_key, fingerprint, created_at,
}

static KEYPAIRS: ListDescription = ListDescription {
    filters: &[own("user_id").since(10)],
    sort_keys: &[],
    default_sort: &[(SortKey::text("name"), Direction::Ascending)],
    paging: &[field("limit").since(35), field("marker").since(35)],
    marker: |_| Some(SortKey::text("name")),
    no_marker: |marker| format!("marker [{marker}] not found"),
};

const OF_USER: FieldTable = FieldTable(&[field("user_id").since(10)]);

const FIELDS: FieldTable = FieldTable(&[field("type").since(2)]);

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ONE: &str = "/os-keypairs/{keypair_name}";
    vec![
        get("/os-keypairs", policy::KEYPAIRS_INDEX, index).list(&KEYPAIRS, 75).answers_list::<Listed>("keypairs"),
        post("/os-keypairs", policy::KEYPAIRS_CREATE, create).status(201).answers::<Created>("keypair"),
        get(ONE, policy::KEYPAIRS_SHOW, show).query(OF_USER, 75).answers::<Detail>("keypair"),
        delete(ONE, policy::KEYPAIRS_DELETE, remove).query(OF_USER, 75).status(204),
    ]
}

body! {
    /// `POST /os-keypairs`.
    struct NewKeypair in "keypair" {
        name: String = "name",
        kind: Option<Kind> = "type".since(2),
        user_id: Option<String> = "user_id".since(10),
        public_key: Option<String> = "public_key",
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Ssh,
    X509,
}

#[derive(Serialize, ToSchema)]
struct Created<'k> {
    name: &'k str,
    #[serde(rename = "type")]
    kind: &'k str,
    public_key: &'k str,
    fingerprint: &'k str,
    user_id: &'k str,
    /// Only where it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Detail<'k> {
    id: i64,
    name: &'k str,
    #[serde(rename = "type")]
    kind: &'k str,
    public_key: &'k str,
    fingerprint: &'k str,
    user_id: &'k str,
    created_at: Micros,
    deleted: bool,
    deleted_at: Option<Micros>,
    updated_at: Option<Micros>,
}

#[derive(Serialize, ToSchema)]
struct Brief<'k> {
    name: &'k str,
    #[serde(rename = "type")]
    kind: &'k str,
    public_key: &'k str,
    fingerprint: &'k str,
}

/// An entry of the list, which has a key of its own.
#[derive(Serialize, ToSchema)]
struct Listed<'k> {
    #[schema(value_type = Brief)]
    keypair: novella_rest::Shaped<'k, Brief<'k>>,
}

/// Whose key pairs are meant: one's own, or an administrator's choice.
fn user<'r>(request: &'r Request, named: Option<&'r str>) -> Result<&'r str, ApiError> {
    let user = named.filter(|_| request.version.at_least(10)).unwrap_or_else(|| request.user());
    request.rule.check_user(&request.context, user)?;
    Ok(user)
}

async fn find(connection: &mut Connection, user: &str, name: &str) -> Result<Option<Keypair>, DbError> {
    let list = List::<Keypair>::all().filter(Condition::equal("user_id", user)).filter(Condition::equal("name", name));
    Ok(list.page(connection).await?.unwrap_or_default().pop())
}

/// Whether a user has a key pair of this name.
pub(super) async fn exists(connection: &mut Connection, user: &str, name: &str) -> Result<bool, DbError> {
    Ok(find(connection, user, name).await?.is_some())
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let user = user(&request, request.query.get("user_id"))?;
    let listing = request.list::<Keypair>(&KEYPAIRS)?.visible(Condition::equal("user_id", user));
    let found = listing.page(&mut *request.state.database.read().await?).await?;
    let next = request.next_link(&found, "os-keypairs", |keypair| keypair.name.clone());
    let shape = request.answer(&FIELDS);
    let views: Vec<_> = found.items.iter().map(|keypair| Listed { keypair: shape.shaped(brief(keypair)) }).collect();
    Ok(request.answer(&FieldTable(&[])).list("keypairs", &views, next))
}

fn brief(keypair: &Keypair) -> Brief<'_> {
    let Keypair { name, kind, public_key, fingerprint, .. } = keypair;
    Brief { name, kind, public_key, fingerprint }
}

async fn create(request: Request, new: NewKeypair) -> Result<Response, ApiError> {
    let user_id = user(&request, new.user_id.as_deref())?.to_owned();
    let name = keys::checked_name(new.name, request.version)?;
    if new.public_key.is_none() && request.version.at_least(92) {
        return Err(ApiError::bad_request(
            "Invalid input for field/attribute keypair. 'public_key' is a required property",
        ));
    }
    let (public_key, private_key) = match (new.public_key, new.kind) {
        (Some(key), _) => (key, None),
        (None, Some(Kind::X509)) => {
            let (certificate, private) = keys::generate_x509(&user_id)?;
            (certificate, Some(private))
        }
        (None, _) => {
            let (public, private) = keys::generate()?;
            (public, Some(private))
        }
    };
    let (kind, fingerprint) = match new.kind {
        Some(Kind::X509) => ("x509", keys::x509_fingerprint(&public_key)?),
        _ => ("ssh", keys::fingerprint(&public_key)?),
    };
    let created_at = Timestamp::now();
    let keypair = Keypair { id: 0, user_id, name, kind: kind.into(), public_key, fingerprint, created_at };
    let mut transaction = request.state.database.begin().await?;
    let limits = Limits::of_caller(&mut transaction, &request).await?;
    if limits.is_limited(Resource::KeyPairs) {
        quotas::lock(&mut transaction, &format!("key pairs of {}", keypair.user_id)).await?;
        let own = List::<Keypair>::all().filter(Condition::equal("user_id", &keypair.user_id));
        if limits.exceeded(Resource::KeyPairs, own.count(&mut transaction).await? + 1) {
            return Err(ApiError::Forbidden("Quota exceeded, too many key pairs.".into()));
        }
    }
    match insert(&mut transaction, &keypair).await {
        Err(error) if error.is_unique_violation() => {
            return Err(ApiError::Conflict(format!("Key pair '{}' already exists.", keypair.name)));
        }
        inserted => inserted?,
    }
    transaction.commit().await?;
    let status = if request.version.at_least(2) { StatusCode::CREATED } else { StatusCode::OK };
    let Keypair { name, kind, public_key, fingerprint, user_id, .. } = &keypair;
    let view = Created { name, kind, public_key, fingerprint, user_id, private_key };
    Ok((status, request.answer(&FIELDS).object("keypair", view)).into_response())
}

async fn show(request: Request, Path(name): Path<String>) -> Result<Response, ApiError> {
    let user = user(&request, request.query.get("user_id"))?;
    let found = find(&mut *request.state.database.read().await?, user, &name).await?;
    let keypair = found.ok_or_else(|| not_found(&name, user))?;
    let Keypair { id, name, kind, public_key, fingerprint, user_id, created_at } = &keypair;
    let view = Detail {
        id: *id,
        name,
        kind,
        public_key,
        fingerprint,
        user_id,
        created_at: Micros(*created_at),
        deleted: false,
        deleted_at: None,
        updated_at: None,
    };
    Ok(request.answer(&FIELDS).object("keypair", view))
}

async fn remove(request: Request, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let user = user(&request, request.query.get("user_id"))?;
    let mut delete = sql!("DELETE FROM keypairs WHERE user_id = " (user) " AND name = " (name));
    if !delete.execute_one(&mut *request.state.database.write().await?).await? {
        return Err(not_found(&name, user));
    }
    Ok(if request.version.at_least(2) { StatusCode::NO_CONTENT } else { StatusCode::ACCEPTED })
}

fn not_found(name: &str, user: &str) -> ApiError {
    ApiError::not_found(format!("Keypair {name} not found for user {user}"))
}
