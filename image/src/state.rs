//! What the handlers stand on, and what other components are given of it.

use std::{collections::HashMap, ops::Deref, sync::Arc};

use novella_common::{
    RequestContext,
    db::{
        Database, DbError,
        list::{Condition, List},
    },
    service::Shutdown,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    ImageConfig, access,
    cache::Cache,
    data,
    db::{Image, objects},
    status::ObjectState,
    store::StoreError,
    stores::Stores,
    uploads::Uploads,
};

/// The Image component. Clones share it.
#[derive(Clone, Debug)]
pub struct Images(Arc<Parts>);

/// The parts of [`Images`].
#[derive(Debug)]
pub struct Parts {
    pub(crate) database: Database,
    pub(crate) stores: Stores,
    pub(crate) config: ImageConfig,
    pub(crate) uploads: Uploads,
    pub(crate) cache: Cache,
}

impl Deref for Images {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Images {
    /// On this database and these stores.
    #[must_use]
    pub fn new(database: Database, stores: Stores, config: ImageConfig) -> Self {
        let cache = Cache::new(&config);
        Self(Arc::new(Parts { database, stores, config, uploads: Uploads::default(), cache }))
    }

    /// The images of these ids that whoever asks may use, in no order.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn find_many(&self, context: &RequestContext, ids: Vec<String>) -> Result<Vec<Image>, DbError> {
        let mut list = List::<Image>::all().filter(Condition::is_in("id", ids));
        if let Some(condition) = access::visible_to(context, None) {
            list = list.visible(condition);
        }
        Ok(list.page(&mut *self.database.read().await?).await?.unwrap_or_default())
    }

    /// Removes bytes that nobody needs from their store, and their rows. What can't be removed now is tried again later.
    pub(crate) async fn remove_doomed(&self, objects: Vec<Uuid>) {
        for object in objects {
            if let Err(error) = self.remove_object(object).await {
                tracing::warn!(%error, %object, "bytes that nobody needs are not removed from their store yet");
            }
        }
    }

    async fn remove_object(&self, object: Uuid) -> Result<(), Unremoved> {
        let row = objects::get(&mut *self.database.read().await?, object).await?;
        let Some(row) = row.filter(|row| row.state == ObjectState::Doomed) else { return Ok(()) };
        self.stores.of(&row.store)?.remove(object).await?;
        objects::forget(&mut *self.database.write().await?, object).await?;
        Ok(())
    }

    /// Gives up, from time to time, what somebody has begun who is gone, and removes what nobody needs, until `shutdown` is
    /// requested.
    pub fn sweep(&self, shutdown: &Shutdown) {
        let (images, stop) = (self.clone(), shutdown.clone());
        shutdown.spawn(async move {
            let mut watched = Watched::default();
            while stop.pause(images.config.upload_lease / 4).await {
                if let Err(error) = images.sweep_once(&mut watched).await {
                    tracing::warn!(%error, "uploads that were given up are not undone yet");
                }
                if let Err(error) = images.sweep_cache().await {
                    tracing::warn!(error, "the cache of images can't be looked through");
                }
            }
        });
    }

    async fn sweep_once(&self, watched: &mut Watched) -> Result<(), DbError> {
        let writing = objects::in_state(&mut *self.database.read().await?, ObjectState::Writing).await?;
        watched.0.retain(|id, _| writing.iter().any(|object| object.id == *id));
        for object in writing {
            let (renewals, since) = watched.0.entry(object.id).or_insert((object.renewals, Instant::now()));
            if *renewals != object.renewals {
                (*renewals, *since) = (object.renewals, Instant::now());
            } else if since.elapsed() >= self.config.upload_lease && data::give_up(&self.database, &object).await? {
                tracing::info!(image = object.image_id, "an upload was given up: whoever worked on it is gone");
            }
        }
        let doomed = objects::in_state(&mut *self.database.read().await?, ObjectState::Doomed).await?;
        self.remove_doomed(doomed.into_iter().map(|object| object.id).collect()).await;
        Ok(())
    }
}

/// Why bytes that nobody needs are still there.
#[derive(Debug, thiserror::Error)]
enum Unremoved {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// The signs of life that were seen of each upload: how many, and since when no more.
#[derive(Debug, Default)]
struct Watched(HashMap<Uuid, (i64, Instant)>);
