//! What Keystone's resources have in common: how one is found, shown, listed and deleted.
//!
//! A resource is a [`Table`] with a [`Resource`] beside it. [`index`], [`show`] and [`remove`] are handlers for any of
//! them; who may see or delete one is held by the operation's rule against [`Resource::target`].

use std::future::Future;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use novella_common::db::{
    Bind as _, Connection, DbError, Sql, Table, Transaction,
    list::{Condition, Pattern},
    table::{self, select},
};
use novella_rest::{
    ApiError, Links, Path,
    list::{ListDescription, Listing, Rows},
    policy::Target,
};
use serde_json::{Map, Value, json};

use crate::{Request, inputs::query_flag};

/// A resource of the Identity API.
pub(crate) trait Resource: Table + Send + Sync + 'static {
    /// The key of one in bodies.
    const ONE: &'static str;
    /// The key of several.
    const MANY: &'static str;
    /// Where they are, below `/v3`.
    const PATH: &'static str = Self::MANY;
    /// What one is called in errors.
    const CALLED: &'static str = Self::ONE;
    /// What can be asked of a list of them.
    const LIST: &'static ListDescription;

    /// Whether a new one changes what tokens that were given out are good for, or show.
    const IN_TOKENS: bool = false;

    /// Its id.
    fn id(&self) -> &str;

    /// What clients see of it, but for the links.
    fn fields(&self, links: &Links) -> Map<String, Value>;

    /// 404: there is none of this id.
    fn missing(id: &str) -> ApiError {
        not_found(Self::CALLED, id)
    }

    /// 409: it can't be stored beside one that is there. Of those whose ids are new and who have no other key this is
    /// never the case.
    fn taken(&self) -> ApiError {
        conflict(Self::ONE, "Duplicate entry")
    }

    /// Whose it is.
    fn target(&self) -> Target<'_> {
        Target::default()
    }

    /// What must be so, or be done, before it is deleted.
    fn before_removal(&self, _transaction: &mut Connection) -> impl Future<Output = Result<(), ApiError>> + Send {
        async { Ok(()) }
    }
}

/// The fields of an object, with what else was given with it.
pub(crate) fn with_extra(fields: Value, extra: &Map<String, Value>) -> Map<String, Value> {
    let mut all = extra.clone();
    if let Value::Object(fields) = fields {
        all.extend(fields);
    }
    all
}

/// What clients see of one.
pub(crate) fn view<R: Resource>(row: &R, links: &Links) -> Value {
    let mut fields = row.fields(links);
    fields.insert("links".to_owned(), json!({"self": links.to(&format!("{}/{}", R::PATH, row.id()))}));
    Value::Object(fields)
}

/// `{"user": {...}}`.
pub(crate) fn shown<R: Resource>(request: &Request, row: &R) -> Response {
    Json(json!({ R::ONE: view(row, &request.links) })).into_response()
}

/// The same with what was given beside what is known a second time, as Keystone answers a change of some.
pub(crate) fn shown_with_extra<R: Resource>(request: &Request, row: &R, extra: &Map<String, Value>) -> Response {
    let mut shown = view(row, &request.links);
    shown["extra"] = Value::Object(extra.clone());
    Json(json!({ R::ONE: shown })).into_response()
}

/// The same with 201.
pub(crate) fn created<R: Resource>(request: &Request, row: &R) -> Response {
    (StatusCode::CREATED, shown(request, row)).into_response()
}

/// 404 in Keystone's words.
pub(crate) fn not_found(what: &str, id: &str) -> ApiError {
    ApiError::not_found(format!("Could not find {what}: {id}."))
}

/// One, if it is there.
pub(crate) async fn look_up<R: Table>(connection: &mut Connection, id: &str) -> Result<Option<R>, DbError> {
    let mut sql = select::<R>();
    // What can't be bound names nothing.
    if id.to_value().is_err() {
        return Ok(None);
    }
    sql.push(" WHERE id = ").bind(id).fetch_optional(connection).await
}

/// One.
///
/// # Errors
/// 404.
pub(crate) async fn find<R: Resource>(connection: &mut Connection, id: &str) -> Result<R, ApiError> {
    look_up::<R>(connection, id).await?.ok_or_else(|| R::missing(id))
}

