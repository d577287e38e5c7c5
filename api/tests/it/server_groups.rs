//! Server groups: made, listed, joined by servers, removed.

use serde_json::{Value, json};

use crate::support::{Cloud, create};

const GROUPS: &str = "/compute/v2.1/os-server-groups";
const SERVERS: &str = "/compute/v2.1/servers";

fn group(name: &str, policy: &str) -> Value {
    json!({"server_group": {"name": name, "policy": policy}})
}

fn in_group(name: &str, id: &Value) -> Value {
    let mut body = create(name);
    body["server"]["networks"] = json!("none");
    body["os:scheduler_hints"] = json!({"group": id});
    body
}

on_both! {
    async fn a_group_has_the_form_of_its_version(cloud: Cloud) {
        let demo = cloud.demo().await;
        let made = demo.post(GROUPS, &json!({"server_group": {"name": "old", "policies": ["affinity"]}})).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let shown = &made.body["server_group"];
        assert_eq!((&shown["policies"], &shown["metadata"], &shown["members"]), (&json!(["affinity"]), &json!({}), &json!([])));
        assert!(shown.get("project_id").is_none() && shown.get("policy").is_none(), "{shown}");
        let id = shown["id"].as_str().unwrap();
        assert!(demo.at("2.13").get(&format!("{GROUPS}/{id}")).await.body["server_group"]["user_id"].is_string());

        let rules = json!({"name": "new", "policy": "anti-affinity", "rules": {"max_server_per_host": "2"}});
        let made = demo.at("2.64").post(GROUPS, &json!({"server_group": rules})).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let shown = &made.body["server_group"];
        assert_eq!((&shown["policy"], &shown["rules"]), (&json!("anti-affinity"), &json!({"max_server_per_host": 2})));
        assert!(shown.get("policies").is_none() && shown.get("metadata").is_none(), "{shown}");

        for (version, wrong) in [
            ("2.1", json!({"name": "g", "policies": []})),
            ("2.1", json!({"name": "g", "policies": ["soft-affinity"]})),
            ("2.15", json!({"name": "g", "policies": ["affinity", "anti-affinity"]})),
            ("2.63", json!({"name": "g", "policy": "affinity"})),
            ("2.64", json!({"name": "g", "policies": ["affinity"]})),
            ("2.64", json!({"name": "g", "policy": "near"})),
            ("2.64", json!({"name": "g", "policy": "affinity", "rules": {"max_server_per_host": 1}})),
            ("2.64", json!({"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": 0}})),
            ("2.64", json!({"name": "", "policy": "affinity"})),
            ("2.64", json!({"policy": "affinity"})),
        ] {
            let refused = demo.at(version).post(GROUPS, &json!({"server_group": wrong.clone()})).await;
            assert_eq!(refused.status, 400, "{version} {wrong}");
        }
    }

    async fn groups_are_their_projects_and_administrators_may_list_all(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await.at("2.64"), cloud.demo().await.at("2.64"));
        let mut ids = Vec::new();
        for name in ["a", "b", "c"] {
            ids.push(demo.post(GROUPS, &group(name, "affinity")).await.body["server_group"]["id"].clone());
        }
        let names = |body: &Value| -> Vec<Value> {
            body["server_groups"].as_array().unwrap().iter().map(|group| group["name"].clone()).collect()
        };
        assert_eq!(names(&demo.get(GROUPS).await.body), ["a", "b", "c"]);
        assert_eq!(names(&demo.get(&format!("{GROUPS}?limit=1&offset=1")).await.body), ["b"]);
        assert_eq!(demo.get(&format!("{GROUPS}?offset=-1")).await.status, 400);
        assert_eq!(names(&admin.get(GROUPS).await.body), [""; 0]);
        assert_eq!(names(&admin.get(&format!("{GROUPS}?all_projects=True")).await.body), ["a", "b", "c"]);
        let one = format!("{GROUPS}/{}", ids[0].as_str().unwrap());
        let other = cloud.login("admin", "demo").await.at("2.64");
        assert_eq!(other.get(&one).await.status, 200);
        assert_eq!(demo.delete(&one).await.status, 204);
        let gone = demo.get(&one).await;
        assert_eq!(gone.status, 404);
        assert!(gone.message().contains(ids[0].as_str().unwrap()), "{}", gone.message());
        assert_eq!(demo.get(&format!("{GROUPS}/no-id")).await.status, 404);
        for index in 0..8 {
            assert_eq!(demo.post(GROUPS, &group(&format!("g{index}"), "affinity")).await.status, 200);
        }
        let refused = demo.post(GROUPS, &group("one-too-many", "affinity")).await;
        assert_eq!((refused.status, refused.message()), (403, "Quota exceeded, too many server groups."));
        let limits = demo.at("2.1").get("/compute/v2.1/limits").await.body["limits"]["absolute"].clone();
        assert_eq!((&limits["maxServerGroups"], &limits["totalServerGroupsUsed"]), (&json!(10), &json!(10)));
    }

    async fn a_server_joins_a_group_for_good_and_a_group_takes_ten(cloud: Cloud) {
        let demo = cloud.demo().await.at("2.71");
        let made = demo.post(GROUPS, &group("g", "soft-anti-affinity")).await;
        let id = &made.body["server_group"]["id"];
        let server = demo.post(SERVERS, &in_group("s", id)).await;
        assert_eq!(server.status, 202, "{}", server.body);
        let server = &server.body["server"]["id"];
        let path = format!("{SERVERS}/{}", server.as_str().unwrap());
        assert_eq!(demo.get(&path).await.body["server"]["server_groups"], json!([id]));
        let one = format!("{GROUPS}/{}", id.as_str().unwrap());
        assert_eq!(demo.get(&one).await.body["server_group"]["members"], json!([server]));
        let mut ten = in_group("many", id);
        ten["server"]["min_count"] = json!(10);
        let refused = demo.post(SERVERS, &ten).await;
        assert_eq!((refused.status, refused.message()), (403, "Quota exceeded, too many servers in group"));
        let listed = demo.get(GROUPS).await;
        assert_eq!(listed.body["server_groups"][0]["members"], json!([server]), "nothing is half done");
        ten["server"]["min_count"] = json!(9);
        assert_eq!(demo.post(SERVERS, &ten).await.status, 202);

        assert_eq!(demo.delete(&one).await.status, 204);
        assert_eq!(demo.get(&path).await.body["server"]["server_groups"], json!([]));
        for unknown in [id.clone(), json!("c1227000-0000-4000-8000-000000000001")] {
            let refused = demo.post(SERVERS, &in_group("s", &unknown)).await;
            assert_eq!(refused.status, 400);
            assert!(refused.message().contains(unknown.as_str().unwrap()), "{}", refused.message());
        }
        assert_eq!(demo.post(SERVERS, &in_group("s", &json!("web"))).await.status, 400);
    }
}
