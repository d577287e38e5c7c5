//! Ports for servers.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;
use novella_common::networks::NetworkError;
use serde_json::json;

use super::world::{World, address, at, brought, id, ids, kind, on, sorted};

pub async fn a_server_gets_ports_in_the_order_asked_for_bound_to_its_host_and_active(world: World) {
    let (one, subnet) = world.demo.network("one", "10.1.0.0/24").await;
    let (other, _) = world.demo.network("other", "10.2.0.0/24").await;
    let mut wanted = world.wanted("host-1", &[]);
    wanted.requested.vifs = vec![on(&other), at(&one, "10.1.0.77"), on(&other)];
    let info = world.networks.allocate(&wanted).await.unwrap();
    let networks: Vec<_> = info.0.iter().map(|vif| (vif.network_id.as_str(), vif.network_name.as_str())).collect();
    assert_eq!(networks, [(other.as_str(), "other"), (one.as_str(), "one"), (other.as_str(), "other")]);
    assert_eq!(address(&info.0[1]), "10.1.0.77");
    assert_eq!(info.0[1].fixed_ips[0].subnet_id, subnet);
    assert!(info.0.iter().all(|vif| vif.active && vif.vnic_type == "normal" && vif.vif_type == "ovs"), "{info:?}");
    let ports = world.admin.ports_of(wanted.instance).await;
    assert_eq!(ports.len(), 3);
    let default = world.networks.security_groups(world.demo.caller(), world.demo.project()).await.unwrap();
    for port in &ports {
        let vif = info.port(port["id"].as_str().unwrap()).unwrap();
        assert_eq!(port["mac_address"], vif.mac_address);
        assert_eq!(port["fixed_ips"][0]["ip_address"], address(vif));
        assert_eq!(port["project_id"], world.demo.project());
        assert_eq!(port["device_owner"], "compute:nova");
        assert_eq!(port["binding:host_id"], "host-1");
        assert_eq!(port["status"], "ACTIVE");
        assert_eq!(port["dns_name"], "web-1");
        assert_eq!(port["security_groups"], json!([default[0].id]));
    }
    // And so is what is asked afterwards.
    assert_eq!(sorted(&world.described(wanted.instance).await), sorted(&info));
}

pub async fn asked_again_the_same_ports_are_used_and_bound_to_the_new_host(world: World) {
    let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
    let mut wanted = world.wanted("host-1", &[&network, &network]);
    let first = world.networks.allocate(&wanted).await.unwrap();
    wanted.host = "host-2".into();
    let again = world.networks.allocate(&wanted).await.unwrap();
    assert_eq!(sorted(&again), sorted(&first));
    let ports = world.admin.ports_of(wanted.instance).await;
    assert_eq!(ports.len(), 2);
    for port in &ports {
        assert_eq!(port["binding:host_id"], "host-2");
        assert_eq!(port["status"], "ACTIVE");
        let bindings = world.admin.get(&format!("/ports/{}/bindings", id(port))).await;
        assert_eq!(bindings["bindings"].as_array().unwrap().len(), 1, "{bindings}");
    }
}

pub async fn asked_again_each_address_that_is_named_is_found_whatever_the_order(world: World) {
    let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
    let mut wanted = world.wanted("host-1", &[]);
    wanted.requested.vifs = vec![at(&network, "10.1.0.77"), on(&network)];
    let first = world.networks.allocate(&wanted).await.unwrap();
    wanted.requested.vifs.reverse();
    let again = world.networks.allocate(&wanted).await.unwrap();
    assert_eq!(ids(&again), [ids(&first)[1], ids(&first)[0]]);
}

pub async fn what_an_earlier_try_has_made_in_part_is_completed(world: World) {
    let (one, _) = world.demo.network("one", "10.1.0.0/24").await;
    let (other, _) = world.demo.network("other", "10.2.0.0/24").await;
    let mut wanted = world.wanted("host-1", &[&other]);
    let first = world.networks.allocate(&wanted).await.unwrap();
    wanted.requested.vifs = vec![on(&one), on(&other)];
    let all = world.networks.allocate(&wanted).await.unwrap();
    assert_eq!(all.0.len(), 2);
    assert_eq!(all.0[0].network_id, one);
    assert_eq!(all.0[1], first.0[0]);
    assert_eq!(world.admin.ports_of(wanted.instance).await.len(), 2);
}

