//! `/servers/{id}/tags`: words that users put on a server.

use std::collections::{BTreeSet, HashMap};

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use novella_common::{
    db::{Connection, DbError, Sql, list::Condition},
    ids::InstanceUuid,
    lifecycle::VmState,
    models::Instance,
    sql,
};
use novella_rest::{ApiError, Operation, Path, delete, get, put, value_body};
use serde::{Deserialize, Deserializer, de};

use crate::{Request, policy, state::Api};

/// Tags that one server may have, as in Nova.
const MAX_TAGS: usize = 50;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ALL: &str = "/servers/{server_id}/tags";
    const ONE: &str = "/servers/{server_id}/tags/{tag}";
    vec![
        get(ALL, policy::SERVER_TAGS_INDEX, index).since(26).any_query().answers::<Tags>("tags"),
        put(ALL, policy::SERVER_TAGS_UPDATE_ALL, replace).since(26).answers::<Tags>("tags"),
        delete(ALL, policy::SERVER_TAGS_DELETE_ALL, remove_all).since(26).status(204),
        get(ONE, policy::SERVER_TAGS_SHOW, show).since(26).any_query().status(204),
        put(ONE, policy::SERVER_TAGS_UPDATE, add).since(26).status(201),
        delete(ONE, policy::SERVER_TAGS_DELETE, remove).since(26).status(204),
    ]
}

/// A tag of 1 to 60 characters, without a slash or a comma.
#[derive(Debug)]
pub(super) struct Tag;

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_tag(&text) { Ok(Self) } else { Err(de::Error::custom(format!("'{text}' is no tag: {RIGHT}"))) }
    }
}

/// A server's tags: each of 1 to 60 characters, without a slash or a comma.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags(pub(super) BTreeSet<String>);

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tags = Vec::<String>::deserialize(deserializer)?;
        if tags.len() > MAX_TAGS {
            return Err(de::Error::custom(format!("it has more than {MAX_TAGS} entries")));
        }
        match tags.iter().find(|tag| !is_tag(tag)) {
            Some(wrong) => Err(de::Error::custom(format!("'{wrong}' is no tag: {RIGHT}"))),
            None => Ok(Self(tags.into_iter().collect())),
        }
    }
}

novella_rest::documented_as! {
    Tag => String;
    Tags => Array;
}

value_body! {
    /// `PUT /servers/{id}/tags`.
    struct NewTags(Tags) in "tags";
}

/// What a tag is.
pub(super) const RIGHT: &str = "a tag has 1 to 60 characters, and neither '/' nor ','";

/// Whether a text is a tag, also of a device.
pub(super) fn is_tag(text: &str) -> bool {
    (1..=60).contains(&text.chars().count()) && !text.contains(['/', ','])
}

/// The tags of each of these servers, in one query.
pub(super) async fn of(
    connection: &mut Connection,
    servers: &[InstanceUuid],
) -> Result<HashMap<InstanceUuid, Vec<String>>, DbError> {
    let mut sql = Sql::new("SELECT instance_uuid, tag FROM instance_tags WHERE instance_uuid");
    sql.is_in(servers).push(" ORDER BY instance_uuid, tag");
    let mut tags: HashMap<InstanceUuid, Vec<String>> = HashMap::new();
    for (server, tag) in sql.fetch_all::<(InstanceUuid, String)>(connection).await? {
        tags.entry(server).or_default().push(tag);
    }
    Ok(tags)
}

/// Adds tags to servers; those that are there already stay.
pub(super) async fn insert(connection: &mut Connection, servers: &[InstanceUuid], tags: &Tags) -> Result<(), DbError> {
    let pairs: Vec<_> = servers.iter().flat_map(|server| tags.0.iter().map(move |tag| (server, tag))).collect();
    // SQLite binds at most 32766 values in a statement.
    for part in pairs.chunks(10_000) {
        let mut sql = Sql::new("INSERT INTO instance_tags (instance_uuid, tag) ");
        sql.rows(part, |(server, tag), cells| {
            cells.bind(*server).bind(*tag);
        });
        sql.push(" ON CONFLICT DO NOTHING").execute(connection).await?;
    }
    Ok(())
}

