//! `/networks`.

use http::Method;
use serde_json::json;

use crate::support::{Cloud, id};

on_both! {
    async fn a_network_is_made_changed_and_deleted(cloud: Cloud) {
        let demo = cloud.demo().await;
        let made = demo.make("/networks", "network", json!({"name": "n"})).await;
        assert_eq!(made["project_id"], demo.project());
        assert_eq!((&made["status"], &made["mtu"], &made["shared"]), (&json!("ACTIVE"), &json!(1450), &json!(false)));
        // What is below is for administrators.
        assert!(made.get("provider:network_type").is_none());
        let path = format!("/networks/{}", id(&made));
        let changed = demo.put(&path, &json!({"network": {"name": "m", "mtu": "1400"}})).await;
        assert_eq!(changed.body["network"]["name"], "m");
        assert_eq!(changed.body["network"]["mtu"], 1400);
        assert_eq!(changed.body["network"]["revision_number"], 2);
        assert_eq!(demo.delete(&path).await.status, 204);
        let gone = demo.get(&path).await;
        assert_eq!((gone.status, gone.kind()), (404, "NetworkNotFound"));
    }

    async fn several_are_made_at_once_or_none(cloud: Cloud) {
        let demo = cloud.demo().await;
        let good = json!({"networks": [{"name": "a"}, {"network": {"name": "b"}}]});
        let answer = demo.post("/networks", &good).await;
        assert_eq!(answer.status, 201);
        assert_eq!(answer.body["networks"].as_array().unwrap().len(), 2);
        let bad = json!({"networks": [{"name": "c"}, {"name": "d", "mtu": 9000}]});
        let answer = demo.post("/networks", &bad).await;
        assert_eq!((answer.status, answer.kind()), (400, "InvalidInput"));
        assert_eq!(demo.get("/networks?name=c").await.body, json!({"networks": []}));
        let none = demo.post("/networks", &json!({"networks": []})).await;
        assert_eq!(none.message(), "Resources required");
    }

    async fn a_change_of_what_was_changed_meanwhile_is_refused(cloud: Cloud) {
        let demo = cloud.demo().await;
        let path = format!("/networks/{}", demo.network(json!({})).await);
        let change = json!({"network": {"name": "x"}});
        let current = [("if-match", "revision_number=1")];
        assert_eq!(demo.send(Method::PUT, &path, Some(&change), &current).await.status, 200);
        let stale = demo.send(Method::PUT, &path, Some(&change), &current).await;
        assert_eq!((stale.status, stale.kind()), (412, "RevisionNumberConstraintFailed"));
        assert_eq!(stale.message(), "Constrained to 1, but current revision is 2");
        assert_eq!(demo.send(Method::DELETE, &path, None, &current).await.status, 412);
    }

    async fn what_a_body_may_not_say_is_refused_in_neutrons_words(cloud: Cloud) {
        let demo = cloud.demo().await;
        for (body, kind, text) in [
            (json!({"network": {"bogus": 1}}), "HTTPBadRequest", "Unrecognized attribute(s) 'bogus'"),
            (
                json!({"network": {"name": 5}}),
                "HTTPBadRequest",
                "Invalid input for name. Reason: '5' is not a valid string.",
            ),
            (
                json!({"network": {"admin_state_up": "maybe"}}),
                "InvalidInput",
                "Invalid input for operation: 'maybe' cannot be converted to boolean.",
            ),
            (json!({"network": {"status": "x"}}), "HTTPBadRequest", "Attribute 'status' not allowed in POST"),
            (json!({}), "HTTPBadRequest", "Unable to find 'network' in request body"),
            (json!({"network": []}), "HTTPBadRequest", "Object 'network' contains invalid data"),
            (json!([]), "HTTPBadRequest", "Body contains invalid data"),
            (
                json!({"network": {"mtu": 9000}}),
                "InvalidInput",
                "Invalid input for operation: Requested MTU is too big, maximum is 1450.",
            ),
            (
                json!({"network": {"project_id": "other"}}),
                "HTTPBadRequest",
                "Specifying 'project_id' other than the authenticated project in request is not allowed for the current \
                 user.",
            ),
        ] {
            let answer = demo.post("/networks", &body).await;
            assert_eq!((answer.status, answer.kind(), answer.message()), (400, kind, text), "{body}");
        }
    }

    async fn no_value_of_no_attribute_breaks_a_handler(cloud: Cloud) {
        let admin = cloud.admin().await;
        let network = admin.network(json!({})).await;
        let subnet = admin.subnet(&network, "10.0.0.0/24").await;
        let values = [
            json!(null), json!(true), json!(-1), json!(1e300), json!(i64::MAX), json!(""), json!("x"), json!([]),
            json!({}), json!([null]), json!([[]]), json!([{}]), json!([{"ip_address": 5, "subnet_id": [], "port_id": {}}]),
            json!({"network_id": []}), json!("10.0.0.0/99"), json!("::/0"),
        ];
        for (path, one, base, attributes) in [
            ("/networks", "network", json!({}), "name mtu shared router:external is_default port_security_enabled \
                provider:network_type provider:physical_network provider:segmentation_id qos_policy_id dns_domain \
                availability_zone_hints description admin_state_up project_id"),
            ("/subnets", "subnet", json!({"network_id": network, "ip_version": 4, "cidr": "10.9.0.0/24"}), "network_id \
                ip_version cidr gateway_ip allocation_pools dns_nameservers host_routes enable_dhcp ipv6_ra_mode \
                service_types subnetpool_id prefixlen use_default_subnetpool segment_id"),
            ("/ports", "port", json!({"network_id": network}), "network_id mac_address fixed_ips device_id device_owner \
                security_groups port_security_enabled allowed_address_pairs extra_dhcp_opts binding:host_id \
                binding:profile binding:vnic_type dns_name qos_policy_id device_profile tags"),
            ("/routers", "router", json!({}), "external_gateway_info distributed ha flavor_id availability_zone_hints \
                routes"),
            ("/floatingips", "floatingip", json!({"floating_network_id": network}), "floating_network_id port_id \
                fixed_ip_address floating_ip_address subnet_id dns_name"),
            ("/security-groups", "security_group", json!({}), "name stateful"),
            ("/security-group-rules", "security_group_rule", json!({"security_group_id": "x", "direction": "ingress"}),
                "security_group_id direction ethertype protocol port_range_min port_range_max remote_ip_prefix \
                remote_group_id remote_address_group_id"),
            ("/subnetpools", "subnetpool", json!({"name": "p", "prefixes": ["10.0.0.0/8"]}), "prefixes default_prefixlen \
                min_prefixlen max_prefixlen default_quota address_scope_id is_default shared"),
            ("/address-groups", "address_group", json!({}), "addresses"),
            ("/rbac-policies", "rbac_policy", json!({"object_type": "network", "object_id": network,
                "action": "access_as_shared", "target_tenant": "x"}), "object_type object_id action target_tenant"),
            ("/trunks", "trunk", json!({"port_id": subnet}), "port_id sub_ports"),
            ("/qos/policies", "policy", json!({}), "name shared is_default"),
            ("/metering/metering-labels", "metering_label", json!({}), "name shared"),
            ("/quotas/x", "quota", json!({}), "network check_limit"),
        ] {
            for attribute in attributes.split_whitespace() {
                for value in &values {
                    let mut body = base.clone();
                    body[attribute] = value.clone();
                    let body = json!({ one: body });
                    // What is answered with 500 or more fails in here.
                    match path.starts_with("/quotas") {
                        true => admin.put(path, &body).await,
                        false => admin.post(path, &body).await,
                    };
                }
            }
        }
    }

    async fn a_network_in_use_is_not_deleted_and_takes_its_subnets_with_it(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let subnet = demo.subnet(&network, "10.0.0.0/24").await;
        let port = id(&demo.port(&network, json!({})).await);
        let refused = demo.delete(&format!("/networks/{network}")).await;
        assert_eq!((refused.status, refused.kind()), (409, "NetworkInUse"));
        assert!(refused.message().ends_with(&format!("id for these ports is: {port}.")), "{}", refused.message());
        assert_eq!(demo.delete(&format!("/subnets/{subnet}")).await.kind(), "SubnetInUse");
        assert_eq!(demo.delete(&format!("/ports/{port}")).await.status, 204);
        assert_eq!(demo.delete(&format!("/networks/{network}")).await.status, 204);
        assert_eq!(demo.get(&format!("/subnets/{subnet}")).await.kind(), "SubnetNotFound");
    }

    async fn an_administrator_says_what_a_network_is_made_of(cloud: Cloud) {
        let admin = cloud.admin().await;
        let vlan = json!({"provider:network_type": "vlan", "provider:physical_network": "physnet1",
            "provider:segmentation_id": 120});
        let made = admin.make("/networks", "network", vlan.clone()).await;
        assert_eq!((&made["provider:segmentation_id"], &made["mtu"]), (&json!(120), &json!(1500)));
        let again = admin.post("/networks", &json!({"network": vlan})).await;
        assert_eq!((again.status, again.kind()), (409, "VlanIdInUse"));
        let own = admin.make("/networks", "network", json!({})).await;
        assert_eq!(own["provider:network_type"], "vxlan");
        assert!(own["provider:segmentation_id"].as_i64().unwrap() > 0);
        let bad = json!({"network": {"provider:network_type": "pigeon"}});
        assert_eq!(admin.post("/networks", &bad).await.kind(), "InvalidInput");
    }

    async fn tags_are_words_that_things_are_found_by(cloud: Cloud) {
        let demo = cloud.demo().await;
        let [one, other] = [demo.network(json!({"name": "1"})).await, demo.network(json!({"name": "2"})).await];
        let tags = format!("/networks/{one}/tags");
        assert_eq!(demo.put(&tags, &json!({"tags": ["red", "blue"]})).await.status, 200);
        assert_eq!(demo.put(&format!("/networks/{other}/tags/red"), &json!({})).await.status, 201);
        let named = async |query: &str| {
            let list = demo.get(&format!("/networks?sort_key=name&sort_dir=asc&{query}")).await;
            crate::support::texts(&list.body["networks"], "name")
        };
        assert_eq!(named("tags=red").await, ["1", "2"]);
        assert_eq!(named("tags=red,blue").await, ["1"]);
        assert_eq!(named("tags-any=blue,green").await, ["1"]);
        assert_eq!(named("not-tags=red,blue").await, ["2"]);
        assert_eq!(named("not-tags-any=red").await, Vec::<String>::new());
        assert_eq!(demo.get(&format!("{tags}/green")).await.kind(), "TagNotFound");
        assert_eq!(demo.delete(&format!("{tags}/red")).await.status, 204);
        assert_eq!(demo.get(&tags).await.body, json!({"tags": ["blue"]}));
        let long = json!({"tags": ["x".repeat(256)]});
        assert_eq!(demo.put(&tags, &long).await.status, 400);
    }

    async fn a_thing_has_at_most_fifty_tags(cloud: Cloud) {
        let demo = cloud.demo().await;
        let tags = format!("/networks/{}/tags", demo.network(json!({})).await);
        let many = |count: usize| json!({"tags": (0..count).map(|tag| tag.to_string()).collect::<Vec<_>>()});
        let text = "Bad networks request: The number of tags exceed the per-resource limit of 50.";
        for refused in [demo.put(&tags, &many(51)).await, demo.post(&tags, &many(51)).await] {
            assert_eq!((refused.status, refused.kind(), refused.message()), (400, "BadRequest", text));
        }
        assert_eq!(demo.get(&tags).await.body, json!({"tags": []}));
        assert_eq!(demo.put(&tags, &many(50)).await.status, 200);
        let refused = demo.put(&format!("{tags}/50"), &json!({})).await;
        assert_eq!((refused.status, refused.message()), (400, text));
        // One that is there already is no other.
        assert_eq!(demo.put(&format!("{tags}/49"), &json!({})).await.status, 201);
    }
}
