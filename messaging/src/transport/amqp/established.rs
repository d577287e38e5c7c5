//! A connection that stands, and what is asked over it.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use lapin::{Channel, Connection, ConnectionState, ErrorKind};
use tokio_util::sync::CancellationToken;

use super::errors;

/// How long opening channels, declaring and consuming may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
/// How many numbers of channels a connection may lose before it is made anew.
const MAX_LOST_NUMBERS: u16 = 256;

/// A connection from when it was made until it is lost. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Established(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: Connection,
    lost: CancellationToken,
    /// How many numbers of channels can't be used again.
    lost_numbers: AtomicU16,
}

impl Established {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Arc::new(Inner { connection, lost: CancellationToken::new(), lost_numbers: AtomicU16::new(0) }))
    }

    /// Notes that it is lost: nothing that was asked over it is waited for any more.
    pub(super) fn lose(&self) {
        self.0.lost.cancel();
    }

    /// Returns when it is lost.
    pub(super) async fn until_lost(&self) {
        self.0.lost.cancelled().await;
    }

    /// Whether it stands.
    pub(super) fn stands(&self) -> bool {
        self.status().connected() && !self.0.lost.is_cancelled()
    }

    /// What the broker answers; an error if it does not, or is gone. The client library can leave a question without an end
    /// that was asked just when the connection was lost, and a broker one on a connection that stands: either would be a
    /// way to stop working without a word.
    pub(super) async fn answer<T>(&self, question: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
        tokio::select! {
            biased;
            answer = question => answer,
            () = self.until_lost() => Err(ErrorKind::InvalidConnectionState(ConnectionState::Closed).into()),
            () = tokio::time::sleep(RESPONSE_TIMEOUT) => {
                let text = format!("the broker did not answer within {RESPONSE_TIMEOUT:?}");
                Err(ErrorKind::IOError(Arc::new(io::Error::new(io::ErrorKind::TimedOut, text))).into())
            }
        }
    }

    /// Opens a channel.
    ///
    /// Once a broker has closed a channel with an error (a queue that was asked for is missing, say), the client library
    /// (lapin 4.12) answers that error for whatever is asked on a later channel of the same number. Numbers come round
    /// after as many channels as a connection may have; one that is lost in this way is left out. A connection that has
    /// lost many is closed, and made anew.
    pub(super) async fn create_channel(&self) -> lapin::Result<Channel> {
        loop {
            match self.0.connection.create_channel().await {
                // The broker has nothing to say yet about a new channel.
                Err(error) if errors::is_of_a_channel(&error) && self.stands() => {
                    if self.0.lost_numbers.fetch_add(1, Ordering::Relaxed) >= MAX_LOST_NUMBERS {
                        tracing::info!("a connection to the broker is made anew, for the numbers of its channels");
                        self.0.connection.close(200, "OK".into()).await?;
                        return Err(ErrorKind::InvalidConnectionState(ConnectionState::Closed).into());
                    }
                }
                created => return created,
            }
        }
    }
}

impl Deref for Established {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0.connection
    }
}
