//! What an import does after its answer: bytes are fetched, and copied from store to store.
//!
//! Each store that they are to come into has its row of `image_objects` before the answer, and this process says of each of
//! them that it lives. A row becomes something else than `writing` only together with what it means for the image: so
//! wherever this process ends, somebody finds a row of an import that is not over.
//!
//! With `all_stores_must_succeed` an image is active when its bytes are in all stores; otherwise when they are in one.

use std::time::Duration;

use novella_common::db::{Connection, DbError};
use novella_rest::ApiError;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    fetch::{self, Source},
    receive::{Most, alive, receive},
    transitions::{IMPORT_TASK, activate, back_to_queued, end_import, end_task, gone, imported, take_room},
};
use crate::{
    Images,
    db::{
        self, Image,
        objects::{self, Object},
    },
    status::{ObjectState, Status},
};

/// An import that goes on.
pub(super) struct Copying {
    /// The image as it was when it began.
    pub(super) image: Image,
    pub(super) task: String,
    pub(super) bytes: Bytes,
    /// Whether where they are is one of the stores that the import is into.
    pub(super) is_present: bool,
    /// The other stores.
    pub(super) targets: Vec<Target>,
    pub(super) must_succeed: bool,
    pub(super) most: Most,
    /// How long each piece may be waited for.
    pub(super) idle: Duration,
}

/// Where bytes come from.
pub(super) enum Bytes {
    /// A URL.
    Behind(Source),
    /// A store.
    In(Object),
}

/// Where they go to.
pub(super) struct Target {
    pub(super) store: String,
    pub(super) object: Uuid,
}

/// What came of it so far.
#[derive(Default)]
struct Outcome {
    /// Where bytes are, the first first.
    there: Vec<Object>,
    failed: Vec<String>,
    why: String,
}

impl Outcome {
    fn fail(&mut self, store: &str, why: String) {
        self.failed.push(store.to_owned());
        self.why = why;
    }
}

impl Copying {
    /// Goes on in a task of its own. What becomes of it is in the image and its task.
    pub(super) fn start(self, images: Images) {
        let work = async move {
            let signs = self.targets.iter().map(|target| alive(&images, target.object, CancellationToken::new()));
            let _alive: Vec<_> = signs.collect();
            let outcome = self.copy(&images).await;
            if !outcome.failed.is_empty() {
                let (image, stores) = (&self.image.id, outcome.failed.join(","));
                tracing::info!(image, stores, why = outcome.why, "bytes of an image did not come into a store");
            }
            if let Err(error) = self.end(&images, outcome).await {
                tracing::warn!(%error, image = self.image.id, "an import is not ended yet");
            }
        };
        tokio::spawn(work.in_current_span());
    }

    async fn copy(&self, images: &Images) -> Outcome {
        let mut outcome = Outcome::default();
        if let (Bytes::In(object), true) = (&self.bytes, self.is_present) {
            outcome.there.push(object.clone());
        }
        for (index, target) in self.targets.iter().enumerate() {
            let came = async {
                let object = self.bring(images, &outcome, target).await?;
                // The last comes to be with the end of the import.
                if index + 1 < self.targets.len() {
                    self.keep(images, &object).await.map_err(|error| error.to_string())?;
                }
                Ok(object)
            };
            match came.await {
                Ok(object) => outcome.there.push(object),
                Err(why) => {
                    outcome.fail(&target.store, why);
                    if self.must_succeed {
                        break;
                    }
                }
            }
        }
        outcome
    }

    /// Brings bytes into a store.
    async fn bring(&self, images: &Images, outcome: &Outcome, target: &Target) -> Result<Object, String> {
        let Self { image, most, idle, .. } = self;
        let place = (target.store.as_str(), target.object);
        let from = match (&self.bytes, outcome.there.first()) {
            (Bytes::Behind(source), None) => return fetch::fetch(images, image, place, source, most, *idle).await,
            (Bytes::Behind(_), Some(first)) => first,
            (Bytes::In(from), _) => from,
        };
        let size = from.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let store = images.stores.of(&from.store).map_err(|error| error.to_string())?;
        let bytes = store.read(from.id, 0..size).await.map_err(|error| error.to_string())?;
        let received = receive(images, place, bytes, most, *idle).await.map_err(|error| error.to_string())?;
        if from.checksum.as_ref().is_some_and(|checksum| *checksum != received.checksum) {
            return Err(format!("The bytes in store {} are not the image's any more.", from.store));
        }
        Ok(Object { id: target.object, store: target.store.clone(), state: ObjectState::Kept, ..from.clone() })
    }

