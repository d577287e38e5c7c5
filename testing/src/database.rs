//! A database of a test's own.

use std::path::PathBuf;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{environment, teardown, template};

/// A test of each behaviour on each database: `on_both! { async fn behaviour(cloud: Cloud) { ... } }`, where `Cloud::new`
/// makes what it needs.
#[macro_export]
macro_rules! on_both {
    ($($(#[$attribute:meta])* async fn $name:ident($($cloud:ident)+: $Cloud:ident) $body:block)*) => {
        $($(#[$attribute])* async fn $name($($cloud)+: $Cloud) $body)*
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                super::$name(super::$Cloud::new($crate::On::Sqlite).await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                super::$name(super::$Cloud::new($crate::On::Postgres).await).await;
            })*
        }
    };
}

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// In a file.
    Sqlite,
    /// On the server of this run.
    Postgres,
}

/// A database that belongs to one test. It goes away when dropped, connections to it included.
#[derive(Debug)]
pub struct Database {
    url: String,
    place: Place,
}

/// Where the database is, and so how it is removed.
#[derive(Debug)]
enum Place {
    /// A database of this name on the server of this run.
    Server { name: String },
    /// A file in this folder. SQLite puts its write-ahead log beside it; the folder goes away with both.
    Folder(#[expect(dead_code, reason = "held for its Drop")] TempDir),
}

impl Database {
    /// A copy of what `prepare` makes of an empty database at the URL it is given: tables, and rows that every test of a
    /// program begins with. It is called once for all tests of the program, and returns when its connections are closed.
    ///
    /// # Panics
    /// If `prepare` does, and as [`Self::postgres`] and [`Self::sqlite`] do.
    pub async fn prepared(on: On, prepare: impl AsyncFnOnce(String)) -> Self {
        match on {
            On::Sqlite => {
                let database = Self::sqlite();
                template::copy_file(&database.file(), prepare).await;
                database
            }
            On::Postgres => Self::on_server(&template::on_server(prepare).await).await,
        }
    }

    /// A new database on the PostgreSQL of this run.
    ///
    /// # Panics
    /// If `NOVELLA_TEST_POSTGRES_URL` is not set, or the server there refuses.
    pub async fn postgres() -> Self {
        // Not template1: a connection to its template makes CREATE DATABASE fail, and nobody can have one to template0.
        Self::on_server("template0").await
    }

    async fn on_server(template: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        execute(&environment::postgres_url(None), format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .unwrap_or_else(|error| panic!("no database on the server of {}: {error}", environment::POSTGRES_URL));
        Self { url: environment::postgres_url(Some(&name)), place: Place::Server { name } }
    }

    /// A new SQLite database in a temporary folder. The file is created by the first connection that is allowed to
    /// (`?mode=rwc`, or the option of the same meaning).
    ///
    /// # Panics
    /// If the folder for temporary files cannot be written.
    pub fn sqlite() -> Self {
        let folder = TempDir::with_prefix("novella-test-").expect("a folder for a temporary database");
        let url = format!("sqlite://{}", folder.path().join("novella.db").display());
        Self { url, place: Place::Folder(folder) }
    }

    fn file(&self) -> PathBuf {
        self.url.trim_start_matches("sqlite://").into()
    }

    /// The URL for whoever connects: `postgres://...` with user and password, or `sqlite://PATH`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Place::Server { name } = &self.place {
            let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            teardown::wait_for(format!("database {name}"), move || async move {
                execute(&environment::postgres_url(None), statement).await.map_err(|error| error.to_string())
            });
        }
    }
}

/// Runs one statement on a connection of its own: CREATE and DROP DATABASE go through no pool and no transaction.
pub(crate) async fn execute(url: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    // The only variable part of a statement here is a name made of hexadecimal digits.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sqlite_database_can_be_written_and_is_gone_when_dropped() {
        let database = Database::sqlite();
        let url = format!("{}?mode=rwc", database.url());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("CREATE TABLE t (a INTEGER)").execute(&mut connection).await.unwrap();
        let path = database.file();
        assert!(std::fs::exists(&path).unwrap());
        drop(database);
        assert!(!std::fs::exists(&path).unwrap());
    }

    mod on_postgres {
        use super::*;

        #[tokio::test]
        async fn each_database_is_empty_and_gone_when_dropped_even_while_in_use() {
            let database = Database::postgres().await;
            let url = database.url().to_owned();
            let mut connection = PgConnection::connect(&url).await.unwrap();
            sqlx::query("CREATE TABLE t (a INTEGER)").execute(&mut connection).await.unwrap();
            let mut other = PgConnection::connect(Database::postgres().await.url()).await;
            assert!(sqlx::query("SELECT a FROM t").execute(other.as_mut().unwrap()).await.is_err());

            drop(database);
            assert!(connection.ping().await.is_err());
            assert!(PgConnection::connect(&url).await.is_err());
        }
    }
}
