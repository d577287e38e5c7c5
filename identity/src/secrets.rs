//! Random text that nobody can guess.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use novella_rest::ApiError;
use rand::TryRng;

fn bytes<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0u8; N];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no random numbers");
        ApiError::Unavailable("No secret can be made at present. Please try again.".into())
    })?;
    Ok(bytes)
}

/// 256 random bits, in a form that fits into a header: a token.
///
/// # Errors
/// 503 if the system gives none.
pub(crate) fn token() -> Result<String, ApiError> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes::<32>()?))
}

/// 512 random bits, likewise: the secret of an application credential.
///
/// # Errors
/// 503 if the system gives none.
pub(crate) fn long() -> Result<String, ApiError> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes::<64>()?))
}

/// 128 random bits as 22 characters: an audit id.
///
/// # Errors
/// 503 if the system gives none.
pub(crate) fn audit_id() -> Result<String, ApiError> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes::<16>()?))
}

/// 128 random bits as 32 hexadecimal digits.
///
/// # Errors
/// 503 if the system gives none.
pub(crate) fn hex() -> Result<String, ApiError> {
    Ok(bytes::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}
