//! What Neutron's resources have in common: how they are made, found, listed, shown, changed and deleted.
//!
//! A resource is a model ([`resource!`](crate::resource!)) with a [`Resource`] beside it: what it is [`About`], which of its
//! attributes are no columns, who sees it, and what must be so or be done when it is made, changed or deleted. The operations
//! on it follow ([`operations()`]).

/// Tries again what the database has ended for another's sake.
macro_rules! retried {
    ($attempt:expr) => {{
        let mut attempts = 1;
        loop {
            match $attempt.await {
                Err(::novella_rest::ApiError::TransactionLost)
                    if attempts < ::novella_common::db::TRANSACTION_ATTEMPTS =>
                {
                    attempts += 1;
                }
                result => break result,
            }
        }
    }};
}
pub(crate) use retried;

mod bodies;
mod changes;
mod filters;
mod lists;
pub(crate) mod parts;
mod policies;
pub(crate) mod sharing;
mod tags;
mod view;
mod views;

use std::{collections::BTreeMap, future::Future};

use axum::response::Response;
use jiff::Timestamp;
use novella_common::db::{
    Connection, Table, Transaction,
    list::Condition,
    table::{self, select},
};
use novella_rest::{
    ApiError, Operation,
    policy::{Rule, Target},
};
use serde_json::Value;
use tracing::Instrument;

pub(crate) use self::{
    bodies::{Given, New, body_of},
    changes::{
        bump, bump_many, by_default, create, delete_row, delete_rows, found_for, insert_row, locked_for, make, remove,
        swap, update,
    },
    filters::{flags, in_table},
    lists::{index, names, show},
    policies::{check_rules, granted, is_admin, is_service},
    sharing::{SharedAs, shared_with},
    tags::{operations_at as tag_operations, write as write_tags},
    view::{Show, Shown, View},
    views::{Wanted, shown, views},
};
use crate::{
    Networking, Request,
    attributes::{Attribute, Fields},
    errors,
    watch::{DeviceChanges, Touched},
};

/// What is said once of a resource.
#[derive(Debug)]
pub(crate) struct About {
    /// The key of one in bodies: `network`.
    pub(crate) one: &'static str,
    /// The key of several, and the last part of the path.
    pub(crate) many: &'static str,
    /// `/networks`.
    pub(crate) collection: &'static str,
    /// `/networks/{network_id}`.
    pub(crate) member: &'static str,
    /// `/networks/{network_id}/tags` and `/networks/{network_id}/tags/{tag}`, where there are tags.
    pub(crate) tags: Option<(&'static str, &'static str)>,
    /// The type of a 404, and its text around the id.
    pub(crate) missing: (&'static str, &'static str, &'static str),
    /// Who may list and see, make, change and delete them.
    pub(crate) get: Rule,
    pub(crate) create: Rule,
    /// `None`: they are not changed.
    pub(crate) update: Option<Rule>,
    pub(crate) delete: Rule,
    /// What quotas call them.
    pub(crate) quota: Option<&'static str>,
    /// Whether clients see its revision and times.
    pub(crate) stamped: bool,
    /// The revision that a new one has.
    pub(crate) first_revision: i64,
    /// How they are shared with other projects, where they can be; then each shows whether it is, and may be made so.
    pub(crate) shared: Option<&'static SharedAs>,
}

/// Whose something is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whose {
    /// The project that it belongs to.
    pub(crate) project: String,
    /// The project that what it is part of belongs to.
    pub(crate) parent: Option<String>,
    /// Whether it is shared with whoever asks.
    pub(crate) shared: bool,
}

impl Whose {
    /// Of this project, and part of nothing.
    pub(crate) fn of(project: String) -> Self {
        Self { project, parent: None, shared: false }
    }

    /// For the policy.
    pub(crate) fn target(&self) -> Target<'_> {
        Target {
            project: Some(&self.project),
            parent: self.parent.as_deref(),
            shared: self.shared,
            ..Target::default()
        }
    }
}

/// A transaction on behalf of a request.
pub(crate) struct Work<'w> {
    pub(crate) request: &'w Request,
    pub(crate) transaction: Transaction,
    pub(crate) now: Timestamp,
    /// What devices have of it.
    pub(crate) touched: Touched,
}

impl<'w> Work<'w> {
    /// Begins one.
    pub(crate) async fn begin(request: &'w Request) -> Result<Self, ApiError> {
        let transaction = request.state.database.begin().await?;
        Ok(Self { request, transaction, now: now(), touched: Touched::default() })
    }

