//! Which version a request asks for, and the headers that say which one it got.

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::Microversion;
use crate::error::ApiError;

/// The header of all of OpenStack's services, `compute 2.27`.
const HEADER: &str = "openstack-api-version";
/// The older one of the Compute API alone, `2.10`.
const LEGACY_HEADER: &str = "x-openstack-nova-api-version";

/// The version that a request asks for.
///
/// # Errors
/// 400 for what is no version, 406 for one that is not served.
fn asked_for(headers: &HeaderMap) -> Result<Microversion, ApiError> {
    let unreadable = || ApiError::bad_request("The header OpenStack-API-Version is not text.");
    let mut text = None;
    for value in headers.get_all(HEADER) {
        // `compute 2.27`, several services separated by commas; the last one for this service counts.
        for entry in value.to_str().map_err(|_| unreadable())?.split(',') {
            let mut words = entry.split_ascii_whitespace();
            if words.next().is_some_and(|service| service.eq_ignore_ascii_case("compute")) {
                text = Some(words.next().unwrap_or_default().to_owned());
            }
        }
    }
    if text.is_none()
        && let Some(value) = headers.get(LEGACY_HEADER)
    {
        text = Some(value.to_str().map_err(|_| unreadable())?.trim().to_owned());
    }
    let version = match text.as_deref() {
        None => Microversion::MIN,
        Some("latest") => Microversion::MAX,
        Some(text) => {
            text.parse().map_err(|error: super::InvalidMicroversion| ApiError::bad_request(error.to_string()))?
        }
    };
    let (min, max) = (Microversion::MIN, Microversion::MAX);
    if version < min || version > max {
        return Err(ApiError::NotAcceptable(format!(
            "Version {version} is not supported by the API. Minimum is {min} and maximum is {max}."
        )));
    }
    Ok(version)
}

/// Gives a request its version, and its answer the headers that name it. Both headers at every version, as Nova does.
pub(crate) async fn negotiate(mut request: Request, next: Next) -> Response {
    let version = match asked_for(request.headers()) {
        Ok(version) => version,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(version);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let number = version.to_string();
    for (name, value) in [(LEGACY_HEADER, number.clone()), (HEADER, format!("compute {number}"))] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    headers.append(header::VARY, HeaderValue::from_static("OpenStack-API-Version, X-OpenStack-Nova-API-Version"));
    response
}

impl<S: Send + Sync> FromRequestParts<S> for Microversion {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        // Not there: a path outside the layer, which has no versions.
        Ok(parts.extensions.get::<Microversion>().copied().unwrap_or(Microversion::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&'static str, &'static str)]) -> Result<String, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        asked_for(&map).map(|version| version.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_client_that_names_no_version_gets_the_lowest() {
        assert_eq!(asked(&[]), Ok("2.1".into()));
        assert_eq!(asked(&[(HEADER, "volume 3.59")]), Ok("2.1".into()));
    }

    #[test]
    fn either_header_names_it_and_the_common_one_wins() {
        assert_eq!(asked(&[(LEGACY_HEADER, "2.10")]), Ok("2.10".into()));
        assert_eq!(asked(&[(HEADER, "compute 2.12")]), Ok("2.12".into()));
        assert_eq!(asked(&[(HEADER, "volume 3.1, Compute  2.12"), (LEGACY_HEADER, "2.3")]), Ok("2.12".into()));
        assert_eq!(asked(&[(HEADER, "compute latest")]), Ok(Microversion::MAX.to_string()));
    }

    #[test]
    fn what_is_not_served_is_refused_with_what_is() {
        let expected =
            format!("Version 2.9999 is not supported by the API. Minimum is 2.1 and maximum is {}.", Microversion::MAX);
        assert_eq!(asked(&[(HEADER, "compute 2.9999")]), Err(expected));
        assert!(asked(&[(HEADER, "compute 3.1")]).is_err());
        assert!(asked(&[(HEADER, "compute")]).unwrap_err().contains("invalid format"));
    }
}
