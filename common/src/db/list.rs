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

use std::marker::PhantomData;

pub use self::expression::{Expression, NoExpression};
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

/// Rows that are looked at in the first part of a list with regular expressions, at least; each further part has four
/// times as many.
const FIRST_PART: i64 = 100;
/// Rows that are looked at in one part at most: each part is a query, which may have to sort.
const LARGEST_PART: i64 = 20_000;

/// In characters, as SQL counts.
fn length(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// Which rows of a table are wanted, in which order, from where on, and how many. `R` is what is read of each.
#[derive(Clone, Debug)]
#[must_use]
pub struct List<R> {
    columns: &'static str,
    from: &'static str,
    key: SortKey,
    named_by: SortKey,
    visible: Vec<Condition>,
    filters: Vec<Condition>,
    expressions: Vec<(SortKey, Expression)>,
    order: Vec<(SortKey, Direction)>,
    marker: Marker,
    limit: Option<i64>,
    offset: Option<i64>,
    row: PhantomData<fn() -> R>,
}

#[derive(Clone, Debug)]
enum Marker {
    None,
    /// What the last row of the page before is named by.
    After(Value),
    /// What can't name any row.
    NoRow,
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
        Self {
            columns,
            from,
            key,
            named_by: key,
            visible: Vec::new(),
            filters: Vec::new(),
            expressions: Vec::new(),
            order: Vec::new(),
            marker: Marker::None,
            limit: None,
            offset: None,
            row: PhantomData,
        }
    }

    /// Only rows that fulfil this, the marker's too: what the caller may see at all.
    pub fn visible(mut self, condition: Condition) -> Self {
        self.visible.push(condition);
        self
    }

    /// Only rows that fulfil this; the marker's need not.
    pub fn filter(mut self, condition: Condition) -> Self {
        self.filters.push(condition);
        self
    }

    /// Only rows in whose column this expression is found; the marker's need not fulfil it.
    pub fn matching(mut self, column: SortKey, expression: Expression) -> Self {
        match expression.plain() {
            Some(pattern) if column.kind == Kind::Text => self.filter(Condition::text(column.column, pattern)),
            _ => {
                self.expressions.push((column, expression));
                self
            }
        }
    }

    /// Sorted by this, after the keys that were given before.
    pub fn sort(mut self, key: SortKey, direction: Direction) -> Self {
        self.order.push((key, direction));
        self
    }

    /// A marker names its row by this column, and not by the table's key. It must tell apart the rows that are visible.
    pub fn named_by(mut self, column: SortKey) -> Self {
        self.named_by = column;
        self
    }

    /// Only what comes after the row that this names.
    pub fn marker<K: Bind + ?Sized>(mut self, key: Option<&K>) -> Self {
        self.marker = match key.map(Bind::to_value) {
            None => Marker::None,
            Some(Ok(value)) => Marker::After(value),
            Some(Err(_)) => Marker::NoRow,
        };
        self
    }

    /// Only what comes after the row that this names, in the words of a request.
    pub fn marker_text(mut self, key: Option<&str>) -> Self {
        let value = |text: &str| match self.named_by.kind {
            Kind::Int => text.parse().ok().map(Value::Int),
            Kind::Uuid => text.parse().ok().map(Value::Uuid),
            Kind::Text | Kind::Bool | Kind::Time | Kind::Json => text.to_value().ok(),
        };
        self.marker = key.map_or(Marker::None, |text| value(text).map_or(Marker::NoRow, Marker::After));
        self
    }

    /// At most so many.
    pub fn limit(mut self, limit: impl Into<Option<i64>>) -> Self {
        self.limit = limit.into();
        self
    }

    /// Without the first so many. They are read all the same: for interfaces that page by number.
    pub fn offset(mut self, offset: i64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Reads the rows, in order. `None`: the marker's row is not there, or not visible.
    ///
    /// # Errors
    /// The database's.
    pub async fn page(self, connection: &mut Connection) -> Result<Option<Vec<R>>, DbError> {
        let order = self.total_order();
        let beyond = match &self.marker {
            Marker::None => None,
            Marker::NoRow => return Ok(None),
            Marker::After(key) => {
                let Some(values) = self.sort_values(&order, key, connection).await? else { return Ok(None) };
                Some(values)
            }
        };
        if self.expressions.is_empty() {
            let mut sql = self.query(&order, Vec::new(), beyond.as_deref());
            if self.limit.is_some() || self.offset.is_some() {
                // SQLite has OFFSET only after LIMIT.
                sql.push(" LIMIT ").bind(&self.limit.unwrap_or(i64::MAX));
            }
            if let Some(offset) = self.offset {
                sql.push(" OFFSET ").bind(&offset);
            }
            return sql.fetch_all(connection).await.map(Some);
        }
        let (mut found, mut skipped) = (Vec::new(), 0);
        let (limit, offset) = (self.limit.unwrap_or(i64::MAX), self.offset.unwrap_or(0));
        let full = |found: &Vec<R>| i64::try_from(found.len()).is_ok_and(|found| found >= limit);
        let keep = |row: &mut Row<'_>| {
            if skipped < offset {
                skipped += 1;
            } else if !full(&found) {
                found.push(R::from_row(row)?);
            }
            Ok(full(&found))
        };
        self.scan(&order, beyond, keep, connection).await?;
        Ok(Some(found))
    }

    /// Counts the rows, whatever the marker and the limit.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(self, connection: &mut Connection) -> Result<i64, DbError> {
        if !self.expressions.is_empty() {
            let mut count = 0;
            let one_more = |_: &mut Row<'_>| {
                count += 1;
                Ok(false)
            };
            self.scan(&self.total_order(), None, one_more, connection).await?;
            return Ok(count);
        }
        let mut sql = Sql::new("SELECT COUNT(*) FROM ");
        sql.push(self.from);
        push_conditions(&mut sql, self.visible.into_iter().chain(self.filters));
        sql.fetch_one(connection).await
    }

    /// The query of the rows beyond these values, without a limit. `before` are keys that are read before the columns.
    fn query(&self, order: &[(SortKey, Direction)], before: Vec<SortKey>, beyond: Option<&[Value]>) -> Sql {
        let mut sql = Sql::new("SELECT ");
        for key in before {
            key.push_to(&mut sql);
            sql.push(", ");
        }
        sql.push(self.columns).push(" FROM ").push(self.from);
        let mut conditions: Vec<_> = self.visible.iter().chain(&self.filters).cloned().collect();
        conditions.extend(beyond.map(|values| Condition(beyond_in(order, values))));
        push_conditions(&mut sql, conditions);
        for (index, (key, direction)) in order.iter().enumerate() {
            sql.push(if index == 0 { " ORDER BY " } else { ", " });
            key.push_to(&mut sql);
            sql.push(if *direction == Direction::Descending { " DESC" } else { " ASC" });
        }
        sql
    }

    /// Gives each row that fulfils the expressions to `take`, in order, until that says that it is enough. What is kept
    /// of the others is nothing, and of each part where the next one begins.
    async fn scan(
        &self,
        order: &[(SortKey, Direction)],
        mut beyond: Option<Vec<Value>>,
        mut take: impl FnMut(&mut Row<'_>) -> Result<bool, DbError>,
        connection: &mut Connection,
    ) -> Result<(), DbError> {
        // Before the columns: what they are held against, and where they are in the order.
        let held = self.expressions.iter().map(|(column, _)| SortKey { nullable: false, ..*column });
        let before: Vec<SortKey> = held.chain(order.iter().map(|(key, _)| *key)).collect();
        let mut part = self.limit.unwrap_or(FIRST_PART).clamp(FIRST_PART, LARGEST_PART);
        loop {
            let mut sql = self.query(order, before.clone(), beyond.as_deref());
            sql.push(" LIMIT ").bind(&part);
            let (mut rows, mut enough) = (0, false);
            let look = |row: &mut Row<'_>| {
                rows += 1;
                let mut fits = true;
                for (column, expression) in &self.expressions {
                    fits &= expression.matches(&row.value(column.kind)?);
                }
                beyond = Some(order.iter().map(|(key, _)| row.value(key.kind)).collect::<Result<_, _>>()?);
                if fits && !enough {
                    enough = take(row)?;
                }
                Ok(())
            };
            sql.fetch_each(connection, look).await?;
            if enough || rows < part {
                return Ok(());
            }
            part = part.saturating_mul(4).min(LARGEST_PART);
        }
    }

    /// The sort keys, and the table's key in the direction of the last one, so that no two rows are equal.
    fn total_order(&self) -> Vec<(SortKey, Direction)> {
        let mut order = self.order.clone();
        if !order.iter().any(|(key, _)| key.column == self.key.column) {
            let direction = order.last().map_or_else(Direction::default, |(_, direction)| *direction);
            order.push((self.key, direction));
        }
        order
    }

    /// What the marker's row is sorted by.
    async fn sort_values(
        &self,
        order: &[(SortKey, Direction)],
        marker: &Value,
        connection: &mut Connection,
    ) -> Result<Option<Vec<Value>>, DbError> {
        let mut sql = Sql::new("SELECT ");
        for (index, (key, _)) in order.iter().enumerate() {
            sql.push(if index == 0 { "" } else { ", " });
            key.push_to(&mut sql);
        }
        sql.push(" FROM ").push(self.from);
        let mut is_marker = Sql::new(self.named_by.column);
        is_marker.push(" = ").bind_value(marker.clone());
        push_conditions(&mut sql, std::iter::once(Condition(is_marker)).chain(self.visible.iter().cloned()));
        sql.fetch_optional_by(connection, |row| order.iter().map(|(key, _)| row.value(key.kind)).collect()).await
    }
}

