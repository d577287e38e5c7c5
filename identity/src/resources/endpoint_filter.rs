//! `/OS-EP-FILTER`: which endpoints a project sees in its catalog. One that was given none sees all.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use novella_common::{
    db::{
        Connection, Sql,
        list::{Condition, List},
    },
    sql,
};
use novella_rest::{ApiError, Operation, Path, delete, get, put};
use serde_json::{Value, json};

use super::{endpoint_groups::EndpointGroup, endpoints::Endpoint, projects::existing_project};
use crate::{
    Request,
    catalog::fits_filters,
    db::Project,
    policy,
    resource::{Resource, collection, find, view},
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const OF_GROUP: &str = "/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}";
    const OF_PROJECT: &str = "/OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}";
    vec![
        get(
            "/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects",
            policy::LIST_PROJECTS_OF_ENDPOINT_GROUP,
            projects_of_group,
        ),
        get(
            "/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/endpoints",
            policy::LIST_ENDPOINTS_OF_ENDPOINT_GROUP,
            endpoints_of_group,
        ),
        put(OF_GROUP, policy::ADD_ENDPOINT_GROUP_TO_PROJECT, add_group).status(204),
        get(OF_GROUP, policy::GET_ENDPOINT_GROUP_IN_PROJECT, show_group),
        delete(OF_GROUP, policy::REMOVE_ENDPOINT_GROUP_FROM_PROJECT, remove_group).status(204),
        get(
            "/OS-EP-FILTER/projects/{project_id}/endpoint_groups",
            policy::LIST_ENDPOINT_GROUPS_FOR_PROJECT,
            groups_of_project,
        ),
        get("/OS-EP-FILTER/projects/{project_id}/endpoints", policy::LIST_ENDPOINTS_FOR_PROJECT, endpoints_of_project),
        get("/OS-EP-FILTER/endpoints/{endpoint_id}/projects", policy::LIST_PROJECTS_FOR_ENDPOINT, projects_of_endpoint),
        put(OF_PROJECT, policy::ADD_ENDPOINT_TO_PROJECT, add_endpoint).status(204),
        get(OF_PROJECT, policy::CHECK_ENDPOINT_IN_PROJECT, check_endpoint).status(204),
        delete(OF_PROJECT, policy::REMOVE_ENDPOINT_FROM_PROJECT, remove_endpoint).status(204),
    ]
}

/// The rows of a kind under a condition, as a list.
async fn listed<R: Resource>(
    request: &Request,
    connection: &mut Connection,
    condition: Sql,
    path: &str,
) -> Result<Response, ApiError> {
    let found = List::<R>::all().filter(Condition::raw(condition)).page(connection).await?.unwrap_or_default();
    let views: Vec<Value> = found.iter().map(|row| view(row, &request.links)).collect();
    Ok(collection(request, R::MANY, views, path))
}

async fn projects_of_group(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    find::<EndpointGroup>(&mut connection, &id).await?;
    let condition = sql!("id IN (SELECT project_id FROM endpoint_group_projects WHERE endpoint_group_id = " (id) ")");
    listed::<Project>(&request, &mut connection, condition, &format!("OS-EP-FILTER/endpoint_groups/{id}/projects"))
        .await
}

/// The endpoints that are in one of these groups.
async fn endpoints_in(connection: &mut Connection, groups: &[EndpointGroup]) -> Result<Vec<Endpoint>, ApiError> {
    let mut all = List::<Endpoint>::all().page(connection).await?.unwrap_or_default();
    all.retain(|endpoint| {
        let fits = |group: &EndpointGroup| {
            let region = endpoint.region_id.as_deref();
            fits_filters(&group.filters, &endpoint.service_id, &endpoint.interface, region)
        };
        groups.iter().any(fits)
    });
    Ok(all)
}

async fn endpoints_of_group(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let group = find::<EndpointGroup>(&mut connection, &id).await?;
    let found = endpoints_in(&mut connection, &[group]).await?;
    let views = found.iter().map(|endpoint| view(endpoint, &request.links)).collect();
    Ok(collection(&request, "endpoints", views, &format!("OS-EP-FILTER/endpoint_groups/{id}/endpoints")))
}

async fn groups_of_project(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    existing_project(&mut connection, &id).await?;
    let path = format!("OS-EP-FILTER/projects/{id}/endpoint_groups");
    listed::<EndpointGroup>(&request, &mut connection, groups_given(&id), &path).await
}

