//! Databases that are prepared once and copied for each test: to create tables takes longer than most tests.
//!
//! A template belongs to one test program as it was built; a program that is built anew prepares its own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::database::execute;
use crate::environment::postgres_url;
use crate::eventually;

/// Puts a copy of the template at `path`. The template lies next to the test program.
pub(crate) async fn copy_file(path: &Path, prepare: impl AsyncFnOnce(String)) {
    let (program, built) = program();
    let template = program.with_extension("sqlite");
    let prepared = fs::metadata(&template).and_then(|metadata| metadata.modified());
    if !prepared.is_ok_and(|prepared| prepared > built) {
        // Tests that begin at once may all prepare one. Each is complete when it gets its name, and one is like another.
        let new = program.with_extension(format!("{}.sqlite", Uuid::new_v4().simple()));
        prepare(format!("sqlite://{}", new.display())).await;
        fs::rename(&new, &template).expect("the template of the database gets its name");
    }
    fs::copy(&template, path).expect("a copy of the template of the database");
}

/// The name of the template on the server of this run.
pub(crate) async fn on_server(prepare: impl AsyncFnOnce(String)) -> String {
    let mut hasher = DefaultHasher::new();
    program().hash(&mut hasher);
    let number = hasher.finish();
    let template = format!("template_{number:016x}");

    let mut connection = PgConnection::connect(&postgres_url(None)).await.expect("a connection to PostgreSQL");
    if !exists(&mut connection, &template).await {
        // One test prepares it, the others wait. The lock goes with the connection.
        let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(number.cast_signed());
        lock.execute(&mut connection).await.expect("the lock for the template of the database");
        if !exists(&mut connection, &template).await {
            let new = format!("test_{}", Uuid::new_v4().simple());
            let statement = |text: String| execute_on_server(text);
            statement(format!("CREATE DATABASE {new} TEMPLATE template0")).await.expect("an empty database");
            prepare(postgres_url(Some(&new))).await;
            // The server may take a moment to notice that the last connection is closed.
            eventually(async || statement(format!("ALTER DATABASE {new} RENAME TO {template}")).await).await;
        }
    }
    connection.close().await.expect("PostgreSQL says goodbye");
    template
}

async fn execute_on_server(statement: String) -> Result<(), sqlx::Error> {
    execute(&postgres_url(None), statement).await
}

async fn exists(connection: &mut PgConnection, database: &str) -> bool {
    let query = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)").bind(database);
    query.fetch_one(connection).await.expect("the list of databases")
}

/// This test program, and when it was built.
fn program() -> (PathBuf, SystemTime) {
    let program = env::current_exe().expect("the path of this program");
    let built = fs::metadata(&program).and_then(|metadata| metadata.modified()).expect("the age of this program");
    (program, built)
}
