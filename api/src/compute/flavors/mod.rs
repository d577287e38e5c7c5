//! `/flavors`: the sizes of servers.

mod access;
mod extra_spec_rules;
mod extra_specs;
mod list;
mod manage;
mod view;

use axum::response::Response;
use novella_common::{
    db::{
        Connection, DbError,
        list::{Condition, List},
    },
    models::Flavor,
    sql,
};
use novella_rest::{ApiError, Operation, Path, delete, get, post, put};

use crate::{Request, policy, state::Api};
use view::{Brief, Detail};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    let mut operations = vec![
        get("/flavors", policy::FLAVORS, list::index).list(&list::FLAVORS, 75).answers_list::<Brief>("flavors"),
        get("/flavors/detail", policy::FLAVORS, list::detail)
            .list(&list::FLAVORS, 75)
            .answers_list::<Detail>("flavors"),
        get("/flavors/{flavor_id}", policy::FLAVORS_SHOW, show).answers::<Detail>("flavor"),
        post("/flavors", policy::FLAVORS_CREATE, manage::create).answers::<Detail>("flavor"),
        put("/flavors/{flavor_id}", policy::FLAVORS_UPDATE, manage::update).since(55).answers::<Detail>("flavor"),
        delete("/flavors/{flavor_id}", policy::FLAVORS_DELETE, manage::delete).status(202),
    ];
    operations.extend(extra_specs::operations());
    operations.extend(access::operations());
    operations
}

/// Flavors that a caller may see: public ones, and those that its project was let use.
fn seen_by(request: &Request) -> Condition {
    Condition::raw(sql!(
        "(is_public OR id IN (SELECT flavor_id FROM flavor_access WHERE project_id = "
        (request.context.project_id) "))"
    ))
}

/// The flavor of this id, if the caller may see it.
///
/// # Errors
/// 404 if not.
async fn find(request: &Request, id: &str) -> Result<Flavor, ApiError> {
    let flavor = find_in(&mut *request.state.database.read().await?, request, id).await?;
    flavor.ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("Flavor {id} could not be found."))
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
    let mut one = List::<Flavor>::all().filter(Condition::equal("id", id));
    if !request.context.is_admin {
        one = one.visible(seen_by(request));
    }
    Ok(one.page(connection).await?.unwrap_or_default().pop())
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let flavor = find(&request, &id).await?;
    Ok(view::one(&request, &flavor))
}
