//! Users, projects, roles and tokens.
//!
//! Passwords are kept as argon2id, tokens as their SHA-256: who reads these tables can use neither.

use std::fmt::Write as _;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use novella_common::{
    config::Secret,
    db::{
        Connection, DbError, Sql,
        table::{self, select},
    },
    sql, table,
};

/// The id of the one domain that there is. Its name is [`DEFAULT_DOMAIN_NAME`].
pub const DEFAULT_DOMAIN_ID: &str = "default";
/// The name of the one domain that there is.
pub const DEFAULT_DOMAIN_NAME: &str = "Default";

/// A project: what servers belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// 32 hexadecimal digits, as Keystone's are.
    pub id: String,
    /// Unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether tokens are given out for it.
    pub enabled: bool,
}

/// Somebody who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// 32 hexadecimal digits, as Keystone's are.
    pub id: String,
    /// Unique.
    pub name: String,
    /// Whether tokens are given out to it.
    pub enabled: bool,
}

/// How a request names a user or a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// By id.
    Id(String),
    /// By name, in the default domain.
    Name(String),
}

/// A token with all that a request needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub user: User,
    /// What it is scoped to; `None`: nothing.
    pub project: Option<Project>,
    /// The roles assigned to the user in that project; the implied ones are not among them.
    pub roles: Vec<String>,
    /// Since when.
    pub issued_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
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

/// The hash of a password, in PHC form. Takes tens of milliseconds of a core: not for a thread that serves others.
///
/// # Errors
/// A password that is too long for argon2, or a system without randomness.
pub fn hash_password(password: &Secret) -> Result<String, PasswordError> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.expose().as_bytes())
        .map_err(|error| PasswordError(error.to_string()))?;
    Ok(hash.to_string())
}

/// Whether a password has this hash. Takes as long as [`hash_password`].
///
/// # Errors
/// A hash that is not in PHC form.
pub fn verify_password(password: &Secret, hash: &str) -> Result<bool, PasswordError> {
    let hash = PasswordHash::new(hash).map_err(|error| PasswordError(error.to_string()))?;
    Ok(Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok())
}

/// What a token is known by in the database. A token is 256 random bits, so one round of SHA-256 is enough.
#[must_use]
pub fn token_hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

table! {
    Project in "projects", key text "id";
    id,
    name,
    description,
    enabled,
}

table! {
    User in "users", key text "id";
    id,
    name,
    enabled,
}

/// Adds a project.
///
/// # Errors
/// A name or an id that is taken (see [`DbError::is_unique_violation`]).
pub async fn insert_project(connection: &mut Connection, project: &Project) -> Result<(), DbError> {
    table::insert(connection, project).await
}

/// A project, if there is one.
pub async fn project(connection: &mut Connection, which: &Reference) -> Result<Option<Project>, DbError> {
    let (column, value) = which.condition();
    select::<Project>().push(column).bind(value).fetch_optional(connection).await
}

/// The enabled projects that a user has a role in, by name.
pub async fn projects_of_user(connection: &mut Connection, user_id: &str) -> Result<Vec<Project>, DbError> {
    select::<Project>().push(" WHERE ").append(has_role(user_id)).push(" ORDER BY name").fetch_all(connection).await
}

/// The condition on a project that it is enabled and that this user has a role in it.
pub fn has_role(user_id: &str) -> Sql {
    sql!("enabled AND id IN (SELECT project_id FROM role_assignments WHERE user_id = " (user_id) ")")
}

