//! The id of each request: in every answer, every log line, every message that the request leads to.

use axum::{
    extract::Request,
    http::{Extensions, HeaderMap, HeaderValue},
    middleware::Next,
    response::Response,
};
use novella_common::{RequestContext, context::new_request_id};
use uuid::Uuid;

/// The ids of one request.
#[derive(Clone, Debug)]
pub(crate) struct RequestIds {
    /// Made here.
    pub(crate) own: String,
    /// The client's, if it sent a valid one.
    pub(crate) global: Option<String>,
}

impl RequestIds {
    fn new(headers: &HeaderMap) -> Self {
        let global = headers.get("x-openstack-request-id").and_then(|value| value.to_str().ok());
        // Anything else could forge log lines (oslo.context asks for the same form).
        let global = global.filter(|id| id.strip_prefix("req-").is_some_and(|id| Uuid::try_parse(id).is_ok()));
        Self { own: new_request_id(), global: global.map(ToOwned::to_owned) }
    }
}

/// The context of a request of which nothing but its ids is known yet.
pub(crate) fn context(extensions: &Extensions) -> RequestContext {
    let ids = extensions.get::<RequestIds>();
    RequestContext {
        request_id: ids.map_or_else(new_request_id, |ids| ids.own.clone()),
        global_request_id: ids.and_then(|ids| ids.global.clone()),
        roles: Vec::new(),
        is_admin: false,
        ..RequestContext::internal()
    }
}

/// Gives a request its ids, and its answer the header that clients show.
pub(crate) async fn assign(mut request: Request, next: Next) -> Response {
    let ids = RequestIds::new(request.headers());
    let header = HeaderValue::from_str(&ids.own);
    request.extensions_mut().insert(ids);
    let mut response = next.run(request).await;
    if let Ok(id) = header {
        // Both names, whatever the microversion: Nova sends the first from 2.46 on, and clients look for either.
        response.headers_mut().insert("x-openstack-request-id", id.clone());
        response.headers_mut().insert("x-compute-request-id", id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("x-openstack-request-id", value.parse().unwrap());
        RequestIds::new(&headers).global
    }

    #[test]
    fn a_clients_id_is_taken_only_in_the_right_form() {
        let id = "req-8a1b2c3d-0000-4000-8000-000000000000";
        assert_eq!(global(id).as_deref(), Some(id));
        assert_eq!(global("req-nonsense"), None);
        assert_eq!(global("8a1b2c3d-0000-4000-8000-000000000000"), None);
    }
}
