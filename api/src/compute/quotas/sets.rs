//! `/os-quota-sets`: the limits of projects, and of users in them.

use axum::{http::StatusCode, response::Response};
use novella_common::db::{
    Connection, DbError,
    quotas::{self, ServersInUse},
};
use novella_rest::{
    ApiError, FieldTable, Operation, Path, delete, field, get,
    inputs::{Flag, Integer},
    put,
};

use super::{
    Amounts, Limits, Resource, UNLIMITED,
    view::{LimitsView, SET, UsageView},
};
use crate::{Request, compute::server_groups, policy, state::Api};

const OF_USER: FieldTable = FieldTable(&[field("user_id")]);

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ONE: &str = "/os-quota-sets/{project_id}";
    vec![
        get(ONE, policy::QUOTA_SETS_SHOW, show).query(OF_USER, 75).answers::<LimitsView>("quota_set"),
        get("/os-quota-sets/{project_id}/detail", policy::QUOTA_SETS_DETAIL, detail)
            .query(OF_USER, 75)
            .answers::<UsageView>("quota_set"),
        // No version refuses parameters here, as in Nova.
        get("/os-quota-sets/{project_id}/defaults", policy::QUOTA_SETS_DEFAULTS, defaults)
            .query(FieldTable(&[]), u16::MAX)
            .answers::<LimitsView>("quota_set"),
        put(ONE, policy::QUOTA_SETS_UPDATE, update).query(OF_USER, 75).answers::<LimitsView>("quota_set"),
        delete(ONE, policy::QUOTA_SETS_DELETE, remove).query(OF_USER, 75).status(202),
    ]
}

new_limits! {
    /// `PUT /os-quota-sets/{project_id}`.
    "quota_set", network until 35, force: Option<Flag> = "force"
}

/// Refuses a project that does not exist, as Nova does, which asks Identity.
async fn check_project(request: &Request, project: &str) -> Result<(), ApiError> {
    if request.state.projects.exists(project).await? {
        return Ok(());
    }
    Err(ApiError::bad_request(format!("Project ID {project} is not a valid project.")))
}

/// The user that the query names.
fn user(request: &Request) -> Option<&str> {
    request.query.get("user_id").filter(|user| !user.is_empty())
}

/// The limits of the project, or of the user in it.
async fn limits(connection: &mut Connection, request: &Request, project: &str) -> Result<Amounts, DbError> {
    let user = user(request);
    let limits = Limits::of(connection, &request.state.quota, project, user).await?;
    Ok(if user.is_some() { limits.user } else { limits.project })
}

/// What a project has, or a user in it. Key pairs and members of groups belong to no project, and count as none here, as in
/// Nova.
async fn in_use(connection: &mut Connection, project: &str, user: Option<&str>) -> Result<Amounts, DbError> {
    let (all, own) = quotas::servers_in_use(connection, project, user.unwrap_or_default()).await?;
    let ServersInUse { instances, cores, ram } = if user.is_some() { own } else { all };
    let mut in_use = Amounts::NOTHING;
    in_use[Resource::Instances] = instances;
    in_use[Resource::Cores] = cores;
    in_use[Resource::Ram] = ram;
    in_use[Resource::ServerGroups] = server_groups::count(connection, project, user).await?;
    Ok(in_use)
}

async fn show(request: Request, Path(project): Path<String>) -> Result<Response, ApiError> {
    policy::QUOTA_SETS_SHOW.check(&request.context, Some(&project))?;
    check_project(&request, &project).await?;
    let limits = limits(&mut *request.state.database.read().await?, &request, &project).await?;
    Ok(request.answer(&SET).object("quota_set", LimitsView::new(Some(project), &limits)))
}

async fn detail(request: Request, Path(project): Path<String>) -> Result<Response, ApiError> {
    policy::QUOTA_SETS_DETAIL.check(&request.context, Some(&project))?;
    check_project(&request, &project).await?;
    let mut connection = request.state.database.read().await?;
    let limits = limits(&mut connection, &request, &project).await?;
    let in_use = in_use(&mut connection, &project, user(&request)).await?;
    Ok(request.answer(&SET).object("quota_set", UsageView::new(project, &limits, &in_use)))
}

