//! Which projects may use a private flavor.

use axum::response::Response;
use novella_common::{db::flavors, models::Flavor};
use novella_rest::{ApiError, Operation, Path, body, get, inputs::Text, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::find;
use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ACTION: &str = "/flavors/{flavor_id}/action";
    vec![
        get("/flavors/{flavor_id}/os-flavor-access", policy::FLAVOR_ACCESS, index)
            .answers_list::<Access>("flavor_access"),
        post(ACTION, policy::FLAVOR_ACCESS_ADD, add).action("addTenantAccess").answers_list::<Access>("flavor_access"),
        post(ACTION, policy::FLAVOR_ACCESS_REMOVE, remove)
            .action("removeTenantAccess")
            .answers_list::<Access>("flavor_access"),
    ]
}

body! {
    /// `addTenantAccess`.
    struct Add in "addTenantAccess" {
        tenant: Text<255> = "tenant",
    }
}

body! {
    /// `removeTenantAccess`.
    struct Remove in "removeTenantAccess" {
        tenant: Text<255> = "tenant",
    }
}

#[derive(Serialize, ToSchema)]
struct Access<'f> {
    flavor_id: &'f str,
    tenant_id: String,
}

async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let flavor = find(&request, &id).await?;
    if flavor.is_public {
        return Err(ApiError::not_found("Access list not available for public flavors."));
    }
    list(&request, &flavor).await
}

async fn add(
    request: Request,
    Path(id): Path<String>,
    Add { tenant: Text(project) }: Add,
) -> Result<Response, ApiError> {
    if !request.state.projects.exists(&project).await? {
        return Err(ApiError::bad_request(format!("Project ID {project} is not a valid project.")));
    }
    let flavor = find(&request, &id).await?;
    if flavor.is_public && request.version.at_least(7) {
        return Err(ApiError::Conflict("Can not add access to a public flavor.".into()));
    }
    match flavors::add_access(&mut *request.state.database.write().await?, &flavor.id, &project).await {
        Err(error) if error.is_unique_violation() => {
            return Err(ApiError::Conflict(format!(
                "Flavor access already exists for flavor {id} and project {project} combination."
            )));
        }
        added => added?,
    }
    list(&request, &flavor).await
}

/// Whether there is such a project does not matter: one that was deleted can be taken off the list too.
async fn remove(
    request: Request,
    Path(id): Path<String>,
    Remove { tenant: Text(project) }: Remove,
) -> Result<Response, ApiError> {
    let flavor = find(&request, &id).await?;
    if !flavors::remove_access(&mut *request.state.database.write().await?, &flavor.id, &project).await? {
        return Err(ApiError::not_found(format!("Flavor access not found for {id} / {project} combination.")));
    }
    list(&request, &flavor).await
}

async fn list(request: &Request, flavor: &Flavor) -> Result<Response, ApiError> {
    let projects = flavors::access(&mut *request.state.database.read().await?, &flavor.id).await?;
    let access: Vec<_> = projects.into_iter().map(|tenant_id| Access { flavor_id: &flavor.id, tenant_id }).collect();
    Ok(request.plain("flavor_access", access))
}