    /// Makes all of it last, and lets whoever watches devices know.
    ///
    /// # Errors
    /// Nothing of it lasts, or nobody knows.
    pub(crate) async fn commit(mut self) -> Result<(), ApiError> {
        let Some(watcher) = self.request.state.watcher.clone() else { return Ok(self.transaction.commit().await?) };
        let changes = self.touched.changes(&mut self.transaction).await?;
        if changes == DeviceChanges::default() {
            return Ok(self.transaction.commit().await?);
        }
        let transaction = self.transaction;
        // A client that hangs up must not keep what is done from being known.
        let told = async move {
            transaction.commit().await?;
            watcher.changed(changes).await;
            Ok(())
        };
        tokio::spawn(told.in_current_span()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "what has changed for devices could not be told");
            Err(ApiError::Broken)
        })
    }

    /// The project of the token, or none.
    pub(crate) fn own_project(&self) -> &str {
        self.request.context.project_id.as_deref().unwrap_or_default()
    }
}

/// Now, in the microseconds that a database holds.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// A resource of the Networking API.
pub(crate) trait Resource: Table + Fields + Clone + PartialEq + Send + Sync + 'static {
    const ABOUT: &'static About;

    /// Attributes that are no columns of the table. What is given of them is the hooks' to do.
    const OTHERS: &'static [Attribute] = &[];

    /// Which rows whoever asks may see; `None`: all.
    fn visible(request: &Request) -> Option<Condition> {
        visible_rows(request, Self::ABOUT)
    }

    /// The condition of a filter by an attribute that is no column.
    ///
    /// # Errors
    /// 400 for a value that can't be.
    fn filter(request: &Request, name: &str, values: &[&str]) -> Result<Option<Condition>, ApiError> {
        match Self::ABOUT.shared.filter(|_| name == "shared") {
            Some(shared) => sharing::filter(request, shared, values),
            None => Ok(None),
        }
    }

    /// Whose it is.
    fn whose(
        &self,
        request: &Request,
        connection: &mut Connection,
    ) -> impl Future<Output = Result<Whose, ApiError>> + Send {
        async move {
            let shared = match Self::ABOUT.shared {
                Some(shared) => {
                    sharing::shared_now(request, connection, shared, &[self.id()]).await?.contains(self.id())
                }
                None => false,
            };
            Ok(Whose { shared, ..Whose::of(self.project_id().to_owned()) })
        }
    }

    /// Whose a new one would be.
    fn whose_new(
        given: &Given,
        _request: &Request,
        _connection: &mut Connection,
    ) -> impl Future<Output = Result<Whose, ApiError>> + Send {
        let project = given.project.clone();
        async move { Ok(Whose::of(project)) }
    }

    /// What must be so of those that one request asks for together.
    fn check_together(_given: &[Given]) -> Result<(), ApiError> {
        Ok(())
    }

    /// Whether the rule of an attribute is asked for when it is given this value.
    fn asks(_attribute: &Attribute, _value: &Value) -> bool {
        true
    }

    /// Locks what must be locked before it, so that nobody waits in a circle.
    fn lock_before(_work: &mut Work<'_>, _id: &str) -> impl Future<Output = Result<(), ApiError>> + Send {
        async { Ok(()) }
    }

    /// What must be so before a new one is written, and what is decided for it.
    fn before_create(
        &mut self,
        _work: &mut Work<'_>,
        _given: &Given,
    ) -> impl Future<Output = Result<(), ApiError>> + Send {
        async { Ok(()) }
    }

    /// Writes it.
    fn write(&self, work: &mut Work<'_>, _given: &Given) -> impl Future<Output = Result<(), ApiError>> + Send {
        async move { insert_row(&mut work.transaction, self).await }
    }

    /// What is written with it, after it.
    fn after_create(
        &mut self,
        _work: &mut Work<'_>,
        _given: &Given,
    ) -> impl Future<Output = Result<(), ApiError>> + Send {
        async { Ok(()) }
    }

    /// What must be so, or be done, before it is changed from `old` to what it is now.
    fn before_update(
        &mut self,
        _old: &Self,
        _work: &mut Work<'_>,
        _given: &Given,
    ) -> impl Future<Output = Result<(), ApiError>> + Send {
        async { Ok(()) }
    }

    /// What must be so, or be done, before it is deleted.
    fn before_delete(&self, _work: &mut Work<'_>) -> impl Future<Output = Result<(), ApiError>> + Send {
        async { Ok(()) }
    }

    /// Adds what clients see beside the columns, for all rows of an answer together.
    fn complete(
        _rows: &[Self],
        _views: &mut [View<'_>],
        _wanted: &Wanted<'_>,
        _request: &Request,
        _connection: &mut Connection,
    ) -> impl Future<Output = Result<(), ApiError>> + Send {
        async { Ok(()) }
    }

    /// 404: there is none of this id, or none that whoever asks may know of.
    fn missing(id: &str) -> ApiError {
        let (kind, before, after) = Self::ABOUT.missing;
        errors::missing(kind, format!("{before}{id}{after}"))
    }
}

/// All attributes of a resource.
pub(crate) fn attributes<R: Resource>() -> impl Iterator<Item = &'static Attribute> {
    R::FIELDS.iter().map(|field| &field.attribute).chain(R::OTHERS)
}

