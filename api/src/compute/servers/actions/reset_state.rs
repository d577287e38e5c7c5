//! `os-resetState`: an administrator says what state a server is in.

use http::StatusCode;
use novella_common::{db::instances::edits, lifecycle::VmState, models::EventResult};
use novella_rest::{ApiError, Path, body};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::operation;
use crate::Request;

body! {
    /// `os-resetState`.
    pub(super) struct ResetState in "os-resetState" {
        state: State = "state",
    }
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Active,
    Error,
}

/// `os-resetState`.
pub(super) async fn reset_state(
    request: Request,
    Path(id): Path<String>,
    ResetState { state }: ResetState,
) -> Result<StatusCode, ApiError> {
    let vm_state = match state {
        State::Active => VmState::Active,
        State::Error => VmState::Error,
    };
    let instance = super::super::find(&request, &id).await?;
    let mut transaction = request.state.database.begin().await?;
    if !edits::reset_state(&mut transaction, &instance, vm_state).await? {
        return Err(ApiError::Conflict(format!("Instance {id} changed at the same time. Please look again.")));
    }
    let (context, uuid) = (&request.context, instance.uuid);
    operation::end_overtaken(&mut transaction, context, &instance, "resetState").await?;
    let done = operation::event_of(context, uuid, "api_reset_state", None, Some((EventResult::Success, None)));
    operation::record_action(&mut transaction, context, "resetState", done).await?;
    transaction.commit().await?;
    Ok(StatusCode::ACCEPTED)
}
