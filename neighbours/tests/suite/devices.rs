//! Ports of servers that are there.

use futures_util::future::join_all;
use novella_common::{
    ids::InstanceUuid,
    models::NetworkInfo,
    networks::{Binding, PortsWanted},
};
use serde_json::{Value, json};

use super::world::{World, address, brought, id, ids, kind, on, sorted};

pub async fn one_port_more_leaves_the_others_as_they_are(world: World) {
    let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
    let wanted = world.wanted("host-1", &[&network]);
    let first = world.networks.allocate(&wanted).await.unwrap();
    let more = world.networks.add(&wanted, &on(&network)).await.unwrap();
    assert_eq!(more.0.len(), 1);
    assert_ne!(ids(&more), ids(&first));
    let port = world.demo.make("/ports", "port", json!({"network_id": network})).await;
    let taken = world.networks.add(&wanted, &brought(&port)).await.unwrap();
    assert_eq!(ids(&taken), [id(&port)]);
    let described = world.described(wanted.instance).await;
    let all: Vec<_> = first.0.into_iter().chain(more.0).chain(taken.0).collect();
    assert_eq!(sorted(&described), sorted(&NetworkInfo(all)));
    let ports = world.admin.ports_of(wanted.instance).await;
    assert!(ports.iter().all(|port| port["binding:host_id"] == "host-1"), "{ports:?}");
}

pub async fn a_port_is_given_back_alone_and_only_by_the_server_that_has_it(world: World) {
    let (network, _) = world.demo.network("net", "10.1.0.0/28").await;
    let wanted = world.wanted("host-1", &[&network, &network, &network]);
    let info = world.networks.allocate(&wanted).await.unwrap();
    let [first, second, third] = <[&str; 3]>::try_from(ids(&info)).unwrap();
    let other = world.wanted("host-1", &[]).instance;
    world.networks.remove(other, first, false).await.unwrap();
    assert_eq!(world.admin.ports_of(wanted.instance).await.len(), 3);
    world.networks.remove(wanted.instance, first, false).await.unwrap();
    world.networks.remove(wanted.instance, first, false).await.unwrap();
    world.networks.remove(wanted.instance, second, true).await.unwrap();
    let left = world.admin.ports_of(wanted.instance).await;
    assert_eq!(left.iter().map(id).collect::<Vec<_>>(), [third]);
    assert_eq!(world.admin.client.get(&format!("/ports/{first}")).await.status, 404);
    let kept = world.admin.get(&format!("/ports/{second}")).await["port"].clone();
    assert_eq!((&kept["device_id"], &kept["device_owner"], &kept["status"]), (&json!(""), &json!(""), &json!("DOWN")));
    world.demo.delete(&format!("/ports/{second}")).await;
    world.networks.deallocate(&[(wanted.instance, Vec::new())]).await.unwrap();
    world.assert_free(&network, 13).await;
}

pub async fn many_servers_give_their_ports_back_at_once(world: World) {
    let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
    let wanted: Vec<PortsWanted> = (0..40).map(|_| world.wanted("host-1", &[&network, &network])).collect();
    for info in join_all(wanted.iter().map(|wanted| world.networks.allocate(wanted))).await {
        assert_eq!(info.unwrap().0.len(), 2);
    }
    let (together, alone) = wanted.split_at(20);
    let together: Vec<(InstanceUuid, Vec<String>)> =
        together.iter().map(|wanted| (wanted.instance, Vec::new())).collect();
    let alone: Vec<_> = alone.iter().map(|wanted| [(wanted.instance, Vec::new())]).collect();
    let (first, others) = tokio::join!(
        world.networks.deallocate(&together),
        join_all(alone.iter().map(|one| world.networks.deallocate(one)))
    );
    first.unwrap();
    others.into_iter().for_each(|result| result.unwrap());
    let left = world.admin.get(&format!("/ports?network_id={network}")).await;
    assert_eq!(left["ports"], json!([]));
    // Without any port nothing is to be done.
    world.networks.deallocate(&together).await.unwrap();
}

