//! The page: what a browser shows of a cloud.
//!
//! The files in `web/page` are in the program, as they are: modules without a framework and without a step that builds them.
//! The page asks the public API, with its user's own token, for all that it shows; nothing here knows of it.
//!
//! A browser is told to take nothing from elsewhere, to run no script but these files, and to make no markup of text
//! (`require-trusted-types-for`), whatever a server is named.

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

/// Where it is, below the base of the API.
pub const PATH: &str = "/ui";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($name:literal $form:ident;)+) => {
        &[$(($name, $form, include_str!(concat!("../page/", $name)))),+]
    };
}

/// Every file of the page, with its form.
const FILES: &[(&str, &str, &str)] = files! {
    "index.html" HTML;
    "app.css" CSS;
    "pages.css" CSS;
    "icon.svg" SVG;
    "app.js" JS;
    "api.js" JS;
    "bus.js" JS;
    "dom.js" JS;
    "events.js" JS;
    "hosts.js" JS;
    "list.js" JS;
    "login.js" JS;
    "requests.js" JS;
    "server.js" JS;
    "servers.js" JS;
    "services.js" JS;
    "store.js" JS;
};

/// The files of the page, below [`PATH`]; with a redirect to it from the path without a slash.
pub fn router() -> Router {
    let mut router = Router::new().route(PATH, get(|| async { (StatusCode::FOUND, [(header::LOCATION, "ui/")]) }));
    for (name, form, text) in FILES {
        let path = format!("{PATH}/{}", if *name == "index.html" { "" } else { name });
        let etag = format!("\"{}\"", hex(&Sha256::digest(text.as_bytes())[..12]));
        router = router.route(&path, get(move |headers: HeaderMap| async move { answer(form, text, &etag, &headers) }));
    }
    router
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn answer(form: &'static str, text: &'static str, etag: &str, asked: &HeaderMap) -> Response {
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { text.into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form));
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::{fs, path::Path};

    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn every_file_is_in_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let mut there: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let mut known: Vec<&str> = FILES.iter().map(|(name, _, _)| *name).collect();
        there.sort();
        known.sort_unstable();
        assert_eq!(there, known);
    }

    #[test]
    fn nothing_is_asked_of_another_host_and_nothing_makes_markup_of_text() {
        for (name, _, text) in FILES {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for wrong in [
                "http:",
                "https:",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=\"",
                "onclick=",
            ] {
                assert!(!text.contains(wrong), "{name} has {wrong}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_the_browser_has_is_not_sent_again_and_each_has_the_policy() {
        let first = router().oneshot(Request::get("/ui/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(first.headers()[header::CONTENT_TYPE], HTML);
        assert!(first.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("script-src 'self'"));
        let etag = first.headers()[header::ETAG].clone();
        let again = Request::get("/ui/").header(header::IF_NONE_MATCH, etag).body(Body::empty()).unwrap();
        assert_eq!(router().oneshot(again).await.unwrap().status(), StatusCode::NOT_MODIFIED);
    }
}
