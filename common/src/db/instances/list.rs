//! What the API lists: instances by filter, in order, page by page, each page in one query.

use jiff::Timestamp;

use crate::{
    db::{
        Connection, DbError, FromRow, Json, Table,
        list::{self, Condition, Direction, List},
    },
    ids::InstanceUuid,
    lifecycle::{PowerState, TaskState, VmState},
    models::{Flavor, Instance, RequestSpec},
    sql,
};

pub use crate::db::list::Pattern;

/// Whether deleted instances are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deleted {
    /// Only those that are there.
    #[default]
    Without,
    /// Only those that are gone.
    Only,
    /// Both.
    Included,
}

/// What to sort by. Where a column can be NULL, NULL counts as the smallest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// When it was asked for.
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
    /// When it first ran.
    LaunchedAt,
    /// When its end became final.
    TerminatedAt,
    /// Its name.
    Name,
    /// Its description.
    Description,
    /// The guest's host name.
    Hostname,
    /// Its id.
    Uuid,
    /// Its project.
    ProjectId,
    /// Who made it.
    UserId,
    /// Its image.
    ImageRef,
    /// Its key pair.
    KeyName,
    /// Its place in its request.
    LaunchIndex,
    /// Where it is.
    Host,
    /// In which zone.
    AvailabilityZone,
    /// What it is.
    VmState,
    /// What is being done to it.
    TaskState,
    /// What the guest does.
    PowerState,
    /// Whether it has a config drive.
    ConfigDrive,
}

/// One sort key with its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub key: SortKey,
    /// Largest first.
    pub descending: bool,
}

/// Which instances are wanted. An empty list of values fits nothing.
#[derive(Clone, Debug, Default)]
pub struct InstanceQuery {
    /// Of this project; `None`: of all.
    pub project_id: Option<String>,
    /// Made by this user.
    pub user_id: Option<String>,
    /// Deleted ones or not.
    pub deleted: Deleted,
    /// With one of these ids.
    pub uuids: Option<Vec<InstanceUuid>>,
    /// In one of these states.
    pub vm_states: Option<Vec<VmState>>,
    /// With one of these under way.
    pub task_states: Option<Vec<Option<TaskState>>>,
    /// Whose guest does this.
    pub power_state: Option<PowerState>,
    /// On this host.
    pub host: Option<String>,
    /// In this zone.
    pub availability_zone: Option<Pattern>,
    /// From this image.
    pub image_ref: Option<String>,
    /// With the flavor of this id.
    pub flavor_id: Option<String>,
    /// By name.
    pub name: Option<Pattern>,
    /// By description.
    pub description: Option<Pattern>,
    /// By the guest's host name.
    pub hostname: Option<Pattern>,
    /// By key pair.
    pub key_name: Option<Pattern>,
    /// Of this request.
    pub reservation_id: Option<String>,
    /// With this place in its request.
    pub launch_index: Option<i64>,
    /// With a config drive or without.
    pub config_drive: Option<bool>,
    /// Changed at or after this time.
    pub changes_since: Option<Timestamp>,
    /// Changed at or before this time.
    pub changes_before: Option<Timestamp>,
    /// The order; ties are broken by id, in the direction of the last key. Empty: newest first.
    pub sort: Vec<Sort>,
    /// Start after this one.
    pub after: Option<Box<Instance>>,
    /// At most this many.
    pub limit: Option<i64>,
}

/// The instances that fit, in order.
pub async fn list(connection: &mut Connection, wanted: &InstanceQuery) -> Result<Vec<Instance>, DbError> {
    Ok(wanted.select(Instance::COLUMNS).page(connection).await?.unwrap_or_default())
}

/// The ids and names of the instances that fit, in order: what is wanted most often, at a fraction of the price.
pub async fn names(
    connection: &mut Connection,
    wanted: &InstanceQuery,
) -> Result<Vec<(InstanceUuid, String)>, DbError> {
    Ok(wanted.select("uuid, name").page(connection).await?.unwrap_or_default())
}

impl InstanceQuery {
    fn select<R: FromRow>(&self, columns: &'static str) -> List<R> {
        let mut list = List::select(columns, Instance::NAME, Instance::KEY);
        for condition in self.conditions() {
            list = list.filter(condition);
        }
        for Sort { key, descending } in &self.sort {
            list = list.sort(key.column(), if *descending { Direction::Descending } else { Direction::Ascending });
        }
        if self.sort.is_empty() {
            list = list.sort(SortKey::CreatedAt.column(), Direction::Descending);
        }
        list.marker(self.after.as_ref().map(|instance| &instance.uuid)).limit(self.limit)
    }

