//! `GET /flavors`, `GET /flavors/detail`.

use axum::response::Response;
use novella_common::{
    db::list::{Condition, Direction, SortKey},
    models::Flavor,
};
use novella_rest::{
    ApiError,
    list::{self, ListDescription, PAGED, Rows, own, sort, sort_ignored},
    truth,
};

use super::view;
use crate::Request;

/// What can be asked of a list of flavors. What is the same for all flavors here, or not kept, sorts by id.
pub(super) static FLAVORS: ListDescription = ListDescription {
    filters: &[
        own("is_public"),
        list::at_least("minRam", "memory_mb"),
        list::at_least("minDisk", "disk_gb"),
        list::text("name", "name").since(102),
    ],
    sort_keys: &[
        sort("name", SortKey::text("name")),
        sort("memory_mb", SortKey::int("memory_mb")),
        sort("root_gb", SortKey::int("disk_gb")),
        sort("vcpus", SortKey::int("vcpus")),
        sort("flavorid", SortKey::text("id")),
        sort("id", SortKey::text("id")),
        sort("description", SortKey::text("description").nullable()),
        sort("ephemeral_gb", SortKey::int("ephemeral_gb")),
        sort("is_public", SortKey::boolean("is_public")),
        sort("swap", SortKey::int("swap_mb")),
        sort_ignored("created_at"),
        sort_ignored("updated_at"),
        sort_ignored("disabled"),
        sort_ignored("rxtx_factor"),
        sort_ignored("vcpu_weight"),
    ],
    default_sort: &[(SortKey::text("id"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker: |marker| format!("marker [{marker}] not found"),
};

/// Lists flavors in brief.
pub(super) async fn index(request: Request) -> Result<Response, ApiError> {
    let flavors = page(&request).await?;
    let next = request.next_link(&flavors, "flavors", |flavor| flavor.id.clone());
    Ok(view::brief_list(&request, &flavors.items, next))
}

/// Lists flavors.
pub(super) async fn detail(request: Request) -> Result<Response, ApiError> {
    let flavors = page(&request).await?;
    let next = request.next_link(&flavors, "flavors/detail", |flavor| flavor.id.clone());
    Ok(view::list(&request, &flavors.items, next))
}

async fn page(request: &Request) -> Result<Rows<Flavor>, ApiError> {
    let mut listing = request.list(&FLAVORS)?;
    if !request.context.is_admin {
        listing = listing.visible(super::seen_by(request));
    }
    let listing = listing.filter_by(visibility(request)?);
    listing.page(&mut *request.state.database.read().await?).await
}

/// Only administrators see other private flavors than their project's, and only if they ask.
fn visibility(request: &Request) -> Result<Option<Condition>, ApiError> {
    let public = |public: bool| match public {
        true => Ok(Some(super::seen_by(request))),
        false => Ok(Some(Condition::equal("is_public", &false))),
    };
    match request.query.get("is_public") {
        _ if !request.context.is_admin => Ok(None),
        None => public(true),
        Some(text) if text.eq_ignore_ascii_case("none") => Ok(None),
        Some(text) => match truth(text) {
            Some(wanted) => public(wanted),
            None => Err(ApiError::bad_request(format!("Invalid is_public filter [{text}]"))),
        },
    }
}
