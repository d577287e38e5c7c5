//! Quotas: the limits that administrators have set, and what is in use.
//!
//! What is in use is counted where it is asked for, and kept nowhere: so it is what the rows say, after any crash. Who makes
//! something that has a limit locks its name first ([`lock`]), counts in the statements after that, and holds the lock until
//! its rows are committed: of two at once the second sees what the first has made. Other projects have other locks; what
//! has no limit needs none. Limits that nobody has set are the configuration's, which is not known here.

use super::{Connection, DbError, Sql};
use crate::sql;

/// The class whose limits hold where a project has none.
pub const DEFAULT_CLASS: &str = "default";

/// The user of a limit that is the project's own.
const NOBODY: &str = "";

/// Whose limit it is. The later one counts before the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// Every project that has none of its own.
    DefaultClass,
    /// The project.
    Project,
    /// One user in the project.
    User,
}

/// A limit that was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetLimit {
    /// Whose.
    pub of: Of,
    /// Nova's name of what is limited.
    pub resource: String,
    /// -1: none.
    pub limit: i64,
}

/// What the servers of a project, or of one user in it, come to. Deleted ones don't count, those in ERROR do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServersInUse {
    /// How many.
    pub instances: i64,
    /// Their virtual CPUs.
    pub cores: i64,
    /// Their memory in MiB.
    pub ram: i64,
}

/// Every limit that was set and that may concern this user in this project.
pub async fn limits(connection: &mut Connection, project: &str, user: Option<&str>) -> Result<Vec<SetLimit>, DbError> {
    let rows: Vec<(i64, String, i64)> = sql!(
        "SELECT CAST(0 AS BIGINT), resource, hard_limit FROM quota_classes WHERE class_name = " (DEFAULT_CLASS)
        " UNION ALL SELECT CASE user_id WHEN '' THEN CAST(1 AS BIGINT) ELSE CAST(2 AS BIGINT) END, resource, hard_limit \
         FROM quotas WHERE project_id = " (project) " AND user_id"
    )
    .is_in([NOBODY, user.unwrap_or(NOBODY)])
    .fetch_all(connection)
    .await?;
    let of = |number| match number {
        0 => Of::DefaultClass,
        1 => Of::Project,
        _ => Of::User,
    };
    Ok(rows.into_iter().map(|(number, resource, limit)| SetLimit { of: of(number), resource, limit }).collect())
}

/// The limits of a class.
pub async fn of_class(connection: &mut Connection, class: &str) -> Result<Vec<(String, i64)>, DbError> {
    sql!("SELECT resource, hard_limit FROM quota_classes WHERE class_name = "(class)).fetch_all(connection).await
}

/// What the limits of a project's single users come to, for each resource.
pub async fn given_to_users(connection: &mut Connection, project: &str) -> Result<Vec<(String, i64)>, DbError> {
    sql!(
        "SELECT resource, CAST(SUM(hard_limit) AS BIGINT) FROM quotas WHERE project_id = " (project)
        " AND user_id > " (NOBODY) " GROUP BY resource"
    )
    .fetch_all(connection)
    .await
}

/// Sets limits of a project, or of a user in it.
pub async fn set(
    connection: &mut Connection,
    project: &str,
    user: Option<&str>,
    limits: &[(&str, i64)],
) -> Result<(), DbError> {
    if limits.is_empty() {
        return Ok(());
    }
    Sql::new("INSERT INTO quotas (project_id, user_id, resource, hard_limit) ")
        .rows(limits, |(resource, limit), cells| {
            cells.bind(project).bind(user.unwrap_or(NOBODY)).bind(*resource).bind(limit);
        })
        .push(" ON CONFLICT (project_id, user_id, resource) DO UPDATE SET hard_limit = excluded.hard_limit")
        .execute(connection)
        .await?;
    Ok(())
}

/// Sets limits of a class.
pub async fn set_class(connection: &mut Connection, class: &str, limits: &[(&str, i64)]) -> Result<(), DbError> {
    if limits.is_empty() {
        return Ok(());
    }
    Sql::new("INSERT INTO quota_classes (class_name, resource, hard_limit) ")
        .rows(limits, |(resource, limit), cells| {
            cells.bind(class).bind(*resource).bind(limit);
        })
        .push(" ON CONFLICT (class_name, resource) DO UPDATE SET hard_limit = excluded.hard_limit")
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets the limits of a user in a project; or of a project, with those of its users.
pub async fn clear(connection: &mut Connection, project: &str, user: Option<&str>) -> Result<(), DbError> {
    let mut sql = sql!("DELETE FROM quotas WHERE project_id = "(project));
    if let Some(user) = user {
        sql.push(" AND user_id = ").bind(user);
    }
    sql.execute(connection).await?;
    Ok(())
}

/// Waits until no other transaction has this name locked, and locks it until this one ends. What has been committed
/// meanwhile is seen by the statements after this one, not by one that would lock and count.
pub async fn lock(connection: &mut Connection, name: &str) -> Result<(), DbError> {
    // SQLite has one writer at a time.
    let mut sql = Sql::default();
    sql.push_for("SELECT LENGTH(", "SELECT pg_advisory_xact_lock(hashtextextended(").bind(name).push_for(")", ", 0))");
    sql.execute(connection).await?;
    Ok(())
}

/// What the servers of a project come to, and those of one user in it.
pub async fn servers_in_use(
    connection: &mut Connection,
    project: &str,
    user: &str,
) -> Result<(ServersInUse, ServersInUse), DbError> {
    let (all, own): ((i64, i64, i64), (i64, i64, i64)) = sql!(
        "SELECT COUNT(*), CAST(COALESCE(SUM(vcpus), 0) AS BIGINT), CAST(COALESCE(SUM(memory_mb), 0) AS BIGINT), \
         COUNT(CASE WHEN user_id = " (user) " THEN 1 END), \
         CAST(COALESCE(SUM(CASE WHEN user_id = " (user) " THEN vcpus END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(CASE WHEN user_id = " (user) " THEN memory_mb END), 0) AS BIGINT) \
         FROM instances WHERE deleted_at IS NULL AND project_id = " (project)
    )
    .fetch_one(connection)
    .await?;
    let in_use = |(instances, cores, ram)| ServersInUse { instances, cores, ram };
    Ok((in_use(all), in_use(own)))
}
