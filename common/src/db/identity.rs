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
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{
    Connection, DbError,
    row::{Columns, micros},
};
use crate::config::Secret;

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

/// A new id in Keystone's form: a UUID without dashes.
#[must_use]
pub fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// The hash of a password, in PHC form. Takes tens of milliseconds of a core: not for a thread that serves others.
///
/// # Errors
/// A password that is too long for argon2, or a system without randomness.
pub fn hash_password(password: &Secret) -> Result<String, DbError> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.expose().as_bytes())
        .map_err(|error| DbError::Password(error.to_string()))?;
    Ok(hash.to_string())
}

/// Whether a password has this hash. Takes as long as [`hash_password`].
///
/// # Errors
/// A hash that is not in PHC form.
pub fn verify_password(password: &Secret, hash: &str) -> Result<bool, DbError> {
    let hash = PasswordHash::new(hash).map_err(|error| DbError::Password(error.to_string()))?;
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

fn project_of(row: &AnyRow) -> Result<Project, DbError> {
    Ok(Project {
        id: row.text("project_id")?,
        name: row.text("project_name")?,
        description: row.text("project_description")?,
        enabled: row.flag("project_enabled")?,
    })
}

fn user_of(row: &AnyRow) -> Result<User, DbError> {
    Ok(User { id: row.text("user_id")?, name: row.text("user_name")?, enabled: row.flag("user_enabled")? })
}

macro_rules! select_projects {
    ($rest:literal) => {
        concat!(
            "SELECT p.id AS project_id, p.name AS project_name, p.description AS project_description, \
             p.enabled AS project_enabled FROM projects p ",
            $rest
        )
    };
}

/// Adds a project.
///
/// # Errors
/// A name or an id that is taken (see [`DbError::is_unique_violation`]).
pub async fn insert_project(connection: &mut Connection, project: &Project) -> Result<(), DbError> {
    sqlx::query("INSERT INTO projects (id, name, description, enabled) VALUES ($1, $2, $3, $4)")
        .bind(&project.id)
        .bind(&project.name)
        .bind(&project.description)
        .bind(i64::from(project.enabled))
        .execute(connection)
        .await?;
    Ok(())
}

/// A project, if there is one.
///
/// # Errors
/// The database can't be read.
pub async fn project(connection: &mut Connection, which: &Reference) -> Result<Option<Project>, DbError> {
    let query = match which {
        Reference::Id(id) => sqlx::query(select_projects!("WHERE p.id = $1")).bind(id),
        Reference::Name(name) => sqlx::query(select_projects!("WHERE p.name = $1")).bind(name),
    };
    query.fetch_optional(connection).await?.as_ref().map(project_of).transpose()
}

/// Every project, by name.
///
/// # Errors
/// The database can't be read.
pub async fn projects(connection: &mut Connection) -> Result<Vec<Project>, DbError> {
    let rows = sqlx::query(select_projects!("ORDER BY p.name")).fetch_all(connection).await?;
    rows.iter().map(project_of).collect()
}

/// The enabled projects that a user has a role in, by name.
///
/// # Errors
/// The database can't be read.
pub async fn projects_of_user(connection: &mut Connection, user_id: &str) -> Result<Vec<Project>, DbError> {
    let rows = sqlx::query(select_projects!(
        "WHERE p.enabled = 1 AND EXISTS (SELECT 1 FROM role_assignments r \
         WHERE r.project_id = p.id AND r.user_id = $1) ORDER BY p.name"
    ))
    .bind(user_id)
    .fetch_all(connection)
    .await?;
    rows.iter().map(project_of).collect()
}

/// Adds a user. `password_hash` comes from [`hash_password`].
///
/// # Errors
/// A name or an id that is taken (see [`DbError::is_unique_violation`]).
pub async fn insert_user(connection: &mut Connection, user: &User, password_hash: &str) -> Result<(), DbError> {
    sqlx::query("INSERT INTO users (id, name, password_hash, enabled) VALUES ($1, $2, $3, $4)")
        .bind(&user.id)
        .bind(&user.name)
        .bind(password_hash)
        .bind(i64::from(user.enabled))
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives a user another password, and ends all its tokens: who knew the old password may have made some.
///
/// # Errors
/// The database can't be written.
pub async fn set_password(connection: &mut Connection, user_id: &str, password_hash: &str) -> Result<(), DbError> {
    sqlx::query("UPDATE users SET password_hash = $1 WHERE id = $2")
        .bind(password_hash)
        .bind(user_id)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM tokens WHERE user_id = $1").bind(user_id).execute(connection).await?;
    Ok(())
}

/// A user with the hash of its password, if there is one.
///
/// # Errors
/// The database can't be read.
pub async fn user(connection: &mut Connection, which: &Reference) -> Result<Option<(User, String)>, DbError> {
    const BY_ID: &str =
        "SELECT id AS user_id, name AS user_name, enabled AS user_enabled, password_hash FROM users WHERE id = $1";
    const BY_NAME: &str =
        "SELECT id AS user_id, name AS user_name, enabled AS user_enabled, password_hash FROM users WHERE name = $1";
    let query = match which {
        Reference::Id(id) => sqlx::query(BY_ID).bind(id),
        Reference::Name(name) => sqlx::query(BY_NAME).bind(name),
    };
    let Some(row) = query.fetch_optional(connection).await? else {
        return Ok(None);
    };
    Ok(Some((user_of(&row)?, row.text("password_hash")?)))
}

/// Every user, by name.
///
/// # Errors
/// The database can't be read.
pub async fn users(connection: &mut Connection) -> Result<Vec<User>, DbError> {
    let rows = sqlx::query("SELECT id AS user_id, name AS user_name, enabled AS user_enabled FROM users ORDER BY name")
        .fetch_all(connection)
        .await?;
    rows.iter().map(user_of).collect()
}

/// Gives a user a role in a project; nothing happens if it has it.
///
/// # Errors
/// The database can't be written.
pub async fn assign_role(
    connection: &mut Connection,
    user_id: &str,
    project_id: &str,
    role: &str,
) -> Result<(), DbError> {
    sqlx::query("INSERT INTO role_assignments (user_id, project_id, role) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(user_id)
        .bind(project_id)
        .bind(role)
        .execute(connection)
        .await?;
    Ok(())
}

/// The roles that a user was given in a project.
///
/// # Errors
/// The database can't be read.
pub async fn roles(connection: &mut Connection, user_id: &str, project_id: &str) -> Result<Vec<String>, DbError> {
    let rows = sqlx::query("SELECT role FROM role_assignments WHERE user_id = $1 AND project_id = $2 ORDER BY role")
        .bind(user_id)
        .bind(project_id)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| row.text("role")).collect()
}

/// Writes a token down.
///
/// # Errors
/// The database can't be written.
pub async fn insert_token(connection: &mut Connection, hash: &str, token: &Token) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO tokens (token_hash, user_id, project_id, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(hash)
    .bind(&token.user.id)
    .bind(token.project.as_ref().map(|project| project.id.clone()))
    .bind(micros(token.issued_at))
    .bind(micros(token.expires_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// A token that is valid at `now`: not expired, and its user and project enabled.
///
/// # Errors
/// The database can't be read.
pub async fn token(connection: &mut Connection, hash: &str, now: Timestamp) -> Result<Option<Token>, DbError> {
    let row = sqlx::query(
        "SELECT t.issued_at, t.expires_at, u.id AS user_id, u.name AS user_name, u.enabled AS user_enabled, \
         p.id AS project_id, p.name AS project_name, p.description AS project_description, \
         p.enabled AS project_enabled \
         FROM tokens t JOIN users u ON u.id = t.user_id LEFT JOIN projects p ON p.id = t.project_id \
         WHERE t.token_hash = $1 AND t.expires_at > $2 AND u.enabled = 1 AND (p.id IS NULL OR p.enabled = 1)",
    )
    .bind(hash)
    .bind(micros(now))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let user = user_of(&row)?;
    let project = match row.text_or_null("project_id")? {
        Some(_) => Some(project_of(&row)?),
        None => None,
    };
    // Read now and not kept with the token: a role that is taken away is gone for tokens that were given out before.
    let roles = match &project {
        Some(project) => roles(connection, &user.id, &project.id).await?,
        None => Vec::new(),
    };
    Ok(Some(Token { user, project, roles, issued_at: row.time("issued_at")?, expires_at: row.time("expires_at")? }))
}

/// Ends a token. Says whether there was one.
///
/// # Errors
/// The database can't be written.
pub async fn delete_token(connection: &mut Connection, hash: &str) -> Result<bool, DbError> {
    let done = sqlx::query("DELETE FROM tokens WHERE token_hash = $1").bind(hash).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// Removes the tokens that have expired by `now`. Says how many.
///
/// # Errors
/// The database can't be written.
pub async fn delete_expired_tokens(connection: &mut Connection, now: Timestamp) -> Result<u64, DbError> {
    let done = sqlx::query("DELETE FROM tokens WHERE expires_at <= $1").bind(micros(now)).execute(connection).await?;
    Ok(done.rows_affected())
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
