//! A durable map for all hosts of a process: one file, one writer, many changes in one flushed transaction.
//!
//! Each host has a [`Partition`]. A host keeps its state in memory, and hands over each change of it here while it
//! still holds its own lock, so that changes are written in the order in which they were made. [`Commit::durable`]
//! then tells when a change has reached the disk. Whatever arrives while one transaction is being flushed makes up the
//! next, so that the number of flushes does not grow with the number of hosts or instances.
//!
//! Opening a partition again fences off its former holder: what a stopped service still had in flight can no longer
//! get in between the lines of its successor.
//!
//! When the disk fails, the store stays failed: nothing that was not written is ever confirmed, and a restart finds
//! the last state that was.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use redb::{Database, ReadableDatabase, TableDefinition, backends::InMemoryBackend};
use tokio::sync::oneshot;

use parking_lot::Mutex;

/// A key and its value.
type Record = (Vec<u8>, Vec<u8>);

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("hosts");

/// How many submissions go into one transaction at most: bounds how long the first of them waits.
const MOST_AT_ONCE: usize = 4096;

/// The state of all hosts is in memory anyway; the file's cache only has to hold the pages being written.
const CACHE_BYTES: usize = 32 << 20;

/// The store could not be opened, read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The file can't be used.
    #[error("the state file {path} can't be opened: {reason}")]
    Open {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Reading or writing failed. Nothing is written any more until the process is restarted.
    #[error("the state file failed: {reason}; nothing is written any more, restart once the disk is well")]
    Failed {
        /// What the disk said.
        reason: String,
    },
    /// The host was started again, in this process, by somebody else.
    #[error("host {host} was started anew; this run of it is over")]
    Superseded {
        /// Which host.
        host: String,
    },
    /// What was read makes no sense.
    #[error("the state file holds a damaged record for host {host}: {reason}")]
    Damaged {
        /// Whose record.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The file and its writer.
#[derive(Debug)]
pub(crate) struct Store {
    database: Arc<Database>,
    /// Unbounded, but every submitter waits for its commit before it goes on, or submits one change for each step of
    /// an operation: what is queued is bounded by the operations under way.
    submissions: Option<mpsc::Sender<Submission>>,
    writer: Option<JoinHandle<()>>,
    /// Why nothing is written any more.
    failed: Arc<Mutex<Option<StoreError>>>,
    /// The present holder of each partition.
    epochs: Mutex<HashMap<String, u64>>,
}

struct Submission {
    changes: Vec<Change>,
    /// Runs once the changes are durable, in the order of submission.
    then: Option<Box<dyn FnOnce() + Send>>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// One key's new value; `None` removes it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Store {
    /// Opens or creates the file. It holds what users sent (`user_data`), so only its owner may read it.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |reason: String| StoreError::Open { path: path.display().to_string(), reason };
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| failed(error.to_string()))?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_file(file)
            .map_err(|error| failed(error.to_string()))?;
        Self::start(database)
    }

    /// A store that is gone with the process.
    pub(crate) fn in_memory() -> Result<Self, StoreError> {
        let database = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .map_err(|error| StoreError::Open { path: "(memory)".into(), reason: error.to_string() })?;
        Self::start(database)
    }

    fn start(database: Database) -> Result<Self, StoreError> {
        let database = Arc::new(database);
        // Makes the table, so that readers always find one.
        write(&database, &[])?;
        let (submissions, queue) = mpsc::channel();
        let failed = Arc::<Mutex<Option<StoreError>>>::default();
        let writer = std::thread::Builder::new()
            .name("novella-store".into())
            .spawn({
                let (database, failed) = (database.clone(), failed.clone());
                move || run(&database, &queue, &failed)
            })
            .map_err(|error| StoreError::Failed { reason: error.to_string() })?;
        Ok(Self { database, submissions: Some(submissions), writer: Some(writer), failed, epochs: Mutex::default() })
    }

    /// Why nothing is written any more, if so.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.failed.lock().clone()
    }

    fn submit(&self, changes: Vec<Change>, then: Option<Box<dyn FnOnce() + Send>>) -> Commit {
        let (done, receiver) = oneshot::channel();
        let gone = match &self.submissions {
            Some(queue) => queue.send(Submission { changes, then, done }).is_err(),
            None => true,
        };
        if gone {
            Commit::refused(StoreError::Failed { reason: "its writer has ended".into() })
        } else {
            Commit(Ok(receiver))
        }
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(TABLE)?;
        let mut found = Vec::new();
        for row in table.range(prefix..)? {
            let (key, value) = row?;
            let Some(rest) = key.value().strip_prefix(prefix) else {
                break;
            };
            found.push((rest.to_vec(), value.value().to_vec()));
        }
        Ok(found)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The file must be closed when this returns: somebody may open it again at once. What was submitted is still
        // written, which takes one flush.
        self.submissions = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of a state file had panicked");
        }
    }
}

fn run(database: &Database, queue: &mpsc::Receiver<Submission>, failed: &Mutex<Option<StoreError>>) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(MOST_AT_ONCE - 1));
        let before = failed.lock().clone();
        let outcome = match before {
            Some(error) => Err(error),
            None => write(database, &batch).inspect_err(|error| {
                tracing::error!(%error, "the state of this process's hosts can't be written");
                *failed.lock() = Some(error.clone());
            }),
        };
        for submission in batch {
            if outcome.is_ok()
                && let Some(then) = submission.then
            {
                then();
            }
            // Nobody waits for some of them.
            let _ = submission.done.send(outcome.clone());
        }
    }
}

