//! `migrate`, `confirmResize`, `revertResize`: a server goes to another host while it is powered off, and stays there or
//! comes back.

use http::StatusCode;
use novella_common::{
    db::{
        migrations::{self, NewMigration, transitions},
        services,
    },
    ids::MigrationUuid,
    lifecycle::{Action, NotAllowed},
    models::{Binary, Instance, Migration, MigrationKind, MigrationStatus},
};
use novella_rest::{ApiError, Body, FieldTable, Microversion, Nullable, Path, body, only_value, wrong};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};

use super::super::{
    hosts,
    operation::{self, not_allowed, uninterrupted},
};
use crate::{Request, policy, state::Api};

body! {
    /// `migrate` that is no null.
    struct Destination in "migrate" {
        host: Nullable<String> = "host".nullable().since(56),
    }
}

/// `migrate`: null or a destination from 2.56 on; before, whatever stands there is ignored.
pub(super) struct Migrate {
    host: Option<String>,
}

impl Body for Migrate {
    const KEY: Option<&'static str> = Destination::KEY;
    const FIELDS: FieldTable = Destination::FIELDS;

    fn from_fields(object: &Map<String, Value>) -> Result<Self, ApiError> {
        let host = Destination::from_fields(object)?.host.change().flatten();
        if host.as_deref() == Some("") {
            return Err(wrong("migrate.host", &Value::from(""), "It must be a host's name, or null for any."));
        }
        Ok(Self { host })
    }

    fn schema() -> RefOr<Schema> {
        Destination::schema()
    }

    fn from_json(body: &Value, version: Microversion) -> Result<Self, ApiError> {
        if version.before(56) || only_value(body, "migrate")?.is_null() {
            return Ok(Self { host: None });
        }
        let fields = novella_rest::object("migrate", only_value(body, "migrate")?)?;
        Self::FIELDS.check("migrate", fields, version)?;
        Self::from_fields(fields)
    }
}

/// `migrate`.
pub(super) async fn migrate(request: Request, Path(id): Path<String>, asked: Migrate) -> Result<StatusCode, ApiError> {
    let requested = asked.host;
    if requested.is_some() {
        policy::MIGRATE_HOST.check_own(&request.context)?;
    }
    let instance = super::super::find(&request, &id).await?;
    let (api, context) = (request.state, request.context);
    operation::check(Action::Migrate, &instance)?;
    let no_host = || not_allowed(Action::Migrate.transition(), instance.uuid, NotAllowed::NoHost);
    let source = instance.host.clone().ok_or_else(no_host)?;
    check_hosts(&api, &source, requested.as_deref()).await?;

    let parts = (api, context, instance, source, requested);
    uninterrupted(parts, |(api, context, instance, source, requested)| async move {
        let uuid = instance.uuid;
        let mut beginning = operation::begin(&api, &context, instance, Action::Migrate).await?;
        let new = NewMigration {
            uuid: MigrationUuid::random(),
            instance: uuid,
            task_id: beginning.task_id,
            kind: MigrationKind::Migration,
            source,
            requested_destination: requested,
            forced: false,
            block_migration: None,
            request_id: context.request_id.clone(),
            user_id: context.user_id.clone(),
            project_id: context.project_id.clone(),
        };
        migrations::insert(&mut beginning.transaction, &new).await?;
        beginning.commit().await?;
        operation::hand_over(uuid, api.conductor.migrate_server(&context, new.uuid)).await;
        Ok(())
    })
    .await?;
    Ok(StatusCode::ACCEPTED)
}

/// What can be seen at once to lead nowhere. The texts are Nova's.
async fn check_hosts(api: &Api, source: &str, requested: Option<&str>) -> Result<(), ApiError> {
    let mut connection = api.database.read().await?;
    if !hosts::is_up(api, &mut connection, source).await? {
        return Err(unavailable());
    }
    let Some(requested) = requested else { return Ok(()) };
    if requested == source {
        return Err(ApiError::bad_request("Cannot migrate to the host where the server exists."));
    }
    if services::find(&mut connection, Binary::Compute, requested).await?.is_none() {
        return Err(ApiError::bad_request(format!("Compute host {requested} could not be found.")));
    }
    Ok(())
}

/// `confirmResize`.
pub(super) async fn confirm(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    end(request, &id, Action::ConfirmResize, MigrationStatus::Confirming).await?;
    // As Nova, for clients from the time when it was done at once.
    Ok(StatusCode::NO_CONTENT)
}

/// `revertResize`.
pub(super) async fn revert(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    end(request, &id, Action::RevertResize, MigrationStatus::Reverting).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn end(request: Request, id: &str, action: Action, to: MigrationStatus) -> Result<(), ApiError> {
    let instance = super::super::find(&request, id).await?;
    let (api, context) = (request.state, request.context);
    operation::check(action, &instance)?;
    let migration = finished(&api, &instance).await?;
    if action == Action::ConfirmResize
        && !hosts::is_up(&api, &mut *api.database.read().await?, &migration.source).await?
    {
        return Err(unavailable());
    }
    uninterrupted((api, context, instance, migration), move |(api, context, instance, migration)| async move {
        let mut beginning = operation::begin(&api, &context, instance, action).await?;
        let (uuid, task_id) = (migration.uuid, beginning.task_id);
        if !transitions::end_finished(&mut beginning.transaction, uuid, to, task_id, &context.request_id).await? {
            let id = migration.id;
            return Err(ApiError::Conflict(format!("Migration {id} was confirmed or reverted at the same time.")));
        }
        beginning.commit().await?;
        let instance = migration.instance;
        match action {
            Action::ConfirmResize => {
                operation::hand_over(instance, api.conductor.confirm_resize(&context, uuid)).await;
            }
            _ => operation::hand_over(instance, api.conductor.revert_resize(&context, uuid)).await,
        }
        Ok(())
    })
    .await
}

fn unavailable() -> ApiError {
    ApiError::Conflict("Service is unavailable at this time.".into())
}

/// The migration that waits to be confirmed.
async fn finished(api: &Api, instance: &Instance) -> Result<Migration, ApiError> {
    let found = migrations::finished_of(&mut *api.database.read().await?, instance.uuid).await?;
    found.ok_or_else(|| ApiError::bad_request("Instance has not been resized."))
}