    /// The image, if this import of it still goes on.
    async fn image(&self, transaction: &mut Connection) -> Result<Option<Image>, DbError> {
        let image = db::lock(transaction, &self.image.id).await?;
        Ok(image.filter(|image| image.properties.get(IMPORT_TASK) == Some(&self.task)))
    }

    /// Bytes are in a store, and others are still to come.
    async fn keep(&self, images: &Images, object: &Object) -> Result<(), ApiError> {
        let mut transaction = images.database.begin().await?;
        let mut image = self.image(&mut transaction).await?.ok_or_else(|| gone(&self.image.id))?;
        self.make_its_own(images, &mut transaction, &mut image, object).await?;
        imported(&mut image.properties, &object.store);
        if !self.must_succeed && image.status == Status::Importing {
            activate(&mut image, object);
        }
        db::update(&mut transaction, &mut image).await?;
        Ok(transaction.commit().await?)
    }

    async fn make_its_own(
        &self,
        images: &Images,
        transaction: &mut Connection,
        image: &mut Image,
        object: &Object,
    ) -> Result<(), ApiError> {
        take_room(images, transaction, image, object.size).await?;
        if objects::keep(transaction, object).await? { Ok(()) } else { Err(gone(&image.id)) }
    }

    /// Ends the import, well if it may be so.
    async fn end(&self, images: &Images, mut outcome: Outcome) -> Result<(), ApiError> {
        let is_well = !outcome.there.is_empty() && (outcome.failed.is_empty() || !self.must_succeed);
        if is_well {
            let Err(error) = self.end_well(images, &outcome).await else { return Ok(()) };
            let last = outcome.there.pop().map(|object| object.store).unwrap_or_default();
            outcome.fail(&last, error.to_string());
        }
        self.end_badly(images, &outcome).await
    }

    async fn end_well(&self, images: &Images, outcome: &Outcome) -> Result<(), ApiError> {
        let mut transaction = images.database.begin().await?;
        let mut image = self.image(&mut transaction).await?.ok_or_else(|| gone(&self.image.id))?;
        let last = outcome.there.last().filter(|object| self.is_last(object));
        if let Some(last) = last {
            self.make_its_own(images, &mut transaction, &mut image, last).await?;
        }
        if let (Some(first), Status::Importing) = (outcome.there.first(), image.status) {
            activate(&mut image, first);
        }
        let mut doomed: Vec<Uuid> = self.failed(outcome).collect();
        if let (Bytes::In(staged), false) = (&self.bytes, self.is_present || self.image.status == Status::Active) {
            doomed.push(staged.id);
        }
        end_import(&mut image.properties, &outcome.failed);
        if let Some(first) = outcome.there.first() {
            end_task(&mut transaction, &self.task, Ok(first)).await?;
        }
        for object in &doomed {
            objects::doom(&mut transaction, *object).await?;
        }
        db::update(&mut transaction, &mut image).await?;
        transaction.commit().await?;
        images.remove_doomed(doomed).await;
        Ok(())
    }

    /// Undoes what was done, or what of it nobody waits for any more.
    async fn end_badly(&self, images: &Images, outcome: &Outcome) -> Result<(), ApiError> {
        let mut transaction = images.database.begin().await?;
        let mut doomed: Vec<Uuid> = self.targets.iter().map(|target| target.object).collect();
        for object in &doomed {
            objects::doom(&mut transaction, *object).await?;
        }
        if let Some(mut image) = self.image(&mut transaction).await? {
            if image.status == Status::Importing {
                objects::doom_all(&mut transaction, &image.id).await?;
                back_to_queued(&mut transaction, &mut image, &outcome.failed, &outcome.why).await?;
            } else {
                end_import(&mut image.properties, &outcome.failed);
                end_task(&mut transaction, &self.task, Err(&outcome.why)).await?;
                db::update(&mut transaction, &mut image).await?;
            }
            doomed.extend(objects::doomed_of(&mut transaction, &image.id).await?);
        }
        transaction.commit().await?;
        images.remove_doomed(doomed).await;
        Ok(())
    }

    fn is_last(&self, object: &Object) -> bool {
        self.targets.last().is_some_and(|target| target.object == object.id)
    }

    /// What was written in vain.
    fn failed<'a>(&'a self, outcome: &'a Outcome) -> impl Iterator<Item = Uuid> + 'a {
        let failed = |target: &&Target| outcome.failed.contains(&target.store);
        self.targets.iter().filter(failed).map(|target| target.object)
    }
}
