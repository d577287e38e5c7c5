//! The query of a request: its parameters in order, with repetitions.

use axum::{extract::Query, http::Uri};

use crate::{ApiError, FieldRule, Microversion};

/// The parameters after the `?`.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Those of a request.
    ///
    /// # Errors
    /// 400 for a query that is not well-formed.
    pub fn of_uri(uri: &Uri) -> Result<Self, ApiError> {
        Query::try_from_uri(uri)
            .map(|Query(parameters)| Self(parameters))
            .map_err(|error| ApiError::bad_request(format!("The query is not well-formed: {error}")))
    }

    /// The last value of a parameter: where only one counts, Nova takes the last.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().filter(|(key, _)| *key == name).map(|(_, value)| value).last()
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Everything, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// A boolean in any of the words that OpenStack takes for one (oslo.utils, `bool_from_string`).
    #[must_use]
    pub fn boolean(&self, name: &str) -> Option<Result<bool, ApiError>> {
        self.get(name).map(|text| {
            truth(text).ok_or_else(|| {
                ApiError::bad_request(format!("Invalid value '{text}' for the query parameter {name}: true or false."))
            })
        })
    }
}

impl FromIterator<(String, String)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(parameters: I) -> Self {
        Self(parameters.into_iter().collect())
    }
}

/// What a word says, if it says yes or no.
#[must_use]
pub fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

/// Refuses a query with a parameter that is not known at `version`, or given more often than it may be, from minor
/// version `since` on.
///
/// # Errors
/// 400 that names the parameter.
pub(crate) fn check_query(
    query: &Parameters,
    known: &[FieldRule],
    version: Microversion,
    since: u16,
) -> Result<(), ApiError> {
    if version.before(since) {
        return Ok(());
    }
    for name in query.names() {
        let Some(rule) = known.iter().find(|rule| rule.name == name && rule.versions.includes(version)) else {
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
