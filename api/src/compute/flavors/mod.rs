//! `/flavors`: the sizes of servers.

mod list;
mod manage;
mod view;

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use novella_common::{
    db::{Connection, DbError, flavors},
    models::Flavor,
    policy,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    microversion::{Microversion, Served, ServedExt},
    strict_query::WithoutQueryExt,
};
use crate::{authentication::Caller, error::ApiError, links::Links, state::Api};
use view::{FlavorBody, SpecsBody, View};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::index))
        .routes(routes!(list::detail))
        .routes(routes!(show).without_query())
        .routes(routes!(manage::create))
        .routes(routes!(manage::update).served(Served::since(55)))
        .routes(routes!(manage::delete))
        .routes(routes!(extra_specs).without_query())
        .routes(routes!(extra_spec).without_query())
}

/// Whether a caller may see a flavor: a private one has no access list here, so only administrators.
fn visible(flavor: &Flavor, caller: &Caller) -> bool {
    flavor.is_public || caller.context.is_admin
}

/// The flavor of this id, if the caller may see it.
///
/// # Errors
/// 404 if not.
async fn find(api: &Api, caller: &Caller, id: &str) -> Result<Flavor, ApiError> {
    let flavor = find_in(&mut *api.database.read().await?, caller, id).await?;
    flavor.ok_or_else(|| ApiError::not_found(format!("Flavor {id} could not be found.")))
}

/// The flavor of this id, if there is one and the caller may see it.
///
/// # Errors
/// The database can't be read.
pub(super) async fn find_in(connection: &mut Connection, caller: &Caller, id: &str) -> Result<Option<Flavor>, DbError> {
    Ok(flavors::get(connection, id).await?.filter(|flavor| visible(flavor, caller)))
}

/// Shows a flavor.
#[utoipa::path(
    get,
    path = "/flavors/{flavor_id}",
    tag = "flavors",
    params(("flavor_id" = String, Path)),
    responses((status = 200, body = FlavorBody)),
)]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let flavor = find(&api, &caller, &id).await?;
    Ok(View::new(version, &caller, &links).one(&flavor))
}

/// Lists a flavor's extra specs.
#[utoipa::path(
    get,
    path = "/flavors/{flavor_id}/os-extra_specs",
    tag = "flavors",
    params(("flavor_id" = String, Path)),
    responses((status = 200, body = SpecsBody)),
)]
async fn extra_specs(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<SpecsBody>, ApiError> {
    policy::FLAVOR_EXTRA_SPECS_INDEX.check_own(&caller.context)?;
    let flavor = find(&api, &caller, &id).await?;
    Ok(Json(SpecsBody { extra_specs: flavor.extra_specs }))
}

/// Shows one of a flavor's extra specs.
#[utoipa::path(
    get,
    path = "/flavors/{flavor_id}/os-extra_specs/{key}",
    tag = "flavors",
    params(("flavor_id" = String, Path), ("key" = String, Path)),
    responses((status = 200, body = BTreeMap<String, String>)),
)]
async fn extra_spec(
    State(api): State<Api>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<BTreeMap<String, String>>, ApiError> {
    policy::FLAVOR_EXTRA_SPECS_SHOW.check_own(&caller.context)?;
    let flavor = find(&api, &caller, &id).await?;
    let value = flavor.extra_specs.get(&key).cloned();
    let value = value.ok_or_else(|| ApiError::not_found(format!("Flavor {id} has no extra specs with key {key}.")))?;
    Ok(Json([(key, value)].into()))
}
