//! `GET` of one and of many: filters, order, pages with links in both directions, and the fields that are asked for.

use axum::response::Response;
use novella_common::db::{
    Connection,
    list::{Condition, Direction, List, SortKey},
};
use novella_rest::{ApiError, Path, answer::written, policy::Target, truth};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json};

use super::{
    Resource, View, filters,
    filters::{Filters, PAGING},
    find,
    views::{Wanted, views},
};
use crate::{Request, errors};

/// The parameters that a list of them knows.
pub(crate) fn names<R: Resource>() -> impl Iterator<Item = &'static str> {
    filters::names::<R>().chain(PAGING)
}

/// `GET` of one.
pub(crate) async fn show<R: Resource>(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let row = find::<R>(&request, &mut connection, &id).await?;
    granted(&request, &mut connection, &row, &id).await?;
    // What is no filter is refused here, too.
    let _ = Filters::of(&request).narrow(&request, List::<R>::all())?;
    super::answer(&request, &mut connection, &row).await
}

/// Refuses to show what is found. What whoever asks may see is his own or shared with him; if a rule says that he may not,
/// it is not there for him.
pub(super) async fn granted<R: Resource>(
    request: &Request,
    connection: &mut Connection,
    row: &R,
    id: &str,
) -> Result<(), ApiError> {
    let whose = row.whose(request, connection).await?;
    let granted = request.grants(request.rule, &Target { shared: true, ..whose.target() });
    if granted { Ok(()) } else { Err(R::missing(id)) }
}

/// `GET` of all that the query asks for.
pub(crate) async fn index<R: Resource>(request: Request) -> Result<Response, ApiError> {
    index_of::<R>(&request, None).await
}

/// The same, of those that fulfil this.
pub(super) async fn index_of<R: Resource>(request: &Request, only: Option<Condition>) -> Result<Response, ApiError> {
    // Of whose things there are, only one's own and what is shared is listed: the rule is held against such a thing.
    let own = request.context.project_id.as_deref();
    request.check_target(&Target { project: own, parent: own, shared: true, ..Target::default() })?;
    let mut list = Filters::of(request).narrow(request, List::<R>::all())?;
    if let Some(only) = only {
        list = list.visible(only);
    }
    if let Some(visible) = R::visible(request) {
        list = list.visible(visible);
    }
    let query = &request.query;
    let reverse = query.get("page_reverse").and_then(truth).unwrap_or(false);
    for (key, direction) in order::<R>(request)? {
        list = list.sort(key, if reverse { turned(direction) } else { direction });
    }
    let limit = limit(request)?;
    // Without a limit there are no pages.
    let marker = query.get("marker").filter(|marker| !marker.is_empty() && limit.is_some());
    let list = list.named_by(SortKey::text("id")).marker_text(marker).limit(limit);
    let mut connection = request.state.database.read().await?;
    let rows = list.page(&mut connection).await?;
    let mut rows = rows.ok_or_else(|| R::missing(marker.unwrap_or_default()))?;
    if reverse {
        rows.reverse();
    }
    let wanted = Wanted::by(request);
    let views = views(request, &mut connection, &rows, &wanted).await?;
    let mut list = Listed { many: R::ABOUT.many, views, links: Vec::new() };
    if let Some(limit) = limit {
        let ends = rows.first().zip(rows.last()).map(|(first, last)| (first.id(), last.id()));
        let full = i64::try_from(rows.len()).is_ok_and(|rows| rows >= limit);
        list.links = links(request, R::ABOUT.collection, ends, full || reverse);
    }
    Ok(written(&list))
}

/// `{"networks": [...], "networks_links": [...]}`.
struct Listed<'r> {
    many: &'static str,
    views: Vec<View<'r>>,
    links: Vec<Value>,
}

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.many, &self.views)?;
        if !self.links.is_empty() {
            map.serialize_entry(&format!("{}_links", self.many), &self.links)?;
        }
        map.end()
    }
}

/// How many are asked for; `None`: all.
fn limit(request: &Request) -> Result<Option<i64>, ApiError> {
    let Some(text) = request.query.get("limit") else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(0) => Ok(None),
        Ok(limit @ 1..) => Ok(Some(limit)),
        _ => Err(errors::bad_request_of("limit", &format!("Limit must be an integer 0 or greater and not '{text}'"))),
    }
}

const fn turned(direction: Direction) -> Direction {
    match direction {
        Direction::Ascending => Direction::Descending,
        Direction::Descending => Direction::Ascending,
    }
}

/// The order that the query asks for.
fn order<R: Resource>(request: &Request) -> Result<Vec<(SortKey, Direction)>, ApiError> {
    let keys: Vec<&str> = request.query.all("sort_key").filter(|key| !key.is_empty()).collect();
    let directions: Vec<&str> = request.query.all("sort_dir").filter(|direction| !direction.is_empty()).collect();
    if keys.len() != directions.len() {
        return Err(ApiError::bad_request("The number of sort_keys and sort_dirs must be same"));
    }
    let list = |bad: Vec<&str>| {
        let bad: Vec<String> = bad.into_iter().map(|word| format!("'{word}'")).collect();
        format!("[{}]", bad.join(", "))
    };
    let bad: Vec<&str> = directions.iter().copied().filter(|direction| !matches!(*direction, "asc" | "desc")).collect();
    if !bad.is_empty() {
        let bad = list(bad);
        return Err(ApiError::bad_request(format!(
            "{bad} is invalid value for sort_dirs, valid value is 'asc' and 'desc'"
        )));
    }
    let bad: Vec<&str> = keys.iter().copied().filter(|key| sort_key::<R>(key).is_none()).collect();
    if !bad.is_empty() {
        return Err(ApiError::bad_request(format!("{} is invalid attribute for sort_keys", list(bad))));
    }
    let found = keys.iter().zip(directions).filter_map(|(key, direction)| {
        let direction = if direction == "desc" { Direction::Descending } else { Direction::Ascending };
        Some((sort_key::<R>(key)?, direction))
    });
    Ok(found.collect())
}

fn sort_key<R: Resource>(name: &str) -> Option<SortKey> {
    match name {
        "id" => Some(SortKey::text("id")),
        "project_id" | "tenant_id" => Some(SortKey::text("project_id")),
        _ => R::FIELDS.iter().find(|field| field.attribute.name == name)?.sort_key(),
    }
}

/// Links to the pages beside this one.
fn links(request: &Request, path: &str, ends: Option<(&str, &str)>, next: bool) -> Vec<Value> {
    let link = |marker: Option<&str>, back: bool| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(request.query.iter().filter(|(name, _)| !matches!(*name, "marker" | "page_reverse")));
        if let Some(marker) = marker {
            query.append_pair("marker", marker);
        }
        if back {
            query.append_pair("page_reverse", "True");
        }
        format!("{}?{}", request.links.to(path.trim_start_matches('/')), query.finish())
    };
    let mut links = Vec::new();
    if let Some((_, last)) = ends.filter(|_| next) {
        links.push(json!({"rel": "next", "href": link(Some(last), false)}));
    }
    if let Some((first, _)) = ends {
        links.push(json!({"rel": "previous", "href": link(Some(first), true)}));
    }
    links
}
