//! Tags: words that things can be found by.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use novella_common::{
    db::{Connection, Sql},
    sql,
};
use novella_rest::{ApiError, Operation, Path, delete, get, post, put};
use serde_json::{Value, json};

use super::{
    Resource, Work,
    changes::{bump, found_for, locked_for},
    views::tags_of,
};
use crate::{
    Networking, Request,
    attributes::checks::{self, Refusal},
    errors::{bad_request_of, invalid_input, missing},
};

/// Tags that a thing may have.
const MOST: usize = 50;

/// The operations on the tags of a resource, if it has some. Who may change a thing may tag it.
pub(super) fn operations<R: Resource>() -> Vec<Operation<Networking>> {
    R::ABOUT.tags.map(|(all, one)| operations_at::<R>(all, one)).unwrap_or_default()
}

/// The same at other paths.
pub(crate) fn operations_at<R: Resource>(all: &'static str, one: &'static str) -> Vec<Operation<Networking>> {
    let about = R::ABOUT;
    let Some(change) = about.update else { return Vec::new() };
    vec![
        get(all, about.get, list::<R>).summary("List the tags of a thing."),
        put(all, change, replace::<R>).summary("Give a thing these tags and no others."),
        post(all, change, add::<R>).summary("Give a thing these tags, too."),
        delete(all, change, clear::<R>).status(204).summary("Take all tags from a thing."),
        get(one, about.get, check::<R>).status(204).summary("Say whether a thing has a tag."),
        put(one, change, add_one::<R>).status(201).summary("Give a thing a tag."),
        delete(one, change, remove_one::<R>).status(204).summary("Take a tag from a thing."),
    ]
}

/// The tags of one thing.
async fn read(connection: &mut Connection, id: &str) -> Result<Vec<String>, ApiError> {
    Ok(tags_of(connection, &[id]).await?.into_iter().map(|(_, tag)| tag).collect())
}

/// Gives a thing tags beside those that it has.
pub(crate) async fn write(connection: &mut Connection, id: &str, tags: &[String]) -> Result<(), ApiError> {
    if tags.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("INSERT INTO network_tags (resource_id, tag) ");
    sql.rows(tags, |tag, cells| {
        cells.bind(id).bind(tag);
    });
    sql.push(" ON CONFLICT (resource_id, tag) DO NOTHING").execute(connection).await?;
    Ok(())
}

fn refuse(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Reason(reason) | Refusal::Convert(reason) => invalid_input(reason),
        Refusal::Error(error) => error,
    }
}

async fn tags_in(request: &mut Request) -> Result<(Value, Vec<String>), ApiError> {
    let body = request.json().await?.clone();
    let tags = body.get("tags").ok_or_else(|| invalid_input("Invalid tags body"))?;
    let tags = checks::tags(tags).map_err(refuse)?;
    Ok((body, crate::attributes::read("tags", &tags)?))
}

fn check_number<R: Resource>(number: usize) -> Result<(), ApiError> {
    if number <= MOST {
        return Ok(());
    }
    let reason = format!("The number of tags exceed the per-resource limit of {MOST}");
    Err(bad_request_of(R::ABOUT.many, &reason))
}

async fn list<R: Resource>(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    found_for::<R>(&request, &mut connection, R::ABOUT.get, &id).await?;
    Ok(Json(json!({"tags": read(&mut connection, &id).await?})).into_response())
}

async fn check<R: Resource>(request: Request, Path((id, tag)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut connection = request.state.database.read().await?;
    found_for::<R>(&request, &mut connection, R::ABOUT.get, &id).await?;
    if read(&mut connection, &id).await?.contains(&tag) { Ok(StatusCode::NO_CONTENT) } else { Err(no_tag(&tag)) }
}

fn no_tag(tag: &str) -> ApiError {
    missing("TagNotFound", format!("Tag {tag} could not be found."))
}

/// Begins a change of the tags of a thing.
async fn change<'r, R: Resource>(request: &'r Request, id: &str) -> Result<Work<'r>, ApiError> {
    let mut work = Work::begin(request).await?;
    // Without an update there are no tags.
    let rule = R::ABOUT.update.unwrap_or(R::ABOUT.create);
    locked_for::<R>(&mut work, rule, id).await?;
    bump::<R>(&mut work.transaction, id, work.now).await?;
    Ok(work)
}

async fn replace<R: Resource>(mut request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let (body, tags) = tags_in(&mut request).await?;
    let mut work = change::<R>(&request, &id).await?;
    check_number::<R>(tags.len())?;
    sql!("DELETE FROM network_tags WHERE resource_id = "(id)).execute(&mut work.transaction).await?;
    write(&mut work.transaction, &id, &tags).await?;
    work.commit().await?;
    Ok(Json(body).into_response())
}

async fn add<R: Resource>(mut request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let (body, tags) = tags_in(&mut request).await?;
    let mut work = change::<R>(&request, &id).await?;
    check_number::<R>(tags.len())?;
    write(&mut work.transaction, &id, &tags).await?;
    work.commit().await?;
    Ok(Json(body).into_response())
}

async fn clear<R: Resource>(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let mut work = change::<R>(&request, &id).await?;
    sql!("DELETE FROM network_tags WHERE resource_id = "(id)).execute(&mut work.transaction).await?;
    work.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn add_one<R: Resource>(request: Request, Path((id, tag)): Path<(String, String)>) -> Result<Response, ApiError> {
    checks::text::<255>(&json!(tag)).map_err(refuse)?;
    let mut work = change::<R>(&request, &id).await?;
    let tags = read(&mut work.transaction, &id).await?;
    check_number::<R>(tags.len() + usize::from(!tags.contains(&tag)))?;
    write(&mut work.transaction, &id, &[tag]).await?;
    work.commit().await?;
    Ok((StatusCode::CREATED, Json(Value::Null)).into_response())
}

async fn remove_one<R: Resource>(
    request: Request,
    Path((id, tag)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let mut work = change::<R>(&request, &id).await?;
    let removed = sql!("DELETE FROM network_tags WHERE resource_id = " (id) " AND tag = " (tag))
        .execute_one(&mut work.transaction)
        .await?;
    if !removed {
        return Err(no_tag(&tag));
    }
    work.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
