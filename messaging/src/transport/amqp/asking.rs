//! The connection over which a transport asks the broker for what is there: queues, markers, dead letters.
//!
//! It is one of its own, opened with the first question: the answer that something is missing closes a channel, and a
//! connection wears out by that (see [`Established::create_channel`](super::established::Established::create_channel)). No
//! subscription is on it, which would have to begin anew on the next.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::{Address, ConnectionState, RecoveringConnection};
use super::connection_pool::{DeclaringChannels, DeclaringPermit};
use super::established::Established;
use crate::error::MessagingError;

/// How many set, remove or look up markers at once.
const MAX_MARKING: usize = 4;

/// The connection for questions.
#[derive(Debug)]
pub(super) struct Asking {
    address: Address,
    connection: OnceLock<RecoveringConnection>,
    channels: Arc<DeclaringChannels>,
    closed: CancellationToken,
}

impl Asking {
    pub(super) fn new(address: Address) -> Self {
        let channels = Arc::new(DeclaringChannels::new(MAX_MARKING));
        Self { address, connection: OnceLock::new(), channels, closed: CancellationToken::new() }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The connection, as soon as there is one.
    pub(super) async fn up(&self) -> Result<Established, MessagingError> {
        if self.closed.is_cancelled() {
            return Err(MessagingError::Closed);
        }
        let connection = self.connection.get_or_init(|| RecoveringConnection::open(self.address.clone()));
        // In the meantime, so that it was not seen there.
        if self.closed.is_cancelled() {
            connection.begin_closing();
        }
        connection.up().await
    }

    /// Its state, once there was a question.
    pub(super) fn state(&self) -> Option<watch::Receiver<ConnectionState>> {
        self.connection.get().map(RecoveringConnection::state)
    }

    /// Waits until one more may use a channel for markers.
    pub(super) async fn channel(&self) -> DeclaringPermit {
        Arc::clone(&self.channels).acquire().await
    }

    /// Closes the connection, and opens none any more.
    pub(super) async fn close(&self) {
        self.closed.cancel();
        if let Some(connection) = self.connection.get() {
            connection.close().await;
        }
    }
}
