//! `/flavors`: the sizes of servers.

mod list;
mod manage;
mod view;

use std::collections::BTreeMap;

use axum::{Json, response::Response};
use novella_common::{
    db::{Connection, DbError, flavors},
    models::Flavor,
};
use novella_rest::{ApiError, Operation, Path, delete, get, post, put};

use crate::{Request, policy, state::Api};
use view::{Brief, Detail};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/flavors", policy::FLAVORS, list::index).list(&list::FLAVORS, 75).answers_list::<Brief>("flavors"),
        get("/flavors/detail", policy::FLAVORS, list::detail)
            .list(&list::FLAVORS, 75)
            .answers_list::<Detail>("flavors"),
        get("/flavors/{flavor_id}", policy::FLAVORS_SHOW, show).answers::<Detail>("flavor"),
        post("/flavors", policy::FLAVORS_CREATE, manage::create).answers::<Detail>("flavor"),
        put("/flavors/{flavor_id}", policy::FLAVORS_UPDATE, manage::update).since(55).answers::<Detail>("flavor"),
        delete("/flavors/{flavor_id}", policy::FLAVORS_DELETE, manage::delete).status(202),
        get("/flavors/{flavor_id}/os-extra_specs", policy::FLAVOR_EXTRA_SPECS_INDEX, extra_specs).answers::<BTreeMap<
            String,
            String,
        >>(
            "extra_specs"
        ),
        get("/flavors/{flavor_id}/os-extra_specs/{key}", policy::FLAVOR_EXTRA_SPECS_SHOW, extra_spec)
            .answers::<BTreeMap<String, String>>(""),
    ]
}

/// Whether a caller may see a flavor: a private one has no access list here, so only administrators.
fn visible(flavor: &Flavor, request: &Request) -> bool {
    flavor.is_public || request.context.is_admin
}

/// The flavor of this id, if the caller may see it.
///
/// # Errors
/// 404 if not.
async fn find(request: &Request, id: &str) -> Result<Flavor, ApiError> {
    let flavor = find_in(&mut *request.state.database.read().await?, request, id).await?;
    flavor.ok_or_else(|| ApiError::not_found(format!("Flavor {id} could not be found.")))
}

/// The flavor of this id, if there is one and the caller may see it.
///
/// # Errors
/// The database can't be read.
pub(super) async fn find_in(
    connection: &mut Connection,
    request: &Request,
    id: &str,
) -> Result<Option<Flavor>, DbError> {
    Ok(flavors::get(connection, id).await?.filter(|flavor| visible(flavor, request)))
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let flavor = find(&request, &id).await?;
    Ok(view::one(&request, &flavor))
}

async fn extra_specs(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let flavor = find(&request, &id).await?;
    Ok(request.plain("extra_specs", flavor.extra_specs))
}

async fn extra_spec(
    request: Request,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<BTreeMap<String, String>>, ApiError> {
    let flavor = find(&request, &id).await?;
    let value = flavor.extra_specs.get(&key).cloned();
    let value = value.ok_or_else(|| ApiError::not_found(format!("Flavor {id} has no extra specs with key {key}.")))?;
    Ok(Json([(key, value)].into()))
}
