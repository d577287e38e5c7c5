//! What there is, and what may be had.

use novella_common::networks::{NetworkFilter, PortFilter};
use serde_json::json;

use super::world::{World, address, id, ids, kind};

pub async fn a_project_sees_its_networks_and_those_shared_with_it(world: World) {
    let (own, subnet) = world.demo.network("own", "10.1.0.0/24").await;
    let shared = id(&world.admin.make("/networks", "network", json!({"name": "all", "shared": true})).await);
    let outside = id(&world.admin.make("/networks", "network", json!({"name": "out", "router:external": true})).await);
    let hidden = id(&world.admin.make("/networks", "network", json!({"name": "hidden"})).await);
    let of_project = NetworkFilter::OfProject(world.demo.project().to_owned());
    let mut found = world.networks.networks(world.demo.caller(), of_project).await.unwrap();
    found.retain(|network| [&own, &shared, &outside, &hidden].contains(&&network.id));
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<_> = found.iter().map(|network| (network.name.as_str(), network.shared, network.external)).collect();
    assert_eq!(names, [("all", true, false), ("own", false, false)]);
    assert_eq!(found[1].subnets, [subnet]);
    assert_eq!(found[1].project_id, world.demo.project());
    assert!(found[1].admin_state_up && found[1].port_security_enabled);
    let asked = NetworkFilter::Ids(vec![own.clone(), outside.clone(), hidden.clone()]);
    let mut seen = world.networks.networks(world.demo.caller(), asked.clone()).await.unwrap();
    seen.sort_by(|one, other| one.name.cmp(&other.name));
    let seen: Vec<_> = seen.iter().map(|network| (network.name.as_str(), network.external)).collect();
    assert_eq!(seen, [("out", true), ("own", false)]);
    assert_eq!(world.networks.networks(world.admin.caller(), asked).await.unwrap().len(), 3);
    let all = world.networks.networks(world.demo.caller(), NetworkFilter::All).await.unwrap();
    assert!(all.iter().any(|network| network.id == outside) && !all.iter().any(|network| network.id == hidden));
    assert!(all.windows(2).all(|pair| pair[0].id < pair[1].id));
}

pub async fn ports_are_found_by_id_by_server_and_by_a_part_of_an_address(world: World) {
    let (network, _) = world.demo.network("net", "10.43.0.0/24").await;
    let wanted = world.wanted("host-1", &[&network]);
    let info = world.networks.allocate(&wanted).await.unwrap();
    let hidden = world.admin.network("hidden", "10.43.0.0/24").await.0;
    let of_others = world.admin.make("/ports", "port", json!({"network_id": hidden})).await;
    let by_id = PortFilter::Ids(vec![ids(&info)[0].to_owned(), id(&of_others)]);
    let by_server = PortFilter::Instances(vec![wanted.instance]);
    let by_part = PortFilter::AddressPart("10.43.0.".into());
    for filter in [by_id, by_server, by_part] {
        let found = world.networks.ports(world.demo.caller(), filter).await.unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        let port = &found[0];
        assert_eq!((port.id.as_str(), port.network_id.as_str()), (ids(&info)[0], network.as_str()));
        assert_eq!((port.device_id.clone(), port.device_owner.as_str()), (wanted.instance.to_string(), "compute:nova"));
        assert_eq!(port.fixed_ips, [(address(&info.0[0]).to_owned(), info.0[0].fixed_ips[0].subnet_id.clone())]);
        assert_eq!((port.mac_address.as_str(), port.status.as_str()), (info.0[0].mac_address.as_str(), "ACTIVE"));
        assert_eq!(port.security_groups.len(), 1);
    }
    let all = world.networks.ports(world.admin.caller(), PortFilter::AddressPart("10.43.0.".into())).await.unwrap();
    assert_eq!(all.len(), 2);
    let bound = all.iter().find(|port| port.device_id == wanted.instance.to_string()).unwrap();
    assert_eq!((bound.host.as_str(), bound.vif_type.as_str()), ("host-1", "ovs"));
}

pub async fn a_project_has_its_default_security_group_from_the_first_question_on(world: World) {
    let groups = world.networks.security_groups(world.demo.caller(), world.demo.project()).await.unwrap();
    let names: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.project_id.as_str())).collect();
    assert_eq!(names, [("default", world.demo.project())]);
    world.demo.make("/security-groups", "security_group", json!({"name": "web", "description": "d"})).await;
    let groups = world.networks.security_groups(world.demo.caller(), world.demo.project()).await.unwrap();
    assert_eq!(groups.len(), 2);
    assert!(groups.iter().any(|group| group.name == "web" && group.description == "d"));
}

pub async fn the_quota_says_how_many_ports_are_left(world: World) {
    let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
    let left = async || world.networks.ports_left(world.demo.caller(), world.demo.project()).await.unwrap();
    let quota = format!("/quotas/{}", world.demo.project());
    world.admin.put(&quota, json!({"quota": {"port": 5}})).await;
    assert_eq!(left().await, Some(5));
    world.networks.allocate(&world.wanted("host-1", &[&network, &network])).await.unwrap();
    assert_eq!(left().await, Some(3));
    world.admin.put(&quota, json!({"quota": {"port": 1, "force": true}})).await;
    assert_eq!(left().await, Some(0));
    world.admin.put(&quota, json!({"quota": {"port": -1}})).await;
    assert_eq!(left().await, None);
}

pub async fn a_topology_is_made_when_it_can_be(world: World) {
    let demo = world.demo.project();
    let check = world.networks.auto_allocate(world.demo.caller(), demo, true).await;
    assert_eq!(kind(check), "AutoAllocationFailure");
    let default = world.admin.get("/networks?router:external=true&is_default=true").await;
    if default["networks"] == json!([]) {
        let values = json!({"name": "out", "router:external": true, "is_default": true});
        let outside = id(&world.admin.make("/networks", "network", values).await);
        let values = json!({"network_id": outside, "ip_version": 4, "cidr": "172.30.0.0/24"});
        world.admin.make("/subnets", "subnet", values).await;
    }
    let values = json!({
        "name": "pool", "prefixes": ["10.50.0.0/16"], "default_prefixlen": 24, "is_default": true, "shared": true,
    });
    world.admin.make("/subnetpools", "subnetpool", values).await;
    assert_eq!(world.networks.auto_allocate(world.demo.caller(), demo, true).await, Ok(None));
    let made = world.networks.auto_allocate(world.demo.caller(), demo, false).await.unwrap();
    assert!(made.is_some());
    assert_eq!(world.networks.auto_allocate(world.demo.caller(), demo, false).await.unwrap(), made);
    let info = world.networks.allocate(&world.wanted("host-1", &[made.as_deref().unwrap()])).await.unwrap();
    assert!(address(&info.0[0]).starts_with("10.50."));
}