pub async fn sixty_four_servers_at_once_get_an_address_each_and_the_others_none(world: World) {
    // Of the 64 of the block, the network's own, the gateway and the last one are no port's.
    let (network, _) = world.demo.network("net", "10.9.0.0/26").await;
    let wanted: Vec<_> = (0..64).map(|_| world.wanted("host-1", &[&network])).collect();
    let answers = join_all(wanted.iter().map(|wanted| world.networks.allocate(wanted))).await;
    let mut addresses = BTreeSet::new();
    let mut refused = 0;
    for answer in answers {
        match answer {
            Ok(info) => assert!(addresses.insert(address(&info.0[0]).to_owned()), "{info:?} has what another one has"),
            Err(NetworkError::Refused { kind, message, .. }) => {
                assert_eq!(kind, "IpAddressGenerationFailure");
                assert_eq!(message, format!("No more IP addresses available on network {network}."));
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((addresses.len(), refused), (61, 3));
    let all: Vec<_> = wanted.iter().map(|wanted| (wanted.instance, Vec::new())).collect();
    world.networks.deallocate(&all).await.unwrap();
    world.assert_free(&network, 61).await;
}

pub async fn who_is_dropped_in_the_midst_loses_no_address(world: World) {
    let (network, _) = world.demo.network("net", "10.9.0.0/26").await;
    let wanted: Vec<_> = (0..40).map(|_| Arc::new(world.wanted("host-1", &[&network]))).collect();
    for (turn, wanted) in wanted.iter().enumerate() {
        let (networks, wanted) = (Arc::clone(&world.networks), Arc::clone(wanted));
        let task = tokio::spawn(async move { networks.allocate(&wanted).await });
        // At another point each time.
        for _ in 0..turn {
            tokio::task::yield_now().await;
        }
        task.abort();
        let _ = task.await;
    }
    // Whatever was under way ends before the same is asked again, and what it has made is used.
    for wanted in &wanted {
        world.networks.allocate(wanted).await.unwrap();
        assert_eq!(world.admin.ports_of(wanted.instance).await.len(), 1);
    }
    let all: Vec<_> = wanted.iter().map(|wanted| (wanted.instance, Vec::new())).collect();
    world.networks.deallocate(&all).await.unwrap();
    world.assert_free(&network, 61).await;
}

pub async fn a_refused_port_leaves_nothing_of_the_others_behind(world: World) {
    let (network, _) = world.demo.network("net", "10.9.0.0/28").await;
    let first = {
        let mut wanted = world.wanted("host-1", &[]);
        wanted.requested.vifs = vec![at(&network, "10.9.0.5")];
        world.networks.allocate(&wanted).await.unwrap();
        wanted
    };
    let mut second = world.wanted("host-1", &[]);
    second.requested.vifs = vec![on(&network), at(&network, "10.9.0.6"), at(&network, "10.9.0.5")];
    assert_eq!(kind(world.networks.allocate(&second).await), "IpAddressAlreadyAllocated");
    assert!(world.admin.ports_of(second.instance).await.is_empty());
    // More than there are.
    second.requested.vifs = vec![on(&network); 20];
    assert_eq!(kind(world.networks.allocate(&second).await), "IpAddressGenerationFailure");
    assert!(world.admin.ports_of(second.instance).await.is_empty());
    // A port that was brought stays whose it was.
    let port = world.demo.make("/ports", "port", json!({"network_id": network})).await;
    second.requested.vifs = vec![brought(&port), at(&network, "10.9.0.5")];
    assert_eq!(kind(world.networks.allocate(&second).await), "IpAddressAlreadyAllocated");
    assert_eq!(world.admin.get(&format!("/ports/{}", id(&port))).await["port"]["device_id"], "");
    world.demo.delete(&format!("/ports/{}", id(&port))).await;
    world.networks.deallocate(&[(first.instance, Vec::new())]).await.unwrap();
    world.assert_free(&network, 13).await;
}

pub async fn an_address_that_is_named_is_no_other_ports_by_chance(world: World) {
    // Of 13 addresses 12 are drawn, and the last one is named: each try would be the first to fail.
    let (network, _) = world.demo.network("net", "10.9.0.0/28").await;
    for named in 2..15 {
        let mut wanted = world.wanted("host-1", &[]);
        wanted.requested.vifs = vec![on(&network); 12];
        wanted.requested.vifs.push(at(&network, &format!("10.9.0.{named}")));
        let info = world.networks.allocate(&wanted).await.unwrap();
        assert_eq!(address(&info.0[12]), format!("10.9.0.{named}"));
        world.networks.deallocate(&[(wanted.instance, Vec::new())]).await.unwrap();
    }
    world.assert_free(&network, 13).await;
}

pub async fn who_names_an_address_has_those_that_follow_from_the_mac_too(world: World) {
    let (network, _) = world.demo.network("net", "10.9.0.0/24").await;
    let six = json!({
        "network_id": network, "ip_version": 6, "cidr": "fd09::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac",
    });
    world.demo.make("/subnets", "subnet", six).await;
    let mut wanted = world.wanted("host-1", &[]);
    wanted.requested.vifs = vec![at(&network, "10.9.0.9"), on(&network)];
    for vif in world.networks.allocate(&wanted).await.unwrap().0 {
        let of_ipv6 = vif.fixed_ips.iter().filter(|fixed| fixed.address.starts_with("fd09::")).count();
        assert_eq!((vif.fixed_ips.len(), of_ipv6), (2, 1), "{vif:?}");
    }
}

pub async fn a_refused_server_takes_nothing_from_those_that_ask_with_it(world: World) {
    let (network, _) = world.demo.network("net", "10.9.0.0/26").await;
    let mut wanted: Vec<_> = (0..20).map(|_| world.wanted("host-1", &[&network])).collect();
    for every_third in wanted.iter_mut().step_by(3) {
        every_third.requested.vifs.push(at(&network, "10.8.0.1"));
    }
    let answers = join_all(wanted.iter().map(|wanted| world.networks.allocate(wanted))).await;
    for (index, answer) in answers.into_iter().enumerate() {
        match index % 3 {
            0 => assert_eq!(kind(answer), "InvalidIpForNetwork"),
            _ => assert_eq!(answer.unwrap().0.len(), 1),
        }
    }
    let all: Vec<_> = wanted.iter().map(|wanted| (wanted.instance, Vec::new())).collect();
    world.networks.deallocate(&all).await.unwrap();
    world.assert_free(&network, 61).await;
}

pub async fn refusals_are_neutrons(world: World) {
    let missing = "00000000-0000-4000-8000-000000000000";
    let (network, subnet) = world.demo.network("net", "10.9.0.0/24").await;
    let mut wanted = world.wanted("host-1", &[]);
    let refusals = [
        (on(missing), 404, "NetworkNotFound", format!("Network {missing} could not be found.")),
        (
            novella_common::models::RequestedVif { port_id: Some(missing.into()), ..on(&network) },
            404,
            "PortNotFound",
            format!("Port {missing} could not be found."),
        ),
        (
            at(&network, "10.7.0.1"),
            400,
            "InvalidIpForNetwork",
            "IP address 10.7.0.1 is not a valid IP for any of the subnets on the specified network.".into(),
        ),
        (
            at(&network, "10.9.0.1"),
            409,
            "IpAddressAlreadyAllocated",
            format!("IP address 10.9.0.1 already allocated in subnet {subnet}"),
        ),
    ];
    let holder = {
        let mut holder = world.wanted("host-1", &[]);
        holder.requested.vifs = vec![at(&network, "10.9.0.1")];
        holder
    };
    world.networks.allocate(&holder).await.unwrap();
    for (vif, status, kind, message) in refusals {
        wanted.requested.vifs = vec![vif];
        let refusal = world.networks.allocate(&wanted).await.unwrap_err();
        assert_eq!(refusal, NetworkError::Refused { status, kind: kind.into(), message });
    }
    wanted.requested.vifs = vec![on(&network)];
    wanted.requested.security_groups = vec![missing.into()];
    let refusal = world.networks.allocate(&wanted).await.unwrap_err();
    let message = format!("Security group {missing} does not exist");
    assert_eq!(refusal, NetworkError::Refused { status: 404, kind: "SecurityGroupNotFound".into(), message });
    assert!(world.admin.ports_of(wanted.instance).await.is_empty());
}

pub async fn a_quota_is_kept_by_many_at_once(world: World) {
    let (network, _) = world.demo.network("net", "10.9.0.0/24").await;
    let quota = format!("/quotas/{}", world.demo.project());
    world.admin.put(&quota, json!({"quota": {"port": 7}})).await;
    let wanted: Vec<_> = (0..6).map(|_| world.wanted("host-1", &[&network, &network])).collect();
    let answers = join_all(wanted.iter().map(|wanted| world.networks.allocate(wanted))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.is_err()).collect();
    assert_eq!(refused.len(), 3, "{answers:?}");
    for refusal in refused {
        let message = "Quota exceeded for resources: ['port'].".into();
        assert_eq!(
            refusal.as_ref().unwrap_err(),
            &NetworkError::Refused { status: 409, kind: "OverQuota".into(), message }
        );
    }
    assert_eq!(world.networks.ports_left(world.demo.caller(), world.demo.project()).await.unwrap(), Some(1));
}

pub async fn a_port_that_was_brought_is_taken_and_given_back_as_it_was(world: World) {
    let (network, _) = world.demo.network("net", "10.9.0.0/24").await;
    let port = world.demo.make("/ports", "port", json!({"network_id": network, "name": "mine"})).await;
    let mut wanted = world.wanted("host-1", &[&network]);
    wanted.requested.vifs.insert(0, brought(&port));
    let info = world.networks.allocate(&wanted).await.unwrap();
    assert_eq!(ids(&info)[0], id(&port));
    assert_eq!(address(&info.0[0]), port["fixed_ips"][0]["ip_address"]);
    let path = format!("/ports/{}", id(&port));
    let taken = world.admin.get(&path).await["port"].clone();
    assert_eq!(taken["device_id"], wanted.instance.to_string());
    assert_eq!((&taken["device_owner"], &taken["status"]), (&json!("compute:nova"), &json!("ACTIVE")));
    assert_eq!((&taken["binding:host_id"], &taken["dns_name"]), (&json!("host-1"), &json!("web-1")));
    world.networks.deallocate(&[(wanted.instance, vec![id(&port)])]).await.unwrap();
    assert!(world.admin.ports_of(wanted.instance).await.is_empty());
    let left = world.admin.get(&path).await["port"].clone();
    for name in ["device_id", "device_owner", "binding:host_id", "dns_name"] {
        assert_eq!(left[name], "", "{name}");
    }
    assert_eq!(left["binding:profile"], json!({}));
    assert_eq!((&left["status"], &left["binding:vif_type"]), (&json!("DOWN"), &json!("unbound")));
    assert_eq!((&left["name"], &left["fixed_ips"]), (&json!("mine"), &port["fixed_ips"]));
    // Nothing is left to be given back.
    world.networks.deallocate(&[(wanted.instance, vec![id(&port)])]).await.unwrap();
}

pub async fn a_port_of_another_server_is_refused(world: World) {
    let (network, _) = world.demo.network("net", "10.9.0.0/24").await;
    let port = world.demo.make("/ports", "port", json!({"network_id": network})).await;
    let (mut first, mut second) = (world.wanted("host-1", &[]), world.wanted("host-1", &[]));
    first.requested.vifs = vec![brought(&port)];
    second.requested.vifs = vec![on(&network), brought(&port)];
    world.networks.allocate(&first).await.unwrap();
    assert_eq!(kind(world.networks.allocate(&second).await), "PortInUse");
    assert!(world.admin.ports_of(second.instance).await.is_empty());
    // And nobody gives back what is another's.
    world.networks.deallocate(&[(second.instance, vec![id(&port)])]).await.unwrap();
    assert_eq!(world.admin.ports_of(first.instance).await.len(), 1);
}
