//! `os-resetState`: an administrator says what state a server is in.

use axum::response::Response;
use novella_common::{
    db::{DbError, actions, instances::edits},
    lifecycle::VmState,
    policy,
};
use serde::Deserialize;

use super::{super::operation::action_row, ActionRequest, accepted};
use crate::{
    body::{object, typed},
    error::ApiError,
};

/// What `os-resetState` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetState {
    state: State,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Active,
    Error,
}

/// `os-resetState`.
pub(super) async fn reset_state(request: ActionRequest) -> Result<Response, ApiError> {
    let ActionRequest { api, caller, id, argument, .. } = request;
    object("os-resetState", &argument)?;
    let ResetState { state } = typed("os-resetState", &argument)?;
    let vm_state = match state {
        State::Active => VmState::Active,
        State::Error => VmState::Error,
    };
    let instance = super::super::find(&api, &caller, &id, policy::RESET_STATE).await?;
    let mut transaction = api.database.begin().await?;
    if !edits::reset_state(&mut transaction, &instance, vm_state).await? {
        return Err(ApiError::Conflict(format!("Instance {id} changed at the same time. Please look again.")));
    }
    actions::start(&mut transaction, &[action_row(&caller.context, instance.uuid, "resetState")]).await?;
    transaction.commit().await.map_err(DbError::from)?;
    Ok(accepted())
}