/// The host that a port is on, and those that have it otherwise.
async fn hosts(world: &World, port: &str) -> (String, Vec<String>) {
    let shown = world.admin.get(&format!("/ports/{port}")).await["port"].clone();
    let bindings = world.admin.get(&format!("/ports/{port}/bindings")).await;
    let host = |binding: &Value| binding["host"].as_str().unwrap().to_owned();
    let of = |status: &str| {
        let all = bindings["bindings"].as_array().unwrap().iter();
        let mut hosts: Vec<String> = all.filter(|binding| binding["status"] == status).map(host).collect();
        hosts.sort_unstable();
        hosts
    };
    assert_eq!(of("ACTIVE"), [shown["binding:host_id"].as_str().unwrap()]);
    (of("ACTIVE").remove(0), of("INACTIVE"))
}

pub async fn a_move_adds_a_binding_activates_it_and_removes_the_other(world: World) {
    let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
    let wanted = world.wanted("a", &[&network, &network]);
    let info = world.networks.allocate(&wanted).await.unwrap();
    let steps = [
        (Binding::Add("b"), ("a", vec!["b"])),
        (Binding::Activate("b"), ("b", vec!["a"])),
        (Binding::Remove("a"), ("b", vec![])),
        // The last one is not removed.
        (Binding::Remove("b"), ("b", vec![])),
        // What was not added is bound all the same.
        (Binding::Activate("c"), ("c", vec!["b"])),
        (Binding::Only("d"), ("d", vec![])),
    ];
    for (binding, (active, inactive)) in steps {
        for _ in 0..2 {
            world.networks.bind(wanted.instance, binding).await.unwrap();
            for port in ids(&info) {
                assert_eq!(
                    hosts(&world, port).await,
                    (active.into(), inactive.iter().map(ToString::to_string).collect())
                );
            }
        }
    }
    assert!(world.admin.ports_of(wanted.instance).await.iter().all(|port| port["status"] == "ACTIVE"));
    // Nor is there anything to do for a server without ports.
    world.networks.bind(world.wanted("a", &[]).instance, Binding::Only("b")).await.unwrap();
}

pub async fn a_move_that_fails_leaves_the_ports_where_they_were(world: World) {
    let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
    let wanted = world.wanted("a", &[&network]);
    let info = world.networks.allocate(&wanted).await.unwrap();
    world.networks.bind(wanted.instance, Binding::Add("b")).await.unwrap();
    world.networks.bind(wanted.instance, Binding::Remove("b")).await.unwrap();
    assert_eq!(hosts(&world, ids(&info)[0]).await, ("a".into(), vec![]));
    // A build that begins anew on another host takes what was being moved along.
    world.networks.bind(wanted.instance, Binding::Add("b")).await.unwrap();
    world.networks.allocate(&PortsWanted { host: "c".into(), ..wanted }).await.unwrap();
    assert_eq!(hosts(&world, ids(&info)[0]).await, ("c".into(), vec![]));
}

