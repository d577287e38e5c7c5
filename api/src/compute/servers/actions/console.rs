//! `os-getConsoleOutput`.

use axum::response::Response;
use novella_compute::rpcapi::ComputeClient;
use novella_rest::{ApiError, Path, body, inputs::AnyValue};
use serde_json::Value;

use super::super::hosts;
use crate::Request;

body! {
    /// `os-getConsoleOutput`.
    pub(super) struct ConsoleOutput in "os-getConsoleOutput" {
        /// Lines from the end; all without it, or with -1. Clients send digits in a string too.
        length: Option<AnyValue> = "length".nullable(),
    }
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
pub(super) async fn get_output(
    request: Request,
    Path(id): Path<String>,
    ConsoleOutput { length }: ConsoleOutput,
) -> Result<Response, ApiError> {
    let length = lines(length.as_ref().map(|length| &length.0))?;
    let instance = super::super::find(&request, &id).await?;
    let (context, uuid) = (&request.context, instance.uuid);
    let ask = async |host: ComputeClient| host.get_console_output(context, uuid, length).await;
    let output = hosts::ask(&request, &instance, ask).await?;
    Ok(request.plain("output", output))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
