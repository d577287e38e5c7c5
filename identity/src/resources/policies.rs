//! `/policies`: texts that other services may ask for. Nothing here reads them.

use axum::response::Response;
use novella_common::{
    db::list::{Direction, SortKey},
    table,
};
use novella_rest::{
    ApiError, Links, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body, patch, post,
};
use serde_json::{Map, Value, json};

use crate::{
    Request, db,
    inputs::Name,
    policy,
    resource::{self, Resource, locked, no_marker, with_extra},
};

/// A policy.
#[derive(Clone, Debug, PartialEq)]
struct Policy {
    id: String,
    kind: String,
    blob: String,
    extra: Map<String, Value>,
}

table! {
    Policy in "identity_policies", key text "id";
    id,
    kind = "type",
    blob,
    extra as Json,
}

static POLICIES: ListDescription = ListDescription {
    filters: &[list::text("type", "type")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("type"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/policies/{policy_id}";
    vec![
        get("/policies", policy::LIST_POLICIES, resource::index::<Policy>).list(&POLICIES, u16::MAX),
        post("/policies", policy::CREATE_POLICY, create).status(201),
        get(ONE, policy::GET_POLICY, resource::show::<Policy>),
        patch(ONE, policy::UPDATE_POLICY, update),
        delete(ONE, policy::DELETE_POLICY, resource::remove::<Policy>).status(204),
    ]
}

open_body! {
    /// `POST /policies`.
    struct NewPolicy in "policy" {
        kind: Name = "type",
        blob: String = "blob",
    }
}

open_body! {
    /// `PATCH /policies/{policy_id}`.
    struct PolicyChange in "policy" {
        kind: Option<Name> = "type",
        blob: Option<String> = "blob",
    }
}

impl Resource for Policy {
    const ONE: &'static str = "policy";
    const MANY: &'static str = "policies";
    const LIST: &'static ListDescription = &POLICIES;

    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        with_extra(json!({"id": self.id, "type": self.kind, "blob": self.blob}), &self.extra)
    }
}

async fn create(request: Request, new: NewPolicy) -> Result<Response, ApiError> {
    let policy = Policy { id: db::new_id(), kind: new.kind.0, blob: new.blob, extra: new.extra };
    let transaction = request.state.database.begin().await?;
    resource::store(&request, transaction, &policy).await?;
    Ok(resource::created(&request, &policy))
}

async fn update(request: Request, Path(id): Path<String>, change: PolicyChange) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut policy = locked::<Policy>(&request, &mut transaction, &id).await?;
    if let Some(Name(kind)) = change.kind {
        policy.kind = kind;
    }
    if let Some(blob) = change.blob {
        policy.blob = blob;
    }
    policy.extra.extend(change.extra);
    resource::change(&request, transaction, &policy).await?;
    Ok(resource::shown(&request, &policy))
}
