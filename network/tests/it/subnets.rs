//! `/subnets`, `/subnetpools` and `/address-scopes`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Cloud, id};

on_both! {
    async fn a_subnet_says_itself_what_nobody_has_said(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let subnet = demo
            .make("/subnets", "subnet", json!({"network_id": network, "ip_version": 4, "cidr": "10.1.0.5/24"}))
            .await;
        assert_eq!((&subnet["cidr"], &subnet["gateway_ip"]), (&json!("10.1.0.0/24"), &json!("10.1.0.1")));
        assert_eq!(subnet["allocation_pools"], json!([{"start": "10.1.0.2", "end": "10.1.0.254"}]));
        let ipv6 = demo
            .make("/subnets", "subnet", json!({"network_id": network, "ip_version": "6", "cidr": "FD00:1:0::/64"}))
            .await;
        assert_eq!((&ipv6["cidr"], &ipv6["gateway_ip"]), (&json!("fd00:1::/64"), &json!("fd00:1::")));
        let network = demo.get(&format!("/networks/{network}")).await.body;
        assert_eq!(network["network"]["subnets"], json!([subnet["id"], ipv6["id"]]));
    }

    async fn of_subnets_that_overlap_one_is_made_however_many_ask_at_once(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let cidrs = ["10.0.0.0/16", "10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/8"];
        let bodies: Vec<_> = cidrs
            .iter()
            .cycle()
            .take(16)
            .map(|cidr| json!({"subnet": {"network_id": network, "ip_version": 4, "cidr": cidr}}))
            .collect();
        let answers = join_all(bodies.iter().map(|body| demo.post("/subnets", body))).await;
        let made = answers.iter().filter(|answer| answer.status == 201).count();
        let refused = answers.iter().filter(|answer| answer.kind() == "InvalidInput").count();
        assert_eq!((made, refused), (1, 15), "{answers:?}");
        // On another network the same addresses are others.
        let elsewhere = demo.network(json!({})).await;
        demo.subnet(&elsewhere, "10.0.0.0/24").await;
    }

    async fn parts_that_contradict_each_other_are_refused(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        for (values, status, kind) in [
            (json!({"cidr": "junk"}), 400, "InvalidInput"),
            (json!({"cidr": "fd00::/64"}), 400, "InvalidInput"),
            (json!({"cidr": "10.2.0.0/31"}), 400, "InvalidInput"),
            (json!({}), 400, "BadRequest"),
            (json!({"cidr": "10.3.0.0/24", "gateway_ip": "10.3.0.0"}), 400, "InvalidInput"),
            (
                json!({"cidr": "10.3.0.0/24", "allocation_pools": [{"start": "10.3.0.9", "end": "10.3.0.2"}]}),
                400,
                "InvalidAllocationPool",
            ),
            (
                json!({"cidr": "10.3.0.0/24", "allocation_pools": [{"start": "10.3.0.9", "end": "10.4.0.2"}]}),
                400,
                "OutOfBoundsAllocationPool",
            ),
            (
                json!({"cidr": "10.3.0.0/24", "allocation_pools": [
                    {"start": "10.3.0.9", "end": "10.3.0.20"}, {"start": "10.3.0.15", "end": "10.3.0.25"}]}),
                409,
                "OverlappingAllocationPools",
            ),
            (
                json!({"cidr": "10.3.0.0/24", "gateway_ip": "10.3.0.5",
                    "allocation_pools": [{"start": "10.3.0.2", "end": "10.3.0.9"}]}),
                409,
                "GatewayConflictWithAllocationPools",
            ),
            (json!({"cidr": "10.3.0.0/24", "ipv6_ra_mode": "slaac"}), 400, "InvalidInput"),
            (json!({"cidr": "10.3.0.0/24", "dns_nameservers": ["x"]}), 400, "HTTPBadRequest"),
            (json!({"cidr": "10.3.0.0/24", "use_default_subnetpool": true}), 400, "BadRequest"),
        ] {
            let mut body = json!({"network_id": network, "ip_version": 4});
            for (name, value) in values.as_object().unwrap() {
                body[name] = value.clone();
            }
            let answer = demo.post("/subnets", &json!({"subnet": body})).await;
            assert_eq!((answer.status, answer.kind()), (status, kind), "{values}: {}", answer.message());
        }
    }

    async fn devices_make_their_own_addresses_where_the_subnet_says_so(cloud: Cloud) {
        let demo = cloud.demo().await;
        let network = demo.network(json!({})).await;
        let before = demo.port(&network, json!({"mac_address": "fa:16:3e:00:00:01"})).await;
        let slaac = json!({"network_id": network, "ip_version": 6, "cidr": "fd00:1::/64", "ipv6_ra_mode": "slaac",
            "ipv6_address_mode": "slaac"});
        let subnet = id(&demo.make("/subnets", "subnet", slaac).await);
        // A port that was there has an address, too.
        let before = demo.get(&format!("/ports/{}", id(&before))).await.body;
        assert_eq!(before["port"]["fixed_ips"][0]["ip_address"], "fd00:1::f816:3eff:fe00:1");
        let port = demo.port(&network, json!({"mac_address": "fa:16:3e:08:fb:bc"})).await;
        assert_eq!(port["fixed_ips"][0]["ip_address"], "fd00:1::f816:3eff:fe08:fbbc");
        let named = json!({"port": {"network_id": network, "fixed_ips": [{"ip_address": "fd00:1::5"}]}});
        assert_eq!(demo.post("/ports", &named).await.kind(), "AllocationOnAutoAddressSubnet");
        // Such addresses don't keep a subnet.
        assert_eq!(demo.delete(&format!("/subnets/{subnet}")).await.status, 204);
    }

    async fn subnets_are_cut_from_a_pool_and_never_overlap(cloud: Cloud) {
        let demo = cloud.demo().await;
        let pool = json!({"name": "p", "prefixes": ["10.0.0.0/16"], "default_prefixlen": 24});
        let pool = demo.make("/subnetpools", "subnetpool", pool).await;
        assert_eq!((&pool["min_prefixlen"], &pool["default_prefixlen"]), (&json!("8"), &json!("24")));
        let pool = id(&pool);
        let networks = [demo.network(json!({})).await, demo.network(json!({})).await, demo.network(json!({})).await];
        let bodies = networks
            .each_ref()
            .map(|network| json!({"subnet": {"network_id": network, "ip_version": 4, "subnetpool_id": pool}}));
        let answers = join_all(bodies.iter().map(|body| demo.post("/subnets", body))).await;
        let mut cidrs: Vec<_> =
            answers.iter().map(|answer| answer.body["subnet"]["cidr"].as_str().unwrap().to_owned()).collect();
        cidrs.sort();
        assert_eq!(cidrs, ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]);
        let used = demo.delete(&format!("/subnetpools/{pool}")).await;
        assert_eq!((used.status, used.kind()), (400, "SubnetPoolDeleteError"));
        let mixed = json!({"subnet": {"network_id": networks[0], "ip_version": 4, "cidr": "10.7.0.0/24"}});
        assert_eq!(demo.post("/subnets", &mixed).await.kind(), "NetworkSubnetPoolAffinityError");
        let more = demo.put(&format!("/subnetpools/{pool}/add_prefixes"), &json!({"prefixes": ["10.1.0.0/16"]})).await;
        assert_eq!(more.body, json!({"prefixes": ["10.0.0.0/15"]}));
    }

    async fn a_pool_takes_only_subnets_of_ones_own_networks(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let pool = json!({"name": "p", "prefixes": ["10.0.0.0/16"]});
        let pool = id(&demo.make("/subnetpools", "subnetpool", pool).await);
        let path = format!("/subnetpools/{pool}/onboard_network_subnets");
        let [shared, hidden] = [admin.network(json!({"shared": true})).await, admin.network(json!({})).await];
        let others = admin.subnet(&shared, "10.7.0.0/24").await;
        for (network, status, kind) in [(&shared, 403, "NotAuthorized"), (&hidden, 404, "NetworkNotFound")] {
            let answer = demo.put(&path, &json!({"network_id": network})).await;
            assert_eq!((answer.status, answer.kind()), (status, kind));
        }
        let kept = demo.get(&format!("/subnets/{others}")).await.body;
        assert_eq!(kept["subnet"]["subnetpool_id"], Value::Null);
        let own = demo.network(json!({})).await;
        let subnet = demo.subnet(&own, "10.8.0.0/24").await;
        let taken = demo.put(&path, &json!({"network_id": own})).await.body;
        assert_eq!(taken, json!([{"id": subnet, "cidr": "10.8.0.0/24"}]));
    }

    async fn pools_in_one_address_scope_have_nothing_in_common(cloud: Cloud) {
        let demo = cloud.demo().await;
        let scope = json!({"name": "s", "ip_version": 4});
        let scope = id(&demo.make("/address-scopes", "address_scope", scope).await);
        let pool = json!({"name": "p", "prefixes": ["10.0.0.0/16"], "address_scope_id": scope});
        let made = id(&demo.make("/subnetpools", "subnetpool", pool.clone()).await);
        let again = demo.post("/subnetpools", &json!({"subnetpool": pool})).await;
        assert_eq!((again.status, again.kind()), (409, "AddressScopePrefixConflict"));
        assert_eq!(demo.delete(&format!("/address-scopes/{scope}")).await.kind(), "AddressScopeInUse");
        let network = demo.network(json!({})).await;
        let subnet = json!({"network_id": network, "ip_version": 4, "subnetpool_id": made, "prefixlen": 26});
        demo.make("/subnets", "subnet", subnet).await;
        let network = demo.get(&format!("/networks/{network}")).await.body;
        assert_eq!(network["network"]["ipv4_address_scope"], json!(scope));
    }
}
