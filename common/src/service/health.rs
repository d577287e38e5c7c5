//! `/healthz`, `/readyz` and `/metrics`.
//!
//! `/healthz` says that the process runs and its runtime turns. `/readyz` says whether it can work: 200 with the state
//! of each part it stands on, or 503 with the reason.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use futures_util::future::BoxFuture;
use novella_messaging::{Health, Transport};
use tokio::net::TcpListener;

use super::{ConnectionLimits, Plain, Shutdown, serve_http};
use crate::telemetry;

/// The longest that one readiness check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// One part that a service stands on: `Err` says why it can't be used.
pub type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What a service needs to be ready.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: BTreeMap<String, Check>,
}

impl Readiness {
    /// Nothing is needed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bus must be connected.
    #[must_use]
    pub fn bus(self, transport: &Transport) -> Self {
        let transport = transport.clone();
        self.check("bus", move || {
            let health = transport.health();
            Box::pin(async move {
                match health {
                    Health::Connected => Ok(()),
                    Health::Reconnecting { reason, .. } => Err(format!("reconnecting: {reason}")),
                    Health::Blocked { reason } => Err(format!("blocked by the broker: {reason}")),
                }
            })
        })
    }

    /// The database must answer.
    #[cfg(feature = "database")]
    #[must_use]
    pub fn database(self, database: &crate::db::Database) -> Self {
        let database = database.clone();
        self.check("database", move || {
            let database = database.clone();
            Box::pin(async move { database.ping().await.map_err(|error| error.to_string()) })
        })
    }

    /// A part of the service's own.
    #[must_use]
    pub fn check<F>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    {
        self.checks.insert(name.to_owned(), Arc::new(check));
        self
    }

    /// A part that brings its own check.
    #[must_use]
    pub fn part(mut self, name: impl Into<String>, check: Check) -> Self {
        self.checks.insert(name.into(), check);
        self
    }

    /// Joins what two services in one process need.
    #[must_use]
    pub fn and(mut self, other: Readiness) -> Self {
        self.checks.extend(other.checks);
        self
    }

    async fn ask(&self) -> (bool, BTreeMap<&str, String>) {
        let mut ready = true;
        let mut parts = BTreeMap::new();
        for (name, check) in &self.checks {
            let state = match tokio::time::timeout(CHECK_TIMEOUT, check()).await {
                Ok(Ok(())) => "ok".to_owned(),
                Ok(Err(reason)) => {
                    ready = false;
                    reason
                }
                Err(_) => {
                    ready = false;
                    format!("no answer within {} s", CHECK_TIMEOUT.as_secs())
                }
            };
            parts.insert(name.as_str(), state);
        }
        (ready, parts)
    }
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let (ready, parts) = readiness.ask().await;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({ "ready": ready, "parts": parts })))
}

/// The three paths; to be merged into a router or served by [`serve_management`].
pub fn management_router(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(|| async { telemetry::render_metrics() }))
        .with_state(readiness)
}

/// Serves the three paths until stopping is asked for.
///
/// # Errors
/// The address can't be listened on.
pub async fn serve_management(
    listen: SocketAddr,
    readiness: Readiness,
    shutdown: &Shutdown,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        let router = management_router(readiness);
        serve_http("management", listener, router, Plain, ConnectionLimits::MANAGEMENT, &stop).await;
    });
    Ok(address)
}
