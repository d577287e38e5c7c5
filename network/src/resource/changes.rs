//! `POST`, `PUT` and `DELETE`: each one transaction, tried again when the database has ended it for another's sake.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use jiff::Timestamp;
use novella_common::{
    db::{Connection, Sql, Table, table},
    sql,
};
use novella_rest::{ApiError, Path, policy::Rule};
use serde_json::json;
use uuid::Uuid;

use super::{AT_ONCE, Given, New, Resource, Wanted, Work, attributes, check_rules, find, locked, sharing, views};
use crate::{
    Request,
    attributes::{Base, Fields},
    errors::typed,
    quotas,
};

/// `POST` of one, or of several at once: all or none.
pub(crate) async fn create<R: Resource>(request: Request, new: New<R>) -> Result<Response, ApiError> {
    create_of(&request, &new, &[]).await
}

/// The same, with these values beside what the request says.
pub(super) async fn create_of<R: Resource>(
    request: &Request,
    new: &New<R>,
    values: &[(&'static str, &str)],
) -> Result<Response, ApiError> {
    let (mut given, bulk) = new.several(request)?;
    for given in &mut given {
        given.values.extend(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
    }
    let (rows, mut work) = retried!(try_create::<R>(request, &given))?;
    let mut views = views(request, &mut work.transaction, &rows, &Wanted::new_one()).await?;
    work.commit().await?;
    let about = R::ABOUT;
    let body = match views.pop() {
        Some(view) if !bulk => json!({ about.one: view }),
        last => {
            views.extend(last);
            json!({ about.many: views })
        }
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn try_create<'r, R: Resource>(request: &'r Request, given: &[Given]) -> Result<(Vec<R>, Work<'r>), ApiError> {
    R::check_together(given)?;
    let mut work = Work::begin(request).await?;
    let mut rows = Vec::new();
    for given in given {
        rows.push(create_one::<R>(&mut work, given).await?);
    }
    quotas::check::<R>(&mut work, given.iter().map(|given| given.project.as_str())).await?;
    Ok((rows, work))
}

/// Makes one.
pub(crate) async fn create_one<R: Resource>(work: &mut Work<'_>, given: &Given) -> Result<R, ApiError> {
    let whose = R::whose_new(given, work.request, &mut work.transaction).await?;
    let mut rules = vec![R::ABOUT.create];
    let all = R::OTHERS.iter().chain(R::FIELDS.iter().map(|field| &field.attribute));
    rules.extend(all.filter_map(|attribute| {
        let value = given.values.get(attribute.name)?;
        let said = given.has(attribute.name) && *value != attribute.otherwise.value() && R::asks(attribute, value);
        attribute.creating.filter(|_| said)
    }));
    check_rules(work.request, &rules, &whose.target())?;
    make::<R>(work, given).await
}

/// Makes one without asking who may.
pub(crate) async fn make<R: Resource>(work: &mut Work<'_>, given: &Given) -> Result<R, ApiError> {
    let base = Base {
        id: Uuid::new_v4().to_string(),
        project_id: given.project.clone(),
        now: work.now,
        revision_number: R::ABOUT.first_revision,
    };
    let mut row = R::from_values(base, &given.values)?;
    row.before_create(work, given).await?;
    row.write(work, given).await?;
    row.after_create(work, given).await?;
    if let Some(shared) = R::ABOUT.shared.filter(|_| given.flag("shared") == Some(true)) {
        sharing::share(work, shared, row.id(), row.project_id()).await?;
    }
    Ok(row)
}

/// Writes a new row.
///
/// # Errors
/// If another has come between: tried again it is seen, and refused in its own words.
pub(crate) async fn insert_row<T: Table>(connection: &mut Connection, row: &T) -> Result<(), ApiError> {
    table::insert(connection, row)
        .await
        .map_err(|error| if error.is_unique_violation() { ApiError::TransactionLost } else { error.into() })
}

/// `PUT` of one.
pub(crate) async fn update<R: Resource>(
    request: Request,
    Path(id): Path<String>,
    new: New<R>,
) -> Result<Response, ApiError> {
    update_one(&request, &id, &new).await
}

/// The same for one that is named otherwise.
pub(super) async fn update_one<R: Resource>(request: &Request, id: &str, new: &New<R>) -> Result<Response, ApiError> {
    let given = new.change(request)?;
    retried!(try_update::<R>(request, id, &given))
}

async fn try_update<R: Resource>(request: &Request, id: &str, given: &Given) -> Result<Response, ApiError> {
    let mut work = Work::begin(request).await?;
    R::lock_before(&mut work, id).await?;
    let old = locked::<R>(&mut work, id).await?;
    let whose = old.whose(request, &mut work.transaction).await?;
    let mut rules: Vec<Rule> = R::ABOUT.update.into_iter().collect();
    rules.extend(attributes::<R>().filter_map(|attribute| {
        let value = given.values.get(attribute.name)?;
        attribute.updating.filter(|_| R::asks(attribute, value))
    }));
    check_rules(request, &rules, &whose.target())?;
    check_revision(request, &old)?;
    let mut row = old.clone();
    for (name, value) in &given.values {
        row.assign(name, value.clone())?;
    }
    row.before_update(&old, &mut work, given).await?;
    if row.revision_number() == old.revision_number() && row != old {
        row.bump(work.now);
    }
    if row.revision_number() != old.revision_number() {
        swap(&mut work.transaction, old.revision_number(), &row).await?;
    }
    let answer = super::answer(request, &mut work.transaction, &row).await?;
    work.commit().await?;
    Ok(answer)
}

/// Writes a changed row, if it still is what it was.
///
/// # Errors
/// 409 if somebody else has changed it.
pub(crate) async fn swap<R: Table + Fields>(connection: &mut Connection, seen: i64, row: &R) -> Result<(), ApiError> {
    let mut sql = Sql::new("UPDATE ");
    sql.push(R::NAME).push(" SET (").push(R::INSERTED).push(") = (").row(|cells| row.bind(cells)).push(") WHERE id = ");
    sql.bind(row.id()).push(" AND revision_number = ").bind(&seen);
    if sql.execute_one(connection).await? {
        return Ok(());
    }
    Err(ApiError::Conflict("The resource was changed by another request at the same time. Please try again.".into()))
}

/// One revision more of something that has changed without its own row: its tags, its parts.
pub(crate) async fn bump<T: Table>(connection: &mut Connection, id: &str, now: Timestamp) -> Result<(), ApiError> {
    bump_many::<T>(connection, &[id], now).await
}

/// The same of several.
pub(crate) async fn bump_many<T: Table>(
    connection: &mut Connection,
    ids: &[&str],
    now: Timestamp,
) -> Result<(), ApiError> {
    let mut sql = Sql::new("UPDATE ");
    sql.push(T::NAME).push(" SET revision_number = revision_number + 1, updated_at = ").bind(&now);
    sql.push(" WHERE id").is_in(ids).execute(connection).await?;
    Ok(())
}

/// `DELETE` of one.
pub(crate) async fn remove<R: Resource>(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    remove_one::<R>(&request, &id).await
}

/// The same for one that is named otherwise.
pub(super) async fn remove_one<R: Resource>(request: &Request, id: &str) -> Result<StatusCode, ApiError> {
    retried!(try_remove::<R>(request, id))
}

async fn try_remove<R: Resource>(request: &Request, id: &str) -> Result<StatusCode, ApiError> {
    let mut work = Work::begin(request).await?;
    R::lock_before(&mut work, id).await?;
    let row = locked::<R>(&mut work, id).await?;
    let whose = row.whose(request, &mut work.transaction).await?;
    check_rules(request, &[R::ABOUT.delete], &whose.target())?;
    check_revision(request, &row)?;
    row.before_delete(&mut work).await?;
    delete_row::<R>(&mut work.transaction, id).await?;
    work.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a row, with its tags and the policies of its sharing.
pub(crate) async fn delete_row<R: Resource>(connection: &mut Connection, id: &str) -> Result<(), ApiError> {
    delete_rows::<R>(connection, &[id]).await
}

/// Deletes rows, likewise.
pub(crate) async fn delete_rows<R: Resource>(connection: &mut Connection, ids: &[&str]) -> Result<(), ApiError> {
    for ids in ids.chunks(AT_ONCE) {
        if R::ABOUT.tags.is_some() {
            sql!("DELETE FROM network_tags WHERE resource_id").is_in(ids).execute(connection).await?;
        }
        if R::ABOUT.shared.is_some() {
            sql!("DELETE FROM network_rbac WHERE object_id").is_in(ids).execute(connection).await?;
        }
        Sql::new("DELETE FROM ").push(R::NAME).push(" WHERE id").is_in(ids).execute(connection).await?;
    }
    Ok(())
}

/// `If-Match: revision_number=N`.
pub(crate) fn check_revision<R: Fields>(request: &Request, row: &R) -> Result<(), ApiError> {
    let Some(wanted) = request.headers().get(header::IF_MATCH).and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    let Some(wanted) = wanted.strip_prefix("revision_number=").and_then(|number| number.parse::<i64>().ok()) else {
        return Ok(());
    };
    let current = row.revision_number();
    if wanted == current {
        return Ok(());
    }
    Err(typed(
        StatusCode::PRECONDITION_FAILED,
        "RevisionNumberConstraintFailed",
        format!("Constrained to {wanted}, but current revision is {current}"),
    ))
}

/// One that whoever asks may see and change, for operations beside the five.
///
/// # Errors
/// 403 or 404.
pub(crate) async fn locked_for<R: Resource>(work: &mut Work<'_>, rule: Rule, id: &str) -> Result<R, ApiError> {
    let row = locked::<R>(work, id).await?;
    let whose = row.whose(work.request, &mut work.transaction).await?;
    check_rules(work.request, &[rule], &whose.target())?;
    Ok(row)
}

/// One that whoever asks may see and look into, for operations beside the five.
///
/// # Errors
/// 403 or 404.
pub(crate) async fn found_for<R: Resource>(
    request: &Request,
    connection: &mut Connection,
    rule: Rule,
    id: &str,
) -> Result<R, ApiError> {
    let row = find::<R>(request, connection, id).await?;
    let whose = row.whose(request, connection).await?;
    check_rules(request, &[rule], &whose.target())?;
    Ok(row)
}

/// What a resource says of itself when it is made by the cloud and not by a request: the same values by default.
pub(crate) fn by_default<R: Resource>(project: &str, values: serde_json::Value) -> Given {
    let mut all: serde_json::Map<String, serde_json::Value> =
        attributes::<R>().map(|attribute| (attribute.name.to_owned(), attribute.otherwise.value())).collect();
    let mut named = std::collections::BTreeSet::new();
    if let serde_json::Value::Object(values) = values {
        named.extend(attributes::<R>().map(|attribute| attribute.name).filter(|name| values.contains_key(*name)));
        all.extend(values);
    }
    Given { values: all, named, project: project.to_owned() }
}
