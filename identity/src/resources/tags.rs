//! `/projects/{project_id}/tags`: words that a project can be found by.

use axum::{
    Json,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use novella_rest::{ApiError, Operation, Path, delete, get, put, wrong_open};
use serde_json::{Value, json};

use crate::{
    Request,
    db::Project,
    policy,
    resource::{self, authorized, locked, not_found},
};

/// How many a project may have.
const MOST: usize = 80;

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ALL: &str = "/projects/{project_id}/tags";
    const ONE: &str = "/projects/{project_id}/tags/{tag}";
    vec![
        get(ALL, policy::LIST_PROJECT_TAGS, index),
        put(ALL, policy::UPDATE_PROJECT_TAGS, replace),
        delete(ALL, policy::DELETE_PROJECT_TAGS, clear).status(204),
        get(ONE, policy::GET_PROJECT_TAG, check).status(204),
        put(ONE, policy::CREATE_PROJECT_TAG, add).status(201),
        delete(ONE, policy::DELETE_PROJECT_TAG, remove).status(204),
    ]
}

/// Tags that a project can have: some, and each once.
///
/// # Errors
/// 400.
pub(super) fn checked(mut tags: Vec<String>) -> Result<Vec<String>, ApiError> {
    for (index, tag) in tags.iter().enumerate() {
        let value = Value::from(tag.as_str());
        let reason = match tag.chars().count() {
            0 => "'' should be non-empty".to_owned(),
            256.. => format!("'{tag}' is too long"),
            _ if tag.contains(['/', ',']) => format!("'{tag}' does not match '^[^,/]*$'"),
            _ => continue,
        };
        return Err(wrong_open(&index.to_string(), &value, &reason));
    }
    let given = json!(tags);
    tags.sort_unstable();
    let count = tags.len();
    tags.dedup();
    if tags.len() != count {
        return Err(wrong_open("tags", &given, &format!("{} has non-unique elements", novella_rest::repr(&given))));
    }
    if count > MOST {
        return Err(wrong_open("tags", &given, &format!("{} is too long", novella_rest::repr(&given))));
    }
    Ok(tags)
}

fn shown(request: &Request, id: &str, tags: &[String]) -> Response {
    let own = request.links.to(&format!("projects/{id}/tags"));
    Json(json!({"tags": tags, "links": {"self": own}})).into_response()
}

async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let project = authorized::<Project>(&request, &mut *request.state.database.read().await?, &id).await?;
    Ok(shown(&request, &id, &project.tags))
}

async fn replace(mut request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let body = request.json().await?;
    let tags: Vec<String> = novella_rest::read_open("tags", novella_rest::as_object(body)?, "tags")?;
    let tags = checked(tags)?;
    written(&request, &id, |given| {
        *given = tags;
        Ok(())
    })
    .await
}

async fn clear(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    written(&request, &id, |tags| {
        tags.clear();
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn check(request: Request, Path((id, tag)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let project = authorized::<Project>(&request, &mut *request.state.database.read().await?, &id).await?;
    if project.tags.contains(&tag) { Ok(StatusCode::NO_CONTENT) } else { Err(not_found("project tag", &tag)) }
}

async fn add(request: Request, Path((id, tag)): Path<(String, String)>) -> Result<Response, ApiError> {
    let own = request.links.to(&format!("projects/{id}/tags/{tag}"));
    let add = |tags: &mut Vec<String>| {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        *tags = checked(std::mem::take(tags))?;
        Ok(())
    };
    written(&request, &id, add).await?;
    Ok((StatusCode::CREATED, [(LOCATION, own)]).into_response())
}

async fn remove(request: Request, Path((id, tag)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let remove = |tags: &mut Vec<String>| {
        let place = tags.iter().position(|held| *held == tag).ok_or_else(|| not_found("project tag", &tag))?;
        tags.remove(place);
        Ok(())
    };
    written(&request, &id, remove).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes a project's tags.
async fn written(
    request: &Request,
    id: &str,
    change: impl FnOnce(&mut Vec<String>) -> Result<(), ApiError>,
) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut project = locked::<Project>(request, &mut transaction, id).await?;
    change(&mut project.tags)?;
    resource::change(request, transaction, &project).await?;
    Ok(shown(request, id, &project.tags))
}
