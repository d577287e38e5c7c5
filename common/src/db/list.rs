//! Lists by pages, each read in one query: one keyset pager for every table.
//!
//! ```ignore
//! const NAME: SortKey = SortKey::text("name");
//!
//! let page = List::<KeyPair>::all()
//!     .visible(Condition::equal("user_id", &user))
//!     .filter(Condition::text("name", &Pattern::Prefix("ci-".into())))
//!     .sort(NAME, Direction::Ascending)
//!     .marker_text(query.marker.as_deref())
//!     .limit(query.limit)
//!     .page(connection)
//!     .await?
//!     .ok_or_else(|| marker_not_found())?;
//! ```
//!
//! The order is that of the sort keys, and ties are broken by the table's key, so that it is total. A page begins after
//! the marker's row: the values of its sort keys are read, and the page is what lies beyond them, which an index answers
//! however far down the list it is. NULL counts as the smallest value of its kind: the empty text, false, the nil UUID,
//! 1970.
//!
//! Regular expressions are not the databases' matter (see [`Expression`]): a list with one is read in larger and larger
//! parts, each beyond the one before, of which only the rows that fit are kept, until the page is full.

mod expression;
mod query;

use std::marker::PhantomData;

pub use self::expression::{Expression, NoExpression};
use self::query::{Marker, Query};
use super::{Bind, Connection, DbError, FromRow, Kind, Row, Sql, Table, Value};

/// A column that a list can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    column: &'static str,
    kind: Kind,
    nullable: bool,
}

impl SortKey {
    const fn new(column: &'static str, kind: Kind) -> Self {
        Self { column, kind, nullable: false }
    }

    /// A column that holds text. It is compared by its bytes.
    #[must_use]
    pub const fn text(column: &'static str) -> Self {
        Self::new(column, Kind::Text)
    }

    /// A column that holds integers.
    #[must_use]
    pub const fn int(column: &'static str) -> Self {
        Self::new(column, Kind::Int)
    }

    /// A column that holds true or false, of which false is the smaller.
    #[must_use]
    pub const fn boolean(column: &'static str) -> Self {
        Self::new(column, Kind::Bool)
    }

    /// A column that holds UUIDs.
    #[must_use]
    pub const fn uuid(column: &'static str) -> Self {
        Self::new(column, Kind::Uuid)
    }

    /// A column that holds times.
    #[must_use]
    pub const fn time(column: &'static str) -> Self {
        Self::new(column, Kind::Time)
    }

    /// The same column, where it can be NULL.
    #[must_use]
    pub const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// The column's name.
    pub(super) const fn column(self) -> &'static str {
        self.column
    }

    /// Adds what is sorted by.
    fn push_to(self, sql: &mut Sql) {
        if !self.nullable {
            sql.push(self.column);
            return;
        }
        sql.push("COALESCE(").push(self.column).push(", ");
        match self.kind {
            Kind::Text => sql.push("''"),
            // One more than the smallest: both databases read a minus sign and a number that must itself fit.
            Kind::Int => sql.push("-9223372036854775807"),
            Kind::Bool => sql.push("FALSE"),
            Kind::Uuid => {
                sql.push_for("'00000000-0000-0000-0000-000000000000'", "UUID '00000000-0000-0000-0000-000000000000'")
            }
            Kind::Time => sql.push_for("0", "TIMESTAMPTZ 'epoch'"),
            Kind::Json => sql.push_for("'null'", "JSONB 'null'"),
        };
        sql.push(")");
    }
}

/// Smallest or largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

/// A text to be found in a column, with upper and lower case told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Anywhere in it. The empty text is everywhere.
    Contains(String),
    /// At its beginning.
    Prefix(String),
    /// At its end.
    Suffix(String),
    /// The whole of it.
    Exact(String),
}

/// What a row must fulfil.
#[derive(Clone, Debug)]
pub struct Condition(Sql);