fn write(database: &Database, batch: &[Submission]) -> Result<(), StoreError> {
    let started = std::time::Instant::now();
    commit(database, batch).map_err(|error| StoreError::Failed { reason: error.to_string() })?;
    metrics::histogram!("compute_store_commit_seconds").record(started.elapsed().as_secs_f64());
    Ok(())
}

fn commit(database: &Database, batch: &[Submission]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(TABLE)?;
        for change in batch.iter().flat_map(|submission| &submission.changes) {
            match &change.value {
                Some(value) => table.insert(change.key.as_slice(), value.as_slice())?,
                None => table.remove(change.key.as_slice())?,
            };
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Tells when a change is on the disk. The change is made even if nobody waits.
#[derive(Debug)]
#[must_use = "nothing may be answered or done that rests on a change before it is durable"]
pub(crate) struct Commit(Result<oneshot::Receiver<Result<(), StoreError>>, StoreError>);

impl Commit {
    fn refused(error: StoreError) -> Self {
        Self(Err(error))
    }

    /// Waits until the change survives a crash.
    pub(crate) async fn durable(self) -> Result<(), StoreError> {
        match self.0?.await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Failed { reason: "its writer has ended".into() }),
        }
    }

    /// Leaves the change to itself: for what a later change repeats or a crash may lose. A failure of the disk is
    /// logged by the writer, and comes up at the next change that is waited for.
    pub(crate) fn detach(self) {}
}

/// One host's part of a store.
#[derive(Debug)]
pub(crate) struct Partition {
    store: Arc<Store>,
    host: String,
    prefix: Vec<u8>,
    epoch: u64,
}

impl Partition {
    /// Takes over the part of `host`, with all that is in it (keys without the host's prefix).
    pub(crate) async fn open(store: &Arc<Store>, host: &str) -> Result<(Self, Vec<Record>), StoreError> {
        // A zero ends the name: `host-1` is no prefix of `host-10`.
        let mut prefix = host.as_bytes().to_vec();
        prefix.push(0);
        let epoch = {
            let mut epochs = store.epochs.lock();
            let epoch = epochs.entry(host.to_owned()).or_default();
            *epoch += 1;
            *epoch
        };
        let partition = Self { store: store.clone(), host: host.to_owned(), prefix, epoch };
        // What the former holder submitted before it was fenced off comes first.
        partition.barrier().durable().await?;
        let found = partition.store.scan(&partition.prefix);
        Ok((partition, found.map_err(|error| StoreError::Failed { reason: error.to_string() })?))
    }

    /// Submits changes; `then` runs when they are durable. Call it under the lock that orders the changes.
    pub(crate) fn submit(&self, mut changes: Vec<Change>, then: Option<Box<dyn FnOnce() + Send>>) -> Commit {
        for change in &mut changes {
            change.key.splice(0..0, self.prefix.iter().copied());
        }
        let epochs = self.store.epochs.lock();
        if epochs.get(&self.host) != Some(&self.epoch) {
            return Commit::refused(StoreError::Superseded { host: self.host.clone() });
        }
        self.store.submit(changes, then)
    }

    /// Becomes durable when all that was submitted before it is: for answers that rest on what is in memory already.
    pub(crate) fn barrier(&self) -> Commit {
        self.submit(Vec::new(), None)
    }

    /// An error about a record of this host that can't be read.
    pub(crate) fn damaged(&self, reason: impl ToString) -> StoreError {
        StoreError::Damaged { host: self.host.clone(), reason: reason.to_string() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails there")]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Vec<Change> {
        vec![Change { key: key.into(), value: Some(value.into()) }]
    }

    #[tokio::test]
    async fn what_is_durable_is_found_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        {
            let store = Arc::new(Store::open(&path).unwrap());
            let (one, found) = Partition::open(&store, "host-1").await.unwrap();
            assert!(found.is_empty());
            let (ten, _) = Partition::open(&store, "host-10").await.unwrap();
            one.submit(put("a", "1"), None).durable().await.unwrap();
            ten.submit(put("a", "10"), None).durable().await.unwrap();
        }
        let store = Arc::new(Store::open(&path).unwrap());
        let (_, found) = Partition::open(&store, "host-1").await.unwrap();
        assert_eq!(found, [(b"a".to_vec(), b"1".to_vec())]);
    }

    #[tokio::test]
    async fn a_host_that_was_started_again_ignores_what_its_former_run_still_writes() {
        let store = Arc::new(Store::in_memory().unwrap());
        let (old, _) = Partition::open(&store, "host-1").await.unwrap();
        let (new, _) = Partition::open(&store, "host-1").await.unwrap();
        assert!(matches!(old.submit(put("a", "old"), None).durable().await, Err(StoreError::Superseded { .. })));
        new.submit(put("a", "new"), None).durable().await.unwrap();
    }

    #[tokio::test]
    async fn what_follows_a_change_happens_in_the_order_of_the_changes() {
        let store = Arc::new(Store::in_memory().unwrap());
        let (partition, _) = Partition::open(&store, "host-1").await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for n in 0..1000 {
            let seen = seen.clone();
            partition.submit(put("a", "x"), Some(Box::new(move || seen.lock().push(n)))).detach();
        }
        partition.barrier().durable().await.unwrap();
        assert_eq!(*seen.lock(), (0..1000).collect::<Vec<_>>());
    }
}
