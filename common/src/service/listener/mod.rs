//! The HTTP listener of a process: bounded in connections and in patience, so that whoever connects and then says nothing
//! costs nothing to others.
//!
//! ```text
//! accepted ──▶ head ──whole──▶ receiving ──body is there──▶ working ──answered──▶ idle ──bytes──▶ head ...
//!               │ header_timeout                                                   │ keep_alive_timeout
//!               ▼                                                                  ▼
//!             closed ◀── the idlest, when a new one comes and there are as many as may be
//! ```
//!
//! An answer whose length is not known is *streaming* until it ends, however long that takes and however little is written:
//! only a client that does not take what is there is closed. At a stop nobody waits for its end.
//!
//! HTTP/1.1 only: it is what OpenStack's clients speak, and a connection is then one request at a time.

mod connections;
mod progress;

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::pin,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::ConnectInfo,
};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use metrics::Unit;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt;

use self::{
    connections::{Connection, Connections},
    progress::{StreamedBody, Watched, WatchedBody},
};
use super::Shutdown;

/// The most bytes that the head of a request may have; 431 beyond. Twice what Nova lets a single line have.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// How long the listener rests when the system gives it no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener grants to those who connect.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at once. When one more comes, the idlest is closed.
    pub max_connections: usize,
    /// How long a new connection may take until the head of its request is there, a TLS handshake included, and a kept one
    /// from its first byte.
    pub header_timeout: Duration,
    /// How long a connection is kept for a next request.
    pub keep_alive_timeout: Duration,
    /// How long a client may take nothing of an answer.
    pub write_timeout: Duration,
}

impl ConnectionLimits {
    /// For a few watchers: health checks, collectors of figures.
    pub const MANAGEMENT: Self = Self {
        max_connections: 64,
        header_timeout: Duration::from_secs(10),
        keep_alive_timeout: Duration::from_secs(75),
        write_timeout: Duration::from_secs(10),
    };
}

/// Who is on the other side, as far as limits are concerned: an IPv4 address, or the /64 of an IPv6 address, of which one
/// machine has as many as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Of a request that came by no network.
    pub const NONE: Self = Self(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        // A socket for both families shows IPv4 addresses as IPv6.
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
            v4 => v4,
        })
    }
}

impl std::fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What comes between a connection and its first request.
pub trait Handshake: Clone + Send + Sync + 'static {
    /// What requests are read from.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes one of a connection.
    fn shake(&self, stream: TcpStream) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

/// Nothing: HTTP as it is.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Handshake for Plain {
    type Io = TcpStream;

    async fn shake(&self, stream: TcpStream) -> io::Result<TcpStream> {
        Ok(stream)
    }
}

/// Tells the recorder what each figure means. To be called once the recorder is installed.
pub fn describe_metrics() {
    metrics::describe_gauge!("http_connections", Unit::Count, "Connections of a listener");
    metrics::describe_counter!(
        "http_connections_closed_total",
        Unit::Count,
        "Connections that a listener has closed: `full`, as the idlest of too many; `no_request`, `idle`, `unread`, for \
         taking too long"
    );
}

/// Answers by `router` until stopping is asked for; then takes no more connections, closes those without a request, and lets
/// the others end. `name` stands in figures and log lines.
pub async fn serve_http<H: Handshake>(
    name: &'static str,
    listener: TcpListener,
    router: Router,
    handshake: H,
    limits: ConnectionLimits,
    shutdown: &Shutdown,
) {
    let connections = Connections::new(name, limits.max_connections);
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.requested() => return,
            accepted = accept(name, &listener, &connections) => accepted,
        };
        let connection = tokio::select! {
            () = shutdown.requested() => return,
            connection = connections.admit(peer.ip().into()) => connection,
        };
        let (router, handshake, stop) = (router.clone(), handshake.clone(), shutdown.clone());
        shutdown.spawn(async move {
            let closed = tokio::select! {
                () = serve_connection(stream, peer, router, handshake, &connection, &stop) => return,
                () = connection.evicted() => "full",
                () = quiet_at_stop(&connection, &stop) => return,
                why = connection.progress.overdue(&limits) => why,
            };
            tracing::debug!(listener = name, %peer, reason = closed, "a connection is closed");
            metrics::counter!("http_connections_closed_total", "listener" => name, "reason" => closed).increment(1);
        });
    }
}

/// The next connection. What the system refuses is waited for: it may be short of files, which others give back.
async fn accept(name: &'static str, listener: &TcpListener, connections: &Connections) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // Gone before it was taken.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                connections.warn(|| {
                    tracing::warn!(listener = name, %error, "no connection can be taken; the idlest is closed");
                });
                connections.close_idlest();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Resolves when stopping is asked for and nothing is being answered.
async fn quiet_at_stop(connection: &Connection, stop: &Shutdown) {
    stop.requested().await;
    if !connection.progress.is_quiet() {
        std::future::pending().await
    }
}

async fn serve_connection<H: Handshake>(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    handshake: H,
    connection: &Connection,
    stop: &Shutdown,
) {
    let stream = match handshake.shake(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%peer, %error, "no handshake");
            return;
        }
    };
    let progress = &connection.progress;
    let service = service_fn(|request: Request<Incoming>| {
        let body = progress.begin(request.body());
        let mut request = request.map(|incoming| WatchedBody::new(incoming, body));
        request.extensions_mut().insert(ConnectInfo(peer));
        let router = router.clone();
        async move {
            let response = router.oneshot(request).await?;
            if response.body().size_hint().exact().is_some() {
                progress.answered();
                return Ok::<_, Infallible>(response);
            }
            progress.streams();
            Ok(response.map(|body| Body::new(StreamedBody::new(body, progress.clone()))))
        }
    });
    let io = TokioIo::new(Watched::new(stream, progress.clone()));
    let mut http = pin!(http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).serve_connection(io, service));
    let ended = tokio::select! {
        ended = http.as_mut() => ended,
        () = stop.requested() => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_ipv4_address_or_the_network_of_an_ipv6_address() {
        let client = |text: &str| ClientAddress::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(client("2001:db8:1:2::1").to_string(), "2001:db8:1:2::");
    }
}
