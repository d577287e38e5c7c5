//! Roles that are given: to a user or a group; in a project, a domain or the system; to be inherited or not.

use axum::{http::StatusCode, response::Response};
use novella_common::{
    db::{
        Connection,
        list::{Condition, List},
    },
    sql,
};
use novella_rest::{
    ApiError, Operation, Path, delete, get,
    policy::{Rule, Target},
    put,
};
use serde_json::Value;

use super::roles::{self, MANAGED};
use crate::{
    Identity, Request,
    db::{
        Group, Project, Role, User,
        roles::{Actor, Grant, Scope},
    },
    policy,
    resource::{collection, look_up, not_found, view},
};

/// Which roles a path is about.
#[derive(Clone, Copy, Debug)]
struct Kind {
    to: To,
    on: On,
    inherited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    User,
    Group,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Project,
    Domain,
}

macro_rules! places {
    ($(($to:ident, $on:ident, $inherited:literal, $start:literal, $end:literal);)*) => {
        &[$((
            Kind { to: To::$to, on: On::$on, inherited: $inherited },
            concat!($start, "/roles", $end),
            concat!($start, "/roles/{role_id}", $end),
        )),*]
    };
}

const PLACES: &[(Kind, &str, &str)] = places! {
    (User, Project, false, "/projects/{project_id}/users/{user_id}", "");
    (Group, Project, false, "/projects/{project_id}/groups/{group_id}", "");
    (User, Domain, false, "/domains/{domain_id}/users/{user_id}", "");
    (Group, Domain, false, "/domains/{domain_id}/groups/{group_id}", "");
    (User, Project, true, "/OS-INHERIT/projects/{project_id}/users/{user_id}", "/inherited_to_projects");
    (Group, Project, true, "/OS-INHERIT/projects/{project_id}/groups/{group_id}", "/inherited_to_projects");
    (User, Domain, true, "/OS-INHERIT/domains/{domain_id}/users/{user_id}", "/inherited_to_projects");
    (Group, Domain, true, "/OS-INHERIT/domains/{domain_id}/groups/{group_id}", "/inherited_to_projects");
};

type One = Path<(String, String, String)>;
type All = Path<(String, String)>;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Identity>> {
    let mut operations = Vec::new();
    for &(kind, all, one) in PLACES {
        operations.extend([
            get(all, policy::LIST_GRANTS, move |request: Request, path: All| list(request, path, kind)),
            put(one, policy::CREATE_GRANT, move |request: Request, path: One| give(request, path, kind)).status(204),
            get(one, policy::CHECK_GRANT, move |request: Request, path: One| check(request, path, kind)).status(204),
            delete(one, policy::REVOKE_GRANT, move |request: Request, path: One| take(request, path, kind)).status(204),
        ]);
    }
    for (to, all, one, [list, create, check, revoke]) in [
        (
            To::User,
            "/system/users/{user_id}/roles",
            "/system/users/{user_id}/roles/{role_id}",
            [
                policy::LIST_SYSTEM_GRANTS_FOR_USER,
                policy::CREATE_SYSTEM_GRANT_FOR_USER,
                policy::CHECK_SYSTEM_GRANT_FOR_USER,
                policy::REVOKE_SYSTEM_GRANT_FOR_USER,
            ],
        ),
        (
            To::Group,
            "/system/groups/{group_id}/roles",
            "/system/groups/{group_id}/roles/{role_id}",
            [
                policy::LIST_SYSTEM_GRANTS_FOR_GROUP,
                policy::CREATE_SYSTEM_GRANT_FOR_GROUP,
                policy::CHECK_SYSTEM_GRANT_FOR_GROUP,
                policy::REVOKE_SYSTEM_GRANT_FOR_GROUP,
            ],
        ),
    ] as [(To, &str, &str, [Rule; 4]); 2]
    {
        operations.extend([
            get(all, list, move |request: Request, path: Path<String>| list_in_system(request, path, to)),
            put(one, create, move |request: Request, path: All| give_in_system(request, path, to)).status(204),
            get(one, check, move |request: Request, path: All| check_in_system(request, path, to)).status(204),
            delete(one, revoke, move |request: Request, path: All| take_in_system(request, path, to)).status(204),
        ]);
    }
    operations
}

