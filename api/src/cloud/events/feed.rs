//! What changes in the whole cloud, read once for all who follow it in this process, and not at all while nobody does.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use novella_common::service::ClientAddress;
use novella_common::{
    config::ServiceConfig,
    db::{Connection, Database, DbError, changes, compute_nodes, instances, listening, migrations, services},
    ids::{InstanceUuid, MigrationUuid},
    lifecycle::VmState,
    models::{Binary, Service},
};
use novella_rest::ApiError;
use serde_json::json;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::{sync::broadcast, time::Instant};

use super::views;

/// How often the rows are looked at, while few follow.
const INTERVAL: Duration = Duration::from_millis(200);

/// To wake a client and to write to it costs more than what is written. So with more followers than this there is more time
/// between two looks, in proportion, until it is [`MAX_INTERVAL`].
const FEW_FOLLOWERS: usize = 100;

/// How often the rows are looked at, however many follow.
const MAX_INTERVAL: Duration = Duration::from_secs(1);

/// Hosts and services change often and by little, so they are looked at less often.
const HOSTS_INTERVAL: Duration = Duration::from_secs(1);

/// A row may be there only some time after the moment that it says it was changed: its transaction takes that long, or the
/// clock of who wrote it is behind. So much of the past is looked through each time.
const WINDOW: SignedDuration = SignedDuration::from_secs(10);

/// Changes of one batch.
pub(super) const BATCH: usize = 200;

/// Batches that are kept for those who are slower than others. Who is slower than that reads the rows itself.
const KEPT_BATCHES: usize = 64;

/// Changes that are made up for one by one. Of more, who has missed them is told to read the lists again.
pub(super) const CATCH_UP: usize = 5000;

/// A look takes at most so many changes; what is more comes with the next ones.
const LOOK: i64 = 100_000;

/// Until when changes have been sent: the id of an event. Microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(Timestamp);

impl Position {
    /// From now on.
    pub(super) fn now() -> Self {
        Self(Timestamp::now())
    }

    /// What [`fmt::Display`] writes.
    pub(super) fn read(text: &str) -> Option<Self> {
        // No sign and no space, which the standard library would take.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        Timestamp::from_microsecond(text.parse().ok().filter(|_| digits)?).ok().map(Self)
    }

    /// What was changed after this may not have been sent.
    fn begin(self) -> Timestamp {
        self.0.checked_sub(WINDOW).unwrap_or(Timestamp::MIN)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_microsecond())
    }
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    Server(InstanceUuid),
    Migration(MigrationUuid),
    Host(String),
    Service(String),
}

/// A change, as it is written to whoever may see it.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) key: Key,
    pub(super) changed: Timestamp,
    /// Whose it is; `None`: nobody's, and only told to those who follow everything.
    pub(super) project: Option<String>,
    pub(super) with_hosts: Bytes,
    pub(super) without_hosts: Bytes,
}

/// What one look has found.
#[derive(Debug)]
pub(super) enum Batch {
    /// What has changed.
    Changes(Changes),
    /// For everybody.
    Notice(Bytes),
}

/// What has changed; with the last of these, all until the position have been sent.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) events: Vec<Event>,
    pub(super) position: Option<Position>,
    whole: OnceLock<Bytes>,
}

impl Changes {
    fn new(events: Vec<Event>, position: Option<Position>) -> Self {
        Self { events, position, whole: OnceLock::new() }
    }

    /// All of it, as it is written to those who see everything: made once for all of them, however many they are.
    pub(super) fn whole(&self) -> Bytes {
        let write = || {
            let mut text = Vec::new();
            for (index, event) in self.events.iter().enumerate() {
                text.extend_from_slice(&event.with_hosts);
                match self.position {
                    Some(position) if index + 1 == self.events.len() => {
                        text.extend_from_slice(format!("id: {position}\n").as_bytes());
                    }
                    _ => {}
                }
                text.push(b'\n');
            }
            text.into()
        };
        self.whole.get_or_init(write).clone()
    }
}

/// Clones share it.
#[derive(Clone)]
pub(crate) struct Feed(Arc<Inner>);

struct Inner {
    database: Database,
    service: ServiceConfig,
    max_streams: usize,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// There while somebody follows.
    batches: Option<broadcast::WeakSender<Arc<Batch>>>,
    /// The hosts and services, as they were last told of: the hosts first.
    hosts: BTreeMap<Key, Event>,
    /// Who follows, by where from.
    followers: HashMap<ClientAddress, usize>,
}

/// The right to follow. It is given back when dropped.
pub(super) struct Following {
    feed: Feed,
    client: ClientAddress,
    pub(super) batches: broadcast::Receiver<Arc<Batch>>,
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut shared = self.feed.shared();
        if let Some(count) = shared.followers.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                shared.followers.remove(&self.client);
            }
        }
    }
}

