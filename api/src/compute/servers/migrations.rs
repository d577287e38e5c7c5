//! `/servers/{id}/migrations`: the migrations of one server that are under way, and what can be done to them.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use novella_common::{
    RequestContext,
    db::{
        DbError, actions,
        migrations::{self, MigrationFilter},
    },
    lifecycle::TaskState,
    models::{Instance, Migration, MigrationStatus},
    policy,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        microversion::{FieldTable, Microversion, Served, ServedExt, Shaped, field},
        strict_query::WithoutQueryExt,
    },
    operation::{action_row, uninterrupted},
};
use crate::{
    authentication::Caller,
    body::{JsonBody, wrong},
    error::ApiError,
    state::Api,
    times::Micros,
};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(index).without_query().served(Served::since(23)))
        .routes(routes!(show).without_query().served(Served::since(23)))
        .routes(routes!(abort).served(Served::since(24)))
        .routes(routes!(act).served(Served::since(22)))
}

const FIELDS: FieldTable =
    FieldTable(&[field("uuid").since(59), field("user_id").since(80), field("project_id").since(80)]);

/// A migration of a server.
#[derive(Serialize, ToSchema)]
struct MigrationView<'m> {
    id: i64,
    uuid: Uuid,
    server_uuid: Uuid,
    status: &'static str,
    source_compute: Option<&'m str>,
    source_node: Option<&'m str>,
    dest_compute: Option<&'m str>,
    dest_node: Option<&'m str>,
    dest_host: Option<&'m str>,
    memory_total_bytes: Option<i64>,
    memory_processed_bytes: Option<i64>,
    memory_remaining_bytes: Option<i64>,
    disk_total_bytes: Option<i64>,
    disk_processed_bytes: Option<i64>,
    disk_remaining_bytes: Option<i64>,
    #[schema(value_type = String)]
    created_at: Micros,
    #[schema(value_type = String)]
    updated_at: Micros,
    user_id: Option<&'m str>,
    project_id: Option<&'m str>,
}

impl<'m> MigrationView<'m> {
    fn new(migration: &'m Migration, with_hosts: bool) -> Self {
        // The API's schema has no zero: there is an amount, or nothing is known of one.
        let amount = |bytes: i64| (bytes > 0).then_some(bytes);
        let source = with_hosts.then_some(migration.source.as_str());
        let destination = migration.destination.as_deref().filter(|_| with_hosts);
        let progress = &migration.progress;
        Self {
            id: migration.id,
            uuid: migration.uuid.0,
            server_uuid: migration.instance.0,
            status: migration.status.as_str(),
            source_compute: source,
            source_node: source,
            dest_compute: destination,
            dest_node: destination,
            // An address, which only resizes have in Nova.
            dest_host: None,
            memory_total_bytes: amount(progress.memory_total),
            memory_processed_bytes: amount(progress.memory_processed),
            memory_remaining_bytes: amount(progress.memory_remaining),
            disk_total_bytes: amount(progress.disk_total),
            disk_processed_bytes: amount(progress.disk_processed),
            disk_remaining_bytes: amount(progress.disk_remaining),
            created_at: Micros(migration.created_at),
            updated_at: Micros(migration.updated_at),
            user_id: migration.user_id.as_deref(),
            project_id: migration.project_id.as_deref(),
        }
    }
}

/// `{"migrations": [...]}`.
#[derive(Serialize, ToSchema)]
struct MigrationsBody<'m> {
    #[schema(value_type = Vec<MigrationView>)]
    migrations: Vec<Shaped<'m, MigrationView<'m>>>,
}

/// `{"migration": ...}`.
#[derive(Serialize, ToSchema)]
struct MigrationBody<'m> {
    #[schema(value_type = MigrationView)]
    migration: Shaped<'m, MigrationView<'m>>,
}

/// Lists the migrations of a server that are under way.
#[utoipa::path(
    get,
    path = "/servers/{server_id}/migrations",
    tag = "server migrations",
    params(("server_id" = String, Path)),
    responses((status = 200, body = MigrationsBody)),
)]
async fn index(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let instance = super::find(&api, &caller, &id, policy::SERVER_MIGRATIONS_INDEX).await?;
    let with_hosts = policy::SERVER_MIGRATIONS_INDEX_HOST.allows(&caller.context, Some(&instance.project_id));
    let filter = MigrationFilter { instance: Some(instance.uuid), under_way: true, ..Default::default() };
    let found = migrations::list(&mut *api.database.read().await?, &filter).await?;
    let hidden = FIELDS.hidden(version);
    let view = |migration| Shaped { whole: MigrationView::new(migration, with_hosts), hidden: &hidden };
    Ok(Json(MigrationsBody { migrations: found.iter().map(view).collect() }).into_response())
}

