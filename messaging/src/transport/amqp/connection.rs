//! One connection to the broker that comes back by itself.
//!
//! ```text
//!            connected                        lost: closed, cut, silent
//! (connect) ──────────▶ Up { number 1 } ─────────────────────────────────▶ Down { since, reason }
//!     │                     ▲                                                   │  again and again, with growing,
//!     └ refused: an error   └─────────────── connected, number + 1 ─────────────┘  jittered pauses
//! ```
//!
//! Whoever uses the connection watches the state, and starts over with each new `number`. A transport's further
//! connections begin as `Connecting`, and are tried again like one that was lost if they cannot be made at once.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::StreamExt;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, DefaultConnectionBuilder as ConnectionBuilder, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::errors;
use super::established::Established;
use crate::error::MessagingError;
use crate::transport::TransportOptions;

/// How long a broker may take to accept a connection before the attempt counts as failed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a client of AMQP 0-9-1 says first.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// How often the connection is looked at, for the ways to end that make no event.
const STATUS_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A connection's state.
#[derive(Clone)]
pub(super) enum ConnectionState {
    /// The first attempt is under way.
    Connecting,
    /// Usable.
    Up {
        connection: Established,
        /// Which one it is: 1 for the first.
        number: u64,
        /// The broker's reason, while it takes no messages.
        blocked: Option<String>,
    },
    /// Lost; being restored.
    Down { since: Instant, reason: String },
    /// Closed for good.
    Closed,
}

impl fmt::Debug for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("Connecting"),
            Self::Up { number, blocked, .. } => write!(f, "Up({number}, blocked: {blocked:?})"),
            Self::Down { reason, .. } => write!(f, "Down({reason})"),
            Self::Closed => f.write_str("Closed"),
        }
    }
}

/// Where and how to connect.
#[derive(Clone)]
pub(super) struct Address {
    /// Not empty. Several are the nodes of one cluster, any of which will do.
    pub(super) brokers: Arc<[AMQPUri]>,
    /// What the broker shows.
    pub(super) name: String,
    /// Whom to trust, and who we are, with `amqps://`.
    pub(super) tls: OwnedTLSConfig,
    /// The longest pause between two attempts to reconnect.
    pub(super) max_backoff: Duration,
}

/// Reads the files that the options name.
pub(super) async fn tls(options: &TransportOptions) -> Result<OwnedTLSConfig, MessagingError> {
    let unreadable = |option: &str, path: &Path, error: std::io::Error| MessagingError::InvalidOption {
        option: option.to_owned(),
        reason: format!("`{}` cannot be read: {error}", path.display()),
    };
    let cert_chain = match &options.ssl_ca_file {
        Some(path) => {
            Some(tokio::fs::read_to_string(path).await.map_err(|error| unreadable("ssl_ca_file", path, error))?)
        }
        None => None,
    };
    let identity = match (&options.ssl_cert_file, &options.ssl_key_file) {
        (Some(certificate), Some(key)) => Some(OwnedIdentity::PKCS8 {
            pem: tokio::fs::read(certificate).await.map_err(|error| unreadable("ssl_cert_file", certificate, error))?,
            key: tokio::fs::read(key).await.map_err(|error| unreadable("ssl_key_file", key, error))?,
        }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(MessagingError::InvalidOption {
                option: "ssl_cert_file".into(),
                reason: "it goes together with `ssl_key_file`; set both or neither".into(),
            });
        }
    };
    Ok(OwnedTLSConfig { identity, cert_chain })
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        write!(f, "Address({}, {})", self.hosts_and_ports(), self.name)
    }
}

/// A broker's host and port, fit for logs.
fn host_and_port(broker: &AMQPUri) -> String {
    format!("{}:{}", broker.authority.host, broker.authority.port)
}

fn silent(broker: &AMQPUri) -> MessagingError {
    let reason = format!("it did not answer within {} s", HANDSHAKE_TIMEOUT.as_secs());
    MessagingError::ConnectionFailed { address: host_and_port(broker), reason }
}

/// Fails if the broker accepts connections but says nothing on them.
///
/// An attempt of the client library that is given up while the broker is silent keeps its thread until the socket ends,
/// so while a broker hangs it is asked by a plain socket instead, which leaves nothing behind.
async fn probe(broker: &AMQPUri) -> Result<(), MessagingError> {
    let ask = async {
        let mut socket = TcpStream::connect((broker.authority.host.as_str(), broker.authority.port)).await?;
        if broker.scheme == AMQPScheme::AMQP {
            socket.write_all(PROTOCOL_HEADER).await?;
            socket.read_u8().await?;
        }
        std::io::Result::Ok(())
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, ask).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            Err(MessagingError::ConnectionFailed { address: host_and_port(broker), reason: error.to_string() })
        }
        Err(_) => Err(silent(broker)),
    }
}