pub async fn what_servers_have_is_described_with_names_and_floating_ips(world: World) {
    let (network, subnet) = world.demo.network("inside", "10.1.0.0/24").await;
    let outside = id(&world.admin.make("/networks", "network", json!({"name": "out", "router:external": true})).await);
    let values = json!({"network_id": outside, "ip_version": 4, "cidr": "172.30.0.0/24"});
    world.admin.make("/subnets", "subnet", values).await;
    let gateway = json!({"name": "r", "external_gateway_info": {"network_id": outside}});
    let router = id(&world.demo.make("/routers", "router", gateway).await);
    world.demo.put(&format!("/routers/{router}/add_router_interface"), json!({"subnet_id": subnet})).await;
    let (first, second) = (world.wanted("host-1", &[&network, &network]), world.wanted("host-1", &[&network]));
    let info = world.networks.allocate(&first).await.unwrap();
    world.networks.allocate(&second).await.unwrap();
    let values = json!({"floating_network_id": outside, "port_id": ids(&info)[1]});
    let floating = world.demo.make("/floatingips", "floatingip", values).await;
    world.demo.put(&format!("/networks/{network}"), json!({"network": {"name": "renamed"}})).await;
    let nobody = world.wanted("host-1", &[]).instance;
    let asked = [second.instance, nobody, first.instance].map(|instance| (instance, world.demo.project().to_owned()));
    let described = world.networks.describe(&asked).await.unwrap();
    let order: Vec<_> = described.iter().map(|(instance, info)| (*instance, info.0.len())).collect();
    assert_eq!(order, [(second.instance, 1), (nobody, 0), (first.instance, 2)]);
    let now = &described[2].1;
    assert_eq!(ids(&sorted(now)), ids(&sorted(&info)));
    assert!(now.0.iter().all(|vif| vif.network_name == "renamed"));
    let [plain, reached] = [0, 1].map(|index| now.port(ids(&info)[index]).unwrap());
    assert_eq!(address(reached), address(&info.0[1]));
    assert!(plain.fixed_ips[0].floating_ips.is_empty());
    assert_eq!(reached.fixed_ips[0].floating_ips, [floating["floating_ip_address"].as_str().unwrap()]);
}

pub async fn a_port_of_another_project_is_no_servers_whatever_its_owner_says(world: World) {
    let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
    let wanted = world.wanted("host-1", &[&network]);
    let (foreign, _) = world.admin.network("other", "10.2.0.0/24").await;
    let values =
        json!({"network_id": foreign, "device_id": wanted.instance.to_string(), "device_owner": "compute:nova"});
    let port = id(&world.admin.make("/ports", "port", values).await);
    // Neither when the server gets what it asks for, nor when it is looked at.
    let info = world.networks.allocate(&wanted).await.unwrap();
    assert_eq!(info.0.len(), 1);
    assert!(!ids(&info).contains(&port.as_str()));
    assert_eq!(world.described(wanted.instance).await, info);
    assert_eq!(world.networks.allocate(&wanted).await.unwrap(), info);
    assert_ne!(world.admin.get(&format!("/ports/{port}")).await["port"]["binding:host_id"], "host-1");
}

pub async fn security_groups_of_all_ports_of_a_server_change(world: World) {
    let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
    let insecure = json!({"name": "open", "port_security_enabled": false});
    let open = id(&world.demo.make("/networks", "network", insecure).await);
    let values = json!({"network_id": open, "ip_version": 4, "cidr": "10.2.0.0/24"});
    world.demo.make("/subnets", "subnet", values).await;
    let web = id(&world.demo.make("/security-groups", "security_group", json!({"name": "web"})).await);
    let ssh = id(&world.demo.make("/security-groups", "security_group", json!({"name": "ssh"})).await);
    let mut wanted = world.wanted("host-1", &[&network, &network, &open]);
    wanted.requested.security_groups = vec![web.clone()];
    world.networks.allocate(&wanted).await.unwrap();
    let groups = async || {
        let ports = world.admin.ports_of(wanted.instance).await;
        let of = |network: &str| {
            let ports = ports.iter().filter(|port| port["network_id"] == network);
            ports.map(|port| port["security_groups"].clone()).collect::<Vec<_>>()
        };
        (of(&network), of(&open))
    };
    assert_eq!(groups().await, (vec![json!([web]), json!([web])], vec![json!([])]));
    let (add, remove) = ([ssh.clone()], [web.clone()]);
    for _ in 0..2 {
        let change = world.networks.change_security_groups(world.demo.caller(), wanted.instance, &add, &remove);
        change.await.unwrap();
        assert_eq!(groups().await, (vec![json!([ssh]), json!([ssh])], vec![json!([])]));
    }
    let missing = ["00000000-0000-4000-8000-000000000000".to_owned()];
    let change = world.networks.change_security_groups(world.demo.caller(), wanted.instance, &missing, &[]);
    assert_eq!(kind(change.await), "SecurityGroupNotFound");
}
