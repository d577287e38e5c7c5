//! The destination's end of a simulated live migration.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument, Span};

use super::{
    FakeDriver,
    channel::{self, Begin, FromDestination, FromSource},
    guest::Guest,
    handover,
    peers::{Connection, HANDSHAKE_TIMEOUT, Peers},
};
use crate::rpcapi::ComputeError;

/// How many incoming migrations one process serves at once; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;

/// The listeners of a process for incoming migrations: one for each address, whatever the number of hosts.
#[derive(Debug)]
pub(crate) struct Hub {
    hosts: Arc<Mutex<HashMap<String, Weak<FakeDriver>>>>,
    /// From the address that was configured to the one that is listened on.
    listeners: Mutex<HashMap<SocketAddr, SocketAddr>>,
    life: CancellationToken,
    _ends_with_the_hub: DropGuard,
}

impl Hub {
    pub(crate) fn new() -> Self {
        let life = CancellationToken::new();
        Self { hosts: Arc::default(), listeners: Mutex::default(), _ends_with_the_hub: life.clone().drop_guard(), life }
    }

    /// Lets connections for `host` reach this driver from now on.
    pub(super) fn register(&self, host: &str, driver: &Arc<FakeDriver>) {
        self.hosts.lock().insert(host.to_owned(), Arc::downgrade(driver));
    }

    /// Makes sure that `address` is listened on, by `peers`. Says the address with its real port.
    pub(super) fn listen(&self, address: SocketAddr, peers: &Peers) -> io::Result<SocketAddr> {
        let mut listeners = self.listeners.lock();
        if let Some(real) = listeners.get(&address) {
            return Ok(*real);
        }
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let real = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let accepting = accept(listener, self.hosts.clone(), peers.clone());
        let life = self.life.clone();
        tokio::spawn(async move { life.run_until_cancelled_owned(accepting).await });
        listeners.insert(address, real);
        Ok(real)
    }
}

async fn accept(listener: TcpListener, hosts: Arc<Mutex<HashMap<String, Weak<FakeDriver>>>>, peers: Peers) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (hosts, peers) = (hosts.clone(), peers.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, peer, &hosts, &peers).await {
                        tracing::info!(%peer, %error, "a connection for an incoming migration did not begin one");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly. Accepting again at once would only burn the processor.
                tracing::warn!(%error, "an incoming migration could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    hosts: &Mutex<HashMap<String, Weak<FakeDriver>>>,
    peers: &Peers,
) -> io::Result<()> {
    let mut stream = peers.accept(stream).await?;
    let FromSource::Begin(begin) = channel::receive(&mut stream, HANDSHAKE_TIMEOUT).await? else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it did not begin with Begin"));
    };
    let driver = hosts.lock().get(&begin.host).and_then(Weak::upgrade);
    let Some(driver) = driver else {
        let reason = format!("no host {} here", begin.host);
        return channel::send(&mut stream, &FromDestination::Refused { reason }).await;
    };
    let life = driver.life.clone();
    let span = driver.expected.lock().remove(&begin.migration).unwrap_or_else(Span::none);
    let arrival = async {
        let migration = begin.migration;
        if let Err(error) = driver.take_in(stream, begin).await {
            tracing::info!(%peer, %migration, %error, "an incoming migration's connection ended early");
        }
    };
    life.run_until_cancelled_owned(arrival.instrument(span)).await;
    Ok(())
}

impl FakeDriver {
    async fn take_in(self: Arc<Self>, mut stream: Connection, begin: Begin) -> io::Result<()> {
        if !self.hypervisor.look(begin.instance, |guest| expects(guest, &begin)) {
            return self.refuse(&mut stream, &begin).await;
        }
        channel::send(&mut stream, &FromDestination::Ready).await?;
        loop {
            match channel::receive(&mut stream, self.config.peer_timeout).await? {
                // Rolled back meanwhile: a source that nobody could tell must not copy for ever.
                FromSource::Copied { .. } if !self.hypervisor.look(begin.instance, |guest| expects(guest, &begin)) => {
                    return self.refuse(&mut stream, &begin).await;
                }
                FromSource::Copied { .. } => channel::send(&mut stream, &FromDestination::Received).await?,
                FromSource::Switch { guest } => {
                    return match self.run_here(&begin, *guest).await {
                        Ok(()) => channel::send(&mut stream, &FromDestination::Switched).await,
                        Err(Arrival::Refused) => self.refuse(&mut stream, &begin).await,
                        // Whether it was written down is not known, so nothing may be said.
                        Err(Arrival::Unknown(error)) => Err(io::Error::other(error)),
                    };
                }
                FromSource::Begin(_) => return self.refuse(&mut stream, &begin).await,
            }
        }
    }

    async fn run_here(&self, begin: &Begin, arrived: Guest) -> Result<(), Arrival> {
        let commit = self.hypervisor.change(begin.instance, |guest| {
            if !expects(guest.as_ref(), begin) {
                return Err(self.invalid(begin.instance, "it is not expected here"));
            }
            *guest = Some(arrived.arrives());
            Ok(())
        });
        let commit = commit.map_err(|_| Arrival::Refused)?;
        commit.durable().await.map_err(|error| Arrival::Unknown(error.into()))?;
        self.follow_fate(begin.instance);
        Ok(())
    }

    /// A refusal counts for good: the source goes on running the guest. So it must rest on what is written down.
    async fn refuse(&self, stream: &mut Connection, begin: &Begin) -> io::Result<()> {
        self.hypervisor.barrier().durable().await.map_err(io::Error::other)?;
        let reason = format!("host {} does not expect instance {} by this migration", self.host, begin.instance);
        channel::send(stream, &FromDestination::Refused { reason }).await
    }
}

enum Arrival {
    Refused,
    Unknown(ComputeError),
}

fn expects(guest: Option<&Guest>, begin: &Begin) -> bool {
    guest.is_some_and(|guest| handover::may_arrive(guest.transfer.as_ref(), begin.migration, &begin.secret))
}
