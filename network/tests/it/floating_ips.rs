//! `/floatingips` and their port forwardings.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    routers::{connect, outside, router},
    support::{Client, Cloud, id},
};

/// A port behind a router to the outside.
async fn inside(client: &Client, outside: &str) -> (String, String, Value) {
    let router = router(client, outside).await;
    let network = client.network(json!({})).await;
    let subnet = client.subnet(&network, "10.1.0.0/24").await;
    assert_eq!(connect(client, &router, json!({"subnet_id": subnet})).await.status, 200);
    let port = client.port(&network, json!({"name": "vm"})).await;
    (router, subnet, port)
}

on_both! {
    async fn a_floating_ip_leads_to_a_port_and_away_again(cloud: Cloud) {
        let outside = outside(&cloud).await;
        let demo = cloud.demo().await;
        let (router, subnet, port) = inside(&demo, &outside).await;
        let made = demo
            .make("/floatingips", "floatingip", json!({"floating_network_id": outside, "port_id": port["id"]}))
            .await;
        assert_eq!((&made["status"], &made["router_id"]), (&json!("ACTIVE"), &json!(router)));
        assert_eq!(made["fixed_ip_address"], port["fixed_ips"][0]["ip_address"]);
        assert_eq!(made["port_details"]["name"], "vm");
        let again = json!({"floatingip": {"floating_network_id": outside, "port_id": port["id"]}});
        assert_eq!(demo.post("/floatingips", &again).await.kind(), "FloatingIPPortAlreadyAssociated");
        // What it needs, stays.
        let router = format!("/routers/{router}");
        let clear = json!({"router": {"external_gateway_info": null}});
        assert_eq!(demo.put(&router, &clear).await.kind(), "RouterExternalGatewayInUseByFloatingIp");
        let remove = demo.put(&format!("{router}/remove_router_interface"), &json!({"subnet_id": subnet})).await;
        assert_eq!(remove.kind(), "RouterInterfaceInUseByFloatingIP");
        let path = format!("/floatingips/{}", id(&made));
        let kept = demo.put(&path, &json!({"floatingip": {"description": "d"}})).await.body;
        assert_eq!(kept["floatingip"]["port_id"], port["id"]);
        let off = demo.put(&path, &json!({"floatingip": {"port_id": null}})).await.body;
        assert_eq!((&off["floatingip"]["status"], &off["floatingip"]["router_id"]), (&json!("DOWN"), &Value::Null));
        let on = demo.put(&path, &json!({"floatingip": {"port_id": port["id"]}})).await.body;
        assert_eq!(on["floatingip"]["status"], "ACTIVE");
        // It does not go with its port.
        assert_eq!(demo.delete(&format!("/ports/{}", id(&port))).await.status, 204);
        assert_eq!(demo.get(&path).await.body["floatingip"]["port_id"], Value::Null);
        assert_eq!(demo.delete(&path).await.status, 204);
        assert_eq!(demo.get(&path).await.kind(), "FloatingIPNotFound");
    }

    async fn what_can_not_be_reached_has_no_floating_ip(cloud: Cloud) {
        let outside = outside(&cloud).await;
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let network = demo.network(json!({})).await;
        demo.subnet(&network, "10.5.0.0/24").await;
        let port = demo.port(&network, json!({})).await;
        for (values, status, kind) in [
            (json!({"port_id": port["id"]}), 404, "ExternalGatewayForFloatingIPNotFound"),
            (json!({"floating_network_id": network}), 400, "BadRequest"),
            (json!({"fixed_ip_address": "10.5.0.5"}), 400, "BadRequest"),
            (json!({"port_id": ""}), 400, "HTTPBadRequest"),
            (json!({"floating_ip_address": "203.0.113.99"}), 403, "PolicyNotAuthorized"),
        ] {
            let mut body = json!({"floating_network_id": outside});
            for (name, value) in values.as_object().unwrap() {
                body[name] = value.clone();
            }
            let answer = demo.post("/floatingips", &json!({"floatingip": body})).await;
            assert_eq!((answer.status, answer.kind()), (status, kind), "{values}: {}", answer.message());
        }
        // Nothing of what was refused has kept an address.
        let ports = admin.get("/ports?device_owner=network:floatingip").await.body;
        assert_eq!(ports, json!({"ports": []}));
        let named = json!({"floating_network_id": outside, "floating_ip_address": "203.0.113.99"});
        admin.make("/floatingips", "floatingip", named.clone()).await;
        let again = admin.post("/floatingips", &json!({"floatingip": named})).await;
        assert_eq!((again.status, again.kind()), (409, "IpAddressAlreadyAllocated"));
    }

    async fn a_floating_ip_leads_to_no_port_of_others(cloud: Cloud) {
        let outside = outside(&cloud).await;
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let (_, _, port) = inside(&demo, &outside).await;
        // On a network that it sees.
        let others = admin.port(port["network_id"].as_str().unwrap(), json!({})).await;
        let new = json!({"floatingip": {"floating_network_id": outside, "port_id": others["id"]}});
        let refused = demo.post("/floatingips", &new).await;
        assert_eq!((refused.status, refused.kind()), (400, "BadRequest"));
        let floating = demo.make("/floatingips", "floatingip", json!({"floating_network_id": outside})).await;
        let path = format!("/floatingips/{}", id(&floating));
        let bind = json!({"floatingip": {"port_id": others["id"]}});
        let refused = demo.put(&path, &bind).await;
        let text = format!(
            "Bad floatingip request: Cannot process floating IP association with Port {}, since that port is owned by \
             a different project.",
            id(&others)
        );
        assert_eq!((refused.status, refused.message()), (400, text.as_str()));
        assert_eq!(admin.put(&path, &bind).await.status, 200);
    }

    async fn of_floating_ips_that_want_one_port_one_gets_it(cloud: Cloud) {
        let outside = outside(&cloud).await;
        let demo = cloud.demo().await;
        let (_, _, port) = inside(&demo, &outside).await;
        let mut paths = Vec::new();
        for _ in 0..8 {
            let floating = demo.make("/floatingips", "floatingip", json!({"floating_network_id": outside})).await;
            paths.push(format!("/floatingips/{}", id(&floating)));
        }
        let body = json!({"floatingip": {"port_id": port["id"]}});
        let answers = join_all(paths.iter().map(|path| demo.put(path, &body))).await;
        let got = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(got, 1, "{answers:?}");
    }

    async fn a_floating_ip_that_forwards_nothing_more_is_down(cloud: Cloud) {
        let outside = outside(&cloud).await;
        let demo = cloud.demo().await;
        let (_, _, port) = inside(&demo, &outside).await;
        let network = port["network_id"].as_str().unwrap();
        let [one, other] = [demo.port(network, json!({})).await, demo.port(network, json!({})).await];
        let floating = demo.make("/floatingips", "floatingip", json!({"floating_network_id": outside})).await;
        let path = format!("/floatingips/{}", id(&floating));
        let all = format!("{path}/port_forwardings");
        let forwarding = |port: &Value, number: u16| {
            json!({"internal_port_id": port["id"], "protocol": "tcp", "internal_port": number, "external_port": number,
                "internal_ip_address": port["fixed_ips"][0]["ip_address"]})
        };
        demo.make(&all, "port_forwarding", forwarding(&one, 80)).await;
        demo.make(&all, "port_forwarding", forwarding(&other, 81)).await;
        assert_eq!(demo.delete(&format!("/ports/{}", id(&one))).await.status, 204);
        assert_eq!(demo.get(&path).await.body["floatingip"]["status"], "ACTIVE");
        assert_eq!(demo.delete(&format!("/ports/{}", id(&other))).await.status, 204);
        let left = demo.get(&path).await.body;
        let left = &left["floatingip"];
        assert_eq!((&left["status"], &left["router_id"]), (&json!("DOWN"), &Value::Null));
        assert_eq!(left["port_forwardings"], json!([]));
        // However many are deleted at once.
        let mut paths = Vec::new();
        for number in 80..84 {
            let made = demo.make(&all, "port_forwarding", forwarding(&port, number)).await;
            paths.push(format!("{all}/{}", id(&made)));
        }
        assert_eq!(demo.get(&path).await.body["floatingip"]["status"], "ACTIVE");
        let answers = join_all(paths.iter().map(|path| demo.delete(path))).await;
        assert!(answers.iter().all(|answer| answer.status == 204), "{answers:?}");
        let left = demo.get(&path).await.body;
        let left = &left["floatingip"];
        assert_eq!((&left["status"], &left["router_id"]), (&json!("DOWN"), &Value::Null));
    }

    async fn ports_of_one_floating_ip_lead_to_several_machines(cloud: Cloud) {
        let outside = outside(&cloud).await;
        let demo = cloud.demo().await;
        let (_, _, port) = inside(&demo, &outside).await;
        let floating = demo.make("/floatingips", "floatingip", json!({"floating_network_id": outside})).await;
        let path = format!("/floatingips/{}", id(&floating));
        let forwarding = json!({"internal_port_id": port["id"], "protocol": "tcp", "internal_port": 80,
            "external_port": 8080, "internal_ip_address": port["fixed_ips"][0]["ip_address"]});
        let all = format!("{path}/port_forwardings");
        let made = demo.make(&all, "port_forwarding", forwarding.clone()).await;
        assert_eq!(demo.post(&all, &json!({"port_forwarding": forwarding})).await.status, 400);
        assert_eq!(demo.get(&path).await.body["floatingip"]["port_forwardings"][0]["external_port"], 8080);
        let bind = json!({"floatingip": {"port_id": port["id"]}});
        assert_eq!(demo.put(&path, &bind).await.kind(), "FipInUseByPortForwarding");
        let one = format!("{all}/{}", id(&made));
        let changed = demo.put(&one, &json!({"port_forwarding": {"external_port": 8081}})).await.body;
        assert_eq!(changed["port_forwarding"]["external_port"], 8081);
        assert_eq!(demo.get(&one).await.body, changed);
        assert_eq!(demo.delete(&one).await.status, 204);
        assert_eq!(demo.get(&one).await.status, 404);
        assert_eq!(demo.put(&path, &bind).await.status, 200);
    }
}
