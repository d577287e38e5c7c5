//! The catalog and what else Identity keeps for other services.

use serde_json::{Value, json};

use crate::{
    identity_resources::{id, make},
    support::{Client, Cloud},
};

const V3: &str = "/identity/v3";

async fn catalog(client: &Client<'_>) -> Value {
    client.get(&format!("{V3}/auth/catalog")).await.body["catalog"].clone()
}

fn of_type<'c>(catalog: &'c Value, kind: &str) -> Option<&'c Value> {
    catalog.as_array().unwrap().iter().find(|service| service["type"] == kind)
}

on_both! {
    async fn the_catalog_is_what_the_endpoints_say(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let before = catalog(&demo).await;
        assert_eq!(of_type(&before, "compute").unwrap()["endpoints"][0]["url"], "http://cloud.test/compute/v2.1");
        let service = make(&admin, "services", "service", json!({"type": "block-storage", "name": "cinder", "description": "d"})).await;
        assert_eq!((&service["description"], &service["enabled"]), (&json!("d"), &json!(true)));
        let new = json!({"service_id": service["id"], "interface": "public", "url": "https://b/v3/%(project_id)s", "region": "Two"});
        let endpoint = make(&admin, "endpoints", "endpoint", new).await;
        assert_eq!((&endpoint["region"], &endpoint["region_id"]), (&json!("Two"), &json!("Two")));
        let project = demo.get(&format!("{V3}/auth/projects")).await.body["projects"][0].clone();
        let now = catalog(&demo).await;
        let shown = &of_type(&now, "block-storage").unwrap()["endpoints"][0];
        assert_eq!(shown["url"], format!("https://b/v3/{}", id(&project)));
        let path = format!("{V3}/endpoints/{}", id(&endpoint));
        assert_eq!(admin.patch(&path, &json!({"endpoint": {"enabled": "False"}})).await.status, 400);
        assert_eq!(admin.patch(&path, &json!({"endpoint": {"enabled": false}})).await.status, 200);
        assert!(of_type(&catalog(&demo).await, "block-storage").is_none());
        let listed = admin.get(&format!("{V3}/endpoints?interface=public&service_id={}", id(&service))).await.body;
        assert_eq!(listed["endpoints"].as_array().unwrap().len(), 1);
        let refused = admin.post(&format!("{V3}/endpoints"), &json!({"endpoint": {"service_id": "no", "interface": "public", "url": "http://x"}})).await;
        assert!(refused.status == 400 && refused.body["error"]["message"].as_str().unwrap().starts_with("Expecting to find endpoint service_id in service table."));
        let refused = admin.delete(&format!("{V3}/regions/Two")).await;
        assert_eq!((refused.status, &refused.body["error"]["message"]), (403, &json!("Unable to delete region Two because it or its child regions have associated endpoints.")));
        assert_eq!(admin.delete(&format!("{V3}/services/{}", id(&service))).await.status, 204);
        assert_eq!((admin.get(&path).await.status, admin.delete(&format!("{V3}/regions/Two")).await.status), (404, 204));
        for list in ["services", "endpoints", "role_assignments", "policies"] {
            assert_eq!(demo.get(&format!("{V3}/{list}")).await.status, 403, "{list}");
        }
        assert_eq!(demo.get(&format!("{V3}/regions")).await.body["regions"][0]["id"], "RegionOne");
    }

    async fn a_project_that_was_given_endpoints_sees_no_others(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let project = demo.get(&format!("{V3}/auth/projects")).await.body["projects"][0].clone();
        let image = admin.get(&format!("{V3}/services?type=image")).await.body["services"][0].clone();
        let filters = json!({"service_id": image["id"], "interface": "public"});
        let group = make(&admin, "OS-EP-FILTER/endpoint_groups", "endpoint_group", json!({"name": "g", "filters": filters})).await;
        let given = format!("{V3}/OS-EP-FILTER/endpoint_groups/{}/projects/{}", id(&group), id(&project));
        assert_eq!((admin.get(&given).await.status, admin.put(&given, &json!(null)).await.status, admin.get(&given).await.status), (404, 204, 200));
        let seen = catalog(&demo).await;
        assert_eq!((seen.as_array().unwrap().len(), seen[0]["endpoints"].as_array().unwrap().len()), (1, 1));
        let own = admin.get(&format!("{V3}/OS-EP-FILTER/projects/{}/endpoints", id(&project))).await.body;
        assert_eq!(own["endpoints"].as_array().unwrap().len(), 1);
        assert_eq!(admin.delete(&given).await.status, 204);
        assert_eq!(catalog(&demo).await.as_array().unwrap().len(), 4);
        let refused = admin.post(&format!("{V3}/OS-EP-FILTER/endpoint_groups"), &json!({"endpoint_group": {"name": "x", "filters": {"a": "b"}}})).await;
        assert_eq!(refused.status, 400);
    }

    async fn regions_policies_consumers_limits_and_domain_configurations_are_kept(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let region = make(&admin, "regions", "region", json!({"id": "", "description": null, "parent_region_id": "RegionOne"})).await;
        assert_eq!(admin.get(&format!("{V3}/regions?parent_region_id=RegionOne")).await.body["regions"][0]["id"], region["id"]);
        assert_eq!(admin.put(&format!("{V3}/regions/mine"), &json!({"region": {}})).await.status, 201);
        let refused = admin.post(&format!("{V3}/regions"), &json!({"region": {"id": "mine"}})).await;
        assert_eq!((refused.status, &refused.body["error"]["message"]), (409, &json!("Conflict occurred attempting to store region - Duplicate ID, mine..")));

        for (many, one, new, change) in [
            ("policies", "policy", json!({"type": "t", "blob": "b"}), json!({"type": "u"})),
            ("OS-OAUTH1/consumers", "consumer", json!({"description": "d"}), json!({"description": "e"})),
        ] {
            let made = make(&admin, many, one, new).await;
            let path = format!("{V3}/{many}/{}", id(&made));
            let changed = admin.patch(&path, &json!({ one: change.clone() })).await.body;
            let (name, value) = change.as_object().unwrap().iter().next().unwrap();
            assert_eq!(changed[one][name], *value);
            assert_eq!((admin.get(&path).await.status, admin.delete(&path).await.status, admin.get(&path).await.status), (200, 204, 404));
        }

        let service = admin.get(&format!("{V3}/services?type=compute")).await.body["services"][0]["id"].clone();
        let project = demo.get(&format!("{V3}/auth/projects")).await.body["projects"][0]["id"].clone();
        let registered = json!({"registered_limits": [{"service_id": service, "resource_name": "cores", "default_limit": 5}]});
        let registered = admin.post(&format!("{V3}/registered_limits"), &registered).await;
        assert_eq!(registered.status, 201);
        let registered = format!("{V3}/registered_limits/{}", id(&registered.body["registered_limits"][0]));
        let limit = |name: &str| json!({"limits": [{"service_id": service, "resource_name": name, "resource_limit": 3, "project_id": project}]});
        assert_eq!(admin.post(&format!("{V3}/limits"), &limit("none")).await.status, 403);
        let made = admin.post(&format!("{V3}/limits"), &limit("cores")).await;
        assert_eq!((made.status, admin.post(&format!("{V3}/limits"), &limit("cores")).await.status), (201, 409));
        assert_eq!(demo.get(&format!("{V3}/limits")).await.body["limits"][0]["resource_limit"], 3);
        assert_eq!(admin.delete(&registered).await.status, 403);
        assert_eq!(admin.delete(&format!("{V3}/limits/{}", id(&made.body["limits"][0]))).await.status, 204);
        assert_eq!(admin.delete(&registered).await.status, 204);

        let config = format!("{V3}/domains/default/config");
        assert_eq!(admin.get(&config).await.status, 404);
        assert_eq!(admin.put(&config, &json!({"config": {"identity": {"driver": "x"}}})).await.status, 201);
        assert_eq!(admin.patch(&format!("{config}/identity/driver"), &json!({"config": {"driver": "y"}})).await.body["config"]["identity"]["driver"], "y");
        assert_eq!(admin.get(&format!("{config}/identity/driver")).await.body["config"], json!({"driver": "y"}));
        assert_eq!(admin.put(&config, &json!({"config": {"nothing": {"a": 1}}})).await.status, 403);
        assert_eq!(admin.get(&format!("{V3}/domains/config/ldap/url/default")).await.body["config"]["url"], "ldap://localhost");
        assert_eq!((admin.delete(&config).await.status, admin.get(&config).await.status), (204, 404));
    }
}
