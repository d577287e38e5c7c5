//! `/ports`.

use serde_json::{Value, json};

use crate::support::{Cloud, id, texts};

on_both! {
    async fn a_port_has_an_address_a_mac_and_the_default_group_at_once(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let subnet = demo.subnet(&network, "10.1.0.0/24").await;
        let port = demo.port(&network, json!({"name": "p"})).await;
        assert_eq!(port["fixed_ips"][0]["subnet_id"], json!(subnet));
        assert!(port["mac_address"].as_str().unwrap().starts_with("fa:16:3e:"));
        assert_eq!((&port["status"], &port["ip_allocation"]), (&json!("DOWN"), &json!("immediate")));
        let groups = demo.get("/security-groups?name=default").await.body;
        assert_eq!(port["security_groups"], json!([groups["security_groups"][0]["id"]]));
        let host = port["fixed_ips"][0]["ip_address"].as_str().unwrap().replace('.', "-");
        assert_eq!(port["dns_assignment"][0]["fqdn"], json!(format!("host-{host}.example.org.")));
        // How it is bound is for administrators and services.
        assert!(port.get("binding:host_id").is_none());
    }

    async fn addresses_are_asked_for_by_subnet_by_address_and_not_at_all(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let subnet = demo.subnet(&network, "10.1.0.0/29").await;
        let addresses = |port: &Value| texts(&port["fixed_ips"], "ip_address");
        let two = demo.port(&network, json!({"fixed_ips": [{"subnet_id": subnet}, {"subnet_id": subnet}]})).await;
        assert_eq!(addresses(&two).len(), 2);
        assert_eq!(addresses(&demo.port(&network, json!({"fixed_ips": []})).await), Vec::<String>::new());
        // The gateway's address is nobody's until somebody asks for it.
        let gateway = demo.port(&network, json!({"fixed_ips": [{"ip_address": "10.1.0.1"}]})).await;
        assert_eq!(addresses(&gateway), ["10.1.0.1"]);
        let unknown = "4b0ba5cc-4b4f-4ed0-a04d-b6f20a5a2b5d";
        for (fixed, status, kind) in [
            (json!([{"ip_address": "10.1.0.1"}]), 409, "IpAddressAlreadyAllocated"),
            (json!([{"ip_address": "10.9.0.1"}]), 400, "InvalidIpForNetwork"),
            (json!([{"ip_address": "10.1.0.7"}]), 400, "InvalidIpForNetwork"),
            (json!([{"ip_address": "10.9.0.1", "subnet_id": subnet}]), 400, "InvalidIpForSubnet"),
            (json!([{"subnet_id": unknown}]), 404, "SubnetNotFound"),
            (json!([{}]), 400, "InvalidInput"),
            (json!("x"), 400, "HTTPBadRequest"),
        ] {
            let body = json!({"port": {"network_id": network, "fixed_ips": fixed}});
            let answer = demo.post("/ports", &body).await;
            assert_eq!((answer.status, answer.kind()), (status, kind), "{fixed}");
        }
    }

    async fn a_port_has_the_addresses_that_follow_from_its_mac_whatever_it_asks_for(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let network = demo.network(json!({})).await;
        demo.subnet(&network, "10.1.0.0/24").await;
        let six = json!({"network_id": network, "ip_version": 6, "cidr": "fd03::/64", "ipv6_ra_mode": "slaac",
            "ipv6_address_mode": "slaac"});
        demo.make("/subnets", "subnet", six).await;
        let addresses = |port: &Value| texts(&port["fixed_ips"], "ip_address");
        let named = json!({"mac_address": "fa:16:3e:00:00:01", "fixed_ips": [{"ip_address": "10.1.0.9"}]});
        let port = demo.port(&network, named).await;
        assert_eq!(addresses(&port), ["10.1.0.9", "fd03::f816:3eff:fe00:1"]);
        let path = format!("/ports/{}", id(&port));
        let mac = json!({"port": {"mac_address": "fa:16:3e:00:00:02"}});
        assert_eq!(addresses(&admin.put(&path, &mac).await.body["port"]), ["10.1.0.9", "fd03::f816:3eff:fe00:2"]);
        let other = json!({"port": {"fixed_ips": [{"ip_address": "10.1.0.7"}]}});
        assert_eq!(addresses(&demo.put(&path, &other).await.body["port"]), ["10.1.0.7", "fd03::f816:3eff:fe00:2"]);
        let none = demo.port(&network, json!({"fixed_ips": []})).await;
        assert_eq!((addresses(&none).len(), &none["ip_allocation"]), (1, &json!("none")));
    }

    async fn a_change_of_addresses_keeps_what_stays(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let subnet = demo.subnet(&network, "10.1.0.0/24").await;
        let port = demo.port(&network, json!({"fixed_ips": [{"ip_address": "10.1.0.50"}]})).await;
        let path = format!("/ports/{}", id(&port));
        let both = json!({"port": {"fixed_ips": [{"ip_address": "10.1.0.50"}, {"subnet_id": subnet}]}});
        let changed = demo.put(&path, &both).await.body;
        let addresses = texts(&changed["port"]["fixed_ips"], "ip_address");
        assert_eq!((addresses[0].as_str(), addresses.len()), ("10.1.0.50", 2));
        assert_eq!(changed["port"]["revision_number"], 2);
        let other = json!({"port": {"fixed_ips": [{"ip_address": "10.1.0.60"}]}});
        let changed = demo.put(&path, &other).await.body;
        assert_eq!(texts(&changed["port"]["fixed_ips"], "ip_address"), ["10.1.0.60"]);
        demo.port(&network, json!({"fixed_ips": [{"ip_address": "10.1.0.50"}]})).await;
        let found = demo.get("/ports?fixed_ips=ip_address=10.1.0.60&fields=id").await.body;
        assert_eq!(found, json!({"ports": [{"id": port["id"]}]}));
        let part = demo.get("/ports?fixed_ips=ip_address_substr=1.0.6&fields=id").await.body;
        assert_eq!(part, json!({"ports": [{"id": port["id"]}]}));
        assert_eq!(demo.get("/ports?fixed_ips=zz").await.status, 400);
    }

    async fn a_mac_is_one_ports_of_a_network(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let port = demo.port(&network, json!({"mac_address": "FA-16-3E-00-00-01"})).await;
        assert_eq!(port["mac_address"], "fa:16:3e:00:00:01");
        let again = json!({"port": {"network_id": network, "mac_address": "fa:16:3e:00:00:01"}});
        assert_eq!(demo.post("/ports", &again).await.kind(), "MacAddressInUse");
        let elsewhere = demo.network(json!({})).await;
        demo.port(&elsewhere, json!({"mac_address": "fa:16:3e:00:00:01"})).await;
        let change = json!({"port": {"mac_address": "fa:16:3e:00:00:02"}});
        let refused = demo.put(&format!("/ports/{}", id(&port)), &change).await;
        assert_eq!(refused.message(), "(rule:update_port and rule:update_port:mac_address) is disallowed by policy");
    }

    async fn groups_and_address_pairs_need_port_security(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let open = demo.port(&network, json!({"port_security_enabled": false})).await;
        assert_eq!(open["security_groups"], json!([]));
        let group = demo.get("/security-groups").await.body["security_groups"][0]["id"].clone();
        let path = format!("/ports/{}", id(&open));
        let refused = demo.put(&path, &json!({"port": {"security_groups": [group]}})).await;
        assert_eq!(refused.kind(), "PortSecurityAndIPRequiredForSecurityGroups");
        let pairs = json!([{"ip_address": "10.0.0.0/24"}]);
        let refused = demo.put(&path, &json!({"port": {"allowed_address_pairs": pairs}})).await;
        assert_eq!(refused.kind(), "AddressPairAndPortSecurityRequired");
        let secured = json!({"port": {"port_security_enabled": true, "allowed_address_pairs": pairs}});
        let changed = demo.put(&path, &secured).await.body;
        // Without a MAC of its own a pair has the port's.
        assert_eq!(
            changed["port"]["allowed_address_pairs"],
            json!([{"ip_address": "10.0.0.0/24", "mac_address": open["mac_address"]}])
        );
        let none = json!({"port": {"security_groups": ["4b0ba5cc-4b4f-4ed0-a04d-b6f20a5a2b5d"]}});
        assert_eq!(demo.put(&path, &none).await.kind(), "SecurityGroupNotFound");
    }

    async fn options_for_dhcp_are_set_and_taken_away_one_by_one(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let options = json!([{"opt_name": "a", "opt_value": "1"}, {"opt_name": "b", "opt_value": "2"}]);
        let port = demo.port(&network, json!({"extra_dhcp_opts": options})).await;
        let change = json!({"port": {"extra_dhcp_opts": [
            {"opt_name": "a", "opt_value": null}, {"opt_name": "c", "opt_value": "3", "ip_version": "6"}]}});
        let changed = demo.put(&format!("/ports/{}", id(&port)), &change).await.body;
        assert_eq!(
            changed["port"]["extra_dhcp_opts"],
            json!([{"opt_name": "b", "opt_value": "2", "ip_version": 4}, {"opt_name": "c", "opt_value": "3", "ip_version": 6}])
        );
    }

    async fn a_port_is_bound_to_a_host_by_whoever_may(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let network = demo.network(json!({})).await;
        let port = demo.port(&network, json!({})).await;
        let path = format!("/ports/{}", id(&port));
        let bind = json!({"port": {"binding:host_id": "host-1", "device_owner": "compute:nova", "device_id": "s"}});
        assert_eq!(demo.put(&path, &bind).await.status, 403);
        let bound = admin.put(&path, &bind).await.body;
        assert_eq!((&bound["port"]["status"], &bound["port"]["binding:vif_type"]), (&json!("ACTIVE"), &json!("ovs")));
        // The agent of its host is there with it.
        let agents = admin.get("/agents?host=host-1").await.body;
        assert_eq!(agents["agents"][0]["agent_type"], "Open vSwitch agent");
        assert_eq!(demo.get("/agents").await.body, json!({"agents": []}));
        // What a server has, its owner deletes with the server.
        assert_eq!(demo.delete(&path).await.status, 403);
        let free = json!({"port": {"binding:host_id": null, "device_owner": "", "device_id": ""}});
        assert_eq!(admin.put(&path, &free).await.body["port"]["status"], "DOWN");
        assert_eq!(demo.delete(&path).await.status, 204);
    }

    async fn a_thousand_ports_are_listed_in_as_many_queries_as_one(cloud: Cloud) {
        let admin = cloud.admin().await;
        assert_eq!(admin.put(&format!("/quotas/{}", admin.project()), &json!({"quota": {"port": -1}})).await.status, 200);
        let network = admin.network(json!({})).await;
        admin.subnet(&network, "10.0.0.0/16").await;
        for _ in 0..10 {
            let ports: Vec<Value> = (0..100).map(|_| json!({"network_id": network})).collect();
            assert_eq!(admin.post("/ports", &json!({"ports": ports})).await.status, 201);
        }
        let ports = admin.get("/ports").await.body;
        let ports = ports["ports"].as_array().unwrap();
        assert_eq!(ports.len(), 1000);
        assert!(ports.iter().all(|port| port["fixed_ips"].as_array().unwrap().len() == 1));
    }

    async fn a_trunk_carries_ports_that_are_in_no_other(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let [parent, sub] = [demo.port(&network, json!({})).await, demo.port(&network, json!({})).await];
        let subs = json!([{"port_id": sub["id"], "segmentation_type": "vlan", "segmentation_id": 5}]);
        let trunk = json!({"port_id": parent["id"], "sub_ports": subs});
        let trunk = demo.make("/trunks", "trunk", trunk.clone()).await;
        assert_eq!(trunk["sub_ports"], subs);
        assert_eq!(demo.get(&format!("/ports/{}", id(&sub))).await.body["port"]["device_owner"], "trunk:subport");
        let shown = demo.get(&format!("/ports/{}", id(&parent))).await.body;
        assert_eq!(shown["port"]["trunk_details"]["sub_ports"][0]["mac_address"], sub["mac_address"]);
        assert_eq!(demo.delete(&format!("/ports/{}", id(&parent))).await.kind(), "PortInUseAsTrunkParent");
        assert_eq!(demo.delete(&format!("/ports/{}", id(&sub))).await.kind(), "PortInUseAsSubPort");
        let again = json!({"trunk": {"port_id": sub["id"]}});
        assert_eq!(demo.post("/trunks", &again).await.kind(), "TrunkPortInUse");
        let path = format!("/trunks/{}", id(&trunk));
        let out = json!({"sub_ports": [{"port_id": sub["id"]}]});
        demo.put(&path, &json!({"trunk": {"admin_state_up": false}})).await;
        assert_eq!(demo.put(&format!("{path}/remove_subports"), &out).await.kind(), "TrunkDisabled");
        demo.put(&path, &json!({"trunk": {"admin_state_up": true}})).await;
        assert_eq!(demo.put(&format!("{path}/remove_subports"), &out).await.body["sub_ports"], json!([]));
        assert_eq!(demo.delete(&path).await.status, 204);
        assert_eq!(demo.delete(&format!("/ports/{}", id(&parent))).await.status, 204);
    }

    async fn a_port_that_is_in_use_or_of_others_is_put_into_no_trunk(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let network = demo.network(json!({})).await;
        let parent = demo.port(&network, json!({})).await;
        let trunk = id(&demo.make("/trunks", "trunk", json!({"port_id": parent["id"]})).await);
        let path = format!("/trunks/{trunk}");
        let used = demo.port(&network, json!({"device_owner": "compute:nova", "device_id": "s"})).await;
        let others = admin.port(&network, json!({})).await;
        let subs = |port: &Value| {
            json!({"sub_ports": [{"port_id": port["id"], "segmentation_type": "vlan", "segmentation_id": 5}]})
        };
        for (port, status, kind) in [(&used, 409, "PortInUse"), (&others, 404, "PortNotFound")] {
            let answer = demo.put(&format!("{path}/add_subports"), &subs(port)).await;
            assert_eq!((answer.status, answer.kind()), (status, kind));
        }
        let kept = demo.get(&format!("/ports/{}", id(&used))).await.body;
        assert_eq!(kept["port"]["device_id"], "s");
        // What something else has by now, it keeps.
        let free = demo.port(&network, json!({})).await;
        assert_eq!(demo.put(&format!("{path}/add_subports"), &subs(&free)).await.status, 200);
        let port = format!("/ports/{}", id(&free));
        let taken = json!({"port": {"device_owner": "compute:nova", "device_id": "s"}});
        assert_eq!(demo.put(&port, &taken).await.status, 200);
        assert_eq!(demo.put(&format!("{path}/remove_subports"), &subs(&free)).await.status, 200);
        assert_eq!(demo.get(&port).await.body["port"]["device_id"], "s");
    }

    async fn a_port_is_of_no_router_of_others(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let own = id(&demo.make("/routers", "router", json!({})).await);
        let others = id(&admin.make("/routers", "router", json!({})).await);
        let network = demo.network(json!({})).await;
        let of = |router: &str| {
            json!({"network_id": network, "device_owner": "network:router_interface", "device_id": router})
        };
        let refused = demo.post("/ports", &json!({"port": of(&others)})).await;
        assert_eq!((refused.status, refused.kind()), (409, "DeviceIDNotOwnedByTenant"));
        let port = demo.make("/ports", "port", of(&own)).await;
        let path = format!("/ports/{}", id(&port));
        let change = json!({"port": {"device_id": others}});
        assert_eq!(demo.put(&path, &change).await.kind(), "DeviceIDNotOwnedByTenant");
        assert_eq!(demo.get(&path).await.body["port"]["device_id"], json!(own));
        assert_eq!(admin.put(&path, &change).await.status, 200);
    }

    async fn quality_is_kept_as_policies_with_rules(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let policy = id(&admin.make("/qos/policies", "policy", json!({"name": "gold", "shared": true})).await);
        let path = format!("/qos/policies/{policy}/bandwidth_limit_rules");
        let rule = json!({"max_kbps": 1000});
        let rule = admin.make(&path, "bandwidth_limit_rule", rule).await;
        assert_eq!(rule["direction"], "egress");
        let one = admin.get(&format!("{path}/{}", id(&rule))).await.body;
        assert_eq!(one["bandwidth_limit_rule"]["max_kbps"], 1000);
        let again = admin.post(&path, &json!({"bandwidth_limit_rule": {"max_kbps": 5}})).await;
        assert_eq!((again.status, again.kind()), (409, "QoSRulesConflict"));
        let shown = demo.get(&format!("/qos/policies/{policy}")).await.body;
        assert_eq!(shown["policy"]["rules"][0]["type"], "bandwidth_limit");
        let network = demo.network(json!({"qos_policy_id": policy})).await;
        let port = demo.port(&network, json!({})).await;
        assert_eq!(port["qos_network_policy_id"], json!(policy));
        assert_eq!(admin.delete(&format!("/qos/policies/{policy}")).await.kind(), "QosPolicyInUse");
        assert_eq!(demo.post("/qos/policies", &json!({"policy": {}})).await.status, 403);
    }
}
