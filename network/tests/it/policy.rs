//! Who may do what.

use http::Method;
use novella_network::operations;
use serde_json::json;

use crate::support::{Cloud, id};

on_both! {
    async fn what_belongs_to_others_is_not_there(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let network = admin.network(json!({})).await;
        let subnet = admin.subnet(&network, "10.0.0.0/24").await;
        let port = id(&admin.port(&network, json!({})).await);
        let router = id(&admin.make("/routers", "router", json!({})).await);
        let group = id(&admin.make("/security-groups", "security_group", json!({})).await);
        for (path, one) in [
            (format!("/networks/{network}"), "network"),
            (format!("/subnets/{subnet}"), "subnet"),
            (format!("/ports/{port}"), "port"),
            (format!("/routers/{router}"), "router"),
            (format!("/security-groups/{group}"), "security_group"),
        ] {
            assert_eq!(demo.get(&path).await.status, 404, "{path}");
            assert_eq!(demo.put(&path, &json!({ one: {"name": "x"} })).await.status, 404, "{path}");
            assert_eq!(demo.delete(&path).await.status, 404, "{path}");
            let all = path.rsplit_once('/').unwrap().0;
            let seen = demo.get(&format!("{all}?project_id={}", admin.project())).await.body;
            assert_eq!(seen.as_object().unwrap().values().next().unwrap(), &json!([]), "{path}");
            assert_eq!(admin.get(&path).await.status, 200, "{path}");
        }
        let onto = json!({"port": {"network_id": network}});
        assert_eq!(demo.post("/ports", &onto).await.kind(), "NetworkNotFound");
    }

    async fn a_shared_network_is_used_and_not_changed(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let network = admin.network(json!({"shared": true})).await;
        let subnet = admin.subnet(&network, "10.0.0.0/24").await;
        let path = format!("/networks/{network}");
        assert_eq!(demo.get(&path).await.body["network"]["shared"], true);
        assert_eq!(demo.get(&format!("/subnets/{subnet}")).await.status, 200);
        let change = demo.put(&path, &json!({"network": {"name": "x"}})).await;
        assert_eq!((change.status, change.message()), (403, "rule:update_network is disallowed by policy"));
        assert_eq!(demo.delete(&path).await.status, 403);
        let more = json!({"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.9.0.0/24"}});
        assert_eq!(demo.post("/subnets", &more).await.status, 403);
        // A port on it, with any address, or of a subnet, but not with one of one's choice.
        let port = demo.port(&network, json!({"fixed_ips": [{"subnet_id": subnet}]})).await;
        for values in [
            json!({"fixed_ips": [{"ip_address": "10.0.0.9"}]}),
            json!({"mac_address": "fa:16:3e:00:00:09"}),
            json!({"port_security_enabled": false}),
            json!({"allowed_address_pairs": [{"ip_address": "10.0.0.9"}]}),
            json!({"device_owner": "network:dhcp"}),
        ] {
            let mut body = json!({"network_id": network});
            for (name, value) in values.as_object().unwrap() {
                body[name] = value.clone();
            }
            assert_eq!(demo.post("/ports", &json!({"port": body})).await.status, 403, "{values}");
        }
        // Its owner sees who is on it, and takes it back only when nobody is.
        assert_eq!(admin.get(&format!("/ports/{}", id(&port))).await.status, 200);
        let back = json!({"network": {"shared": false}});
        assert_eq!(admin.put(&path, &back).await.kind(), "InvalidSharedSetting");
        assert_eq!(demo.delete(&format!("/ports/{}", id(&port))).await.status, 204);
        assert_eq!(admin.put(&path, &back).await.status, 200);
        assert_eq!(demo.get(&path).await.status, 404);
    }

    async fn a_network_is_shared_with_one_project_by_a_policy(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let network = admin.network(json!({})).await;
        let policy = json!({"object_type": "network", "object_id": network, "action": "access_as_shared",
            "target_tenant": demo.project()});
        let made = admin.make("/rbac-policies", "rbac_policy", policy.clone()).await;
        let again = admin.post("/rbac-policies", &json!({"rbac_policy": policy})).await;
        assert_eq!((again.status, again.kind()), (409, "DuplicateRbacPolicy"));
        assert_eq!(demo.get("/networks?shared=True").await.body["networks"][0]["id"], json!(network));
        let port = demo.port(&network, json!({})).await;
        let path = format!("/rbac-policies/{}", id(&made));
        assert_eq!(admin.delete(&path).await.kind(), "RbacPolicyInUse");
        assert_eq!(demo.delete(&format!("/ports/{}", id(&port))).await.status, 204);
        assert_eq!(admin.delete(&path).await.status, 204);
        assert_eq!(demo.get(&format!("/networks/{network}")).await.status, 404);
        let own = demo.network(json!({})).await;
        let all = json!({"object_type": "network", "object_id": own, "action": "access_as_shared", "target_tenant": "*"});
        assert_eq!(demo.post("/rbac-policies", &json!({"rbac_policy": all})).await.status, 403);
    }

    async fn who_has_no_token_is_told_nothing(cloud: Cloud) {
        let demo = cloud.demo().await;
        let nobody = demo.without_token();
        for operation in operations() {
            let (method, path) = operation.route();
            let path = path.replace(['{', '}'], "");
            let body = json!({});
            let body = (*method != Method::GET).then_some(&body);
            let answer = nobody.send(method.clone(), &path, body, &[]).await;
            assert_eq!(answer.status, 401, "{method} {path}");
        }
    }
}

#[test]
fn every_operation_asks_for_a_rule_of_neutron() {
    for operation in operations() {
        let rule = operation.rule().map(|rule| rule.name);
        assert!(rule.is_some_and(|name| !name.is_empty()), "{operation:?}");
    }
}
