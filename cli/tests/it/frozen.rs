//! A process that stands still (SIGSTOP) in the middle of a transaction: it must not hold up the others, and finds its
//! transaction gone when it goes on.

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::support::cloud::{Cloud, Settings, wait_for};

/// The transaction of a process that stands still is ended after a second, and its share of the bus goes to others soon
/// after that.
fn impatient() -> Settings {
    Settings {
        environment: vec![
            ("NOVELLA_DATABASE__IDLE_IN_TRANSACTION_SESSION_TIMEOUT", "1".into()),
            ("NOVELLA_BUS__HEARTBEAT_TIMEOUT_THRESHOLD", "2".into()),
            ("NOVELLA_SERVICE__SERVICE_DOWN_TIME", "15".into()),
        ],
        ..Settings::default()
    }
}

/// Stops the only service of a kind while it waits for locks of ours in the middle of a transaction; then the locks are
/// its own, and it says nothing more. The other one of its kind takes its place.
async fn freeze_with_locks(cloud: &mut Cloud, victim: &str, other: &str, table: &str, work: impl AsyncFnOnce()) {
    assert!(cloud.process(other).terminate().success());
    let mut ours = PgConnection::connect(cloud.database_url()).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("BEGIN; SELECT 1 FROM {table} FOR UPDATE")))
        .execute(&mut ours)
        .await
        .unwrap();
    work().await;
    let waits = format!(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
         AND query LIKE 'UPDATE {table} %'"
    );
    // Not `ours` itself: what a transaction sees of this view does not change.
    let mut watches = PgConnection::connect(cloud.database_url()).await.unwrap();
    wait_for("a transaction that waits for our locks", async || {
        sqlx::query(sqlx::AssertSqlSafe(waits.clone())).fetch_optional(&mut watches).await.unwrap().is_some()
    })
    .await;
    cloud.process(victim).freeze();
    sqlx::raw_sql("ROLLBACK").execute(&mut ours).await.unwrap();
    cloud.process(other).restart();
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_scheduler_that_is_frozen_in_a_transaction_holds_up_no_other_and_goes_on_afterwards() {
        let mut cloud = Cloud::apart(impatient()).await;
        let client = cloud.client().await;
        let mut servers = Vec::new();
        freeze_with_locks(&mut cloud, "scheduler-1", "scheduler-2", "compute_nodes", async || {
            servers.push(client.create("caught", json!({})).await);
        })
        .await;
        for number in 0..4 {
            servers.push(client.create(&format!("meanwhile-{number}"), json!({})).await);
        }
        for id in &servers {
            client.wait_for_status(id, "ACTIVE").await;
        }
        cloud.process("scheduler-1").thaw();
        assert!(cloud.process("scheduler-2").terminate().success());
        let id = client.create("afterwards", json!({})).await;
        client.wait_for_status(&id, "ACTIVE").await;
        cloud.assert_claims_add_up().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_conductor_that_is_frozen_in_a_transaction_lets_no_host_count_as_down_and_goes_on_afterwards() {
        let mut cloud = Cloud::apart(impatient()).await;
        let client = cloud.client().await;
        // It writes down heartbeats all the time.
        freeze_with_locks(&mut cloud, "conductor-1", "conductor-2", "services", async || {}).await;
        for number in 0..4 {
            let id = client.create(&format!("meanwhile-{number}"), json!({})).await;
            client.wait_for_status(&id, "ACTIVE").await;
        }
        cloud.process("conductor-1").thaw();
        assert!(cloud.process("conductor-2").terminate().success());
        let id = client.create("afterwards", json!({})).await;
        client.wait_for_status(&id, "ACTIVE").await;
        cloud.assert_claims_add_up().await;
    }
}