async fn defaults(request: Request, Path(project): Path<String>) -> Result<Response, ApiError> {
    check_project(&request, &project).await?;
    let mut connection = request.state.database.read().await?;
    let class = quotas::of_class(&mut connection, quotas::DEFAULT_CLASS).await?;
    let limits = Amounts::configured(&request.state.quota).with(class);
    Ok(request.answer(&SET).object("quota_set", LimitsView::new(Some(project), &limits)))
}

async fn update(request: Request, Path(project): Path<String>, new: NewLimits) -> Result<Response, ApiError> {
    check_project(&request, &project).await?;
    let user = user(&request);
    let changes = new.changes();
    let mut transaction = request.state.database.begin().await?;
    // What a server is counted under: none is made while this looks and writes.
    quotas::lock(&mut transaction, &super::servers::lock_name(&project)).await?;
    if !new.force.is_some_and(|force| force.0) {
        let bounds = Bounds::of(&mut transaction, &request, &project, user).await?;
        changes.iter().try_for_each(|(resource, limit)| bounds.check(*resource, *limit))?;
    }
    let named = |per_project: bool| -> Vec<(&str, i64)> {
        let chosen = changes.iter().filter(|(resource, _)| resource.is_per_project() == per_project);
        chosen.map(|(resource, limit)| (resource.as_str(), *limit)).collect()
    };
    quotas::set(&mut transaction, &project, user, &named(false)).await?;
    quotas::set(&mut transaction, &project, None, &named(true)).await?;
    let limits = limits(&mut transaction, &request, &project).await?;
    transaction.commit().await?;
    Ok(request.answer(&SET).object("quota_set", LimitsView::new(None, &limits)))
}

async fn remove(request: Request, Path(project): Path<String>) -> Result<StatusCode, ApiError> {
    quotas::clear(&mut *request.state.database.write().await?, &project, user(&request)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Between what a new limit has to be, unless it is forced: no less than what is in use and what the project's users were
/// given, and for a user no more than the project has left.
struct Bounds {
    least: Amounts,
    most: Amounts,
}

impl Bounds {
    async fn of(
        connection: &mut Connection,
        request: &Request,
        project: &str,
        user: Option<&str>,
    ) -> Result<Self, DbError> {
        let limits = Limits::of(connection, &request.state.quota, project, user).await?;
        let given = Amounts::NOTHING.with(quotas::given_to_users(connection, project).await?);
        let in_use = in_use(connection, project, user).await?;
        let own: Vec<_> = quotas::limits(connection, project, user)
            .await?
            .into_iter()
            .filter(|set| set.of == quotas::Of::User)
            .map(|set| (set.resource, set.limit))
            .collect();
        let own = Amounts::NOTHING.with(own);
        let (mut least, mut most) = (in_use, Amounts([UNLIMITED; Resource::ALL.len()]));
        for resource in Resource::ALL.iter().copied() {
            match user {
                None => least[resource] = least[resource].max(given[resource]),
                Some(_) if limits.project[resource] == UNLIMITED => {}
                // What is left of the project's, beside this user's own. Less than nothing is nothing.
                Some(_) => most[resource] = (limits.project[resource] - given[resource] + own[resource]).max(0),
            }
        }
        Ok(Self { least, most })
    }

    fn check(&self, resource: Resource, limit: i64) -> Result<(), ApiError> {
        let endless = |limit: i64| if limit == UNLIMITED { i64::MAX } else { limit };
        let (name, least, most) = (resource.as_str(), self.least[resource], self.most[resource]);
        if endless(limit) < least {
            return Err(ApiError::bad_request(format!(
                "Quota limit {limit} for {name} must be greater than or equal to already used and reserved {least}."
            )));
        }
        if endless(limit) > endless(most) {
            return Err(ApiError::bad_request(format!(
                "Quota limit {limit} for {name} must be less than or equal to {most}."
            )));
        }
        Ok(())
    }
}
