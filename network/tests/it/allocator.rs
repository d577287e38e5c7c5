//! Who gets which address: of many at once each another one, and whatever is cut off half-way, none is lost.

use std::{collections::BTreeSet, net::Ipv4Addr};

use futures_util::future::join_all;
use novella_common::sql;
use serde_json::json;

use crate::support::{Client, Cloud};

/// What the database says of a subnet: the addresses that are given out, and the free ranges.
async fn books(cloud: &Cloud, subnet: &str) -> (Vec<u32>, Vec<(u32, u32)>) {
    let connection = &mut *cloud.database.read().await.unwrap();
    let read = |key: &String| u32::try_from(u128::from_str_radix(key, 16).unwrap()).unwrap();
    let given: Vec<(String, String)> = sql!(
        "SELECT a.address, p.id FROM network_allocations a LEFT JOIN ports p ON p.id = a.port_id WHERE a.subnet_id = "
        (subnet) " AND p.id IS NOT NULL"
    )
    .fetch_all(connection)
    .await
    .unwrap();
    let ownerless: i64 = sql!("SELECT COUNT(*) FROM network_allocations WHERE port_id NOT IN (SELECT id FROM ports)")
        .fetch_one(connection)
        .await
        .unwrap();
    assert_eq!(ownerless, 0, "addresses of ports that are not there");
    let free: Vec<(String, String)> =
        sql!("SELECT first, last FROM network_free_ranges WHERE subnet_id = " (subnet) " ORDER BY first")
            .fetch_all(connection)
            .await
            .unwrap();
    let given = given.iter().map(|(key, _)| read(key)).collect();
    (given, free.iter().map(|(first, last)| (read(first), read(last))).collect())
}

/// Every address of the pool is free, or given to one port; none is both, and none is neither.
async fn audit(cloud: &Cloud, subnet: &str, first: &str, last: &str) {
    let (given, free) = books(cloud, subnet).await;
    let mut seen = BTreeSet::new();
    let all = free.iter().flat_map(|(first, last)| *first..=*last).chain(given);
    for address in all {
        assert!(seen.insert(address), "{} is there twice", Ipv4Addr::from(address));
    }
    let [first, last] = [first, last].map(|text| u32::from(text.parse::<Ipv4Addr>().unwrap()));
    assert_eq!(seen, (first..=last).collect::<BTreeSet<u32>>(), "lost or invented");
}

async fn subnet_of(client: &Client, cidr: &str) -> (String, String) {
    let network = client.network(json!({})).await;
    let subnet = client.subnet(&network, cidr).await;
    (network, subnet)
}

on_both! {
    async fn sixty_four_clients_at_once_get_an_address_each_until_there_is_none(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (network, subnet) = subnet_of(&demo, "10.9.0.0/26").await;
        let body = json!({"port": {"network_id": network}});
        let answers = join_all((0..64).map(|_| demo.post("/ports", &body))).await;
        let mut addresses = BTreeSet::new();
        for answer in answers.iter().filter(|answer| answer.status == 201) {
            let address = answer.body["port"]["fixed_ips"][0]["ip_address"].as_str().unwrap();
            assert!(addresses.insert(address.to_owned()), "{address} was given twice");
        }
        // Of the 64 of the block, the network's own, the gateway and the last one are no port's.
        assert_eq!(addresses.len(), 61);
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 201).collect();
        assert!(refused.iter().all(|answer| answer.kind() == "IpAddressGenerationFailure"), "{refused:?}");
        audit(&cloud, &subnet, "10.9.0.2", "10.9.0.62").await;
        let ids: Vec<&str> =
            answers.iter().filter_map(|answer| answer.body["port"]["id"].as_str()).collect();
        let paths: Vec<String> = ids.iter().map(|id| format!("/ports/{id}")).collect();
        for answer in join_all(paths.iter().map(|path| demo.delete(path))).await {
            assert_eq!(answer.status, 204, "{answer:?}");
        }
        audit(&cloud, &subnet, "10.9.0.2", "10.9.0.62").await;
        assert!(books(&cloud, &subnet).await.0.is_empty());
    }

    async fn of_many_who_ask_for_one_address_one_gets_it(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (network, subnet) = subnet_of(&demo, "10.9.0.0/24").await;
        let body = json!({"port": {"network_id": network, "fixed_ips": [{"ip_address": "10.9.0.77"}]}});
        let answers = join_all((0..16).map(|_| demo.post("/ports", &body))).await;
        let made = answers.iter().filter(|answer| answer.status == 201).count();
        let taken = answers.iter().filter(|answer| answer.kind() == "IpAddressAlreadyAllocated").count();
        assert_eq!((made, taken), (1, 15), "{answers:?}");
        audit(&cloud, &subnet, "10.9.0.2", "10.9.0.254").await;
    }

    async fn a_request_that_is_cut_off_at_any_point_loses_no_address(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (network, subnet) = subnet_of(&demo, "10.9.0.0/25").await;
        let body = json!({"port": {"network_id": network}});
        for turn in 0..40u32 {
            let (client, body) = (demo.clone(), body.clone());
            let task = tokio::spawn(async move { client.post("/ports", &body).await });
            // At another point each time.
            for _ in 0..turn {
                tokio::task::yield_now().await;
            }
            task.abort();
            let _ = task.await;
        }
        // Whatever was under way ends before this begins to write.
        demo.port(&network, json!({})).await;
        audit(&cloud, &subnet, "10.9.0.2", "10.9.0.126").await;
    }

    async fn the_books_of_a_large_subnet_are_as_small_as_those_of_a_small_one(cloud: Cloud) {
        let demo = cloud.demo().await;
        for cidr in ["10.0.0.0/8", "172.16.0.0/24"] {
            let (network, subnet) = subnet_of(&demo, cidr).await;
            for _ in 0..10 {
                demo.port(&network, json!({})).await;
            }
            let (given, free) = books(&cloud, &subnet).await;
            assert_eq!(given.len(), 10);
            // One more range for each address at most, however many addresses there are.
            assert!(free.len() <= 11, "{cidr}: {free:?}");
        }
    }

    async fn pools_that_change_leave_what_is_given_out(cloud: Cloud) {
        let demo = cloud.demo().await;
        let (network, subnet) = subnet_of(&demo, "10.9.0.0/24").await;
        let port = demo.port(&network, json!({"fixed_ips": [{"ip_address": "10.9.0.20"}]})).await;
        let pools = json!({"subnet": {"allocation_pools": [{"start": "10.9.0.10", "end": "10.9.0.30"}]}});
        assert_eq!(demo.put(&format!("/subnets/{subnet}"), &pools).await.status, 200);
        audit(&cloud, &subnet, "10.9.0.10", "10.9.0.30").await;
        assert_eq!(demo.delete(&format!("/ports/{}", port["id"].as_str().unwrap())).await.status, 204);
        audit(&cloud, &subnet, "10.9.0.10", "10.9.0.30").await;
    }
}
