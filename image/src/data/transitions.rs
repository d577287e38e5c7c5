//! How an image gets its bytes: who writes them is decided by one compare-and-swap of its state, and what came of it by
//! another.

use std::collections::BTreeMap;

use jiff::Timestamp;
use novella_common::{
    db::{Connection, Database, DbError, Json, Transaction, quotas},
    sql,
};
use novella_rest::{ApiError, policy::Rule};
use serde_json::{Value, json};
use uuid::Uuid;

use super::receive::{Most, Received, check};
use crate::{
    Images, Request, access,
    db::{
        self, Image,
        objects::{self, Object},
    },
    status::{ObjectState, Status, TaskStatus},
};

/// The property that names the task which imports an image.
pub(super) const IMPORT_TASK: &str = "os_glance_import_task";
/// The stores to which an image is being imported, and those to which it could not be.
pub(super) const IMPORTING: &str = "os_glance_importing_to_stores";
pub(super) const FAILED: &str = "os_glance_failed_import";

/// Why an import failed whose process is gone.
const ENDED: &str = "The process that worked on it has ended.";

/// By which hash images are told.
const HASH: &str = "sha512";

/// Refuses a change of state that can't be.
///
/// # Errors
/// 409, or 400 for an image of which it is not said what its bytes are.
pub(super) fn check_next(image: &Image, next: Status) -> Result<(), ApiError> {
    let status = image.status;
    if !status.may_become(next) {
        return Err(ApiError::Conflict(format!("Image status transition from {status} to {next} is not allowed")));
    }
    let missing: Vec<&str> = [("disk_format", &image.disk_format), ("container_format", &image.container_format)]
        .into_iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name)
        .collect();
    match missing.as_slice() {
        _ if next == Status::Uploading => Ok(()),
        [] => Ok(()),
        [one] => Err(ApiError::bad_request(format!("Property {one} must be set prior to saving data."))),
        all => Err(ApiError::bad_request(format!("Properties {} must be set prior to saving data.", all.join(", ")))),
    }
}

/// Makes somebody the one who writes an image's bytes. `size`: how many there will be, if that is known.
///
/// # Errors
/// What the image or its state does not permit.
pub(super) async fn begin(
    request: &Request,
    transaction: &mut Transaction,
    id: &str,
    rule: Rule,
    (next, store): (Status, &str),
) -> Result<(Image, Uuid), ApiError> {
    let mut image = access::find_to_change(&request.context, transaction, id, rule).await?;
    check_next(&image, next)?;
    let object = objects::begin(transaction, id, store).await?;
    image.status = next;
    image.object = Some(object);
    db::update(transaction, &mut image).await?;
    Ok((image, object))
}

/// How much an image may have.
///
/// # Errors
/// 413 if that is known to be less than what comes.
pub(super) async fn most(
    images: &Images,
    connection: &mut Connection,
    image: &Image,
    size: Option<u64>,
) -> Result<Most, ApiError> {
    let quota = match (images.config.user_storage_quota, &image.owner) {
        (0, _) | (_, None) => None,
        (quota, Some(owner)) => {
            let used = db::usage(connection, owner, &image.id).await?;
            Some(quota.saturating_sub(u64::try_from(used).unwrap_or(0)))
        }
    };
    let most = Most { cap: images.config.image_size_cap, quota };
    check(size.unwrap_or(0), &most)?;
    Ok(most)
}

/// As [`most`], of bytes that have come: nobody else of the owner's takes what room there is until the transaction ends.
///
/// # Errors
/// 413 if there is too little.
pub(super) async fn take_room(
    images: &Images,
    transaction: &mut Connection,
    image: &Image,
    size: Option<i64>,
) -> Result<(), ApiError> {
    if images.config.user_storage_quota > 0
        && let Some(owner) = &image.owner
    {
        quotas::lock(transaction, &format!("images of {owner}")).await?;
    }
    most(images, transaction, image, size.and_then(|size| u64::try_from(size).ok())).await?;
    Ok(())
}

