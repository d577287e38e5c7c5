//! `/groups/{group_id}/users` and `/users/{user_id}/groups`: who is in which group.

use axum::{http::StatusCode, response::Response};
use novella_common::{
    db::{Connection, DbError, list::Condition},
    sql,
};
use novella_rest::{ApiError, Operation, Path, delete, get, policy::Target, put};
use serde_json::Value;

use super::{
    groups::GROUPS,
    users::{self, USERS},
};
use crate::{
    Request,
    db::{Group, User},
    policy,
    resource::{Resource as _, authorized, listing, look_up, not_found, page, page_of, read_page, view},
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/groups/{group_id}/users/{user_id}";
    vec![
        get("/groups/{group_id}/users", policy::LIST_USERS_IN_GROUP, users_of).list(&USERS, u16::MAX),
        get("/users/{user_id}/groups", policy::LIST_GROUPS_FOR_USER, groups_of).list(&GROUPS, u16::MAX),
        put(ONE, policy::ADD_USER_TO_GROUP, add).status(204),
        get(ONE, policy::CHECK_USER_IN_GROUP, check).status(204),
        delete(ONE, policy::REMOVE_USER_FROM_GROUP, remove).status(204),
    ]
}

async fn users_of(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    authorized::<Group>(&request, &mut *request.state.database.read().await?, &id).await?;
    let members = sql!("id IN (SELECT user_id FROM group_members WHERE group_id = " (id) ")");
    let listing =
        listing::<User>(&request)?.visible(Condition::raw(members)).filter_by(users::password_expiry(&request)?);
    page(&request, listing, &format!("groups/{id}/users")).await
}

async fn groups_of(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    authorized::<User>(&request, &mut *request.state.database.read().await?, &id).await?;
    let groups = sql!("id IN (SELECT group_id FROM group_members WHERE user_id = " (id) ")");
    let listing = listing::<Group>(&request)?.visible(Condition::raw(groups));
    let rows = read_page(listing, &mut *request.state.database.read().await?).await?;
    let shown = |group: &Group| {
        let mut shown = view(group, &request.links);
        // Nobody is a member for a time only.
        shown["membership_expires_at"] = Value::Null;
        shown
    };
    Ok(page_of(&request, &rows, Group::MANY, &format!("users/{id}/groups"), Group::id, shown))
}

/// A group and a user. Who is no administrator must have to do with the domain of both.
async fn both(request: &Request, connection: &mut Connection, group: &str, user: &str) -> Result<(), ApiError> {
    let found: (Option<Group>, Option<User>) = (look_up(connection, group).await?, look_up(connection, user).await?);
    let domain = match &found {
        (Some(group), Some(user)) if group.domain_id == user.domain_id => Some(group.domain_id.as_str()),
        _ => None,
    };
    request.check_target(&Target::of_domain(domain))?;
    match found {
        (None, _) => Err(not_found("group", group)),
        (_, None) => Err(not_found("user", user)),
        (Some(_), Some(_)) => Ok(()),
    }
}

async fn is_member(connection: &mut Connection, group: &str, user: &str) -> Result<bool, DbError> {
    let found: Option<String> =
        sql!("SELECT user_id FROM group_members WHERE group_id = " (group) " AND user_id = " (user))
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

/// 404: the user is not in the group.
fn no_member(group: &str, user: &str) -> ApiError {
    ApiError::not_found(format!("User '{user}' not found in group '{group}'"))
}

async fn add(request: Request, Path((group, user)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    both(&request, &mut transaction, &group, &user).await?;
    sql!("INSERT INTO group_members (group_id, user_id) VALUES (" (group) ", " (user) ") ON CONFLICT DO NOTHING")
        .execute(&mut transaction)
        .await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn check(request: Request, Path((group, user)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut connection = request.state.database.read().await?;
    both(&request, &mut connection, &group, &user).await?;
    match is_member(&mut connection, &group, &user).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(no_member(&group, &user)),
    }
}

async fn remove(request: Request, Path((group, user)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    both(&request, &mut transaction, &group, &user).await?;
    let left = sql!("DELETE FROM group_members WHERE group_id = " (group) " AND user_id = " (user))
        .execute_one(&mut transaction)
        .await?;
    if !left {
        return Err(no_member(&group, &user));
    }
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}
