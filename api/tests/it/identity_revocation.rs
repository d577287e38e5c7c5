//! What ends tokens, in every process that has seen them.

use std::time::{Duration, Instant};

use futures_util::future;
use http::Method;
use novella_common::{config::Secret, sql};
use novella_identity::db::{hash_password, set_password};
use serde_json::json;

use crate::{
    identity_resources::{id, make, role},
    support::{Client, Cloud, identity_config},
};

const V3: &str = "/identity/v3";

/// How long another process may take to hear of it. Promised is a second; the rest is this machine's.
const HEARD: Duration = Duration::from_millis(1500);

/// Asks again and again until the token is refused.
async fn until_refused(client: &Client<'_>, what: &str) {
    let begun = Instant::now();
    while client.get(&format!("{V3}/regions")).await.status != 401 {
        assert!(begun.elapsed() < HEARD, "{what}: still good after {:?}", begun.elapsed());
        tokio::task::yield_now().await;
    }
}

on_both! {
    async fn what_ends_a_token_is_heard_within_a_second_in_every_process(cloud: Cloud) {
        let admin = cloud.admin().await;
        let other = cloud.identity_beside().await;
        let project = make(&admin, "projects", "project", json!({"name": "p"})).await;
        let member = role(&admin, "member").await;
        let user = make(&admin, "users", "user", json!({"name": "u", "password": "pw"})).await;
        let (user_path, project_path) = (format!("{V3}/users/{}", id(&user)), format!("{V3}/projects/{}", id(&project)));
        let grant = format!("{project_path}/users/{}/roles/{member}", id(&user));
        assert_eq!(admin.put(&grant, &json!(null)).await.status, 204);
        let log_in = |password: &str| json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {"id": user["id"], "password": password}}},
            "scope": {"project": {"id": project["id"]}},
        }});
        let (off, on) = (json!({"enabled": false}), json!({"enabled": true}));
        for what in ["token ended", "last role taken", "user disabled", "project disabled", "password reset", "user deleted"] {
            let (token, _) = cloud.token(&log_in("pw")).await.unwrap();
            let here = cloud.anonymous().with_token(&token);
            let there = here.via(&other);
            assert_eq!((here.get(&format!("{V3}/regions")).await.status, there.get(&format!("{V3}/regions")).await.status), (200, 200), "{what}");
            let status = match what {
                "token ended" => {
                    let headers = [("x-subject-token", token.as_str())];
                    here.send_with(Method::DELETE, &format!("{V3}/auth/tokens"), axum::body::Body::empty(), &headers).await.status
                }
                "last role taken" => admin.delete(&grant).await.status,
                "user disabled" => admin.patch(&user_path, &json!({"user": off})).await.status,
                "project disabled" => admin.patch(&project_path, &json!({"project": off})).await.status,
                "password reset" => admin.patch(&user_path, &json!({"user": {"password": "pw"}})).await.status,
                _ => admin.delete(&user_path).await.status,
            };
            assert!(status == 200 || status == 204, "{what}: {status}");
            assert_eq!(here.get(&format!("{V3}/regions")).await.status, 401, "{what}, in the process that did it");
            until_refused(&there, what).await;
            // Back, for the next one.
            match what {
                "last role taken" => assert_eq!(admin.put(&grant, &json!(null)).await.status, 204),
                "user disabled" => assert_eq!(admin.patch(&user_path, &json!({"user": on})).await.status, 200),
                "project disabled" => assert_eq!(admin.patch(&project_path, &json!({"project": on})).await.status, 200),
                _ => {}
            }
        }
    }

    async fn with_a_token_those_made_from_it_end_unless_it_is_asked_otherwise(cloud: Cloud) {
        let admin = cloud.admin().await;
        let project = make(&admin, "projects", "project", json!({"name": "p"})).await;
        let member = role(&admin, "member").await;
        let user = make(&admin, "users", "user", json!({"name": "u", "password": "pw"})).await;
        let grant = format!("{V3}/projects/{}/users/{}/roles/{member}", id(&project), id(&user));
        assert_eq!(admin.put(&grant, &json!(null)).await.status, 204);
        let password = json!({"methods": ["password"], "password": {"user": {"id": user["id"], "password": "pw"}}});
        for (query, status) in [("?cascade=false", 200), ("", 401)] {
            let (first, _) = cloud.token(&json!({"auth": {"identity": password, "scope": "unscoped"}})).await.unwrap();
            let by_token = json!({"methods": ["token"], "token": {"id": first}});
            let scope = json!({"project": {"id": project["id"]}});
            let (second, _) = cloud.token(&json!({"auth": {"identity": by_token, "scope": scope}})).await.unwrap();
            let client = cloud.anonymous().with_token(&first);
            let (path, headers) = (format!("{V3}/auth/tokens{query}"), [("x-subject-token", first.as_str())]);
            let ended = client.send_with(Method::DELETE, &path, axum::body::Body::empty(), &headers).await;
            assert_eq!(ended.status, 204);
            let made_from_it = cloud.anonymous().with_token(&second);
            assert_eq!(made_from_it.get(&format!("{V3}/regions")).await.status, status, "{query}");
        }
    }

    async fn a_log_in_that_is_overtaken_by_a_change_of_the_password_gets_no_token(cloud: Cloud) {
        let admin = cloud.admin().await;
        let hash = hash_password(&Secret::new("other"), identity_config().password_cost()).unwrap();
        for method in ["password", "token"] {
            let user = make(&admin, "users", "user", json!({"name": method, "password": "pw"})).await;
            let by_password = json!({"methods": ["password"], "password": {"user": {"id": user["id"], "password": "pw"}}});
            let (token, _) = cloud.token(&json!({"auth": {"identity": by_password, "scope": "unscoped"}})).await.unwrap();
            let identity = match method {
                "password" => by_password,
                _ => json!({"methods": ["token"], "token": {"id": token}}),
            };
            let body = json!({"auth": {"identity": identity, "scope": "unscoped"}});
            let mut change = cloud.database.begin().await.unwrap();
            set_password(&mut change, id(&user), &hash, None).await.unwrap();
            // What is not committed is not seen: the old password and the token are still good when they are looked at.
            let (answer, ()) = future::join(cloud.token(&body), async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                change.commit().await.unwrap();
            })
            .await;
            assert!(answer.is_err(), "{method}");
            let mut left = sql!("SELECT COUNT(*) FROM tokens WHERE user_id = "(id(&user)));
            let left: i64 = left.fetch_one(&mut cloud.database.read().await.unwrap()).await.unwrap();
            assert_eq!(left, 0, "{method}");
        }
    }

    async fn a_role_that_is_added_shows_in_tokens_that_were_given_out_before(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let project = demo.get(&format!("{V3}/auth/projects")).await.body["projects"][0].clone();
        let user = admin.get(&format!("{V3}/users?name=demo")).await.body["users"][0].clone();
        let manager = role(&admin, "manager").await;
        let shown = async || {
            let token = demo.token.clone().unwrap();
            let answer = demo.send_with(Method::GET, &format!("{V3}/auth/tokens"), axum::body::Body::empty(), &[("x-subject-token", &token)]).await;
            answer.body["token"]["roles"].as_array().unwrap().len()
        };
        assert_eq!(shown().await, 2);
        let grant = format!("{V3}/projects/{}/users/{}/roles/{manager}", id(&project), id(&user));
        assert_eq!(admin.put(&grant, &json!(null)).await.status, 204);
        assert_eq!(shown().await, 3);
    }

    async fn a_token_that_was_checked_costs_no_query(cloud: Cloud) {
        let demo = cloud.demo().await;
        assert_eq!(demo.get(&format!("{V3}/auth/catalog")).await.status, 200);
        cloud.database.close().await;
        assert_eq!(demo.get(&format!("{V3}/auth/catalog")).await.status, 200);
        assert_eq!(demo.get(&format!("{V3}/auth/projects")).await.status, 503);
    }
}
