//! One client that is slow, asks for much or guesses passwords, and the others beside it.

use std::{
    future::{Future, pending},
    pin::pin,
    time::Duration,
};

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, future::BoxFuture, stream, stream::FuturesUnordered};
use http::Method;
use novella_api::ApiConfig;
use novella_identity::SecurityComplianceConfig;
use novella_messaging::{Endpoint, Outcome, RpcServer, Target, Version};
use serde_json::json;

use crate::support::{Cloud, On, PASSWORD, password};

const TOKENS: &str = "/identity/v3/auth/tokens";
const SERVERS: &str = "/compute/v2.1/servers";

/// A host that takes every message and answers none.
struct Hanging;

impl Endpoint for Hanging {
    fn version(&self) -> Version {
        Version::new(1, 99)
    }

    fn dispatch(&self, _: novella_messaging::Request) -> BoxFuture<'_, Outcome> {
        Box::pin(pending())
    }
}

/// Lets `waits` go on until `done` has come to its end.
async fn beside<T>(waits: impl Future, done: impl Future<Output = T>) -> T {
    let (waits, done) = (pin!(waits), pin!(done));
    let mut waits = pin!(async {
        waits.await;
        pending::<()>().await;
    });
    tokio::select! {
        biased;
        () = &mut waits => unreachable!(),
        done = done => done,
    }
}

/// The beginning of a body, after which nothing comes.
fn unfinished() -> Body {
    let begun = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"{")) });
    Body::from_stream(begun.chain(stream::pending()))
}

async fn log_in(cloud: &Cloud, user: &str, secret: &str) -> u16 {
    cloud.anonymous().post(TOKENS, &password(user, secret, user)).await.status
}

fn locking(attempts: u32, duration: Duration) -> SecurityComplianceConfig {
    SecurityComplianceConfig { lockout_failure_attempts: Some(attempts), lockout_duration: duration }
}

const HOUR: Duration = Duration::from_secs(3600);

