//! With whom things are shared: what the policies of sharing (`/rbac-policies`) come to.

use std::collections::BTreeSet;

use novella_common::{
    db::{Connection, Sql, list::Condition},
    sql,
};
use novella_rest::{ApiError, list::nothing};
use uuid::Uuid;

use super::{AT_ONCE, Work};
use crate::Request;

/// How things of a kind are shared.
#[derive(Debug)]
pub(crate) struct SharedAs {
    /// What policies of sharing call the kind.
    pub(crate) object_type: &'static str,
    /// The action of a policy that shares one.
    pub(crate) action: &'static str,
    /// Other actions that let it be seen.
    pub(crate) seen_by: &'static [&'static str],
}

impl SharedAs {
    /// What is shared in the one way that there is for most.
    pub(crate) const fn of(object_type: &'static str) -> Self {
        Self { object_type, action: "access_as_shared", seen_by: &[] }
    }
}

/// The ids of what is shared with this project, by a policy for it or for all.
pub(crate) fn shared_with(shared: &SharedAs, project: &str) -> Sql {
    by_policies(shared.object_type, std::iter::once(shared.action), project)
}

/// The ids of what this project may see, by a policy for it or for all.
pub(crate) fn seen_by(shared: &SharedAs, project: &str) -> Sql {
    by_policies(shared.object_type, std::iter::once(shared.action).chain(shared.seen_by.iter().copied()), project)
}

fn by_policies(object_type: &str, actions: impl Iterator<Item = &'static str>, project: &str) -> Sql {
    let mut sql = sql!("SELECT object_id FROM network_rbac WHERE object_type = "(object_type));
    sql.push(" AND target_project").is_in(["*", project]);
    sql.push(" AND action").is_in(actions);
    sql
}

/// Shares a thing with everybody. Nothing changes if it is.
pub(crate) async fn share(work: &mut Work<'_>, shared: &SharedAs, object: &str, project: &str) -> Result<(), ApiError> {
    sql!(
        "INSERT INTO network_rbac (id, project_id, object_type, object_id, action, target_project, revision_number, \
         created_at, updated_at) VALUES (" (Uuid::new_v4().to_string()) ", " (project) ", " (shared.object_type) ", "
        (object) ", " (shared.action) ", " ("*") ", " (0) ", " (work.now) ", " (work.now)
        ") ON CONFLICT (object_id, target_project, action) DO NOTHING"
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

/// Shares a thing no more with everybody.
pub(crate) async fn unshare(work: &mut Work<'_>, shared: &SharedAs, object: &str) -> Result<(), ApiError> {
    sql!(
        "DELETE FROM network_rbac WHERE object_id = " (object) " AND target_project = " ("*") " AND action = "
        (shared.action)
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

/// Which of these things are shared with the project that asks.
pub(crate) async fn shared_now(
    request: &Request,
    connection: &mut Connection,
    shared: &SharedAs,
    ids: &[&str],
) -> Result<BTreeSet<String>, ApiError> {
    shared_to(request.context.project_id.as_deref().unwrap_or_default(), connection, shared, ids).await
}

/// Which of these things are shared with a project.
pub(crate) async fn shared_to(
    project: &str,
    connection: &mut Connection,
    shared: &SharedAs,
    ids: &[&str],
) -> Result<BTreeSet<String>, ApiError> {
    let mut found = BTreeSet::new();
    for ids in ids.chunks(AT_ONCE) {
        let mut sql = shared_with(shared, project);
        sql.push(" AND object_id").is_in(ids);
        found.extend(sql.fetch_all::<String>(connection).await?);
    }
    Ok(found)
}

/// The filter `shared`.
pub(crate) fn filter(request: &Request, shared: &SharedAs, values: &[&str]) -> Result<Option<Condition>, ApiError> {
    let project = request.context.project_id.as_deref().unwrap_or_default();
    let flags = super::flags(values)?;
    Ok(match (flags.contains(&true), flags.contains(&false)) {
        (true, true) => None,
        (false, false) => Some(nothing()),
        (wanted, _) => {
            let mut sql = Sql::new(if wanted { "id IN (" } else { "id NOT IN (" });
            sql.append(shared_with(shared, project)).push(")");
            Some(Condition::raw(sql))
        }
    })
}
