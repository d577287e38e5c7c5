//! `GET /image/v2/images`.

use axum::Json;
use novella_common::{
    RequestContext,
    db::list::{Direction, List, SortKey},
};
use novella_rest::{ApiError, FieldTable, Parameters, field};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Images, Request,
    access::{no_image, visible_to},
    db::Image,
    filters,
    status::{MemberStatus, Visibility},
    view::{ImageView, shown},
};

/// Glance's page when no limit is given.
const DEFAULT_LIMIT: i64 = 25;

/// Whatever else a query has is a property that images must have.
pub(crate) const QUERY: FieldTable = FieldTable(&[
    field("name"),
    field("id"),
    field("status"),
    field("visibility"),
    field("member_status"),
    field("owner"),
    field("disk_format"),
    field("container_format"),
    field("protected"),
    field("os_hidden"),
    field("checksum"),
    field("os_hash_algo"),
    field("os_hash_value"),
    field("tag"),
    field("size"),
    field("size_min"),
    field("size_max"),
    field("min_disk"),
    field("min_ram"),
    field("created_at"),
    field("updated_at"),
    field("limit"),
    field("marker"),
    field("sort_key"),
    field("sort_dir"),
    field("sort"),
]);

/// `{"images": [...]}`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImagesBody {
    images: Vec<ImageView>,
    first: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    schema: &'static str,
}

/// Lists images.
pub(crate) async fn index(request: Request) -> Result<Json<ImagesBody>, ApiError> {
    let query = &request.query;
    let limit = limit(query)?.unwrap_or(DEFAULT_LIMIT).min(i64::from(request.config.max_limit));
    let found = find(&request.state, &request.context, query, limit).await?;
    let full = i64::try_from(found.len()).is_ok_and(|len| len >= limit && len > 0);
    let next = found.last().filter(|_| full).map(|last| page(query, Some(&last.id)));
    Ok(Json(ImagesBody {
        images: shown(&request.state, found).await?,
        first: page(query, None),
        next,
        schema: "/v2/schemas/images",
    }))
}

/// The images that a query asks for, at most so many.
pub(crate) async fn find(
    images: &Images,
    context: &RequestContext,
    query: &Parameters,
    limit: i64,
) -> Result<Vec<Image>, ApiError> {
    let mut list = List::<Image>::all();
    let members = member_status(query)?;
    // The marker's image need only be one that the caller may know of.
    if let Some(condition) = visible_to(context, None) {
        list = list.visible(condition);
    }
    if let Some(condition) = visible_to(context, members).filter(|_| members.is_some()) {
        list = list.filter(condition);
    }
    for condition in filters::conditions(query, context)? {
        list = list.filter(condition);
    }
    for (key, direction) in order(query)? {
        list = list.sort(key, direction);
    }
    let marker = query.get("marker");
    let list = list.marker_text(marker).limit(limit);
    let found = list.page(&mut *images.database.read().await?).await?;
    let no_marker = || match no_image(marker.unwrap_or_default()) {
        ApiError::NotFound(text) => ApiError::BadRequest(text),
        other => other,
    };
    found.ok_or_else(no_marker)
}

/// Where the page after this image is.
fn page(query: &Parameters, after: Option<&str>) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(query.iter().filter(|(name, _)| *name != "marker"));
    text.extend_pairs(after.map(|id| ("marker", id)));
    match text.finish().as_str() {
        "" => "/v2/images".to_owned(),
        query => format!("/v2/images?{query}"),
    }
}

/// How many are wanted.
pub(crate) fn limit(query: &Parameters) -> Result<Option<i64>, ApiError> {
    let Some(text) = query.get("limit") else { return Ok(None) };
    match text.trim().parse::<i64>() {
        Ok(limit) if limit >= 0 => Ok(Some(limit)),
        Ok(_) => Err(ApiError::bad_request("limit param must be positive")),
        Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(i64::MAX)),
        Err(_) => Err(ApiError::bad_request("limit param must be an integer")),
    }
}

/// Which images that are shared with the project are wanted; `None`: whatever it says of them.
fn member_status(query: &Parameters) -> Result<Option<MemberStatus>, ApiError> {
    match query.get("member_status") {
        None => Ok(Some(MemberStatus::Accepted)),
        Some("all") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| ApiError::bad_request(format!("Invalid status: {text}"))),
    }
}

/// The visibility that is asked for.
pub(crate) fn visibility(query: &Parameters) -> Result<Wanted, ApiError> {
    match query.get("visibility") {
        None | Some("") => Ok(Wanted::Usual),
        Some("all") => Ok(Wanted::All),
        Some(text) => {
            let refused = |_| ApiError::bad_request(format!("Invalid visibility value: {text}"));
            text.parse().map(Wanted::Only).map_err(refused)
        }
    }
}

