//! Following the stream of events.

use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use http::{Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use super::Client;

/// A stream of events that is being read.
pub struct Events {
    body: BodyDataStream,
    text: String,
    pub last_id: String,
}

impl Client<'_> {
    /// Follows what changes; from an event on, if one is named.
    pub async fn events(&self, query: &str, last: Option<&str>) -> Events {
        let response = self.open_events(query, last).await;
        assert_eq!(response.status(), StatusCode::OK);
        Events { body: response.into_body().into_data_stream(), text: String::new(), last_id: String::new() }
    }

    pub async fn open_events(&self, query: &str, last: Option<&str>) -> Response {
        let mut request = Request::get(format!("/cloud/v1/events{query}")).header("host", "cloud.test");
        request = request.header("x-auth-token", self.token.as_deref().unwrap_or_default());
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let router = self.via.as_ref().unwrap_or(&self.cloud.router);
        router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }
}

impl Events {
    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((frame, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    line.map(ToOwned::to_owned)
                };
                let (event, data, id) = (field("event"), field("data"), field("id"));
                self.text = rest.to_owned();
                self.last_id = id.unwrap_or_else(|| self.last_id.clone());
                if let (Some(event), Some(data)) = (event, data) {
                    return Some((event, serde_json::from_str(&data).unwrap()));
                }
            }
            let part = futures_util::StreamExt::next(&mut self.body);
            let part = tokio::time::timeout(std::time::Duration::from_secs(30), part).await.expect("no event for 30 s");
            self.text.push_str(std::str::from_utf8(&part?.unwrap()).unwrap());
        }
    }

    /// Reads on until an event of this kind of which this holds.
    pub async fn until(&mut self, kind: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let (event, data) = self.next().await.expect("the stream ended");
                if event == kind && holds(&data) {
                    return data;
                }
            }
        };
        let limit = std::time::Duration::from_secs(60);
        tokio::time::timeout(limit, found).await.unwrap_or_else(|_| panic!("no such {kind} for {limit:?}"))
    }
}
