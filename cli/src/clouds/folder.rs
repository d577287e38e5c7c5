//! A cloud's folder: its files, and who uses them.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{CloudName, Record, private, root, selector};
use crate::GlobalOptions;

/// Under the folder of the default cloud: those that have a name.
pub(super) const NAMED: &str = "clouds";

const LOCK: &str = "cloud.lock";
const RECORD: &str = "cloud.json";
const LOG: &str = "novella.log";
/// The file that the database of `novella up` is in.
pub(crate) const DATABASE: &str = "novella.db";
/// Marks the data as that of a cloud that keeps nothing: what a crash left of it may go.
const EPHEMERAL: &str = "ephemeral";
/// How long `up` waits for the lock: another command may have it for a moment, to see whether the cloud runs.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// All that a cloud writes. What else is in the folder is its user's and stays.
const DATA: [&str; 15] = [
    DATABASE,
    "novella.db-wal",
    "novella.db-shm",
    "hosts",
    "images",
    "clouds.yaml",
    "openrc",
    "admin-password",
    "demo-password",
    "bus.sock",
    LOG,
    "novella.log.1",
    RECORD,
    EPHEMERAL,
    LOCK,
];

/// Whether a cloud runs.
#[derive(Debug)]
pub(crate) enum State {
    Stopped,
    /// Its process is there, and not ready yet or no more.
    Changing,
    Running(Record),
}

/// Where a cloud is kept, and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct CloudFolder {
    pub name: CloudName,
    path: PathBuf,
}

