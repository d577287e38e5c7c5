//! The id of each request: in every answer, every log line, every message that the request leads to.

use axum::{
    extract::Request,
    http::{Extensions, HeaderMap, HeaderValue},
    middleware::Next,
    response::Response,
};
use novella_common::{RequestContext, context::new_request_id};
use novella_messaging::{
    Excerpt,
    trace::{self, Span, SpanKind, TraceContext},
};
use uuid::Uuid;

use crate::logging::method_name;

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
    let traced = Traced::begin(&request, &ids.own);
    request.extensions_mut().insert(ids);
    let current = traced.as_ref().map(|traced| traced.current.clone());
    let mut response = trace::within(current, next.run(request)).await;
    if let Some(traced) = traced {
        traced.end(&response);
    }
    if let Ok(id) = header {
        // Both names, whatever the microversion: Nova sends the first from 2.46 on, and clients look for either.
        response.headers_mut().insert("x-openstack-request-id", id.clone());
        response.headers_mut().insert("x-compute-request-id", id);
    }
    response
}

/// A request as the first span of what is done for it.
struct Traced {
    current: trace::Current,
    /// The client's own span.
    parent: Option<[u8; 8]>,
    name: String,
    request_id: String,
    start: i64,
}

impl Traced {
    /// Nothing for a request that only looks: there are too many of them, and they lead to nothing.
    fn begin(request: &Request, request_id: &str) -> Option<Self> {
        if request.method().is_safe() {
            return None;
        }
        let own = TraceContext::of_request(request_id)?;
        let client = request.headers().get("traceparent").and_then(|value| TraceContext::parse(value.to_str().ok()?));
        let context = client.map_or(own, |client| TraceContext { span_id: own.span_id, ..client });
        Some(Self {
            current: trace::Current { context, service: "api".into(), host: None },
            parent: client.map(|client| client.span_id),
            // Kept, whoever has asked.
            name: format!("{} {}", method_name(request.method()), Excerpt(request.uri().path())),
            request_id: request_id.to_owned(),
            start: trace::now(),
        })
    }

    fn end(self, response: &Response) {
        if !trace::is_recorded() {
            return;
        }
        let status = response.status();
        trace::record(Span {
            context: self.current.context,
            parent: self.parent,
            request_id: self.request_id,
            kind: SpanKind::Request,
            name: self.name,
            service: self.current.service,
            host: None,
            peer: status.as_u16().to_string(),
            sent: None,
            start: self.start,
            end: trace::now(),
            error: (status.is_client_error() || status.is_server_error()).then(|| status.to_string()),
        });
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

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

    fn name_of_span(method: &str, path: &str) -> String {
        let request = axum::http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        Traced::begin(&request, "req-8a1b2c3d-0000-4000-8000-000000000001").unwrap().name
    }

    #[test]
    fn of_a_strangers_request_no_more_than_an_excerpt_is_kept() {
        assert_eq!(name_of_span("POST", "/compute/v2.1/servers"), "POST /compute/v2.1/servers");
        let long = name_of_span("INVENTED", &format!("/{}", "a".repeat(60_000)));
        assert!(long.starts_with("other /aaa") && long.len() < 300, "{long}");
    }
}
