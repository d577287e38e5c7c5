//! Queries whose text depends on what is asked for: filters, lists of ids.

use sqlx::{
    Any, AssertSqlSafe, Encode, Type,
    any::{AnyArguments, AnyQueryResult, AnyRow},
};

use super::{Connection, DbError};

/// A query in the making. Values never become text: each is bound to the next `$n`.
pub(super) struct Sql {
    text: String,
    arguments: AnyArguments,
    bound: usize,
}

impl Sql {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), arguments: AnyArguments::default(), bound: 0 }
    }

    /// Adds fixed text.
    pub(super) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a value.
    pub(super) fn bind<'v, T>(&mut self, value: T) -> Result<&mut Self, DbError>
    where
        T: Encode<'v, Any> + Type<Any> + 'v,
    {
        use sqlx::Arguments;
        self.arguments.add(value).map_err(|error| DbError::Sqlx(sqlx::Error::Encode(error)))?;
        self.bound += 1;
        self.text.push('$');
        self.text.push_str(&self.bound.to_string());
        Ok(self)
    }

    /// Adds `(v1, v2, ...)`. The list must not be empty: no SQL says "in nothing".
    pub(super) fn bind_list<I>(&mut self, values: I) -> Result<&mut Self, DbError>
    where
        I: IntoIterator<Item = String>,
    {
        self.push("(");
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.bind(value)?;
        }
        Ok(self.push(")"))
    }

    pub(super) async fn fetch_all(self, connection: &mut Connection) -> Result<Vec<AnyRow>, DbError> {
        Ok(sqlx::query_with(AssertSqlSafe(self.text), self.arguments).fetch_all(connection).await?)
    }

    pub(super) async fn execute(self, connection: &mut Connection) -> Result<AnyQueryResult, DbError> {
        Ok(sqlx::query_with(AssertSqlSafe(self.text), self.arguments).execute(connection).await?)
    }
}
