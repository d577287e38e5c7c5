//! `/users/{user_id}/access_rules`: what the application credentials of a user may be used for.

use axum::{http::StatusCode, response::Response};
use novella_common::{
    db::{
        Connection,
        list::{Condition, Direction, SortKey},
    },
    sql, table,
};
use novella_rest::{
    ApiError, Links, Operation, Path, delete, get,
    list::{self, ListDescription, PAGED},
    policy::Target,
};
use serde_json::{Map, Value, json};

use super::application_credentials::check_delegation;
use crate::{
    Request, policy,
    resource::{self, Resource, delete_row, listing, look_up, no_marker, not_found, page},
};

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AccessRuleRow {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) service: String,
    pub(super) method: String,
    pub(super) path: String,
}

table! {
    AccessRuleRow in "access_rules", key text "id";
    id,
    user_id,
    service,
    method,
    path,
}

static ACCESS_RULES: ListDescription = ListDescription {
    filters: &[list::text("service", "service"), list::text("method", "method"), list::text("path", "path")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("id"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ALL: &str = "/users/{user_id}/access_rules";
    const ONE: &str = "/users/{user_id}/access_rules/{access_rule_id}";
    vec![
        get(ALL, policy::LIST_ACCESS_RULES, index).list(&ACCESS_RULES, u16::MAX),
        get(ONE, policy::GET_ACCESS_RULE, show),
        delete(ONE, policy::DELETE_ACCESS_RULE, remove).status(204),
    ]
}

impl Resource for AccessRuleRow {
    const ONE: &'static str = "access_rule";
    const MANY: &'static str = "access_rules";
    const CALLED: &'static str = "Access Rule";
    const LIST: &'static ListDescription = &ACCESS_RULES;

    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        let fields = json!({"id": self.id, "service": self.service, "path": self.path, "method": self.method});
        resource::with_extra(fields, &Map::new())
    }
}

async fn index(request: Request, Path(user): Path<String>) -> Result<Response, ApiError> {
    request.check_target(&Target::of_user(&user))?;
    check_delegation(&request, false)?;
    let listing = listing::<AccessRuleRow>(&request)?.visible(Condition::equal("user_id", &user));
    page(&request, listing, &format!("users/{user}/access_rules")).await
}

async fn existing(
    request: &Request,
    connection: &mut Connection,
    user: &str,
    id: &str,
) -> Result<AccessRuleRow, ApiError> {
    request.check_target(&Target::of_user(user))?;
    let found: Option<AccessRuleRow> = look_up(connection, id).await?;
    found.filter(|found| found.user_id == user).ok_or_else(|| not_found(AccessRuleRow::CALLED, id))
}

async fn show(request: Request, Path((user, id)): Path<(String, String)>) -> Result<Response, ApiError> {
    let rule = existing(&request, &mut *request.state.database.read().await?, &user, &id).await?;
    check_delegation(&request, false)?;
    Ok(resource::shown(&request, &rule))
}

async fn remove(request: Request, Path((user, id)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let rule = existing(&request, &mut transaction, &user, &id).await?;
    check_delegation(&request, true)?;
    let used: i64 = sql!("SELECT COUNT(*) FROM application_credential_access_rules WHERE access_rule_id = "(rule.id))
        .fetch_one(&mut transaction)
        .await?;
    if used > 0 {
        return Err(ApiError::Forbidden("May not delete access rule in use".into()));
    }
    delete_row::<AccessRuleRow>(&mut transaction, &rule.id).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
