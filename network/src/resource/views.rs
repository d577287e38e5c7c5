//! What clients see of things.

use std::collections::BTreeMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use novella_common::{db::Connection, sql};
use novella_rest::{ApiError, times::Seconds};
use serde_json::{Value, json};

use super::{AT_ONCE, Resource, View, attributes, granted, grouped, sharing};
use crate::Request;
use novella_rest::policy::Target;

/// Which attributes an answer is to have.
pub(crate) struct Wanted<'q> {
    fields: Vec<&'q str>,
    /// Whether it is the answer to a `POST`.
    pub(crate) new: bool,
}

impl<'q> Wanted<'q> {
    /// What the query asks for.
    pub(crate) fn by(request: &'q Request) -> Self {
        Self { fields: request.query.all("fields").filter(|name| !name.is_empty()).collect(), new: false }
    }

    /// Everything.
    pub(crate) const fn all() -> Self {
        Self { fields: Vec::new(), new: false }
    }

    /// Everything, of what was just made.
    pub(crate) const fn new_one() -> Self {
        Self { fields: Vec::new(), new: true }
    }

    /// Whether an attribute is wanted.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.is_empty() || self.fields.contains(&name)
    }
}

/// What clients see of these rows.
pub(crate) async fn views<'r, R: Resource>(
    request: &Request,
    connection: &mut Connection,
    rows: &'r [R],
    wanted: &Wanted<'_>,
) -> Result<Vec<View<'r>>, ApiError> {
    let about = R::ABOUT;
    let mut views: Vec<View<'r>> = rows
        .iter()
        .map(|row| {
            let mut view = row.values();
            view.add("id", row.id());
            view.add("project_id", row.project_id());
            view.add("tenant_id", row.project_id());
            if about.stamped {
                let (created, updated) = row.times();
                view.add("created_at", json!(Seconds(created)));
                view.add("updated_at", json!(Seconds(updated)));
                view.add("revision_number", row.revision_number());
            }
            view
        })
        .collect();
    if let Some(shared) = about.shared.filter(|_| wanted.has("shared")) {
        let ids: Vec<&str> = rows.iter().map(|row| row.id()).collect();
        let with = sharing::shared_now(request, connection, shared, &ids).await?;
        for (row, view) in rows.iter().zip(&mut views) {
            view.insert("shared", with.contains(row.id()));
        }
    }
    if about.tags.is_some() && wanted.has("tags") {
        let ids: Vec<&str> = rows.iter().map(|row| row.id()).collect();
        let mut tags = grouped(tags_of(connection, &ids).await?);
        for (row, view) in rows.iter().zip(&mut views) {
            view.insert("tags", Value::from(tags.remove(row.id()).unwrap_or_default()));
        }
    }
    R::complete(rows, &mut views, wanted, request, connection).await?;
    let guarded: Vec<_> = attributes::<R>().filter_map(|attribute| Some((attribute.name, attribute.seeing?))).collect();
    // What is of one project is seen by the same rules.
    let mut hidden: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (row, view) in rows.iter().zip(&mut views) {
        let hidden = hidden.entry(row.project_id()).or_insert_with(|| {
            let target = Target { project: Some(row.project_id()), ..Target::default() };
            let seen = |rule| granted(request, rule, &target);
            guarded.iter().filter(|(_, rule)| !seen(*rule)).map(|(name, _)| *name).collect()
        });
        for name in hidden {
            view.remove(name);
        }
        if !wanted.fields.is_empty() {
            view.retain(|name| wanted.has(name));
        }
    }
    Ok(views)
}

/// The tags of these things, each with the thing's id.
pub(crate) async fn tags_of(connection: &mut Connection, ids: &[&str]) -> Result<Vec<(String, String)>, ApiError> {
    let mut tags = Vec::new();
    for ids in ids.chunks(AT_ONCE) {
        let mut sql = sql!("SELECT resource_id, tag FROM network_tags WHERE resource_id");
        tags.extend(sql.is_in(ids).push(" ORDER BY resource_id, tag").fetch_all(connection).await?);
    }
    Ok(tags)
}

/// `{"network": {...}}`, with the fields that the query asks for.
pub(crate) async fn shown<R: Resource>(
    request: &Request,
    connection: &mut Connection,
    row: &R,
) -> Result<Response, ApiError> {
    let wanted = Wanted::by(request);
    let view = views(request, connection, std::slice::from_ref(row), &wanted).await?.pop().unwrap_or_default();
    Ok(Json(json!({ R::ABOUT.one: view })).into_response())
}
