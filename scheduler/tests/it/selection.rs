//! The decision by itself: properties that hold for any hosts and any request.

use std::collections::{BTreeMap, HashSet};

use novella_common::models::Resources;
use novella_scheduler::{HostState, NoneLeft, SchedulerConfig, Selector, Wanted};
use proptest::prelude::*;

fn host(name: impl ToString, capacity: Resources, used: Resources) -> HostState {
    HostState {
        host: name.to_string(),
        availability_zone: "nova".into(),
        enabled: true,
        up: true,
        capacity,
        used,
        ..HostState::default()
    }
}

fn size(vcpus: i64, memory_mb: i64, disk_gb: i64) -> Resources {
    Resources { vcpus, memory_mb, disk_gb }
}

fn selector(config: &SchedulerConfig) -> Selector {
    Selector::new(config).unwrap()
}

fn resources() -> impl Strategy<Value = Resources> {
    (0..16_i64, 0..16_i64, 0..16_i64).prop_map(|(vcpus, memory, disk)| size(vcpus, memory * 512, disk))
}

prop_compose! {
    fn some_host()(
        capacity in resources(),
        used in resources(),
        enabled in proptest::bool::weighted(0.8),
        up in proptest::bool::weighted(0.8),
        zone in prop::sample::select(vec!["a", "b"]),
        failures in 0..3_u32,
    ) -> HostState {
        // `used` may be more than there is: an operator has made the host smaller.
        HostState { availability_zone: zone.into(), enabled, up, failures, ..host("", capacity, used) }
    }
}

fn some_hosts() -> impl Strategy<Value = Vec<HostState>> {
    prop::collection::vec(some_host(), 0..20).prop_map(|mut hosts| {
        for (index, host) in hosts.iter_mut().enumerate() {
            host.host = format!("host-{index}");
        }
        hosts
    })
}

prop_compose! {
    fn some_request()(
        resources in resources(),
        zone in prop::option::of(prop::sample::select(vec!["a", "b"])),
        ignore in prop::collection::hash_set(0..20_usize, 0..4),
        only in prop::option::weighted(0.2, 0..20_usize),
        different in prop::option::weighted(0.3, prop::collection::hash_set(0..20_usize, 0..4)),
        same in prop::option::weighted(0.3, prop::collection::hash_set(0..20_usize, 0..8)),
    ) -> Wanted {
        let name = |index: usize| format!("host-{index}");
        let names = |indices: HashSet<usize>| indices.into_iter().map(name).collect::<HashSet<_>>();
        Wanted {
            resources,
            availability_zone: zone.map(ToOwned::to_owned),
            ignore_hosts: names(ignore),
            only_host: only.map(name),
            different_from: different.map(names),
            same_as: same.map(names),
            ..Wanted::default()
        }
    }
}

fn will_do(host: &HostState, wanted: &Wanted) -> bool {
    host.enabled
        && host.up
        && host.free().covers(&wanted.resources)
        && wanted.availability_zone.as_ref().is_none_or(|zone| *zone == host.availability_zone)
        && !wanted.ignore_hosts.contains(&host.host)
        && wanted.only_host.as_ref().is_none_or(|only| *only == host.host)
        && wanted.different_from.as_ref().is_none_or(|hosts| !hosts.contains(&host.host))
        && wanted.same_as.as_ref().is_none_or(|hosts| hosts.contains(&host.host))
}

proptest! {
    #[test]
    fn a_host_is_chosen_if_and_only_if_one_will_do(
        hosts in some_hosts(),
        wanted in some_request(),
        count in 1..5_usize,
        subset in 1..4_usize,
    ) {
        let config = SchedulerConfig { host_subset_size: subset, ..SchedulerConfig::default() };
        let candidates = hosts.iter().filter(|host| will_do(host, &wanted)).count();
        match selector(&config).select(&hosts, &wanted, count, &mut rand::rng()) {
            Ok(selected) => {
                prop_assert_eq!(selected.len(), count.min(candidates));
                let different: HashSet<usize> = selected.iter().map(|selected| selected.index).collect();
                prop_assert_eq!(different.len(), selected.len());
                for selected in selected {
                    prop_assert!(will_do(&hosts[selected.index], &wanted), "{:?}", hosts[selected.index]);
                }
            }
            Err(_) => prop_assert_eq!(candidates, 0),
        }
    }

    #[test]
    fn the_list_is_ordered_by_weight_and_nothing_better_is_left_out(hosts in some_hosts(), wanted in some_request()) {
        let selector = selector(&SchedulerConfig::default());
        let Ok(all) = selector.select(&hosts, &wanted, hosts.len(), &mut rand::rng()) else { return Ok(()) };
        prop_assert!(all.windows(2).all(|pair| pair[0].weight >= pair[1].weight));
        let few = selector.select(&hosts, &wanted, 3, &mut rand::rng()).unwrap();
        let weights = |list: &[novella_scheduler::Selected]| list.iter().map(|one| one.weight).collect::<Vec<_>>();
        let best = weights(&all[..all.len().min(3)]);
        prop_assert_eq!(weights(&few), best);
    }

    #[test]
    fn a_host_with_more_room_in_every_respect_is_never_behind_one_with_less(
        small in resources(), more in resources(), wanted in resources(),
    ) {
        let big = small.plus(&more);
        let hosts = [host("small", small, Resources::default()), host("big", big, Resources::default())];
        let request = Wanted { resources: wanted, ..Wanted::default() };
        if let Ok(selected) = selector(&SchedulerConfig::default()).select(&hosts, &request, 1, &mut rand::rng()) {
            prop_assert!(hosts[selected[0].index].host == "big" || small == big);
        }
    }

    #[test]
    fn a_burst_on_equal_hosts_spreads_evenly(hosts in 1..12_usize, rounds in 1..8_usize) {
        let selector = selector(&SchedulerConfig::default());
        let take = size(1, 512, 1);
        let request = Wanted { resources: take, ..Wanted::default() };
        let mut all: Vec<HostState> =
            (0..hosts).map(|index| host(index, size(100, 51_200, 100), Resources::default())).collect();
        for _ in 0..hosts * rounds {
            let best = selector.select(&all, &request, 1, &mut rand::rng()).unwrap()[0].index;
            all[best].used = all[best].used.plus(&take);
        }
        for host in &all {
            prop_assert_eq!(host.used.vcpus, i64::try_from(rounds).unwrap());
        }
    }

    #[test]
    fn with_negative_multipliers_a_burst_fills_one_host_after_the_other(hosts in 2..6_usize, count in 1..20_usize) {
        let config = SchedulerConfig {
            ram_weight_multiplier: -1.0,
            cpu_weight_multiplier: -1.0,
            disk_weight_multiplier: -1.0,
            ..SchedulerConfig::default()
        };
        let selector = selector(&config);
        let take = size(1, 512, 1);
        let request = Wanted { resources: take, ..Wanted::default() };
        let mut all: Vec<HostState> =
            (0..hosts).map(|index| host(index, size(10, 5_120, 10), Resources::default())).collect();
        for _ in 0..count.min(hosts * 10) {
            let best = selector.select(&all, &request, 1, &mut rand::rng()).unwrap()[0].index;
            all[best].used = all[best].used.plus(&take);
        }
        let partly = all.iter().filter(|host| host.used.vcpus > 0 && host.used.vcpus < 10).count();
        prop_assert!(partly <= 1);
    }
}

