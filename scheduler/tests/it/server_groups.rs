//! Server groups: what their policies permit holds, however many schedulers decide at once.

use novella_common::{
    RequestContext,
    models::{GroupPolicy, RequestSpec},
};
use novella_fakes::Building;
use novella_scheduler::{SchedulerConfig, rpcapi::DestinationRequest};

use crate::support::{Cloud, on_both, size};

async fn hosts(cloud: &Cloud, count: usize) {
    for index in 0..count {
        cloud.start_host(&format!("host-{index}"), size(64, 65536, 640), Building::Accept).await;
    }
}

on_both! {
    async fn no_two_servers_of_an_anti_affinity_group_share_a_host(cloud: Cloud) {
        hosts(&cloud, 4).await;
        for index in 0..4 {
            cloud.start_scheduler(&format!("s{index}"), SchedulerConfig::default()).await;
        }
        let group = cloud.write_group(GroupPolicy::AntiAffinity, None, 7).await;
        let other = cloud.write_group(GroupPolicy::AntiAffinity, Some(2), 9).await;
        let all: Vec<_> = group.iter().chain(&other).copied().collect();
        cloud.placed(&all).await;
        assert_eq!(cloud.placed(&group).await, ["host-0", "host-1", "host-2", "host-3"]);
        assert_eq!(cloud.placed(&other).await, [
            "host-0", "host-0", "host-1", "host-1", "host-2", "host-2", "host-3", "host-3",
        ]);
        cloud.assert_sums().await;
        cloud.stop().await;
    }

    async fn all_servers_of_an_affinity_group_share_a_host_as_long_as_it_has_room(cloud: Cloud) {
        for index in 0..4 {
            cloud.start_host(&format!("host-{index}"), size(5, 65536, 640), Building::Accept).await;
            cloud.start_scheduler(&format!("s{index}"), SchedulerConfig::default()).await;
        }
        let group = cloud.write_group(GroupPolicy::Affinity, None, 8).await;
        let placed = cloud.placed(&group).await;
        assert_eq!(placed.len(), 5);
        assert!(placed.iter().all(|host| *host == placed[0]), "{placed:?}");
        cloud.assert_sums().await;
        cloud.stop().await;
    }

    async fn a_soft_policy_is_followed_as_far_as_there_are_hosts(cloud: Cloud) {
        hosts(&cloud, 2).await;
        // More than what the free resources of a host count.
        let config = SchedulerConfig {
            soft_affinity_weight_multiplier: 10.0,
            soft_anti_affinity_weight_multiplier: 10.0,
            ..SchedulerConfig::default()
        };
        cloud.start_scheduler("s1", config).await;
        let apart = cloud.write_group(GroupPolicy::SoftAntiAffinity, None, 4).await;
        assert_eq!(cloud.placed(&apart).await, ["host-0", "host-0", "host-1", "host-1"]);
        let together = cloud.write_group(GroupPolicy::SoftAffinity, None, 4).await;
        let placed = cloud.placed(&together).await;
        assert_eq!(placed.len(), 4);
        assert!(placed.iter().all(|host| *host == placed[0]), "{placed:?}");
        cloud.stop().await;
    }

    async fn a_server_that_is_to_move_goes_where_its_group_permits_it(cloud: Cloud) {
        hosts(&cloud, 4).await;
        // The policy holds whatever filters an operator has chosen.
        let config = SchedulerConfig { enabled_filters: vec!["ComputeFilter".into()], ..SchedulerConfig::default() };
        cloud.start_scheduler("s1", config).await;
        let apart = cloud.write_group(GroupPolicy::AntiAffinity, None, 3).await;
        cloud.placed(&apart).await;
        let together = cloud.write_group(GroupPolicy::Affinity, None, 1).await;
        cloud.placed(&together).await;
        let free = |taken: &[Option<String>]| -> Vec<String> {
            (0..4).map(|index| format!("host-{index}")).filter(|host| !taken.contains(&Some(host.clone()))).collect()
        };
        let mut taken = Vec::new();
        for uuid in &apart {
            taken.push(cloud.instance(*uuid).await.host);
        }
        let own = cloud.instance(together[0]).await.host;
        // One that is alone in its affinity group may go anywhere.
        for (instance, from, expected) in [(apart[0], taken[0].clone(), free(&taken)), (together[0], own.clone(), free(&[own]))] {
            let spec = RequestSpec { hints: [("group".to_owned(), "any".into())].into(), ..RequestSpec::default() };
            let request = DestinationRequest {
                instance,
                project_id: "project".into(),
                resources: size(1, 512, 1),
                spec,
                ignore_hosts: from.into_iter().collect(),
                only_host: None,
            };
            let found = cloud.client.select_destinations(&RequestContext::internal(), request).await.unwrap();
            let mut hosts: Vec<_> = found.into_iter().map(|destination| destination.host).collect();
            hosts.sort_unstable();
            assert_eq!(hosts, expected);
        }
        cloud.stop().await;
    }
}
