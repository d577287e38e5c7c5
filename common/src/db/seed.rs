//! What a new cloud has in it: two projects, an administrator, flavors, images. Running it again changes nothing that
//! is there, except a password that is given.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Connection, Database, DbError, flavors,
    identity::{self, Project, Reference, User},
    images,
};
use crate::{
    config::Secret,
    models::{Flavor, Image},
};

/// What a deployment decides.
#[derive(Clone, Debug, Default)]
pub struct SeedConfig {
    /// The password of the user `admin`. Without one the user is not made, and an existing one keeps its own.
    pub admin_password: Option<Secret>,
    /// The password of the user `demo`, a member of the project `demo`. Likewise.
    pub demo_password: Option<Secret>,
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

/// Brings the database to what a new cloud has in it, in one transaction. Several processes may do so at once.
///
/// # Errors
/// The database can't be written.
pub async fn run(database: &Database, config: &SeedConfig) -> Result<Seeded, DbError> {
    match seed(database, config).await {
        // Another process has put in the same rows since this one looked: they are there now.
        Err(error) if error.is_unique_violation() => seed(database, config).await,
        result => result,
    }
}

async fn seed(database: &Database, config: &SeedConfig) -> Result<Seeded, DbError> {
    // Hashing takes a while: not with the database's write lock in hand.
    let admin = Prepared::new(database, "admin", config.admin_password.as_ref()).await?;
    let demo = Prepared::new(database, "demo", config.demo_password.as_ref()).await?;

    let mut transaction = database.begin().await?;
    let admin_project = ensure_project(&mut transaction, "admin", "The administrators' project").await?;
    let demo_project = ensure_project(&mut transaction, "demo", "A project to try things in").await?;
    let seeded = Seeded {
        admin: admin.apply(&mut transaction, &[&admin_project, &demo_project], "admin").await?,
        demo: demo.apply(&mut transaction, &[&demo_project], "member").await?,
    };
    ensure_flavors(&mut transaction).await?;
    ensure_images(&mut transaction).await?;
    transaction.commit().await?;
    Ok(seeded)
}

/// A user as it is to be, worked out before the transaction.
struct Prepared {
    name: &'static str,
    /// The hash to write, unless nothing is to be written.
    hash: Option<String>,
}

impl Prepared {
    async fn new(database: &Database, name: &'static str, password: Option<&Secret>) -> Result<Self, DbError> {
        let Some(password) = password.cloned() else { return Ok(Self { name, hash: None }) };
        let mut connection = database.read().await?;
        let present = identity::user(&mut connection, &Reference::Name(name.into())).await?;
        drop(connection);
        let hash = tokio::task::spawn_blocking(move || match present {
            // The same password as before: its hash stays, and with it the user's tokens.
            Some((_, hash)) if identity::verify_password(&password, &hash)? => Ok(None),
            _ => identity::hash_password(&password).map(Some),
        })
        .await
        .map_err(|error| DbError::Password(error.to_string()))??;
        Ok(Self { name, hash })
    }

    async fn apply(
        self,
        connection: &mut Connection,
        projects: &[&Project],
        role: &str,
    ) -> Result<SeededUser, DbError> {
        let present = identity::user(connection, &Reference::Name(self.name.into())).await?;
        let (user_id, outcome) = match (present, self.hash) {
            (Some((user, _)), Some(hash)) => {
                identity::set_password(connection, &user.id, &hash).await?;
                (user.id, SeededUser::PasswordSet)
            }
            (Some((user, _)), None) => (user.id, SeededUser::Unchanged),
            (None, None) => return Ok(SeededUser::Missing),
            (None, Some(hash)) => {
                let user = User { id: identity::new_id(), name: self.name.into(), enabled: true };
                identity::insert_user(connection, &user, &hash).await?;
                (user.id, SeededUser::Created)
            }
        };
        for project in projects {
            identity::assign_role(connection, &user_id, &project.id, role).await?;
        }
        Ok(outcome)
    }
}

async fn ensure_project(connection: &mut Connection, name: &str, description: &str) -> Result<Project, DbError> {
    if let Some(project) = identity::project(connection, &Reference::Name(name.into())).await? {
        return Ok(project);
    }
    let project = Project { id: identity::new_id(), name: name.into(), description: description.into(), enabled: true };
    identity::insert_project(connection, &project).await?;
    Ok(project)
}

/// The flavors that tutorials and tests expect, with the ids and sizes that they expect.
async fn ensure_flavors(connection: &mut Connection) -> Result<(), DbError> {
    for (id, name, vcpus, memory_mb, disk_gb) in [
        ("1", "m1.tiny", 1, 512, 1),
        ("2", "m1.small", 1, 2048, 20),
        ("3", "m1.medium", 2, 4096, 40),
        ("4", "m1.large", 4, 8192, 80),
        ("5", "m1.xlarge", 8, 16384, 160),
        ("42", "m1.nano", 1, 128, 1),
        ("84", "m1.micro", 1, 192, 1),
    ] {
        if flavors::get(connection, id).await?.is_none() && !name_taken(connection, name).await? {
            let flavor = Flavor {
                id: id.into(),
                name: name.into(),
                vcpus,
                memory_mb,
                disk_gb,
                ephemeral_gb: 0,
                swap_mb: 0,
                is_public: true,
                description: None,
                extra_specs: BTreeMap::new(),
            };
            flavors::insert(connection, &flavor).await?;
        }
    }
    Ok(())
}

async fn name_taken(connection: &mut Connection, name: &str) -> Result<bool, DbError> {
    Ok(flavors::named(connection, name).await?.is_some())
}

/// The images have fixed ids, so that two clouds made alike are alike and a script can name them.
async fn ensure_images(connection: &mut Connection) -> Result<(), DbError> {
    for (id, name, size) in [
        ("c1227000-0000-4000-8000-000000000001", "cirros", 21_692_416),
        ("c1227000-0000-4000-8000-000000000002", "cirros-alt", 21_692_416),
        ("deb1a000-0000-4000-8000-000000000012", "debian-12", 441_450_496),
    ] {
        if images::get(connection, id).await?.is_some() {
            continue;
        }
        let now = Timestamp::now();
        let image = Image {
            id: id.into(),
            name: name.into(),
            status: "active".into(),
            visibility: "public".into(),
            owner: None,
            size: Some(size),
            min_disk_gb: 0,
            min_ram_mb: 0,
            disk_format: Some("qcow2".into()),
            container_format: Some("bare".into()),
            properties: BTreeMap::new(),
            created_at: now,
            updated_at: now,
        };
        images::insert(connection, &image).await?;
    }
    Ok(())
}
