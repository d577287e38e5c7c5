//! `personality`: files to be put into the guest before it first runs, until 2.56.
//!
//! They are held against the project's quotas and kept nowhere, as by Nova, which hands them to the hypervisor and forgets them:
//! a simulated guest has no disk to put them on.

use base64::{Engine, prelude::BASE64_STANDARD};
use novella_rest::ApiError;
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;

use crate::compute::quotas::{Limits, Resource};

/// One file.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    path: Option<String>,
    #[schema(value_type = Option<String>)]
    contents: Option<Base64>,
}

/// Bytes in base64. Line breaks are allowed in it, as Python's decoder allows them.
pub(super) struct Base64(pub(super) String);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        text.retain(|c| !c.is_ascii_whitespace());
        match BASE64_STANDARD.decode(text.as_bytes()) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(de::Error::custom("it is not a 'base64'")),
        }
    }
}

/// What is limited of a request's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measured {
    count: i64,
    /// Bytes of the longest path.
    path: i64,
    /// Bytes of the largest contents, in base64.
    contents: i64,
}

/// Measures files.
///
/// # Errors
/// 400 for a file without a path or contents.
pub(super) fn measure(files: &[File]) -> Result<Measured, ApiError> {
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let mut measured = Measured::default();
    for file in files {
        let missing = |name: &str| ApiError::bad_request(format!("Bad personality format: missing '{name}'"));
        let path = file.path.as_ref().ok_or_else(|| missing("path"))?;
        let contents = file.contents.as_ref().ok_or_else(|| missing("contents"))?;
        measured.count += 1;
        measured.path = measured.path.max(length(path));
        measured.contents = measured.contents.max(length(&contents.0));
    }
    Ok(measured)
}

impl Measured {
    /// Holds them against the limits.
    ///
    /// # Errors
    /// 403 in Nova's words.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), ApiError> {
        let over = |resource, count| limits.exceeded(resource, count);
        let allowed = |resource| limits.project[resource];
        let text = if self.count == 0 {
            return Ok(());
        } else if over(Resource::InjectedFiles, self.count) {
            "Personality file limit exceeded".to_owned()
        } else if over(Resource::InjectedFilePathBytes, self.path) {
            format!("Personality file path exceeds maximum {}", allowed(Resource::InjectedFilePathBytes))
        } else if over(Resource::InjectedFileContentBytes, self.contents) {
            format!("Personality file content exceeds maximum {}", allowed(Resource::InjectedFileContentBytes))
        } else {
            return Ok(());
        };
        Err(ApiError::Forbidden(text))
    }
}