impl Condition {
    fn compare<T: Bind + ?Sized>(column: &'static str, operator: &'static str, value: &T) -> Self {
        let mut sql = Sql::new(column);
        sql.push(operator).bind(value);
        Self(sql)
    }

    /// The column has this value.
    #[must_use]
    pub fn equal<T: Bind + ?Sized>(column: &'static str, value: &T) -> Self {
        Self::compare(column, " = ", value)
    }

    /// The column has this value or a greater one.
    #[must_use]
    pub fn at_least<T: Bind + ?Sized>(column: &'static str, value: &T) -> Self {
        Self::compare(column, " >= ", value)
    }

    /// The column has this value or a smaller one.
    #[must_use]
    pub fn at_most<T: Bind + ?Sized>(column: &'static str, value: &T) -> Self {
        Self::compare(column, " <= ", value)
    }

    /// The column has one of these values. No row has one of none.
    #[must_use]
    pub fn is_in<T: Bind>(column: &'static str, values: impl IntoIterator<Item = T>) -> Self {
        let mut sql = Sql::new(column);
        sql.is_in(values);
        Self(sql)
    }

    /// The column is NULL, or it is not.
    #[must_use]
    pub fn is_null(column: &'static str, null: bool) -> Self {
        let mut sql = Sql::new(column);
        sql.push(if null { " IS NULL" } else { " IS NOT NULL" });
        Self(sql)
    }

    /// The column has this text in it.
    #[must_use]
    pub fn text(column: &'static str, pattern: &Pattern) -> Self {
        let mut sql = Sql::default();
        // Not LIKE: it tells upper and lower case apart in one of the two databases only.
        match pattern {
            Pattern::Contains(text) => {
                sql.push_for("INSTR(", "STRPOS(").push(column).push(", ").bind(text).push(") > 0");
            }
            Pattern::Prefix(text) => {
                sql.push("SUBSTR(").push(column).push(", 1, CAST(").bind(&length(text)).push(" AS INTEGER)) = ");
                sql.bind(text);
            }
            Pattern::Suffix(text) => {
                sql.push("LENGTH(").push(column).push(") >= ").bind(&length(text));
                sql.push(" AND SUBSTR(").push(column).push(", CAST(LENGTH(").push(column).push(") + 1 - ");
                sql.bind(&length(text)).push(" AS INTEGER)) = ").bind(text);
            }
            Pattern::Exact(text) => {
                sql.push(column).push(" = ").bind(text);
            }
        }
        Self(sql)
    }

    fn joined(conditions: impl IntoIterator<Item = Condition>, by: &'static str, none: &'static str) -> Self {
        let joined = conditions.into_iter().reduce(|Condition(mut before), Condition(next)| {
            before.push(by).append(next);
            Condition(before)
        });
        let Some(Condition(joined)) = joined else { return Self(Sql::new(none)) };
        let mut sql = Sql::new("(");
        sql.append(joined).push(")");
        Self(sql)
    }

    /// One of these holds. None of none does.
    #[must_use]
    pub fn any(conditions: impl IntoIterator<Item = Condition>) -> Self {
        Self::joined(conditions, ") OR (", "1 = 0")
    }

    /// All of these hold.
    #[must_use]
    pub fn all(conditions: impl IntoIterator<Item = Condition>) -> Self {
        Self::joined(conditions, ") AND (", "1 = 1")
    }

    /// The column has a greater value than this.
    #[must_use]
    pub fn above<T: Bind + ?Sized>(column: &'static str, value: &T) -> Self {
        Self::compare(column, " > ", value)
    }

    /// The column has a smaller value than this.
    #[must_use]
    pub fn below<T: Bind + ?Sized>(column: &'static str, value: &T) -> Self {
        Self::compare(column, " < ", value)
    }

    /// A condition in SQL, for what the others do not say.
    pub fn raw(sql: Sql) -> Self {
        Self(sql)
    }
}

