//! Who is in a new cloud: two projects and an administrator, and whoever else is asked for. Running it again changes
//! nothing that is there, except a password that is given.

use std::collections::BTreeMap;

use novella_common::{
    config::Secret,
    db::{Connection, Database, DbError},
};
use novella_rest::policy::ROLES;
use serde::Deserialize;

use crate::db::{self, PasswordError, Project, Reference, User};

/// Why a new cloud could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The database can't be read or written.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A password can't be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A user is to have a role that does not exist.
    #[error("user '{user}' is to have the role '{role}'; there are: {}", ROLES.join(", "))]
    NoSuchRole {
        /// The user.
        user: String,
        /// The role.
        role: String,
    },
    /// A user is to have a role in a project that does not exist.
    #[error("user '{user}' is to have a role in the project '{project}', which is not there")]
    NoSuchProject {
        /// The user.
        user: String,
        /// The project.
        project: String,
    },
}

/// A project to make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedProject {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
}

/// A user to make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Secret,
    /// Its role in each of these projects.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
}

/// What a deployment decides.
#[derive(Clone, Debug, Default)]
pub struct SeedConfig {
    /// The password of the user `admin`. Without one the user is not made, and an existing one keeps its own.
    pub admin_password: Option<Secret>,
    /// The password of the user `demo`, a member of the project `demo`. Likewise.
    pub demo_password: Option<Secret>,
    /// Further projects. The administrator has a role in each.
    pub projects: Vec<SeedProject>,
    /// Further users.
    pub users: Vec<SeedUser>,
}

/// What became of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeededUser {
    /// It was made.
    Created,
    /// It was there, with another password, and has the given one now.
    PasswordSet,
    /// It was there, and has the given password already or none was given.
    Unchanged,
    /// It is not there, and no password was given to make it with.
    Missing,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeded {
    /// The user `admin`.
    pub admin: SeededUser,
    /// The user `demo`.
    pub demo: SeededUser,
}

/// Brings the database to what a new cloud has of these, in one transaction. Several processes may do so at once.
///
/// # Errors
/// The database can't be written, or a password can't be hashed.
pub async fn run(database: &Database, config: &SeedConfig) -> Result<Seeded, SeedError> {
    loop {
        match seed(database, config).await {
            // Another process has put in the same row since this one looked: it is there now, and the next may be so too.
            Err(SeedError::Database(error)) if error.is_unique_violation() => {}
            result => return result,
        }
    }
}

async fn seed(database: &Database, config: &SeedConfig) -> Result<Seeded, SeedError> {
    // Hashing takes a while: not with the database's write lock in hand.
    let admin = Prepared::new(database, "admin", config.admin_password.as_ref()).await?;
    let demo = Prepared::new(database, "demo", config.demo_password.as_ref()).await?;
    let mut users = Vec::new();
    for user in &config.users {
        if let Some(role) = user.roles.values().find(|role| !ROLES.contains(&role.as_str())) {
            return Err(SeedError::NoSuchRole { user: user.name.clone(), role: role.clone() });
        }
        users.push((Prepared::new(database, &user.name, Some(&user.password)).await?, user));
    }

    let mut transaction = database.begin().await?;
    let admin_project = ensure_project(&mut transaction, "admin", "The administrators' project").await?;
    let demo_project = ensure_project(&mut transaction, "demo", "A project to try things in").await?;
    let mut administered = vec![(admin_project, "admin"), (demo_project.clone(), "admin")];
    for project in &config.projects {
        let project = ensure_project(&mut transaction, &project.name, &project.description).await?;
        administered.push((project, "admin"));
    }
    for (prepared, user) in users {
        let mut roles = Vec::new();
        for (project, role) in &user.roles {
            let found = db::project(&mut transaction, &Reference::Name(project.clone())).await?;
            let missing = || SeedError::NoSuchProject { user: user.name.clone(), project: project.clone() };
            roles.push((found.ok_or_else(missing)?, role.as_str()));
        }
        prepared.apply(&mut transaction, &roles).await?;
    }
    let seeded = Seeded {
        admin: admin.apply(&mut transaction, &administered).await?,
        demo: demo.apply(&mut transaction, &[(demo_project, "member")]).await?,
    };
    transaction.commit().await?;
    Ok(seeded)
}

/// A user as it is to be, worked out before the transaction.
struct Prepared {
    name: String,
    /// The hash to write, unless nothing is to be written.
    hash: Option<String>,
}

impl Prepared {
    async fn new(database: &Database, name: &str, password: Option<&Secret>) -> Result<Self, SeedError> {
        let Some(password) = password.cloned() else { return Ok(Self { name: name.into(), hash: None }) };
        let mut connection = database.read().await?;
        let present = db::user(&mut connection, &Reference::Name(name.into())).await?;
        drop(connection);
        let hash = tokio::task::spawn_blocking(move || match present {
            // The same password as before: its hash stays, and with it the user's tokens.
            Some((_, hash)) if db::verify_password(&password, &hash)? => Ok(None),
            _ => db::hash_password(&password).map(Some),
        })
        .await
        .map_err(|error| PasswordError(error.to_string()))??;
        Ok(Self { name: name.into(), hash })
    }

    async fn apply(self, connection: &mut Connection, roles: &[(Project, &str)]) -> Result<SeededUser, DbError> {
        let present = db::user(connection, &Reference::Name(self.name.clone())).await?;
        let (user_id, outcome) = match (present, self.hash) {
            (Some((user, _)), Some(hash)) => {
                db::set_password(connection, &user.id, &hash).await?;
                (user.id, SeededUser::PasswordSet)
            }
            (Some((user, _)), None) => (user.id, SeededUser::Unchanged),
            (None, None) => return Ok(SeededUser::Missing),
            (None, Some(hash)) => {
                let user = User { id: db::new_id(), name: self.name, enabled: true };
                db::insert_user(connection, &user, &hash).await?;
                (user.id, SeededUser::Created)
            }
        };
        for (project, role) in roles {
            db::assign_role(connection, &user_id, &project.id, role).await?;
        }
        Ok(outcome)
    }
}

async fn ensure_project(connection: &mut Connection, name: &str, description: &str) -> Result<Project, DbError> {
    if let Some(project) = db::project(connection, &Reference::Name(name.into())).await? {
        return Ok(project);
    }
    let project = Project { id: db::new_id(), name: name.into(), description: description.into(), enabled: true };
    db::insert_project(connection, &project).await?;
    Ok(project)
}
