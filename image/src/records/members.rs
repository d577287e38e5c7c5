//! `/image/v2/images/{image_id}/members`: the projects that an image is shared with, and what they say of it.
//!
//! The owner sees all of them, a member only itself.

use axum::Json;
use http::StatusCode;
use jiff::Timestamp;
use novella_common::{
    db::{Connection, table},
    sql,
};
use novella_rest::{ApiError, Operation, Path, delete, get, policy::Denied, post, put, times::Seconds};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{attributes::check_quota, body};
use crate::{
    Images, Request,
    access::{self, check, is_own},
    db::{self, Image, Member},
    policy,
    status::{MemberStatus, Visibility},
};

pub(super) fn operations() -> Vec<Operation<Images>> {
    const ALL: &str = "/images/{image_id}/members";
    const ONE: &str = "/images/{image_id}/members/{member_id}";
    vec![
        get(ALL, policy::GET_MEMBERS, index).answers_list::<MemberView>("members"),
        post(ALL, policy::ADD_MEMBER, create).answers::<MemberView>(""),
        get(ONE, policy::GET_MEMBER, show).answers::<MemberView>(""),
        put(ONE, policy::MODIFY_MEMBER, update).answers::<MemberView>(""),
        delete(ONE, policy::DELETE_MEMBER, remove).status(204),
    ]
}

/// A member, as Glance shows it.
#[derive(Serialize, ToSchema)]
struct MemberView {
    member_id: String,
    image_id: String,
    status: &'static str,
    created_at: Seconds,
    updated_at: Seconds,
    schema: &'static str,
}

impl MemberView {
    fn new(member: Member) -> Self {
        Self {
            member_id: member.member_id,
            image_id: member.image_id,
            status: MemberStatus::as_str(member.status),
            created_at: Seconds(member.created_at),
            updated_at: Seconds(member.updated_at),
            schema: "/v2/schemas/member",
        }
    }
}

/// The image, if it has members; else what `not_shared` makes of it.
async fn shared(
    request: &Request,
    connection: &mut Connection,
    id: &str,
    not_shared: impl FnOnce() -> ApiError,
) -> Result<Image, ApiError> {
    let image = access::find(request, connection, id).await.map_err(|error| match error {
        ApiError::NotFound(_) => ApiError::not_found(format!("Image {id} not found.")),
        other => other,
    })?;
    if image.visibility == Visibility::Shared { Ok(image) } else { Err(not_shared()) }
}

fn not_allowed(verb: &str, id: &str) -> ApiError {
    ApiError::Forbidden(format!("Not allowed to {verb} members for image {id}."))
}

/// Whether whoever asks sees all members; if not, only itself.
fn sees_all(request: &Request, image: &Image) -> bool {
    request.context.is_admin || is_own(image, &request.context)
}

/// A member that whoever asks sees.
async fn look_up(request: &Request, connection: &mut Connection, image: &Image, id: &str) -> Result<Member, ApiError> {
    let seen = sees_all(request, image) || request.context.project_id.as_deref() == Some(id);
    let found = if seen { db::member(connection, &image.id, id).await? } else { None };
    found.ok_or_else(|| ApiError::not_found(format!("{id} not found in the member list of the image {}.", image.id)))
}

async fn index(request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let mut connection = request.state.database.read().await?;
    let no_members =
        || ApiError::Forbidden(format!("Not allowed to list members for image {id}: Only shared images have members."));
    let image = shared(&request, &mut connection, &id, no_members).await?;
    let mut members = db::members(&mut connection, &id).await?;
    if !sees_all(&request, &image) {
        members.retain(|member| request.context.project_id.as_deref() == Some(&member.member_id));
    }
    let members: Vec<MemberView> = members.into_iter().map(MemberView::new).collect();
    Ok(Json(json!({"members": members, "schema": "/v2/schemas/members"})))
}

async fn create(mut request: Request, Path(id): Path<String>) -> Result<Json<MemberView>, ApiError> {
    let body = body(&mut request).await?;
    let form = || ApiError::bad_request("Expected a member in the form: {\"member\": \"image_id\"}");
    let member = match body.as_object().ok_or_else(form)?.get("member") {
        None => return Err(ApiError::bad_request("Member to be added not specified")),
        Some(Value::String(member)) if !member.is_empty() => member.clone(),
        Some(Value::String(_) | Value::Null) => return Err(ApiError::bad_request("Member can't be empty")),
        Some(_) => return Err(form()),
    };
    let mut transaction = request.state.database.begin().await?;
    let image = shared(&request, &mut transaction, &id, || not_allowed("create", &id)).await?;
    check(&request.context, policy::ADD_MEMBER, &image)?;
    // Nobody else counts them at the same time.
    access::find_locked(&request.context, &mut transaction, &id).await?;
    let attempted = db::members(&mut transaction, &id).await?.len() + 1;
    check_quota("members for this image", attempted, request.state.config.image_member_quota)
        .map_err(|error| ApiError::OverLimit(format!("Image member limit exceeded for image {id}: {error}:")))?;
    let now = Timestamp::now();
    let row = Member {
        image_id: id.clone(),
        member_id: member.clone(),
        status: MemberStatus::Pending,
        created_at: now,
        updated_at: now,
    };
    table::insert(&mut transaction, &row).await.map_err(|error| {
        if error.is_unique_violation() {
            return ApiError::Conflict(format!("Member {member} is duplicated for image {id}"));
        }
        error.into()
    })?;
    transaction.commit().await?;
    Ok(Json(MemberView::new(row)))
}

async fn show(request: Request, Path((id, member)): Path<(String, String)>) -> Result<Json<MemberView>, ApiError> {
    let mut connection = request.state.database.read().await?;
    let none = || ApiError::not_found("Only shared images have members.");
    let image = shared(&request, &mut connection, &id, none).await?;
    Ok(Json(MemberView::new(look_up(&request, &mut connection, &image, &member).await?)))
}

async fn update(
    mut request: Request,
    Path((id, member)): Path<(String, String)>,
) -> Result<Json<MemberView>, ApiError> {
    let body = body(&mut request).await?;
    let form = || ApiError::bad_request("Expected a status in the form: {\"status\": \"status\"}");
    let status = body.as_object().ok_or_else(form)?.get("status");
    let status = status.ok_or_else(|| ApiError::bad_request("Status not specified"))?;
    let mut transaction = request.state.database.begin().await?;
    let image = shared(&request, &mut transaction, &id, || not_allowed("update", &id)).await?;
    let mut row = look_up(&request, &mut transaction, &image, &member).await?;
    if !request.context.is_admin && request.context.project_id.as_deref() != Some(&member) {
        return Err(Denied(policy::MODIFY_MEMBER).into());
    }
    let parsed = status.as_str().and_then(|text| text.parse().ok());
    row.status = parsed.ok_or_else(|| {
        ApiError::bad_request("Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".")
    })?;
    row.updated_at = Timestamp::now();
    sql!(
        "UPDATE image_members SET status = " (row.status) ", updated_at = " (row.updated_at) " WHERE image_id = " (id)
        " AND member_id = " (member)
    )
    .execute(&mut transaction)
    .await?;
    transaction.commit().await?;
    Ok(Json(MemberView::new(row)))
}

async fn remove(request: Request, Path((id, member)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let image = shared(&request, &mut transaction, &id, || not_allowed("delete", &id)).await?;
    look_up(&request, &mut transaction, &image, &member).await?;
    check(&request.context, policy::DELETE_MEMBER, &image)?;
    sql!("DELETE FROM image_members WHERE image_id = "(id)" AND member_id = "(member))
        .execute(&mut transaction)
        .await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
