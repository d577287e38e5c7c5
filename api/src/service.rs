//! The API as a service: a listener, and its heartbeat.

use std::net::SocketAddr;

use axum::Router;
use novella_common::{
    config::ServiceConfig,
    db::{Database, DbError},
    service::{ConnectionLimits, Plain, ServiceIdentity, Shutdown, announce, keep_alive, serve_http},
};
use novella_rest::Tls;
use tokio::net::TcpListener;

/// Why the API could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener has no address.
    #[error("the API's listener: {0}")]
    Listener(#[from] std::io::Error),
    /// The service's row could not be written.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Where an API is reached, and how.
#[derive(Debug)]
pub struct ApiListener {
    /// The address.
    pub listener: TcpListener,
    /// What it grants to those who connect.
    pub limits: ConnectionLimits,
    /// TLS, if it is spoken there.
    pub tls: Option<Tls>,
}

impl ApiListener {
    /// Answers by `router` until `shutdown` is requested. `name` is what figures call the listener.
    pub fn serve(self, name: &'static str, router: Router, shutdown: &Shutdown) {
        let Self { listener, limits, tls } = self;
        let stop = shutdown.clone();
        shutdown.spawn(async move {
            match tls {
                Some(tls) => serve_http(name, listener, router, tls, limits, &stop).await,
                None => serve_http(name, listener, router, Plain, limits, &stop).await,
            }
        });
    }
}

/// A running API.
#[derive(Clone, Copy, Debug)]
pub struct ApiService {
    address: SocketAddr,
}

impl ApiService {
    /// Starts to answer on `listener` by `router`, which has Compute and whatever else the process serves, and goes on
    /// until `shutdown` is requested: then it takes no more connections and finishes what it is answering.
    ///
    /// # Errors
    /// The listener or the database can't be used.
    pub async fn start(
        listener: ApiListener,
        router: Router,
        database: Database,
        service: ServiceConfig,
        identity: ServiceIdentity,
        shutdown: &Shutdown,
    ) -> Result<Self, StartError> {
        let address = listener.listener.local_addr()?;
        announce(&database, &identity).await?;
        keep_alive(database, identity, service.report_interval, shutdown);
        listener.serve("api", router, shutdown);
        tracing::info!(%address, "the API answers");
        Ok(Self { address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