fn groups_given(project: &str) -> Sql {
    sql!("id IN (SELECT endpoint_group_id FROM endpoint_group_projects WHERE project_id = " (project) ")")
}

async fn endpoints_of_project(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    existing_project(&mut connection, &id).await?;
    let groups = List::<EndpointGroup>::all().filter(Condition::raw(groups_given(&id)));
    let groups = groups.page(&mut connection).await?.unwrap_or_default();
    let mut found = endpoints_in(&mut connection, &groups).await?;
    let given = sql!("id IN (SELECT endpoint_id FROM endpoint_projects WHERE project_id = " (id) ")");
    let given = List::<Endpoint>::all().filter(Condition::raw(given)).page(&mut connection).await?;
    found.extend(given.unwrap_or_default());
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found.dedup_by(|one, other| one.id == other.id);
    let views = found.iter().map(|endpoint| view(endpoint, &request.links)).collect();
    Ok(collection(&request, "endpoints", views, &format!("OS-EP-FILTER/projects/{id}/endpoints")))
}

async fn projects_of_endpoint(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    find::<Endpoint>(&mut connection, &id).await?;
    let condition = sql!("id IN (SELECT project_id FROM endpoint_projects WHERE endpoint_id = " (id) ")");
    listed::<Project>(&request, &mut connection, condition, &format!("OS-EP-FILTER/endpoints/{id}/projects")).await
}

async fn add_group(request: Request, Path((group, project)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    find::<EndpointGroup>(&mut transaction, &group).await?;
    existing_project(&mut transaction, &project).await?;
    sql!(
        "INSERT INTO endpoint_group_projects (endpoint_group_id, project_id) VALUES (" (group) ", " (project)
        ") ON CONFLICT DO NOTHING"
    )
    .execute(&mut transaction)
    .await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// 404: the project was not given it.
fn not_given(group: &str, project: &str) -> ApiError {
    ApiError::not_found(format!("Could not find Endpoint Group Project: {group} in {project}."))
}

async fn show_group(request: Request, Path((group, project)): Path<(String, String)>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    find::<EndpointGroup>(&mut connection, &group).await?;
    existing_project(&mut connection, &project).await?;
    let found: Option<String> = sql!(
        "SELECT project_id FROM endpoint_group_projects WHERE endpoint_group_id = " (group) " AND project_id = "
        (project)
    )
    .fetch_optional(&mut connection)
    .await?;
    found.ok_or_else(|| not_given(&group, &project))?;
    let own = request.links.to(&format!("OS-EP-FILTER/endpoint_groups/{group}/projects/{project}"));
    let given = json!({"endpoint_group_id": group, "project_id": project, "links": {"self": own}});
    Ok(Json(json!({"project_endpoint_group": given})).into_response())
}

async fn remove_group(
    request: Request,
    Path((group, project)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let removed = sql!(
        "DELETE FROM endpoint_group_projects WHERE endpoint_group_id = " (group) " AND project_id = " (project)
    )
    .execute_one(&mut transaction)
    .await?;
    if !removed {
        return Err(not_given(&group, &project));
    }
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn both(connection: &mut Connection, project: &str, endpoint: &str) -> Result<(), ApiError> {
    find::<Endpoint>(connection, endpoint).await?;
    existing_project(connection, project).await?;
    Ok(())
}

async fn add_endpoint(
    request: Request,
    Path((project, endpoint)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    both(&mut transaction, &project, &endpoint).await?;
    sql!(
        "INSERT INTO endpoint_projects (endpoint_id, project_id) VALUES (" (endpoint) ", " (project)
        ") ON CONFLICT DO NOTHING"
    )
    .execute(&mut transaction)
    .await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn check_endpoint(
    request: Request,
    Path((project, endpoint)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let mut connection = request.state.database.read().await?;
    both(&mut connection, &project, &endpoint).await?;
    let found: Option<String> = sql!(
        "SELECT endpoint_id FROM endpoint_projects WHERE endpoint_id = " (endpoint) " AND project_id = " (project)
    )
    .fetch_optional(&mut connection)
    .await?;
    match found {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(ApiError::not_found(format!("Could not find endpoint {endpoint} in project {project}."))),
    }
}

async fn remove_endpoint(
    request: Request,
    Path((project, endpoint)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let removed = sql!("DELETE FROM endpoint_projects WHERE endpoint_id = " (endpoint) " AND project_id = " (project))
        .execute_one(&mut transaction)
        .await?;
    if !removed {
        return Err(ApiError::not_found(format!("Could not find endpoint {endpoint} in project {project}.")));
    }
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}
