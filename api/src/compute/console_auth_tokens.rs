//! `/os-console-auth-tokens`: what a remote console's token is for. No driver has remote consoles yet, so there is none.

use axum::response::Response;
use novella_rest::{ApiError, FieldTable, Operation, Path, get};

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/os-console-auth-tokens/{console_token}", policy::CONSOLE_AUTH_TOKENS, show)
            .query(FieldTable(&[]), 99)
            .status(404),
    ]
}

/// Until 2.30 only for consoles by RDP, which Nova has no more.
async fn show(request: Request, Path(_): Path<String>) -> Result<Response, ApiError> {
    Err(match request.version.at_least(31) {
        true => ApiError::not_found("Token not found"),
        false => ApiError::bad_request("Consoles by RDP were removed from Nova. Other tokens are shown from 2.31 on."),
    })
}
