//! `personality`: files to be put into the guest before it first runs, until 2.56.
//!
//! They are held against Nova's limits and kept nowhere, as by Nova, which hands them to the hypervisor and forgets them:
//! a simulated guest has no disk to put them on.

use base64::{Engine, prelude::BASE64_STANDARD};
use novella_rest::ApiError;
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;

/// Files that one server may be given (nova.conf, `injected_files`).
pub(in crate::compute) const MAX_FILES: usize = 5;
/// Bytes of one file, in base64 (`injected_file_content_bytes`).
pub(in crate::compute) const MAX_CONTENT_BYTES: usize = 10 * 1024;
/// Bytes of a path (`injected_file_path_length`).
const MAX_PATH_BYTES: usize = 255;

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

/// Holds files against the limits.
///
/// # Errors
/// 400 for a file without a path or contents, 403 in Nova's words beyond a limit.
pub(super) fn check(files: &[File]) -> Result<(), ApiError> {
    let over = |text: String| Err(ApiError::Forbidden(text));
    for file in files {
        let missing = |name: &str| ApiError::bad_request(format!("Bad personality format: missing '{name}'"));
        let path = file.path.as_ref().ok_or_else(|| missing("path"))?;
        let contents = file.contents.as_ref().ok_or_else(|| missing("contents"))?;
        if path.len() > MAX_PATH_BYTES {
            return over(format!("Personality file path exceeds maximum {MAX_PATH_BYTES}"));
        }
        if contents.0.len() > MAX_CONTENT_BYTES {
            return over(format!("Personality file content exceeds maximum {MAX_CONTENT_BYTES}"));
        }
    }
    if files.len() > MAX_FILES {
        return over("Personality file limit exceeded.".to_owned());
    }
    Ok(())
}
