//! `/regions`: where endpoints are.

use axum::response::Response;
use novella_common::{
    db::{
        Connection,
        list::{Direction, SortKey},
    },
    sql, table,
};
use novella_rest::{
    ApiError, Links, Nullable, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    open_body, patch, post, put,
};
use serde_json::{Map, Value, json};

use crate::{
    Request, db, policy,
    resource::{self, Resource, conflict, find, locked, no_marker, with_extra},
};

/// A region.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Region {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) parent_region_id: Option<String>,
    pub(crate) extra: Map<String, Value>,
}

table! {
    Region in "regions", key text "id";
    id,
    description,
    parent_region_id,
    extra as Json,
}

static REGIONS: ListDescription = ListDescription {
    filters: &[list::text("parent_region_id", "parent_region_id")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("id"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/regions/{region_id}";
    vec![
        get("/regions", policy::LIST_REGIONS, resource::index::<Region>).list(&REGIONS, u16::MAX),
        post("/regions", policy::CREATE_REGION, create).status(201),
        put(ONE, policy::CREATE_REGION, create_named).status(201),
        get(ONE, policy::GET_REGION, resource::show::<Region>),
        patch(ONE, policy::UPDATE_REGION, update),
        delete(ONE, policy::DELETE_REGION, resource::remove::<Region>).status(204),
    ]
}

open_body! {
    /// `POST /regions`, and `PUT` of one.
    struct NewRegion in "region" {
        id: Option<String> = "id",
        description: Option<String> = "description",
        parent_region_id: Option<String> = "parent_region_id",
    }
}

open_body! {
    /// `PATCH /regions/{region_id}`.
    struct RegionChange in "region" {
        id: Option<String> = "id",
        description: Nullable<String> = "description",
        parent_region_id: Nullable<String> = "parent_region_id",
    }
}

impl Resource for Region {
    const ONE: &'static str = "region";
    const MANY: &'static str = "regions";
    const LIST: &'static ListDescription = &REGIONS;

    fn id(&self) -> &str {
        &self.id
    }

    fn taken(&self) -> ApiError {
        conflict("region", &format!("Duplicate ID, {}.", self.id))
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        let parent = &self.parent_region_id;
        let fields = json!({"id": self.id, "description": self.description, "parent_region_id": parent});
        with_extra(fields, &self.extra)
    }

    async fn before_removal(&self, transaction: &mut Connection) -> Result<(), ApiError> {
        // With all regions below it, unless one has endpoints.
        let all: Vec<String> = sql!(
            "WITH RECURSIVE below(id) AS (SELECT id FROM regions WHERE id = " (self.id)
            " UNION SELECT r.id FROM regions r JOIN below ON r.parent_region_id = below.id) SELECT id FROM below"
        )
        .fetch_all(transaction)
        .await?;
        let mut used = sql!("SELECT COUNT(*) FROM catalog_endpoints WHERE region_id");
        let used: i64 = used.is_in(&all).fetch_one(transaction).await?;
        if used > 0 {
            return Err(ApiError::Forbidden(format!(
                "Unable to delete region {} because it or its child regions have associated endpoints.",
                self.id
            )));
        }
        let mut limited = sql!("SELECT COUNT(*) FROM registered_limits WHERE region_id");
        let limited: i64 = limited.is_in(&all).fetch_one(transaction).await?;
        if limited > 0 {
            return Err(ApiError::Forbidden(format!("Unable to delete region {}: it has registered limits.", self.id)));
        }
        let below = all.iter().filter(|id| **id != self.id);
        let mut sql = sql!("UPDATE regions SET parent_region_id = NULL WHERE id");
        sql.is_in(below.clone()).execute(transaction).await?;
        let mut sql = sql!("DELETE FROM regions WHERE id");
        sql.is_in(below).execute(transaction).await?;
        Ok(())
    }
}

async fn create(request: Request, new: NewRegion) -> Result<Response, ApiError> {
    let id = new.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(db::new_id);
    written(&request, id, new).await
}

async fn create_named(request: Request, Path(id): Path<String>, new: NewRegion) -> Result<Response, ApiError> {
    if let Some(given) = new.id.as_ref().filter(|given| **given != id) {
        return Err(ApiError::bad_request(format!("Conflicting region IDs specified: \"{id}\" != \"{given}\"")));
    }
    written(&request, id, new).await
}

async fn written(request: &Request, id: String, new: NewRegion) -> Result<Response, ApiError> {
    let region = Region {
        id,
        description: new.description.unwrap_or_default(),
        parent_region_id: new.parent_region_id,
        extra: new.extra,
    };
    let mut transaction = request.state.database.begin().await?;
    if let Some(parent) = &region.parent_region_id {
        find::<Region>(&mut transaction, parent).await?;
    }
    resource::store(request, transaction, &region).await?;
    Ok(resource::created(request, &region))
}

async fn update(request: Request, Path(id): Path<String>, change: RegionChange) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut region = locked::<Region>(&request, &mut transaction, &id).await?;
    if change.id.is_some_and(|given| given != region.id) {
        return Err(ApiError::bad_request("Cannot change region ID"));
    }
    if let Some(description) = change.description.change() {
        region.description = description.unwrap_or_default();
    }
    if let Some(parent) = change.parent_region_id.change() {
        if let Some(parent) = &parent {
            find::<Region>(&mut transaction, parent).await?;
            check_circle(&mut transaction, &region.id, parent).await?;
        }
        region.parent_region_id = parent;
    }
    region.extra.extend(change.extra);
    resource::change(&request, transaction, &region).await?;
    Ok(resource::shown(&request, &region))
}

/// A region can't be below itself.
async fn check_circle(connection: &mut Connection, id: &str, parent: &str) -> Result<(), ApiError> {
    let above: Vec<String> = sql!(
        "WITH RECURSIVE up(id) AS (SELECT id FROM regions WHERE id = " (parent)
        " UNION SELECT r.parent_region_id FROM regions r JOIN up ON r.id = up.id WHERE r.parent_region_id IS NOT NULL) \
         SELECT id FROM up"
    )
    .fetch_all(connection)
    .await?;
    if above.iter().any(|above| above == id) {
        return Err(ApiError::bad_request(format!("Circular reference found region {id} as parent.")));
    }
    Ok(())
}