/// Which images are wanted, of those that may be seen.
pub(crate) enum Wanted {
    /// All but those of others that are for whoever asks for them.
    Usual,
    /// All.
    All,
    /// These.
    Only(Visibility),
}

/// What the list can be sorted by, in Glance's order.
const SORT_KEYS: [(&str, SortKey); 8] = [
    ("name", SortKey::text("name").nullable()),
    ("status", SortKey::text("status")),
    ("container_format", SortKey::text("container_format").nullable()),
    ("disk_format", SortKey::text("disk_format").nullable()),
    ("size", SortKey::int("size").nullable()),
    ("id", SortKey::text("id")),
    ("created_at", SortKey::time("created_at")),
    ("updated_at", SortKey::time("updated_at")),
];

fn sort_key(word: &str) -> Result<(&'static str, SortKey), ApiError> {
    SORT_KEYS.into_iter().find(|(name, _)| *name == word).ok_or_else(|| {
        let names = SORT_KEYS.map(|(name, _)| name).join(", ");
        ApiError::bad_request(format!("Invalid sort key: {word}. It must be one of the following: {names}."))
    })
}

fn direction(word: &str) -> Result<Direction, ApiError> {
    match word {
        "asc" => Ok(Direction::Ascending),
        "desc" => Ok(Direction::Descending),
        other => Err(ApiError::bad_request(format!("Invalid sort direction: {other}"))),
    }
}

/// `sort_key` and `sort_dir`, each as often as one likes, or `sort=key:direction,...`.
fn order(query: &Parameters) -> Result<Vec<(SortKey, Direction)>, ApiError> {
    let (mut keys, mut directions) = (Vec::new(), Vec::new());
    if let Some(sort) = query.get("sort") {
        if query.get("sort_key").is_some() || query.get("sort_dir").is_some() {
            return Err(ApiError::bad_request("Old and new sorting syntax cannot be combined"));
        }
        for part in sort.trim().split(',') {
            let (key, word) = part.split_once(':').unwrap_or((part, ""));
            keys.push(sort_key(key.trim())?);
            directions.push(direction(if word.is_empty() { "desc" } else { word.trim() })?);
        }
    } else {
        for word in query.all("sort_key") {
            keys.push(sort_key(word.trim())?);
        }
        for word in query.all("sort_dir") {
            directions.push(direction(word.trim())?);
        }
        if directions.len() > 1 && directions.len() != keys.len() {
            return Err(ApiError::bad_request("Number of sort dirs does not match the number of sort keys"));
        }
    }
    // One direction is that of all keys.
    let only = match directions.as_slice() {
        [one] => *one,
        _ => Direction::Descending,
    };
    let mut order: Vec<(&str, SortKey, Direction)> = Vec::new();
    for (index, (name, key)) in keys.into_iter().enumerate() {
        if !order.iter().any(|(known, ..)| *known == name) {
            order.push((name, key, directions.get(index).copied().unwrap_or(only)));
        }
    }
    for name in ["created_at", "id"] {
        if !order.iter().any(|(known, ..)| *known == name) {
            let (name, key) = sort_key(name)?;
            order.push((name, key, only));
        }
    }
    Ok(order.into_iter().map(|(_, key, direction)| (key, direction)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(query: &str) -> Result<Vec<(SortKey, Direction)>, String> {
        let uri = format!("/?{query}").parse().unwrap();
        order(&Parameters::of_uri(&uri).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn both_ways_to_say_an_order_come_to_the_same_and_every_order_is_total() {
        use Direction::{Ascending, Descending};
        let (time, id) = (SortKey::time("created_at"), SortKey::text("id"));
        let (name, size) = (SortKey::text("name").nullable(), SortKey::int("size").nullable());
        assert_eq!(sorted("").unwrap(), [(time, Descending), (id, Descending)]);
        assert_eq!(sorted("sort_dir=asc").unwrap(), [(time, Ascending), (id, Ascending)]);
        let both = [(name, Ascending), (size, Descending), (time, Descending), (id, Descending)];
        assert_eq!(sorted("sort=name:asc,size:desc").unwrap(), both);
        assert_eq!(sorted("sort_key=name&sort_dir=asc&sort_key=size&sort_dir=desc").unwrap(), both);
        assert_eq!(sorted("sort_key=id&sort_dir=asc").unwrap(), [(id, Ascending), (time, Ascending)]);
        assert!(sorted("sort=name&sort_key=id").unwrap_err().contains("cannot be combined"));
        assert!(sorted("sort_key=colour").unwrap_err().starts_with("Invalid sort key: colour. It must be one of"));
        assert!(sorted("sort_key=id&sort_dir=asc&sort_dir=asc").unwrap_err().contains("does not match"));
    }
}
