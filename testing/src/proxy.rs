//! A network between a client and its server that can be made to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// All comes through.
    Up,
    /// Connections stand, but nothing comes through: a firewall that forgot them, a frozen server.
    Silent,
    /// What the client sends comes through; what the server answers does not.
    Unanswered,
    /// Connections end, and new ones end at once: a server that is down.
    Down,
}

impl Network {
    fn carries(self, way: Way) -> bool {
        match self {
            Self::Up => true,
            Self::Unanswered => way == Way::ToServer,
            Self::Silent | Self::Down => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// A way to a server, over which a test has power.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    control: Control,
}

/// What the proxy and its connections share.
#[derive(Debug, Clone)]
struct Control {
    network: watch::Sender<Network>,
    /// How many times all connections were reset.
    reset: watch::Sender<usize>,
    /// How many times all connections were made half-open.
    half_open: watch::Sender<usize>,
    resets: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// A way to the server of `url`, which has the form `scheme://user:password@host:port/path`.
    ///
    /// # Panics
    /// If the URL has another form, or there is no port to listen on.
    pub async fn before(url: &str) -> Self {
        let (credentials, rest) = url.split_once('@').unwrap();
        let (server, path) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{credentials}@{}/{path}", listener.local_addr().unwrap());
        let control = Control {
            network: watch::Sender::new(Network::Up),
            reset: watch::Sender::new(0),
            half_open: watch::Sender::new(0),
            resets: Arc::default(),
            connections: Arc::default(),
        };
        tokio::spawn(accept(listener, server.to_owned(), control.clone()));
        Self { url, control }
    }

    /// The same URL by this way.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Has the network do this from now on. What did not come through waits.
    pub fn set(&self, network: Network) {
        self.control.network.send_replace(network);
    }

    /// Resets the connections that stand, without a farewell.
    pub fn reset(&self) {
        self.control.reset.send_modify(|count| *count += 1);
    }

    /// Ends the connections that stand, and tells only the server: the client's ends stay open, and are never answered.
    pub fn half_open(&self) {
        self.control.half_open.send_modify(|count| *count += 1);
    }

    /// How many connections were reset.
    pub fn resets(&self) -> usize {
        self.control.resets.load(Ordering::SeqCst)
    }

    /// How many connections were ever made to it.
    pub fn connections(&self) -> usize {
        self.control.connections.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, server: String, control: Control) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        control.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(connection(client, server.clone(), control.clone()));
    }
}

async fn connection(mut client: TcpStream, server: String, control: Control) {
    let mut down = control.network.subscribe();
    let (out, back) = (down.clone(), down.clone());
    let (mut reset, mut half_open) = (control.reset.subscribe(), control.half_open.subscribe());
    let pass = async {
        let Ok(mut server) = TcpStream::connect(server).await else {
            return;
        };
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            () = pump(from_client, to_server, out, Way::ToServer) => {}
            () = pump(from_server, to_client, back, Way::ToClient) => {}
        }
    };
    enum End {
        Closed,
        Reset,
        HalfOpen,
    }
    let end = tokio::select! {
        biased;
        _ = down.wait_for(|network| *network == Network::Down) => End::Closed,
        _ = reset.changed() => End::Reset,
        _ = half_open.changed() => End::HalfOpen,
        () = pass => End::Closed,
    };
    match end {
        End::Closed => {}
        End::Reset => {
            control.resets.fetch_add(1, Ordering::SeqCst);
            // Closed with zero to linger, a socket sends RST.
            client.set_zero_linger().unwrap();
        }
        End::HalfOpen => {
            let mut lost = vec![0; 65536];
            while let Ok(1..) = client.read(&mut lost).await {}
        }
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut network: watch::Receiver<Network>,
    way: Way,
) {
    let mut buffer = vec![0; 65536];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if network.wait_for(|network| network.carries(way)).await.is_err()
            || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
    }
}