/// The five operations on a resource, and those on its tags.
pub(crate) fn operations<R: Resource>() -> Vec<Operation<Networking>> {
    use novella_rest::{delete, get, post, put};
    let about = R::ABOUT;
    let mut operations = vec![
        get(about.collection, about.get, index::<R>).takes(names::<R>()),
        post(about.collection, about.create, create::<R>).status(201),
        get(about.member, about.get, show::<R>).takes(["fields"]),
        delete(about.member, about.delete, remove::<R>).status(204),
    ];
    if let Some(rule) = about.update {
        operations.push(put(about.member, rule, update::<R>));
    }
    operations.extend(tags::operations::<R>());
    operations
}

/// The project's own rows, and those that are shared with it; of everybody for administrators.
pub(crate) fn visible_rows(request: &Request, about: &About) -> Option<Condition> {
    if is_admin(request) {
        return None;
    }
    let project = request.context.project_id.as_deref().unwrap_or_default();
    let mut sql = novella_common::sql!("project_id = "(project));
    if let Some(shared) = about.shared {
        sql.push(" OR id IN (").append(sharing::seen_by(shared, project)).push(")");
    }
    Some(Condition::raw(sql))
}

/// One that whoever asks may see.
///
/// # Errors
/// 404.
pub(crate) async fn find<R: Resource>(request: &Request, connection: &mut Connection, id: &str) -> Result<R, ApiError> {
    let list = novella_common::db::list::List::<R>::all().filter(Condition::equal("id", id));
    let list = match R::visible(request) {
        Some(visible) => list.visible(visible),
        None => list,
    };
    let found = list.limit(1).page(connection).await;
    match found {
        Ok(rows) => rows.unwrap_or_default().into_iter().next().ok_or_else(|| R::missing(id)),
        // What can't be bound names nothing.
        Err(novella_common::db::DbError::Bind(_)) => Err(R::missing(id)),
        Err(error) => Err(error.into()),
    }
}

/// One, whoever may see it.
pub(crate) async fn look_up<R: Table>(connection: &mut Connection, id: &str) -> Result<Option<R>, ApiError> {
    Ok(select::<R>().push(" WHERE id = ").bind(id).fetch_optional(connection).await?)
}

/// One that whoever asks may see, which nobody else changes until the transaction ends.
///
/// # Errors
/// 404.
pub(crate) async fn locked<R: Resource>(work: &mut Work<'_>, id: &str) -> Result<R, ApiError> {
    find::<R>(work.request, &mut work.transaction, id).await?;
    table::lock::<R, _>(&mut work.transaction, id).await?.ok_or_else(|| R::missing(id))
}

/// One that is neither changed nor deleted until the transaction ends; others may hold it so, too.
pub(crate) async fn held<R: Table>(connection: &mut Connection, id: &str) -> Result<Option<R>, ApiError> {
    let mut sql = select::<R>();
    // SQLite has one writer.
    sql.push(" WHERE id = ").bind(id).push_for("", " FOR SHARE");
    Ok(sql.fetch_optional(connection).await?)
}

/// Several, in order of their ids, which are neither changed nor deleted until the transaction ends.
pub(crate) async fn held_many<R: Table>(
    connection: &mut Connection,
    ids: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<Vec<R>, ApiError> {
    let mut sql = select::<R>();
    sql.push(" WHERE id").is_in(texts(ids)).push(" ORDER BY id").push_for("", " FOR SHARE");
    Ok(sql.fetch_all(connection).await?)
}

fn texts(values: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    values.into_iter().map(|value| value.as_ref().to_owned()).collect()
}

/// Rows by what their column `column` holds, in order of their ids.
pub(crate) async fn rows_by<R: Table>(
    connection: &mut Connection,
    column: &'static str,
    values: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<Vec<R>, ApiError> {
    let values = texts(values);
    let mut rows = Vec::new();
    for values in values.chunks(AT_ONCE) {
        let mut sql = select::<R>();
        sql.push(" WHERE ").push(column).is_in(values).push(" ORDER BY id");
        rows.extend(sql.fetch_all::<R>(connection).await?);
    }
    Ok(rows)
}

/// Values that are asked for in one query at most: SQLite takes some 30,000.
pub(crate) const AT_ONCE: usize = 10_000;

/// Pairs by the first of them.
pub(crate) fn grouped<K: Ord, T>(pairs: impl IntoIterator<Item = (K, T)>) -> BTreeMap<K, Vec<T>> {
    let mut groups: BTreeMap<K, Vec<T>> = BTreeMap::new();
    for (key, value) in pairs {
        groups.entry(key).or_default().push(value);
    }
    groups
}

/// The answer to a `GET` or `PUT` of one.
pub(crate) async fn answer<R: Resource>(
    request: &Request,
    connection: &mut Connection,
    row: &R,
) -> Result<Response, ApiError> {
    shown(request, connection, row).await
}
