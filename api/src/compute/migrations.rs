//! `/os-migrations`: all migrations, under way or ended.

use axum::response::Response;
use novella_common::{
    db::list::{Condition, Direction, SortKey},
    models::Migration,
    sql,
};
use novella_rest::{
    ApiError, FieldTable, Link, Links, Operation, field, get,
    list::{self, ListDescription, own},
    times::{self, Micros},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/os-migrations", policy::MIGRATIONS_INDEX, index)
            .list(&MIGRATIONS, 59)
            .answers_list::<MigrationView>("migrations"),
    ]
}

const FIELDS: FieldTable = FieldTable(&[
    field("migration_type").since(23),
    field("links").since(23),
    field("uuid").since(59),
    field("user_id").since(80),
    field("project_id").since(80),
]);

/// What can be asked of a list of migrations.
static MIGRATIONS: ListDescription = ListDescription {
    filters: &[
        own("hidden"),
        own("host"),
        list::uuid("instance_uuid", "instance_uuid"),
        list::text("source_compute", "source"),
        list::text("status", "status"),
        list::text("migration_type", "kind"),
        list::since("changes-since", "updated_at").since(59).once(),
        list::before("changes-before", "updated_at").since(66).once(),
        list::text("user_id", "user_id").since(80).once(),
        list::text("project_id", "project_id").since(80).once(),
    ],
    sort_keys: &[],
    default_sort: &[(SortKey::int("id"), Direction::Descending)],
    paging: &[field("limit").since(59).once(), field("marker").since(59).once()],
    marker: |_| Some(SortKey::uuid("uuid")),
    no_marker: |marker| format!("Marker {marker} could not be found."),
};

/// A migration.
#[derive(Serialize, ToSchema)]
struct MigrationView<'m> {
    id: i64,
    uuid: Uuid,
    instance_uuid: Uuid,
    migration_type: &'static str,
    status: &'static str,
    source_compute: Option<&'m str>,
    source_node: Option<&'m str>,
    dest_compute: Option<&'m str>,
    dest_node: Option<&'m str>,
    dest_host: Option<&'m str>,
    /// Numbers of flavors, which flavors do not have here.
    old_instance_type_id: Option<i64>,
    new_instance_type_id: Option<i64>,
    created_at: Micros,
    updated_at: Micros,
    user_id: Option<&'m str>,
    project_id: Option<&'m str>,
    /// While it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<[Link; 2]>,
}

impl<'m> MigrationView<'m> {
    fn new(migration: &'m Migration, with_hosts: bool, links: &Links) -> Self {
        let source = with_hosts.then_some(migration.source.as_str());
        let destination = migration.destination.as_deref().filter(|_| with_hosts);
        let path = || format!("servers/{}/migrations/{}", migration.instance, migration.id);
        Self {
            id: migration.id,
            uuid: migration.uuid.0,
            instance_uuid: migration.instance.0,
            migration_type: migration.kind.as_str(),
            status: migration.status.as_str(),
            source_compute: source,
            source_node: source,
            dest_compute: destination,
            dest_node: destination,
            dest_host: None,
            old_instance_type_id: None,
            new_instance_type_id: None,
            created_at: Micros(migration.created_at),
            updated_at: Micros(migration.updated_at),
            user_id: migration.user_id.as_deref(),
            project_id: migration.project_id.as_deref(),
            links: (!migration.status.is_final()).then(|| links.of(&path())),
        }
    }
}

/// Lists migrations, newest first.
async fn index(request: Request) -> Result<Response, ApiError> {
    let query = &request.query;
    let project_id = query.get("project_id").filter(|_| request.version.at_least(80));
    // One's own project must be named; to name another's, or none, is to ask for all.
    if project_id.is_none() || project_id != request.context.project_id.as_deref() {
        policy::MIGRATIONS_INDEX_ALL.check_own(&request.context)?;
    }
    let project = request.context.project_id.as_deref();
    let with_hosts = policy::MIGRATIONS_INDEX_HOST.allows(&request.context, project);
    if request.version.at_least(66) {
        times::check_order(times::filter(query, "changes-since")?, times::filter(query, "changes-before")?)?;
    }
    let mut listing = request.list::<Migration>(&MIGRATIONS)?.filter_by(query.get("host").map(from_or_to));
    if !policy::MIGRATIONS_INDEX_ALL.allows(&request.context, project) {
        // A marker, too, may name no other project's.
        listing = listing.visible(Condition::equal("project_id", request.project()?));
    }
    let found = listing.page(&mut *request.state.database.read().await?).await?;
    let next = request.next_link(&found, "os-migrations", |migration| migration.uuid.to_string());
    let view = |migration| MigrationView::new(migration, with_hosts, &request.links);
    let views: Vec<_> = found.items.iter().map(view).collect();
    Ok(request.answer(&FIELDS).list("migrations", &views, next))
}

/// Migrations from or to a host.
fn from_or_to(host: &str) -> Condition {
    Condition::raw(sql!("source = " (host) " OR destination = " (host)))
}
