//! `lock`, `unlock`: nobody but administrators changes a locked server.

use http::StatusCode;
use novella_common::{
    db::instances::edits,
    models::{EventResult, Instance, LockedBy},
};
use novella_rest::{ApiError, Path, wrong};
use serde_json::Value;

use super::super::operation::{event_of, record_action};
use crate::{Request, policy};

/// `lock`. Until 2.72 what stands behind the name is ignored; from 2.73 on it may say why.
pub(super) async fn lock(mut request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let with_reason = request.version.at_least(73);
    let reason = if with_reason { reason(&request.json().await?["lock"])? } else { None };
    let instance = super::super::find(&request, &id).await?;
    // An administrator's lock on one's own server is a user's lock.
    let own = request.context.project_id.as_ref() == Some(&instance.project_id);
    // As in Nova: what is locked already stays as it was locked, but for administrators of another project.
    if own && instance.locked_by.is_some() {
        return Ok(StatusCode::ACCEPTED);
    }
    let by = if own { LockedBy::Owner } else { LockedBy::Admin };
    write(&request, &instance, "lock", Some(by), reason.as_deref()).await
}

/// `unlock`.
pub(super) async fn unlock(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let instance = super::super::find(&request, &id).await?;
    if instance.locked_by == Some(LockedBy::Admin) {
        policy::UNLOCK_OVERRIDE.check_own(&request.context)?;
    }
    write(&request, &instance, "unlock", None, None).await
}

/// Writes the lock, and into the server's history who has set or taken it.
async fn write(
    request: &Request,
    instance: &Instance,
    action: &str,
    by: Option<LockedBy>,
    reason: Option<&str>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    edits::set_lock(&mut transaction, instance.uuid, by, reason).await?;
    let done = Some((EventResult::Success, None));
    let event = event_of(&request.context, instance.uuid, &format!("api_{action}"), None, done);
    record_action(&mut transaction, &request.context, action, event).await?;
    transaction.commit().await?;
    Ok(StatusCode::ACCEPTED)
}

fn reason(argument: &Value) -> Result<Option<String>, ApiError> {
    let refused = |field: &str, value: &Value, text: &str| Err(wrong(field, value, text));
    let Some(fields) = argument.as_object() else {
        return if argument.is_null() { Ok(None) } else { refused("lock", argument, "It must be an object or null.") };
    };
    if let Some(other) = fields.keys().find(|key| *key != "locked_reason") {
        return Err(novella_rest::refuse_unknown("lock", other));
    }
    match fields.get("locked_reason") {
        None => Ok(None),
        Some(Value::String(text)) if (1..=255).contains(&text.chars().count()) => Ok(Some(text.clone())),
        Some(other) => refused("lock.locked_reason", other, "It must be a text of 1 to 255 characters."),
    }
}
