//! With whom things are shared: what the policies of sharing (`/rbac-policies`) come to.

use std::collections::BTreeSet;

use novella_common::{
    db::{Connection, Sql, list::Condition},
    sql,
};
use novella_rest::{ApiError, list::nothing};
use uuid::Uuid;

use crate::{
    Request,
    resource::{AT_ONCE, SharedAs, Work, shared_with},
};

/// Shares a thing with everybody. Nothing changes if it is.
pub(super) async fn share(work: &mut Work<'_>, shared: &SharedAs, object: &str, project: &str) -> Result<(), ApiError> {
    let Some(action) = shared.actions.first() else { return Ok(()) };
    sql!(
        "INSERT INTO network_rbac (id, project_id, object_type, object_id, action, target_project, revision_number, \
         created_at, updated_at) VALUES (" (Uuid::new_v4().to_string()) ", " (project) ", " (shared.object_type) ", "
        (object) ", " (*action) ", " ("*") ", " (0) ", " (work.now) ", " (work.now)
        ") ON CONFLICT (object_id, target_project, action) DO NOTHING"
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

/// Shares a thing no more with everybody.
pub(super) async fn unshare(work: &mut Work<'_>, shared: &SharedAs, object: &str) -> Result<(), ApiError> {
    let mut sql =
        sql!("DELETE FROM network_rbac WHERE object_id = " (object) " AND target_project = " ("*") " AND action");
    sql.is_in(shared.actions.iter().copied()).execute(&mut work.transaction).await?;
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
pub(super) fn filter(request: &Request, shared: &SharedAs, values: &[&str]) -> Result<Option<Condition>, ApiError> {
    let project = request.context.project_id.as_deref().unwrap_or_default();
    let flags = crate::resource::flags(values)?;
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
