//! `/security-groups`: rules that ports have in common. Each project has one named `default` from its first use on.

use novella_common::{
    db::{Connection, table::select},
    sql,
};
use novella_rest::{ApiError, Operation};
use serde_json::{Value, json};

use super::security_group_rules::{self as rules, SecurityGroupRule};
use crate::{
    Networking, Request,
    attributes::{
        Attribute, Base, Fields as _,
        Otherwise::{Flag, Text},
        attribute,
        checks::{self, Checked, Refusal, any, boolean, name},
    },
    errors::conflict,
    policy,
    resource::{
        self, About, Given, Resource, SharedAs, View, Wanted, Work, by_default, grouped, is_admin, rows_by, sharing,
        views,
    },
};

/// The name of the group that each project has.
pub(crate) const DEFAULT: &str = "default";

crate::resource! {
    /// A security group.
    struct SecurityGroup in "security_groups" {
        name: String = attribute("name", not_default).given_or(Text("")).changed().filter().sort();
        description: String = attribute("description", name).given_or(Text("")).changed().filter();
        stateful: bool = attribute("stateful", boolean).given_or(Flag(true)).changed().filter();
    }
}

static SECURITY_GROUPS: About = About {
    one: "security_group",
    many: "security_groups",
    collection: "/security-groups",
    member: "/security-groups/{security_group_id}",
    tags: Some(("/security-groups/{security_group_id}/tags", "/security-groups/{security_group_id}/tags/{tag}")),
    missing: ("SecurityGroupNotFound", "Security group ", " does not exist"),
    get: policy::GET_SECURITY_GROUP,
    create: policy::CREATE_SECURITY_GROUP,
    update: Some(policy::UPDATE_SECURITY_GROUP),
    delete: policy::DELETE_SECURITY_GROUP,
    quota: Some("security_group"),
    stamped: true,
    first_revision: 1,
    shared: Some(&SHARED),
};

pub(crate) static SHARED: SharedAs = SharedAs::of("security_group");

/// A name that is not the default group's.
fn not_default(value: &Value) -> Checked {
    let checked = checks::name(value)?;
    if value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(DEFAULT)) {
        return Err(Refusal::Error(conflict(
            "SecurityGroupDefaultAlreadyExists",
            "Default security group already exists.",
        )));
    }
    Ok(checked)
}

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    let mut operations = resource::operations::<SecurityGroup>();
    // A list begins with the group that the project has anyway.
    operations.remove(0);
    operations.push(
        novella_rest::get(SECURITY_GROUPS.collection, policy::GET_SECURITY_GROUP, index)
            .takes(resource::names::<SecurityGroup>()),
    );
    operations
}

async fn index(request: Request) -> Result<axum::response::Response, ApiError> {
    ensure_asked_for(&request).await?;
    resource::index::<SecurityGroup>(request).await
}

/// Makes the default group of the project whose groups are asked for, unless it is there.
async fn ensure_asked_for(request: &Request) -> Result<(), ApiError> {
    let Some(own) = request.context.project_id.as_deref() else { return Ok(()) };
    let query = &request.query;
    let named = query.all("project_id").chain(query.all("tenant_id")).find(|project| !project.is_empty());
    let project = named.unwrap_or(own);
    if project != own && !is_admin(request) {
        return Ok(());
    }
    ensure_of(request, project).await
}

/// Makes the default group of the project that asks, unless it is there.
pub(super) async fn ensure_own(request: &Request) -> Result<(), ApiError> {
    let Some(project) = request.context.project_id.as_deref() else { return Ok(()) };
    ensure_of(request, project).await
}

/// Makes the default group of a project, unless it is there.
pub(crate) async fn ensure_of(request: &Request, project: &str) -> Result<(), ApiError> {
    if default_of(&mut *request.state.database.read().await?, project).await?.is_none() {
        let mut work = Work::begin(request).await?;
        ensure_default(&mut work, project).await?;
        work.commit().await?;
    }
    Ok(())
}

/// The default group of a project.
async fn default_of(connection: &mut Connection, project: &str) -> Result<Option<String>, ApiError> {
    // The name as text, since there is an index of these alone.
    Ok(sql!("SELECT id FROM security_groups WHERE name = 'default' AND project_id = " (project) " LIMIT 1")
        .fetch_optional(connection)
        .await?)
}

/// The default groups of projects, where they are there. None is deleted until the transaction ends.
pub(crate) async fn defaults_of(
    connection: &mut Connection,
    projects: &[&str],
) -> Result<Vec<SecurityGroup>, ApiError> {
    let mut sql = select::<SecurityGroup>();
    sql.push(" WHERE name = 'default' AND project_id").is_in(projects);
    Ok(sql.push(" ORDER BY id").push_for("", " FOR SHARE").fetch_all(connection).await?)
}

