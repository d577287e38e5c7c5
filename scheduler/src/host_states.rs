//! The picture of all hosts that decisions are made on.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use novella_common::{
    db::{Connection, Database, DbError, aggregates, capacities, compute_nodes, instances, listening},
    models::Resources,
};

use crate::{HostState, SchedulerConfig};

/// With very many hosts, reading takes longer than the picture may be old by the configuration: a picture is used at least
/// this many times as long as it took to read, so that reading leaves most of the time for decisions.
const LEAST_USE: u32 = 10;

/// All hosts, as they were when last read, less what has been decided since.
///
/// It belongs to the one task that decides, so decisions see each other's claims at once and need no lock.
pub(crate) struct HostStates {
    database: Database,
    service_down_time: Duration,
    max_age: Duration,
    hosts: Vec<HostState>,
    read_at: Option<Instant>,
    read_took: Duration,
    /// Kept apart from the hosts, which are replaced with each reading.
    failures: HashMap<String, u32>,
    /// Whether a filter asks for it.
    counts_io_ops: bool,
    /// Whether the hosts' inventories were read for this picture.
    has_inventories: bool,
}

impl HostStates {
    pub(crate) fn new(database: Database, service_down_time: Duration, config: &SchedulerConfig) -> Self {
        Self {
            database,
            service_down_time,
            max_age: config.host_state_max_age,
            hosts: Vec::new(),
            read_at: None,
            read_took: Duration::ZERO,
            failures: HashMap::new(),
            counts_io_ops: config.enabled_filters.iter().any(|name| name.ends_with("IoOpsFilter")),
            has_inventories: false,
        }
    }

    /// The hosts, read again if the picture is too old.
    pub(crate) async fn refresh(&mut self) -> Result<(), DbError> {
        let max_age = self.max_age.max(self.read_took * LEAST_USE);
        if self.read_at.is_some_and(|read| read.elapsed() <= max_age) {
            return Ok(());
        }
        let read_at = Instant::now();
        let (rows, fresh_since, mut metadata, mut io_ops) = {
            let mut connection = self.database.read().await?;
            let fresh_since = listening::fresh_since(&mut connection, self.service_down_time).await?.reported;
            let rows = capacities::list(&mut connection).await?;
            let metadata = aggregates::metadata_by_host(&mut connection).await?;
            let io_ops = match self.counts_io_ops {
                true => instances::list::io_ops_by_host(&mut connection).await?,
                false => HashMap::new(),
            };
            (rows, fresh_since, metadata, io_ops)
        };
        self.hosts = rows
            .into_iter()
            .map(|row| HostState {
                enabled: !row.disabled,
                up: !row.forced_down && row.serving && row.last_seen >= fresh_since,
                failures: self.failures.get(&row.host).copied().unwrap_or(0),
                instances: row.instances,
                io_ops: io_ops.remove(&row.host).unwrap_or(0),
                aggregates: metadata.remove(&row.host).unwrap_or_default(),
                inventory: None,
                host: row.host,
                availability_zone: row.availability_zone,
                capacity: row.capacity,
                used: row.used,
            })
            .collect();
        self.has_inventories = false;
        self.read_at = Some(read_at);
        self.read_took = read_at.elapsed();
        Ok(())
    }

    /// Adds what the hosts have said of themselves, which is long, to this picture.
    pub(crate) async fn read_inventories(&mut self, connection: &mut Connection) -> Result<(), DbError> {
        if self.has_inventories {
            return Ok(());
        }
        let nodes = compute_nodes::list(connection).await?;
        let mut inventories: HashMap<_, _> =
            nodes.into_iter().map(|node| (node.host, Arc::new(node.inventory))).collect();
        for host in &mut self.hosts {
            host.inventory = inventories.remove(&host.host);
        }
        self.has_inventories = true;
        Ok(())
    }

    /// Makes the next [`HostStates::refresh`] read, however young the picture is: it has proved wrong.
    pub(crate) fn distrust(&mut self) {
        self.read_at = None;
    }

    /// Whether the picture was just read, so that reading it again would show nothing new.
    pub(crate) fn is_fresh_since(&self, moment: Instant) -> bool {
        self.read_at.is_some_and(|read| read >= moment)
    }

    /// Whether any host takes work, if only it has room.
    pub(crate) fn any_up(&self) -> bool {
        self.hosts.iter().any(|host| host.up)
    }

    pub(crate) fn hosts(&self) -> &[HostState] {
        &self.hosts
    }

    /// Subtracts a claim that was decided but not read yet.
    pub(crate) fn claim(&mut self, index: usize, resources: &Resources) {
        let host = &mut self.hosts[index];
        host.used = host.used.plus(resources);
        host.instances += 1;
        host.io_ops += 1;
    }

    /// Notes whether a build could be handed over to a host.
    pub(crate) fn note_handover(&mut self, host: &str, accepted: bool) {
        if accepted && !self.failures.contains_key(host) {
            return;
        }
        let failures = match accepted {
            true => {
                self.failures.remove(host);
                0
            }
            false => {
                let failures = self.failures.entry(host.to_owned()).or_insert(0);
                *failures = failures.saturating_add(1);
                *failures
            }
        };
        if let Some(state) = self.hosts.iter_mut().find(|state| state.host == host) {
            state.failures = failures;
        }
    }
}
