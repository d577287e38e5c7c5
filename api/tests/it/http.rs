//! What every request gets, whatever it asks for: ids, versions, envelopes, limits.

use std::net::SocketAddr;

use axum::{body::Body, extract::ConnectInfo};
use http::Method;
use novella_api::{ApiConfig, compute::MICROVERSIONS};
use novella_common::sql;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Cloud, On, create};

const SERVERS: &str = "/compute/v2.1/servers";

on_both! {
    async fn each_answer_has_its_own_request_id_and_a_valid_one_of_the_clients_goes_along(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (a, b) = (demo.get(SERVERS).await, demo.get(SERVERS).await);
        assert_ne!(a.header("x-openstack-request-id"), b.header("x-openstack-request-id"));
        assert_eq!(a.header("x-openstack-request-id"), a.header("x-compute-request-id"));
        let theirs = "req-8a1b2c3d-0000-4000-8000-000000000000";
        let body = Body::from(create("s").to_string());
        let headers = [("x-openstack-request-id", theirs), ("content-type", "application/json")];
        let answer = demo.send_with(Method::POST, SERVERS, body, &headers).await;
        assert_ne!(answer.header("x-openstack-request-id"), Some(theirs));
    }

    async fn the_version_is_echoed_also_on_errors(cloud: Cloud) {
        let demo = cloud.demo().await;
        for path in [SERVERS.to_owned(), format!("{SERVERS}/nothing"), "/compute/v2.1/nothing".to_owned()] {
            let answer = demo.at("2.7").get(&path).await;
            assert_eq!(answer.header("openstack-api-version"), Some("compute 2.7"), "{path}");
            assert_eq!(answer.header("x-openstack-nova-api-version"), Some("2.7"), "{path}");
            assert!(answer.header("vary").unwrap().contains("OpenStack-API-Version"), "{path}");
        }
        let latest = demo.at("latest").get(SERVERS).await;
        assert_eq!(latest.header("x-openstack-nova-api-version"), Some(MICROVERSIONS.max.to_string().as_str()));
        let too_high = demo.at("2.999").get(SERVERS).await;
        assert_eq!((too_high.status, &too_high.body["computeFault"]["code"]), (406, &json!(406)));
        let nonsense = demo.at("two").get(SERVERS).await;
        assert_eq!((nonsense.status, &nonsense.body["badRequest"]["code"]), (400, &json!(400)));
    }

    async fn a_request_without_a_token_learns_nothing(cloud: Cloud) {
        for path in [SERVERS, "/compute/v2.1/nothing", "/image/v2/images", "/image/v2/nothing"] {
            let answer = cloud.anonymous().get(path).await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.body["error"]["title"], "Unauthorized", "{path}");
            assert!(answer.header("www-authenticate").is_some(), "{path}");
        }
    }

    async fn a_method_that_a_path_does_not_have_is_refused_as_everything_else_is(cloud: Cloud) {
        let demo = cloud.demo().await;
        for path in [SERVERS, "/compute/v2.1/flavors/1", "/image/v2/images"] {
            assert_eq!(cloud.anonymous().send(Method::PATCH, path, Body::empty()).await.status, 401, "{path}");
            assert_eq!(demo.send(Method::PATCH, path, Body::empty()).await.status, 405, "{path}");
        }
        let answer = demo.at("2.7").send(Method::PATCH, SERVERS, Body::empty()).await;
        assert_eq!(answer.header("openstack-api-version"), Some("compute 2.7"));
        assert!(answer.header("allow").unwrap().contains("POST"));
    }

    async fn a_query_where_there_is_none_is_refused_from_2_102_on(cloud: Cloud) {
        let admin = cloud.admin().await;
        for path in ["/flavors/1", "/flavors/1/os-extra_specs", "/os-aggregates", "/os-availability-zone", "/extensions"] {
            let path = format!("/compute/v2.1{path}?nothing=1");
            assert_eq!(admin.at("2.101").get(&path).await.status, 200, "{path}");
            let refused = admin.at("2.102").get(&path).await;
            assert_eq!((refused.status, refused.message().contains("'nothing'")), (400, true), "{path}");
        }
        let twice = "/compute/v2.1/os-hypervisors?limit=1&limit=2";
        assert_eq!((admin.at("2.52").get(twice).await.status, admin.at("2.53").get(twice).await.status), (200, 400));
    }

    async fn every_error_is_json_in_the_services_own_form(cloud: Cloud) {
        let demo = cloud.demo().await;
        assert_eq!(demo.get("/compute/v2.1/nothing").await.body["itemNotFound"]["code"], 404);
        assert_eq!(demo.get("/identity/v3/nothing").await.body["error"]["code"], 404);
        assert_eq!(demo.get("/image/v2/nothing").await.body["code"], "404 Not Found");
        assert_eq!(demo.get("/nothing").await.body["itemNotFound"]["code"], 404);
        let wrong_method = demo.delete(SERVERS).await;
        assert_eq!((wrong_method.status, &wrong_method.body["badMethod"]["code"]), (405, &json!(405)));
        assert_eq!(demo.put("/compute/v2.1", &json!({})).await.status, 405);
    }

    async fn a_body_that_is_no_json_is_refused(cloud: Cloud) {
        let demo = cloud.demo().await;
        for text in ["", "{", "nonsense", "{\"server\": }", "\u{0}"] {
            let answer = demo.send(Method::POST, SERVERS, Body::from(text)).await;
            assert_eq!((answer.status, answer.message().starts_with("Malformed request body")), (400, true), "{text:?}");
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(demo.send(Method::POST, SERVERS, Body::from(deep)).await.status, 400);
        let form = demo
            .send_with(Method::POST, SERVERS, Body::from("a=b"), &[("content-type", "application/x-www-form-urlencoded")])
            .await;
        assert_eq!((form.status, &form.body["badMediaType"]["code"]), (415, &json!(415)));
    }

    async fn a_path_that_is_no_text_is_refused_like_any_other(cloud: Cloud) {
        let demo = cloud.demo().await;
        let answer = demo.get(&format!("{SERVERS}/%FF")).await;
        assert_eq!((answer.status, &answer.body["badRequest"]["code"]), (400, &json!(400)), "{:?}", answer.body);
        assert_eq!(demo.get(&format!("{SERVERS}?name=%FF%GG")).await.status, 200);
    }

    async fn a_body_over_the_limit_is_refused(cloud: Cloud) {
        let demo = cloud.demo().await;
        let mut body = create("s");
        body["server"]["user_data"] = Value::from("a".repeat(ApiConfig::default().max_body_bytes));
        let answer = demo.post(SERVERS, &body).await;
        assert_eq!((answer.status, &answer.body["overLimit"]["code"]), (413, &json!(413)));
    }

    async fn the_project_may_stand_in_the_path(cloud: Cloud) {
        let demo = cloud.demo().await;
        let project = demo.get("/identity/v3/auth/projects").await.body["projects"][0]["id"].as_str().unwrap().to_owned();
        let answer = demo.post(&format!("/compute/v2.1/{project}/servers"), &create("s")).await;
        assert_eq!(answer.status, 202);
        let location = answer.header("location").unwrap().strip_prefix("http://cloud.test").unwrap().to_owned();
        assert!(location.starts_with(&format!("/compute/v2.1/{project}/servers/")));
        assert_eq!(demo.get(&location).await.status, 200);
        assert_eq!(demo.get(&format!("/compute/v2.1/{project}/flavors?limit=1")).await.status, 200);
        let other = demo.get("/compute/v2.1/0123456789abcdef0123456789abcdef/servers").await;
        assert_eq!((other.status, other.message().starts_with("Malformed request URL")), (400, true));
    }

    async fn an_empty_id_is_no_list(cloud: Cloud) {
        let (admin, uuid) = (cloud.admin().await, "00000000-0000-4000-8000-000000000000");
        let mut paths: Vec<String> = Vec::new();
        let document = cloud.anonymous().get("/openapi.json").await.body;
        for (path, methods) in document["paths"].as_object().unwrap() {
            if methods.get("get").is_some() {
                paths.push(path.split('/').map(|part| if part.starts_with('{') { uuid } else { part }).collect::<Vec<_>>().join("/"));
            }
        }
        assert!(paths.iter().any(|path| path == "/image/v2/images") && paths.len() > 50);
        for path in paths {
            // The one that OpenStack's conformance suite asks for with a slash.
            if path == "/identity/v3/OS-TRUST/trusts" {
                continue;
            }
            assert_eq!(admin.at("2.26").get(&format!("{path}/")).await.status, 404, "{path}/");
        }
        assert_eq!(admin.get("/compute/v2.1/").await.body["version"]["version"], MICROVERSIONS.max.to_string());
        assert_eq!((admin.get("/identity/v3/").await.status, admin.get("/image/").await.status), (200, 300));
    }

    async fn what_is_not_built_is_named(cloud: Cloud) {
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        for (path, what) in [
            ("/identity/v3/trusts".to_owned(), "trusts"),
            ("/image/v2/nothing".to_owned(), "nothing"),
        ] {
            let answer = demo.get(&path).await;
            assert_eq!(answer.status, 404, "{path}");
            assert!(answer.body.to_string().contains(&format!("This cloud has no {what}.")), "{:?}", answer.body);
        }
        for path in [format!("{SERVERS}/{uuid}/{uuid}"), format!("{SERVERS}/{uuid}/b%3Cscript%3E")] {
            assert_eq!(demo.get(&path).await.message(), "The resource could not be found.", "{path}");
        }
        let early = demo.at("2.25").get(&format!("{SERVERS}/{uuid}/tags")).await;
        let text = "The resource could not be found. It is there from microversion 2.26 on.";
        assert_eq!((early.status, early.message()), (404, text));
    }

    async fn links_are_those_by_which_a_trusted_proxy_was_reached(cloud: Cloud) {
        let trusting = ApiConfig { trusted_proxies: vec!["192.0.2.0/24".parse().unwrap()], ..ApiConfig::default() };
        let trusting = Cloud::configured(cloud.on, trusting).await;
        for (cloud, peer, expected) in [
            (&trusting, "192.0.2.7:1", "https://cloud.example.org/os/compute/v2.1/"),
            (&trusting, "198.51.100.7:1", "http://cloud.test/compute/v2.1/"),
            (&cloud, "192.0.2.7:1", "http://cloud.test/compute/v2.1/"),
        ] {
            let mut request = http::Request::builder()
                .uri("/compute")
                .header("host", "cloud.test")
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", "cloud.example.org")
                .header("x-forwarded-prefix", "/os")
                .body(Body::empty())
                .unwrap();
            request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
            let answer = cloud.router.clone().oneshot(request).await.unwrap();
            let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["versions"][0]["links"][0]["href"], expected, "{peer}");
        }
    }

    async fn health_is_seen_without_a_token_and_figures_are_not(cloud: Cloud) {
        let anybody = cloud.anonymous();
        assert_eq!(anybody.get("/healthz").await.status, 200);
        assert_eq!(anybody.get("/readyz").await.body["ready"], true);
        assert_eq!(anybody.get("/metrics").await.status, 404);
        let root = anybody.get("/").await;
        assert_eq!(root.body["services"]["compute"], "http://cloud.test/compute/v2.1");
        // As Keystone's root, for clients that take the base URL for its.
        assert_eq!((root.status, root.body.get("version")), (300, None));
        assert_eq!(root.body["versions"]["values"][0]["links"][0]["href"], "http://cloud.test/identity/v3/");
    }

    async fn the_openapi_document_has_every_operation(cloud: Cloud) {
        let document = cloud.anonymous().get("/openapi.json").await.body;
        let paths = document["paths"].as_object().unwrap();
        for path in ["/compute/v2.1/servers", "/compute/v2.1/servers/{server_id}/action", "/compute/v2.1/os-services",
            "/identity/v3/auth/tokens", "/image/v2/images"] {
            assert!(paths.contains_key(path), "{path}: {:?}", paths.keys());
        }
        let abort = &paths["/compute/v2.1/servers/{server_id}/migrations/{migration_id}"]["delete"];
        assert_eq!(abort["x-openstack"]["min-ver"], "2.24");
    }

    async fn a_database_that_is_gone_is_503_and_not_500(cloud: Cloud) {
        let demo = cloud.demo().await;
        assert_eq!(demo.get(SERVERS).await.status, 200);
        cloud.execute(sql!("DROP TABLE instances")).await;
        let answer = demo.get(SERVERS).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
        assert!(!answer.message().contains("instances"), "{}", answer.message());
    }
}

#[tokio::test]
async fn more_requests_than_may_be_worked_on_are_refused_at_once_and_health_is_still_seen() {
    let config = ApiConfig { max_in_flight: 0, ..ApiConfig::default() };
    let cloud = Cloud::configured(On::Sqlite, config).await;
    let answer = cloud.anonymous().get(SERVERS).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(cloud.anonymous().get("/readyz").await.status, 200);
}
