//! What is in a new cloud: two projects, an administrator, a user, whoever else is asked for; and the catalog of what is
//! served. Running it again changes nothing that is there, except a password that is given. Roles and the first domain
//! come with the schema.

use std::collections::BTreeMap;

use novella_common::{
    config::Secret,
    db::{
        Connection, Database, DbError,
        table::{insert, lock},
    },
    sql,
};
use novella_rest::{CatalogEntry, policy::ROLES};
use serde::Deserialize;
use serde_json::Map;

use crate::{
    config::PasswordCost,
    db::{
        self, DEFAULT_DOMAIN_ID, PasswordError, Project, Reference, User,
        roles::{self, Actor, Grant, Scope},
    },
    resources::{Endpoint, Region, Service},
};

/// The region of the endpoints that are served here.
pub const REGION: &str = "RegionOne";

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
    /// What is served: the catalog names it, unless it names a service of the same type.
    pub catalog: Vec<CatalogEntry>,
    /// What hashing a password costs.
    pub password_cost: PasswordCost,
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
    let cost = config.password_cost;
    let (admin, demo) = tokio::try_join!(
        Prepared::new(database, "admin", config.admin_password.as_ref(), cost),
        Prepared::new(database, "demo", config.demo_password.as_ref(), cost),
    )?;
    let mut users = Vec::new();
    for user in &config.users {
        if let Some(role) = user.roles.values().find(|role| !ROLES.contains(&role.as_str())) {
            return Err(SeedError::NoSuchRole { user: user.name.clone(), role: role.clone() });
        }
        users.push((Prepared::new(database, &user.name, Some(&user.password), cost).await?, user));
    }

    let mut transaction = database.begin().await?;
    // Who comes at the same time waits here: what is looked for below is not put in by two.
    lock::<Project, _>(&mut transaction, DEFAULT_DOMAIN_ID).await?;
    seed_catalog(&mut transaction, &config.catalog).await?;
    let admin_project = ensure_project(&mut transaction, "admin", "The administrators' project").await?;
    let demo_project = ensure_project(&mut transaction, "demo", "A project to try things in").await?;
    let in_project = |project: &Project, role| (Scope::Project(project.id.clone()), role);
    let mut administered =
        vec![in_project(&admin_project, "admin"), in_project(&demo_project, "admin"), (Scope::System, "admin")];
    for project in &config.projects {
        let project = ensure_project(&mut transaction, &project.name, &project.description).await?;
        administered.push(in_project(&project, "admin"));
    }
    for (prepared, user) in users {
        let mut roles = Vec::new();
        for (project, role) in &user.roles {
            let found = db::project(&mut transaction, &Reference::Name(project.clone())).await?;
            let missing = || SeedError::NoSuchProject { user: user.name.clone(), project: project.clone() };
            roles.push(in_project(&found.ok_or_else(missing)?, role.as_str()));
        }
        prepared.apply(&mut transaction, &roles).await?;
    }
    let seeded = Seeded {
        admin: admin.apply(&mut transaction, &administered).await?,
        demo: demo.apply(&mut transaction, &[in_project(&demo_project, "member")]).await?,
    };
    db::touch(&mut transaction).await?;
    transaction.commit().await?;
    Ok(seeded)
}

/// Names what is served in the catalog.
async fn seed_catalog(connection: &mut Connection, entries: &[CatalogEntry]) -> Result<(), DbError> {
    if entries.is_empty() {
        return Ok(());
    }
    let region: Option<String> = sql!("SELECT id FROM regions WHERE id = "(REGION)).fetch_optional(connection).await?;
    if region.is_none() {
        let region =
            Region { id: REGION.to_owned(), description: String::new(), parent_region_id: None, extra: Map::new() };
        insert(connection, &region).await?;
    }
    for entry in entries {
        let present: i64 =
            sql!("SELECT COUNT(*) FROM catalog_services WHERE type = "(entry.kind)).fetch_one(connection).await?;
        if present > 0 {
            continue;
        }
        let service = Service {
            id: db::new_id(),
            kind: entry.kind.to_owned(),
            name: entry.name.to_owned(),
            enabled: true,
            extra: Map::new(),
        };
        insert(connection, &service).await?;
        for interface in ["public", "internal", "admin"] {
            let endpoint = Endpoint {
                id: db::new_id(),
                service_id: service.id.clone(),
                region_id: Some(REGION.to_owned()),
                interface: interface.to_owned(),
                url: entry.endpoint.to_owned(),
                enabled: true,
                extra: Map::new(),
            };
            insert(connection, &endpoint).await?;
        }
    }
    Ok(())
}

/// A user as it is to be, worked out before the transaction.
struct Prepared {
    name: String,
    /// The hash to write, unless nothing is to be written.
    hash: Option<String>,
}

impl Prepared {
    async fn new(
        database: &Database,
        name: &str,
        password: Option<&Secret>,
        cost: PasswordCost,
    ) -> Result<Self, SeedError> {
        let Some(password) = password.cloned() else { return Ok(Self { name: name.into(), hash: None }) };
        let mut connection = database.read().await?;
        let present = db::user(&mut connection, &Reference::Name(name.into())).await?;
        drop(connection);
        let present = present.and_then(|(_, hash)| hash);
        let hash = tokio::task::spawn_blocking(move || match present {
            // The same password as before: its hash stays, and with it the user's tokens.
            Some(hash) if db::verify_password(&password, &hash)? => Ok(None),
            _ => db::hash_password(&password, cost).map(Some),
        })
        .await
        .map_err(|error| PasswordError(error.to_string()))??;
        Ok(Self { name: name.into(), hash })
    }

    async fn apply(self, connection: &mut Connection, roles: &[(Scope, &str)]) -> Result<SeededUser, DbError> {
        let present = db::user(connection, &Reference::Name(self.name.clone())).await?;
        let (user_id, outcome) = match (present, self.hash) {
            (Some((user, _)), Some(hash)) => {
                db::set_password(connection, &user.id, &hash, None).await?;
                (user.id, SeededUser::PasswordSet)
            }
            (Some((user, _)), None) => (user.id, SeededUser::Unchanged),
            (None, None) => return Ok(SeededUser::Missing),
            (None, Some(hash)) => {
                let user = User { password_hash: Some(hash), ..User::new(&self.name, DEFAULT_DOMAIN_ID) };
                insert(connection, &user).await?;
                (user.id, SeededUser::Created)
            }
        };
        for (scope, role) in roles {
            let Some(role_id) = roles::by_name(connection, role).await? else { continue };
            let (actor, scope) = (Actor::User(user_id.clone()), scope.clone());
            Grant { actor, scope, role_id, inherited: false }.give(connection).await?;
        }
        Ok(outcome)
    }
}

async fn ensure_project(connection: &mut Connection, name: &str, description: &str) -> Result<Project, DbError> {
    if let Some(project) = db::project(connection, &Reference::Name(name.into())).await? {
        return Ok(project);
    }
    let project = Project { description: Some(description.into()), ..Project::new(name, DEFAULT_DOMAIN_ID) };
    insert(connection, &project).await?;
    Ok(project)
}
