//! The API as a service: a listener, its heartbeat, and the cleaning up of old tokens.

use std::{net::SocketAddr, time::Duration};

use jiff::Timestamp;
use novella_common::{
    config::ServiceConfig,
    db::{Database, DbError, identity},
    service::{ServiceIdentity, Shutdown, announce, keep_alive},
};
use novella_messaging::Transport;
use tokio::net::TcpListener;

use crate::{config::ApiConfig, router::router, state::Api};

/// How often tokens that have expired are removed. They are refused before that; this only keeps the table small.
const TOKEN_SWEEP: Duration = Duration::from_secs(600);

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
    /// Starts to answer on `listener`, and goes on until `shutdown` is requested: then it takes no more connections and
    /// finishes what it is answering.
    ///
    /// # Errors
    /// The listener or the database can't be used.
    pub async fn start(
        listener: TcpListener,
        database: Database,
        transport: Transport,
        config: ApiConfig,
        service: ServiceConfig,
        identity: ServiceIdentity,
        shutdown: &Shutdown,
    ) -> Result<Self, StartError> {
        let address = listener.local_addr()?;
        announce(&database, &identity).await?;
        keep_alive(database.clone(), identity.clone(), service.report_interval, shutdown);
        sweep_tokens(database.clone(), shutdown);

        let router = router(Api::new(database, &transport, config, service, &identity));
        let stop = shutdown.clone();
        shutdown.spawn(async move {
            let until = async move { stop.requested().await };
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

fn sweep_tokens(database: Database, shutdown: &Shutdown) {
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        while stop.pause(TOKEN_SWEEP).await {
            let swept =
                async { identity::delete_expired_tokens(&mut *database.write().await?, Timestamp::now()).await };
            match swept.await {
                Ok(0) => {}
                Ok(tokens) => tracing::debug!(tokens, "expired tokens removed"),
                Err(error) => tracing::warn!(%error, "expired tokens not removed"),
            }
        }
    });
}