on_both! {
    async fn a_request_whose_body_does_not_come_takes_no_place_and_is_refused_in_time(cloud: Cloud) {
        let config = ApiConfig { max_in_flight: 1, ..ApiConfig::default() };
        let cloud = cloud.restarted(config, SecurityComplianceConfig::default());
        let anybody = cloud.anonymous();
        let slow = async || anybody.send(Method::POST, TOKENS, unfinished()).await;
        let status = beside(async { tokio::join!(slow(), slow()) }, async {
            let demo = cloud.demo().await;
            demo.get(SERVERS).await.status
        });
        assert_eq!(status.await, 200);

        let config = ApiConfig { max_in_flight: 1, body_timeout: Duration::from_millis(50), ..ApiConfig::default() };
        let cloud = cloud.restarted(config, SecurityComplianceConfig::default());
        let answer = cloud.anonymous().send(Method::POST, TOKENS, unfinished()).await;
        assert_eq!((answer.status, &answer.body["error"]["title"]), (408, &json!("Request Timeout")));
        assert!(answer.body["error"]["message"].as_str().unwrap().contains("0.05 s"), "{:?}", answer.body);
    }

    async fn a_host_that_hangs_keeps_only_so_many_waiting_and_the_others_hear_which_it_is(cloud: Cloud) {
        let config = ApiConfig { max_in_flight: 3, max_calls_per_host: 2, ..ApiConfig::default() };
        let cloud = cloud.restarted(config, SecurityComplianceConfig::default());
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        cloud.write_host("host-1", "nova").await;
        let target = Target::new("compute").server("host-1");
        let _hanging = RpcServer::builder(&cloud.transport, target).endpoint(Hanging).start().await.unwrap();
        cloud.start_host("host-2").await;
        let asleep = cloud.active_server(&demo, "asleep", "host-1").await;
        let awake = cloud.active_server(&demo, "awake", "host-2").await;
        let console = json!({"os-getConsoleOutput": {}});
        // Each again when it is refused, as by the one below that came before it.
        let asks = async || {
            while demo.action(asleep, &console).await.status == 503 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        beside(async { tokio::join!(asks(), asks()) }, async {
            // The two wait, once a third is refused.
            let refused = loop {
                let asked = tokio::time::timeout(Duration::from_millis(100), admin.action(asleep, &console));
                if let Ok(answer) = asked.await { break answer; }
            };
            assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
            assert!(refused.message().contains("The host host-1 of instance"), "{}", refused.message());
            let member = demo.action(asleep, &console).await;
            assert_eq!((member.status, member.message().contains("host-1")), (503, false), "{}", member.message());
            let diagnostics = demo.get(&format!("{SERVERS}/{asleep}/diagnostics")).await;
            assert_eq!(diagnostics.status, 403);
            assert_eq!(admin.get(&format!("{SERVERS}/{asleep}/diagnostics")).await.status, 503);
            let hypervisors = admin.at("2.88").get("/compute/v2.1/os-hypervisors/detail").await;
            assert_eq!(hypervisors.status, 200);
            // All places are there for who does not ask that host.
            let mut others: FuturesUnordered<_> = (0..3).map(|_| demo.get(SERVERS)).collect();
            while let Some(answer) = others.next().await {
                assert_eq!(answer.status, 200);
            }
            assert_eq!(demo.action(awake, &console).await.status, 200);
        })
        .await;
    }

    async fn who_fails_to_log_in_too_often_is_locked_for_a_while_restart_or_not(cloud: Cloud) {
        let cloud = cloud.restarted(ApiConfig::default(), locking(3, HOUR));
        for wrong in ["a", "b"] {
            assert_eq!(log_in(&cloud, "demo", wrong).await, 401);
        }
        // The right one forgives.
        assert_eq!(log_in(&cloud, "demo", PASSWORD).await, 201);
        for wrong in ["a", "b", "c"] {
            assert_eq!(log_in(&cloud, "demo", wrong).await, 401);
        }
        assert_eq!((log_in(&cloud, "demo", PASSWORD).await, log_in(&cloud, "admin", PASSWORD).await), (401, 201));
        let cloud = cloud.restarted(ApiConfig::default(), locking(3, HOUR));
        assert_eq!(log_in(&cloud, "demo", PASSWORD).await, 401);
        // Served.
        let cloud = cloud.restarted(ApiConfig::default(), locking(3, Duration::from_micros(1)));
        assert_eq!(log_in(&cloud, "demo", PASSWORD).await, 201);
        let cloud = cloud.restarted(ApiConfig::default(), locking(3, HOUR));
        assert_eq!(log_in(&cloud, "demo", PASSWORD).await, 201);
    }

    async fn a_lock_without_an_end_is_undone_by_a_new_password_and_without_the_option_there_is_none(cloud: Cloud) {
        let cloud = cloud.restarted(ApiConfig::default(), locking(1, Duration::ZERO));
        assert_eq!((log_in(&cloud, "demo", "wrong").await, log_in(&cloud, "demo", PASSWORD).await), (401, 401));
        let admin = cloud.admin().await;
        let user = admin.get("/identity/v3/users?name=demo").await.body["users"][0]["id"].as_str().unwrap().to_owned();
        let body = Body::from(json!({"user": {"password": PASSWORD}}).to_string());
        let changed = admin.send(Method::PATCH, &format!("/identity/v3/users/{user}"), body).await;
        assert_eq!(changed.status, 200, "{:?}", changed.body);
        assert_eq!(log_in(&cloud, "demo", PASSWORD).await, 201);
        let cloud = cloud.restarted(ApiConfig::default(), SecurityComplianceConfig::default());
        for _ in 0..4 {
            assert_eq!(log_in(&cloud, "demo", "wrong").await, 401);
        }
        assert_eq!(log_in(&cloud, "demo", PASSWORD).await, 201);
    }
}

#[tokio::test]
async fn one_address_has_not_all_places() {
    let config = ApiConfig { max_in_flight: 2, max_in_flight_per_address: 0, ..ApiConfig::default() };
    let cloud = Cloud::configured(On::Sqlite, config).await;
    let answer = cloud.anonymous().get(SERVERS).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("5")));
    assert_eq!(answer.body["overLimit"]["code"], 429);
}
