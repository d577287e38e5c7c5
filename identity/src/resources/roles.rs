//! `/roles`: what somebody may do; of the whole cloud, or of a domain.

use axum::response::Response;
use novella_common::db::{
    Connection,
    list::{Condition, Direction, SortKey},
};
use novella_rest::{
    ApiError, Links, Nullable, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body, patch,
    policy::{MANAGER, MEMBER, READER, Target},
    post,
};
use serde_json::{Map, Value, json};

use super::projects;
use crate::{
    Request,
    db::{self, Role},
    inputs::{IMMUTABLE, Name, Object, check_immutable, immutable, is_immutable},
    policy,
    resource::{self, Resource, authorized, listing, locked, name_taken, no_marker, page, with_extra},
};

static ROLES: ListDescription = ListDescription {
    filters: &[list::text("name", "name"), list::text("domain_id", "domain_id")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("name"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// Those that the manager of a domain may give, and know of.
pub(super) const MANAGED: [&str; 3] = [MANAGER, MEMBER, READER];

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/roles/{role_id}";
    vec![
        get("/roles", policy::LIST_ROLES, index).list(&ROLES, u16::MAX),
        post("/roles", policy::CREATE_ROLE, create).status(201),
        get(ONE, policy::GET_ROLE, show),
        patch(ONE, policy::UPDATE_ROLE, update),
        delete(ONE, policy::DELETE_ROLE, resource::remove::<Role>).status(204),
    ]
}

open_body! {
    /// `POST /roles`.
    struct NewRole in "role" {
        name: Name = "name",
        domain_id: Option<String> = "domain_id",
        description: Option<String> = "description",
        options: Option<Object> = "options",
    }
}

open_body! {
    /// `PATCH /roles/{role_id}`.
    struct RoleChange in "role" {
        name: Option<Name> = "name",
        domain_id: Nullable<String> = "domain_id",
        description: Nullable<String> = "description",
        options: Option<Object> = "options",
    }
}

impl Resource for Role {
    const ONE: &'static str = "role";
    const MANY: &'static str = "roles";
    const LIST: &'static ListDescription = &ROLES;

    fn id(&self) -> &str {
        &self.id
    }

    fn taken(&self) -> ApiError {
        name_taken("role", &self.name, self.domain_id.as_deref())
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        let fields = json!({
            "id": self.id, "name": self.name, "domain_id": self.domain_id, "description": self.description,
            "options": self.options,
        });
        with_extra(fields, &self.extra)
    }

    async fn before_removal(&self, _: &mut Connection) -> Result<(), ApiError> {
        if is_immutable(&self.options) { Err(immutable("delete", "role", &self.id)) } else { Ok(()) }
    }
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let mut listing = listing::<Role>(&request)?;
    if request.query.get("domain_id").is_some() {
        request.check_rule(policy::LIST_DOMAIN_ROLES, &Target::default())?;
    } else {
        resource::check_list(&request)?;
        listing = listing.filter(Condition::is_null("domain_id", true));
    }
    page(&request, listing, "roles").await
}

async fn create(request: Request, new: NewRole) -> Result<Response, ApiError> {
    let mut role = Role {
        id: db::new_id(),
        name: new.name.0,
        domain_id: new.domain_id,
        description: new.description,
        options: Map::new(),
        extra: new.extra,
    };
    IMMUTABLE.merge(&mut role.options, new.options)?;
    let mut transaction = request.state.database.begin().await?;
    if let Some(domain) = &role.domain_id {
        projects::existing_domain(&mut transaction, domain).await?;
    }
    resource::store(&request, transaction, &role).await?;
    Ok(resource::created(&request, &role))
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let role = authorized::<Role>(&request, &mut *request.state.database.read().await?, &id).await?;
    if role.domain_id.is_some() || !MANAGED.contains(&role.name.as_str()) {
        request.check_rule(policy::GET_DOMAIN_ROLE, &Target::default())?;
    }
    Ok(resource::shown(&request, &role))
}

async fn update(request: Request, Path(id): Path<String>, change: RoleChange) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut role = locked::<Role>(&request, &mut transaction, &id).await?;
    if change.domain_id.change().is_some_and(|domain| domain != role.domain_id) {
        return Err(ApiError::bad_request("Update of `domain_id` is not allowed."));
    }
    let given = [change.name.is_some(), change.description != Nullable::Missing, change.options.is_some()];
    let fields = given.into_iter().filter(|given| *given).count() + change.extra.len();
    check_immutable("role", &role.id, &role.options, fields, change.options.as_ref())?;
    if let Some(Name(name)) = change.name {
        role.name = name;
    }
    if let Some(description) = change.description.change() {
        role.description = description;
    }
    IMMUTABLE.merge(&mut role.options, change.options)?;
    role.extra.extend(change.extra);
    resource::change(&request, transaction, &role).await?;
    Ok(resource::shown(&request, &role))
}

/// A role that is named in a path or a body.
///
/// # Errors
/// 404.
pub(crate) async fn existing(connection: &mut Connection, id: &str) -> Result<Role, ApiError> {
    resource::find::<Role>(connection, id).await
}
