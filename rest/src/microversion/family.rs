//! A service's family of microversions: which version a request asks for, and the headers that say which one it got.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{InvalidMicroversion, Microversion};
use crate::error::ApiError;

/// The header of all of OpenStack's services, `compute 2.27`.
const HEADER: &str = "openstack-api-version";

/// The microversions of a service.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The service's name in the header: `compute`, `volume`.
    pub service: &'static str,
    /// What a client that names no version gets, and the lowest that is served.
    pub min: Microversion,
    /// The highest that is served.
    pub max: Microversion,
    /// An older header of this service alone, in lower case, whose value is the number alone.
    pub legacy_header: Option<&'static str>,
}

impl Family {
    /// The version that a request asks for.
    ///
    /// # Errors
    /// 400 for what is no version, 406 for one that is not served.
    fn requested(&self, headers: &HeaderMap) -> Result<Microversion, ApiError> {
        let unreadable = || ApiError::bad_request("The header OpenStack-API-Version is not text.");
        let mut text = None;
        for value in headers.get_all(HEADER) {
            // `compute 2.27`, several services separated by commas; the last one for this service counts.
            for entry in value.to_str().map_err(|_| unreadable())?.split(',') {
                let mut words = entry.split_ascii_whitespace();
                if words.next().is_some_and(|service| service.eq_ignore_ascii_case(self.service)) {
                    text = Some(words.next().unwrap_or_default().to_owned());
                }
            }
        }
        if text.is_none()
            && let Some(value) = self.legacy_header.and_then(|name| headers.get(name))
        {
            text = Some(value.to_str().map_err(|_| unreadable())?.trim().to_owned());
        }
        let version = match text.as_deref() {
            None => self.min,
            Some("latest") => self.max,
            Some(text) => {
                text.parse().map_err(|error: InvalidMicroversion| ApiError::bad_request(error.to_string()))?
            }
        };
        let (min, max) = (self.min, self.max);
        if version < min || version > max {
            return Err(ApiError::NotAcceptable(format!(
                "Version {version} is not supported by the API. Minimum is {min} and maximum is {max}."
            )));
        }
        Ok(version)
    }

    /// Says in an answer which version it is of: in both headers at every version, as Nova does.
    fn write_headers(&self, version: Microversion, headers: &mut HeaderMap) {
        let number = version.to_string();
        let mut vary = "OpenStack-API-Version".to_owned();
        if let (Some(name), Ok(value)) = (self.legacy_header, HeaderValue::from_str(&number)) {
            headers.insert(name, value);
            vary.push_str(", ");
            vary.push_str(name);
        }
        for (name, value) in [(HEADER, format!("{} {number}", self.service)), (header::VARY.as_str(), vary)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(name, value);
            }
        }
    }
}

/// Gives a request its version, and its answer the headers that name it.
pub(crate) async fn negotiate(State(family): State<Option<Family>>, mut request: Request, next: Next) -> Response {
    let Some(family) = family else {
        request.extensions_mut().insert(Microversion::NONE);
        return next.run(request).await;
    };
    let version = match family.requested(request.headers()) {
        Ok(version) => version,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(version);
    let mut response = next.run(request).await;
    family.write_headers(version, response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY_HEADER: &str = "x-openstack-nova-api-version";
    const FAMILY: Family = Family {
        service: "compute",
        min: Microversion::new(2, 1),
        max: Microversion::new(2, 103),
        legacy_header: Some(LEGACY_HEADER),
    };

    fn asked(headers: &[(&'static str, &'static str)]) -> Result<String, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        FAMILY.requested(&map).map(|version| version.to_string()).map_err(|error| error.to_string())
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
        assert_eq!(asked(&[(HEADER, "compute latest")]), Ok(FAMILY.max.to_string()));
    }

    #[test]
    fn what_is_not_served_is_refused_with_what_is() {
        let expected =
            format!("Version 2.9999 is not supported by the API. Minimum is 2.1 and maximum is {}.", FAMILY.max);
        assert_eq!(asked(&[(HEADER, "compute 2.9999")]), Err(expected));
        assert!(asked(&[(HEADER, "compute 3.1")]).is_err());
        assert!(asked(&[(HEADER, "compute")]).unwrap_err().contains("invalid format"));
    }

    #[test]
    fn a_family_of_another_service_has_its_own_name_and_numbers() {
        let volume = Family {
            service: "volume",
            min: Microversion::new(3, 0),
            max: Microversion::new(3, 71),
            legacy_header: None,
        };
        let mut headers = HeaderMap::new();
        headers.append(HEADER, HeaderValue::from_static("volume 3.59, compute 2.1"));
        assert_eq!(volume.requested(&headers).unwrap(), Microversion::new(3, 59));
        let mut answered = HeaderMap::new();
        volume.write_headers(Microversion::new(3, 59), &mut answered);
        assert_eq!(answered[HEADER], "volume 3.59");
    }
}
