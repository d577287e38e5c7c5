//! Faults that are set at run time, as one layer around all services: an error, a delay, a lost connection. Without
//! faults enabled there is no such layer.

use std::{panic::resume_unwind, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use novella_common::faults::{Faults, HttpEffect, HttpEvent};

use crate::{Authenticator, error::Envelope, token_in};

/// What the layer needs.
pub(crate) struct Injector {
    pub(crate) faults: Faults,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    /// Below which root errors have which form.
    pub(crate) envelopes: Vec<(&'static str, Envelope)>,
    /// Where no service is.
    pub(crate) envelope: Envelope,
}

/// Lets a fault fire, if one is for this request.
pub(crate) async fn inject(State(injector): State<Arc<Injector>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().as_str(), request.uri().path());
    let project = match injector.faults.ask_for_project(method, path) {
        true => injector.project_of(request.headers()).await,
        false => None,
    };
    let Some(fires) = injector.faults.on_http(&HttpEvent { method, path, project: project.as_deref() }) else {
        return next.run(request).await;
    };
    tracing::info!(fault = fires.id, "a fault fires");
    if !fires.delay.is_zero() {
        tokio::time::sleep(fires.delay).await;
    }
    match fires.effect {
        None => next.run(request).await,
        Some(HttpEffect::Answer { status, retry_after, message }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let message = message.unwrap_or_else(|| format!("The fault {} was set for this request.", fires.id));
            let mut response = (status, Json(injector.envelope_of(path)(status, &message))).into_response();
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
        // The task of the connection ends and closes it: no response can say that there is to be none. Other than a
        // panic, this writes nothing about a defect; and the guard that answers for handlers that break is further in.
        Some(HttpEffect::Drop) => resume_unwind(Box::new("a fault drops the connection")),
    }
}

impl Injector {
    async fn project_of(&self, headers: &HeaderMap) -> Option<String> {
        let token = token_in(headers, "x-auth-token")?;
        // Who can't be told is refused further in, with the reason.
        let token = self.authenticator.authenticate(token).await.ok()??;
        token.project.as_ref().map(|project| project.id.clone())
    }

    fn envelope_of(&self, path: &str) -> Envelope {
        let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.envelopes.iter().find(|(root, _)| below(root)).map_or(self.envelope, |(_, envelope)| *envelope)
    }
}
