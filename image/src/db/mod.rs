//! The tables of Image, and what is asked of them.

mod model;
pub(crate) mod objects;

use jiff::Timestamp;
use novella_common::{
    db::{
        Bind as _, Connection, DbError,
        list::{Condition, Direction, List, SortKey},
        table::{self, select},
    },
    sql,
};

pub use model::Image;
pub(crate) use model::{Member, Task};

use crate::status::MemberStatus;

/// Adds an image.
///
/// # Errors
/// An id that is taken (see [`DbError::is_unique_violation`]).
pub async fn insert(connection: &mut Connection, image: &Image) -> Result<(), DbError> {
    table::insert(connection, image).await
}

/// The image with this id, whoever may see it.
///
/// # Errors
/// The database can't be read.
pub async fn get(connection: &mut Connection, id: &str) -> Result<Option<Image>, DbError> {
    // What can't be bound names nothing.
    if id.to_value().is_err() {
        return Ok(None);
    }
    select::<Image>().push(" WHERE id = ").bind(id).fetch_optional(connection).await
}

/// The same, and nobody else changes it until the transaction ends.
pub(crate) async fn lock(transaction: &mut Connection, id: &str) -> Result<Option<Image>, DbError> {
    if id.to_value().is_err() {
        return Ok(None);
    }
    table::lock::<Image, _>(transaction, id).await
}

/// Writes an image that was changed.
pub(crate) async fn update(transaction: &mut Connection, image: &mut Image) -> Result<(), DbError> {
    image.updated_at = Timestamp::now();
    table::update(transaction, &image.id, image).await?;
    Ok(())
}

/// Deletes an image: its id is never given again, and its bytes are to be removed. Those that somebody writes he removes
/// himself, since nobody wants them any more.
pub(crate) async fn delete(transaction: &mut Connection, id: &str) -> Result<(), DbError> {
    objects::doom_all(transaction, id).await?;
    sql!("DELETE FROM images WHERE id = "(id)).execute(transaction).await?;
    sql!("INSERT INTO deleted_images (id, deleted_at) VALUES ("(id)", "(Timestamp::now())")")
        .execute(transaction)
        .await?;
    Ok(())
}

/// Whether there was an image of this id.
pub(crate) async fn was_deleted(connection: &mut Connection, id: &str) -> Result<bool, DbError> {
    let found: Option<String> =
        sql!("SELECT id FROM deleted_images WHERE id = "(id)).fetch_optional(connection).await?;
    Ok(found.is_some())
}

/// A member of an image.
pub(crate) async fn member(connection: &mut Connection, image: &str, member: &str) -> Result<Option<Member>, DbError> {
    if member.to_value().is_err() {
        return Ok(None);
    }
    let mut sql = select::<Member>();
    sql.push(" WHERE image_id = ").bind(image).push(" AND member_id = ").bind(member).fetch_optional(connection).await
}

/// Images of which this project is a member: all, or those that it says this of.
pub(crate) fn shared_with(project: &str, status: Option<MemberStatus>) -> Condition {
    let mut sql =
        sql!("visibility = 'shared' AND id IN (SELECT image_id FROM image_members WHERE member_id = "(project));
    if let Some(status) = status {
        sql.push(" AND status = ").bind(&status);
    }
    sql.push(")");
    Condition::raw(sql)
}

/// Bytes that a project's images have, but for one.
pub(crate) async fn usage(connection: &mut Connection, owner: &str, without: &str) -> Result<i64, DbError> {
    let used: Option<i64> = sql!(
        "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM images WHERE owner = " (owner) " AND id <> " (without)
    )
    .fetch_optional(connection)
    .await?;
    Ok(used.unwrap_or(0))
}

/// Members of an image, in order.
pub(crate) async fn members(connection: &mut Connection, image: &str) -> Result<Vec<Member>, DbError> {
    select::<Member>()
        .push(" WHERE image_id = ")
        .bind(image)
        .push(" ORDER BY created_at, member_id")
        .fetch_all(connection)
        .await
}

/// Tasks that were made for an image, the oldest first.
pub(crate) async fn tasks_of(connection: &mut Connection, image: &str) -> Result<Vec<Task>, DbError> {
    List::<Task>::all()
        .filter(Condition::equal("image_id", image))
        .sort(SortKey::time("created_at"), Direction::Ascending)
        .page(connection)
        .await
        .map(Option::unwrap_or_default)
}