/// Adds a user. `password_hash` comes from [`hash_password`].
///
/// # Errors
/// A name or an id that is taken (see [`DbError::is_unique_violation`]).
pub async fn insert_user(connection: &mut Connection, user: &User, password_hash: &str) -> Result<(), DbError> {
    sql!(
        "INSERT INTO users (id, name, password_hash, enabled) VALUES ("
        (user.id) ", " (user.name) ", " (password_hash) ", " (user.enabled) ")"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives a user another password, unlocks it, and ends all its tokens: who knew the old password may have made some.
pub async fn set_password(connection: &mut Connection, user_id: &str, password_hash: &str) -> Result<(), DbError> {
    sql!(
        "UPDATE users SET password_hash = " (password_hash) ", failed_auth_count = 0, failed_auth_at = NULL WHERE id = "
        (user_id)
    )
    .execute(connection)
    .await?;
    sql!("DELETE FROM tokens WHERE user_id = "(user_id)).execute(connection).await?;
    Ok(())
}

/// A user with the hash of its password, if there is one.
pub async fn user(connection: &mut Connection, which: &Reference) -> Result<Option<(User, String)>, DbError> {
    let (column, value) = which.condition();
    sql!("SELECT id, name, enabled, password_hash FROM users").push(column).bind(value).fetch_optional(connection).await
}

/// Every user, by name.
pub async fn users(connection: &mut Connection) -> Result<Vec<User>, DbError> {
    select::<User>().push(" ORDER BY name").fetch_all(connection).await
}

impl Reference {
    fn condition(&self) -> (&'static str, &str) {
        match self {
            Self::Id(id) => (" WHERE id = ", id),
            Self::Name(name) => (" WHERE name = ", name),
        }
    }
}

/// Gives a user a role in a project; nothing happens if it has it.
pub async fn assign_role(
    connection: &mut Connection,
    user_id: &str,
    project_id: &str,
    role: &str,
) -> Result<(), DbError> {
    sql!(
        "INSERT INTO role_assignments (user_id, project_id, role) VALUES (" (user_id) ", " (project_id) ", " (role)
        ") ON CONFLICT DO NOTHING"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The roles that a user was given in a project.
pub async fn roles(connection: &mut Connection, user_id: &str, project_id: &str) -> Result<Vec<String>, DbError> {
    sql!(
        "SELECT role FROM role_assignments WHERE user_id = " (user_id) " AND project_id = " (project_id)
        " ORDER BY role"
    )
    .fetch_all(connection)
    .await
}

/// Writes a token down.
pub async fn insert_token(connection: &mut Connection, hash: &str, token: &Token) -> Result<(), DbError> {
    let project = token.project.as_ref().map(|project| &project.id);
    sql!(
        "INSERT INTO tokens (token_hash, user_id, project_id, issued_at, expires_at) VALUES ("
        (hash) ", " (token.user.id) ", " (project) ", " (token.issued_at) ", " (token.expires_at) ")"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A token that is valid at `now`: not expired, and its user and project enabled.
pub async fn token(connection: &mut Connection, hash: &str, now: Timestamp) -> Result<Option<Token>, DbError> {
    let found: Option<(Timestamp, Timestamp, User, Option<String>)> = sql!(
        "SELECT t.issued_at, t.expires_at, u.id, u.name, u.enabled, t.project_id \
         FROM tokens t JOIN users u ON u.id = t.user_id \
         WHERE t.token_hash = " (hash) " AND t.expires_at > " (now) " AND u.enabled"
    )
    .fetch_optional(connection)
    .await?;
    let Some((issued_at, expires_at, user, project_id)) = found else { return Ok(None) };
    let Some(project_id) = project_id else {
        return Ok(Some(Token { user, project: None, roles: Vec::new(), issued_at, expires_at }));
    };
    let Some(project) = project(connection, &Reference::Id(project_id)).await?.filter(|project| project.enabled) else {
        return Ok(None);
    };
    // Read now and not kept with the token: a role that is taken away is gone for tokens that were given out before.
    let roles = roles(connection, &user.id, &project.id).await?;
    Ok(Some(Token { user, project: Some(project), roles, issued_at, expires_at }))
}

/// Ends a token. Says whether there was one.
pub async fn delete_token(connection: &mut Connection, hash: &str) -> Result<bool, DbError> {
    sql!("DELETE FROM tokens WHERE token_hash = "(hash)).execute_one(connection).await
}

/// Removes the tokens that have expired by `now`. Says how many.
pub async fn delete_expired_tokens(connection: &mut Connection, now: Timestamp) -> Result<u64, DbError> {
    sql!("DELETE FROM tokens WHERE expires_at <= "(now)).execute(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_hash_and_no_other() {
        let hash = hash_password(&Secret::new("s3cret")).unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify_password(&Secret::new("s3cret"), &hash).unwrap());
        assert!(!verify_password(&Secret::new("S3cret"), &hash).unwrap());
    }

    #[test]
    fn a_token_is_known_by_its_sha256() {
        assert_eq!(token_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
