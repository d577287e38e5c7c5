//! Processes on one PostgreSQL that must not hold each other up: frozen ones, slow ones, and a server that hangs.

use std::time::{Duration, Instant};

use novella_common::{
    config::{DatabaseConfig, SecretUrl},
    db::{Database, DbError, Sql},
    sql,
};
use novella_testing::{Network, Proxy, eventually, within};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Limits that a test can wait for, in the order that the defaults have.
fn config(url: &str) -> DatabaseConfig {
    DatabaseConfig {
        url: SecretUrl::new(url),
        acquire_timeout: Duration::from_secs(1),
        idle_in_transaction_session_timeout: Duration::from_millis(500),
        lock_timeout: Duration::from_millis(1000),
        statement_timeout: Duration::from_millis(1500),
        ..DatabaseConfig::default()
    }
}

async fn open(url: &str) -> Database {
    within(Database::connect(&config(url))).await.unwrap()
}

/// A table with one row, whose number is 0.
async fn one_row(database: &Database) {
    let mut connection = database.write().await.unwrap();
    Sql::new("CREATE TABLE t (n BIGINT NOT NULL)").execute(&mut connection).await.unwrap();
    Sql::new("INSERT INTO t VALUES (0)").execute(&mut connection).await.unwrap();
}

/// A database with that table and one connection, and somebody beside it who looks on.
async fn open_single(url: &str) -> (Database, PgConnection) {
    let database = Database::connect(&DatabaseConfig { max_connections: 1, ..config(url) }).await.unwrap();
    one_row(&database).await;
    (database, PgConnection::connect(url).await.unwrap())
}

async fn number(database: &Database) -> i64 {
    sql!("SELECT n FROM t").fetch_one(&mut database.read().await.unwrap()).await.unwrap()
}

#[test]
fn the_limits_stand_in_an_order_in_which_who_waits_outlasts_who_is_frozen() {
    let config = DatabaseConfig::default();
    assert!(config.idle_in_transaction_session_timeout < config.lock_timeout);
    assert!(config.lock_timeout < config.statement_timeout);
}

mod on_postgres {
    use super::*;

    #[tokio::test]
    async fn a_transaction_whose_process_is_silent_is_ended_and_who_waits_for_its_lock_goes_on() {
        let own = novella_testing::Database::postgres().await;
        let (frozen, other) = (open(own.url()).await, open(own.url()).await);
        one_row(&frozen).await;
        let mut silent = frozen.begin().await.unwrap();
        sql!("UPDATE t SET n = n + 100").execute(&mut silent).await.unwrap();
        // Nothing more is said on it, as by a process that was stopped.
        let mut waits = other.begin().await.unwrap();
        within(sql!("UPDATE t SET n = n + 1").execute(&mut waits)).await.unwrap();
        waits.commit().await.unwrap();
        assert_eq!(number(&other).await, 1);

        // It wakes, and finds its transaction gone, whatever it does next.
        let error = silent.commit().await.unwrap_err();
        assert!(error.is_transaction_lost(), "{error:?}");
        let mut again = within(frozen.begin()).await.unwrap();
        sql!("UPDATE t SET n = n + 100").execute(&mut again).await.unwrap();
        again.commit().await.unwrap();
        assert_eq!(number(&other).await, 101);
    }

    #[tokio::test]
    async fn who_waits_too_long_for_a_lock_loses_and_may_try_again() {
        let own = novella_testing::Database::postgres().await;
        let database = open(own.url()).await;
        one_row(&database).await;
        // Of somebody who goes on talking, and so is never ended.
        let mut other = PgConnection::connect(own.url()).await.unwrap();
        sqlx::raw_sql("BEGIN; UPDATE t SET n = 7").execute(&mut other).await.unwrap();
        let mut loser = database.begin().await.unwrap();
        let error = within(sql!("UPDATE t SET n = n + 1").execute(&mut loser)).await.unwrap_err();
        assert!(error.is_transaction_lost(), "{error:?}");
        drop(loser);
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
        let mut again = database.begin().await.unwrap();
        sql!("UPDATE t SET n = n + 1").execute(&mut again).await.unwrap();
        again.commit().await.unwrap();
        assert_eq!(number(&database).await, 8);
    }

