//! `GET /servers`, `GET /servers/detail`.

use axum::response::Response;
use novella_common::{
    db::{FromRow, Table, list::List},
    ids::InstanceUuid,
    models::Instance,
};
use novella_rest::{ApiError, list::Listing, policy::Rule};

use super::{
    filters::{SERVERS, by_address, conditions},
    view::{Occasion, View, brief_list},
};
use crate::{Request, policy};

/// Lists servers in brief: what is wanted most often, at a fraction of the price.
pub(super) async fn index(request: Request) -> Result<Response, ApiError> {
    let list = List::<(InstanceUuid, String)>::select("uuid, name", Instance::NAME, Instance::KEY);
    let listing = narrowed(&request, request.listing(list, &SERVERS)?, policy::SERVERS_INDEX_ALL).await?;
    let found = listing.page(&mut *request.state.database.read().await?).await?;
    let next = request.next_link(&found, "servers", |(uuid, _)| uuid.to_string());
    Ok(brief_list(&request, &found.items, next))
}

/// Lists servers.
pub(super) async fn detail(request: Request) -> Result<Response, ApiError> {
    let listing = narrowed(&request, request.list::<Instance>(&SERVERS)?, policy::SERVERS_DETAIL_ALL).await?;
    let found = listing.page(&mut *request.state.database.read().await?).await?;
    let next = request.next_link(&found, "servers/detail", |instance| instance.uuid.to_string());
    let view = View::load(&request, Occasion::List, &found.items).await?;
    Ok(view.list(&found.items, next))
}

/// Adds the conditions that are the list's own.
async fn narrowed<R: FromRow>(
    request: &Request,
    listing: Listing<R>,
    all_projects: Rule,
) -> Result<Listing<R>, ApiError> {
    let mut conditions = conditions(request, all_projects)?;
    conditions.filters.extend(by_address(request).await?);
    let listing = conditions.visible.into_iter().fold(listing, Listing::visible);
    Ok(conditions.filters.into_iter().fold(listing, Listing::filter))
}
