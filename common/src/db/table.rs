//! Tables: a model with its columns, from which reading and writing its rows follow, on both databases.

use super::{Bind, Cells, Connection, DbError, FromRow, Sql, list::SortKey};

/// A model whose values are rows of a table. [`table!`](crate::table!) makes a type one.
pub trait Table: FromRow {
    /// The table's name.
    const NAME: &'static str;
    /// Every column of the model, separated by commas, in the order in which a row is read.
    const COLUMNS: &'static str;
    /// The columns that are written with a new row: all but a number that the database makes.
    const INSERTED: &'static str;
    /// The column that tells rows apart.
    const KEY: SortKey;

    /// Adds the values of [`Table::INSERTED`].
    fn bind(&self, cells: &mut Cells);
}

/// `SELECT` of every column of the model; a condition can follow.
pub fn select<T: Table>() -> Sql {
    let mut sql = Sql::new("SELECT ");
    sql.push(T::COLUMNS).push(" FROM ").push(T::NAME);
    sql
}

/// `INSERT` of these rows, all in one statement. There must be one; `ON CONFLICT` can follow.
pub fn insert_into<T: Table>(rows: &[T]) -> Sql {
    let mut sql = Sql::new("INSERT INTO ");
    sql.push(T::NAME).push(" (").push(T::INSERTED).push(") ");
    sql.rows(rows, |row, cells| row.bind(cells));
    sql
}

/// Adds one row.
///
/// # Errors
/// A key that is taken (see [`DbError::is_unique_violation`]), and the database's.
pub async fn insert<T: Table>(connection: &mut Connection, row: &T) -> Result<(), DbError> {
    insert_into(std::slice::from_ref(row)).execute(connection).await?;
    Ok(())
}

/// Writes every column of a row that is there, found by its key. Says whether it was.
///
/// # Errors
/// A value that is taken (see [`DbError::is_unique_violation`]), and the database's.
pub async fn update<T: Table, K: Bind + ?Sized>(
    connection: &mut Connection,
    key: &K,
    row: &T,
) -> Result<bool, DbError> {
    let mut sql = Sql::new("UPDATE ");
    sql.push(T::NAME).push(" SET (").push(T::INSERTED).push(") = (").row(|cells| row.bind(cells)).push(") WHERE ");
    sql.push(T::KEY.column()).push(" = ").bind(key).execute_one(connection).await
}

/// `SELECT` of a row by its key, which nobody else changes until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock<T: Table, K: Bind + ?Sized>(connection: &mut Connection, key: &K) -> Result<Option<T>, DbError> {
    let mut sql = select::<T>();
    sql.push(" WHERE ").push(T::KEY.column()).push(" = ").bind(key);
    // SQLite has one writer.
    sql.push_for("", " FOR UPDATE").fetch_optional(connection).await
}

/// Makes a model a [`Table`].
///
/// ```ignore
/// table! {
///     KeyPair in "keypairs", key int "id";
///     generated id;                            // A number that the database makes.
///     name,                                    // A field and a column of the same name.
///     owner = "user_id",                       // A column of another name.
///     tags as Json,                            // In a wrapper that is a column: Json, JsonText, UuidText.
///     size: Size { bits = "size_bits" },       // A part of the model that has columns of its own.
/// }
/// ```
#[macro_export]
macro_rules! table {
    ($model:ident in $table:literal, key $kind:ident $key:literal; generated $generated:ident; $($fields:tt)+) => {
        $crate::table! { @table $model $table $kind $key [$generated] $($fields)+ }
    };
    ($model:ident in $table:literal, key $kind:ident $key:literal; $($fields:tt)+) => {
        $crate::table! { @table $model $table $kind $key [] $($fields)+ }
    };

    (@table $model:ident $table:literal $kind:ident $key:literal [$($generated:ident)?]
     $($field:ident $(= $column:literal)? $(as $wrapper:ident)?
       $(: $part:ident { $($inner:ident = $inner_column:literal),+ $(,)? })?),+ $(,)?) => {
        impl $crate::db::FromRow for $model {
            fn from_row(row: &mut $crate::db::Row<'_>) -> Result<Self, $crate::db::DbError> {
                Ok(Self {
                    $($generated: row.read()?,)?
                    $($field: $crate::table!(@read row $(as $wrapper)? $(: $part { $($inner)+ })?),)+
                })
            }
        }

        impl $crate::db::Table for $model {
            const NAME: &'static str = $table;
            // Each name follows a comma; the first one too, which is cut off.
            const COLUMNS: &'static str = concat!(
                $(", ", stringify!($generated),)?
                $($crate::table!(@name $field $(= $column)? $(: { $($inner_column)+ })?)),+
            ).split_at(2).1;
            const INSERTED: &'static str =
                concat!($($crate::table!(@name $field $(= $column)? $(: { $($inner_column)+ })?)),+).split_at(2).1;
            const KEY: $crate::db::list::SortKey = $crate::db::list::SortKey::$kind($key);

            fn bind(&self, cells: &mut $crate::db::Cells) {
                $($crate::table!(@bind cells (self.$field) $(as $wrapper)? $(: { $($inner)+ })?);)+
            }
        }
    };

    (@name $field:ident) => { concat!(", ", stringify!($field)) };
    (@name $field:ident = $column:literal) => { concat!(", ", $column) };
    (@name $field:ident : { $($column:literal)+ }) => { concat!($(", ", $column),+) };

    (@read $row:ident) => { $row.read()? };
    (@read $row:ident as $wrapper:ident) => { $row.read::<$crate::db::$wrapper<_>>()?.0 };
    (@read $row:ident : $part:ident { $($inner:ident)+ }) => { $part { $($inner: $row.read()?),+ } };

    (@bind $cells:ident ($value:expr)) => { $cells.bind(&$value) };
    (@bind $cells:ident ($value:expr) as $wrapper:ident) => { $cells.bind(&$crate::db::$wrapper(&$value)) };
    (@bind $cells:ident ($value:expr) : { $($inner:ident)+ }) => { $($cells.bind(&$value.$inner));+ };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Size {
        bits: i64,
        bytes: i64,
    }

    #[derive(Debug, PartialEq)]
    struct KeyPair {
        id: i64,
        name: String,
        owner: Option<String>,
        tags: Vec<String>,
        size: Size,
    }

    crate::table! {
        KeyPair in "keypairs", key int "id";
        generated id;
        name,
        owner = "user_id",
        tags as Json,
        size: Size { bits = "size_bits", bytes = "size_bytes" },
    }

    #[test]
    fn the_columns_follow_from_the_model_and_a_generated_one_is_not_written() {
        assert_eq!(KeyPair::COLUMNS, "id, name, user_id, tags, size_bits, size_bytes");
        assert_eq!(KeyPair::INSERTED, "name, user_id, tags, size_bits, size_bytes");
    }
}
