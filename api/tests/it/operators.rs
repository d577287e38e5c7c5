//! Whole answers of what operators look at, at the versions that differ, and changes by the older forms.

use serde_json::{Value, json};

use crate::support::Cloud;

const SERVICES: &str = "/compute/v2.1/os-services";
const HYPERVISORS: &str = "/compute/v2.1/os-hypervisors";

on_both! {
    async fn services_are_listed_and_filtered(cloud: Cloud) {
        cloud.write_host("host-1", "nova").await;
        cloud.write_host("host-2", "other").await;
        let admin = cloud.admin().await;
        for version in ["2.1", "2.11"] {
            insta::assert_json_snapshot!(format!("services_at_{version}"), admin.at(version).get(SERVICES).await.body, {
                ".services[].id" => "[id]", ".services[].updated_at" => "[time]",
            });
        }
        for (query, expected) in [("host=host-1", 1), ("binary=nova-compute", 2), ("host=&binary=", 2), ("host=x", 0)] {
            let answer = admin.get(&format!("{SERVICES}?{query}")).await;
            assert_eq!(answer.body["services"].as_array().unwrap().len(), expected, "{query}");
        }
        assert_eq!(cloud.demo().await.get(SERVICES).await.status, 403);
    }

    async fn a_host_is_taken_out_of_scheduling_and_declared_down(cloud: Cloud) {
        cloud.write_host("host-1", "nova").await;
        let admin = cloud.admin().await;
        let host = json!({"host": "host-1", "binary": "nova-compute"});
        let with = |field: &str, value: Value| {
            let mut body = host.clone();
            body[field] = value;
            body
        };
        let put = async |version: &str, what: &str, body: &Value| {
            let answer = admin.at(version).put(&format!("{SERVICES}/{what}"), body).await;
            (answer.status, answer.body)
        };
        assert_eq!(put("2.1", "disable", &host).await, (200, json!({"service": {
            "host": "host-1", "binary": "nova-compute", "status": "disabled"}})));
        assert_eq!(put("2.1", "disable-log-reason", &with("disabled_reason", json!("disk"))).await.0, 200);
        assert_eq!(put("2.11", "force-down", &with("forced_down", json!("true"))).await, (200, json!({"service": {
            "host": "host-1", "binary": "nova-compute", "forced_down": true}})));
        let shown = admin.at("2.11").get(SERVICES).await.body["services"][0].clone();
        assert_eq!((&shown["status"], &shown["state"]), (&json!("disabled"), &json!("down")));
        assert_eq!((&shown["disabled_reason"], &shown["forced_down"]), (&json!("disk"), &json!(true)));
        assert_eq!(put("2.1", "enable", &host).await.0, 200);
        assert_eq!(admin.get(SERVICES).await.body["services"][0]["disabled_reason"], Value::Null);

        for (status, version, what, body) in [
            (404, "2.1", "explode", host.clone()),
            (404, "2.10", "force-down", host.clone()),
            (400, "2.11", "force-down", host.clone()),
            (400, "2.1", "disable-log-reason", host.clone()),
            (400, "2.1", "enable", json!({"host": "host-1"})),
            (400, "2.1", "enable", with("x", json!(1))),
            (400, "2.1", "disable", json!({"host": "host-1", "binary": "nova-scheduler"})),
            (404, "2.1", "disable", json!({"host": "host-9", "binary": "nova-compute"})),
        ] {
            assert_eq!(put(version, what, &body).await.0, status, "{version} {what} {body}");
        }
    }

    async fn a_server_shows_that_its_host_is_declared_down_before_that_it_is_taken_out_of_scheduling(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let (admin, demo) = (cloud.admin().await.at("2.16"), cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let path = format!("/compute/v2.1/servers/{uuid}");
        let status = async || admin.get(&path).await.body["server"]["host_status"].clone();
        let host = json!({"host": "host-1", "binary": "nova-compute"});
        assert_eq!(status().await, "UP");
        assert_eq!(admin.put(&format!("{SERVICES}/disable"), &host).await.status, 200);
        assert_eq!(status().await, "MAINTENANCE");
        cloud.force_down("host-1").await;
        assert_eq!(status().await, "DOWN");
        assert_eq!(admin.put(&format!("{SERVICES}/enable"), &host).await.status, 200);
        assert_eq!(status().await, "DOWN");
    }

    async fn hypervisors_are_shown_with_what_they_give(cloud: Cloud) {
        cloud.start_host("host-1").await;
        cloud.write_host("host-2", "nova").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        cloud.active_server(&demo, "s", "host-1").await;
        insta::assert_json_snapshot!("hypervisors", admin.get(HYPERVISORS).await.body, {
            ".hypervisors[].id" => "[id]" });
        let detail = admin.get(&format!("{HYPERVISORS}/detail")).await;
        insta::assert_json_snapshot!("hypervisors_detail_at_2.1", detail.body, {
            ".hypervisors[].id" => "[id]", ".hypervisors[].service.id" => "[id]" });
        let id = &detail.body["hypervisors"][0]["id"];
        let one = admin.get(&format!("{HYPERVISORS}/{id}")).await;
        assert_eq!(one.body["hypervisor"], detail.body["hypervisors"][0]);
        assert_eq!(admin.get(&format!("{HYPERVISORS}/{id}/uptime")).await.body["hypervisor"]["uptime"], "console text\n");
        let found = admin.get(&format!("{HYPERVISORS}/st-1/servers")).await;
        assert_eq!(found.body["hypervisors"][0]["servers"][0]["name"], "s");
        assert_eq!(admin.get(&format!("{HYPERVISORS}/st-2/search")).await.body["hypervisors"].as_array().unwrap().len(), 1);
        for path in ["nothing/search", "0", "host-1"] {
            assert_eq!(admin.get(&format!("{HYPERVISORS}/{path}")).await.status, 404, "{path}");
        }
        assert_eq!(cloud.demo().await.get(HYPERVISORS).await.status, 403);
    }

    async fn limits_say_what_a_project_has(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        cloud.new_server(&demo, "a").await;
        cloud.new_server(&demo, "b").await;
        insta::assert_json_snapshot!("limits_at_2.1", demo.get("/compute/v2.1/limits?reserved=False").await.body);
        assert_eq!(admin.get("/compute/v2.1/limits").await.body["limits"]["absolute"]["totalInstancesUsed"], 0);
    }
}
