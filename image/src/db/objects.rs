//! Bytes in the store: who writes them, whose they are, and which nobody needs.
//!
//! ```text
//!      ┌──staged──▶ staged ──imported──┐
//!   writing ──────all there──────────▶ kept ──image deleted──▶ doomed ──removed from the store──▶ (no row)
//!      └──refused, interrupted, unwanted, or its writer is gone──────────▲
//! ```
//!
//! An image in several stores has a row for each: all its kept ones.
//!
//! Whoever writes counts `renewals` up. A row in which it stands still has lost its writer: whoever sees that for as long as
//! the lease dooms it, by his own clock.

use novella_common::{
    db::{Connection, DbError, table::select},
    sql, table,
};
use uuid::Uuid;

use crate::status::ObjectState;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) id: Uuid,
    pub(crate) image_id: String,
    /// In which store.
    pub(crate) store: String,
    pub(crate) state: ObjectState,
    pub(crate) renewals: i64,
    pub(crate) size: Option<i64>,
    pub(crate) checksum: Option<String>,
    pub(crate) os_hash_value: Option<String>,
    pub(crate) virtual_size: Option<i64>,
    /// Why they can't be an image's.
    pub(crate) refusal: Option<String>,
}

table! {
    Object in "image_objects", key uuid "id";
    id,
    image_id,
    store,
    state,
    renewals,
    size,
    checksum,
    os_hash_value,
    virtual_size,
    refusal,
}

/// Says that bytes will be written for an image.
pub(crate) async fn begin(transaction: &mut Connection, image: &str, store: &str) -> Result<Uuid, DbError> {
    let id = Uuid::new_v4();
    sql!(
        "INSERT INTO image_objects (id, image_id, store, state) VALUES (" (id) ", " (image) ", " (store) ", "
        (ObjectState::Writing) ")"
    )
    .execute(transaction)
    .await?;
    Ok(id)
}

/// A row.
pub(crate) async fn get(connection: &mut Connection, id: Uuid) -> Result<Option<Object>, DbError> {
    select::<Object>().push(" WHERE id = ").bind(&id).fetch_optional(connection).await
}

/// The sign of life of whoever writes; says whether the bytes are still wanted.
pub(crate) async fn renew(connection: &mut Connection, id: Uuid) -> Result<bool, DbError> {
    sql!(
        "UPDATE image_objects SET renewals = renewals + 1 WHERE id = " (id) " AND state = " (ObjectState::Writing)
        " AND EXISTS (SELECT 1 FROM images WHERE images.id = image_objects.image_id)"
    )
    .execute_one(connection)
    .await
}

/// All bytes are there, kept or staged. Says whether they are still wanted.
pub(crate) async fn keep(transaction: &mut Connection, object: &Object) -> Result<bool, DbError> {
    sql!(
        "UPDATE image_objects SET state = " (object.state) ", size = " (object.size) ", checksum = " (object.checksum)
        ", os_hash_value = " (object.os_hash_value) ", virtual_size = " (object.virtual_size) ", refusal = " (object.refusal)
        " WHERE id = " (object.id) " AND state = " (ObjectState::Writing)
    )
    .execute_one(transaction)
    .await
}

/// What was staged is the image's.
pub(crate) async fn keep_staged(transaction: &mut Connection, id: Uuid) -> Result<(), DbError> {
    sql!("UPDATE image_objects SET state = "(ObjectState::Kept)" WHERE id = "(id)).execute(transaction).await?;
    Ok(())
}

/// Where an image's bytes are.
pub(crate) async fn copies(connection: &mut Connection, image: &str) -> Result<Vec<Object>, DbError> {
    let mut sql = select::<Object>();
    sql.push(" WHERE image_id = ").bind(image).push(" AND state = ").bind(&ObjectState::Kept).push(" ORDER BY id");
    sql.fetch_all(connection).await
}

/// Where the bytes of these images are.
pub(crate) async fn copies_of(connection: &mut Connection, images: Vec<String>) -> Result<Vec<Object>, DbError> {
    let mut sql = select::<Object>();
    sql.push(" WHERE state = ").bind(&ObjectState::Kept).push(" AND image_id").is_in(images);
    sql.fetch_all(connection).await
}

/// Nobody needs what is there of an image's bytes any more, staged or in whatever store.
pub(crate) async fn doom_all(transaction: &mut Connection, image: &str) -> Result<(), DbError> {
    sql!(
        "UPDATE image_objects SET state = " (ObjectState::Doomed) " WHERE image_id = " (image) " AND state IN ("
        (ObjectState::Kept) ", " (ObjectState::Staged) ")"
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Nobody needs these bytes any more.
pub(crate) async fn doom(transaction: &mut Connection, id: Uuid) -> Result<(), DbError> {
    sql!("UPDATE image_objects SET state = "(ObjectState::Doomed)" WHERE id = "(id)).execute(transaction).await?;
    Ok(())
}

/// As [`doom`], if the writer has not given a sign of life since.
pub(crate) async fn doom_abandoned(transaction: &mut Connection, object: &Object) -> Result<bool, DbError> {
    sql!(
        "UPDATE image_objects SET state = " (ObjectState::Doomed) " WHERE id = " (object.id) " AND state = "
        (ObjectState::Writing) " AND renewals = " (object.renewals)
    )
    .execute_one(transaction)
    .await
}

/// The bytes are gone.
pub(crate) async fn forget(connection: &mut Connection, id: Uuid) -> Result<(), DbError> {
    sql!("DELETE FROM image_objects WHERE id = "(id)" AND state = "(ObjectState::Doomed)).execute(connection).await?;
    Ok(())
}

/// Some rows in this state.
pub(crate) async fn in_state(connection: &mut Connection, state: ObjectState) -> Result<Vec<Object>, DbError> {
    select::<Object>().push(" WHERE state = ").bind(&state).push(" ORDER BY id LIMIT 1000").fetch_all(connection).await
}

/// What is to be removed of an image.
pub(crate) async fn doomed_of(connection: &mut Connection, image: &str) -> Result<Vec<Uuid>, DbError> {
    sql!("SELECT id FROM image_objects WHERE image_id = "(image)" AND state = "(ObjectState::Doomed))
        .fetch_all(connection)
        .await
}
