//! Flavors: listed, shown, made, removed.

use serde_json::{Value, json};

use crate::support::{Cloud, On};

const FLAVORS: &str = "/compute/v2.1/flavors";

on_both! {
    async fn flavors_are_listed_in_pages_and_by_size(cloud: Cloud) {
        let demo = cloud.demo().await;
        insta::assert_json_snapshot!("flavor_at_2.1", demo.get(&format!("{FLAVORS}/1")).await.body);
        assert_eq!(demo.get(&format!("{FLAVORS}/m1.tiny")).await.status, 404);
        let names = async |query: &str| {
            let answer = demo.get(&format!("{FLAVORS}?{query}")).await;
            let names: Vec<String> = answer.body["flavors"]
                .as_array().unwrap_or(&vec![]).iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect();
            names.join(" ")
        };
        assert_eq!(names("minRam=4096&sort_key=memory_mb&sort_dir=desc").await, "m1.xlarge m1.large m1.medium");
        assert_eq!(names("minDisk=80").await, "m1.large m1.xlarge");
        assert_eq!(names("limit=2").await, "m1.tiny m1.small");
        assert_eq!(names("limit=2&marker=2").await, "m1.medium m1.large");
        let page = demo.get(&format!("{FLAVORS}/detail?limit=2")).await;
        assert_eq!(page.body["flavors_links"][0]["href"], "http://cloud.test/compute/v2.1/flavors/detail?limit=2&marker=2");
        for query in ["marker=none", "limit=-1", "minRam=x", "sort_key=x", "sort_dir=x"] {
            assert_eq!(demo.get(&format!("{FLAVORS}?{query}")).await.status, 400, "{query}");
        }
    }

    async fn flavors_are_made_and_removed_by_administrators(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let new = |id: Value| json!({"flavor": {"name": "huge", "id": id, "ram": "1048576", "vcpus": 1000, "disk": 1,
            "os-flavor-access:is_public": "False"}});
        assert_eq!(demo.post(FLAVORS, &new(json!(7))).await.status, 403);
        let made = admin.post(FLAVORS, &new(json!(7))).await;
        assert_eq!((made.status, &made.body["flavor"]["id"]), (200, &json!("7")));
        let again = admin.post(FLAVORS, &new(json!(7))).await;
        assert_eq!((again.status, again.message()), (409, "Flavor with ID 7 already exists."));
        let again = admin.post(FLAVORS, &new(Value::Null)).await;
        assert_eq!((again.status, again.message()), (409, "Flavor with name huge already exists."));
        // Private: not for others, and for administrators only on demand.
        assert_eq!(demo.get(&format!("{FLAVORS}/7")).await.status, 404);
        let count = async |query: &str| {
            admin.get(&format!("{FLAVORS}{query}")).await.body["flavors"].as_array().unwrap().len()
        };
        assert_eq!((count("").await, count("?is_public=None").await, count("?is_public=False").await), (7, 8, 1));
        assert_eq!(admin.get(&format!("{FLAVORS}/7/os-extra_specs")).await.body, json!({"extra_specs": {}}));
        assert_eq!(admin.get(&format!("{FLAVORS}/7/os-extra_specs/x")).await.status, 404);
        assert_eq!(admin.delete(&format!("{FLAVORS}/7")).await.status, 202);
        assert_eq!(admin.delete(&format!("{FLAVORS}/7")).await.status, 404);
        for body in [
            json!({"flavor": {"name": "x"}}),
            json!({"flavor": {"name": "x", "ram": 0, "vcpus": 1, "disk": 1}}),
            json!({"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "description": "too early"}}),
            json!({"flavor": {"name": "x", "id": " 7", "ram": 1, "vcpus": 1, "disk": 1}}),
            json!({"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "swap": null}}),
            json!({"flavor": {"name": "x\u{200b}", "ram": 1, "vcpus": 1, "disk": 1}}),
            json!({"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "rxtx_factor": 0}}),
            json!({"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "rxtx_factor": "much"}}),
        ] {
            assert_eq!(admin.post(FLAVORS, &body).await.status, 400, "{body}");
        }
        let as_openstackclient = json!({"flavor": {"name": "x", "id": null, "ram": 1, "vcpus": 1, "disk": 1, "swap": 0,
            "OS-FLV-EXT-DATA:ephemeral": 0, "rxtx_factor": 1.0, "os-flavor-access:is_public": true}});
        assert_eq!(admin.post(FLAVORS, &as_openstackclient).await.status, 200);
    }

    async fn a_factor_of_bandwidth_is_kept_and_shown_until_2_101(cloud: Cloud) {
        let admin = cloud.admin().await;
        for (id, factor, shown) in [("a", json!(0.5), json!(0.5)), ("b", json!("2"), json!(2.0)), ("c", json!("1.5"), json!(1.5))] {
            let body = json!({"flavor": {"name": id, "id": id, "ram": 1, "vcpus": 1, "disk": 1, "rxtx_factor": factor}});
            assert_eq!(admin.at("2.102").post(FLAVORS, &body).await.status, 400);
            assert_eq!(admin.post(FLAVORS, &body).await.body["flavor"]["rxtx_factor"], shown);
            let path = format!("{FLAVORS}/{id}");
            assert_eq!(admin.at("2.101").get(&path).await.body["flavor"]["rxtx_factor"], shown);
            assert_eq!(admin.at("2.102").get(&path).await.body["flavor"].get("rxtx_factor"), None);
        }
    }
}
