//! Which roles somebody has where: those that were given, to him or to his groups, there or, to be inherited, above; with
//! all that they imply.

use novella_common::{
    db::{Connection, DbError, Sql},
    sql,
};
use novella_rest::Named;

/// Where somebody has roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AssignmentTarget<'p> {
    /// In a project or in a domain.
    Project(&'p str),
    /// In the system.
    System,
}

/// Who has a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A user.
    User(String),
    /// A group.
    Group(String),
}

/// Where a role is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In a project.
    Project(String),
    /// In a domain.
    Domain(String),
    /// In the system.
    System,
}

/// A role that is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) actor: Actor,
    pub(crate) scope: Scope,
    pub(crate) role_id: String,
    /// Whether it counts in all projects below, and not in the project or domain itself.
    pub(crate) inherited: bool,
}

impl Actor {
    fn ids(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::User(id) => (Some(id), None),
            Self::Group(id) => (None, Some(id)),
        }
    }

    pub(crate) fn id(&self) -> &str {
        let (Self::User(id) | Self::Group(id)) = self;
        id
    }
}

impl Scope {
    /// The project or the domain.
    pub(crate) fn project_id(&self) -> Option<&str> {
        match self {
            Self::Project(id) | Self::Domain(id) => Some(id),
            Self::System => None,
        }
    }
}

impl Grant {
    fn condition(&self) -> Sql {
        let (user, group) = self.actor.ids();
        sql!(
            " WHERE COALESCE(user_id, '') = " (user.unwrap_or_default())
            " AND COALESCE(group_id, '') = " (group.unwrap_or_default())
            " AND COALESCE(project_id, '') = " (self.scope.project_id().unwrap_or_default())
            " AND role_id = " (self.role_id) " AND inherited = " (self.inherited)
        )
    }

    /// Gives the role; nothing happens if it is given.
    pub(crate) async fn give(&self, connection: &mut Connection) -> Result<(), DbError> {
        let (user, group) = self.actor.ids();
        sql!(
            "INSERT INTO role_assignments (user_id, group_id, project_id, role_id, inherited) VALUES (" (user) ", "
            (group) ", " (self.scope.project_id()) ", " (self.role_id) ", " (self.inherited) ") ON CONFLICT DO NOTHING"
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Whether it is given.
    pub(crate) async fn is_given(&self, connection: &mut Connection) -> Result<bool, DbError> {
        let mut sql = sql!("SELECT role_id FROM role_assignments");
        let found: Option<String> = sql.append(self.condition()).fetch_optional(connection).await?;
        Ok(found.is_some())
    }

    /// Takes it away. Says whether it was given.
    pub(crate) async fn take(&self, connection: &mut Connection) -> Result<bool, DbError> {
        sql!("DELETE FROM role_assignments").append(self.condition()).execute_one(connection).await
    }
}

/// Adds the condition that a row of `role_assignments` is for this user, or for a group that he is in.
fn for_user(user_id: &str) -> Sql {
    sql!(
        "(user_id = " (user_id) " OR group_id IN (SELECT group_id FROM group_members WHERE user_id = " (user_id) "))"
    )
}

/// What ends a query that has found the ids of roles as `given`: with all that they imply, by name. Roles of domains are
/// not among them.
const WITH_IMPLIED: &str = "), held(role_id) AS (SELECT role_id FROM given UNION SELECT i.implied_role_id \
     FROM implied_roles i JOIN held ON i.prior_role_id = held.role_id) \
     SELECT r.id, r.name FROM roles r JOIN held ON held.role_id = r.id WHERE r.domain_id IS NULL ORDER BY r.name";

/// The roles that a user has, with all that they imply, by name.
pub(crate) async fn effective(
    connection: &mut Connection,
    user_id: &str,
    target: AssignmentTarget<'_>,
) -> Result<Vec<Named>, DbError> {
    let mut sql = match target {
        AssignmentTarget::Project(project) => {
            let mut sql = sql!(
                "WITH RECURSIVE up(id) AS (SELECT parent_id FROM projects WHERE id = " (project)
                " UNION SELECT p.parent_id FROM projects p JOIN up ON p.id = up.id), given(role_id) AS (\
                 SELECT role_id FROM role_assignments WHERE "
            );
            sql.append(for_user(user_id)).push(" AND ((project_id = ").bind(project);
            sql.push(" AND NOT inherited) OR (inherited AND project_id IN (SELECT id FROM up)))");
            sql
        }
        AssignmentTarget::System => {
            let mut sql = sql!("WITH RECURSIVE given(role_id) AS (SELECT role_id FROM role_assignments WHERE ");
            sql.append(for_user(user_id)).push(" AND project_id IS NULL");
            sql
        }
    };
    let found: Vec<(String, String)> = sql.push(WITH_IMPLIED).fetch_all(connection).await?;
    Ok(named(found))
}

/// These roles, with all that they imply, by name.
pub(crate) async fn with_implied(connection: &mut Connection, ids: &[String]) -> Result<Vec<Named>, DbError> {
    let mut sql = sql!("WITH RECURSIVE given(role_id) AS (SELECT id FROM roles WHERE id");
    let found: Vec<(String, String)> = sql.is_in(ids).push(WITH_IMPLIED).fetch_all(connection).await?;
    Ok(named(found))
}

fn named(rows: Vec<(String, String)>) -> Vec<Named> {
    rows.into_iter().map(|(id, name)| Named { id, name }).collect()
}

/// The condition on a project that this user has a role in it.
pub(crate) fn has_role(user_id: &str) -> Sql {
    let mut sql = sql!(
        "id IN (WITH RECURSIVE given(project_id, inherited) AS (SELECT project_id, inherited FROM role_assignments WHERE "
    );
    sql.append(for_user(user_id));
    sql.push(
        " AND project_id IS NOT NULL), below(id) AS (SELECT p.id FROM projects p JOIN given g ON g.inherited AND \
         p.parent_id = g.project_id UNION SELECT p.id FROM projects p JOIN below ON p.parent_id = below.id) \
         SELECT project_id FROM given WHERE NOT inherited UNION SELECT id FROM below)",
    );
    sql
}

/// The ids of a project's ancestors, the next one first; last its domain.
pub(crate) async fn ancestors(connection: &mut Connection, project_id: &str) -> Result<Vec<String>, DbError> {
    sql!(
        "WITH RECURSIVE up(id, depth) AS (SELECT parent_id, 1 FROM projects WHERE id = " (project_id)
        " UNION SELECT p.parent_id, up.depth + 1 FROM projects p JOIN up ON p.id = up.id) \
         SELECT id FROM up WHERE id IS NOT NULL ORDER BY depth"
    )
    .fetch_all(connection)
    .await
}

/// The ids of all projects below this one, those of a level together.
pub(crate) async fn descendants(connection: &mut Connection, project_id: &str) -> Result<Vec<String>, DbError> {
    sql!(
        "WITH RECURSIVE below(id, depth) AS (SELECT id, 1 FROM projects WHERE parent_id = " (project_id)
        " UNION SELECT p.id, below.depth + 1 FROM projects p JOIN below ON p.parent_id = below.id) \
         SELECT id FROM below ORDER BY depth, id"
    )
    .fetch_all(connection)
    .await
}

/// The role of this name, of the whole cloud.
pub(crate) async fn by_name(connection: &mut Connection, name: &str) -> Result<Option<String>, DbError> {
    sql!("SELECT id FROM roles WHERE COALESCE(domain_id, '') = '' AND name = "(name)).fetch_optional(connection).await
}
