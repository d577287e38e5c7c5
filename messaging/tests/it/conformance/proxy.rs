//! A network between a client and its broker that can be made to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Up,
    /// Connections stand, but nothing comes through: a firewall that forgot them, a frozen broker.
    Silent,
    /// Connections end, and new ones end at once: a broker that is down.
    Down,
}

pub struct Proxy {
    url: String,
    network: watch::Sender<Network>,
    /// How many times all connections were reset.
    reset: watch::Sender<usize>,
    resets: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// A way to the broker of `url`.
    pub async fn before(url: &str) -> Self {
        let (credentials, rest) = url.split_once('@').unwrap();
        let (broker, path) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{credentials}@{}/{path}", listener.local_addr().unwrap());
        let proxy = Self {
            url,
            network: watch::Sender::new(Network::Up),
            reset: watch::Sender::new(0),
            resets: Arc::default(),
            connections: Arc::default(),
        };
        let (network, reset) = (proxy.network.clone(), proxy.reset.clone());
        let (resets, connections) = (Arc::clone(&proxy.resets), Arc::clone(&proxy.connections));
        tokio::spawn(accept(listener, broker.to_owned(), network, reset, resets, connections));
        proxy
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// Resets the connections that stand, without a farewell.
    pub fn reset(&self) {
        self.reset.send_modify(|count| *count += 1);
    }

    /// How many connections were reset.
    pub fn resets(&self) -> usize {
        self.resets.load(Ordering::SeqCst)
    }

    /// How many connections were ever made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn accept(
    listener: TcpListener,
    broker: String,
    network: watch::Sender<Network>,
    reset: watch::Sender<usize>,
    resets: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::SeqCst);
        let (broker, mut down, (out, back)) =
            (broker.clone(), network.subscribe(), (network.subscribe(), network.subscribe()));
        let (mut reset, resets) = (reset.subscribe(), Arc::clone(&resets));
        tokio::spawn(async move {
            let pass = async {
                let Ok(mut broker) = TcpStream::connect(broker).await else {
                    return;
                };
                let (from_client, to_client) = client.split();
                let (from_broker, to_broker) = broker.split();
                tokio::select! {
                    () = pump(from_client, to_broker, out) => {}
                    () = pump(from_broker, to_client, back) => {}
                }
            };
            let was_reset = tokio::select! {
                biased;
                _ = down.wait_for(|network| *network == Network::Down) => false,
                _ = reset.changed() => true,
                () = pass => false,
            };
            if was_reset {
                resets.fetch_add(1, Ordering::SeqCst);
                // Closed with zero to linger, a socket sends RST.
                client.set_zero_linger().unwrap();
            }
        });
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut network: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; 65536];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if network.wait_for(|network| *network == Network::Up).await.is_err()
            || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
    }
}
