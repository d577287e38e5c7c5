//! The cache: copies of images' bytes in a folder of this machine, where the store is far away.
//!
//! What is in it is what is in the folder, each image in a file of its name, and whole: it is written under another name
//! first and held against its checksum. So several processes may share the folder. An image is put in when somebody has
//! read it, or an administrator asks for it; what was not read for longest goes where there is too much.

mod operations;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt;
use md5::Md5;
use sha2::Digest;
use tokio::{fs, io::AsyncWriteExt, sync::Semaphore};
use tracing::Instrument;
use uuid::Uuid;

pub(crate) use operations::operations;

use crate::{
    ImageConfig, Images, data,
    db::{self, Image},
};

/// What the name of a file begins with that is not whole.
const PARTIAL: &str = "partial-";

/// The cache of a process.
#[derive(Debug)]
pub(crate) struct Cache {
    /// `None`: there is none.
    folder: Option<PathBuf>,
    /// Bytes that there may be.
    most: u64,
    /// After how long nobody writes a file any more that does not grow.
    stalled: Duration,
    known: Mutex<Known>,
    /// One image is put in at a time.
    permit: Arc<Semaphore>,
}

/// What the folder does not say.
#[derive(Debug, Default)]
struct Known {
    read: HashMap<String, Reads>,
    queued: Vec<String>,
}

impl Known {
    /// Says whether an image waited to be put in.
    fn forget(&mut self, image: &str) -> bool {
        let waited = self.queued.len();
        self.queued.retain(|queued| queued != image);
        self.read.remove(image);
        self.queued.len() < waited
    }

    fn count(&mut self, image: &str) {
        let now = SystemTime::now();
        let reads = self.read.entry(image.to_owned()).or_insert(Reads { hits: 0, last: now });
        (reads.hits, reads.last) = (reads.hits + 1, now);
    }

    /// Says whether it has begun to wait.
    fn queue(&mut self, image: &str) -> bool {
        let waits = self.queued.iter().any(|queued| queued == image);
        if !waits {
            self.queued.push(image.to_owned());
        }
        !waits
    }
}

/// How often an image was read here, and when last.
#[derive(Clone, Copy, Debug)]
struct Reads {
    hits: u64,
    last: SystemTime,
}

/// An image in it.
#[derive(Debug)]
struct Entry {
    image: String,
    size: u64,
    written: SystemTime,
    read: Option<Reads>,
}

impl Entry {
    fn last_used(&self) -> SystemTime {
        self.read.map_or(self.written, |read| read.last)
    }
}

impl Cache {
    pub(crate) fn new(config: &ImageConfig) -> Self {
        Self {
            folder: config.image_cache_dir.clone(),
            most: config.image_cache_max_size,
            stalled: config.upload_lease,
            known: Mutex::default(),
            permit: Arc::new(Semaphore::new(1)),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is one call: whoever panicked left something whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of an image that is in it.
    pub(crate) async fn file(&self, image: &Image) -> Option<std::fs::File> {
        let path = self.folder.as_ref()?.join(&image.id);
        let file = fs::File::open(path).await.ok()?;
        let size = image.size.and_then(|size| u64::try_from(size).ok());
        if file.metadata().await.ok().map(|metadata| metadata.len()) != size {
            return None;
        }
        self.known().count(&image.id);
        Some(file.into_std().await)
    }

    /// Puts an image in, after those that wait already. What becomes of it is in the cache, or in the log.
    pub(crate) fn queue(&self, images: &Images, image: &Image) {
        let Some(folder) = self.folder.clone() else { return };
        if !self.known().queue(&image.id) {
            return;
        }
        let (images, image, permit) = (images.clone(), image.clone(), Arc::clone(&self.permit));
        let work = async move {
            let _permit = permit.acquire_owned().await;
            let cache = &images.cache;
            // Taken out of the queue meanwhile, or put in by another process.
            let waits = cache.known().queued.contains(&image.id);
            if waits
                && !fs::try_exists(folder.join(&image.id)).await.unwrap_or(false)
                && let Err(error) = fill(&images, &folder, &image).await
            {
                tracing::warn!(error, image = image.id, "an image can't be put into the cache");
            }
            cache.known().queued.retain(|queued| *queued != image.id);
            if let Err(error) = cache.prune().await {
                tracing::warn!(%error, "the cache of images can't be made smaller");
            }
        };
        tokio::spawn(work.in_current_span());
    }

    /// What is in it, by the images' ids.
    async fn entries(&self) -> io::Result<Vec<Entry>> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        for (image, metadata) in files(folder).await? {
            if crate::schema::is_uuid(&image) {
                let (size, written) = (metadata.len(), metadata.modified().unwrap_or(UNIX_EPOCH));
                let read = self.known().read.get(&image).copied();
                entries.push(Entry { image, size, written, read });
            }
        }
        entries.sort_by(|a, b| a.image.cmp(&b.image));
        Ok(entries)
    }

    /// Removes an image. Says whether it was there, or waited to be put in.
    pub(crate) async fn remove(&self, image: &str) -> io::Result<bool> {
        let Some(folder) = &self.folder else { return Ok(false) };
        let waited = self.known().forget(image);
        // An id is a UUID, so that it leads nowhere else.
        if !crate::schema::is_uuid(image) {
            return Ok(waited);
        }
        match fs::remove_file(folder.join(image)).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(waited),
            Err(error) => Err(error),
        }
    }