    fn conditions(&self) -> Vec<Condition> {
        let mut conditions = Vec::new();
        match self.deleted {
            Deleted::Without => conditions.push(Condition::is_null("deleted_at", true)),
            Deleted::Only => conditions.push(Condition::is_null("deleted_at", false)),
            Deleted::Included => {}
        }
        for (column, value) in [
            ("project_id", &self.project_id),
            ("user_id", &self.user_id),
            ("host", &self.host),
            ("image_ref", &self.image_ref),
            ("reservation_id", &self.reservation_id),
            (FLAVOR_ID, &self.flavor_id),
        ] {
            conditions.extend(value.as_ref().map(|value| Condition::equal(column, value)));
        }
        for (column, pattern) in [
            ("availability_zone", &self.availability_zone),
            ("name", &self.name),
            ("description", &self.description),
            ("hostname", &self.hostname),
            ("key_name", &self.key_name),
        ] {
            conditions.extend(pattern.as_ref().map(|pattern| Condition::text(column, pattern)));
        }
        conditions.extend(self.uuids.as_ref().map(|uuids| Condition::is_in("uuid", uuids)));
        conditions.extend(self.vm_states.as_ref().map(|states| Condition::is_in("vm_state", states)));
        conditions.extend(self.task_states.as_ref().map(|states| has_task_state(states)));
        conditions.extend(self.power_state.as_ref().map(|state| Condition::equal("power_state", state)));
        conditions.extend(self.launch_index.as_ref().map(|index| Condition::equal("launch_index", index)));
        conditions.extend(self.config_drive.as_ref().map(|drive| Condition::equal("config_drive", drive)));
        conditions.extend(self.changes_since.as_ref().map(|since| Condition::at_least("updated_at", since)));
        conditions.extend(self.changes_before.as_ref().map(|before| Condition::at_most("updated_at", before)));
        conditions
    }
}

/// The id within the copy of the flavor, as an index has it on both databases.
const FLAVOR_ID: &str = "(flavor ->> 'id')";

/// One of these is under way; `None` among them: or nothing is.
fn has_task_state(states: &[Option<TaskState>]) -> Condition {
    let mut condition = sql!("task_state");
    condition.is_in(states.iter().flatten());
    if states.contains(&None) {
        condition.push(" OR task_state IS NULL");
    }
    Condition::raw(condition)
}

/// What the schedulers were asked for, for each of these instances.
pub async fn request_specs(
    connection: &mut Connection,
    uuids: &[InstanceUuid],
) -> Result<Vec<(InstanceUuid, RequestSpec)>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(InstanceUuid, Json<RequestSpec>)> =
        sql!("SELECT uuid, request_spec FROM instances WHERE uuid").is_in(uuids).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(uuid, Json(spec))| (uuid, spec)).collect())
}

/// How many instances of each size a project has, deleted ones not counted.
pub async fn sizes_in_use(connection: &mut Connection, project_id: &str) -> Result<Vec<(Flavor, i64)>, DbError> {
    let rows: Vec<(Json<Flavor>, i64)> = sql!(
        "SELECT flavor, COUNT(*) FROM instances WHERE project_id = " (project_id)
        " AND deleted_at IS NULL GROUP BY flavor"
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(Json(flavor), instances)| (flavor, instances)).collect())
}

/// How many instances are on each host, and how many of them have something under way.
pub async fn load_by_host(connection: &mut Connection) -> Result<Vec<(String, i64, i64)>, DbError> {
    sql!(
        "SELECT host, COUNT(*), COUNT(task_state) FROM instances \
         WHERE deleted_at IS NULL AND host IS NOT NULL GROUP BY host"
    )
    .fetch_all(connection)
    .await
}

impl SortKey {
    fn column(self) -> list::SortKey {
        use list::SortKey as Column;
        match self {
            Self::CreatedAt => Column::time("created_at"),
            Self::UpdatedAt => Column::time("updated_at"),
            Self::LaunchedAt => Column::time("launched_at").nullable(),
            Self::TerminatedAt => Column::time("terminated_at").nullable(),
            Self::Name => Column::text("name"),
            Self::Description => Column::text("description").nullable(),
            Self::Hostname => Column::text("hostname"),
            Self::Uuid => Column::uuid("uuid"),
            Self::ProjectId => Column::text("project_id"),
            Self::UserId => Column::text("user_id"),
            Self::ImageRef => Column::text("image_ref").nullable(),
            Self::KeyName => Column::text("key_name").nullable(),
            Self::LaunchIndex => Column::int("launch_index"),
            Self::Host => Column::text("host").nullable(),
            Self::AvailabilityZone => Column::text("availability_zone").nullable(),
            Self::VmState => Column::text("vm_state"),
            Self::TaskState => Column::text("task_state").nullable(),
            Self::PowerState => Column::int("power_state"),
            Self::ConfigDrive => Column::boolean("config_drive"),
        }
    }
}
