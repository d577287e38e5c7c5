//! The connection over which a transport asks the broker for what is there: queues, markers, dead letters.
//!
//! It is one of its own, opened with the first question: the answer that something is missing closes a channel, and a
//! connection wears out by that (see [`Established::create_channel`](super::established::Established::create_channel)).
//! Nothing is delivered over it, so that nothing is delivered again when it is made anew.

use std::sync::{Arc, OnceLock};

use super::connection::{Address, RecoveringConnection};
use super::connection_pool::{DeclaringChannels, DeclaringPermit};
use super::established::Established;
use crate::error::MessagingError;

/// How many may use a channel that lasts at once.
const MAX_CHANNELS: usize = 8;

/// The connection for questions.
#[derive(Debug)]
pub(super) struct Asking {
    address: Address,
    connection: OnceLock<RecoveringConnection>,
    channels: Arc<DeclaringChannels>,
}

impl Asking {
    pub(super) fn new(address: Address) -> Self {
        Self { address, connection: OnceLock::new(), channels: Arc::new(DeclaringChannels::new(MAX_CHANNELS)) }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The connection, as soon as there is one.
    pub(super) async fn up(&self) -> Result<Established, MessagingError> {
        self.connection.get_or_init(|| RecoveringConnection::open(self.address.clone())).up().await
    }

    /// Waits for its turn to use one of few channels.
    pub(super) async fn channel(&self) -> DeclaringPermit {
        Arc::clone(&self.channels).acquire().await
    }

    pub(super) async fn close(&self) {
        if let Some(connection) = self.connection.get() {
            connection.close().await;
        }
    }
}
