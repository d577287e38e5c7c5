//! `os-migrateLive`: a running server moves to another host.
//!
//! Written down here (task state, migration, action, in one transaction) and handed to a conductor, which finds a
//! destination and drives the rest. What versions change in it beside its fields:
//!
//! | until | |
//! | --- | --- |
//! | 2.29 | a host that is named is not held against the scheduler's filters, as later with `force` |
//! | 2.33 | the answer waits for the checks: 400 with their text if the migration can go nowhere. Later 202, and the migration says how it went |

use std::time::Duration;

use http::StatusCode;
use novella_common::{
    db::{
        Connection, DbError,
        migrations::{self, NewMigration, transitions},
        services,
    },
    ids::MigrationUuid,
    lifecycle::{Action, NotAllowed},
    models::{Binary, Instance, MigrationKind, MigrationStatus},
};
use novella_rest::{ApiError, Microversion, Nullable, Path, body, inputs::Flag, wrong};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::{
    hosts,
    operation::{self, not_allowed, uninterrupted},
};
use crate::{Request, policy, state::Api};

body! {
    /// `os-migrateLive`, at whatever version.
    pub(super) struct MigrateLive in "os-migrateLive" {
        host: Nullable<String> = "host".nullable(),
        block_migration: BlockMigration = "block_migration",
        /// Required until 2.24; says how free disk space is counted, which no host here does in two ways.
        disk_over_commit: Option<Flag> = "disk_over_commit".until(24),
        force: Option<Flag> = "force".since(30).until(67),
    }
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum BlockMigration {
    Flag(Flag),
    Auto(Auto),
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
enum Auto {
    #[serde(rename = "auto")]
    Auto,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    host: Option<String>,
    /// Without asking the scheduler. What the hosts themselves check is checked all the same.
    forced: bool,
    /// Whether disks are copied; `None`: the hosts decide.
    block_migration: Option<bool>,
}

fn read(asked: MigrateLive, version: Microversion) -> Result<Wanted, ApiError> {
    let host = asked.host.change().ok_or_else(|| required("host"))?;
    if version.before(25) && asked.disk_over_commit.is_none() {
        return Err(required("disk_over_commit"));
    }
    if host.as_deref() == Some("") {
        return Err(wrong("os-migrateLive.host", &Value::from(""), "It must be a host's name, or null for any."));
    }
    let block_migration = match asked.block_migration {
        BlockMigration::Flag(flag) => Some(flag.0),
        BlockMigration::Auto(Auto::Auto) if version.at_least(25) => None,
        BlockMigration::Auto(_) => {
            return Err(wrong("os-migrateLive.block_migration", &json!("auto"), "It must be true or false."));
        }
    };
    let force = asked.force.is_some_and(|flag| flag.0);
    if force && host.is_none() {
        return Err(ApiError::bad_request("Can't force to a non-provided destination"));
    }
    let forced = force || (version.before(30) && host.is_some());
    Ok(Wanted { host, forced, block_migration })
}

fn required(name: &str) -> ApiError {
    ApiError::bad_request(format!("Invalid input for field/attribute os-migrateLive. '{name}' is a required property"))
}

/// How long an answer waits for the checks at most, so that no request takes longer than clients wait; a migration that
/// waits for a free slot on its source is checked when it has one.
const CHECKS_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the migration's row is looked at meanwhile: the checks are two calls between hosts.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// `os-migrateLive`.
pub(super) async fn migrate_live(
    request: Request,
    Path(id): Path<String>,
    asked: MigrateLive,
) -> Result<StatusCode, ApiError> {
    let wanted = read(asked, request.version)?;
    let waits = request.version.before(34);
    if wanted.host.is_some() {
        policy::MIGRATE_LIVE_HOST.check_own(&request.context)?;
    }
    let instance = super::super::find(&request, &id).await?;
    let (api, context) = (request.state, request.context);
    let source = instance.host.clone();
    let no_host = || not_allowed(Action::LiveMigrate.transition(), instance.uuid, NotAllowed::NoHost);
    let source = source.ok_or_else(no_host)?;
    check_hosts(&api, &mut *api.database.read().await?, &instance, &source, wanted.host.as_deref()).await?;

    let migration = MigrationUuid::random();
    let parts = (api.clone(), context, instance, source, wanted);
    uninterrupted(parts, move |(api, context, instance, source, wanted)| async move {
        let uuid = instance.uuid;
        let mut beginning = operation::begin(&api, &context, instance, Action::LiveMigrate).await?;
        let new = NewMigration {
            uuid: migration,
            instance: uuid,
            task_id: beginning.task_id,
            kind: MigrationKind::LiveMigration,
            source,
            requested_destination: wanted.host,
            forced: wanted.forced,
            block_migration: wanted.block_migration,
            request_id: context.request_id.clone(),
            user_id: context.user_id.clone(),
            project_id: context.project_id.clone(),
        };
        migrations::insert(&mut beginning.transaction, &new).await?;
        beginning.commit().await?;
        tracing::debug!(instance = %uuid, %migration, "migration accepted");
        operation::hand_over(uuid, api.conductor.live_migrate_instance(&context, migration)).await;
        Ok(())
    })
    .await?;
    if waits {
        // The checks are a conductor's, whichever owns the migration now or takes it over: the row is what all write to.
        match tokio::time::timeout(CHECKS_TIMEOUT, checked(&api, migration)).await {
            Ok(Err(refused)) => return Err(refused),
            Ok(Ok(())) => {}
            Err(_) => tracing::info!(%migration, "accepted before it was checked: the checks take long"),
        }
    }
    Ok(StatusCode::ACCEPTED)
}

/// Waits until the hosts have been checked.
///
/// # Errors
/// 400 with the text of the check that says no.
async fn checked(api: &Api, migration: MigrationUuid) -> Result<(), ApiError> {
    loop {
        if let Some(outcome) = outcome_of_checks(api, migration).await? {
            return outcome.map_err(ApiError::BadRequest);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// What has come of the checks; `None`: they go on.
async fn outcome_of_checks(api: &Api, migration: MigrationUuid) -> Result<Option<Result<(), String>>, DbError> {
    let mut connection = api.database.read().await?;
    let Some(row) = migrations::get(&mut connection, migration).await? else { return Ok(Some(Ok(()))) };
    if matches!(row.status, MigrationStatus::Accepted | MigrationStatus::Queued) {
        return Ok(None);
    }
    // Written when the checks are over and the destination is to be made ready.
    if transitions::migrate_data(&mut connection, migration).await?.is_some() {
        return Ok(Some(Ok(())));
    }
    Ok(match (row.status, row.error) {
        (MigrationStatus::Preparing, _) => None,
        (MigrationStatus::Error, error) => Some(Err(error.unwrap_or_else(|| "Migration pre-check error.".into()))),
        _ => Some(Ok(())),
    })
}

/// What can be seen at once to lead nowhere.
async fn check_hosts(
    api: &Api,
    connection: &mut Connection,
    instance: &Instance,
    source: &str,
    destination: Option<&str>,
) -> Result<(), ApiError> {
    let unavailable =
        |host: &str| ApiError::bad_request(format!("Compute service of {host} is unavailable at this time."));
    if !hosts::is_up(api, connection, source).await? {
        return Err(unavailable(source));
    }
    let Some(destination) = destination else { return Ok(()) };
    if destination == source {
        let uuid = instance.uuid;
        return Err(ApiError::bad_request(format!("Unable to migrate instance ({uuid}) to current host ({source}).")));
    }
    if services::find(connection, Binary::Compute, destination).await?.is_none() {
        return Err(ApiError::bad_request(format!("Compute host {destination} could not be found.")));
    }
    if !hosts::is_up(api, connection, destination).await? {
        return Err(unavailable(destination));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use novella_rest::Body;

    use super::*;

    fn at(minor: u16, argument: &Value) -> Result<Wanted, String> {
        let version = Microversion::new(2, minor);
        let asked = MigrateLive::from_json(&json!({"os-migrateLive": argument}), version);
        asked.and_then(|asked| read(asked, version)).map_err(|error| error.to_string())
    }

    #[test]
    fn each_version_has_its_form() {
        let old = json!({"host": null, "block_migration": false, "disk_over_commit": "False"});
        let new = json!({"host": "h", "block_migration": "auto"});
        let forced = json!({"host": "h", "block_migration": "auto", "force": false});
        assert_eq!(at(1, &old), Ok(Wanted { host: None, forced: false, block_migration: Some(false) }));
        assert_eq!(at(25, &new), Ok(Wanted { host: Some("h".into()), forced: true, block_migration: None }));
        assert!(at(24, &new).is_err() && at(25, &old).is_err());
        // Until 2.29 a host that is named is not asked of the scheduler.
        let named = json!({"host": "h", "block_migration": false, "disk_over_commit": false});
        assert_eq!(at(1, &named).map(|wanted| wanted.forced), Ok(true));
        assert_eq!((at(29, &new).unwrap().forced, at(30, &new).unwrap().forced), (true, false));
        assert!(at(30, &forced).is_ok() && at(67, &forced).is_ok());
        assert!(at(29, &forced).is_err() && at(68, &forced).is_err());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (minor, argument, text) in [
            (25, json!({"host": null}), "'block_migration' is a required property"),
            (25, json!({"block_migration": "auto"}), "'host' is a required property"),
            (1, json!({"host": null, "block_migration": true}), "'disk_over_commit' is a required property"),
            (1, json!({"host": null, "block_migration": "auto", "disk_over_commit": true}), "block_migration"),
            (25, json!({"host": 1, "block_migration": true}), "os-migrateLive.host"),
            (25, json!({"host": "", "block_migration": true}), "null for any"),
            (25, json!(null), "is not of type 'object'"),
            (30, json!({"host": null, "block_migration": true, "force": true}), "non-provided destination"),
        ] {
            let refused = at(minor, &argument).unwrap_err();
            assert!(refused.contains(text), "{refused}");
        }
    }
}