    /// Makes it as small as it is to be. How many images went, and their bytes.
    async fn prune(&self) -> io::Result<(u64, u64)> {
        let mut entries = self.entries().await?;
        entries.sort_by_key(Entry::last_used);
        let mut size: u64 = entries.iter().map(|entry| entry.size).sum();
        let (mut count, mut bytes) = (0, 0);
        for entry in entries {
            if size <= self.most {
                break;
            }
            self.remove(&entry.image).await?;
            size -= entry.size;
            (count, bytes) = (count + 1, bytes + entry.size);
        }
        Ok((count, bytes))
    }

    /// Removes what nobody writes any more and is not whole.
    async fn clean(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        for (name, metadata) in files(folder).await? {
            let still = metadata.modified().ok().and_then(|written| written.elapsed().ok());
            if name.starts_with(PARTIAL) && still.is_some_and(|still| still >= self.stalled) {
                remove_if_there(&folder.join(name)).await?;
            }
        }
        Ok(())
    }
}

impl Images {
    /// Removes from the cache what is not whole, and images that there are no more.
    pub(crate) async fn sweep_cache(&self) -> Result<(), String> {
        self.cache.clean().await.map_err(|error| error.to_string())?;
        for entry in self.cache.entries().await.map_err(|error| error.to_string())? {
            let there = async { db::get(&mut *self.database.read().await?, &entry.image).await };
            if there.await.map_err(|error| error.to_string())?.is_none() {
                self.cache.remove(&entry.image).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

/// The files of a folder, which need not be there.
async fn files(folder: &Path) -> io::Result<Vec<(String, std::fs::Metadata)>> {
    let mut found = Vec::new();
    let mut entries = match fs::read_dir(folder).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    while let Some(entry) = entries.next_entry().await? {
        // Removed meanwhile.
        let Ok(metadata) = entry.metadata().await else { continue };
        if let (Some(name), true) = (entry.file_name().to_str(), metadata.is_file()) {
            found.push((name.to_owned(), metadata));
        }
    }
    Ok(found)
}

async fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies an image's bytes into a file of the folder.
async fn fill(images: &Images, folder: &Path, image: &Image) -> Result<(), String> {
    let partial = folder.join(format!("{PARTIAL}{}", Uuid::new_v4()));
    let copied = async {
        fs::create_dir_all(folder).await.map_err(|error| error.to_string())?;
        let size = image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let mut bytes = data::stored(images, &image.id, 0..size).await.map_err(|error| error.to_string())?;
        let mut file = fs::File::create(&partial).await.map_err(|error| error.to_string())?;
        let mut digest = Md5::new();
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|error| error.to_string())?;
            digest.update(&piece);
            file.write_all(&piece).await.map_err(|error| error.to_string())?;
        }
        file.flush().await.map_err(|error| error.to_string())?;
        let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if image.checksum.as_ref().is_some_and(|checksum| *checksum != digest) {
            return Err("its bytes are not those that it had".to_owned());
        }
        fs::rename(&partial, folder.join(&image.id)).await.map_err(|error| error.to_string())
    };
    let copied = copied.await;
    if copied.is_err() {
        remove_if_there(&partial).await.map_err(|error| error.to_string())?;
    }
    copied
}