    #[tokio::test]
    async fn a_statement_that_takes_too_long_is_ended_but_no_migration_is() {
        let own = novella_testing::Database::postgres().await;
        let database = open(own.url()).await;
        let mut connection = database.read().await.unwrap();
        let error = within(Sql::new("SELECT 1 FROM pg_sleep(60)").execute(&mut connection)).await.unwrap_err();
        assert!(error.is_transaction_lost(), "{error:?}");
        drop(connection);

        // Another process holds what the migration needs, for longer than a statement or a lock may take.
        let mut other = PgConnection::connect(own.url()).await.unwrap();
        sqlx::raw_sql("BEGIN; CREATE TABLE instances (n BIGINT)").execute(&mut other).await.unwrap();
        // Not `other` itself: what a transaction sees of this view does not change.
        let mut watches = PgConnection::connect(own.url()).await.unwrap();
        let let_go = async {
            eventually(async || {
                let waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
                             AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '2 s'";
                sqlx::raw_sql(waits).fetch_one(&mut watches).await.map(|_| ())
            })
            .await;
            sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        };
        let (migrated, ()) = within(async { tokio::join!(database.migrate(), let_go) }).await;
        migrated.unwrap();
        database.check_schema().await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_fails_what_is_under_way_and_is_used_again_when_it_is_back() {
        let own = novella_testing::Database::postgres().await;
        let proxy = Proxy::before(own.url()).await;
        let database = open(proxy.url()).await;
        one_row(&database).await;
        // A log-in takes its time, and a transaction may not wait for the others' long.
        let mut connected = Vec::new();
        for _ in 0..5 {
            connected.push(database.read().await.unwrap());
        }
        drop(connected);
        let mut transaction = database.begin().await.unwrap();
        sql!("UPDATE t SET n = n + 1").execute(&mut transaction).await.unwrap();
        let mut idle = database.begin().await.unwrap();
        let commits = database.begin().await.unwrap();
        let (mut reads, mut writes) = (database.read().await.unwrap(), database.write().await.unwrap());

        proxy.set(Network::Silent);
        let (mut statement, mut query) = (sql!("UPDATE t SET n = n + 1"), sql!("SELECT n FROM t"));
        let mut alone = sql!("UPDATE t SET n = n + 10");
        let (a, b, c, d, e) = within(async {
            tokio::join!(
                statement.execute(&mut transaction),
                query.fetch_one::<i64>(&mut reads),
                alone.execute(&mut writes),
                commits.commit(),
                database.begin(),
            )
        })
        .await;
        assert!(matches!(a, Err(DbError::NoAnswer { .. })), "{a:?}");
        assert!(matches!(b, Err(DbError::NoAnswer { .. })), "{b:?}");
        assert!(matches!(c, Err(DbError::Unconfirmed { .. })), "{c:?}");
        assert!(matches!(d, Err(DbError::Unconfirmed { .. })), "{d:?}");
        assert!(e.is_err(), "{e:?}");
        // Not even a rollback is waited for.
        let after = within(sql!("SELECT n FROM t").fetch_one::<i64>(&mut transaction)).await;
        assert!(matches!(after, Err(DbError::NoAnswer { .. })), "{after:?}");
        drop((transaction, reads, writes));
        assert!(sql!("SELECT 1").execute(&mut idle).await.is_err());
        drop(idle);

        proxy.set(Network::Up);
        // All places of the pool are there again.
        let most = DatabaseConfig::default().max_connections;
        let mut all = Vec::new();
        for _ in 0..most {
            all.push(eventually(async || database.read().await).await);
        }
        drop(all);
        // What the transaction had done is undone; what was alone may have come through or not.
        assert!(matches!(number(&database).await, 0 | 10));
    }

    /// Connections are wanted most when there is most to do.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_connection_is_opened_in_time_among_many_tasks_that_always_want_to_run() {
        let own = novella_testing::Database::postgres().await;
        let mut busy = tokio::task::JoinSet::new();
        for _ in 0..200 {
            busy.spawn(async {
                loop {
                    let until = Instant::now() + Duration::from_micros(200);
                    while Instant::now() < until {
                        std::hint::spin_loop();
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        let config = DatabaseConfig { acquire_timeout: Duration::from_secs(5), ..config(own.url()) };
        // One of the tasks itself: what the test's own thread awaits waits for none of them.
        tokio::spawn(async move { Database::connect(&config).await }).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_goes_away_in_the_middle_leaves_no_lock_and_a_connection_that_is_used_again() {
        let own = novella_testing::Database::postgres().await;
        let (database, mut watches) = open_single(own.url()).await;
        let ours = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let pid = format!("SELECT pid {ours}");
        let before: i32 = sqlx::query_scalar(AssertSqlSafe(pid.clone())).fetch_one(&mut watches).await.unwrap();

        // In the middle of beginning, wherever that is.
        for polls in 1..6 {
            let mut begin = Box::pin(database.begin());
            for _ in 0..polls {
                if futures_util::poll!(&mut begin).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(begin);
            eventually(async || {
                let none = format!("SELECT 1 WHERE NOT EXISTS (SELECT 1 {ours} AND xact_start IS NOT NULL)");
                sqlx::raw_sql(AssertSqlSafe(none)).fetch_one(&mut watches).await.map(|_| ())
            })
            .await;
        }
        // In the middle of a statement, with a lock held.
        let mut transaction = database.begin().await.unwrap();
        sql!("UPDATE t SET n = 1").execute(&mut transaction).await.unwrap();
        let mut sleep = Sql::new("SELECT 1 FROM pg_sleep(0.2)");
        assert!(tokio::time::timeout(Duration::from_millis(20), sleep.execute(&mut transaction)).await.is_err());
        drop(transaction);
        let mut connection = within(database.read()).await.unwrap();
        let mut sleep = Sql::new("SELECT 1 FROM pg_sleep(0.2)");
        assert!(tokio::time::timeout(Duration::from_millis(20), sleep.execute(&mut connection)).await.is_err());
        drop(connection);
        assert_eq!(within(number(&database)).await, 0);

        let after: i32 = sqlx::query_scalar(AssertSqlSafe(pid)).fetch_one(&mut watches).await.unwrap();
        assert_eq!(before, after, "another connection");
    }

    #[tokio::test]
    async fn a_connection_that_was_cut_is_not_given_to_the_next_one() {
        let own = novella_testing::Database::postgres().await;
        let (database, mut watches) = open_single(own.url()).await;
        let cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let mut connection = database.read().await.unwrap();
        sqlx::raw_sql(cut).execute(&mut watches).await.unwrap();
        // Who has it hears of it, and nobody else.
        sql!("SELECT n FROM t").fetch_one::<i64>(&mut connection).await.unwrap_err();
        drop(connection);
        assert_eq!(within(number(&database)).await, 0);
    }
}
