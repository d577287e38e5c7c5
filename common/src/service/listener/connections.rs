//! The connections of one listener, and which of them goes when one too many comes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    ClientAddress,
    progress::{Progress, Worth},
};

/// How long one that was told to close is waited for, before another is told too.
const CLOSING: Duration = Duration::from_millis(50);

/// The least time between two warnings of the same listener.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// The connections of a listener. Clones share them.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

struct Shared {
    listener: &'static str,
    max: usize,
    /// One for each connection, given back when it is closed and not when it is told to.
    permits: Arc<Semaphore>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    entries: HashMap<u64, Entry>,
    /// How many each client has.
    by_client: HashMap<ClientAddress, usize>,
    warned: Option<Instant>,
}

struct Entry {
    client: ClientAddress,
    progress: Progress,
    close: CancellationToken,
}

/// One connection. Dropped, it is gone.
pub(super) struct Connection {
    pub(super) progress: Progress,
    close: CancellationToken,
    number: u64,
    connections: Connections,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connections {
    pub(super) fn new(listener: &'static str, max: usize) -> Self {
        metrics::gauge!("http_connections", "listener" => listener).set(0.0);
        let permits = Arc::new(Semaphore::new(max));
        Self(Arc::new(Shared { listener, max, permits, table: Mutex::default() }))
    }

    /// Takes a new connection in, in place of the idlest if there are as many as may be. While none can go, since something
    /// is done for each, it waits.
    pub(super) async fn admit(&self, client: ClientAddress) -> Connection {
        let permits = &self.0.permits;
        let permit = match Arc::clone(permits).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => loop {
                self.warn(|| {
                    tracing::warn!(
                        listener = self.0.listener,
                        connections = self.0.max,
                        "there are as many connections as there may be; for each that comes the idlest is closed"
                    );
                });
                self.close_idlest();
                if let Ok(permit) = tokio::time::timeout(CLOSING, Arc::clone(permits).acquire_owned()).await {
                    // Nobody closes this semaphore; without a permit it would be one connection more.
                    break permit.ok();
                }
            },
        };
        let (progress, close) = (Progress::new(), CancellationToken::new());
        let number = {
            let mut table = self.0.table.lock();
            table.next += 1;
            let number = table.next;
            *table.by_client.entry(client).or_default() += 1;
            table.entries.insert(number, Entry { client, progress: progress.clone(), close: close.clone() });
            number
        };
        metrics::gauge!("http_connections", "listener" => self.0.listener).increment(1.0);
        Connection { progress, close, number, connections: self.clone(), _permit: permit }
    }

    /// Tells the idlest connection to close, if one may be closed.
    pub(super) fn close_idlest(&self) {
        let table = self.0.table.lock();
        // One that was told already is on its way out.
        let open = table.entries.values().filter(|entry| !entry.close.is_cancelled());
        let found = idlest(open.filter_map(|entry| {
            let of_client = table.by_client.get(&entry.client).copied().unwrap_or(0);
            Some((of_client, entry.progress.worth()?, entry))
        }));
        if let Some(entry) = found {
            entry.close.cancel();
        }
    }

    /// Warns, but not again and again.
    pub(super) fn warn(&self, warning: impl FnOnce()) {
        let now = Instant::now();
        let mut table = self.0.table.lock();
        if table.warned.is_none_or(|last| now.duration_since(last) >= WARN_INTERVAL) {
            table.warned = Some(now);
            drop(table);
            warning();
        }
    }
}

/// Of connections with how many their clients have, and what they are worth, the one to close: of the client with the most,
/// so that who opens many closes its own, the one that is missed least.
fn idlest<T>(connections: impl Iterator<Item = (usize, Worth, T)>) -> Option<T> {
    connections
        .min_by(|(one_has, one, _), (other_has, other, _)| other_has.cmp(one_has).then(one.cmp(other)))
        .map(|(.., found)| found)
}

impl Connection {
    /// Resolves when another one takes its place.
    pub(super) async fn evicted(&self) {
        self.close.cancelled().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let shared = &self.connections.0;
        let mut table = shared.table.lock();
        if let Some(entry) = table.entries.remove(&self.number)
            && let Some(count) = table.by_client.get_mut(&entry.client)
        {
            *count -= 1;
            if *count == 0 {
                table.by_client.remove(&entry.client);
            }
        }
        drop(table);
        metrics::gauge!("http_connections", "listener" => shared.listener).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_the_most_connections_loses_the_idlest_of_them() {
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        let (early, late) = (at(1), at(2));
        let all = [
            (2, Worth::Slow(early), "few, slow"),
            (2, Worth::Silent(early), "few, silent"),
            (9, Worth::Slow(early), "many, slow"),
            (9, Worth::Idle(early), "many, idle"),
            (9, Worth::Silent(late), "many, silent"),
            (9, Worth::Silent(early), "many, silent for longer"),
        ];
        let mut left = all.to_vec();
        let mut order = Vec::new();
        while let Some(closed) = idlest(left.iter().copied()) {
            left.retain(|(.., name)| *name != closed);
            order.push(closed);
        }
        let expected =
            ["many, silent for longer", "many, silent", "many, idle", "many, slow", "few, silent", "few, slow"];
        assert_eq!(order, expected);
    }
}
