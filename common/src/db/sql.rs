//! Queries: one text for both databases, with each value beside what it is compared with or written to.
//!
//! ```ignore
//! let won = sql!(
//!     "UPDATE instances SET task_state = " (task_state) ", updated_at = " (Timestamp::now())
//!     " WHERE uuid = " (uuid) " AND task_state IS NOT DISTINCT FROM " (seen)
//! )
//! .execute_one(connection)
//! .await?;
//! ```
//!
//! Values never become text: each is bound, with the type that it has in the database. The text of a query does not
//! depend on the values, and beyond a few not on how many there are in a list either, so that a statement is prepared
//! once for each connection.

use std::fmt::Write as _;

use futures_util::{TryStreamExt, future::BoxFuture};
use sqlx::{AssertSqlSafe, postgres::PgArguments, sqlite::SqliteArguments};

use super::{
    Bind, BindError, Connection, DbError, FromRow, Kind, Row, Value, connect::Raw, postgres, server_connection::within,
    sqlite,
};

/// A query in the making. The macro [`sql!`](crate::sql!) writes a whole one; this adds to it piece by piece.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Sql {
    parts: Vec<Part>,
    /// The first value that could not be bound. The query fails with it.
    error: Option<BindError>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(&'static str),
    /// What the two databases say differently.
    Dialect {
        sqlite: &'static str,
        postgres: &'static str,
    },
    Value(Value),
    /// The right-hand side of a comparison with any of several values.
    AnyOf(Kind, Vec<Value>),
    /// A table of values, row by row.
    Rows(Vec<Vec<Value>>),
}

/// As many values of a list SQLite is given one by one. More are given as one, a JSON array: each parameter of a statement
/// is looked up by name among all when it is bound, and a text with another number of them is another statement.
pub(super) const FEW: usize = 8;
/// As many values of a list PostgreSQL compares with each row, one after the other, which a plan that was made for any list
/// does. More are a table for it, and are looked up in it.
pub(super) const FEW_FOR_POSTGRES: usize = 32;

/// What is done with each row.
pub(super) type TakeRow<'t> = dyn FnMut(&mut Row<'_>) -> Result<(), DbError> + Send + 't;

/// One row of [`Sql::rows`].
#[derive(Debug, Default)]
pub struct Cells {
    values: Vec<Value>,
    error: Option<BindError>,
}

impl Cells {
    /// Adds the row's next value.
    pub fn bind<T: Bind + ?Sized>(&mut self, value: &T) -> &mut Self {
        match value.to_value() {
            Ok(value) => self.values.push(value),
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
        self
    }
}

impl Sql {
    /// A query that begins with `text`.
    pub fn new(text: &'static str) -> Self {
        Self { parts: vec![Part::Text(text)], error: None }
    }

    /// Adds fixed text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.parts.push(Part::Text(text));
        self
    }

    /// Adds fixed text that the two databases need differently.
    pub fn push_for(&mut self, sqlite: &'static str, postgres: &'static str) -> &mut Self {
        self.parts.push(Part::Dialect { sqlite, postgres });
        self
    }

    /// Adds another piece of a query.
    pub fn append(&mut self, other: Sql) -> &mut Self {
        self.parts.extend(other.parts);
        self.error = self.error.take().or(other.error);
        self
    }

