//! The query of a request: its parameters in order, with repetitions.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};

use crate::error::ApiError;

/// The parameters after the `?`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(parameters)| Self(parameters))
            .map_err(|error| ApiError::bad_request(format!("The query is not well-formed: {error}")))
    }
}

impl Parameters {
    /// The last value of a parameter: where only one counts, Nova takes the last.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter().filter(|(key, _)| *key == name).map(|(_, value)| value).last()
    }

    /// Every value of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Everything, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// A boolean in any of the words that OpenStack takes for one (oslo.utils, `bool_from_string`).
    pub(crate) fn boolean(&self, name: &str) -> Option<Result<bool, ApiError>> {
        self.get(name).map(|text| {
            truth(text).ok_or_else(|| {
                ApiError::bad_request(format!("Invalid value '{text}' for the query parameter {name}: true or false."))
            })
        })
    }
}

/// What a word says, if it says yes or no.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
impl Parameters {
    pub(crate) fn from_pairs(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }
}