/// What a path names, as far as it is there.
struct Named {
    actor: Actor,
    actor_domain: Option<String>,
    place: Option<Project>,
    role: Option<Role>,
}

impl Named {
    async fn find(
        connection: &mut Connection,
        to: To,
        actor: &str,
        place: Option<(On, &str)>,
        role: Option<&str>,
    ) -> Result<Self, ApiError> {
        let (domain, named) = match to {
            To::User => {
                let user: Option<User> = look_up(connection, actor).await?;
                (user.map(|user| user.domain_id), Actor::User(actor.to_owned()))
            }
            To::Group => {
                let group: Option<Group> = look_up(connection, actor).await?;
                (group.map(|group| group.domain_id), Actor::Group(actor.to_owned()))
            }
        };
        let place = match place {
            Some((on, id)) => {
                let found: Option<Project> = look_up(connection, id).await?;
                let found = found.filter(|found| on == On::Project || found.is_domain);
                Some(found.ok_or_else(|| not_found(if on == On::Project { "project" } else { "domain" }, id))?)
            }
            None => None,
        };
        let role = match role {
            Some(id) => Some(roles::existing(connection, id).await?),
            None => None,
        };
        Ok(Self { actor: named, actor_domain: domain, place, role })
    }

    /// Who is no administrator must have to do with the domain of all that is named; and what he manages is not the role
    /// of an administrator.
    fn authorize(&self, request: &Request, manages: bool) -> Result<(), ApiError> {
        let domain = self.actor_domain.as_deref().filter(|domain| {
            let there = self.place.as_ref().is_some_and(|place| place.domain() == *domain);
            let role = self.role.as_ref().is_none_or(|role| {
                let fits = role.domain_id.as_deref().is_none_or(|of| of == *domain);
                fits && (!manages || MANAGED.contains(&role.name.as_str()))
            });
            there && role
        });
        request.check_target(&Target::of_domain(domain))
    }

    fn actor_is_there(&self) -> Result<(), ApiError> {
        let what = match self.actor {
            Actor::User(_) => "user",
            Actor::Group(_) => "group",
        };
        self.actor_domain.as_ref().map(|_| ()).ok_or_else(|| not_found(what, self.actor.id()))
    }

    fn grant(&self, on: Option<On>, inherited: bool) -> Grant {
        let place = self.place.as_ref().map(|place| place.id.clone()).unwrap_or_default();
        let scope = match on {
            Some(On::Project) => Scope::Project(place),
            Some(On::Domain) => Scope::Domain(place),
            None => Scope::System,
        };
        let role_id = self.role.as_ref().map(|role| role.id.clone()).unwrap_or_default();
        Grant { actor: self.actor.clone(), scope, role_id, inherited }
    }
}

/// 404: the role is not given.
fn not_given(grant: &Grant) -> ApiError {
    ApiError::not_found(format!(
        "Could not find role assignment with role: {}, user or group: {}, project, domain, or system: {}.",
        grant.role_id,
        grant.actor.id(),
        grant.scope.project_id().unwrap_or("system")
    ))
}

async fn give(request: Request, Path((place, actor, role)): One, kind: Kind) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let named = Named::find(&mut transaction, kind.to, &actor, Some((kind.on, &place)), Some(&role)).await?;
    named.authorize(&request, true)?;
    named.actor_is_there()?;
    let of_role = named.role.as_ref().and_then(|role| role.domain_id.as_deref());
    let of_place = named.place.as_ref().map(Project::domain);
    if of_role.is_some() && of_role != of_place {
        return Err(ApiError::Forbidden(format!(
            "Project {place} must be in the same domain as the role {role} being assigned."
        )));
    }
    named.grant(Some(kind.on), kind.inherited).give(&mut transaction).await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn check(request: Request, Path((place, actor, role)): One, kind: Kind) -> Result<StatusCode, ApiError> {
    let mut connection = request.state.database.read().await?;
    let named = Named::find(&mut connection, kind.to, &actor, Some((kind.on, &place)), Some(&role)).await?;
    named.authorize(&request, false)?;
    named.actor_is_there()?;
    given(&named.grant(Some(kind.on), kind.inherited), &mut connection).await
}