impl Address {
    /// Hosts and ports, fit for logs.
    pub(super) fn hosts_and_ports(&self) -> String {
        self.brokers.iter().map(host_and_port).collect::<Vec<_>>().join(",")
    }

    async fn connect_to(&self, broker: &AMQPUri) -> Result<Connection, MessagingError> {
        let properties = ConnectionProperties::default().with_connection_name(self.name.as_str().into());
        let connect = async {
            ConnectionBuilder::new()?
                .with_uri(broker.clone())
                .with_properties(properties)
                .with_tls_config(self.tls.clone())
                .connect()
                .await
        };
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, connect).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                Err(errors::connecting(&error, host_and_port(broker), broker.scheme == AMQPScheme::AMQPS))
            }
            Err(_) => Err(silent(broker)),
        }
    }

    /// Connects to the first of the brokers that lets it.
    async fn connect(&self) -> Result<Connected, MessagingError> {
        let mut errors = Vec::new();
        for (broker, uri) in self.brokers.iter().enumerate() {
            match self.connect_to(uri).await {
                Ok(connection) => return Ok(Connected { connection: Established::new(connection), broker }),
                Err(error) => errors.push(error),
            }
        }
        // One that is there and refuses says more than those that are not.
        let refused = errors.iter().position(|error| matches!(error, MessagingError::AccessRefused { .. }));
        Err(match errors.len() {
            0 => MessagingError::Closed,
            1 => errors.swap_remove(0),
            _ if let Some(refused) = refused => errors.swap_remove(refused),
            _ => MessagingError::ConnectionFailed {
                address: self.hosts_and_ports(),
                reason: errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            },
        })
    }
}

/// A connection, and to which of the brokers.
struct Connected {
    connection: Established,
    broker: usize,
}

/// A watched connection. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct RecoveringConnection {
    state: watch::Receiver<ConnectionState>,
    closing: CancellationToken,
    _end: DropGuard,
}

impl RecoveringConnection {
    /// Connects once; from then on the connection is restored for ever.
    pub(super) async fn connect(address: Address) -> Result<Self, MessagingError> {
        let connected = address.connect().await?;
        Ok(Self::start(address, Some(connected)))
    }

    /// Begins to connect; attempts are repeated for ever.
    pub(super) fn open(address: Address) -> Self {
        Self::start(address, None)
    }

    fn start(address: Address, connected: Option<Connected>) -> Self {
        let (sender, state) = watch::channel(match &connected {
            Some(Connected { connection, .. }) => {
                ConnectionState::Up { connection: connection.clone(), number: 1, blocked: None }
            }
            None => ConnectionState::Connecting,
        });
        let closing = CancellationToken::new();
        tokio::spawn(keep(address, connected, sender, closing.clone()));
        let _end = closing.clone().drop_guard();
        Self { state, closing, _end }
    }

    /// How many channels the broker permits on it; `None` while it is not connected.
    pub(super) fn channel_max(&self) -> Option<u16> {
        match &*self.state.borrow() {
            ConnectionState::Up { connection, .. } => Some(connection.configuration().channel_max()),
            ConnectionState::Connecting | ConnectionState::Down { .. } | ConnectionState::Closed => None,
        }
    }

    /// The state, to watch.
    pub(super) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }

    /// The connection, as soon as there is one.
    pub(super) async fn up(&self) -> Result<Established, MessagingError> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| match state {
            // One that was lost a moment ago may not be `Down` yet.
            ConnectionState::Up { connection, .. } => connection.stands(),
            ConnectionState::Connecting | ConnectionState::Down { .. } => false,
            ConnectionState::Closed => true,
        });
        match settled.await.as_deref() {
            Ok(ConnectionState::Up { connection, .. }) => Ok(connection.clone()),
            _ => Err(MessagingError::Closed),
        }
    }

    /// Begins to close the connection.
    pub(super) fn begin_closing(&self) {
        self.closing.cancel();
    }

    /// Closes the connection and returns when the broker has taken note.
    pub(super) async fn close(&self) {
        self.begin_closing();
        let mut state = self.state.clone();
        // An error means that the task is gone, and the connection with it.
        let _ = state.wait_for(|state| matches!(state, ConnectionState::Closed)).await;
    }
}

