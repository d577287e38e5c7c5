//! A store: where the bytes of images are, each under a name of its own. A folder, or a bucket of S3.
//!
//! Bytes go in and out piece by piece; at most two pieces of an upload are in memory here. What has not been finished is not
//! there, whoever asks.

mod bucket;

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
    aws::AmazonS3Builder, local::LocalFileSystem, path::Path,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::bucket::Connector;
use crate::config::StoreConfig;

/// Bytes that are read from a file at once.
const READ: usize = 512 * 1024;
/// Bytes of one part of an upload to a folder.
const PART_OF_FILE: usize = 1 << 20;
/// Bytes of one part of an upload to S3, which takes no smaller ones.
const PART_OF_OBJECT: usize = 8 << 20;
/// How long a request to S3 is tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);
/// S3 takes ten thousand parts. After so many they are twice as large, so that they are enough for 8 TiB.
const PARTS_OF_A_SIZE: usize = 1000;

/// Why the store can't do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What the configuration says of the stores can't be.
    #[error("image.stores: {0}")]
    Stores(String),
    /// The configuration does not name a store.
    #[error(
        "the store of images '{url}' is neither a folder (file:///srv/images) nor a bucket (s3://bucket/prefix): {reason}"
    )]
    Url {
        /// What it says.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder can't be used.
    #[error("can't use the folder {} for images", path.display())]
    Folder {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not there.
    #[error("there is no such object in the store")]
    Missing,
    /// It could not be done.
    #[error("the store of images: {0}")]
    Failed(String),
}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The store. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    /// Where the folder is, if it is one.
    folder: Option<PathBuf>,
    prefix: Path,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.objects, f)
    }
}

