//! `/OS-TRUST/trusts`: one user lets another one do something in his place.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use novella_common::{
    db::{
        Connection,
        list::{Condition, Direction, List, SortKey},
    },
    table,
};
use novella_rest::{
    ApiError, Links, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body,
    policy::{Denied, Target},
    post,
    times::MicrosUtc,
};
use serde_json::{Map, Value, json};

use super::{
    application_credentials::{RoleReference, expiry, role_id},
    projects, users,
};
use crate::{
    Request,
    auth::delegation::is_delegated,
    db::{self, Role, roles::AssignmentTarget, tokens},
    policy,
    resource::{self, Resource, delete_row, listing, look_up, no_marker, not_found, page},
};

/// A trust.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trust {
    id: String,
    trustor_user_id: String,
    trustee_user_id: String,
    project_id: Option<String>,
    impersonation: bool,
    /// Ids.
    roles: Vec<String>,
    expires_at: Option<Timestamp>,
    remaining_uses: Option<i64>,
    redelegated_trust_id: Option<String>,
    redelegation_count: i64,
}

table! {
    Trust in "trusts", key text "id";
    id,
    trustor_user_id,
    trustee_user_id,
    project_id,
    impersonation,
    roles as Json,
    expires_at,
    remaining_uses,
    redelegated_trust_id,
    redelegation_count,
}

