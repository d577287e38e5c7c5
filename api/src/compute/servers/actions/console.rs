//! `os-getConsoleOutput`.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use novella_common::policy;
use novella_compute::rpcapi::ComputeError;
use novella_messaging::CallError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{super::hosts, ActionRequest};
use crate::{
    body::{object, typed},
    error::ApiError,
};

/// What `os-getConsoleOutput` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsoleOutput {
    /// Lines from the end; all without it, or with -1. Clients send digits in a string too.
    #[serde(default)]
    length: Option<Value>,
}

fn lines(length: Option<&Value>) -> Result<Option<usize>, ApiError> {
    let number = match length {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(digits)) => digits.parse().ok(),
        Some(_) => None,
    };
    match number {
        Some(-1) => Ok(None),
        Some(number) if number >= 0 => Ok(usize::try_from(number).ok()),
        _ => Err(ApiError::bad_request(
            "Invalid input for field/attribute os-getConsoleOutput.length. It must be an integer from -1 on.",
        )),
    }
}

/// `os-getConsoleOutput`.
pub(super) async fn get_output(request: ActionRequest) -> Result<Response, ApiError> {
    let ActionRequest { api, caller, id, argument, .. } = request;
    object("os-getConsoleOutput", &argument)?;
    let ConsoleOutput { length } = typed("os-getConsoleOutput", &argument)?;
    let length = lines(length.as_ref())?;
    let instance = super::super::find(&api, &caller, &id, policy::CONSOLE_OUTPUT).await?;
    let not_ready = || ApiError::Conflict(format!("Instance {id} is not ready"));
    let host = instance.host.clone().ok_or_else(not_ready)?;
    // A call to a host that is not there would take until it times out.
    if !hosts::is_up(&api, &mut *api.database.read().await?, &host).await? {
        return Err(ApiError::Unavailable(format!("The host of instance {id} is down; its console can't be read.")));
    }
    let host = api.compute.clone().server(host);
    match host.get_console_output(&caller.context, instance.uuid, length).await {
        Ok(output) => Ok(Json(json!({ "output": output })).into_response()),
        Err(CallError::Remote(ComputeError::InstanceNotFound { .. })) => {
            Err(ApiError::not_found(format!("Unable to get console for instance {id}: its host has no guest of it.")))
        }
        Err(CallError::Remote(ComputeError::InvalidState { .. })) => Err(not_ready()),
        Err(error) => {
            tracing::warn!(instance = %instance.uuid, %error, "the console could not be read");
            Err(ApiError::Unavailable(format!("The host of instance {id} did not answer. Please try again.")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_number_of_lines_or_all() {
        let read = |value: Value| lines(Some(&value)).ok();
        assert_eq!(read(json!(5)), Some(Some(5)));
        assert_eq!(read(json!("5")), Some(Some(5)));
        assert_eq!(read(json!(-1)), Some(None));
        assert_eq!(read(json!(null)), Some(None));
        assert_eq!(read(json!(-2)), None);
        assert_eq!(read(json!("x")), None);
        assert_eq!(read(json!(true)), None);
    }
}
