//! The ports of a server: attached and detached while it runs; security groups and addresses that are given to it.

use novella_common::{
    db::instances::ports,
    ids::InstanceUuid,
    models::{NetworkInfo, Vif},
};
use serde_json::{Value, json};

use crate::support::{Client, Cloud};

const SERVERS: &str = "/compute/v2.1/servers";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

fn interfaces(uuid: InstanceUuid) -> String {
    format!("{SERVERS}/{uuid}/os-interface")
}

/// A server with what was asked for of networks, on a host that is up and takes every message.
async fn running(cloud: &Cloud, client: &Client<'_>, networks: &Value) -> InstanceUuid {
    cloud.write_host("host-1", "nova").await;
    let uuid = cloud.new_server_with(client, "s", networks).await;
    cloud.allocate(uuid, "host-1").await;
    cloud.place(uuid, "host-1", "active", 1).await;
    uuid
}

async fn attach(client: &Client<'_>, uuid: InstanceUuid, interface: Value) -> Value {
    let answer = client.post(&interfaces(uuid), &json!({"interfaceAttachment": interface})).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.body["interfaceAttachment"].clone()
}

/// The names of the events of the last action, with what they came to.
async fn last_action(client: &Client<'_>, uuid: InstanceUuid) -> (String, Vec<(String, String)>) {
    let all = client.get(&format!("{SERVERS}/{uuid}/os-instance-actions")).await.body["instanceActions"].clone();
    let (action, request) = (&all[0]["action"], &all[0]["request_id"]);
    let path = format!("{SERVERS}/{uuid}/os-instance-actions/{}", request.as_str().unwrap());
    let events = client.get(&path).await.body["instanceAction"]["events"].clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(action),
        events.as_array().unwrap().iter().map(|event| (text(&event["event"]), text(&event["result"]))).collect(),
    )
}

