//! `/os-migrations`: all migrations, under way or ended.

use axum::response::Response;
use novella_common::{
    db::migrations::{self, MigrationFilter},
    ids::{InstanceUuid, MigrationUuid},
    models::Migration,
};
use novella_rest::{
    ApiError, FieldTable, Link, Links, Operation, Parameters, field, get,
    paging::Page,
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
            .query(QUERY, 59)
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

const QUERY: FieldTable = FieldTable(&[
    field("hidden"),
    field("host"),
    field("instance_uuid"),
    field("source_compute"),
    field("status"),
    field("migration_type"),
    field("limit").since(59).once(),
    field("marker").since(59).once(),
    field("changes-since").since(59).once(),
    field("changes-before").since(66).once(),
    field("user_id").since(80).once(),
    field("project_id").since(80).once(),
]);

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
    let (query, version) = (&request.query, request.version);
    let get = |name: &str| query.get(name).filter(|_| QUERY.has(name, version)).map(ToOwned::to_owned);
    let project_id = get("project_id");
    // One's own project must be named; to name another's, or none, is to ask for all.
    if project_id.is_none() || project_id != request.context.project_id {
        policy::MIGRATIONS_INDEX_ALL.check_own(&request.context)?;
    }
    let with_hosts = policy::MIGRATIONS_INDEX_HOST.allows(&request.context, request.context.project_id.as_deref());

    let pages = version.at_least(59);
    let none = Parameters::default();
    let mut page = Page::from_query(if pages { query } else { &none }, request.config.max_limit)?;
    let time = |name: &str| if QUERY.has(name, version) { times::filter(query, name) } else { Ok(None) };
    let mut filter = MigrationFilter {
        instance: None,
        status: get("status"),
        host: get("host"),
        source: get("source_compute"),
        kind: get("migration_type"),
        user_id: get("user_id"),
        project_id,
        changes_since: time("changes-since")?,
        changes_before: time("changes-before")?,
        under_way: false,
        after: None,
        limit: Some(page.limit),
    };
    times::check_order(filter.changes_since, filter.changes_before)?;
    if let Some(text) = get("instance_uuid") {
        match text.parse::<InstanceUuid>() {
            Ok(uuid) => filter.instance = Some(uuid),
            // No migration is of such a server.
            Err(_) => return Ok(request.plain("migrations", [(); 0])),
        }
    }
    let mut connection = request.state.database.read().await?;
    if let Some(marker) = page.marker.take() {
        let after = match marker.parse::<MigrationUuid>() {
            Ok(uuid) => migrations::get(&mut connection, uuid).await?,
            Err(_) => None,
        };
        let after = after.ok_or_else(|| ApiError::bad_request(format!("Marker {marker} could not be found.")))?;
        filter.after = Some(after.id);
    }
    let found = migrations::list(&mut connection, &filter).await?;
    let last = found.last().map(|migration| migration.uuid.to_string());
    let next = page.next_link(query, &request.links, "os-migrations", found.len(), last.as_deref());
    let views: Vec<_> =
        found.iter().map(|migration| MigrationView::new(migration, with_hosts, &request.links)).collect();
    Ok(request.answer(&FIELDS).list("migrations", &views, next.filter(|_| pages)))
}
