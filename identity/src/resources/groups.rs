//! `/groups`: users who have roles together.

use axum::response::Response;
use novella_common::db::list::{Direction, SortKey};
use novella_rest::{
    ApiError, Links, Nullable, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body, patch,
    policy::Target,
    post,
};
use serde_json::{Map, Value, json};

use super::{domains, projects};
use crate::{
    Request,
    db::{self, Group},
    inputs::Name,
    policy,
    resource::{self, Resource, listing, locked, name_taken, no_marker, page, with_extra},
};

pub(super) static GROUPS: ListDescription = ListDescription {
    filters: &[list::text("domain_id", "domain_id"), list::text("name", "name")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("name"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/groups/{group_id}";
    vec![
        get("/groups", policy::LIST_GROUPS, index).list(&GROUPS, u16::MAX),
        post("/groups", policy::CREATE_GROUP, create).status(201),
        get(ONE, policy::GET_GROUP, resource::show::<Group>),
        patch(ONE, policy::UPDATE_GROUP, update),
        delete(ONE, policy::DELETE_GROUP, resource::remove::<Group>).status(204),
    ]
}

open_body! {
    /// `POST /groups`.
    struct NewGroup in "group" {
        name: Name = "name",
        domain_id: Option<String> = "domain_id",
        description: Option<String> = "description",
    }
}

open_body! {
    /// `PATCH /groups/{group_id}`.
    struct GroupChange in "group" {
        name: Option<Name> = "name",
        domain_id: Option<String> = "domain_id",
        description: Nullable<String> = "description",
    }
}

impl Resource for Group {
    const ONE: &'static str = "group";
    const MANY: &'static str = "groups";
    const LIST: &'static ListDescription = &GROUPS;

    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        let fields = json!({
            "id": self.id, "name": self.name, "domain_id": self.domain_id, "description": self.description,
        });
        with_extra(fields, &self.extra)
    }

    fn taken(&self) -> ApiError {
        name_taken("group", &self.name, Some(&self.domain_id))
    }

    fn target(&self) -> Target<'_> {
        Target::of_domain(Some(&self.domain_id))
    }
}

async fn index(request: Request) -> Result<Response, ApiError> {
    resource::check_list(&request)?;
    let listing = listing::<Group>(&request)?.filter_by(projects::own_domain(&request, "domain_id"));
    page(&request, listing, "groups").await
}

async fn create(request: Request, new: NewGroup) -> Result<Response, ApiError> {
    request.check_target(&Target::of_domain(new.domain_id.as_deref()))?;
    let mut transaction = request.state.database.begin().await?;
    let group = Group {
        id: db::new_id(),
        domain_id: domains::of_new(&request, &mut transaction, new.domain_id).await?,
        name: new.name.0,
        description: Some(new.description.unwrap_or_default()),
        extra: new.extra,
    };
    resource::store(&request, transaction, &group).await?;
    Ok(resource::created(&request, &group))
}

async fn update(request: Request, Path(id): Path<String>, change: GroupChange) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut group = locked::<Group>(&request, &mut transaction, &id).await?;
    if change.domain_id.is_some_and(|domain| domain != group.domain_id) {
        return Err(ApiError::bad_request("Cannot change Domain ID"));
    }
    if let Some(Name(name)) = change.name {
        group.name = name;
    }
    if let Some(description) = change.description.change() {
        group.description = description;
    }
    group.extra.extend(change.extra);
    resource::change(&request, transaction, &group).await?;
    Ok(resource::shown(&request, &group))
}