on_both! {
    async fn ports_are_attached_shown_and_detached(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (net, subnet) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let uuid = running(&cloud, &demo, &json!([{"uuid": net, "fixed_ip": "10.1.0.9"}])).await;
        cloud.record("compute", Some("host-1"), Value::Null).await;
        let first = demo.get(&interfaces(uuid)).await.body["interfaceAttachments"].clone();
        assert_eq!((first.as_array().unwrap().len(), first[0].get("tag")), (1, None));

        let made = attach(&demo.at("2.70"), uuid, json!({"net_id": net, "fixed_ips": [{"ip_address": "10.1.0.77"}], "tag": "nic"})).await;
        assert_eq!(made["fixed_ips"], json!([{"subnet_id": subnet, "ip_address": "10.1.0.77"}]));
        assert_eq!((&made["net_id"], &made["tag"]), (&json!(net), &json!("nic")));
        let own = demo.port(&net).await;
        assert_eq!(attach(&demo, uuid, json!({"port_id": own})).await["port_id"], json!(own));
        let any = demo.post(&interfaces(uuid), &json!({})).await;
        assert_eq!((any.status, &any.body["interfaceAttachment"]["net_id"]), (200, &json!(net)));

        // The host was told each, as Networking has it.
        let plugged = cloud.casts(3).await;
        let plugged: Vec<_> = plugged.iter().filter(|cast| cast.method == "attach_interface").collect();
        assert_eq!((plugged.len(), &plugged[0].arguments["vif"]["fixed_ips"][0]["address"]), (3, &json!("10.1.0.77")));
        let port = demo.shown_port(&own).await;
        assert_eq!((&port["device_id"], &port["device_owner"]), (&json!(uuid), &json!("compute:nova")));
        assert_eq!(admin.shown_port(&own).await["binding:host_id"], "host-1");
        let server = demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"].clone();
        assert_eq!(server["addresses"]["net"].as_array().unwrap().len(), 4);
        let listed = demo.at("2.70").get(&interfaces(uuid)).await.body["interfaceAttachments"].clone();
        let tags: Vec<_> = listed.as_array().unwrap().iter().filter_map(|interface| interface["tag"].as_str()).collect();
        assert_eq!((listed.as_array().unwrap().len(), tags), (4, vec!["nic"]));
        assert_eq!(last_action(&admin, uuid).await, ("attach_interface".into(), vec![("compute_attach_interface".into(), "Success".into())]));

        for (port, stays) in [(made["port_id"].as_str().unwrap(), false), (&own, true)] {
            assert_eq!(demo.delete(&format!("{}/{port}", interfaces(uuid))).await.status, 202);
            assert_eq!(demo.shown_port(port).await["device_id"].as_str(), stays.then_some(""));
            let gone = demo.get(&format!("{}/{port}", interfaces(uuid))).await;
            assert_eq!(gone.status, 404);
        }
        assert_eq!(cloud.instance(uuid).await.unwrap().network_info.0.len(), 2);
        assert_eq!(last_action(&admin, uuid).await, ("detach_interface".into(), vec![("compute_detach_interface".into(), "Success".into())]));
        // What was brought after the server was made is kept, too, when it is deleted.
        attach(&demo, uuid, json!({"port_id": own})).await;
        cloud.force_down("host-1").await;
        assert_eq!(demo.delete(&format!("{SERVERS}/{uuid}")).await.status, 204);
        assert_eq!(demo.shown_port(&own).await["device_id"], "");
        assert_eq!(demo.get("/networking/v2.0/ports").await.body["ports"].as_array().unwrap().len(), 1);
    }

    async fn what_can_not_be_attached_is_refused_as_by_nova_and_leaves_nothing(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/30").await;
        let (out, _) = admin.network(json!({"name": "out", "router:external": true}), "192.0.2.0/24").await;
        let bare = demo.make("networks", "network", json!({"name": "bare"})).await;
        let uuid = running(&cloud, &demo, &json!([{"uuid": net}])).await;
        cloud.record("compute", Some("host-1"), Value::Null).await;
        let used = cloud.instance(uuid).await.unwrap().network_info.0[0].port_id.clone();
        let address = cloud.instance(uuid).await.unwrap().network_info.first_address().unwrap().to_owned();
        let ip = |network: &str, address: &str| json!({"net_id": network, "fixed_ips": [{"ip_address": address}]});
        for (status, version, interface, said) in [
            (400, "2.1", json!({"net_id": net, "port_id": used}), "Must not input both network_id and port_id".to_owned()),
            (400, "2.1", json!({"fixed_ips": [{"ip_address": "10.1.0.3"}]}), "Must input network_id when request IP address".into()),
            (400, "2.1", json!({"net_id": net, "fixed_ips": []}), "Invalid input for field/attribute interfaceAttachment.fixed_ips".into()),
            (400, "2.1", json!({"net_id": "net"}), "Invalid input for field/attribute interfaceAttachment.net_id".into()),
            (400, "2.1", json!({"net_id": null}), "Invalid input for field/attribute interfaceAttachment.net_id".into()),
            (400, "2.48", json!({"net_id": net, "tag": "nic"}), "Additional properties are not allowed ('tag' was unexpected)".into()),
            (400, "2.49", json!({"net_id": net, "tag": "a/b"}), "Invalid input for field/attribute interfaceAttachment.tag".into()),
            (404, "2.1", json!({"net_id": UNKNOWN}), format!("Network {UNKNOWN} could not be found.")),
            (404, "2.1", json!({"port_id": UNKNOWN}), format!("Port id {UNKNOWN} could not be found.")),
            (409, "2.1", json!({"port_id": used}), format!("Port {used} is still in use.")),
            (403, "2.1", json!({"net_id": out}), format!("It is not allowed to create an interface on external network {out}")),
            (400, "2.1", json!({"net_id": bare}), "Network requires port_security_enabled and subnet associated in order".into()),
            (400, "2.1", json!({}), "Multiple possible networks found, use a Network ID to be more specific.".into()),
            (409, "2.1", ip(&net, &address), format!("Fixed IP {address} is already in use.")),
            (400, "2.1", ip(&net, "10.9.0.1"), format!("Invalid input received: Fixed IP 10.9.0.1 is not a valid ip address for network {net}.")),
            (400, "2.1", json!({"net_id": net}), format!("No fixed IP addresses available for network: {net}")),
        ] {
            let answer = demo.at(version).post(&interfaces(uuid), &json!({"interfaceAttachment": interface})).await;
            assert!(answer.status == status && answer.message().contains(&said), "{interface}: {:?}", answer.body);
        }
        for (port, said) in [(UNKNOWN, format!("Port {UNKNOWN} is not attached")), ("x", "Port x is not attached".into())] {
            let refused = demo.delete(&format!("{}/{port}", interfaces(uuid))).await;
            assert_eq!((refused.status, refused.message()), (404, said.as_str()));
        }
        assert_eq!(demo.get(&interfaces(uuid)).await.body["interfaceAttachments"].as_array().unwrap().len(), 1);
        assert_eq!(cloud.instance(uuid).await.unwrap().network_info.0.len(), 1);
        assert!(!cloud.taken.lock().unwrap().iter().any(|cast| cast.to == "compute.host-1"));
        let project = cloud.instance(uuid).await.unwrap().project_id;
        let quota = admin.put(&format!("/networking/v2.0/quotas/{project}"), &json!({"quota": {"port": 1}})).await;
        assert_eq!(quota.status, 200, "{:?}", quota.body);
        let (wide, _) = demo.network(json!({"name": "wide"}), "10.2.0.0/24").await;
        let over = demo.post(&interfaces(uuid), &json!({"interfaceAttachment": {"net_id": wide}})).await;
        assert_eq!((over.status, over.message()), (403, "Maximum number of ports exceeded"));

        for (state, said) in [("suspended", "vm_state suspended"), ("error", "vm_state error")] {
            cloud.place(uuid, "host-1", state, 1).await;
            for verb in ["attach_interface", "detach_interface"] {
                let refused = match verb {
                    "attach_interface" => demo.post(&interfaces(uuid), &json!({})).await,
                    _ => demo.delete(&format!("{}/{used}", interfaces(uuid))).await,
                };
                let said = format!("Cannot '{verb}' instance {uuid} while it is in {said}");
                assert_eq!((refused.status, refused.message()), (409, said.as_str()));
            }
        }
        cloud.place(uuid, "host-1", "stopped", 4).await;
        assert_eq!(demo.action(uuid, &json!({"lock": null})).await.status, 202);
        let locked = demo.delete(&format!("{}/{used}", interfaces(uuid))).await;
        assert_eq!((locked.status, locked.message()), (409, format!("Instance {uuid} is locked").as_str()));
        assert_eq!(demo.action(uuid, &json!({"unlock": null})).await.status, 202);
        assert_eq!(demo.delete(&format!("{}/{used}", interfaces(uuid))).await.status, 202);
    }

    async fn a_port_that_was_brought_is_kept_wherever_an_attach_breaks_off(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        for taken in [false, true] {
            let uuid = cloud.new_server_with(&demo.at("2.37"), "s", &json!("none")).await;
            let own = demo.port(&net).await;
            // As the API leaves it: the row first, and then Networking.
            let noted = Vif { port_id: own.clone(), network_id: net.clone(), preserve_on_delete: true, ..Vif::default() };
            let mut connection = cloud.database.write().await.unwrap();
            assert!(ports::swap(&mut connection, uuid, &NetworkInfo::default(), &NetworkInfo(vec![noted])).await.unwrap());
            drop(connection);
            assert_eq!(demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"]["addresses"], json!({}));
            if taken {
                cloud.add_port(uuid, "host-1", &net, &own).await;
                assert_eq!(demo.shown_port(&own).await["device_id"], json!(uuid));
            }
            assert_eq!(demo.delete(&format!("{SERVERS}/{uuid}")).await.status, 204);
            assert_eq!(demo.shown_port(&own).await["device_id"], "", "{taken}");
        }
    }

    async fn what_a_host_does_not_plug_is_undone(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let uuid = running(&cloud, &demo, &json!([{"uuid": net}])).await;
        // It answers what no host does.
        cloud.record("compute", Some("host-1"), json!("no")).await;
        let own = demo.port(&net).await;
        for interface in [json!({"port_id": own}), json!({"net_id": net})] {
            let refused = demo.post(&interfaces(uuid), &json!({"interfaceAttachment": interface})).await;
            assert_eq!((refused.status, refused.message()), (503, format!("Failed to attach network adapter device to {uuid}").as_str()));
            assert_eq!(last_action(&admin, uuid).await, ("attach_interface".into(), vec![("compute_attach_interface".into(), "Error".into())]));
        }
        let first = cloud.instance(uuid).await.unwrap().network_info;
        let port = first.0[0].port_id.clone();
        assert_eq!((first.0.len(), &demo.shown_port(&own).await["device_id"]), (1, &json!("")));
        assert_eq!(demo.get("/networking/v2.0/ports").await.body["ports"].as_array().unwrap().len(), 2);
        let kept = demo.delete(&format!("{}/{port}", interfaces(uuid))).await;
        assert_eq!((kept.status, kept.message()), (503, format!("Failed to detach network adapter device from {uuid}").as_str()));
        assert_eq!(demo.shown_port(&port).await["device_id"], json!(uuid));
        cloud.force_down("host-1").await;
        assert_eq!(demo.post(&interfaces(uuid), &json!({})).await.status, 503);
        assert_eq!(demo.get("/networking/v2.0/ports").await.body["ports"].as_array().unwrap().len(), 2);
    }

    async fn security_groups_are_put_on_all_ports_of_a_server_and_taken_off(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (net, _) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let uuid = running(&cloud, &demo, &json!([{"uuid": net}, {"uuid": net}])).await;
        let web = demo.make("security-groups", "security_group", json!({"name": "web", "description": "d"})).await;
        let rule = json!({"security_group_id": web, "direction": "ingress", "protocol": "tcp", "port_range_min": 80,
            "port_range_max": 80, "remote_group_id": web});
        let rule = demo.make("security-group-rules", "security_group_rule", rule).await;
        for _ in 0..2 {
            demo.make("security-groups", "security_group", json!({"name": "twin"})).await;
        }
        let change = async |key: &str, name: &str| demo.action(uuid, &json!({ key: {"name": name} })).await;
        assert_eq!((change("addSecurityGroup", "web").await.status, change("addSecurityGroup", &web).await.status), (202, 202));
        let server = demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"].clone();
        assert_eq!(server["security_groups"].as_array().unwrap().len(), 4);
        let groups = demo.get(&format!("{SERVERS}/{uuid}/os-security-groups")).await.body["security_groups"].clone();
        let project = &server["tenant_id"];
        assert_eq!(groups[2], json!({"id": web, "name": "web", "description": "d", "tenant_id": project, "rules": [{
            "id": rule, "parent_group_id": web, "ip_protocol": "tcp", "from_port": 80, "to_port": 80,
            "group": {"name": "web", "tenant_id": project}, "ip_range": {}}]}));
        assert_eq!((groups.as_array().unwrap().len(), &groups[0]["name"]), (4, &json!("default")));
        for (status, key, name, said) in [
            (404, "addSecurityGroup", "none", format!("Security group none is not found for project {}", project.as_str().unwrap())),
            (409, "addSecurityGroup", "twin", "Multiple security_group matches found for name 'twin', use an ID to be more specific.".into()),
            (409, "removeSecurityGroup", "twin", "Multiple security_group matches found for name 'twin', use an ID to be more specific.".into()),
        ] {
            let refused = change(key, name).await;
            assert_eq!((refused.status, refused.message()), (status, said.as_str()));
        }
        assert_eq!(change("removeSecurityGroup", "web").await.status, 202);
        let gone = change("removeSecurityGroup", "web").await;
        assert_eq!((gone.status, gone.message()), (404, format!("Security group web not associated with the instance {uuid}").as_str()));
        let alone = cloud.new_server_with(&demo.at("2.37"), "alone", &json!("none")).await;
        let no_port = demo.action(alone, &json!({"addSecurityGroup": {"name": "web"}})).await;
        assert_eq!((no_port.status, no_port.message()),
            (404, format!("instance_id {alone} could not be found as device id on any ports").as_str()));
        assert_eq!(demo.get(&format!("{SERVERS}/{alone}/os-security-groups")).await.body, json!({"security_groups": []}));
        let open = demo.put(&format!("/networking/v2.0/ports/{}", cloud.instance(uuid).await.unwrap().network_info.0[0].port_id),
            &json!({"port": {"security_groups": [], "port_security_enabled": false}})).await;
        assert_eq!(open.status, 200, "{:?}", open.body);
        let refused = change("addSecurityGroup", "web").await;
        assert!(refused.status == 400 && refused.message().starts_with("Network requires port_security_enabled"));
    }

    async fn addresses_are_given_to_servers_and_taken_by_actions_until_2_43(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (net, subnet) = demo.network(json!({"name": "net"}), "10.1.0.0/24").await;
        let (out, _) = admin.network(json!({"name": "out", "router:external": true}), "192.0.2.0/24").await;
        let router = demo.make("routers", "router", json!({"external_gateway_info": {"network_id": out}})).await;
        let added = demo.put(&format!("/networking/v2.0/routers/{router}/add_router_interface"), &json!({"subnet_id": subnet})).await;
        assert_eq!(added.status, 200, "{:?}", added.body);
        let uuid = running(&cloud, &demo, &json!([{"uuid": net, "fixed_ip": "10.1.0.9"}])).await;
        let other = cloud.new_server_with(&demo, "other", &json!([{"uuid": net}])).await;
        cloud.allocate(other, "host-1").await;
        cloud.place(other, "host-1", "active", 1).await;
        let addresses = async |uuid: InstanceUuid| {
            let shown = demo.get(&format!("{SERVERS}/{uuid}/ips")).await.body["addresses"]["net"].clone();
            shown.as_array().unwrap().iter().map(|address| address["addr"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let act = async |uuid: InstanceUuid, key: &str, body: Value| demo.at("2.43").action(uuid, &json!({ key: body })).await;

        let floating = demo.post("/networking/v2.0/floatingips", &json!({"floatingip": {"floating_network_id": out}})).await;
        let floating = floating.body["floatingip"]["floating_ip_address"].as_str().unwrap().to_owned();
        let added = act(uuid, "addFloatingIp", json!({"address": floating})).await;
        assert_eq!((added.status, addresses(uuid).await), (202, vec!["10.1.0.9".into(), floating.clone()]));
        // To another: the one that had it does not show it any more.
        assert_eq!(act(other, "addFloatingIp", json!({"address": floating})).await.status, 202);
        assert_eq!((addresses(uuid).await.len(), addresses(other).await.len()), (1, 2));
        let not_its = act(uuid, "removeFloatingIp", json!({"address": floating})).await;
        assert_eq!((not_its.status, not_its.message()),
            (409, format!("Floating IP {floating} is not associated with instance {uuid}.").as_str()));
        assert_eq!((act(other, "removeFloatingIp", json!({"address": floating})).await.status, addresses(other).await.len()), (202, 1));
        for (status, key, body, said) in [
            (404, "addFloatingIp", json!({"address": "203.0.113.9"}), "floating IP not found".to_owned()),
            (404, "removeFloatingIp", json!({"address": "203.0.113.9"}), "Floating IP not found for address 203.0.113.9.".into()),
            (400, "addFloatingIp", json!({"address": floating, "fixed_address": "10.1.0.250"}),
                "Specified fixed address not assigned to instance".into()),
            (400, "removeFixedIp", json!({"address": "10.1.0.250"}), format!("Instance {uuid} does not have fixed IP '10.1.0.250'.")),
            (404, "addFixedIp", json!({"networkId": UNKNOWN}), format!("Network could not be found for instance {uuid}.")),
        ] {
            let refused = act(uuid, key, body).await;
            assert_eq!((refused.status, refused.message()), (status, said.as_str()), "{key}");
        }
        assert_eq!((act(uuid, "addFixedIp", json!({"networkId": net})).await.status, addresses(uuid).await.len()), (202, 2));
        // All fixed ones come before all floating ones.
        let first = addresses(uuid).await[0].clone();
        let added = act(uuid, "addFloatingIp", json!({"address": floating, "fixed_address": first})).await;
        assert_eq!((added.status, addresses(uuid).await.get(2)), (202, Some(&floating)));
        assert_eq!(act(uuid, "removeFloatingIp", json!({"address": floating})).await.status, 202);
        assert_eq!(act(uuid, "removeFixedIp", json!({"address": "10.1.0.9"})).await.status, 202);
        let left = addresses(uuid).await;
        assert!(left.len() == 1 && left[0] != "10.1.0.9", "{left:?}");
        assert_eq!(demo.at("2.44").action(uuid, &json!({"addFixedIp": {"networkId": net}})).await.status, 404);
    }
}