async fn given(grant: &Grant, connection: &mut Connection) -> Result<StatusCode, ApiError> {
    if grant.is_given(connection).await? { Ok(StatusCode::NO_CONTENT) } else { Err(not_given(grant)) }
}

async fn take(request: Request, Path((place, actor, role)): One, kind: Kind) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let named = Named::find(&mut transaction, kind.to, &actor, Some((kind.on, &place)), Some(&role)).await?;
    named.authorize(&request, true)?;
    let grant = named.grant(Some(kind.on), kind.inherited);
    if !grant.take(&mut transaction).await? {
        return Err(not_given(&grant));
    }
    end_application_credentials(&mut transaction, &grant).await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who loses a role in a project loses the application credentials that he has there, as in Keystone.
async fn end_application_credentials(transaction: &mut Connection, grant: &Grant) -> Result<(), ApiError> {
    let Scope::Project(project) = &grant.scope else { return Ok(()) };
    let mut sql = sql!("DELETE FROM application_credentials WHERE project_id = " (project) " AND user_id ");
    match &grant.actor {
        Actor::User(id) => sql.push("= ").bind(id),
        Actor::Group(id) => sql.push("IN (SELECT user_id FROM group_members WHERE group_id = ").bind(id).push(")"),
    };
    sql.execute(transaction).await?;
    Ok(())
}

async fn list(request: Request, Path((place, actor)): All, kind: Kind) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let named = Named::find(&mut connection, kind.to, &actor, Some((kind.on, &place)), None).await?;
    named.authorize(&request, false)?;
    named.actor_is_there()?;
    let of = match (kind.on, kind.to) {
        (On::Project, To::User) => format!("projects/{place}/users/{actor}/roles"),
        (On::Project, To::Group) => format!("projects/{place}/groups/{actor}/roles"),
        (On::Domain, To::User) => format!("domains/{place}/users/{actor}/roles"),
        (On::Domain, To::Group) => format!("domains/{place}/groups/{actor}/roles"),
    };
    let path = if kind.inherited { format!("OS-INHERIT/{of}/inherited_to_projects") } else { of };
    roles_of(&request, &mut connection, &named.grant(Some(kind.on), kind.inherited), &path).await
}

/// The roles that are given like this one.
async fn roles_of(
    request: &Request,
    connection: &mut Connection,
    grant: &Grant,
    path: &str,
) -> Result<Response, ApiError> {
    let (user, group) = match &grant.actor {
        Actor::User(id) => (id.as_str(), ""),
        Actor::Group(id) => ("", id.as_str()),
    };
    let ids = sql!(
        "id IN (SELECT role_id FROM role_assignments WHERE COALESCE(user_id, '') = " (user)
        " AND COALESCE(group_id, '') = " (group)
        " AND COALESCE(project_id, '') = " (grant.scope.project_id().unwrap_or_default())
        " AND inherited = " (grant.inherited) ")"
    );
    let found = List::<Role>::all().filter(Condition::raw(ids)).page(connection).await?.unwrap_or_default();
    let views: Vec<Value> = found.iter().map(|role| view(role, &request.links)).collect();
    Ok(collection(request, "roles", views, path))
}

async fn give_in_system(request: Request, Path((actor, role)): All, to: To) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let named = Named::find(&mut transaction, to, &actor, None, Some(&role)).await?;
    named.actor_is_there()?;
    named.grant(None, false).give(&mut transaction).await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn check_in_system(request: Request, Path((actor, role)): All, to: To) -> Result<StatusCode, ApiError> {
    let mut connection = request.state.database.read().await?;
    let named = Named::find(&mut connection, to, &actor, None, Some(&role)).await?;
    given(&named.grant(None, false), &mut connection).await
}

async fn take_in_system(request: Request, Path((actor, role)): All, to: To) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let named = Named::find(&mut transaction, to, &actor, None, Some(&role)).await?;
    let grant = named.grant(None, false);
    if !grant.take(&mut transaction).await? {
        return Err(not_given(&grant));
    }
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_in_system(request: Request, Path(actor): Path<String>, to: To) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let named = Named::find(&mut connection, to, &actor, None, None).await?;
    named.actor_is_there()?;
    let kind = if to == To::User { "users" } else { "groups" };
    let path = format!("system/{kind}/{actor}/roles");
    roles_of(&request, &mut connection, &named.grant(None, false), &path).await
}