/// Shows a migration of a server that is under way.
#[utoipa::path(
    get,
    path = "/servers/{server_id}/migrations/{migration_id}",
    tag = "server migrations",
    params(("server_id" = String, Path), ("migration_id" = i64, Path)),
    responses((status = 200, body = MigrationBody)),
)]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    Path((server_id, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let instance = super::find(&api, &caller, &server_id, policy::SERVER_MIGRATIONS_SHOW).await?;
    let found = find(&api, &instance, &id).await?;
    let found = found.ok_or_else(|| {
        ApiError::not_found(format!("In-progress live migration {id} is not found for server {server_id}."))
    })?;
    if found.status.is_final() {
        return Err(ApiError::not_found(format!("Live migration {id} for server {server_id} is not in progress.")));
    }
    let hidden = FIELDS.hidden(version);
    let migration = Shaped { whole: MigrationView::new(&found, true), hidden: &hidden };
    Ok(Json(MigrationBody { migration }).into_response())
}

async fn find(api: &Api, instance: &Instance, id: &str) -> Result<Option<Migration>, ApiError> {
    let Ok(id) = id.parse() else { return Ok(None) };
    Ok(migrations::get_of_instance(&mut *api.database.read().await?, instance.uuid, id).await?)
}

/// 409 unless the server is being migrated.
fn check_migrating(instance: &Instance, verb: &str) -> Result<(), ApiError> {
    if instance.task_state == Some(TaskState::Migrating) {
        return Ok(());
    }
    let state = match instance.task_state {
        Some(task) => format!("task_state {task}"),
        None => format!("vm_state {} with no task under way", instance.vm_state),
    };
    Err(ApiError::Conflict(format!("Cannot '{verb}' instance {} while it is in {state}", instance.uuid)))
}

fn wrong_status(migration: &Migration, what: &str) -> ApiError {
    ApiError::bad_request(format!(
        "Migration {} state of instance {} is {}. Cannot {what} while the migration is in this state.",
        migration.id,
        migration.instance,
        migration.status.as_str()
    ))
}

/// Aborts a live migration: the server stays where it is.
#[utoipa::path(
    delete,
    path = "/servers/{server_id}/migrations/{migration_id}",
    tag = "server migrations",
    params(("server_id" = String, Path), ("migration_id" = i64, Path)),
    responses((status = 202)),
)]
async fn abort(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    Path((server_id, id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let instance = super::find(&api, &caller, &server_id, policy::SERVER_MIGRATIONS_DELETE).await?;
    check_migrating(&instance, "abort live migration")?;
    let migration = find(&api, &instance, &id).await?;
    let migration = migration
        .ok_or_else(|| ApiError::not_found(format!("Migration {id} could not be found for instance {server_id}.")))?;
    let waiting =
        matches!(migration.status, MigrationStatus::Accepted | MigrationStatus::Queued | MigrationStatus::Preparing);
    let abortable = migration.status == MigrationStatus::Running || (waiting && version >= Microversion::v2(65));
    if !abortable {
        return Err(wrong_status(&migration, "abort live migration"));
    }
    let context = caller.context;
    uninterrupted(async move { abort_now(&api, &context, &migration).await }).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn abort_now(api: &Api, context: &RequestContext, migration: &Migration) -> Result<(), ApiError> {
    let mut transaction = api.database.begin().await?;
    if !migrations::request_abort(&mut transaction, migration.uuid).await? {
        return Err(ApiError::Conflict(format!("Migration {} can no longer be aborted.", migration.id)));
    }
    let action = action_row(context, migration.instance, "live_migration_cancel");
    actions::start(&mut transaction, &[action]).await?;
    transaction.commit().await.map_err(DbError::from)?;
    let Err(error) = api.conductor.abort_live_migration(context, migration.uuid).await else { return Ok(()) };

    let refused = ApiError::bus(&error);
    let mut transaction = api.database.begin().await?;
    migrations::withdraw_abort(&mut transaction, migration.uuid).await?;
    actions::forget(&mut transaction, migration.instance, &context.request_id).await?;
    transaction.commit().await.map_err(DbError::from)?;
    Err(refused)
}

/// Hurries a live migration: the guest is held still, so that the copy ends.
#[utoipa::path(
    post,
    path = "/servers/{server_id}/migrations/{migration_id}/action",
    tag = "server migrations",
    params(("server_id" = String, Path), ("migration_id" = i64, Path)),
    request_body(content = Object, description = "`{\"force_complete\": null}`."),
    responses((status = 202)),
)]
async fn act(
    State(api): State<Api>,
    caller: Caller,
    Path((server_id, id)): Path<(String, String)>,
    body: JsonBody,
) -> Result<StatusCode, ApiError> {
    let body = body.object()?;
    let (name, argument) = match body.iter().next() {
        Some(only) if body.len() == 1 => only,
        _ => return Err(ApiError::bad_request("Malformed request body: one action is expected, as the only key.")),
    };
    if name != "force_complete" {
        return Err(ApiError::bad_request(format!("There is no such action: {name}")));
    }
    if !argument.is_null() {
        return Err(wrong(name, argument, &format!("{argument} is not of type 'null'")));
    }
    let instance = super::find(&api, &caller, &server_id, policy::SERVER_MIGRATIONS_FORCE_COMPLETE).await?;
    check_migrating(&instance, "force_complete")?;
    let migration = find(&api, &instance, &id).await?;
    let migration = migration
        .ok_or_else(|| ApiError::bad_request(format!("Migration {id} could not be found for instance {server_id}.")))?;
    if migration.status != MigrationStatus::Running {
        return Err(wrong_status(&migration, "force_complete"));
    }
    let context = caller.context;
    uninterrupted(async move { force_complete_now(&api, &context, &migration).await }).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn force_complete_now(api: &Api, context: &RequestContext, migration: &Migration) -> Result<(), ApiError> {
    let action = action_row(context, migration.instance, "live_migration_force_complete");
    actions::start(&mut *api.database.write().await?, &[action]).await?;
    let source = api.compute.clone().server(migration.source.clone());
    let cast = source.live_migration_force_complete(context, migration.instance, migration.uuid).await;
    let Err(error) = cast else { return Ok(()) };

    let refused = ApiError::bus(&error);
    actions::forget(&mut *api.database.write().await?, migration.instance, &context.request_id).await?;
    Err(refused)
}
