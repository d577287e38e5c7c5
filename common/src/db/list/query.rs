//! What a list reads, whatever its rows are read as.

use futures_util::future::BoxFuture;

use super::{Condition, Direction, Expression, SortKey};
use crate::db::{Connection, DbError, Row, Sql, Value, sql::TakeRow};

/// Rows that are looked at in the first part of a list with regular expressions, at least; each further part has four
/// times as many.
const FIRST_PART: i64 = 100;
/// Rows that are looked at in one part at most: each part is a query, which may have to sort.
const LARGEST_PART: i64 = 20_000;

/// Where a page begins.
#[derive(Clone, Debug)]
pub(super) enum Marker {
    None,
    /// What the last row of the page before is named by.
    After(Value),
    /// What can't name any row.
    NoRow,
}

/// See [`List`](super::List).
#[derive(Clone, Debug)]
pub(super) struct Query {
    columns: &'static str,
    from: &'static str,
    key: SortKey,
    pub(super) named_by: SortKey,
    pub(super) visible: Vec<Condition>,
    pub(super) filters: Vec<Condition>,
    pub(super) expressions: Vec<(SortKey, Expression)>,
    pub(super) order: Vec<(SortKey, Direction)>,
    /// In which direction ties are broken.
    pub(super) ties: Direction,
    pub(super) marker: Marker,
    pub(super) limit: Option<i64>,
    pub(super) offset: Option<i64>,
}

impl Query {
    pub(super) fn new(columns: &'static str, from: &'static str, key: SortKey) -> Self {
        Self {
            columns,
            from,
            key,
            named_by: key,
            visible: Vec::new(),
            filters: Vec::new(),
            expressions: Vec::new(),
            order: Vec::new(),
            ties: Direction::default(),
            marker: Marker::None,
            limit: None,
            offset: None,
        }
    }

    /// Gives the rows to `take`, in order. False: the marker's row is not there, or not visible.
    #[inline(never)]
    pub(super) fn read<'a>(
        self,
        connection: &'a mut Connection,
        take: &'a mut TakeRow<'_>,
    ) -> BoxFuture<'a, Result<bool, DbError>> {
        Box::pin(async move {
            let order = self.total_order();
            let beyond = match &self.marker {
                Marker::None => None,
                Marker::NoRow => return Ok(false),
                Marker::After(key) => {
                    let Some(values) = self.sort_values(&order, key, connection).await? else { return Ok(false) };
                    Some(values)
                }
            };
            if !self.expressions.is_empty() {
                self.read_matching(&order, beyond, take, connection).await?;
                return Ok(true);
            }
            let mut sql = self.query(&order, Vec::new(), beyond.as_deref());
            if self.limit.is_some() || self.offset.is_some() {
                // SQLite has OFFSET only after LIMIT.
                sql.push(" LIMIT ").bind(&self.limit.unwrap_or(i64::MAX));
            }
            if let Some(offset) = self.offset {
                sql.push(" OFFSET ").bind(&offset);
            }
            sql.fetch_each(connection, take).await?;
            Ok(true)
        })
    }

    /// Gives the rows that fulfil the expressions to `take`, as far as offset and limit let them.
    async fn read_matching(
        &self,
        order: &[(SortKey, Direction)],
        beyond: Option<Vec<Value>>,
        take: &mut TakeRow<'_>,
        connection: &mut Connection,
    ) -> Result<(), DbError> {
        let (first, end) = (self.offset.unwrap_or(0), self.limit.unwrap_or(i64::MAX));
        let end = first.saturating_add(end);
        let mut seen = 0;
        let mut keep = |row: &mut Row<'_>| {
            if (first..end).contains(&seen) {
                take(row)?;
            }
            seen += 1;
            Ok(seen >= end)
        };
        self.scan(order, beyond, &mut keep, connection).await
    }

    /// Counts the rows, whatever the marker and the limit.
    #[inline(never)]
    pub(super) fn count(self, connection: &mut Connection) -> BoxFuture<'_, Result<i64, DbError>> {
        Box::pin(async move {
            if !self.expressions.is_empty() {
                let mut count = 0;
                let mut one_more = |_: &mut Row<'_>| {
                    count += 1;
                    Ok(false)
                };
                self.scan(&self.total_order(), None, &mut one_more, connection).await?;
                return Ok(count);
            }
            let mut sql = Sql::new("SELECT COUNT(*) FROM ");
            sql.push(self.from);
            push_conditions(&mut sql, self.visible.into_iter().chain(self.filters));
            sql.fetch_one(connection).await
        })
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
        take: &mut (dyn FnMut(&mut Row<'_>) -> Result<bool, DbError> + Send),
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
            let mut look = |row: &mut Row<'_>| {
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
            sql.fetch_each(connection, &mut look).await?;
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
            order.push((self.key, self.ties));
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