impl Store {
    /// The store that the configuration names, or this folder.
    ///
    /// # Errors
    /// It names none, or the folder can't be made.
    pub(crate) fn open(config: &StoreConfig, folder: &FilePath) -> Result<Self, StoreError> {
        let Some(url) = &config.url else { return Self::of_folder(folder) };
        let refused = |reason: &str| StoreError::Url { url: url.clone(), reason: reason.to_owned() };
        match url.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => Self::of_folder(FilePath::new(path)),
            Some(("file", _)) => Err(refused("the folder is not written from / on")),
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                Self::of_bucket(config, bucket, prefix).map_err(|error| refused(&error.to_string()))
            }
            _ => Err(refused("another scheme")),
        }
    }

    fn of_folder(folder: &FilePath) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        // What is done is done for good: an image is shown as active after this.
        let objects = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self { objects: Arc::new(objects), folder: Some(folder.to_owned()), prefix: Path::default() })
    }

    fn of_bucket(config: &StoreConfig, bucket: &str, prefix: &str) -> Result<Self, object_store::Error> {
        let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
        if let Some(region) = &config.s3_region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &config.s3_endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        if let (Some(id), Some(secret)) = (&config.s3_access_key, &config.s3_secret_key) {
            builder = builder.with_access_key_id(id.expose()).with_secret_access_key(secret.expose());
        }
        // A client is told soon that the store can't be reached, and tries again itself.
        let retry = RetryConfig { max_retries: 3, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let objects = builder.with_retry(retry).with_http_connector(Connector(config.s3_endpoint.clone())).build()?;
        Ok(Self { objects: Arc::new(objects), folder: None, prefix: Path::parse(prefix)? })
    }

    /// Of which kind it is, in Glance's words.
    pub(crate) fn kind(&self) -> &'static str {
        if self.folder.is_some() { "file" } else { "s3" }
    }

    fn path(&self, id: Uuid) -> Path {
        self.prefix.clone().join(id.to_string())
    }

    /// Begins to write an object that is not there.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn write(&self, id: Uuid) -> Result<Writer, StoreError> {
        let path = self.path(id);
        Ok(Writer {
            upload: self.objects.put_multipart(&path).await?,
            store: self.clone(),
            path,
            part: Vec::new(),
            length: 0,
            wanted: if self.folder.is_some() { PART_OF_FILE } else { PART_OF_OBJECT },
            parts: 0,
            under_way: None,
        })
    }

    /// Reads a part of an object, piece by piece.
    ///
    /// # Errors
    /// [`StoreError::Missing`], and the store's.
    pub(crate) async fn read(
        &self,
        id: Uuid,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        if range.is_empty() {
            self.objects.head(&self.path(id)).await?;
            return Ok(futures_util::stream::empty().boxed());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.objects.get_opts(&self.path(id), options).await?;
        let range = found.range.clone();
        Ok(match found.payload {
            GetResultPayload::File(file, _) => read_file(file, range).boxed(),
            GetResultPayload::Stream(stream) => stream.map_err(StoreError::from).boxed(),
        })
    }

    /// Removes an object; what is not there is removed.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn remove(&self, id: Uuid) -> Result<(), StoreError> {
        if let Some(folder) = &self.folder {
            // What `object_store` calls a file that is being written: a process that ended meanwhile has left it.
            match tokio::fs::remove_file(folder.join(format!("{id}#1"))).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        match self.objects.delete(&self.path(id)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A file's bytes. Larger pieces than `object_store` reads, each of which is handed from a thread to another.
pub(crate) fn read_file(
    file: std::fs::File,
    range: Range<u64>,
) -> impl futures_util::Stream<Item = Result<Bytes, StoreError>> + Send + 'static {
    futures_util::stream::try_unfold((file, range, true), |(mut file, mut range, first)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let length = usize::try_from(range.end - range.start).unwrap_or(READ).min(READ);
        let start = range.start;
        let piece = tokio::task::spawn_blocking(move || {
            if first {
                file.seek(SeekFrom::Start(start))?;
            }
            let mut piece = vec![0; length];
            file.read_exact(&mut piece)?;
            Ok::<_, io::Error>((file, Bytes::from(piece)))
        });
        let (file, piece) = piece.await.map_err(|error| StoreError::Failed(error.to_string()))??;
        range.start += piece.len() as u64;
        Ok(Some((piece, (file, range, false))))
    })
}

/// An object that is being written. Dropped, it is not there; what is left of it is removed by [`Store::remove`].
pub(crate) struct Writer {
    upload: Box<dyn MultipartUpload>,
    store: Store,
    path: Path,
    /// The part that is being filled.
    part: Vec<Bytes>,
    length: usize,
    wanted: usize,
    parts: usize,
    /// The part that is being written: one, while the next is filled.
    under_way: Option<JoinHandle<Result<(), object_store::Error>>>,
}

impl Writer {
    /// Adds bytes. Waits while as much is on its way as may be in memory.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.length += bytes.len();
        self.part.push(bytes);
        if self.length >= self.wanted {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), StoreError> {
        self.settle().await?;
        let part: PutPayload = std::mem::take(&mut self.part).into_iter().collect();
        self.length = 0;
        self.under_way = Some(tokio::spawn(self.upload.put_part(part)));
        self.parts += 1;
        if self.store.folder.is_none() && self.parts.is_multiple_of(PARTS_OF_A_SIZE) {
            self.wanted *= 2;
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        match self.under_way.take() {
            Some(part) => Ok(part.await.map_err(|error| StoreError::Failed(error.to_string()))??),
            None => Ok(()),
        }
    }

    /// All bytes are there.
    ///
    /// # Errors
    /// The store's; then nothing is there.
    pub(crate) async fn finish(mut self) -> Result<(), StoreError> {
        if self.length == 0 && self.parts == 0 {
            // An upload without a part is none for S3.
            self.upload.abort().await?;
            self.store.objects.put(&self.path, PutPayload::new()).await?;
            return Ok(());
        }
        if self.length > 0 {
            self.send().await?;
        }
        self.settle().await?;
        self.upload.complete().await?;
        Ok(())
    }

    /// They will not come.
    pub(crate) async fn abort(mut self) {
        let settled = self.settle().await;
        if let (Err(error), _) | (_, Err(error)) = (settled, self.upload.abort().await.map_err(StoreError::from)) {
            tracing::debug!(%error, "an upload that was given up left something in the store");
        }
    }
}
