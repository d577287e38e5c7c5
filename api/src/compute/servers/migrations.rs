//! `/servers/{id}/migrations`: the migrations of one server that are under way, and what can be done to them.

use axum::{http::StatusCode, response::Response};
use novella_common::{
    RequestContext,
    db::{Connection, DbError, actions, migrations},
    lifecycle::TaskState,
    models::{Instance, Migration, MigrationKind, MigrationStatus},
};
use novella_rest::{ApiError, FieldTable, Null, Operation, Path, delete, field, get, post, times::Micros};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::operation::{self, uninterrupted};
use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ALL: &str = "/servers/{server_id}/migrations";
    const ONE: &str = "/servers/{server_id}/migrations/{migration_id}";
    const ACTION: &str = "/servers/{server_id}/migrations/{migration_id}/action";
    vec![
        get(ALL, policy::SERVER_MIGRATIONS_INDEX, index).since(23).answers_list::<MigrationView>("migrations"),
        get(ONE, policy::SERVER_MIGRATIONS_SHOW, show).since(23).answers::<MigrationView>("migration"),
        delete(ONE, policy::SERVER_MIGRATIONS_DELETE, abort).since(24).status(202),
        post(ACTION, policy::SERVER_MIGRATIONS_FORCE_COMPLETE, force_complete)
            .action("force_complete")
            .since(22)
            .status(202),
    ]
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
    created_at: Micros,
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

/// Lists the migrations of a server that are under way.
async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &id).await?;
    let with_hosts = policy::SERVER_MIGRATIONS_INDEX_HOST.allows(&request.context, Some(&instance.project_id));
    let mut found = migrations::under_way(&mut *request.state.database.read().await?, Some(instance.uuid)).await?;
    found.retain(|migration| migration.kind == MigrationKind::LiveMigration);
    let views: Vec<_> = found.iter().map(|migration| MigrationView::new(migration, with_hosts)).collect();
    Ok(request.answer(&FIELDS).list("migrations", &views, None))
}

/// Shows a migration of a server that is under way.
async fn show(request: Request, Path((server_id, id)): Path<(String, String)>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &server_id).await?;
    let found = find(&request.state, &instance, &id).await?;
    let found = found.ok_or_else(|| {
        ApiError::not_found(format!("In-progress live migration {id} is not found for server {server_id}."))
    })?;
    if found.status.is_final() {
        return Err(ApiError::not_found(format!("Live migration {id} for server {server_id} is not in progress.")));
    }
    Ok(request.answer(&FIELDS).object("migration", MigrationView::new(&found, true)))
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
async fn abort(request: Request, Path((server_id, id)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let instance = super::find(&request, &server_id).await?;
    let (api, context, version) = (request.state, request.context, request.version);
    check_migrating(&instance, "abort live migration")?;
    let migration = find(&api, &instance, &id).await?;
    let migration = migration
        .ok_or_else(|| ApiError::not_found(format!("Migration {id} could not be found for instance {server_id}.")))?;
    let waiting =
        matches!(migration.status, MigrationStatus::Accepted | MigrationStatus::Queued | MigrationStatus::Preparing);
    let abortable = migration.status == MigrationStatus::Running || (waiting && version.at_least(65));
    if !abortable {
        return Err(wrong_status(&migration, "abort live migration"));
    }
    uninterrupted((api, context, migration), |(api, context, migration)| async move {
        abort_now(&api, &context, &migration).await
    })
    .await?;
    Ok(StatusCode::ACCEPTED)
}

async fn abort_now(api: &Api, context: &RequestContext, migration: &Migration) -> Result<(), ApiError> {
    let mut transaction = api.database.begin().await?;
    if !migrations::request_abort(&mut transaction, migration.uuid).await? {
        return Err(ApiError::Conflict(format!("Migration {} can no longer be aborted.", migration.id)));
    }
    let [event, _] = actions::MIGRATION_REQUESTS;
    begin_request(&mut transaction, context, migration, "live_migration_cancel", event).await?;
    transaction.commit().await?;
    operation::hand_over(migration.instance, api.conductor.abort_live_migration(context, migration.uuid)).await;
    Ok(())
}

/// Hurries a live migration: the guest is held still, so that the copy ends.
async fn force_complete(
    request: Request,
    Path((server_id, id)): Path<(String, String)>,
    _: Null,
) -> Result<StatusCode, ApiError> {
    let instance = super::find(&request, &server_id).await?;
    let (api, context) = (request.state, request.context);
    check_migrating(&instance, "force_complete")?;
    let migration = find(&api, &instance, &id).await?;
    let migration = migration
        .ok_or_else(|| ApiError::bad_request(format!("Migration {id} could not be found for instance {server_id}.")))?;
    if migration.status != MigrationStatus::Running {
        return Err(wrong_status(&migration, "force_complete"));
    }
    uninterrupted((api, context, migration), |(api, context, migration)| async move {
        force_complete_now(&api, &context, &migration).await
    })
    .await?;
    Ok(StatusCode::ACCEPTED)
}

async fn force_complete_now(api: &Api, context: &RequestContext, migration: &Migration) -> Result<(), ApiError> {
    let mut transaction = api.database.begin().await?;
    if !migrations::request_force_complete(&mut transaction, migration.uuid).await? {
        return Err(ApiError::Conflict(format!("Migration {} can no longer be completed by force.", migration.id)));
    }
    let [_, event] = actions::MIGRATION_REQUESTS;
    begin_request(&mut transaction, context, migration, "live_migration_force_complete", event).await?;
    transaction.commit().await?;
    let source = api.live_migration.server(migration.source.clone());
    let told = source.live_migration_force_complete(context, migration.instance, migration.uuid).await;
    // If this can't be noted a conductor tells it once more, which does no harm.
    if told.is_ok()
        && let Ok(mut connection) = api.database.write().await
        && let Err(error) = migrations::force_complete_told(&mut connection, migration.uuid).await
    {
        tracing::warn!(migration = %migration.uuid, %error, "it could not be noted that the source was told");
    }
    operation::hand_over(migration.instance, async { told }).await;
    Ok(())
}

/// Writes into a server's history that something is asked of its migration; the migration's end is the end of that.
async fn begin_request(
    connection: &mut Connection,
    context: &RequestContext,
    migration: &Migration,
    action: &str,
    event: &str,
) -> Result<(), DbError> {
    let begun = operation::event_of(context, migration.instance, event, Some(&migration.source), None);
    operation::record_action(connection, context, action, begun).await
}
