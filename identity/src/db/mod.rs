//! The tables of Identity: who and what there is (`model`), which roles that comes to (`roles`), tokens
//! (`tokens`).
//!
//! Passwords are kept as argon2id, tokens as their SHA-256: who reads these tables can use neither.

mod model;
pub(crate) mod roles;
pub(crate) mod tokens;

use std::fmt::Write as _;

use argon2::{
    Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use jiff::Timestamp;
use novella_common::{
    config::Secret,
    db::{Connection, DbError, Sql, table::select},
    sql,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use model::{Group, Project, Role, User};

use crate::config::PasswordCost;

/// The id of the domain that every cloud has. Its name is [`DEFAULT_DOMAIN_NAME`].
pub const DEFAULT_DOMAIN_ID: &str = "default";
/// The name of the domain that every cloud has, until it is changed.
pub const DEFAULT_DOMAIN_NAME: &str = "Default";

/// How a request names a user or a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// By id.
    Id(String),
    /// By name, in the default domain.
    Name(String),
    /// By name, in the domain of this id.
    In(String, String),
}

/// A password could not be hashed, or a hash not read.
#[derive(Debug, thiserror::Error)]
#[error("password hashing: {0}")]
pub struct PasswordError(pub String);

/// A new id in Keystone's form: a UUID without dashes.
#[must_use]
pub fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// The hash of a password, in PHC form. By default it takes tens of milliseconds of a core: not for a thread that serves
/// others.
///
/// # Errors
/// A cost or a password that argon2 does not take, or a system without randomness.
pub fn hash_password(password: &Secret, cost: PasswordCost) -> Result<String, PasswordError> {
    let failed = |error: String| PasswordError(error);
    let hash: PasswordHash = Argon2::from(params(cost).map_err(failed)?)
        .hash_password(password.expose().as_bytes())
        .map_err(|error| failed(error.to_string()))?;
    Ok(hash.to_string())
}

fn params(cost: PasswordCost) -> Result<Params, String> {
    Params::new(cost.memory_kib, cost.iterations, cost.lanes, None).map_err(|error| error.to_string())
}

/// Whether a password has this hash. Takes as long as the hash took.
///
/// # Errors
/// A hash that is not in PHC form.
pub fn verify_password(password: &Secret, hash: &str) -> Result<bool, PasswordError> {
    let hash = PasswordHash::new(hash).map_err(|error| PasswordError(error.to_string()))?;
    Ok(Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok())
}

/// Whether a hash was made with another cost than this.
#[must_use]
pub fn has_other_cost(hash: &str, cost: PasswordCost) -> bool {
    let made_with = PasswordHash::new(hash).ok().and_then(|hash| Params::try_from(&hash).ok());
    made_with.is_none_or(|made| {
        (made.m_cost(), made.t_cost(), made.p_cost()) != (cost.memory_kib, cost.iterations, cost.lanes)
    })
}

/// What a token is known by in the database. A token is 256 random bits, so one round of SHA-256 is enough.
#[must_use]
pub fn token_hash(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

/// The SHA-256 in hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A project, if there is one.
///
/// # Errors
/// The database's.
pub async fn project(connection: &mut Connection, which: &Reference) -> Result<Option<Project>, DbError> {
    select::<Project>().append(which.condition()).fetch_optional(connection).await
}

/// A domain, if there is one.
pub(crate) async fn domain(
    connection: &mut Connection,
    id: Option<&str>,
    name: Option<&str>,
) -> Result<Option<Project>, DbError> {
    let mut sql = select::<Project>();
    match (id, name) {
        (Some(id), _) => sql.push(" WHERE is_domain AND id = ").bind(id),
        (None, Some(name)) => sql.push(" WHERE is_domain AND COALESCE(domain_id, '') = '' AND name = ").bind(name),
        (None, None) => return Ok(None),
    };
    sql.fetch_optional(connection).await
}

/// A user with the hash of its password, if there is one.
///
/// # Errors
/// The database's.
pub async fn user(connection: &mut Connection, which: &Reference) -> Result<Option<(User, Option<String>)>, DbError> {
    let found: Option<User> = select::<User>().append(which.condition()).fetch_optional(connection).await?;
    Ok(found.map(|user| {
        let hash = user.password_hash.clone();
        (user, hash)
    }))
}

/// A user, whom nobody changes until the transaction ends.
pub(crate) async fn held_user(connection: &mut Connection, id: &str) -> Result<Option<User>, DbError> {
    let mut sql = select::<User>();
    // SQLite has one writer.
    sql.push(" WHERE id = ").bind(id).push_for("", " FOR SHARE").fetch_optional(connection).await
}

impl Reference {
    fn condition(&self) -> Sql {
        match self {
            Self::Id(id) => sql!(" WHERE id = "(id)),
            Self::Name(name) => sql!(" WHERE domain_id = " (DEFAULT_DOMAIN_ID) " AND name = " (name)),
            Self::In(domain, name) => sql!(" WHERE domain_id = " (domain) " AND name = " (name)),
        }
    }
}

/// Gives a user another password, and ends all its tokens: who knew the old password may have made some. The caller says
/// so with [`touch`], at the end of the transaction.
///
/// # Errors
/// The database's.
pub async fn set_password(
    connection: &mut Connection,
    user_id: &str,
    password_hash: &str,
    expires_at: Option<Timestamp>,
) -> Result<(), DbError> {
    let now = Timestamp::now();
    sql!(
        "INSERT INTO password_history (user_id, password_hash, replaced_at) SELECT id, password_hash, " (now)
        " FROM users WHERE password_hash IS NOT NULL AND id = " (user_id)
    )
    .execute(connection)
    .await?;
    sql!(
        "UPDATE users SET password_hash = " (password_hash) ", password_created_at = " (now)
        ", password_expires_at = " (expires_at) ", failed_auth_count = 0, failed_auth_at = NULL WHERE id = " (user_id)
    )
    .execute(connection)
    .await?;
    sql!("DELETE FROM tokens WHERE user_id = "(user_id)).execute(connection).await?;
    Ok(())
}

/// Writes the same password's hash anew, with another cost. Unless it has been changed meanwhile.
pub(crate) async fn rehash(connection: &mut Connection, user_id: &str, old: &str, new: &str) -> Result<(), DbError> {
    sql!(
        "UPDATE users SET password_hash = " (new) " WHERE id = " (user_id) " AND password_hash = " (old)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The hashes of a user's last passwords, the present one first.
pub(crate) async fn last_passwords(
    connection: &mut Connection,
    user: &User,
    count: i64,
) -> Result<Vec<String>, DbError> {
    let mut hashes: Vec<String> = user.password_hash.iter().cloned().collect();
    let before: Vec<String> = sql!(
        "SELECT password_hash FROM password_history WHERE user_id = " (user.id)
        " ORDER BY replaced_at DESC LIMIT " (count.saturating_sub(1).max(0))
    )
    .fetch_all(connection)
    .await?;
    hashes.extend(before);
    Ok(hashes)
}

/// Says to all who keep tokens in memory that what they keep may no longer be so. Goes last into a transaction, since
/// all that do so wait for each other.
///
/// # Errors
/// The database's.
pub async fn touch(connection: &mut Connection) -> Result<(), DbError> {
    sql!("UPDATE identity_revision SET revision = revision + 1 WHERE id = 1").execute(connection).await?;
    Ok(())
}

/// How often [`touch`] was called.
pub(crate) async fn revision(connection: &mut Connection) -> Result<i64, DbError> {
    sql!("SELECT revision FROM identity_revision WHERE id = 1").fetch_one(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_hash_and_no_other() {
        let cost = PasswordCost::default();
        let hash = hash_password(&Secret::new("s3cret"), cost).unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify_password(&Secret::new("s3cret"), &hash).unwrap());
        assert!(!verify_password(&Secret::new("S3cret"), &hash).unwrap());
        assert!(!has_other_cost(&hash, cost));
        assert!(has_other_cost(&hash, PasswordCost { iterations: cost.iterations + 1, ..cost }));
    }

    #[test]
    fn a_token_is_known_by_its_sha256() {
        assert_eq!(token_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
