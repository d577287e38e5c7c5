//! Servers show what Networking has changed, once the request that has changed it is answered.

use std::{ops::Deref, sync::Arc};

use novella_common::{
    db::instances,
    ids::InstanceUuid,
    models::{NetworkInfo, RequestSpec, Vif},
};
use novella_neighbours::{NetworksHere, ServersHere};
use novella_network::{NetworkConfig, Networking};
use serde_json::json;

use crate::{
    suite::world::{World, address, id, ids},
    support::{Components, On},
};

/// Networking, with servers that follow it.
struct Watched(World);

impl Deref for Watched {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl Watched {
    async fn new(on: On) -> Self {
        let components = Components::watched(on, |database| {
            let networks = NetworksHere::new(Networking::new(database.clone(), NetworkConfig::default()));
            Some(Arc::new(ServersHere::new(database.clone(), Arc::new(networks))))
        });
        let components = components.await;
        let networks = Arc::new(NetworksHere::new(components.networking.clone()));
        Self(components.world(networks).await)
    }
}

/// A server with a port on each of these networks, and what it shows.
async fn server(world: &World, networks: &[&str]) -> (InstanceUuid, NetworkInfo) {
    let wanted = world.wanted("host-1", networks);
    let info = world.networks.allocate(&wanted).await.unwrap();
    let mut instance = novella_fakes::instance();
    instance.uuid = wanted.instance;
    instance.project_id = wanted.project_id;
    instance.network_info = info.clone();
    let connection = &mut *world.components().database.write().await.unwrap();
    instances::insert(connection, &[instance], &RequestSpec::default()).await.unwrap();
    (wanted.instance, info)
}

async fn shown(world: &World, instance: InstanceUuid) -> Vec<Vif> {
    let connection = &mut *world.components().database.read().await.unwrap();
    instances::get(connection, instance).await.unwrap().unwrap().network_info.0
}

novella_testing::on_both! {
    async fn a_network_that_is_renamed_is_renamed_in_all_its_servers(world: Watched) {
        let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
        let (other, _) = world.demo.network("other", "10.2.0.0/24").await;
        let (first, _) = server(&world, &[&network, &other]).await;
        let (second, _) = server(&world, &[&network]).await;
        world.demo.put(&format!("/networks/{network}"), json!({"network": {"name": "new"}})).await;
        let names = async |instance| {
            shown(&world, instance).await.into_iter().map(|vif| vif.network_name).collect::<Vec<_>>()
        };
        assert_eq!(names(first).await, ["new", "other"]);
        assert_eq!(names(second).await, ["new"]);
    }

    async fn a_port_that_gets_other_addresses_or_is_deleted_changes_its_server(world: Watched) {
        let (network, subnet) = world.demo.network("net", "10.1.0.0/24").await;
        let (instance, info) = server(&world, &[&network, &network]).await;
        let port = format!("/ports/{}", ids(&info)[0]);
        // Addresses are drawn at random.
        let drawn = |one: &String| info.0.iter().any(|vif| address(vif) == one);
        let other = (99..).map(|last| format!("10.1.0.{last}")).find(|one| !drawn(one)).unwrap();
        let fixed = json!([{"ip_address": other, "subnet_id": subnet}]);
        world.demo.put(&port, json!({"port": {"fixed_ips": fixed}})).await;
        assert_eq!(address(&shown(&world, instance).await[0]), other);
        world.admin.delete(&port).await;
        let left = shown(&world, instance).await;
        assert_eq!(left, info.0[1..]);
    }

    async fn a_port_that_is_given_to_a_server_or_taken_from_it_is_seen_at_once(world: Watched) {
        let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
        let (instance, _) = server(&world, &[&network]).await;
        let port = world.demo.make("/ports", "port", json!({"network_id": network})).await;
        let path = format!("/ports/{}", id(&port));
        let given = json!({"port": {"device_id": instance.to_string(), "device_owner": "compute:nova"}});
        world.admin.put(&path, given).await;
        assert_eq!(shown(&world, instance).await[1].port_id, id(&port));
        world.admin.put(&path, json!({"port": {"device_id": "", "device_owner": ""}})).await;
        assert_eq!(shown(&world, instance).await.len(), 1);
    }

    async fn a_floating_ip_is_shown_while_it_leads_to_a_port(world: Watched) {
        let (network, subnet) = world.demo.network("net", "10.1.0.0/24").await;
        let outside = json!({"name": "out", "router:external": true});
        let outside = id(&world.admin.make("/networks", "network", outside).await);
        let values = json!({"network_id": outside, "ip_version": 4, "cidr": "172.30.0.0/24"});
        world.admin.make("/subnets", "subnet", values).await;
        let gateway = json!({"external_gateway_info": {"network_id": outside}});
        let router = id(&world.demo.make("/routers", "router", gateway).await);
        let interface = json!({"subnet_id": subnet});
        world.demo.put(&format!("/routers/{router}/add_router_interface"), interface).await;
        let (first, first_info) = server(&world, &[&network]).await;
        let (second, second_info) = server(&world, &[&network]).await;
        let values = json!({"floating_network_id": outside, "port_id": ids(&first_info)[0]});
        let floating = world.demo.make("/floatingips", "floatingip", values).await;
        let outer = vec![floating["floating_ip_address"].as_str().unwrap().to_owned()];
        let of = async |instance| shown(&world, instance).await[0].fixed_ips[0].floating_ips.clone();
        assert_eq!((of(first).await, of(second).await), (outer.clone(), vec![]));
        let path = format!("/floatingips/{}", id(&floating));
        world.demo.put(&path, json!({"floatingip": {"port_id": ids(&second_info)[0]}})).await;
        assert_eq!((of(first).await, of(second).await), (vec![], outer.clone()));
        world.demo.put(&path, json!({"floatingip": {"port_id": null}})).await;
        assert_eq!(of(second).await, Vec::<String>::new());
        world.demo.put(&path, json!({"floatingip": {"port_id": ids(&first_info)[0]}})).await;
        assert_eq!(of(first).await, outer);
        world.demo.delete(&path).await;
        assert_eq!(of(first).await, Vec::<String>::new());
    }
}
