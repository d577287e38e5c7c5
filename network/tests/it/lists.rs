//! What all lists have in common.

use serde_json::json;

use crate::support::{Cloud, texts};

on_both! {
    async fn a_list_is_filtered_by_any_of_several_values_and_shows_what_is_asked_for(cloud: Cloud) {
        let demo = cloud.demo().await;
        for name in ["a", "b", "c"] {
            demo.network(json!({"name": name})).await;
        }
        let list = demo.get("/networks?name=a&name=c&fields=name&sort_key=name&sort_dir=desc").await;
        assert_eq!(list.body, json!({"networks": [{"name": "c"}, {"name": "a"}]}));
        assert_eq!(demo.get("/networks?fields=bogus&name=a").await.body, json!({"networks": [{}]}));
        let project = demo.get(&format!("/networks?tenant_id={}&shared=False", demo.project())).await;
        assert_eq!(project.body["networks"].as_array().unwrap().len(), 3);
        assert_eq!(demo.get("/networks?admin_state_up=0").await.body, json!({"networks": []}));
    }

    async fn values_to_filter_by_are_brought_into_their_form(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let port = demo.port(&network, json!({"mac_address": "fa:16:3e:00:00:0a"})).await;
        let found = demo.get("/ports?mac_address=FA-16-3E-00-00-0A&fields=id").await.body;
        assert_eq!(found, json!({"ports": [{"id": port["id"]}]}));
        assert_eq!(demo.get("/ports?mac_address=FA-16-3E&fields=id").await.body, json!({"ports": []}));
        let group = demo.make("/security-groups", "security_group", json!({"name": "g"})).await;
        let rule = json!({"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp",
            "remote_ip_prefix": "10.0.0.5"});
        demo.make("/security-group-rules", "security_group_rule", rule).await;
        let found = demo.get("/security-group-rules?protocol=TCP&ethertype=ipv4&remote_ip_prefix=10.0.0.5").await.body;
        assert_eq!(texts(&found["security_group_rules"], "remote_ip_prefix"), ["10.0.0.5/32"]);
        // What could not be given is there all the same.
        let found = demo.get("/security-groups?name=default").await.body;
        assert_eq!(texts(&found["security_groups"], "name"), ["default"]);
    }

    async fn what_is_no_filter_or_no_order_is_refused(cloud: Cloud) {
        let demo = cloud.demo().await;
        for (query, text) in [
            ("bogus=1&other=2", "['bogus', 'other'] is invalid attribute for filtering"),
            ("limit=-1", "Bad limit request: Limit must be an integer 0 or greater and not '-1'."),
            ("sort_key=bogus&sort_dir=asc", "['bogus'] is invalid attribute for sort_keys"),
            ("sort_key=name", "The number of sort_keys and sort_dirs must be same"),
            ("sort_key=name&sort_dir=up", "['up'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'"),
        ] {
            let answer = demo.get(&format!("/networks?{query}")).await;
            assert_eq!((answer.status, answer.message()), (400, text));
        }
        let marker = demo.get("/networks?limit=1&marker=nothing").await;
        assert_eq!((marker.status, marker.kind()), (404, "NetworkNotFound"));
    }

    async fn pages_lead_forth_and_back(cloud: Cloud) {
        let demo = cloud.demo().await;
        for name in ["a", "b", "c", "d", "e"] {
            demo.network(json!({"name": name})).await;
        }
        let link = |body: &serde_json::Value, rel: &str| {
            let links = body["networks_links"].as_array()?;
            let link = links.iter().find(|link| link["rel"] == rel)?["href"].as_str()?;
            Some(link.split_once("/v2.0").unwrap().1.to_owned())
        };
        let mut path = "/networks?limit=2&sort_key=name&sort_dir=asc".to_owned();
        let mut pages = Vec::new();
        let last = loop {
            let page = demo.get(&path).await.body;
            pages.push(texts(&page["networks"], "name"));
            match link(&page, "next") {
                Some(next) => path = next,
                None => break page,
            }
        };
        assert_eq!(pages, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
        let before = demo.get(&link(&last, "previous").unwrap()).await.body;
        assert_eq!(texts(&before["networks"], "name"), ["c", "d"]);
    }

    async fn whatever_is_announced_is_there(cloud: Cloud) {
        let demo = cloud.demo().await;
        let all = demo.get("/extensions").await.body;
        let all = all["extensions"].as_array().unwrap();
        assert!(all.len() > 50);
        for extension in all {
            let alias = extension["alias"].as_str().unwrap();
            assert_eq!(demo.get(&format!("/extensions/{alias}")).await.body["extension"], *extension);
        }
        assert_eq!(demo.get("/extensions/external-gateway-multihoming").await.status, 404);
        for path in [
            "/networks", "/subnets", "/subnetpools", "/address-scopes", "/ports", "/routers", "/floatingips",
            "/floatingip_pools", "/security-groups", "/security-group-rules", "/default-security-group-rules",
            "/address-groups", "/rbac-policies", "/trunks", "/qos/policies", "/qos/rule-types", "/agents",
            "/availability_zones", "/service-providers", "/metering/metering-labels", "/metering/metering-label-rules",
        ] {
            assert_eq!(demo.get(path).await.status, 200, "{path}");
        }
    }
}