/// `tags`, `tags-any` and their opposites: servers that have all of these tags, or one of them, or not so.
pub(super) fn condition(name: &str, text: &str) -> Condition {
    let wanted: BTreeSet<&str> = text.split(',').collect();
    let all = matches!(name, "tags" | "not-tags");
    let least = if all { i64::try_from(wanted.len()).unwrap_or(i64::MAX) } else { 1 };
    let mut sql = Sql::new(if name.starts_with("not-") { "NOT " } else { "" });
    sql.push("(SELECT COUNT(*) FROM instance_tags t WHERE t.instance_uuid = instances.uuid AND t.tag");
    sql.is_in(wanted).push(") >= ").bind(&least);
    Condition::raw(sql)
}

async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let server = super::find(&request, &id).await?;
    let tags = of(&mut *request.state.database.read().await?, &[server.uuid]).await?.remove(&server.uuid);
    Ok(request.plain("tags", tags.unwrap_or_default()))
}

async fn show(request: Request, Path((id, tag)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let server = super::find(&request, &id).await?;
    let tags = of(&mut *request.state.database.read().await?, &[server.uuid]).await?;
    if tags.get(&server.uuid).is_some_and(|tags| tags.contains(&tag)) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found(format!("Server {id} has no tag '{tag}'")))
}

async fn replace(request: Request, Path(id): Path<String>, NewTags(tags): NewTags) -> Result<Response, ApiError> {
    let server = changeable(&request, &id, "update tags").await?;
    let mut transaction = request.state.database.begin().await?;
    sql!("DELETE FROM instance_tags WHERE instance_uuid = "(server.uuid)).execute(&mut transaction).await?;
    insert(&mut transaction, &[server.uuid], &tags).await?;
    transaction.commit().await?;
    Ok(request.plain("tags", tags.0))
}

async fn add(request: Request, Path((id, tag)): Path<(String, String)>) -> Result<Response, ApiError> {
    let server = changeable(&request, &id, "update tag").await?;
    if !is_tag(&tag) {
        return Err(ApiError::bad_request(format!("Tag '{tag}' is invalid: {RIGHT}.")));
    }
    let mut transaction = request.state.database.begin().await?;
    let present = of(&mut transaction, &[server.uuid]).await?.remove(&server.uuid).unwrap_or_default();
    if present.contains(&tag) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if present.len() >= MAX_TAGS {
        return Err(ApiError::bad_request(format!("The number of tags exceeded the per-server limit {MAX_TAGS}")));
    }
    insert(&mut transaction, &[server.uuid], &Tags([tag.clone()].into())).await?;
    transaction.commit().await?;
    let location = request.links.to(&format!("servers/{id}/tags/{tag}"));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

async fn remove(request: Request, Path((id, tag)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let server = changeable(&request, &id, "delete tag").await?;
    let mut delete = sql!("DELETE FROM instance_tags WHERE instance_uuid = " (server.uuid) " AND tag = " (tag));
    if !delete.execute_one(&mut *request.state.database.write().await?).await? {
        return Err(ApiError::not_found(format!("Server {id} has no tag '{tag}'")));
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_all(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let server = changeable(&request, &id, "delete tags").await?;
    let mut delete = sql!("DELETE FROM instance_tags WHERE instance_uuid = "(server.uuid));
    delete.execute(&mut *request.state.database.write().await?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The server, if its tags may be changed in the state it is in.
async fn changeable(request: &Request, id: &str, verb: &str) -> Result<Instance, ApiError> {
    let server = super::find(request, id).await?;
    match server.vm_state {
        VmState::Active | VmState::Paused | VmState::Suspended | VmState::Stopped => Ok(server),
        state => Err(ApiError::Conflict(format!("Cannot '{verb}' instance {id} while it is in vm_state {state}"))),
    }
}
