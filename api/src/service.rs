//! The API as a service: a listener, and its heartbeat.

use std::net::SocketAddr;

use axum::Router;
use novella_common::{
    config::ServiceConfig,
    db::{Database, DbError},
    service::{ServiceIdentity, Shutdown, announce, keep_alive},
};
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
        listener: TcpListener,
        router: Router,
        database: Database,
        service: ServiceConfig,
        identity: ServiceIdentity,
        shutdown: &Shutdown,
    ) -> Result<Self, StartError> {
        let address = listener.local_addr()?;
        announce(&database, &identity).await?;
        keep_alive(database, identity, service.report_interval, shutdown);
        let stop = shutdown.clone();
        shutdown.spawn(async move {
            let until = async move { stop.requested().await };
            // With the address of whoever asks, which may be that of a trusted proxy.
            let router = router.into_make_service_with_connect_info::<SocketAddr>();
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(until).await {
                tracing::error!(%error, "the API's listener ended");
            }
        });
        tracing::info!(%address, "the API answers");
        Ok(Self { address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
