//! Queries with parameters that are not known, or given too often: ignored at first, refused from some microversion on.

use axum::{
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use utoipa_axum::router::UtoipaMethodRouter;

use super::microversion::{FieldTable, Microversion};
use crate::{error::ApiError, query::Parameters};

/// The version from which most lists refuse what they do not know.
pub(crate) const LISTS: Microversion = Microversion::v2(75);
/// The version from which everything else does.
const OTHERS: Microversion = Microversion::v2(102);

/// Refuses a query with a parameter that `table` does not have at `version`, or does not have more than once, from
/// version `since` on.
///
/// # Errors
/// 400 that names the parameter.
pub(crate) fn check(
    query: &Parameters,
    table: &FieldTable,
    version: Microversion,
    since: Microversion,
) -> Result<(), ApiError> {
    if version < since {
        return Ok(());
    }
    for name in query.names() {
        let Some(rule) = table.rule(name, version) else {
            return Err(ApiError::bad_request(format!(
                "Invalid input for query parameters. Additional properties are not allowed ('{name}' was unexpected)"
            )));
        };
        if rule.once && query.all(name).nth(1).is_some() {
            return Err(ApiError::bad_request(format!(
                "Invalid input for query parameters {name}. It may be given only once."
            )));
        }
    }
    Ok(())
}

async fn refuse_any(version: Microversion, query: Parameters, request: Request, next: Next) -> Response {
    match check(&query, &FieldTable(&[]), version, OTHERS) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Registering a route that has no query.
pub(crate) trait WithoutQueryExt {
    /// The same routes; any parameter is ignored up to 2.101, and refused from 2.102 on.
    fn without_query(self) -> Self;
}

impl<S: Clone + Send + Sync + 'static> WithoutQueryExt for UtoipaMethodRouter<S> {
    fn without_query(self) -> Self {
        let (schemas, paths, router) = self;
        (schemas, paths, router.layer(from_fn(refuse_any)))
    }
}
