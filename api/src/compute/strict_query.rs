//! Queries with parameters that are not known: ignored at first, refused from some microversion on.

use super::microversion::{FieldTable, Microversion};
use crate::{error::ApiError, query::Parameters};

/// The version from which most lists refuse what they do not know.
pub(crate) const LISTS: Microversion = Microversion::v2(75);
/// The version from which everything else does.
pub(crate) const OTHERS: Microversion = Microversion::v2(102);

/// Refuses a query with a parameter that `table` does not have at `version`, from version `since` on.
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
    match query.names().find(|name| !table.has(name, version)) {
        Some(name) => Err(ApiError::bad_request(format!(
            "Invalid input for query parameters. Additional properties are not allowed ('{name}' was unexpected)"
        ))),
        None => Ok(()),
    }
}
