//! What is answered while the database or the bus can't be reached, or hangs; and that it is true.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use novella_common::lifecycle::TaskState;
use novella_messaging::{Transport, TransportOptions};
use novella_testing::Network;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::support::{Cloud, On, create};

const SERVERS: &str = "/compute/v2.1/servers";

/// Within which every request is answered.
const PROMISED: Duration = Duration::from_secs(30);

mod on_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_request_is_answered_in_time_and_truly_while_the_database_hangs() {
        let transport = Transport::connect("memory://", TransportOptions::default()).await.unwrap();
        let (cloud, network) = Cloud::behind_a_network(transport).await;
        cloud.record("scheduler", None, Value::Null).await;
        cloud.record("conductor", None, Value::Null).await;
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let server = cloud.active_server(&demo, "there", "host-1").await;
        // Twice as many as the pool has connections, so that some wait for one, and some hang in each of their statements.
        let creates = join_all((0..16).map(async |number| {
            let began = Instant::now();
            (demo.post(SERVERS, &create(&format!("new-{number}"))).await, began.elapsed())
        }));
        let others = async {
            tokio::task::yield_now().await;
            network.set(Network::Silent);
            let stop = json!({"os-stop": null});
            let (path, metadata) = (format!("{SERVERS}/{server}"), json!({"metadata": {"a": "1"}}));
            let metadata_path = format!("{path}/metadata");
            let began = Instant::now();
            let answers = tokio::join!(
                demo.get(SERVERS),
                demo.action(server, &stop),
                demo.put(&metadata_path, &metadata),
                demo.delete(&path),
            );
            let answers = [answers.0, answers.1, answers.2, answers.3];
            answers.map(|answer| (answer, began.elapsed()))
        };
        let (creates, others) = tokio::join!(creates, others);
        for (answer, took) in creates.iter().chain(&others) {
            assert!(*took < PROMISED, "{took:?}: {:?}", answer.body);
            assert!(matches!(answer.status, 202 | 503 | 504), "{}: {:?}", answer.status, answer.body);
        }
        assert!(others.iter().all(|(answer, _)| answer.status != 202));

        network.set(Network::Up);
        let list = novella_testing::eventually(async || {
            let list = demo.get(SERVERS).await;
            if list.status == 200 { Ok(list.body) } else { Err(list.body) }
        })
        .await;
        // 202 is there, 503 is not, and 504 may be either.
        let names: Vec<&str> =
            list["servers"].as_array().unwrap().iter().map(|server| server["name"].as_str().unwrap()).collect();
        for (number, (answer, _)) in creates.iter().enumerate() {
            let there = names.contains(&format!("new-{number}").as_str());
            match answer.status {
                202 => assert!(there, "new-{number}"),
                503 => assert!(!there, "new-{number}: {:?}", answer.body),
                _ => {}
            }
        }
        let task_state = cloud.states(server).await.1;
        assert!(others.iter().any(|(answer, _)| answer.status == 504) || task_state.is_none(), "{task_state:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_that_waits_too_long_for_a_lock_is_begun_again_and_not_refused() {
        let cloud = Cloud::new(On::Postgres).await;
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let server = cloud.active_server(&demo, "s", "host-1").await;
        let mut holds = PgConnection::connect(cloud.database_url()).await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT 1 FROM instances FOR UPDATE").execute(&mut holds).await.unwrap();
        let let_go = async {
            // Not `holds` itself: what a transaction sees of this view does not change.
            let mut watches = PgConnection::connect(cloud.database_url()).await.unwrap();
            let mut attempts = BTreeSet::new();
            while attempts.len() < 2 {
                let waiting: Vec<String> = sqlx::query_scalar(
                    "SELECT xact_start::text FROM pg_stat_activity WHERE datname = current_database() \
                     AND wait_event_type = 'Lock'",
                )
                .fetch_all(&mut watches)
                .await
                .unwrap();
                attempts.extend(waiting);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            sqlx::raw_sql("ROLLBACK").execute(&mut holds).await.unwrap();
        };
        let stop = json!({"os-stop": null});
        let (answer, ()) = novella_testing::within(async { tokio::join!(demo.action(server, &stop), let_go) }).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        assert_eq!(cloud.states(server).await.1, Some(TaskState::PoweringOff));
    }
}
