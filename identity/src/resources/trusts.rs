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
    let mut ids = Vec::new();
    for role in asked {
        ids.push(role_id(&mut transaction, role).await?);
    }
    if let Some(project) = &new.project_id {
        projects::existing_project(&mut transaction, project).await?;
        let holder = passed_on.as_ref().map_or(user.as_str(), |trust| trust.trustor_user_id.as_str());
        let limited_to = passed_on.as_ref().map(|trust| trust.roles.as_slice());
        let held = tokens::held(&mut transaction, holder, AssignmentTarget::Project(project), limited_to).await?;
        if let Some(id) = ids.iter().find(|id| held.iter().all(|role| role.id != **id)) {
            return Err(not_found("role", id));
        }
    }
    let deepest = new.redelegation_count.unwrap_or(MAX_REDELEGATION).clamp(0, MAX_REDELEGATION);
    let trust = Trust {
        id: db::new_id(),
        trustor_user_id: passed_on.as_ref().map_or(new.trustor_user_id, |trust| trust.trustor_user_id.clone()),
        trustee_user_id: new.trustee_user_id,
        project_id: new.project_id,
        impersonation: new.impersonation,
        roles: ids,
        expires_at: passed_on
            .as_ref()
            .and_then(|trust| trust.expires_at)
            .map_or(expires_at, |latest| Some(expires_at.map_or(latest, |own| own.min(latest)))),
        remaining_uses: new.remaining_uses,
        redelegation_count: match (&passed_on, new.allow_redelegation) {
            (Some(trust), _) => trust.redelegation_count - 1,
            (None, Some(true)) => deepest,
            (None, _) => 0,
        },
        redelegated_trust_id: passed_on.map(|trust| trust.id),
    };
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
    let trust = trust.ok_or_else(|| not_found("trust", id))?;
    if trust.redelegation_count < 1 {
        return Err(denied("Redelegation allowed for delegated by trust only"));
    }
    Ok(Some(trust))
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
