//! Flavors: listed, shown, made, removed.

use serde_json::{Value, json};

use crate::support::Cloud;

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

    async fn a_private_flavor_is_for_the_projects_that_were_let_use_it(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let project = admin.get("/identity/v3/projects?name=demo").await.body["projects"][0]["id"].as_str().unwrap().to_owned();
        let flavor = json!({"flavor": {"id": "p", "name": "private", "vcpus": 1, "ram": 1, "disk": 1, "os-flavor-access:is_public": false}});
        assert_eq!(admin.post(FLAVORS, &flavor).await.status, 200);
        let act = async |flavor: &str, body: Value| admin.post(&format!("{FLAVORS}/{flavor}/action"), &body).await;
        let (add, remove) = (json!({"addTenantAccess": {"tenant": project}}), json!({"removeTenantAccess": {"tenant": project}}));
        let access = format!("{FLAVORS}/p/os-flavor-access");
        assert_eq!(admin.get(&access).await.body, json!({"flavor_access": []}));
        let given = act("p", add.clone()).await;
        assert_eq!((given.status, &given.body), (200, &json!({"flavor_access": [{"flavor_id": "p", "tenant_id": project}]})));
        assert_eq!((act("p", add.clone()).await.status, admin.get(&access).await.body), (409, given.body));
        let listed = async |client: &crate::support::Client<'_>, query: &str| {
            let flavors = client.get(&format!("{FLAVORS}{query}")).await.body["flavors"].clone();
            flavors.as_array().unwrap().iter().any(|flavor| flavor["id"] == "p")
        };
        assert!(listed(&demo, "").await && listed(&demo, "?is_public=False").await && !listed(&admin, "").await);
        assert_eq!(demo.get(&format!("{FLAVORS}/p")).await.status, 200);
        let server = json!({"server": {"name": "s", "imageRef": crate::support::IMAGE, "flavorRef": "p"}});
        assert_ne!(demo.post("/compute/v2.1/servers", &server).await.message(), "Flavor p could not be found.");
        assert_eq!(demo.get(&access).await.status, 403);
        assert_eq!(demo.post(&format!("{FLAVORS}/p/action"), &add).await.status, 403);

        assert_eq!(act("p", remove.clone()).await.body, json!({"flavor_access": []}));
        assert_eq!(act("p", remove.clone()).await.status, 404);
        assert_eq!((demo.get(&format!("{FLAVORS}/p")).await.status, listed(&demo, "").await), (404, false));
        assert_eq!(demo.post("/compute/v2.1/servers", &server).await.message(), "Flavor p could not be found.");
        assert_eq!(act("p", json!({"addTenantAccess": {"tenant": "nobody"}})).await.status, 400);
        assert_eq!(act("nothing", add.clone()).await.status, 404);
        // Everybody's flavors have no list.
        assert_eq!(admin.get(&format!("{FLAVORS}/1/os-flavor-access")).await.status, 404);
        let public = admin.at("2.7").post(&format!("{FLAVORS}/1/action"), &add).await;
        assert_eq!((public.status, public.message()), (409, "Can not add access to a public flavor."));
        // What is made anew under an old id is nobody's again.
        assert_eq!(act("p", add).await.status, 200);
        assert_eq!(admin.delete(&format!("{FLAVORS}/p")).await.status, 202);
        assert_eq!(admin.post(FLAVORS, &flavor).await.status, 200);
        assert_eq!(admin.get(&access).await.body, json!({"flavor_access": []}));
    }

    async fn extra_specs_are_added_changed_removed_and_checked_from_2_86_on(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let all = format!("{FLAVORS}/1/os-extra_specs");
        let specs = json!({"extra_specs": {"hw:cpu_policy": "shared", "hw:numa_nodes": 1}});
        let added = admin.post(&all, &specs).await;
        assert_eq!((added.status, &added.body), (200, &specs));
        let kept = json!({"extra_specs": {"hw:cpu_policy": "shared", "hw:numa_nodes": "1"}});
        assert_eq!(demo.get(&all).await.body, kept);
        let one = format!("{all}/hw:numa_nodes");
        let changed = admin.put(&one, &json!({"hw:numa_nodes": "2"})).await;
        assert_eq!((changed.status, changed.body), (200, json!({"hw:numa_nodes": "2"})));
        assert_eq!(demo.get(&one).await.body, json!({"hw:numa_nodes": "2"}));
        assert_eq!(demo.at("2.61").get(&format!("{FLAVORS}/1")).await.body["flavor"]["extra_specs"]["hw:numa_nodes"], "2");
        for wrong in [json!({"other": "2"}), json!({}), json!({"hw:numa_nodes": "2", "x": "y"}), json!({"hw:numa_nodes": null})] {
            assert_eq!(admin.put(&one, &wrong).await.status, 400, "{wrong}");
        }
        for wrong in [
            json!({"extra_specs": {"key with ümlaut": "x"}}),
            json!({"extra_specs": {"key": "x".repeat(256)}}),
            json!({"extra_specs": {"": "x"}}),
            json!({"extra_specs": ["x"]}),
        ] {
            assert_eq!(admin.post(&all, &wrong).await.status, 400, "{wrong}");
        }
        let unknown = json!({"extra_specs": {"hw:cpu_policy": "shredded"}});
        assert_eq!(admin.at("2.85").post(&all, &unknown).await.status, 200);
        let refused = admin.at("2.86").post(&all, &unknown).await;
        assert!(refused.status == 400 && refused.message().contains("is not one of: dedicated"), "{:?}", refused.body);
        for client in [&demo] {
            assert_eq!(client.post(&all, &specs).await.status, 403);
            assert_eq!(client.delete(&one).await.status, 403);
        }
        let removed = admin.delete(&one).await;
        assert_eq!((removed.status, removed.body), (200, Value::Null));
        assert_eq!(admin.delete(&one).await.message(), "Flavor 1 has no extra specs with key hw:numa_nodes.");
        assert_eq!(admin.post(&format!("{FLAVORS}/nothing/os-extra_specs"), &specs).await.status, 404);
        // Of many at once none is lost.
        let many: Vec<_> = (0..8).map(|index| json!({"extra_specs": {format!("key{index}"): "x"}})).collect();
        let answers = futures_util::future::join_all(many.iter().map(|specs| admin.post(&all, specs))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(demo.get(&all).await.body["extra_specs"].as_object().map(serde_json::Map::len), Some(9));
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
