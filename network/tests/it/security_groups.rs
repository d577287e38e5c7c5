//! `/security-groups`, `/security-group-rules` and `/address-groups`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Client, Cloud, id};

async fn rule(client: &Client, group: &str, values: Value) -> crate::support::Answer {
    let mut body = json!({"security_group_id": group, "direction": "ingress"});
    for (name, value) in values.as_object().unwrap() {
        body[name] = value.clone();
    }
    client.post("/security-group-rules", &json!({"security_group_rule": body})).await
}

on_both! {
    async fn a_project_has_one_default_group_from_its_first_use_on(cloud: Cloud) {
        let demo = cloud.demo().await;
        let lists = join_all((0..16).map(|_| demo.get("/security-groups"))).await;
        for list in &lists {
            assert_eq!(list.body["security_groups"].as_array().unwrap().len(), 1, "{list:?}");
            assert_eq!(list.body, lists[0].body);
        }
        let group = &lists[0].body["security_groups"][0];
        assert_eq!((&group["name"], &group["description"]), (&json!("default"), &json!("Default security group")));
        let rules = group["security_group_rules"].as_array().unwrap();
        assert_eq!(rules.len(), 4);
        let inward = rules.iter().filter(|rule| rule["direction"] == "ingress");
        assert!(inward.into_iter().all(|rule| rule["remote_group_id"] == group["id"]));
        let path = format!("/security-groups/{}", id(group));
        let rename = json!({"security_group": {"name": "x"}});
        assert_eq!(demo.put(&path, &rename).await.kind(), "SecurityGroupCannotUpdateDefault");
        assert_eq!(demo.delete(&path).await.kind(), "SecurityGroupCannotRemoveDefault");
        let named = json!({"security_group": {"name": "Default"}});
        assert_eq!(demo.post("/security-groups", &named).await.kind(), "SecurityGroupDefaultAlreadyExists");
        // An administrator may, and it comes back.
        assert_eq!(cloud.admin().await.delete(&path).await.status, 204);
        let again = demo.get("/security-groups").await.body;
        assert_eq!(again["security_groups"].as_array().unwrap().len(), 1);
    }

    async fn of_equal_rules_one_is_there_however_many_are_asked_for_at_once(cloud: Cloud) {
        let demo = cloud.demo().await;
        let group = id(&demo.make("/security-groups", "security_group", json!({"name": "g"})).await);
        let same = [json!("tcp"), json!("TCP"), json!(6), json!("6")];
        let bodies: Vec<Value> = same
            .iter()
            .cycle()
            .take(16)
            .map(|protocol| json!({"protocol": protocol, "port_range_min": 22, "port_range_max": "22"}))
            .collect();
        let answers = join_all(bodies.into_iter().map(|body| rule(&demo, &group, body))).await;
        let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert_eq!(made.len(), 1, "{answers:?}");
        let text = format!(
            "Security group rule already exists. Rule id is {}.",
            id(&made[0].body["security_group_rule"])
        );
        for refused in answers.iter().filter(|answer| answer.status != 201) {
            assert_eq!((refused.status, refused.kind(), refused.message()),
                (409, "SecurityGroupRuleExists", text.as_str()));
        }
        // Both rules that a new group begins with count.
        let outward = json!({"direction": "egress", "ethertype": "ipv6"});
        assert_eq!(rule(&demo, &group, outward).await.status, 409);
    }

    async fn rules_are_kept_as_they_are_meant(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let group = id(&demo.make("/security-groups", "security_group", json!({})).await);
        let default = json!({"direction": "ingress", "used_in_default_sg": false, "used_in_non_default_sg": false});
        let all = (1, 65535);
        for (ethertype, protocol, ports, meant) in [
            ("IPv4", json!("tcp"), all, json!(["tcp", null, null])),
            ("IPv4", json!("icmp"), all, json!(["icmp", null, null])),
            ("IPv4", json!("udp"), (1, 65534), json!(["udp", 1, 65534])),
            ("IPv6", json!("ICMP"), (128, 0), json!(["ipv6-icmp", 128, 0])),
            ("IPv6", json!("icmpv6"), all, json!(["ipv6-icmp", null, null])),
            ("IPv6", json!(1), (129, 0), json!(["58", 129, 0])),
        ] {
            let mut values = json!({"ethertype": ethertype, "protocol": protocol, "port_range_min": ports.0,
                "port_range_max": ports.1});
            let shown = |rule: &Value| json!([rule["protocol"], rule["port_range_min"], rule["port_range_max"]]);
            let made = rule(&demo, &group, values.clone()).await.with(201);
            assert_eq!(shown(&made["security_group_rule"]), meant, "{values}");
            for (name, value) in default.as_object().unwrap() {
                values[name] = value.clone();
            }
            let made = admin.make("/default-security-group-rules", "default_security_group_rule", values).await;
            assert_eq!(shown(&made), meant, "{made}");
        }
        for same in [
            json!({"protocol": "tcp"}),
            json!({"ethertype": "IPv6", "protocol": "ipv6-icmp"}),
            json!({"ethertype": "IPv6", "protocol": "1"}),
        ] {
            let refused = rule(&demo, &group, same).await;
            assert_eq!((refused.status, refused.kind()), (409, "SecurityGroupRuleExists"));
        }
        let made = rule(&demo, &group, json!({"port_range_min": 1, "port_range_max": 65535})).await.with(201);
        let made = &made["security_group_rule"];
        assert_eq!((&made["port_range_min"], &made["port_range_max"]), (&Value::Null, &Value::Null));
    }

    async fn administrators_find_the_default_group_of_the_project_that_they_ask_for(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        // Nobody else makes one for others.
        let others = format!("/security-groups?project_id={}", admin.project());
        assert_eq!(demo.get(&others).await.body, json!({"security_groups": []}));
        for (filter, project) in [("project_id", demo.project()), ("tenant_id", "some")] {
            let found = admin.get(&format!("/security-groups?{filter}={project}&fields=name&fields=project_id")).await;
            let group = json!({"name": "default", "project_id": project});
            assert_eq!(found.body, json!({"security_groups": [group]}));
        }
    }

    async fn rules_that_mean_nothing_are_refused(cloud: Cloud) {
        let demo = cloud.demo().await;
        let group = id(&demo.make("/security-groups", "security_group", json!({})).await);
        let unknown = "4b0ba5cc-4b4f-4ed0-a04d-b6f20a5a2b5d";
        for (values, kind) in [
            (json!({"direction": "in"}), "HTTPBadRequest"),
            (json!({"ethertype": "bad"}), "SecurityGroupRuleInvalidEtherType"),
            (json!({"protocol": "foo"}), "SecurityGroupRuleInvalidProtocol"),
            (json!({"protocol": 300}), "SecurityGroupRuleInvalidProtocol"),
            (json!({"protocol": "tcp", "port_range_min": 22}), "SecurityGroupInvalidPortRange"),
            (json!({"protocol": "tcp", "port_range_min": 23, "port_range_max": 22}), "SecurityGroupInvalidPortRange"),
            (json!({"protocol": "tcp", "port_range_min": 1, "port_range_max": 70000}), "SecurityGroupInvalidPortValue"),
            (json!({"protocol": "tcp", "port_range_min": 0, "port_range_max": 5}), "SecurityGroupInvalidPortValue"),
            (json!({"protocol": "icmp", "port_range_min": 300}), "SecurityGroupInvalidIcmpValue"),
            (json!({"protocol": "icmp", "port_range_max": 3}), "SecurityGroupMissingIcmpType"),
            (json!({"protocol": "icmpv6"}), "SecurityGroupEthertypeConflictWithProtocol"),
            (json!({"protocol": "gre", "port_range_min": 1, "port_range_max": 2}), "SecurityGroupInvalidProtocolForPort"),
            (json!({"port_range_min": 1, "port_range_max": 2}), "SecurityGroupProtocolRequiredWithPorts"),
            (json!({"remote_ip_prefix": "junk"}), "InvalidCIDR"),
            (json!({"remote_ip_prefix": "fd00::/64"}), "SecurityGroupRuleParameterConflict"),
            (json!({"remote_ip_prefix": "10.0.0.5", "remote_group_id": group}), "SecurityGroupMultipleRemoteEntites"),
            (json!({"remote_group_id": unknown}), "SecurityGroupNotFound"),
            (json!({"remote_address_group_id": unknown}), "AddressGroupNotFound"),
            (json!({"security_group_id": unknown}), "SecurityGroupNotFound"),
        ] {
            let answer = rule(&demo, &group, values.clone()).await;
            assert_eq!(answer.kind(), kind, "{values}: {}", answer.message());
        }
    }

    async fn a_group_in_use_stays(cloud: Cloud) {
        let demo = cloud.demo().await;
        let group = id(&demo.make("/security-groups", "security_group", json!({})).await);
        let network = demo.network(json!({})).await;
        let port = demo.port(&network, json!({"security_groups": [group]})).await;
        let refused = demo.delete(&format!("/security-groups/{group}")).await;
        assert_eq!(refused.message(), format!("Security Group {group} in use."));
        let found = demo.get(&format!("/ports?security_groups={group}&fields=id")).await.body;
        assert_eq!(found, json!({"ports": [{"id": port["id"]}]}));
        assert_eq!(demo.delete(&format!("/ports/{}", id(&port))).await.status, 204);
        assert_eq!(demo.delete(&format!("/security-groups/{group}")).await.status, 204);
    }

    async fn rules_name_groups_of_addresses(cloud: Cloud) {
        let demo = cloud.demo().await;
        let addresses = json!({"name": "a", "addresses": ["10.0.0.0/24"]});
        let addresses = id(&demo.make("/address-groups", "address_group", addresses).await);
        let path = format!("/address-groups/{addresses}");
        let more = json!({"addresses": ["10.0.1.0/24"]});
        let changed = demo.put(&format!("{path}/add_addresses"), &more).await.body;
        assert_eq!(changed["address_group"]["addresses"], json!(["10.0.0.0/24", "10.0.1.0/24"]));
        assert_eq!(demo.put(&format!("{path}/add_addresses"), &more).await.kind(), "AddressesAlreadyExist");
        let absent = json!({"addresses": ["10.9.0.0/24"]});
        assert_eq!(demo.put(&format!("{path}/remove_addresses"), &absent).await.kind(), "AddressesNotFound");
        let group = id(&demo.make("/security-groups", "security_group", json!({})).await);
        assert_eq!(rule(&demo, &group, json!({"remote_address_group_id": addresses})).await.status, 201);
        assert_eq!(demo.delete(&path).await.kind(), "AddressGroupInUse");
    }
}
