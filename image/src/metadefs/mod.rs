//! Metadata definitions: what properties of images, volumes, servers and flavors mean, for programs that let people choose
//! them. A new cloud has none; Image itself does not look at them.
//!
//! A namespace has parts of four kinds: types of resources that it is for, properties, objects (groups of properties) and
//! tags. What is in a part is its schema's matter; here it is kept and given back.

mod namespaces;
mod parts;

use jiff::Timestamp;
use novella_common::{
    db::{
        Bind as _, Connection, DbError, Table,
        table::{self, select},
    },
    sql, table,
};
use novella_rest::{ApiError, Operation};
use serde_json::{Map, Value};

use crate::{Images, Request};

pub(crate) fn operations() -> Vec<Operation<Images>> {
    let mut operations = namespaces::operations();
    operations.extend(parts::operations());
    operations
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Namespace {
    namespace: String,
    display_name: Option<String>,
    description: Option<String>,
    /// `public` or `private`.
    visibility: String,
    protected: bool,
    owner: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

table! {
    Namespace in "metadef_namespaces", key text "namespace";
    namespace,
    display_name,
    description,
    visibility,
    protected,
    owner,
    created_at,
    updated_at,
}

/// A part of a namespace.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    namespace: String,
    kind: String,
    name: String,
    /// What its schema has, but for its name and its times.
    body: Map<String, Value>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

table! {
    Part in "metadef_parts", key text "name";
    namespace,
    kind,
    name,
    body as Json,
    created_at,
    updated_at,
}

/// The namespace of this name, if whoever asks may know of it, and whether it is locked until the transaction ends.
async fn find(
    request: &Request,
    connection: &mut Connection,
    name: &str,
    locked: bool,
    missing: impl FnOnce() -> String,
) -> Result<Namespace, ApiError> {
    let found = match (name.to_value().is_err(), locked) {
        (true, _) => None,
        (_, true) => table::lock::<Namespace, _>(connection, name).await?,
        (_, false) => select::<Namespace>().push(" WHERE namespace = ").bind(name).fetch_optional(connection).await?,
    };
    let own = |owner: &Option<String>| owner.is_some() && *owner == request.context.project_id;
    found
        .filter(|found| request.context.is_admin || found.visibility == "public" || own(&found.owner))
        .ok_or_else(|| ApiError::not_found(missing()))
}

/// The parts of a namespace of one kind, or all, in the order in which they came.
async fn parts(connection: &mut Connection, namespace: &str, kind: Option<&str>) -> Result<Vec<Part>, DbError> {
    let mut sql = select::<Part>();
    sql.push(" WHERE namespace = ").bind(namespace);
    if let Some(kind) = kind {
        sql.push(" AND kind = ").bind(kind);
    }
    sql.push(" ORDER BY created_at, name").fetch_all(connection).await
}

/// A part of a namespace.
async fn part(connection: &mut Connection, namespace: &str, kind: &str, name: &str) -> Result<Option<Part>, DbError> {
    if name.to_value().is_err() {
        return Ok(None);
    }
    let mut sql = select::<Part>();
    sql.push(" WHERE namespace = ").bind(namespace).push(" AND kind = ").bind(kind);
    sql.push(" AND name = ").bind(name).fetch_optional(connection).await
}

/// Writes a part in the place of the one of this name.
async fn replace(connection: &mut Connection, name: &str, part: &Part) -> Result<(), DbError> {
    let mut sql = sql!("UPDATE metadef_parts SET ");
    sql.push("(").push(Part::INSERTED).push(") = (").row(|cells| part.bind(cells)).push(") WHERE namespace = ");
    sql.bind(&part.namespace).push(" AND kind = ").bind(&part.kind).push(" AND name = ").bind(name);
    sql.execute(connection).await?;
    Ok(())
}

/// Removes the parts of one kind, or the one of this name. Says how many there were.
async fn remove(connection: &mut Connection, namespace: &str, kind: &str, name: Option<&str>) -> Result<u64, DbError> {
    let mut sql = sql!("DELETE FROM metadef_parts WHERE namespace = "(namespace)" AND kind = "(kind));
    if let Some(name) = name.filter(|name| name.to_value().is_ok()) {
        sql.push(" AND name = ").bind(name);
    }
    sql.execute(connection).await
}