impl Feed {
    /// At most `max_streams` follow at once, and half of that from one address.
    pub(crate) fn new(database: Database, service: ServiceConfig, max_streams: usize) -> Self {
        Self(Arc::new(Inner { database, service, max_streams, shared: Mutex::default() }))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // Nothing in here panics between two changes that belong together.
        self.0.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to follow, from this moment on.
    pub(super) fn follow(&self, client: ClientAddress) -> Result<Following, ApiError> {
        let mut shared = self.shared();
        let all: usize = shared.followers.values().sum();
        let max = self.0.max_streams;
        if all >= max {
            return Err(ApiError::Unavailable(format!("{max} streams of events are followed, as many as may be.")));
        }
        if shared.followers.get(&client).copied().unwrap_or(0) >= max.div_ceil(2) {
            return Err(ApiError::TooManyRequests(format!(
                "{} streams of events are followed from your address, as many as may be.",
                max.div_ceil(2)
            )));
        }
        let running = shared.batches.as_ref().and_then(broadcast::WeakSender::upgrade);
        // One that has nobody left is about to end.
        let running = running.filter(|batches| batches.receiver_count() > 0);
        let batches = match running {
            Some(running) => running.subscribe(),
            None => {
                let (sender, receiver) = broadcast::channel(KEPT_BATCHES);
                shared.batches = Some(sender.downgrade());
                shared.hosts.clear();
                tokio::spawn(Reader::new(Arc::downgrade(&self.0), sender).run());
                receiver
            }
        };
        *shared.followers.entry(client).or_default() += 1;
        Ok(Following { feed: self.clone(), client, batches })
    }
}

impl Following {
    /// The hosts and services, as they were last told of.
    pub(super) fn hosts(&self) -> Vec<Event> {
        self.feed.shared().hosts.values().cloned().collect()
    }

    /// What was changed since a position, the oldest first; `None`: more than is made up for.
    pub(super) async fn missed(&self, since: Position) -> Result<Option<Vec<(Key, Timestamp)>>, DbError> {
        let limit = CATCH_UP + 1;
        let mut connection = self.feed.0.database.read().await?;
        let found = changed(&mut connection, since.begin(), i64::try_from(limit).unwrap_or(i64::MAX)).await?;
        Ok((found.len() < limit).then_some(found))
    }

    /// These, as they are now.
    pub(super) async fn read(&self, keys: &[(Key, Timestamp)]) -> Result<Vec<Event>, DbError> {
        let mut connection = self.feed.0.database.read().await?;
        read(&mut connection, keys).await
    }
}

/// What was changed after a moment, the oldest first.
async fn changed(connection: &mut Connection, after: Timestamp, limit: i64) -> Result<Vec<(Key, Timestamp)>, DbError> {
    let servers = changes::instances(connection, after, limit).await?;
    let migrations = changes::migrations(connection, after, limit).await?;
    let servers = servers.into_iter().map(|(uuid, changed)| (Key::Server(uuid), changed));
    let migrations = migrations.into_iter().map(|(uuid, changed)| (Key::Migration(uuid), changed));
    let mut all: Vec<_> = servers.chain(migrations).collect();
    all.sort_by_key(|(_, changed)| *changed);
    Ok(all)
}

/// These servers and migrations as they are now.
async fn read(connection: &mut Connection, keys: &[(Key, Timestamp)]) -> Result<Vec<Event>, DbError> {
    let (mut servers, mut moves) = (Vec::new(), Vec::new());
    for (key, _) in keys {
        match key {
            Key::Server(uuid) => servers.push(*uuid),
            Key::Migration(uuid) => moves.push(*uuid),
            Key::Host(_) | Key::Service(_) => {}
        }
    }
    let found = instances::get_many(connection, &servers).await?;
    let broken: Vec<InstanceUuid> =
        found.iter().filter(|instance| instance.vm_state == VmState::Error).map(|instance| instance.uuid).collect();
    let faults: HashMap<_, _> = instances::faults(connection, &broken).await?.into_iter().collect();
    let mut events: Vec<Event> =
        found.iter().map(|instance| views::server(instance, faults.get(&instance.uuid))).collect();
    let moves = migrations::get_many(connection, &moves).await?;
    let moved: Vec<InstanceUuid> = moves.iter().map(|migration| migration.instance).collect();
    let projects: HashMap<_, _> = changes::projects(connection, &moved).await?.into_iter().collect();
    events.extend(moves.iter().map(|it| views::migration(it, projects.get(&it.instance).cloned())));
    events.sort_by_key(|event| event.changed);
    Ok(events)
}

/// The time from one look to the next.
fn interval(followers: usize) -> Duration {
    let times = u32::try_from(followers.div_ceil(FEW_FOLLOWERS)).unwrap_or(u32::MAX);
    INTERVAL.saturating_mul(times).clamp(INTERVAL, MAX_INTERVAL)
}

/// Reads the rows, while somebody follows.
struct Reader {
    feed: Weak<Inner>,
    batches: broadcast::Sender<Arc<Batch>>,
    /// What has been sent, and as of when, of the time that is looked through.
    sent: HashMap<Key, Timestamp>,
    stale: bool,
}

impl Reader {
    fn new(feed: Weak<Inner>, batches: broadcast::Sender<Arc<Batch>>) -> Self {
        Self { feed, batches, sent: HashMap::new(), stale: false }
    }

