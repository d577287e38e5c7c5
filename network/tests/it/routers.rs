//! `/routers`: their gateways, interfaces and routes.

use serde_json::{Value, json};

use crate::support::{Client, Cloud, id, texts};

/// An external network with a subnet.
pub(crate) async fn outside(cloud: &Cloud) -> String {
    let admin = cloud.admin().await;
    let network = admin.network(json!({"name": "outside", "router:external": true})).await;
    let subnet = json!({"network_id": network, "ip_version": 4, "cidr": "203.0.113.0/24", "enable_dhcp": false});
    admin.make("/subnets", "subnet", subnet).await;
    network
}

/// A router with a gateway.
pub(crate) async fn router(client: &Client, outside: &str) -> String {
    let info = json!({"network_id": outside});
    id(&client.make("/routers", "router", json!({"name": "r", "external_gateway_info": info})).await)
}

pub(crate) async fn connect(client: &Client, router: &str, body: Value) -> crate::support::Answer {
    client.put(&format!("/routers/{router}/add_router_interface"), &body).await
}

on_both! {
    async fn a_router_has_a_gateway_that_only_administrators_list(cloud: Cloud) {
        let outside = outside(&cloud).await;
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let router = router(&demo, &outside).await;
        let path = format!("/routers/{router}");
        let shown = demo.get(&path).await.body;
        let info = &shown["router"]["external_gateway_info"];
        assert_eq!((&info["network_id"], &info["enable_snat"]), (&json!(outside), &json!(true)));
        assert!(info["external_fixed_ips"][0]["ip_address"].as_str().unwrap().starts_with("203.0.113."));
        let ports = format!("/ports?device_id={router}&device_owner=network:router_gateway");
        assert_eq!(admin.get(&ports).await.body["ports"].as_array().unwrap().len(), 1);
        assert_eq!(demo.get(&ports).await.body, json!({"ports": []}));
        let without = json!({"router": {"external_gateway_info": {"network_id": outside, "enable_snat": false}}});
        let refused = demo.put(&path, &without).await;
        assert_eq!(
            refused.message(),
            "(rule:update_router and (rule:update_router:external_gateway_info and \
             (rule:update_router:external_gateway_info:network_id and rule:update_router:external_gateway_info:enable_snat))) \
             is disallowed by policy"
        );
        let changed = admin.put(&path, &without).await.body;
        assert_eq!(changed["router"]["external_gateway_info"]["enable_snat"], false);
        let named = json!({"network_id": outside, "external_fixed_ips": [{"ip_address": "203.0.113.77"}]});
        let changed = admin.put(&path, &json!({"router": {"external_gateway_info": named}})).await.body;
        let fixed = &changed["router"]["external_gateway_info"]["external_fixed_ips"];
        assert_eq!(texts(fixed, "ip_address"), ["203.0.113.77"]);
        // What is not said is what it is by default, and not what it was.
        assert_eq!(changed["router"]["external_gateway_info"]["enable_snat"], true);
        let cleared = demo.put(&path, &json!({"router": {"external_gateway_info": {}}})).await.body;
        assert_eq!(cleared["router"]["external_gateway_info"], Value::Null);
        assert_eq!(admin.get(&ports).await.body, json!({"ports": []}));
        let inside = demo.network(json!({})).await;
        let wrong = json!({"router": {"external_gateway_info": {"network_id": inside}}});
        assert_eq!(demo.put(&path, &wrong).await.kind(), "BadRequest");
    }

    async fn a_router_connects_subnets_by_subnet_and_by_port(cloud: Cloud) {
        let demo = cloud.demo().await;
        let router = id(&demo.make("/routers", "router", json!({})).await);
        let [one, other] = [demo.network(json!({})).await, demo.network(json!({})).await];
        let first = demo.subnet(&one, "10.1.0.0/24").await;
        let added = connect(&demo, &router, json!({"subnet_id": first})).await;
        assert_eq!(added.status, 200);
        let interface = added.body["port_id"].as_str().unwrap().to_owned();
        assert_eq!(added.body, json!({"id": router, "project_id": demo.project(), "port_id": interface,
            "network_id": one, "subnet_id": first, "subnet_ids": [first]}));
        let port = demo.get(&format!("/ports/{interface}")).await.body;
        assert_eq!(port["port"]["fixed_ips"], json!([{"subnet_id": first, "ip_address": "10.1.0.1"}]));
        let overlapping = demo.subnet(&other, "10.1.0.0/25").await;
        for (body, status, kind) in [
            (json!({}), 400, "BadRequest"),
            (json!({"subnet_id": first, "port_id": interface}), 400, "BadRequest"),
            (json!({"subnet_id": first}), 400, "BadRequest"),
            (json!({"subnet_id": overlapping}), 400, "BadRequest"),
            (json!({"port_id": interface}), 409, "PortInUse"),
            (json!({"port_id": "4b0ba5cc-4b4f-4ed0-a04d-b6f20a5a2b5d"}), 404, "PortNotFound"),
        ] {
            let answer = connect(&demo, &router, body.clone()).await;
            assert_eq!((answer.status, answer.kind()), (status, kind), "{body}");
        }
        assert_eq!(demo.delete(&format!("/ports/{interface}")).await.kind(), "ServicePortInUse");
        assert_eq!(demo.delete(&format!("/routers/{router}")).await.kind(), "RouterInUse");
        let second = demo.subnet(&other, "10.2.0.0/24").await;
        let own = demo.port(&other, json!({"fixed_ips": [{"subnet_id": second}]})).await;
        assert_eq!(connect(&demo, &router, json!({"port_id": own["id"]})).await.status, 200);
        let remove = format!("/routers/{router}/remove_router_interface");
        let mismatch = json!({"port_id": own["id"], "subnet_id": first});
        assert_eq!(demo.put(&remove, &mismatch).await.kind(), "SubnetMismatchForPort");
        assert_eq!(demo.put(&remove, &json!({"port_id": own["id"]})).await.status, 200);
        assert_eq!(demo.put(&remove, &json!({"subnet_id": first})).await.status, 200);
        assert_eq!(demo.put(&remove, &json!({"subnet_id": first})).await.kind(), "RouterInterfaceNotFoundForSubnet");
        assert_eq!(demo.get(&format!("/ports/{interface}")).await.status, 404);
        assert_eq!(demo.delete(&format!("/routers/{router}")).await.status, 204);
    }

    async fn routes_lead_over_what_the_router_is_connected_with(cloud: Cloud) {
        let demo = cloud.demo().await;
        let router = id(&demo.make("/routers", "router", json!({})).await);
        let network = demo.network(json!({})).await;
        let subnet = demo.subnet(&network, "10.1.0.0/24").await;
        connect(&demo, &router, json!({"subnet_id": subnet})).await;
        let path = format!("/routers/{router}");
        let routes = |nexthop: &str| json!({"router": {"routes": [{"destination": "10.99.0.0/16", "nexthop": nexthop}]}});
        assert_eq!(demo.put(&path, &routes("10.8.0.5")).await.kind(), "InvalidRoutes");
        assert_eq!(demo.put(&path, &routes("10.1.0.1")).await.kind(), "InvalidRoutes");
        assert_eq!(demo.put(&path, &routes("10.1.0.5")).await.status, 200);
        let more = json!({"router": {"routes": [{"destination": "10.98.0.0/16", "nexthop": "10.1.0.6"}]}});
        let added = demo.put(&format!("{path}/add_extraroutes"), &more).await.body;
        assert_eq!(added["router"]["routes"].as_array().unwrap().len(), 2);
        let quota = format!("/quotas/{}", demo.project());
        assert_eq!(cloud.admin().await.put(&quota, &json!({"quota": {"router_route": 1}})).await.status, 200);
        let over = demo.put(&format!("{path}/add_extraroutes"), &more).await;
        assert_eq!((over.status, over.kind()), (409, "OverQuota"));
        assert_eq!(over.message(), "Quota exceeded for resources: ['router_route'].");
        // Where they lead is asked first.
        let astray = json!({"router": {"routes": [{"destination": "10.97.0.0/16", "nexthop": "10.8.0.5"}]}});
        assert_eq!(demo.put(&format!("{path}/add_extraroutes"), &astray).await.kind(), "InvalidRoutes");
        let left = demo.put(&format!("{path}/remove_extraroutes"), &more).await.body;
        assert_eq!(left["router"]["routes"].as_array().unwrap().len(), 1);
        let remove = demo.put(&format!("{path}/remove_router_interface"), &json!({"subnet_id": subnet})).await;
        assert_eq!((remove.status, remove.kind()), (409, "RouterInterfaceInUseByRoute"));
        let given = json!({"router": {"routes": []}});
        assert_eq!(demo.post("/routers", &given).await.message(), "Attribute 'routes' not allowed in POST");
    }

    async fn one_port_of_a_router_has_all_subnets_of_ipv6_of_a_network(cloud: Cloud) {
        let demo = cloud.demo().await;
        let router = id(&demo.make("/routers", "router", json!({})).await);
        let network = demo.network(json!({})).await;
        let [one, other] = [demo.subnet(&network, "fd00:1::/64").await, demo.subnet(&network, "fd00:2::/64").await];
        let first = connect(&demo, &router, json!({"subnet_id": one})).await.body;
        let second = connect(&demo, &router, json!({"subnet_id": other})).await.body;
        assert_eq!(first["port_id"], second["port_id"]);
        let remove = format!("/routers/{router}/remove_router_interface");
        assert_eq!(demo.put(&remove, &json!({"subnet_id": one})).await.status, 200);
        let port = demo.get(&format!("/ports/{}", second["port_id"].as_str().unwrap())).await.body;
        assert_eq!(texts(&port["port"]["fixed_ips"], "ip_address"), ["fd00:2::"]);
    }

    async fn a_topology_is_made_when_it_is_first_asked_for(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let path = format!("/auto-allocated-topology/{}", demo.project());
        let none = demo.get(&path).await;
        assert_eq!(
            (none.status, none.message()),
            (409, "Deployment error: No default router:external network.")
        );
        let outside = outside(&cloud).await;
        let default = json!({"network": {"is_default": true}});
        assert_eq!(admin.put(&format!("/networks/{outside}"), &default).await.status, 200);
        let pool = json!({"name": "p", "prefixes": ["10.0.0.0/16"], "default_prefixlen": 26, "is_default": true,
            "shared": true});
        admin.make("/subnetpools", "subnetpool", pool).await;
        let dry = demo.get(&format!("{path}?fields=dry-run")).await.body;
        assert_eq!(dry["auto_allocated_topology"]["id"], "dry-run=pass");
        let made = demo.get(&path).await.body;
        assert_eq!(demo.get(&path).await.body, made);
        let network = made["auto_allocated_topology"]["id"].as_str().unwrap();
        let port = demo.port(network, json!({})).await;
        assert_eq!(port["fixed_ips"].as_array().unwrap().len(), 1);
        assert_eq!(demo.delete(&format!("/ports/{}", id(&port))).await.status, 204);
        assert_eq!(demo.delete(&path).await.status, 204);
        assert_eq!(demo.get("/routers").await.body, json!({"routers": []}));
    }
}
