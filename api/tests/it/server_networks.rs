//! The networks and security groups of a server that is made: what is asked of Networking, and what is refused.

use novella_api::COMPUTE;
use novella_common::{
    ids::InstanceUuid,
    models::{RequestedNetworks, RequestedVif},
};
use serde_json::{Value, json};

use crate::support::{Client, Cloud, create};

const SERVERS: &str = "/compute/v2.1/servers";

fn with(field: &str, value: &Value) -> Value {
    let mut body = create("s");
    body["server"][field] = value.clone();
    body
}

async fn made(client: &Client<'_>, body: &Value) -> InstanceUuid {
    let answer = client.post(SERVERS, body).await;
    assert_eq!(answer.status, 202, "{body}: {:?}", answer.body);
    answer.body["server"]["id"].as_str().unwrap().parse().unwrap()
}

fn on(network: &str) -> RequestedVif {
    RequestedVif { network_id: network.into(), ..RequestedVif::default() }
}

on_both! {
    async fn networks_are_named_in_each_of_novas_forms_or_found(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let fixed = json!({"network_id": net, "fixed_ips": [{"ip_address": "10.1.0.5"}]});
        let port = demo.make("ports", "port", fixed).await;
        let tagged = json!([{"uuid": net, "fixed_ip": "10.1.0.77", "tag": "nic"}, {"port": port, "tag": "own"}]);
        let both = vec![
            RequestedVif { fixed_ip: Some("10.1.0.77".into()), tag: Some("nic".into()), ..on(&net) },
            RequestedVif { port_id: Some(port.clone()), tag: Some("own".into()), ..on(&net) },
        ];
        for (versions, networks, expected) in [
            (&["2.1", "2.36"][..], None, vec![on(&net)]),
            (&["2.1", "2.36", "2.37", "2.104"], Some(json!([])), vec![on(&net)]),
            (&["2.37", "2.104"], Some(json!("auto")), vec![on(&net)]),
            (&["2.37", "2.104"], Some(json!("none")), vec![]),
            (&["2.1", "2.104"], Some(json!([{"uuid": net}, {"uuid": net}])), vec![on(&net), on(&net)]),
            (&["2.1", "2.104"], Some(json!([{"uuid": net, "port": port}])),
                vec![RequestedVif { port_id: Some(port.clone()), ..on(&net) }]),
            (&["2.32", "2.42", "2.104"], Some(tagged), both),
        ] {
            for version in versions {
                let body = networks.as_ref().map_or_else(|| create("s"), |networks| with("networks", networks));
                let uuid = made(&demo.at(version), &body).await;
                let asked = cloud.requested(uuid).await;
                assert_eq!(asked, RequestedNetworks { vifs: expected.clone(), security_groups: vec![] }, "{body}");
                assert_eq!(cloud.instance(uuid).await.unwrap().has_ports, !expected.is_empty(), "{body}");
            }
        }
    }

    async fn a_cloud_without_networks_makes_servers_without(cloud: Cloud) {
        let demo = cloud.demo().await;
        let uuid = cloud.new_server(&demo, "s").await;
        assert_eq!((cloud.requested(uuid).await, cloud.instance(uuid).await.unwrap().has_ports), (RequestedNetworks::default(), false));
        let auto = demo.at("2.37").post(SERVERS, &with("networks", &json!("auto"))).await;
        let project = cloud.instance(uuid).await.unwrap().project_id;
        assert_eq!((auto.status, auto.message()), (400, format!("Unable to automatically allocate a network for project {project}").as_str()));
    }

    async fn a_project_without_a_network_is_given_one_where_that_can_be(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await.at("2.37"));
        admin.network(json!({"name": "out", "router:external": true, "is_default": true}), "192.0.2.0/24").await;
        let pool = json!({"name": "pool", "prefixes": ["10.9.0.0/16"], "default_prefixlen": 26, "shared": true, "is_default": true});
        admin.make("subnetpools", "subnetpool", pool).await;
        let mut networks = Vec::new();
        for _ in 0..2 {
            let uuid = made(&demo, &with("networks", &json!("auto"))).await;
            networks.extend(cloud.requested(uuid).await.vifs.into_iter().map(|vif| vif.network_id));
        }
        let found = demo.get("/networking/v2.0/networks?router:external=false").await.body["networks"].clone();
        assert_eq!((found.as_array().unwrap().len(), &networks[0], &networks[1]), (1, &networks[1], &found[0]["id"].as_str().unwrap().to_owned()));
    }

    async fn what_a_policy_says_of_networks_holds(cloud: Cloud) {
        let rules = "os_compute_api:servers:create:attach_network: role:admin\nnetwork:attach_external_network: role:member\n";
        let cloud = cloud.with_policies(&[(&COMPUTE, rules)]);
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (out, _) = admin.network(json!({"name": "out", "router:external": true}), "192.0.2.0/24").await;
        for networks in [json!([{"uuid": out}]), json!("auto")] {
            let refused = demo.at("2.37").post(SERVERS, &with("networks", &networks)).await;
            assert!(refused.status == 403 && refused.message().contains("create:attach_network"), "{:?}", refused.body);
        }
        made(&demo.at("2.37"), &with("networks", &json!("none"))).await;
        made(&demo, &create("s")).await;
        let cloud = cloud.with_policies(&[(&COMPUTE, "network:attach_external_network: role:member\n")]);
        made(&cloud.demo().await, &with("networks", &json!([{"uuid": out}]))).await;
    }

    async fn what_a_server_can_not_be_put_on_is_refused_as_by_nova(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let (foreign, _) = admin.network(json!({"name": "foreign"}), "10.2.0.0/24").await;
        let (out, _) = admin.network(json!({"name": "out", "router:external": true}), "192.0.2.0/24").await;
        let bare = demo.make("networks", "network", json!({"name": "bare"})).await;
        let (open, _) = demo.network(json!({"name": "open", "port_security_enabled": false}), "10.3.0.0/24").await;
        let (port, used) = (demo.port(&net).await, demo.port(&net).await);
        let user = cloud.new_server_with(&demo, "user", &json!([{"port": used}])).await;
        cloud.allocate(user, "host-1").await;
        let address = demo.shown_port(&used).await["fixed_ips"][0]["ip_address"].as_str().unwrap().to_owned();
        let admins = admin.port(&foreign).await;
        let addressless = demo.make("ports", "port", json!({"network_id": bare, "fixed_ips": []})).await;
        let unaddressed = demo.make("ports", "port", json!({"network_id": bare})).await;
        let unknown = "00000000-0000-4000-8000-000000000000";
        let groups = with("security_groups", &json!([{"name": "web"}]));
        demo.make("security-groups", "security_group", json!({"name": "web"})).await;
        let on_open = { let mut body = groups; body["server"]["networks"] = json!([{"uuid": open}]); body };
        let several = |networks: Value| { let mut body = with("networks", &networks); body["server"]["max_count"] = json!(2); body };
        let networks = |networks: Value| with("networks", &networks);
        for (status, body, said) in [
            (400, networks(json!([{"uuid": unknown}])), format!("Network {unknown} could not be found.")),
            (400, networks(json!([{"uuid": net}, {"uuid": foreign}])), format!("Network {foreign} could not be found.")),
            (400, networks(json!([{"uuid": bare}])), format!("Network {bare} requires a subnet in order to boot instances on.")),
            (403, networks(json!([{"uuid": out}])), format!("It is not allowed to create an interface on external network {out}")),
            (400, networks(json!([{"port": unknown}])), format!("Port id {unknown} could not be found.")),
            (400, networks(json!([{"port": admins}])), format!("Port id {admins} could not be found.")),
            (409, networks(json!([{"port": port}, {"port": used}])), format!("Port {used} is still in use.")),
            (400, networks(json!([{"port": addressless}])), "Network requires port_security_enabled and subnet".into()),
            (400, networks(json!([{"port": unaddressed}])), format!("Port {unaddressed} requires a FixedIP in order to be used.")),
            (400, networks(json!([{"uuid": net, "fixed_ip": address}])),
                format!("Fixed IP address {address} is already in use on instance {user}.")),
            (400, on_open, "Network requires port_security_enabled and subnet associated in order to apply".into()),
            (400, several(json!([{"port": port}])), "Failed to launch instances: Unable to launch multiple".into()),
            (409, create("s"), "Multiple possible networks found, use a Network ID to be more specific.".into()),
        ] {
            let answer = demo.post(SERVERS, &body).await;
            assert!(answer.status == status && answer.message().starts_with(&said), "{body}: {:?}", answer.body);
        }
        // Whether an address is one of the network's is Networking's to say, when the port is made: as in Nova.
        made(&demo, &networks(json!([{"uuid": net, "fixed_ip": "10.9.0.1"}]))).await;
        // Whoever may, may.
        let by_admin = made(&admin, &networks(json!([{"uuid": out}]))).await;
        assert_eq!(cloud.requested(by_admin).await.vifs, [on(&out)]);
        // Of his two, one is the way out.
        let found = made(&admin, &create("s")).await;
        assert_eq!(cloud.requested(found).await.vifs, [on(&foreign)]);
        assert_eq!(demo.at("2.37").post(SERVERS, &with("networks", &json!("auto"))).await.status, 409);
    }

    async fn a_create_makes_as_many_servers_as_there_are_ports_left(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        demo.port(&net).await;
        let project = cloud.instance(cloud.new_server(&demo, "s").await).await.unwrap().project_id;
        let quota = admin.put(&format!("/networking/v2.0/quotas/{project}"), &json!({"quota": {"port": 6}})).await;
        assert_eq!(quota.status, 200, "{:?}", quota.body);
        let asked = |each: usize, least: u32, most: u32| {
            let mut body = with("networks", &json!(vec![json!({"uuid": net}); each]));
            (body["server"]["min_count"], body["server"]["max_count"]) = (json!(least), json!(most));
            body["server"]["return_reservation_id"] = json!(true);
            body
        };
        let count = async |body: Value| {
            let answer = demo.post(SERVERS, &body).await;
            let reservation = answer.body["reservation_id"].as_str().unwrap_or_else(|| panic!("{:?}", answer.body)).to_owned();
            demo.get(&format!("{SERVERS}?reservation_id={reservation}")).await.body["servers"].as_array().unwrap().len()
        };
        assert_eq!((count(asked(2, 1, 9)).await, count(asked(1, 5, 9)).await), (2, 5));
        let refused = demo.post(SERVERS, &asked(2, 3, 9)).await;
        assert_eq!((refused.status, refused.message()), (403, "Maximum number of ports exceeded"));
        // A port that is brought is no new one, and no network needs none.
        let port = json!({"server": {"name": "s", "imageRef": crate::support::IMAGE, "flavorRef": "1", "networks": [{"port": demo.port(&net).await}]}});
        let full = admin.put(&format!("/networking/v2.0/quotas/{project}"), &json!({"quota": {"port": 2}})).await;
        assert_eq!(full.status, 200);
        made(&demo, &port).await;
        made(&demo.at("2.37"), &with("networks", &json!("none"))).await;
    }

    async fn networking_is_asked_no_more_than_a_request_needs(cloud: Cloud) {
        let demo = cloud.demo().await.at("2.37");
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        demo.make("security-groups", "security_group", json!({"name": "web"})).await;
        for (most, networks, groups) in [
            (2, json!("auto"), json!([{"name": "default"}])),
            (0, json!("none"), json!([])),
            (2, json!([{"uuid": net}]), json!([])),
            (3, json!([{"uuid": net}]), json!([{"name": "web"}])),
        ] {
            let mut body = with("networks", &networks);
            body["server"]["security_groups"] = groups;
            let (asked, uuid) = cloud.questions(made(&demo, &body)).await;
            assert_eq!(asked, most, "{body}");
            cloud.place(uuid, "host-1", "active", 1).await;
        }
        let servers = async |path: &str| demo.get(&format!("{SERVERS}{path}")).await.body["servers"].as_array().unwrap().len();
        assert_eq!(cloud.questions(servers("/detail")).await, (0, 4));
        for server in demo.get(SERVERS).await.body["servers"].as_array().unwrap() {
            cloud.allocate(server["id"].as_str().unwrap().parse().unwrap(), "host-1").await;
        }
        assert_eq!((cloud.questions(servers("/detail")).await, cloud.questions(servers("")).await), ((1, 4), (0, 4)));
    }

    async fn security_groups_are_called_by_name_or_by_id(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let group = async |client: &Client<'_>, name: &str| client.make("security-groups", "security_group", json!({"name": name})).await;
        let (web, twin, other, foreign) = (group(&demo, "web").await, group(&demo, "twin").await, group(&demo, "twin").await, group(&admin, "theirs").await);
        let groups = |names: &[&str]| {
            let names: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            with("security_groups", &json!(names))
        };
        let listed = demo.get("/networking/v2.0/security-groups?name=default").await.body["security_groups"][0]["id"].clone();
        for (names, ids) in [
            (&["default"][..], vec![]),
            (&[], vec![]),
            (&["web", "web"], vec![web.as_str()]),
            (&[web.as_str(), twin.as_str(), other.as_str()], vec![web.as_str(), twin.as_str(), other.as_str()]),
            (&["default", "web"], vec![listed.as_str().unwrap(), &web]),
        ] {
            let uuid = made(&demo, &groups(names)).await;
            let mut asked = cloud.requested(uuid).await.security_groups;
            let mut ids: Vec<String> = ids.into_iter().map(ToOwned::to_owned).collect();
            asked.sort();
            ids.sort();
            assert_eq!(asked, ids, "{names:?}");
        }
        for (status, name, said) in [
            (400, "none", "Unable to find security_group with name or id 'none'".to_owned()),
            (400, "theirs", "Unable to find security_group with name or id 'theirs'".into()),
            (400, &foreign, format!("Unable to find security_group with name or id '{foreign}'")),
            (409, "twin", "Multiple security_group matches found for name 'twin', use an ID to be more specific.".into()),
        ] {
            let answer = demo.post(SERVERS, &groups(&[name])).await;
            assert_eq!((answer.status, answer.message()), (status, said.as_str()));
        }
        // One that is shared is called by its id.
        let policy = json!({"object_type": "security_group", "object_id": foreign, "action": "access_as_shared", "target_tenant": "*"});
        admin.make("rbac-policies", "rbac_policy", policy).await;
        let uuid = made(&demo, &groups(&[&foreign])).await;
        assert_eq!(cloud.requested(uuid).await.security_groups, [foreign]);
        let answer = demo.post(SERVERS, &groups(&["web"])).await;
        assert_eq!(answer.body["server"]["security_groups"], json!([{"name": "web"}]));
        assert_eq!(demo.post(SERVERS, &create("s")).await.body["server"]["security_groups"], json!([{"name": "default"}]));
    }

    async fn a_server_shows_the_addresses_and_the_groups_of_its_ports(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let (six, _) = demo.network(json!({"name": "six"}), "2001:db8::/64").await;
        demo.make("security-groups", "security_group", json!({"name": "web"})).await;
        let mut body = with("networks", &json!([{"uuid": net, "fixed_ip": "10.1.0.9"}, {"uuid": six, "fixed_ip": "2001:db8::9"}]));
        body["server"]["security_groups"] = json!([{"name": "web"}]);
        let uuid = made(&demo, &body).await;
        let shown = async |path: &str| demo.get(&format!("{SERVERS}/{path}")).await.body;
        let building = shown(&uuid.to_string()).await["server"].clone();
        assert_eq!((&building["addresses"], building.get("security_groups")), (&json!({}), None));
        let info = cloud.allocate(uuid, "host-1").await;
        // Not before it is built; the list of its addresses has them at once.
        let of_one = json!({"net": [{"version": 4, "addr": "10.1.0.9"}], "six": [{"version": 6, "addr": "2001:db8::9"}]});
        assert_eq!(shown(&uuid.to_string()).await["server"]["addresses"], json!({}));
        assert_eq!(shown(&format!("{uuid}/ips")).await, json!({"addresses": of_one}));
        cloud.place(uuid, "host-1", "active", 1).await;
        let alone = cloud.new_server_with(&demo, "alone", &json!([{"uuid": net}])).await;
        let server = shown(&uuid.to_string()).await["server"].clone();
        let address = |version: u8, addr: &str, vif: usize| json!([{"version": version, "addr": addr,
            "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": info.0[vif].mac_address}]);
        assert_eq!(server["addresses"], json!({"net": address(4, "10.1.0.9", 0), "six": address(6, "2001:db8::9", 1)}));
        // One for each port, as in Nova.
        assert_eq!(server["security_groups"], json!([{"name": "web"}, {"name": "web"}]));
        let listed = shown("detail").await["servers"].clone();
        let groups: Vec<_> = listed.as_array().unwrap().iter().map(|server| (&server["name"], server.get("security_groups"))).collect();
        assert_eq!(groups, [(&json!("alone"), None), (&json!("s"), Some(&json!([{"name": "web"}, {"name": "web"}])))]);
        assert_eq!(shown(&format!("{uuid}/ips")).await, json!({"addresses": of_one}));
        // Before 2.75 the answer to a change says no more of each than that list.
        for (version, addresses) in [("2.74", &of_one), ("2.75", &server["addresses"])] {
            let path = format!("{SERVERS}/{uuid}");
            let changed = demo.at(version).put(&path, &json!({"server": {"name": "s"}})).await;
            assert_eq!((changed.status, &changed.body["server"]["addresses"]), (200, addresses), "{version}");
        }
        assert_eq!(shown(&format!("{uuid}/ips/net")).await, json!({"net": of_one["net"]}));
        assert_eq!(demo.get(&format!("{SERVERS}/{uuid}/ips/other")).await.status, 404);
        assert_eq!(shown(&format!("{alone}/ips")).await, json!({"addresses": {}}));

        for (version, query, found) in [
            ("2.1", "ip=10.1.0.9", true), ("2.1", "ip=1.0.", true), ("2.1", "ip=10.1.0.99", false),
            ("2.5", "ip6=2001:db8", true), ("2.5", "ip6=fe80", false), ("2.5", "ip=10.9&ip6=db8::9", true),
        ] {
            let names = demo.at(version).get(&format!("{SERVERS}?{query}")).await.body["servers"].clone();
            assert_eq!(names.as_array().unwrap().len(), usize::from(found), "{query}");
        }
        assert_eq!(cloud.admin().await.get(&format!("{SERVERS}?ip=10.1.0.9")).await.body["servers"], json!([]));
    }

    async fn while_networking_does_not_answer_servers_are_shown_and_made_without_networks_only(cloud: Cloud) {
        let demo = cloud.demo().await.at("2.37");
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let uuid = cloud.new_server_with(&demo, "s", &json!([{"uuid": net}])).await;
        cloud.allocate(uuid, "host-1").await;
        cloud.place(uuid, "host-1", "active", 1).await;
        cloud.silence_networking(true);
        for networks in [json!("auto"), json!([{"uuid": net}])] {
            assert_eq!(demo.post(SERVERS, &with("networks", &networks)).await.status, 503, "{networks}");
        }
        made(&demo, &with("networks", &json!("none"))).await;
        let shown = demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"].clone();
        assert_eq!((shown["addresses"]["net"].as_array().unwrap().len(), shown.get("security_groups")), (1, None));
        cloud.silence_networking(false);
        let shown = demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"].clone();
        assert_eq!(shown["security_groups"], json!([{"name": "default"}]));
    }

    async fn the_ports_of_a_server_that_no_host_has_go_with_it(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let own = demo.port(&net).await;
        let uuid = cloud.new_server_with(&demo, "s", &json!([{"uuid": net}, {"port": own}])).await;
        let info = cloud.allocate(uuid, "host-1").await;
        assert_eq!(demo.shown_port(&own).await["device_id"], json!(uuid));
        assert_eq!(demo.delete(&format!("{SERVERS}/{uuid}")).await.status, 204);
        assert_eq!(demo.shown_port(&info.0[0].port_id).await, Value::Null);
        let kept = demo.shown_port(&own).await;
        assert_eq!((&kept["device_id"], &kept["device_owner"]), (&json!(""), &json!("")));
    }

    async fn a_server_shows_what_networking_says_once_it_tells_that_something_changed(cloud: Cloud) {
        const EVENTS: &str = "/compute/v2.1/os-server-external-events";
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let uuid = cloud.new_server_with(&demo, "s", &json!([{"uuid": net}, {"uuid": net}])).await;
        let info = cloud.allocate(uuid, "host-1").await;
        cloud.place(uuid, "host-1", "active", 1).await;
        let addresses = async || {
            let server = demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"].clone();
            server["addresses"]["net"].as_array().map_or(0, Vec::len)
        };
        let changed = demo.put(&format!("/networking/v2.0/networks/{net}"), &json!({"network": {"name": "other"}})).await;
        assert_eq!((changed.status, addresses().await), (200, 2));
        let event = |name: &str| json!({"events": [{"name": name, "server_uuid": uuid, "tag": info.0[0].port_id}]});
        assert_eq!(admin.post(EVENTS, &event("network-changed")).await.status, 200);
        let server = demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"].clone();
        assert_eq!(server["addresses"]["other"].as_array().map(Vec::len), Some(2));
        assert_eq!(admin.delete(&format!("/networking/v2.0/ports/{}", info.0[0].port_id)).await.status, 204);
        assert_eq!(admin.post(EVENTS, &event("network-vif-deleted")).await.status, 200);
        assert_eq!(cloud.instance(uuid).await.unwrap().network_info.0.len(), 1);
        assert_eq!(demo.post(EVENTS, &event("network-changed")).await.status, 403);
    }
}