    /// Adds a value.
    pub fn bind<T: Bind + ?Sized>(&mut self, value: &T) -> &mut Self {
        match value.to_value() {
            Ok(value) => self.parts.push(Part::Value(value)),
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
        self
    }

    /// Adds a value that is one already.
    pub(super) fn bind_value(&mut self, value: Value) -> &mut Self {
        self.parts.push(Part::Value(value));
        self
    }

    /// Adds ` IN (...)`: the column before it has one of these values. None of none.
    pub fn is_in<T: Bind>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self {
        match values.into_iter().map(|value| value.to_value()).collect::<Result<Vec<_>, _>>() {
            Ok(values) => self.parts.push(Part::AnyOf(T::KIND, values)),
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
        self
    }

    /// Adds a table of values with a row for each item: what `INSERT INTO t (...)` and `(a, b) IN (` are followed by,
    /// or `FROM (`, where its columns are `column1`, `column2` and so on. There must be an item.
    pub fn rows<T>(&mut self, items: impl IntoIterator<Item = T>, cells: impl Fn(T, &mut Cells)) -> &mut Self {
        let mut rows = Vec::new();
        for item in items {
            let mut row = Cells::default();
            cells(item, &mut row);
            self.error = self.error.take().or(row.error);
            rows.push(row.values);
        }
        self.parts.push(Part::Rows(rows));
        self
    }

    /// Adds the values of one row, separated by commas.
    pub fn row(&mut self, cells: impl FnOnce(&mut Cells)) -> &mut Self {
        let mut row = Cells::default();
        cells(&mut row);
        self.error = self.error.take().or(row.error);
        for (index, value) in row.values.into_iter().enumerate() {
            self.push(if index == 0 { "" } else { ", " }).bind_value(value);
        }
        self
    }

    /// Runs it, and reads every row.
    ///
    /// # Errors
    /// The database's, or a row that this program can't have written.
    pub async fn fetch_all<T: FromRow>(&mut self, connection: &mut Connection) -> Result<Vec<T>, DbError> {
        let mut found = Vec::new();
        let mut keep = |row: &mut Row<'_>| {
            found.push(T::from_row(row)?);
            Ok(())
        };
        self.fetch_each(connection, &mut keep).await?;
        Ok(found)
    }

    /// Runs it, and gives each row to `take`.
    #[inline(never)]
    pub(super) fn fetch_each<'a>(
        &'a mut self,
        connection: &'a mut Connection,
        take: &'a mut TakeRow<'_>,
    ) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(async move {
            let answer = within(connection.limit(), self.read_each(connection, take)).await;
            connection.settle(answer)
        })
    }

    async fn read_each(&mut self, connection: &mut Connection, take: &mut TakeRow<'_>) -> Result<(), DbError> {
        #[cfg(test)]
        self.explain(connection).await?;
        match connection.raw()? {
            Raw::Sqlite(connection) => {
                let (text, arguments) = self.for_sqlite(FEW)?;
                // Row by row, while SQLite's thread looks for the next ones.
                let mut rows = sqlx::query_with(AssertSqlSafe(text), arguments).fetch(connection);
                while let Some(row) = rows.try_next().await? {
                    take(&mut Row::sqlite(&row))?;
                }
            }
            Raw::Postgres(connection) => {
                let (text, arguments) = self.for_postgres(FEW_FOR_POSTGRES)?;
                let mut rows = sqlx::query_with(AssertSqlSafe(text), arguments).fetch(connection);
                while let Some(row) = rows.try_next().await? {
                    take(&mut Row::postgres(&row))?;
                }
            }
        }
        Ok(())
    }

    /// Runs it, and reads the first row, if there is one.
    ///
    /// # Errors
    /// The database's, or a row that this program can't have written.
    pub async fn fetch_optional<T: FromRow>(&mut self, connection: &mut Connection) -> Result<Option<T>, DbError> {
        self.fetch_optional_by(connection, T::from_row).await
    }

    /// As [`Sql::fetch_optional`], where no type says how the row is read.
    pub(super) async fn fetch_optional_by<T: Send>(
        &mut self,
        connection: &mut Connection,
        mut read: impl FnMut(&mut Row<'_>) -> Result<T, DbError> + Send,
    ) -> Result<Option<T>, DbError> {
        let mut found = None;
        let mut keep = |row: &mut Row<'_>| {
            found = Some(read(row)?);
            Ok(())
        };
        self.fetch_first(connection, &mut keep).await?;
        Ok(found)
    }

    /// Runs it, and gives the first row to `take`, if there is one.
    #[inline(never)]
    fn fetch_first<'a>(
        &'a mut self,
        connection: &'a mut Connection,
        take: &'a mut TakeRow<'_>,
    ) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(async move {
            let answer = within(connection.limit(), self.read_first(connection, take)).await;
            connection.settle(answer)
        })
    }

    async fn read_first(&mut self, connection: &mut Connection, take: &mut TakeRow<'_>) -> Result<(), DbError> {
        #[cfg(test)]
        self.explain(connection).await?;
        match connection.raw()? {
            Raw::Sqlite(connection) => {
                let (text, arguments) = self.for_sqlite(FEW)?;
                let row = sqlx::query_with(AssertSqlSafe(text), arguments).fetch_optional(connection).await?;
                row.map_or(Ok(()), |row| take(&mut Row::sqlite(&row)))
            }
            Raw::Postgres(connection) => {
                let (text, arguments) = self.for_postgres(FEW_FOR_POSTGRES)?;
                let row = sqlx::query_with(AssertSqlSafe(text), arguments).fetch_optional(connection).await?;
                row.map_or(Ok(()), |row| take(&mut Row::postgres(&row)))
            }
        }
    }

    /// Runs it, and reads its one row.
    ///
    /// # Errors
    /// As [`Sql::fetch_optional`]; and that there is no row.
    pub async fn fetch_one<T: FromRow>(&mut self, connection: &mut Connection) -> Result<T, DbError> {
        self.fetch_optional(connection).await?.ok_or(DbError::Sqlx(sqlx::Error::RowNotFound))
    }

    /// Runs it, and says how many rows it has changed.
    ///
    /// # Errors
    /// The database's.
    pub async fn execute(&mut self, connection: &mut Connection) -> Result<u64, DbError> {
        self.run(connection).await
    }

    #[inline(never)]
    fn run<'a>(&'a mut self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, DbError>> {
        Box::pin(async move {
            let answer = within(connection.limit(), self.run_unlimited(connection)).await;
            connection.settle(answer)
        })
    }

    async fn run_unlimited(&mut self, connection: &mut Connection) -> Result<u64, DbError> {
        #[cfg(test)]
        self.explain(connection).await?;
        Ok(match connection.raw()? {
            Raw::Sqlite(connection) => {
                let (text, arguments) = self.for_sqlite(FEW)?;
                sqlx::query_with(AssertSqlSafe(text), arguments).execute(connection).await?.rows_affected()
            }
            Raw::Postgres(connection) => {
                let (text, arguments) = self.for_postgres(FEW_FOR_POSTGRES)?;
                sqlx::query_with(AssertSqlSafe(text), arguments).execute(connection).await?.rows_affected()
            }
        })
    }

    /// Runs it, and says whether it has changed a row: the end of every compare-and-swap.
    ///
    /// # Errors
    /// The database's.
    pub async fn execute_one(&mut self, connection: &mut Connection) -> Result<bool, DbError> {
        Ok(self.execute(connection).await? == 1)
    }

    /// Its text and its values. Lists of more than `few` values are one value each.
    pub(super) fn for_sqlite(&mut self, few: usize) -> Result<(String, SqliteArguments), DbError> {
        let mut text = String::new();
        let mut arguments = SqliteArguments::default();
        let mut bound = 0;
        for part in self.take_parts()? {
            match part {
                Part::Text(part) | Part::Dialect { sqlite: part, .. } => text.push_str(part),
                Part::Value(value) => {
                    placeholder(&mut text, &mut bound);
                    sqlite::add(&mut arguments, value)?;
                }
                Part::AnyOf(_, values) if values.len() > few => {
                    text.push_str(" IN (SELECT value FROM json_each(");
                    placeholder(&mut text, &mut bound);
                    text.push_str("))");
                    sqlite::add_array(&mut arguments, &values)?;
                }
                Part::AnyOf(_, values) => {
                    text.push_str(" IN (");
                    sqlite_row(&mut text, &mut arguments, &mut bound, values)?;
                }
                Part::Rows(rows) => {
                    for (index, row) in rows.into_iter().enumerate() {
                        text.push_str(if index == 0 { "VALUES (" } else { ", (" });
                        sqlite_row(&mut text, &mut arguments, &mut bound, row)?;
                    }
                }
            }
        }
        Ok((text, arguments))
    }

    pub(super) fn for_postgres(&mut self, few: usize) -> Result<(String, PgArguments), DbError> {
        let mut text = String::new();
        let mut arguments = PgArguments::default();
        let mut bound = 0;
        for part in self.take_parts()? {
            match part {
                Part::Text(part) | Part::Dialect { postgres: part, .. } => text.push_str(part),
                Part::Value(value) => {
                    placeholder(&mut text, &mut bound);
                    postgres::add(&mut arguments, value)?;
                }
                Part::AnyOf(kind, values) => {
                    let (before, after) =
                        if values.len() > few { (" IN (SELECT UNNEST(", "))") } else { (" = ANY(", ")") };
                    text.push_str(before);
                    placeholder(&mut text, &mut bound);
                    text.push_str(after);
                    postgres::add_array(&mut arguments, kind, &values)?;
                }
                Part::Rows(rows) => {
                    // An array for each column, and not a parameter for each value: the text is the same for any number
                    // of rows, and each array has a type, also where its values are NULL.
                    let columns = transpose(rows);
                    text.push_str("SELECT * FROM UNNEST(");
                    for (index, values) in columns.iter().enumerate() {
                        text.push_str(if index == 0 { "" } else { ", " });
                        placeholder(&mut text, &mut bound);
                        if let Some(kind) = values.first().map(Value::kind) {
                            postgres::add_array(&mut arguments, kind, values)?;
                        }
                    }
                    text.push_str(") AS u(");
                    for index in 0..columns.len() {
                        let _ = write!(text, "{}column{}", if index == 0 { "" } else { ", " }, index + 1);
                    }
                    text.push(')');
                }
            }
        }
        Ok((text, arguments))
    }

    fn take_parts(&mut self) -> Result<Vec<Part>, DbError> {
        match self.error.take() {
            Some(error) => Err(error.into()),
            None => Ok(std::mem::take(&mut self.parts)),
        }
    }
}

fn placeholder(text: &mut String, bound: &mut usize) {
    *bound += 1;
    // Writing to a String can't fail.
    let _ = write!(text, "${bound}");
}

fn sqlite_row(
    text: &mut String,
    arguments: &mut SqliteArguments,
    bound: &mut usize,
    values: Vec<Value>,
) -> Result<(), DbError> {
    for (index, value) in values.into_iter().enumerate() {
        text.push_str(if index == 0 { "" } else { ", " });
        placeholder(text, bound);
        sqlite::add(arguments, value)?;
    }
    text.push(')');
    Ok(())
}

fn transpose(rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    let mut columns: Vec<Vec<Value>> = Vec::new();
    for row in rows {
        columns.resize_with(columns.len().max(row.len()), Vec::new);
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    columns
}

/// A query in its text, each value in parentheses where it belongs: `sql!("SELECT host FROM t WHERE uuid = " (uuid))`.
#[macro_export]
macro_rules! sql {
    ($($text:literal $(($value:expr))?)+) => {{
        let mut sql = $crate::db::Sql::default();
        $(
            sql.push($text);
            $(sql.bind(&$value);)?
        )+
        sql
    }};
}