/// What a row of the bytes' says after they have come.
pub(super) fn kept(images: &Images, image: &Image, (store, object): (&str, Uuid), received: Received) -> Object {
    // Bytes in a container are the container's format.
    let findings = match (image.container_format.as_deref(), &image.disk_format) {
        (Some("bare"), Some(format)) => received.inspection.findings(format, images.config.require_image_format_match),
        _ => Default::default(),
    };
    Object {
        id: object,
        image_id: image.id.clone(),
        store: store.to_owned(),
        state: ObjectState::Kept,
        renewals: 0,
        size: i64::try_from(received.size).ok(),
        checksum: Some(received.checksum),
        os_hash_value: Some(received.os_hash_value),
        virtual_size: findings.virtual_size.and_then(|size| i64::try_from(size).ok()),
        refusal: findings.refusal,
    }
}

/// The image, if it is still as it was when its bytes began to come.
async fn unchanged(
    transaction: &mut Connection,
    id: &str,
    object: Uuid,
    status: Status,
) -> Result<Option<Image>, DbError> {
    let image = db::lock(transaction, id).await?;
    Ok(image.filter(|image| image.status == status && image.object == Some(object)))
}

/// 410: somebody has deleted it.
pub(super) fn gone(id: &str) -> ApiError {
    ApiError::Gone(format!(
        "Image {id} could not be found after upload. The image may have been deleted during the upload, cleaning up the \
         chunks uploaded."
    ))
}

/// All bytes have come: they are the image's, or wait to be imported.
///
/// # Errors
/// 410 if nobody wants them any more, 413 if others of the project have taken the room meanwhile, 415 if they may not be an
/// image's.
pub(super) async fn finish(images: &Images, from: Status, object: &Object) -> Result<(), ApiError> {
    let mut transaction = images.database.begin().await?;
    let id = &object.image_id;
    let image = unchanged(&mut transaction, id, object.id, from).await?;
    let mut image = image.ok_or_else(|| gone(id))?;
    if from != Status::Uploading
        && let Some(refusal) = &object.refusal
    {
        return Err(ApiError::UnsupportedContent(refusal.clone()));
    }
    take_room(images, &mut transaction, &image, object.size).await?;
    let state = if from == Status::Uploading { ObjectState::Staged } else { ObjectState::Kept };
    if !objects::keep(&mut transaction, &Object { state, ..object.clone() }).await? {
        return Err(gone(id));
    }
    image.size = object.size;
    if from != Status::Uploading {
        activate(&mut image, object);
    }
    db::update(&mut transaction, &mut image).await?;
    Ok(transaction.commit().await?)
}

/// The bytes are the image's.
pub(super) fn activate(image: &mut Image, object: &Object) {
    image.status = Status::Active;
    image.object = Some(object.id);
    image.size = object.size;
    image.virtual_size = object.virtual_size;
    image.checksum.clone_from(&object.checksum);
    image.os_hash_algo = Some(HASH.to_owned());
    image.os_hash_value.clone_from(&object.os_hash_value);
}

/// The bytes will not be the image's: it is as it was before, and they are to be removed.
///
/// # Errors
/// The database's. Whoever sees that nobody writes any more does this then.
pub(super) async fn undo(images: &Images, from: Status, id: &str, object: Uuid, why: &str) -> Result<(), DbError> {
    let mut transaction = images.database.begin().await?;
    if let Some(mut image) = unchanged(&mut transaction, id, object, from).await? {
        back_to_queued(&mut transaction, &mut image, &[], why).await?;
    }
    objects::doom(&mut transaction, object).await?;
    transaction.commit().await?;
    images.remove_doomed(vec![object]).await;
    Ok(())
}

