//! The API of the Networking component of the same process: its own operations with its own policy, without a socket between.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
};
use novella_common::{
    networking_api::NetworkingApi,
    networks::{Answer, Caller, NetworkError},
    service::Readiness,
};
use novella_network::{NETWORK, Networking};
use novella_rest::{Authenticator, RestConfig, Server, policy::Policy};
use serde_json::Value;
use tower::ServiceExt;

/// Answers by what the component itself answers.
#[derive(Clone)]
pub struct NetworkingApiHere(Router);

impl NetworkingApiHere {
    /// On this component. It has places for requests of its own: who asks has one already, among those of the whole process.
    #[must_use]
    pub fn new(
        networking: Networking,
        config: RestConfig,
        authenticator: Arc<dyn Authenticator>,
        policy: Policy,
    ) -> Self {
        let server = Server::new(config, authenticator).policy(NETWORK.kind, policy);
        Self(server.service(&NETWORK, networking, novella_network::operations()).router(Readiness::new()))
    }

    async fn answer(
        &self,
        caller: Caller<'_>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, NetworkError> {
        let broken = |error: &dyn fmt::Display| NetworkError::Unavailable(error.to_string());
        let uri = format!("{}{}{path}", NETWORK.root, NETWORK.version_path);
        let mut request = Request::builder().method(method).uri(uri).header(header::HOST, "localhost");
        request = request.header("x-openstack-request-id", &caller.context.request_id);
        if let Some(token) = caller.token {
            request = request.header("x-auth-token", token);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).map_err(|error| broken(&error))?;
        let response = self.0.clone().oneshot(request).await.map_err(|error| broken(&error))?;
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.map_err(|error| broken(&error))?;
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).map_err(|error| broken(&error))?,
        };
        if status.is_success() {
            return Ok(body);
        }
        Err(refusal(status, &body))
    }
}

/// What Networking says in an answer that is an error.
fn refusal(status: StatusCode, body: &Value) -> NetworkError {
    let error = &body["NeutronError"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let message = match error {
        Value::Object(_) => text(&error["message"]),
        Value::String(message) => message.clone(),
        _ => text(&body["error"]["message"]),
    };
    if status.is_server_error() {
        return NetworkError::Unavailable(format!("{status}: {message}"));
    }
    NetworkError::Refused { status: status.as_u16(), kind: text(&error["type"]), message }
}

impl NetworkingApi for NetworkingApiHere {
    fn send<'a>(&'a self, caller: Caller<'a>, method: Method, path: &'a str, body: Option<Value>) -> Answer<'a, Value> {
        Box::pin(self.answer(caller, method, path, body))
    }
}

impl fmt::Debug for NetworkingApiHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkingApiHere").finish_non_exhaustive()
    }
}