/// In characters, as SQL counts.
fn length(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// Which rows of a table are wanted, in which order, from where on, and how many. `R` is what is read of each.
#[derive(Clone, Debug)]
#[must_use]
pub struct List<R> {
    query: Query,
    row: PhantomData<fn() -> R>,
}

impl<T: Table> List<T> {
    /// Whole rows of a table.
    pub fn all() -> Self {
        Self::select(T::COLUMNS, T::NAME, T::KEY)
    }
}

impl<R: FromRow> List<R> {
    /// These columns of a table, or of several that are joined. `key` tells the rows apart.
    pub fn select(columns: &'static str, from: &'static str, key: SortKey) -> Self {
        Self { query: Query::new(columns, from, key), row: PhantomData }
    }

    /// Only rows that fulfil this, the marker's too: what the caller may see at all.
    pub fn visible(mut self, condition: Condition) -> Self {
        self.query.visible.push(condition);
        self
    }

    /// Only rows that fulfil this; the marker's need not.
    pub fn filter(mut self, condition: Condition) -> Self {
        self.query.filters.push(condition);
        self
    }

    /// Only rows in whose column this expression is found; the marker's need not fulfil it.
    pub fn matching(mut self, column: SortKey, expression: Expression) -> Self {
        match expression.plain() {
            Some(pattern) if column.kind == Kind::Text => self.filter(Condition::text(column.column, pattern)),
            _ => {
                self.query.expressions.push((column, expression));
                self
            }
        }
    }

    /// Sorted by this, after the keys that were given before. A column that is among them already has no say but in the
    /// direction of ties: a query's length grows with the columns, and not with how often a request names them.
    pub fn sort(mut self, key: SortKey, direction: Direction) -> Self {
        if self.query.order.iter().all(|(given, _)| given.column != key.column) {
            self.query.order.push((key, direction));
        }
        self.query.ties = direction;
        self
    }

    /// A marker names its row by this column, and not by the table's key. It must tell apart the rows that are visible.
    pub fn named_by(mut self, column: SortKey) -> Self {
        self.query.named_by = column;
        self
    }

    /// Only what comes after the row that this names.
    pub fn marker<K: Bind + ?Sized>(mut self, key: Option<&K>) -> Self {
        self.query.marker = match key.map(Bind::to_value) {
            None => Marker::None,
            Some(Ok(value)) => Marker::After(value),
            Some(Err(_)) => Marker::NoRow,
        };
        self
    }

    /// Only what comes after the row that this names, in the words of a request.
    pub fn marker_text(mut self, key: Option<&str>) -> Self {
        let value = |text: &str| match self.query.named_by.kind {
            Kind::Int => text.parse().ok().map(Value::Int),
            Kind::Uuid => text.parse().ok().map(Value::Uuid),
            Kind::Text | Kind::Bool | Kind::Time | Kind::Json => text.to_value().ok(),
        };
        self.query.marker = key.map_or(Marker::None, |text| value(text).map_or(Marker::NoRow, Marker::After));
        self
    }

    /// At most so many.
    pub fn limit(mut self, limit: impl Into<Option<i64>>) -> Self {
        self.query.limit = limit.into();
        self
    }

    /// Without the first so many. They are read all the same: for interfaces that page by number.
    pub fn offset(mut self, offset: i64) -> Self {
        self.query.offset = Some(offset);
        self
    }

    /// Reads the rows, in order. `None`: the marker's row is not there, or not visible.
    ///
    /// # Errors
    /// The database's.
    pub async fn page(self, connection: &mut Connection) -> Result<Option<Vec<R>>, DbError> {
        let mut found = Vec::new();
        let mut keep = |row: &mut Row<'_>| {
            found.push(R::from_row(row)?);
            Ok(())
        };
        let marker_found = self.query.read(connection, &mut keep).await?;
        Ok(marker_found.then_some(found))
    }

    /// Counts the rows, whatever the marker and the limit.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(self, connection: &mut Connection) -> Result<i64, DbError> {
        self.query.count(connection).await
    }
}