/// An image whose bytes do not come. `failed`: the stores that they should have been imported to.
pub(super) async fn back_to_queued(
    transaction: &mut Connection,
    image: &mut Image,
    failed: &[String],
    why: &str,
) -> Result<(), DbError> {
    image.status = Status::Queued;
    image.object = None;
    image.size = None;
    image.virtual_size = None;
    if let Some(task) = end_import(&mut image.properties, failed) {
        end_task(transaction, &task, Err(why)).await?;
    }
    db::update(transaction, image).await
}

/// Says that an import is over, and into which stores it has not come. The task that it was.
pub(super) fn end_import(properties: &mut BTreeMap<String, String>, failed: &[String]) -> Option<String> {
    let task = properties.remove(IMPORT_TASK)?;
    properties.insert(IMPORTING.to_owned(), String::new());
    properties.insert(FAILED.to_owned(), failed.join(","));
    Some(task)
}

/// The stores that a property names.
pub(super) fn listed(properties: &BTreeMap<String, String>, name: &str) -> Vec<String> {
    let text = properties.get(name).map(String::as_str).unwrap_or_default();
    text.split(',').filter(|store| !store.is_empty()).map(ToOwned::to_owned).collect()
}

/// Takes a store from those that are being imported to.
pub(super) fn imported(properties: &mut BTreeMap<String, String>, store: &str) {
    let mut importing = listed(properties, IMPORTING);
    importing.retain(|other| other != store);
    properties.insert(IMPORTING.to_owned(), importing.join(","));
}

/// Ends a task.
pub(super) async fn end_task(
    transaction: &mut Connection,
    id: &str,
    result: Result<&Object, &str>,
) -> Result<(), DbError> {
    let (status, message, result) = match result {
        Ok(object) => {
            let copied = format!("Copied {} MiB", object.size.unwrap_or(0) >> 20);
            (TaskStatus::Success, copied, json!({"image_id": object.image_id}))
        }
        Err(why) => (TaskStatus::Failure, why.to_owned(), Value::Null),
    };
    let now = Timestamp::now();
    let expires = now + crate::tasks::KEPT_FOR;
    sql!(
        "UPDATE image_tasks SET status = " (status) ", message = " (message) ", result = " (Json(result)) ", updated_at = "
        (now) ", expires_at = " (expires) " WHERE id = " (id) " AND status IN ('pending', 'processing')"
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Does what the one should have done who wrote these bytes and is gone. Says whether he is.
pub(crate) async fn give_up(database: &Database, abandoned: &Object) -> Result<bool, DbError> {
    let mut transaction = database.begin().await?;
    let image = db::lock(&mut transaction, &abandoned.image_id).await?;
    if !objects::doom_abandoned(&mut transaction, abandoned).await? {
        return Ok(false);
    }
    if let Some(mut image) = image {
        let failed = [listed(&image.properties, FAILED), listed(&image.properties, IMPORTING)].concat();
        if image.object == Some(abandoned.id) || image.status == Status::Importing {
            objects::doom_all(&mut transaction, &image.id).await?;
            back_to_queued(&mut transaction, &mut image, &failed, ENDED).await?;
        } else if image.properties.contains_key(IMPORT_TASK) {
            end_copy(&mut transaction, &mut image, &abandoned.store).await?;
        }
    }
    transaction.commit().await?;
    Ok(true)
}

/// An image that has its bytes does not get those that were to come into this store, too.
async fn end_copy(transaction: &mut Connection, image: &mut Image, store: &str) -> Result<(), DbError> {
    imported(&mut image.properties, store);
    let mut failed = listed(&image.properties, FAILED);
    failed.push(store.to_owned());
    if listed(&image.properties, IMPORTING).is_empty() {
        if let Some(task) = end_import(&mut image.properties, &failed) {
            end_task(transaction, &task, Err(ENDED)).await?;
        }
    } else {
        image.properties.insert(FAILED.to_owned(), failed.join(","));
    }
    db::update(transaction, image).await
}