fn push_conditions(sql: &mut Sql, conditions: impl IntoIterator<Item = Condition>) {
    for (index, Condition(condition)) in conditions.into_iter().enumerate() {
        sql.push(if index == 0 { " WHERE (" } else { " AND (" }).append(condition).push(")");
    }
}

/// The condition that a row comes after the one with these values.
fn beyond_in(order: &[(SortKey, Direction)], values: &[Value]) -> Sql {
    let mut sql = Sql::default();
    let operator = |direction| if direction == Direction::Descending { " < " } else { " > " };
    let first = order.first().map_or_else(Direction::default, |(_, direction)| *direction);
    if order.iter().all(|(_, direction)| *direction == first) {
        // As one comparison of rows, which an index can answer.
        for (index, (key, _)) in order.iter().enumerate() {
            sql.push(if index == 0 { "(" } else { ", " });
            key.push_to(&mut sql);
        }
        sql.push(")").push(operator(first));
        for (index, value) in values.iter().enumerate() {
            sql.push(if index == 0 { "(" } else { ", " }).bind_value(value.clone());
        }
        sql.push(")");
        return sql;
    }
    for (index, (key, direction)) in order.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { " OR (" });
        for ((equal, _), value) in order[..index].iter().zip(values) {
            equal.push_to(&mut sql);
            sql.push(" = ").bind_value(value.clone()).push(" AND ");
        }
        key.push_to(&mut sql);
        sql.push(operator(*direction)).bind_value(values[index].clone()).push(")");
    }
    sql
}