/// One that the operation's rule is granted for. Who may not know of it is not told whether it is there.
///
/// # Errors
/// 403 or 404.
pub(crate) async fn authorized<R: Resource>(
    request: &Request,
    connection: &mut Connection,
    id: &str,
) -> Result<R, ApiError> {
    granted(request, look_up::<R>(connection, id).await?, id)
}

/// The same, and nobody else changes it until the transaction ends.
///
/// # Errors
/// 403 or 404.
pub(crate) async fn locked<R: Resource>(
    request: &Request,
    transaction: &mut Connection,
    id: &str,
) -> Result<R, ApiError> {
    granted(request, table::lock::<R, _>(transaction, id).await?, id)
}

fn granted<R: Resource>(request: &Request, found: Option<R>, id: &str) -> Result<R, ApiError> {
    request.check_target(&found.as_ref().map(R::target).unwrap_or_default())?;
    found.ok_or_else(|| R::missing(id))
}

/// Holds the operation's rule against a list, which shows what is in the domain that the token is for, if it is for one.
///
/// # Errors
/// 403.
pub(crate) fn check_list(request: &Request) -> Result<(), ApiError> {
    let domain = request.token.as_ref().and_then(|token| token.domain.as_ref()).map(|domain| domain.id.as_str());
    request.check_target(&Target::of_domain(domain))
}

/// `GET` of one.
pub(crate) async fn show<R: Resource>(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let row = authorized::<R>(&request, &mut *request.state.database.read().await?, &id).await?;
    Ok(shown(&request, &row))
}