/// The connection's life.
async fn keep(
    address: Address,
    mut connected: Option<Connected>,
    state: watch::Sender<ConnectionState>,
    closing: CancellationToken,
) {
    let mut number = 0;
    // So that the first attempt is at the first.
    let mut lost = address.brokers.len().saturating_sub(1);
    let connection = loop {
        let Connected { connection, broker } = match connected.take() {
            Some(connected) => connected,
            None => tokio::select! {
                connected = restore(&address, lost, number == 0, &state) => connected,
                () = closing.cancelled() => return drop(state.send_replace(ConnectionState::Closed)),
            },
        };
        number += 1;
        if number > 1 {
            metrics::counter!("bus_reconnects_total").increment(1);
            let broker_address = host_and_port(&address.brokers[broker]);
            tracing::info!(broker = broker_address, connection = address.name, "connected to the broker again");
        }
        state.send_replace(ConnectionState::Up { connection: connection.clone(), number, blocked: None });
        let reason = tokio::select! {
            reason = follow(&connection, &state) => {
                let broker = host_and_port(&address.brokers[broker]);
                tracing::warn!(broker, connection = address.name, reason, "the connection to the broker is lost");
                connection.lose();
                reason
            }
            () = connection.until_worn_out() => {
                tracing::info!(connection = address.name, "a connection's channels are used up; another takes its place");
                "its channels are used up".to_owned()
            }
            () = closing.cancelled() => break connection,
        };
        state.send_replace(ConnectionState::Down { since: Instant::now(), reason });
        lost = broker;
    };
    let close = connection.close(200, "OK".into());
    if !matches!(tokio::time::timeout(HANDSHAKE_TIMEOUT, close).await, Ok(Ok(()))) {
        tracing::debug!(broker = address.hosts_and_ports(), "the connection was gone before it could be closed");
    }
    connection.lose();
    state.send_replace(ConnectionState::Closed);
}

/// Follows a connection to its end; notes when the broker stops or starts taking messages.
async fn follow(connection: &Connection, state: &watch::Sender<ConnectionState>) -> String {
    // lapin hands each event to one listener only, so this is the only one.
    let mut events = std::pin::pin!(connection.events_listener());
    let mut status_check = tokio::time::interval(STATUS_CHECK_INTERVAL);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = status_check.tick() => None,
        };
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                tracing::warn!(reason, "the broker takes no messages at present");
                set_blocked(state, Some(reason));
            }
            Some(Event::ConnectionUnblocked) => {
                tracing::info!("the broker takes messages again");
                set_blocked(state, None);
            }
            // Errors of a channel come this way too; what counts is whether the connection still
            // stands.
            Some(Event::Error(error)) if !connection.status().connected() => {
                return error.to_string();
            }
            _ if !connection.status().connected() => return "the broker closed it".into(),
            _ => {}
        }
    }
}

fn set_blocked(state: &watch::Sender<ConnectionState>, reason: Option<String>) {
    state.send_modify(|state| {
        if let ConnectionState::Up { blocked, .. } = state {
            *blocked = reason;
        }
    });
}

/// Connects again, however long it takes: first to the broker after the one that was `lost`, then to each in turn.
/// Without a pause before the first attempt if `at_once`.
async fn restore(address: &Address, lost: usize, at_once: bool, state: &watch::Sender<ConnectionState>) -> Connected {
    let mut backoff = backoff(address.max_backoff);
    let mut was_silent = vec![false; address.brokers.len()];
    let mut pause = if at_once { Duration::ZERO } else { backoff.next().unwrap_or_default() };
    loop {
        tokio::time::sleep(pause).await;
        pause = backoff.next().unwrap_or(address.max_backoff);
        for step in 1..=address.brokers.len() {
            let broker = (lost + step) % address.brokers.len();
            let uri = &address.brokers[broker];
            let attempt = async {
                if was_silent[broker] {
                    probe(uri).await?;
                }
                address.connect_to(uri).await
            };
            match attempt.await {
                Ok(connection) => return Connected { connection: Established::new(connection), broker },
                Err(error) => {
                    was_silent[broker] = error == silent(uri);
                    tracing::info!(%error, "still no connection to the broker");
                    state.send_modify(|state| {
                        let since = match state {
                            ConnectionState::Down { since, .. } => *since,
                            _ => Instant::now(),
                        };
                        *state = ConnectionState::Down { since, reason: error.to_string() };
                    });
                }
            }
        }
    }
}

/// Growing pauses up to `longest`, jittered so that a thousand hosts do not come back at the same moment.
pub(super) fn backoff(longest: Duration) -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(50))
        // The jitter is added, and is at most as much again.
        .with_max_delay(longest / 2)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_differ_from_one_to_the_next() {
        let longest = Duration::from_secs(5);
        let services: Vec<Vec<Duration>> = (0..20).map(|_| backoff(longest).take(12).collect()).collect();
        for backoff in &services {
            assert!(backoff.iter().all(|pause| *pause <= longest), "{backoff:?}");
            assert!(backoff[0] <= Duration::from_millis(100) && backoff[11] >= longest / 2, "{backoff:?}");
        }
        for attempt in 0..12 {
            let at_this_attempt: HashSet<Duration> = services.iter().map(|backoff| backoff[attempt]).collect();
            assert!(at_this_attempt.len() > 10, "attempt {attempt}: {at_this_attempt:?}");
        }
    }
}
