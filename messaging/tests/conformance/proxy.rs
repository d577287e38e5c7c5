//! A network between a client and its broker that can be made to fail.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Well,
    /// Connections stand, but nothing comes through: a firewall that forgot them, a frozen broker.
    Silent,
    /// Connections end, and new ones end at once: a broker that is down.
    Down,
}

pub struct Proxy {
    url: String,
    network: watch::Sender<Network>,
}

impl Proxy {
    /// A way to the broker of `url`.
    pub async fn before(url: &str) -> Self {
        let (credentials, rest) = url.split_once('@').unwrap();
        let (broker, path) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{credentials}@{}/{path}", listener.local_addr().unwrap());
        let network = watch::Sender::new(Network::Well);
        tokio::spawn(accept(listener, broker.to_owned(), network.clone()));
        Self { url, network }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn accept(listener: TcpListener, broker: String, network: watch::Sender<Network>) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let (broker, mut down, (out, back)) =
            (broker.clone(), network.subscribe(), (network.subscribe(), network.subscribe()));
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
            tokio::select! {
                biased;
                _ = down.wait_for(|network| *network == Network::Down) => {}
                () = pass => {}
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
        if network.wait_for(|network| *network == Network::Well).await.is_err()
            || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
    }
}
