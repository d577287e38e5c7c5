//! `GET /image/v2/images`.

use axum::Json;
use novella_common::db::list::{Condition, Direction, List, SortKey};
use novella_rest::{ApiError, FieldTable, Parameters, field, paging::Page};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Request, db::Image, view::ImageView, visible_to};

/// Glance's page when no limit is given.
const DEFAULT_LIMIT: i64 = 25;

pub(crate) const QUERY: FieldTable = FieldTable(&[
    field("name"),
    field("id"),
    field("status"),
    field("visibility"),
    field("owner"),
    field("disk_format"),
    field("container_format"),
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
    let mut page = Page::from_query(query, request.config.max_limit)?;
    if query.get("limit").is_none() {
        page.limit = DEFAULT_LIMIT;
    }
    let (sort, direction) = sort(query)?;
    let mut list = List::<Image>::all().sort(sort, direction);
    if let Some(condition) = visible_to(&request.context) {
        list = list.visible(condition);
    }
    for column in ["name", "id", "status", "disk_format", "container_format"] {
        if let Some(values) = values(query, column)? {
            list = list.filter(Condition::is_in(column, values));
        }
    }
    if let Some(visibility) = visibility(query)? {
        list = list.filter(Condition::equal("visibility", &visibility));
    }
    if let Some(owner) = query.get("owner") {
        list = list.filter(Condition::equal("owner", owner));
    }
    let list = list.marker_text(page.marker.as_deref()).limit(page.limit);
    let found = list.page(&mut *request.state.database.read().await?).await?;
    let no_marker =
        || ApiError::bad_request(format!("Marker {} not found", page.marker.as_deref().unwrap_or_default()));
    let found = found.ok_or_else(no_marker)?;
    let next = page.next_query(query, found.len(), found.last().map(|image| image.id.as_str()));
    let first: Vec<_> = query.iter().filter(|(name, _)| *name != "marker").collect();
    let first = form_urlencoded::Serializer::new(String::new()).extend_pairs(first).finish();
    Ok(Json(ImagesBody {
        images: found.into_iter().map(ImageView::new).collect(),
        first: if first.is_empty() { "/v2/images".to_owned() } else { format!("/v2/images?{first}") },
        next: next.map(|next| format!("/v2/images?{next}")),
        schema: "/v2/schemas/images",
    }))
}

/// `all` asks for what is shown anyway.
fn visibility(query: &Parameters) -> Result<Option<String>, ApiError> {
    match query.get("visibility") {
        None | Some("all") => Ok(None),
        Some(text @ ("public" | "private" | "shared" | "community")) => Ok(Some(text.to_owned())),
        Some(text) => Err(ApiError::bad_request(format!("Invalid visibility value: {text}"))),
    }
}

/// A filter's value, or those of `in:a,b`. A value with a comma or a quote in it stands in double quotes, with
/// backslashes before quotes.
fn values(query: &Parameters, name: &str) -> Result<Option<Vec<String>>, ApiError> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let Some(list) = text.strip_prefix("in:") else {
        // `eq:` may be spelled out; for names it must be, where the name itself has an operator's look.
        return Ok(Some(vec![text.strip_prefix("eq:").unwrap_or(text).to_owned()]));
    };
    let malformed =
        || ApiError::bad_request(format!("Invalid filter value {text}. The quote is not closed or stands in a value."));
    let (mut values, mut value, mut quoted, mut characters) = (Vec::new(), String::new(), false, list.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => value.push(characters.next().ok_or_else(malformed)?),
            ',' if !quoted => values.push(std::mem::take(&mut value)),
            other => value.push(other),
        }
    }
    if quoted {
        return Err(malformed());
    }
    values.push(value);
    Ok(Some(values))
}

/// `sort_key` and `sort_dir`, or `sort=key:direction,...`, of which the first counts.
fn sort(query: &Parameters) -> Result<(SortKey, Direction), ApiError> {
    let (key, direction) = match query.get("sort") {
        Some(sort) => {
            let first = sort.split(',').next().unwrap_or_default();
            first.split_once(':').unwrap_or((first, "desc"))
        }
        None => (query.get("sort_key").unwrap_or("created_at"), query.get("sort_dir").unwrap_or("desc")),
    };
    let sort = match key {
        "created_at" => SortKey::time("created_at"),
        "updated_at" => SortKey::time("updated_at"),
        "name" => SortKey::text("name"),
        "id" => SortKey::text("id"),
        "status" => SortKey::text("status"),
        "container_format" => SortKey::text("container_format").nullable(),
        "disk_format" => SortKey::text("disk_format").nullable(),
        "size" => SortKey::int("size").nullable(),
        other => return Err(ApiError::bad_request(format!("Invalid sort_key: {other}"))),
    };
    match direction {
        "asc" => Ok((sort, Direction::Ascending)),
        "desc" => Ok((sort, Direction::Descending)),
        other => Err(ApiError::bad_request(format!("Invalid sort direction: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(query: &str) -> Option<Vec<String>> {
        let uri = format!("/?{query}").parse().unwrap();
        values(&Parameters::of_uri(&uri).unwrap(), "name").unwrap()
    }

    #[test]
    fn one_value_or_a_list_of_them() {
        assert_eq!(names("name=cirros"), Some(vec!["cirros".into()]));
        assert_eq!(names("name=in:a,b"), Some(vec!["a".into(), "b".into()]));
        assert_eq!(names("name=in:%22a,b%22,c"), Some(vec!["a,b".into(), "c".into()]));
        assert_eq!(names("id=x"), None);
    }
}
