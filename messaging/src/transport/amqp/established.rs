//! A connection that stands, and what is asked over it.

use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use lapin::{Channel, Connection, ConnectionState, ErrorKind};
use tokio_util::sync::CancellationToken;

use super::errors;

/// How long an answer of the broker may take: to the opening of a channel, a declaration, a question.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may take until it is known that a connection is lost.
const LOSS_TIMEOUT: Duration = Duration::from_secs(2);
/// How many numbers of channels a connection may lose before another takes its place, and which part of those it has.
const MAX_LOST_NUMBERS: u16 = 256;
const MAX_LOST_PART: u16 = 8;

/// A connection from when it was made until it is lost. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Established(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: Connection,
    lost: CancellationToken,
    worn_out: CancellationToken,
    /// How many numbers of channels can't be used again.
    lost_numbers: AtomicU16,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The client library keeps one open of which numbers are lost. To begin with, this hands over the broker's
        // farewell; nobody waits for its answer.
        let _ = self.connection.close(200, "OK".into()).now_or_never();
    }
}

impl Established {
    pub(super) fn new(connection: Connection) -> Self {
        let (lost, worn_out) = (CancellationToken::new(), CancellationToken::new());
        Self(Arc::new(Inner { connection, lost, worn_out, lost_numbers: AtomicU16::new(0) }))
    }

    /// What tells it from others, and does not keep it open.
    pub(super) fn downgrade(&self) -> WeakEstablished {
        WeakEstablished(Arc::downgrade(&self.0))
    }

    /// Notes that it is lost: nothing that was asked over it is waited for any more.
    pub(super) fn lose(&self) {
        self.0.lost.cancel();
    }

    /// Returns when it is lost.
    pub(super) async fn until_lost(&self) {
        self.0.lost.cancelled().await;
    }

    /// Returns when it is worn out: whoever uses it for long is to go over to the next. Until nobody has it any more it can
    /// be used to finish what is under way.
    pub(super) async fn until_worn_out(&self) {
        self.0.worn_out.cancelled().await;
    }

    /// Returns when another is to be used, for either reason.
    pub(super) async fn until_gone(&self) {
        tokio::select! { () = self.until_lost() => {}, () = self.until_worn_out() => {} }
    }

    /// Whether another is to be used. If nobody knows of a reason yet, waits for a moment.
    pub(super) async fn is_gone(&self) -> bool {
        !self.stands() || tokio::time::timeout(LOSS_TIMEOUT, self.until_gone()).await.is_ok()
    }

    /// Whether it stands, and is not worn out.
    pub(super) fn stands(&self) -> bool {
        self.status().connected() && !self.0.lost.is_cancelled() && !self.0.worn_out.is_cancelled()
    }

    /// What the broker answers; an error if it does not, or is gone. The client library can leave a question without an end
    /// that was asked just when the connection was lost, and a broker one on a connection that stands: either would be a
    /// way to stop working without a word.
    pub(super) async fn answer<T>(&self, question: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
        tokio::select! {
            biased;
            answer = question => match answer {
                // When one question's error ends the connection, the client library gives it to all others as well.
                Err(error) if errors::is_of_a_channel(&error) && !self.stands() => Err(gone()),
                answer => answer,
            },
            () = self.until_lost() => Err(gone()),
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
    /// lost many is worn out.
    pub(super) async fn create_channel(&self) -> lapin::Result<Channel> {
        let most = MAX_LOST_NUMBERS.min(self.configuration().channel_max() / MAX_LOST_PART);
        loop {
            match self.0.connection.create_channel().await {
                // The broker has nothing to say yet about a new channel. (If another question's error has ended the
                // connection, it is that error.)
                Err(error) if errors::is_of_a_channel(&error) && self.status().connected() => {
                    if self.0.lost_numbers.fetch_add(1, Ordering::Relaxed) >= most {
                        self.0.worn_out.cancel();
                        return Err(gone());
                    }
                }
                created => return created,
            }
        }
    }
}

/// Which connection something belongs to.
#[derive(Debug)]
pub(super) struct WeakEstablished(Weak<Inner>);

impl WeakEstablished {
    pub(super) fn is(&self, connection: &Established) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&connection.0))
    }
}

/// The error of what was asked over a connection that is no more.
pub(super) fn gone() -> lapin::Error {
    ErrorKind::InvalidConnectionState(ConnectionState::Closed).into()
}

impl Deref for Established {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0.connection
    }
}