fn first_choices(config: &SchedulerConfig, times: usize) -> BTreeMap<usize, usize> {
    let hosts: Vec<HostState> = (0..5).map(|index| host(index, size(10, 5_120, 10), Resources::default())).collect();
    let request = Wanted { resources: size(1, 512, 1), ..Wanted::default() };
    let selector = selector(config);
    let mut chosen = BTreeMap::new();
    for _ in 0..times {
        let best = selector.select(&hosts, &request, 1, &mut rand::rng()).unwrap()[0].index;
        *chosen.entry(best).or_default() += 1;
    }
    chosen
}

#[test]
fn equal_hosts_are_all_used_and_only_the_first_without_shuffling() {
    // That one of five is missing in a thousand draws has a probability of 10^-96.
    assert_eq!(first_choices(&SchedulerConfig::default(), 1000).len(), 5);
    let config = SchedulerConfig { shuffle_best_same_weighed_hosts: false, ..SchedulerConfig::default() };
    assert_eq!(first_choices(&config, 1000).len(), 1);
    let config = SchedulerConfig { host_subset_size: 3, ..config };
    assert_eq!(first_choices(&config, 1000).keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_host_that_did_not_take_the_last_builds_comes_after_all_others_but_still_comes() {
    let failing = HostState { failures: 1, ..host("failing", size(100, 51_200, 100), Resources::default()) };
    let small = host("small", size(1, 512, 1), Resources::default());
    let request = Wanted { resources: size(1, 512, 1), ..Wanted::default() };
    let selector = selector(&SchedulerConfig::default());
    let hosts = [failing.clone(), small];
    assert_eq!(selector.select(&hosts, &request, 2, &mut rand::rng()).unwrap()[0].index, 1);
    assert_eq!(selector.select(&[failing], &request, 2, &mut rand::rng()).unwrap().len(), 1);
}

#[test]
fn the_reason_names_the_filter_that_took_the_last_hosts() {
    let up = host("up", size(1, 512, 1), Resources::default());
    let down = HostState { up: false, ..host("down", size(9, 9_000, 9), Resources::default()) };
    let selector = selector(&SchedulerConfig::default());
    let select = |hosts: &[HostState], wanted: &Wanted| selector.select(hosts, wanted, 1, &mut rand::rng());
    let big = Wanted { resources: size(2, 512, 1), ..Wanted::default() };
    assert_eq!(
        select(&[up.clone(), down.clone()], &big).unwrap_err(),
        NoneLeft::Filtered { filter: "CapacityFilter", before: 1, total: 2 }
    );
    assert_eq!(
        select(&[down], &big).unwrap_err().to_string(),
        "ComputeFilter returned 0 hosts (start: 1, of 1 in all)."
    );
    assert_eq!(select(&[], &big).unwrap_err(), NoneLeft::NoHosts);
    let only = Wanted { only_host: Some("other".into()), ..Wanted::default() };
    assert_eq!(select(std::slice::from_ref(&up), &only).unwrap_err(), NoneLeft::NotThatOne("other".into()));
    let ignored = Wanted { ignore_hosts: HashSet::from(["up".to_owned()]), ..Wanted::default() };
    assert_eq!(select(&[up], &ignored).unwrap_err(), NoneLeft::AllExcluded(1));
}

#[test]
fn the_configuration_refuses_what_it_does_not_know() {
    let known: SchedulerConfig = serde_json::from_str(r#"{ "max_attempts": 5, "host_state_max_age": 0.5 }"#).unwrap();
    assert_eq!(known.max_attempts, 5);
    assert_eq!(known.host_state_max_age, std::time::Duration::from_millis(500));
    assert_eq!(known.enabled_filters, SchedulerConfig::default().enabled_filters);
    assert!(serde_json::from_str::<SchedulerConfig>(r#"{ "max_atempts": 5 }"#).is_err());
}
