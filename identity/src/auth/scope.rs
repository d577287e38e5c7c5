//! What a token is asked to be good for, and whether it can be.

use jiff::Timestamp;
use novella_common::{
    db::{Connection, DbError},
    sql,
};
use novella_rest::{ApiError, read_open};
use serde::Deserialize;
use serde_json::Value;

use super::{
    identify::Identified,
    request::{NamedDomain, reference},
};
use crate::{
    db::{
        self, Project,
        roles::AssignmentTarget,
        tokens::{self, Scope},
    },
    inputs::expecting,
    resource::look_up,
    state,
};

/// What a token is asked to be good for.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Nothing was said: the user's default project, if he has a role in it.
    Default,
    /// Nothing yet.
    Unscoped,
    /// A project.
    Project(NamedProject),
    /// A domain.
    Domain(NamedDomain),
    /// The system.
    System,
    /// What a trust gives.
    Trust(String),
}

impl Wanted {
    /// The project with this id.
    pub(super) fn project(id: String) -> Self {
        Self::Project(NamedProject { id: Some(id), name: None, domain: None })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct NamedProject {
    id: Option<String>,
    name: Option<String>,
    domain: Option<NamedDomain>,
}

#[derive(Debug, Deserialize)]
struct NamedTrust {
    id: String,
}

/// Reads what is asked for.
///
/// # Errors
/// 400 if it is nothing that there is.
pub(super) fn wanted(scope: Option<&Value>) -> Result<Wanted, ApiError> {
    let scope = match scope {
        None | Some(Value::Null) => return Ok(Wanted::Default),
        Some(Value::String(word)) if word == "unscoped" => return Ok(Wanted::Unscoped),
        Some(Value::Object(scope)) => scope,
        Some(_) => return Err(expecting("project, domain, system, OS-TRUST:trust or unscoped", "scope")),
    };
    let given = |name: &str| scope.contains_key(name);
    if given("unscoped") {
        Ok(Wanted::Unscoped)
    } else if given("project") {
        Ok(Wanted::Project(read_open("scope", scope, "project")?))
    } else if given("domain") {
        Ok(Wanted::Domain(read_open("scope", scope, "domain")?))
    } else if given("system") {
        match scope["system"].get("all") {
            Some(Value::Bool(true)) => Ok(Wanted::System),
            _ => Err(expecting("all", "system")),
        }
    } else if given("OS-TRUST:trust") {
        let trust: NamedTrust = read_open("scope", scope, "OS-TRUST:trust")?;
        Ok(Wanted::Trust(trust.id))
    } else if scope.is_empty() {
        Ok(Wanted::Default)
    } else {
        Err(expecting("project, domain, system, OS-TRUST:trust or unscoped", "scope"))
    }
}

/// Whose a token is to be and what it is to be for.
pub(super) struct Scoped {
    pub(super) user_id: String,
    pub(super) scope: Scope,
    pub(super) trust_id: Option<String>,
    /// When the trust ends.
    pub(super) until: Option<Timestamp>,
}

/// Finds what is asked for. Whether the user has a role there is found out when the token is read.
///
/// # Errors
/// 401 for what is not there or not enabled, and nobody is told which.
pub(super) async fn scoped(
    component: &state::Identity,
    identified: &Identified,
    wanted: Wanted,
) -> Result<Scoped, ApiError> {
    let mut connection = component.database.read().await?;
    let user_id = identified.user.id.clone();
    let scoped = |scope| Ok(Scoped { user_id: user_id.clone(), scope, trust_id: None, until: None });
    // An application credential is for one project.
    if let Some(project) = &identified.application_credential_project {
        if !matches!(wanted, Wanted::Default) {
            return Err(ApiError::Refused(
                "Error authenticating with application credential: Application credentials cannot request a scope."
                    .into(),
            ));
        }
        return scoped(Scope::Project(project.clone()));
    }
    match wanted {
        Wanted::Unscoped => scoped(Scope::Unscoped),
        Wanted::Default => {
            let usable = match &identified.user.default_project_id {
                Some(project) => usable(&mut connection, &user_id, project).await?,
                None => None,
            };
            scoped(usable.map_or(Scope::Unscoped, Scope::Project))
        }
        Wanted::Project(named) => {
            let found = find_project(&mut connection, &named).await?.ok_or(ApiError::Unauthorized)?;
            scoped(Scope::Project(found.id))
        }
        Wanted::Domain(domain) => {
            if domain.id.is_none() && domain.name.is_none() {
                return Err(expecting("id or name", "domain"));
            }
            let found = domain.find(&mut connection).await?.ok_or(ApiError::Unauthorized)?;
            scoped(Scope::Domain(found))
        }
        Wanted::System => scoped(Scope::System),
        Wanted::Trust(id) => by_trust(&mut connection, identified, &id).await,
    }
}

async fn find_project(connection: &mut Connection, named: &NamedProject) -> Result<Option<Project>, ApiError> {
    let NamedProject { id, name, domain } = named;
    match reference(connection, "project", id.as_ref(), name.as_ref(), domain.as_ref()).await? {
        // A domain is none to work in, whatever its id is taken for.
        Some(which) => Ok(db::project(connection, &which).await?.filter(|found| !found.is_domain)),
        None => Ok(None),
    }
}

/// The project, if it is one that the user can work in.
async fn usable(connection: &mut Connection, user: &str, project: &str) -> Result<Option<String>, DbError> {
    let found: Option<Project> = look_up(connection, project).await?;
    let Some(found) = found.filter(|found| found.enabled && !found.is_domain) else { return Ok(None) };
    let domain = db::domain(connection, found.domain_id.as_deref(), None).await?;
    if domain.is_none_or(|domain| !domain.enabled) {
        return Ok(None);
    }
    let held = tokens::held(connection, user, AssignmentTarget::Project(&found.id), None).await?;
    Ok((!held.is_empty()).then_some(found.id))
}

async fn by_trust(connection: &mut Connection, identified: &Identified, id: &str) -> Result<Scoped, ApiError> {
    let denied = |text: &str| ApiError::Forbidden(text.to_owned());
    let (trust, roles) =
        tokens::trust(connection, id, Timestamp::now()).await?.ok_or_else(|| denied("Could not find trust."))?;
    if trust.trustee != identified.user.id {
        return Err(denied("You are not authorized to perform the requested action."));
    }
    let (project, until): (Option<String>, Option<Timestamp>) =
        sql!("SELECT project_id, expires_at FROM trusts WHERE id = "(id)).fetch_one(connection).await?;
    let scope = match project {
        Some(project) => {
            // Who gives more than he has any more gives nothing.
            let held = tokens::held(connection, &trust.trustor, AssignmentTarget::Project(&project), None).await?;
            if roles.iter().any(|role| held.iter().all(|held| held.id != *role)) {
                return Err(denied("The trustor no longer has the roles of the trust."));
            }
            Scope::Project(project)
        }
        None => Scope::Unscoped,
    };
    let user_id = if trust.impersonation { trust.trustor } else { trust.trustee };
    Ok(Scoped { user_id, scope, trust_id: Some(id.to_owned()), until })
}

/// Counts one use of a trust that may be used only so often.
///
/// # Errors
/// 403 if it was used up meanwhile.
pub(super) async fn use_trust(transaction: &mut Connection, id: &str) -> Result<(), ApiError> {
    let left = sql!(
        "UPDATE trusts SET remaining_uses = remaining_uses - 1 WHERE id = " (id)
        " AND (remaining_uses IS NULL OR remaining_uses > 0)"
    )
    .execute_one(transaction)
    .await?;
    if left { Ok(()) } else { Err(ApiError::Forbidden("No remaining uses for trust.".into())) }
}