/// `DELETE` of one.
pub(crate) async fn remove<R: Resource>(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let row = locked::<R>(&request, &mut transaction, &id).await?;
    row.before_removal(&mut transaction).await?;
    delete_row::<R>(&mut transaction, row.id()).await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a row.
pub(crate) async fn delete_row<R: Table>(transaction: &mut Connection, id: &str) -> Result<(), DbError> {
    let mut sql = Sql::new("DELETE FROM ");
    sql.push(R::NAME).push(" WHERE id = ").bind(id).execute(transaction).await?;
    Ok(())
}

/// Writes a new row and commits.
///
/// # Errors
/// 409: see [`Resource::taken`].
pub(crate) async fn store<R: Resource>(
    request: &Request,
    mut transaction: Transaction,
    row: &R,
) -> Result<(), ApiError> {
    insert(&mut transaction, row).await?;
    if R::IN_TOKENS {
        return request.state.commit(transaction).await;
    }
    Ok(transaction.commit().await?)
}

/// Writes a row that was changed, and commits.
///
/// # Errors
/// 409: see [`Resource::taken`].
pub(crate) async fn change<R: Resource>(
    request: &Request,
    mut transaction: Transaction,
    row: &R,
) -> Result<(), ApiError> {
    unless_taken(table::update(&mut transaction, row.id(), row).await, row)?;
    request.state.commit(transaction).await
}

/// Writes a new row.
///
/// # Errors
/// 409: see [`Resource::taken`].
pub(crate) async fn insert<R: Resource>(transaction: &mut Connection, row: &R) -> Result<(), ApiError> {
    unless_taken(table::insert(transaction, row).await, row)
}

fn unless_taken<T, R: Resource>(result: Result<T, DbError>, row: &R) -> Result<T, ApiError> {
    result.map_err(|error| if error.is_unique_violation() { row.taken() } else { error.into() })
}

/// 409 in Keystone's words.
pub(crate) fn conflict(what: &str, details: &str) -> ApiError {
    ApiError::Conflict(format!("Conflict occurred attempting to store {what} - {details}."))
}

/// 409: a name is taken.
pub(crate) fn name_taken(what: &str, name: &str, domain: Option<&str>) -> ApiError {
    conflict(
        what,
        &match domain {
            Some(domain) => format!("Duplicate entry found with name {name} at domain ID {domain}"),
            None => format!("Duplicate entry found with name {name}"),
        },
    )
}

/// The text of a 404 for a marker.
pub(crate) fn no_marker(marker: &str) -> String {
    format!("Marker {marker} could not be found.")
}

/// `GET` of all that the query asks for.
pub(crate) async fn index<R: Resource>(request: Request) -> Result<Response, ApiError> {
    let listing = listing::<R>(&request)?;
    page(&request, listing, R::PATH).await
}

/// The list that the query asks for: with exact filters, flags, and Keystone's comparisons (`name__contains=x`).
pub(crate) fn listing<R: Resource>(request: &Request) -> Result<Listing<R>, ApiError> {
    let mut listing = request.list::<R>(R::LIST)?;
    for (name, value) in request.query.iter() {
        if matches!(name, "enabled" | "is_domain") && R::LIST.filters.iter().any(|filter| filter.name() == name) {
            let column = if name == "enabled" { "enabled" } else { "is_domain" };
            listing = listing.filter(Condition::equal(column, &query_flag(name, value)?));
        }
        if let Some((name, comparison)) = name.split_once("__")
            && let Some((_, column)) = R::LIST.filters.iter().filter_map(|f| f.text_column()).find(|f| f.0 == name)
            && let Some(condition) = compared(column, comparison, value)
        {
            listing = listing.filter(condition);
        }
    }
    Ok(listing)
}

fn compared(column: &'static str, comparison: &str, value: &str) -> Option<Condition> {
    if let Some(comparison) = comparison.strip_prefix('i') {
        let value = value.to_ascii_lowercase();
        let mut sql = Sql::default();
        let at = |sql: &mut Sql| {
            sql.push_for("INSTR(LOWER(", "STRPOS(LOWER(").push(column).push("), ").bind(&value).push(")");
        };
        match comparison {
            "contains" => {
                at(&mut sql);
                sql.push(" > 0");
            }
            "startswith" => {
                at(&mut sql);
                sql.push(" = 1");
            }
            "endswith" => {
                let length = i64::try_from(value.chars().count()).ok()?;
                sql.push("LENGTH(").push(column).push(") >= ").bind(&length);
                sql.push(" AND SUBSTR(LOWER(").push(column).push("), CAST(LENGTH(").push(column).push(") + 1 - ");
                sql.bind(&length).push(" AS INTEGER)) = ").bind(&value);
            }
            _ => return None,
        }
        return Some(Condition::raw(sql));
    }
    let value = value.to_owned();
    Some(Condition::text(
        column,
        &match comparison {
            "contains" => Pattern::Contains(value),
            "startswith" => Pattern::Prefix(value),
            "endswith" => Pattern::Suffix(value),
            _ => return None,
        },
    ))
}

/// A page of a list in Keystone's form: a full one says `truncated`, and where the next is.
pub(crate) async fn page<R: Resource>(
    request: &Request,
    listing: Listing<R>,
    path: &str,
) -> Result<Response, ApiError> {
    let rows = read_page(listing, &mut *request.state.database.read().await?).await?;
    Ok(page_of(request, &rows, R::MANY, path, R::id, |row| view(row, &request.links)))
}

/// Reads a page.
///
/// # Errors
/// 404 for a marker that names nothing.
pub(crate) async fn read_page<R: Table>(listing: Listing<R>, connection: &mut Connection) -> Result<Rows<R>, ApiError> {
    listing.page_or(connection, ApiError::not_found).await
}

/// A page of rows that were read.
pub(crate) fn page_of<'r, R>(
    request: &Request,
    rows: &'r Rows<R>,
    key: &str,
    path: &str,
    id: impl Fn(&R) -> &str,
    view: impl Fn(&'r R) -> Value,
) -> Response {
    let next = request.next_link(rows, path, |row| id(row).to_owned()).map(|next| next.href);
    let items: Vec<Value> = rows.items.iter().map(view).collect();
    let truncated = next.is_some();
    let mut page = json!({ key: items, "links": {"self": itself(request, path), "previous": null, "next": next} });
    if truncated {
        page["truncated"] = true.into();
    }
    Json(page).into_response()
}

/// Where a list is that was asked for, with its query.
fn itself(request: &Request, path: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(request.query.iter());
    match query.finish().as_str() {
        "" => request.links.to(path),
        query => format!("{}?{query}", request.links.to(path)),
    }
}

/// A list that has no pages.
pub(crate) fn collection(request: &Request, key: &str, items: Vec<Value>, path: &str) -> Response {
    let links = json!({"self": itself(request, path), "previous": null, "next": null});
    Json(json!({ key: items, "links": links })).into_response()
}