static TRUSTS: ListDescription = ListDescription {
    filters: &[list::text("trustor_user_id", "trustor_user_id"), list::text("trustee_user_id", "trustee_user_id")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("id"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// How often a trust may be passed on: Keystone's default.
const MAX_REDELEGATION: i64 = 3;

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ALL: &str = "/OS-TRUST/trusts";
    const ONE: &str = "/OS-TRUST/trusts/{trust_id}";
    vec![
        get(ALL, policy::LIST_TRUSTS, index).list(&TRUSTS, u16::MAX),
        // As OpenStack's conformance suite asks.
        get("/OS-TRUST/trusts/", policy::LIST_TRUSTS, index).list(&TRUSTS, u16::MAX),
        post(ALL, policy::CREATE_TRUST, create).status(201),
        get(ONE, policy::GET_TRUST, show),
        delete(ONE, policy::DELETE_TRUST, remove).status(204),
        get("/OS-TRUST/trusts/{trust_id}/roles", policy::LIST_ROLES_FOR_TRUST, roles),
        get("/OS-TRUST/trusts/{trust_id}/roles/{role_id}", policy::GET_ROLE_FOR_TRUST, role),
    ]
}

open_body! {
    /// `POST /OS-TRUST/trusts`.
    struct NewTrust in "trust" {
        trustor_user_id: String = "trustor_user_id",
        trustee_user_id: String = "trustee_user_id",
        impersonation: bool = "impersonation",
        project_id: Option<String> = "project_id",
        roles: Option<Vec<RoleReference>> = "roles",
        expires_at: Option<String> = "expires_at",
        remaining_uses: Option<i64> = "remaining_uses",
        allow_redelegation: Option<bool> = "allow_redelegation",
        redelegation_count: Option<i64> = "redelegation_count",
    }
}

impl Resource for Trust {
    const ONE: &'static str = "trust";
    const MANY: &'static str = "trusts";
    const PATH: &'static str = "OS-TRUST/trusts";
    const LIST: &'static ListDescription = &TRUSTS;

    fn id(&self) -> &str {
        &self.id
    }

    /// Without the roles, which lists do not have.
    fn fields(&self, _: &Links) -> Map<String, Value> {
        let fields = json!({
            "id": self.id, "trustor_user_id": self.trustor_user_id, "trustee_user_id": self.trustee_user_id,
            "project_id": self.project_id, "impersonation": self.impersonation,
            "expires_at": self.expires_at.map(|time| MicrosUtc(time).to_string()),
            "remaining_uses": self.remaining_uses, "deleted_at": null,
            "redelegated_trust_id": self.redelegated_trust_id, "redelegation_count": self.redelegation_count,
        });
        resource::with_extra(fields, &Map::new())
    }
}

/// Refuses tokens that somebody was lent.
fn only_primary(request: &Request, by_trust: bool) -> Result<(), ApiError> {
    let Some(token) = &request.token else { return Ok(()) };
    if is_delegated(token) && !(by_trust && token.trust.is_some()) {
        return Err(denied("Delegated tokens cannot manage trusts."));
    }
    Ok(())
}

fn denied(what: &str) -> ApiError {
    ApiError::Forbidden(format!("You are not authorized to perform the requested action: {what}."))
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let given = |name: &str| request.query.get(name);
    match given("trustor_user_id").or(given("trustee_user_id")) {
        Some(user) => request.check_target(&Target::of_user(user))?,
        None => request.check_target(&Target::default())?,
    }
    only_primary(&request, false)?;
    let listing = listing::<Trust>(&request)?;
    page(&request, listing, Trust::PATH).await
}

async fn create(request: Request, new: NewTrust) -> Result<Response, ApiError> {
    let user = request.user().to_owned();
    // An administrator, too, gives only what is his own.
    if user != new.trustor_user_id {
        return Err(Denied(request.rule).into());
    }
    request.check_target(&Target::of_user(&user))?;
    only_primary(&request, true)?;
    let asked = new.roles.unwrap_or_default();
    if new.project_id.is_some() && asked.is_empty() {
        return Err(denied("At least one role should be specified"));
    }
    if new.remaining_uses.is_some_and(|uses| uses < 1) {
        return Err(ApiError::bad_request("Invalid input for field/attribute remaining_uses. It must be at least 1."));
    }
    let expires_at = expiry(new.expires_at.as_deref())?;
    let mut transaction = request.state.database.begin().await?;
    users::existing(&mut transaction, &new.trustee_user_id).await?;
    let passed_on = passed_on(&request, &mut transaction).await?;
    let redelegation_count =
        depth(passed_on.as_ref(), new.allow_redelegation, new.redelegation_count, new.remaining_uses)?;
    let mut ids = Vec::new();
    for role in asked {
        ids.push(role_id(&mut transaction, role).await?);
    }
    if let Some(project) = &new.project_id {
        projects::existing_project(&mut transaction, project).await?;
        let holder = passed_on.as_ref().map_or(user.as_str(), |trust| trust.trustor_user_id.as_str());
        let held = tokens::held(&mut transaction, holder, AssignmentTarget::Project(project), None).await?;
        if let Some(id) = ids.iter().find(|id| held.iter().all(|role| role.id != **id)) {
            return Err(not_found("role", id));
        }
    }
    let trust = Trust {
        id: db::new_id(),
        trustor_user_id: passed_on.as_ref().map_or(new.trustor_user_id, |trust| trust.trustor_user_id.clone()),
        trustee_user_id: new.trustee_user_id,
        project_id: new.project_id,
        impersonation: new.impersonation,
        roles: ids,
        expires_at: expires_at.or(passed_on.as_ref().and_then(|trust| trust.expires_at)),
        remaining_uses: new.remaining_uses,
        redelegation_count,
        redelegated_trust_id: passed_on.as_ref().map(|trust| trust.id.clone()),
    };
    if let Some(parent) = &passed_on {
        check_redelegation(parent, &trust)?;
    }
    let links = request.links.clone();
    let held = roles_of(&mut transaction, &trust).await?;
    resource::store(&request, transaction, &trust).await?;
    Ok((StatusCode::CREATED, Json(json!({"trust": with_roles(&trust, &held, &links)}))).into_response())
}

/// The trust that this request passes on, if its token is one of a trust.
async fn passed_on(request: &Request, connection: &mut Connection) -> Result<Option<Trust>, ApiError> {
    let Some(id) = request.token.as_ref().and_then(|token| token.trust.as_ref()).map(|trust| &trust.id) else {
        return Ok(None);
    };
    let trust: Option<Trust> = look_up(connection, id).await?;
    Ok(Some(trust.ok_or_else(|| not_found("trust", id))?))
}

/// How often a new trust may be passed on.
///
/// # Errors
/// 403 for more often than may be, 400 if it may also be used only so often.
fn depth(
    parent: Option<&Trust>,
    allowed: Option<bool>,
    asked: Option<i64>,
    remaining_uses: Option<i64>,
) -> Result<i64, ApiError> {
    if allowed != Some(true) || asked.is_some_and(|asked| asked < 1) {
        return Ok(0);
    }
    if let Some(asked) = asked.filter(|asked| *asked > MAX_REDELEGATION) {
        return Err(ApiError::Forbidden(format!(
            "Requested redelegation depth of {asked} is greater than allowed {MAX_REDELEGATION}"
        )));
    }
    if remaining_uses.is_some() {
        return Err(ApiError::bad_request("remaining_uses must not be set if redelegation is allowed"));
    }
    match (parent.map(|parent| parent.redelegation_count - 1), asked) {
        (Some(left), Some(asked)) if asked != left => Err(ApiError::Forbidden(
            "Modifying \"redelegation_count\" upon redelegation is forbidden. Omitting this parameter is advised."
                .into(),
        )),
        (Some(left), _) => Ok(left),
        (None, asked) => Ok(asked.unwrap_or(MAX_REDELEGATION)),
    }
}

/// Refuses a trust that passes on more than was given.
///
/// # Errors
/// 403, as Keystone; which does not refuse another project, but it was not given either.
fn check_redelegation(parent: &Trust, trust: &Trust) -> Result<(), ApiError> {
    let refused = |why: String| Err(ApiError::Forbidden(why));
    let depth = parent.redelegation_count;
    if !(1..=MAX_REDELEGATION).contains(&depth) {
        return refused(format!(
            "Remaining redelegation depth of {depth} out of allowed range of [0..{MAX_REDELEGATION}]"
        ));
    }
    // A parent has them only if it is from before they were refused.
    if let Some(uses) = trust.remaining_uses.or(parent.remaining_uses) {
        return refused(format!(
            "Field \"remaining_uses\" is set to {uses} while it must not be set in order to redelegate a trust"
        ));
    }
    if parent.expires_at.is_some_and(|latest| trust.expires_at.is_none_or(|until| until > latest)) {
        return refused("Requested expiration time is more than redelegated trust can provide".into());
    }
    if trust.roles.iter().any(|role| !parent.roles.contains(role)) {
        return refused("Some of requested roles are not in redelegated trust".into());
    }
    if trust.impersonation && !parent.impersonation {
        return refused(format!(
            "Impersonation is not allowed because redelegated trust does not specify impersonation. Redelegated trust \
             id: {}",
            parent.id
        ));
    }
    if trust.project_id != parent.project_id {
        return refused("Requested project is not that of the redelegated trust".into());
    }
    Ok(())
}

async fn roles_of(connection: &mut Connection, trust: &Trust) -> Result<Vec<Role>, ApiError> {
    let list = List::<Role>::all().filter(Condition::is_in("id", &trust.roles));
    Ok(list.page(connection).await?.unwrap_or_default())
}

fn with_roles(trust: &Trust, roles: &[Role], links: &Links) -> Value {
    let mut view = resource::view(trust, links);
    view["roles"] = roles.iter().map(|role| resource::view(role, links)).collect::<Vec<_>>().into();
    view["roles_links"] = roles_links(trust, links);
    view
}

fn roles_links(trust: &Trust, links: &Links) -> Value {
    let own = links.to(&format!("OS-TRUST/trusts/{}/roles", trust.id));
    json!({"self": own, "next": null, "previous": null})
}

/// A trust that the caller gives or takes, or may look at. Unlike elsewhere, one that is not there is 404 to anybody.
async fn existing(request: &Request, connection: &mut Connection, id: &str) -> Result<Trust, ApiError> {
    let found: Option<Trust> = look_up(connection, id).await?;
    let now = Timestamp::now();
    let found = found.filter(|trust| trust.expires_at.is_none_or(|until| until > now));
    let trust = found.ok_or_else(|| not_found("trust", id))?;
    let as_giver = request.check_target(&Target::of_user(&trust.trustor_user_id));
    as_giver.or_else(|_| request.check_target(&Target::of_user(&trust.trustee_user_id)))?;
    Ok(trust)
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let trust = existing(&request, &mut connection, &id).await?;
    only_primary(&request, false)?;
    let held = roles_of(&mut connection, &trust).await?;
    Ok(Json(json!({"trust": with_roles(&trust, &held, &request.links)})).into_response())
}

async fn remove(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let found: Option<Trust> = look_up(&mut transaction, &id).await?;
    let trust = found.ok_or_else(|| not_found("trust", &id))?;
    request.check_target(&Target::of_user(&trust.trustor_user_id))?;
    only_primary(&request, false)?;
    delete_row::<Trust>(&mut transaction, &trust.id).await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn roles(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let trust = existing(&request, &mut connection, &id).await?;
    only_primary(&request, false)?;
    let held = roles_of(&mut connection, &trust).await?;
    let views: Vec<Value> = held.iter().map(|role| resource::view(role, &request.links)).collect();
    Ok(Json(json!({"roles": views, "links": roles_links(&trust, &request.links)})).into_response())
}

async fn role(request: Request, Path((id, role)): Path<(String, String)>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let trust = existing(&request, &mut connection, &id).await?;
    only_primary(&request, false)?;
    let held = roles_of(&mut connection, &trust).await?;
    let found = held.iter().find(|held| held.id == role).ok_or_else(|| not_found("role", &role))?;
    Ok(resource::shown(&request, found))
}