    async fn run(mut self) {
        let mut hosts_due = Instant::now();
        while let Some(feed) = self.feed.upgrade()
            && self.batches.receiver_count() > 0
        {
            let mut outcome = self.look(&feed.database).await;
            if outcome.is_ok() && hosts_due <= Instant::now() {
                hosts_due = Instant::now() + HOSTS_INTERVAL;
                outcome = self.look_at_hosts(&feed).await;
            }
            drop(feed);
            self.note(outcome);
            tokio::time::sleep(interval(self.batches.receiver_count())).await;
        }
    }

    /// Tells who follows when the rows can't be read, and when they can be again.
    fn note(&mut self, outcome: Result<(), DbError>) {
        let stale = outcome.is_err();
        if let Err(error) = outcome
            && !self.stale
        {
            tracing::warn!(%error, "what changes can't be read; who follows it is told so");
            self.send(Batch::Notice(views::frame("stale", &json!({"since": Timestamp::now().to_string()}))));
        } else if self.stale && !stale {
            self.send(Batch::Notice(views::frame("current", &json!({}))));
        }
        self.stale = stale;
    }

    fn send(&self, batch: Batch) {
        // Whoever follows may be gone by now, which the next look finds out.
        let _ = self.batches.send(Arc::new(batch));
    }

    fn send_changes(&self, mut events: Vec<Event>, position: Option<Position>) {
        while events.len() > BATCH {
            let rest = events.split_off(BATCH);
            self.send(Batch::Changes(Changes::new(events, None)));
            events = rest;
        }
        self.send(Batch::Changes(Changes::new(events, position)));
    }

    async fn look(&mut self, database: &Database) -> Result<(), DbError> {
        let position = Position::now();
        let mut connection = database.read().await?;
        let found = changed(&mut connection, position.begin(), LOOK).await?;
        let new: Vec<_> = found.iter().filter(|(key, changed)| self.sent.get(key) != Some(changed)).cloned().collect();
        let events = read(&mut connection, &new).await?;
        drop(connection);
        // As of what was read, which may be newer than what was found.
        let mut sent: HashMap<Key, Timestamp> = found.into_iter().collect();
        sent.extend(events.iter().map(|event| (event.key.clone(), event.changed)));
        self.sent = sent;
        if !events.is_empty() {
            self.send_changes(events, Some(position));
        }
        Ok(())
    }

    async fn look_at_hosts(&self, feed: &Arc<Inner>) -> Result<(), DbError> {
        let mut connection = feed.database.read().await?;
        let nodes = compute_nodes::list(&mut connection).await?;
        let found = services::list(&mut connection, None, None).await?;
        let fresh_since = listening::fresh_since(&mut connection, feed.service.service_down_time).await?;
        drop(connection);
        let of_host: HashMap<&str, &Service> = found
            .iter()
            .filter(|service| service.binary == Binary::Compute)
            .map(|service| (service.host.as_str(), service))
            .collect();
        let hosts = nodes
            .iter()
            .filter_map(|node| of_host.get(node.host.as_str()).map(|service| views::host(node, service, &fresh_since)));
        let services = found.iter().map(|service| views::service(service, &fresh_since));
        let mut events = Vec::new();
        {
            let feed = Feed(Arc::clone(feed));
            let mut shared = feed.shared();
            for event in hosts.chain(services) {
                let known = shared.hosts.get(&event.key);
                if known.is_none_or(|known| known.with_hosts != event.with_hosts) {
                    shared.hosts.insert(event.key.clone(), event.clone());
                    events.push(event);
                }
            }
        }
        if !events.is_empty() {
            self.send_changes(events, None);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_follow_the_less_often_they_are_told_but_each_second() {
        let milliseconds = [0, 1, 100, 101, 250, 500, 10_000].map(|followers| interval(followers).as_millis());
        assert_eq!(milliseconds, [200, 200, 200, 400, 600, 1000, 1000]);
    }

    #[test]
    fn a_position_is_read_as_it_is_written_and_nothing_else_is() {
        let position = Position::now();
        let read = Position::read(&position.to_string()).unwrap();
        assert_eq!(read.to_string(), position.to_string());
        for wrong in ["", "-1", "+1", " 1", "1.5", "x", "99999999999999999999"] {
            assert_eq!(Position::read(wrong), None, "{wrong}");
        }
    }
}