/// Held by the one process that runs the cloud.
#[derive(Debug)]
pub(crate) struct RunLock(#[allow(dead_code, reason = "the lock goes with the file")] File);

impl CloudFolder {
    pub(super) fn new(name: CloudName, path: PathBuf) -> Self {
        Self { name, path }
    }

    /// The cloud that the options name; it may not be there yet.
    ///
    /// # Errors
    /// There is no home directory.
    pub(crate) fn find(global: &GlobalOptions) -> Result<Self> {
        let name = global.name.clone().unwrap_or_default();
        let path = match &global.data {
            Some(folder) => {
                std::path::absolute(folder).with_context(|| format!("--data {} is no path", folder.display()))?
            }
            None if name.is_default() => root()?,
            None => root()?.join(NAMED).join(name.as_str()),
        };
        Ok(Self { name, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the log of a detached cloud is.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Whether a cloud is kept or runs there.
    pub(crate) fn exists(&self) -> bool {
        self.database().exists() || self.path.join(RECORD).exists()
    }

    /// Makes the folder, for its user alone; one that is there is closed to others.
    ///
    /// # Errors
    /// It can't be made or closed; the text names it.
    pub(crate) fn make(&self) -> Result<()> {
        private::make(&self.path, |name| DATA.contains(&name) || name == NAMED)
    }

    /// The folder of the hosts' own files.
    ///
    /// # Errors
    /// It can't be made; the text names it.
    pub(crate) fn hosts(&self) -> Result<PathBuf> {
        let path = self.path.join("hosts");
        private::make(&path, |_| true)?;
        Ok(path)
    }

    /// The folder of the images' bytes.
    pub(crate) fn images(&self) -> PathBuf {
        self.path.join("images")
    }

    /// Takes the folder for this process, for as long as the lock is kept.
    ///
    /// # Errors
    /// Another process has it.
    pub(crate) async fn lock(&self, global: &GlobalOptions) -> Result<RunLock> {
        let file = self.lock_file()?;
        let locked = tokio::time::timeout(LOCK_TIMEOUT, async {
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(()),
                    // The kernel tells nobody when a lock becomes free, unless they wait for good.
                    Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_TIMEOUT / 50).await,
                    Err(TryLockError::Error(error)) => return Err(error),
                }
            }
        });
        match locked.await {
            Ok(locked) => locked.with_context(|| format!("can't lock {}", self.path.join(LOCK).display()))?,
            Err(_) => bail!(
                "can't take the data folder {}: does another novella use it? `novella down{}` stops it; with --name or \
                 --data a second cloud runs beside it",
                self.path.display(),
                selector(global)
            ),
        }
        // What a crash left.
        remove_file(&self.path.join(RECORD))?;
        Ok(RunLock(file))
    }

    fn lock_file(&self) -> Result<File> {
        let path = self.path.join(LOCK);
        let open = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        open.with_context(|| format!("can't open {}", path.display()))
    }

    /// Whether the cloud runs.
    ///
    /// # Errors
    /// The folder can't be read.
    pub(crate) fn state(&self) -> Result<State> {
        let path = self.path.join(LOCK);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Stopped),
            Err(error) => return Err(error).with_context(|| format!("can't open {}", path.display())),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(State::Stopped),
            Err(TryLockError::WouldBlock) => Ok(self.record()?.map_or(State::Changing, State::Running)),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("can't lock {}", path.display())),
        }
    }

    /// Waits until no process runs the cloud.
    ///
    /// # Errors
    /// The lock can't be waited for.
    pub(crate) fn wait_until_stopped(&self) -> Result<()> {
        let path = self.path.join(LOCK);
        match File::open(&path) {
            Ok(file) => file.lock_shared().with_context(|| format!("can't lock {}", path.display())),
            // It has gone with all the rest of a cloud that keeps nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("can't open {}", path.display())),
        }
    }

    /// What a running cloud, or one that crashed, says of itself.
    ///
    /// # Errors
    /// It can't be read, or is of another version.
    pub(crate) fn record(&self) -> Result<Option<Record>> {
        let path = self.path.join(RECORD);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{} is of another version", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }

    /// Says how to reach this cloud, to those who may read the folder.
    ///
    /// # Errors
    /// It can't be written.
    pub(crate) fn set_record(&self, record: &Record) -> Result<()> {
        write_private(&self.path.join(RECORD), &serde_json::to_string_pretty(record)?)
    }

    /// The cloud is not to be reached any more.
    ///
    /// # Errors
    /// The record can't be removed.
    pub(crate) fn remove_record(&self) -> Result<()> {
        remove_file(&self.path.join(RECORD))
    }

    /// Marks the folder's data as of no worth, after removing what a cloud of the same kind left when it was killed.
    ///
    /// # Errors
    /// A cloud is kept there.
    pub(crate) fn begin_ephemeral(&self) -> Result<()> {
        let marker = self.path.join(EPHEMERAL);
        if self.database().exists() && !marker.exists() {
            bail!("{} holds a cloud that is kept: --ephemeral needs another --name", self.path.display());
        }
        self.remove_all(&[LOCK, LOG])?;
        write_private(&marker, "")
    }

    /// Removes the cloud and all that it has written.
    ///
    /// # Errors
    /// A file can't be removed; the text names it.
    pub(crate) fn remove(&self) -> Result<()> {
        self.remove_all(&[])?;
        // Whatever else is there is not ours.
        match fs::remove_dir(&self.path) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
                Err(error).with_context(|| format!("can't remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }

    fn remove_all(&self, except: &[&str]) -> Result<()> {
        for name in DATA.iter().filter(|name| !except.contains(name)) {
            self.remove_entry(name)?;
        }
        Ok(())
    }

    /// Removes a file or a folder of the cloud's, if it is there.
    pub(super) fn remove_entry(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        if path.is_dir() {
            return fs::remove_dir_all(&path).with_context(|| format!("can't remove {}", path.display()));
        }
        remove_file(&path)
    }

    /// A new log; that of the run before is kept beside it.
    ///
    /// # Errors
    /// It can't be opened.
    pub(crate) fn begin_log(&self) -> Result<File> {
        let path = self.log();
        match fs::rename(&path, path.with_extension("log.1")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("can't rename {}", path.display()));
            }
            _ => {}
        }
        let open = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        open.with_context(|| format!("can't write {}", path.display()))
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file that only its owner can read; whole or not at all.
///
/// # Errors
/// It can't be written; the text names it.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("can't write {}", path.display()))
}