/// The default group of a project, which is made if it is not there.
pub(crate) async fn ensure_default(work: &mut Work<'_>, project: &str) -> Result<String, ApiError> {
    if let Some(id) = default_of(&mut work.transaction, project).await? {
        return Ok(id);
    }
    // Of several at once one makes it, and the others wait to see it.
    let lock = format!("network default security group {project}");
    novella_common::db::quotas::lock(&mut work.transaction, &lock).await?;
    if let Some(id) = default_of(&mut work.transaction, project).await? {
        return Ok(id);
    }
    let given = by_default::<SecurityGroup>(
        project,
        json!({"name": DEFAULT, "description": "Default security group", "stateful": true}),
    );
    let base = Base {
        id: uuid::Uuid::new_v4().to_string(),
        project_id: project.to_owned(),
        now: work.now,
        revision_number: SECURITY_GROUPS.first_revision,
    };
    let group = SecurityGroup::from_values(base, &given.values)?;
    resource::insert_row(&mut work.transaction, &group).await?;
    rules::add_first(work, &group).await?;
    Ok(group.id)
}

impl Resource for SecurityGroup {
    const ABOUT: &'static About = &SECURITY_GROUPS;
    const OTHERS: &'static [Attribute] =
        &[attribute("shared", boolean).filter(), attribute("security_group_rules", any)];

    async fn before_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        ensure_default(work, &self.project_id).await?;
        Ok(())
    }

    async fn after_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        rules::add_first(work, self).await
    }

    async fn before_update(&mut self, old: &Self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        if old.name == DEFAULT && given.has("name") {
            return Err(conflict("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed."));
        }
        if given.has("stateful") && self.stateful != old.stateful && self.is_used(work).await? {
            return Err(self.in_use());
        }
        Ok(())
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        if self.is_used(work).await? {
            return Err(self.in_use());
        }
        if self.name == DEFAULT && !is_admin(work.request) {
            return Err(conflict(
                "SecurityGroupCannotRemoveDefault",
                "Insufficient rights for removing default security group.",
            ));
        }
        sql!(
            "DELETE FROM security_group_rules WHERE security_group_id = " (self.id) " OR remote_group_id = " (self.id)
        )
        .execute(&mut work.transaction)
        .await?;
        Ok(())
    }

    async fn complete(
        rows: &[Self],
        view_of: &mut [View<'_>],
        wanted: &Wanted<'_>,
        request: &Request,
        connection: &mut Connection,
    ) -> Result<(), ApiError> {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let rules: Vec<SecurityGroupRule> = match wanted.has("security_group_rules") {
            true => rows_by(connection, "security_group_id", &ids).await?,
            false => Vec::new(),
        };
        let shown = match rules.is_empty() {
            true => Vec::new(),
            false => views(request, connection, &rules, &Wanted::all()).await?,
        };
        let mut of_groups = grouped(rules.iter().map(|rule| rule.security_group_id.as_str()).zip(shown));
        for (row, view) in rows.iter().zip(view_of) {
            view.insert("security_group_rules", json!(of_groups.remove(row.id.as_str()).unwrap_or_default()));
        }
        Ok(())
    }
}

impl SecurityGroup {
    async fn is_used(&self, work: &mut Work<'_>) -> Result<bool, ApiError> {
        let used: Option<String> =
            sql!("SELECT port_id FROM port_security_groups WHERE group_id = " (self.id) " LIMIT 1")
                .fetch_optional(&mut work.transaction)
                .await?;
        Ok(used.is_some())
    }

    fn in_use(&self) -> ApiError {
        conflict("SecurityGroupInUse", format!("Security Group {} in use.", self.id))
    }
}

/// Checks that whoever asks may use these groups, which are not deleted until the transaction ends.
///
/// # Errors
/// 404 for the first that is not there.
pub(crate) async fn check_seen(work: &mut Work<'_>, ids: &[String]) -> Result<(), ApiError> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut sql = select::<SecurityGroup>();
    sql.push(" WHERE id").is_in(ids).push(" ORDER BY id").push_for("", " FOR SHARE");
    let found: Vec<SecurityGroup> = sql.fetch_all(&mut work.transaction).await?;
    let own = work.own_project().to_owned();
    let found_ids: Vec<&str> = found.iter().map(|group| group.id.as_str()).collect();
    let shared = sharing::shared_now(work.request, &mut work.transaction, &SHARED, &found_ids).await?;
    let admin = is_admin(work.request) || resource::is_service(work.request);
    for id in ids {
        let usable =
            |group: &&SecurityGroup| group.id == *id && (admin || group.project_id == own || shared.contains(id));
        if !found.iter().any(|group| usable(&group)) {
            return Err(SecurityGroup::missing(id));
        }
    }
    Ok(())
}
