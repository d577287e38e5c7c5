//! The filters that operators enable: properties of each by itself, and schedulers that obey them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use novella_common::{
    db::{
        aggregates, compute_nodes,
        services::{self, ServiceChange},
        table,
    },
    models::{Aggregate, Binary, Inventory, RequestSpec, Resources},
    sql,
};
use novella_fakes::{Building, inventory};
use novella_scheduler::{HostState, SchedulerConfig, Wanted, filters};
use proptest::prelude::*;

use crate::support::{Cloud, on_both, size};

fn passes(filter: &str, host: &HostState, wanted: &Wanted, config: &SchedulerConfig) -> bool {
    filters::named(filter).unwrap().passes(host, wanted, config)
}

fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn of_x86(name: &str, resources: Resources) -> Inventory {
    let cpu_info = serde_json::json!({"arch": "x86_64"});
    Inventory { hypervisor_type: "fake".into(), cpu_info, ..inventory(name, resources) }
}

/// A host in aggregates with this metadata.
fn host(aggregates: &[&[(&str, &str)]]) -> HostState {
    HostState {
        host: "h".into(),
        enabled: true,
        up: true,
        capacity: size(4, 4096, 40),
        aggregates: aggregates.iter().map(|metadata| pairs(metadata)).collect(),
        inventory: Some(Arc::new(of_x86("h", size(4, 4096, 40)))),
        ..HostState::default()
    }
}

fn with_specs(specs: &[(&str, &str)]) -> Wanted {
    Wanted { extra_specs: pairs(specs), project_id: "p".into(), ..Wanted::default() }
}

fn with_properties(properties: &[(&str, &str)]) -> Wanted {
    Wanted { image_properties: pairs(properties), project_id: "p".into(), ..Wanted::default() }
}

#[test]
fn an_aggregate_has_what_a_flavor_asks_for_or_its_hosts_do_not_do() {
    let config = SchedulerConfig::default();
    let ask = |aggregates: &[&[(&str, &str)]], specs: &[(&str, &str)]| {
        passes("AggregateInstanceExtraSpecsFilter", &host(aggregates), &with_specs(specs), &config)
    };
    let ssd: &[(&str, &str)] = &[("ssd", "true"), ("cpus", "16"), ("gpu", "a, b")];
    assert!(ask(&[], &[]) && ask(&[ssd], &[]) && !ask(&[], &[("ssd", "true")]));
    assert!(ask(&[ssd], &[("ssd", "true")]) && !ask(&[ssd], &[("ssd", "false")]));
    assert!(ask(&[ssd], &[("aggregate_instance_extra_specs:ssd", "true"), ("hw:cpu_policy", "shared")]));
    assert!(ask(&[ssd], &[("cpus", ">= 8")]) && !ask(&[ssd], &[("cpus", ">= 32")]));
    assert!(ask(&[ssd], &[("gpu", "b")]) && ask(&[&[("x", "y")], ssd], &[("ssd", "true"), ("x", "y")]));
}

#[test]
fn an_aggregate_for_projects_is_for_these_alone() {
    let config = SchedulerConfig::default();
    let ask = |aggregates: &[&[(&str, &str)]]| {
        passes("AggregateMultiTenancyIsolation", &host(aggregates), &with_specs(&[]), &config)
    };
    assert!(ask(&[]) && ask(&[&[("ssd", "true")]]));
    assert!(ask(&[&[("filter_tenant_id", "q,p")]]) && ask(&[&[("filter_tenant_id", "q"), ("filter_tenant_id2", "p")]]));
    assert!(!ask(&[&[("filter_tenant_id", "q")]]) && !ask(&[&[("filter_tenant_id", "")]]));
}

#[test]
fn an_aggregate_for_images_is_not_for_others_that_say_so() {
    let namespace = SchedulerConfig {
        aggregate_image_properties_isolation_namespace: Some("img".into()),
        ..SchedulerConfig::default()
    };
    let ask = |config: &SchedulerConfig, metadata: &[(&str, &str)], properties: &[(&str, &str)]| {
        passes("AggregateImagePropertiesIsolation", &host(&[metadata]), &with_properties(properties), config)
    };
    let all = SchedulerConfig::default();
    assert!(ask(&all, &[("os", "windows")], &[]) && ask(&all, &[], &[("os", "linux")]));
    assert!(
        ask(&all, &[("os", "windows,linux")], &[("os", "linux")])
            && !ask(&all, &[("os", "windows")], &[("os", "linux")])
    );
    assert!(ask(&namespace, &[("os", "windows")], &[("os", "linux")]));
    assert!(!ask(&namespace, &[("img.os", "windows")], &[("img.os", "linux")]));
}

#[test]
fn capabilities_are_what_the_host_has_said_of_itself() {
    let config = SchedulerConfig::default();
    let ask = |specs: &[(&str, &str)]| passes("ComputeCapabilitiesFilter", &host(&[]), &with_specs(specs), &config);
    assert!(
        ask(&[])
            && ask(&[("capabilities:hypervisor_type", "fake")])
            && !ask(&[("capabilities:hypervisor_type", "QEMU")])
    );
    assert!(ask(&[("capabilities:free_ram_mb", ">= 4096")]) && !ask(&[("free_ram_mb", ">= 4097")]));
    assert!(
        ask(&[("capabilities:cpu_info:arch", "s== x86_64")]) && !ask(&[("capabilities:cpu_info:arch:x", "x86_64")])
    );
    // What nobody has named so, and what is for others.
    assert!(ask(&[("ssd", "true"), ("hw:cpu_policy", "shared")]) && !ask(&[("capabilities:ssd", "true")]));
}

#[test]
fn an_image_runs_where_its_architecture_and_hypervisor_are() {
    let config = SchedulerConfig::default();
    let ask = |properties: &[(&str, &str)]| {
        passes("ImagePropertiesFilter", &host(&[]), &with_properties(properties), &config)
    };
    assert!(ask(&[]) && ask(&[("hw_architecture", "AMD64"), ("img_hv_type", "fake"), ("hw_vm_mode", "hvm")]));
    assert!(
        !ask(&[("hw_architecture", "aarch64")]) && !ask(&[("img_hv_type", "xen")]) && !ask(&[("hw_vm_mode", "xen")])
    );
}

proptest! {
    #[test]
    fn a_host_gets_no_more_than_it_may_have(instances in 0..100_i64, io_ops in 0..20_i64, most in 0..100_i64, said in prop::collection::vec(0..100_i64, 0..3)) {
        let config = SchedulerConfig { max_instances_per_host: most, max_io_ops_per_host: most, ..SchedulerConfig::default() };
        let aggregates = said.iter().map(|number| {
            let number = number.to_string();
            pairs(&[("max_instances_per_host", &number), ("max_io_ops_per_host", &number)])
        });
        let host = HostState { instances, io_ops, aggregates: aggregates.collect(), ..host(&[]) };
        let ask = |filter: &str| passes(filter, &host, &Wanted::default(), &config);
        let least = said.iter().min().copied().unwrap_or(most);
        prop_assert_eq!(ask("NumInstancesFilter"), instances < most);
        prop_assert_eq!(ask("IoOpsFilter"), io_ops < most);
        prop_assert_eq!(ask("AggregateNumInstancesFilter"), instances < least);
        prop_assert_eq!(ask("AggregateIoOpsFilter"), io_ops < least);
    }

    /// What a filter says does not depend on how aggregates are cut up.
    #[test]
    fn aggregates_count_together(
        metadata in prop::collection::btree_map("[a-c]|filter_tenant_id|os", "[p-r]", 0..5),
        specs in prop::collection::btree_map("[a-c]|hw:x", "[p-r]", 0..3),
        project in "[p-r]",
        os in "[p-r]",
    ) {
        let one = HostState { aggregates: vec![metadata.clone()], ..host(&[]) };
        let many = HostState { aggregates: metadata.into_iter().map(|pair| [pair].into()).collect(), ..host(&[]) };
        let wanted = Wanted { extra_specs: specs, project_id: project, image_properties: pairs(&[("os", &os)]), ..Wanted::default() };
        for filter in ["AggregateInstanceExtraSpecsFilter", "AggregateMultiTenancyIsolation", "AggregateImagePropertiesIsolation"] {
            let config = SchedulerConfig::default();
            prop_assert_eq!(passes(filter, &one, &wanted, &config), passes(filter, &many, &wanted, &config), "{}", filter);
        }
    }
}

/// Enables filters beside those of the default.
fn enabled(names: &[&str]) -> SchedulerConfig {
    let mut config = SchedulerConfig::default();
    config.enabled_filters.extend(names.iter().map(|name| (*name).to_owned()));
    config
}

async fn aggregate(cloud: &Cloud, name: &str, metadata: &[(&str, &str)], hosts: &[&str]) {
    let aggregate = Aggregate {
        id: 0,
        uuid: uuid::Uuid::new_v4(),
        name: name.into(),
        metadata: pairs(metadata),
        created_at: jiff::Timestamp::now(),
        updated_at: None,
    };
    let mut transaction = cloud.database.begin().await.unwrap();
    table::insert(&mut transaction, &aggregate).await.unwrap();
    let id: i64 = sql!("SELECT id FROM aggregates WHERE name = "(name)).fetch_one(&mut transaction).await.unwrap();
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    for host in &hosts {
        aggregates::add_host(&mut transaction, id, host).await.unwrap();
    }
    aggregates::write_zones(&mut transaction, &hosts).await.unwrap();
    transaction.commit().await.unwrap();
}

on_both! {
    async fn a_server_goes_into_the_zone_that_an_aggregate_makes(cloud: Cloud) {
        for host in ["host-1", "host-2", "host-3"] {
            cloud.start_host(host, size(8, 8192, 80), Building::Accept).await;
        }
        aggregate(&cloud, "west", &[("availability_zone", "west")], &["host-2"]).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let spec = |zone: &str| RequestSpec { availability_zone: Some(zone.into()), ..RequestSpec::default() };
        for (zone, expected) in [("west", Some("host-2")), ("east", None)] {
            let uuid = cloud.write_instance(spec(zone)).await;
            cloud.build(uuid).await;
            let instance = cloud.settled(uuid).await;
            assert_eq!(instance.host.as_deref(), expected, "{zone}");
            assert_eq!(instance.availability_zone.as_deref(), expected.map(|_| zone));
        }
        for _ in 0..6 {
            let uuid = cloud.write_instance(spec("nova")).await;
            cloud.build(uuid).await;
            assert_ne!(cloud.settled(uuid).await.host.as_deref(), Some("host-2"));
        }
        cloud.stop().await;
    }

    async fn the_filters_that_are_enabled_are_obeyed(cloud: Cloud) {
        for host in ["host-1", "host-2"] {
            cloud.start_host(host, size(64, 65536, 640), Building::Accept).await;
        }
        aggregate(&cloud, "theirs", &[("filter_tenant_id", "others")], &["host-1"]).await;
        aggregate(&cloud, "few", &[("max_instances_per_host", "3")], &["host-2"]).await;
        cloud.start_scheduler("s1", enabled(&["AggregateMultiTenancyIsolation", "AggregateNumInstancesFilter"])).await;
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(cloud.write_instance(RequestSpec::default()).await);
        }
        // Three fit, whether they are decided one after the other or at once.
        assert_eq!(cloud.placed(&all).await, vec!["host-2"; 3]);
        cloud.stop().await;
    }

    async fn what_an_operator_has_said_a_moment_ago_is_obeyed(cloud: Cloud) {
        // A picture that is kept for long: nothing of it is believed when it is written.
        let config = SchedulerConfig { host_state_max_age: Duration::from_secs(3600), ..SchedulerConfig::default() };
        for (host, memory) in [("host-1", 65536), ("host-2", 32768), ("host-3", 16384)] {
            cloud.start_host(host, size(64, memory, 640), Building::Accept).await;
        }
        cloud.start_scheduler("s1", config).await;
        let build = async || {
            let spec = RequestSpec { availability_zone: Some("nova".into()), ..RequestSpec::default() };
            let uuid = cloud.write_instance(spec).await;
            cloud.build(uuid).await;
            cloud.settled(uuid).await.host
        };
        assert_eq!(build().await.as_deref(), Some("host-1"));
        {
            let mut connection = cloud.database.write().await.unwrap();
            let service = services::find(&mut connection, Binary::Compute, "host-1").await.unwrap().unwrap();
            let change = ServiceChange { disabled: Some(true), ..ServiceChange::default() };
            services::update(&mut connection, &service.uuid, &change).await.unwrap();
        }
        assert_eq!(build().await.as_deref(), Some("host-2"));
        aggregate(&cloud, "west", &[("availability_zone", "west")], &["host-2"]).await;
        assert_eq!(build().await.as_deref(), Some("host-3"));
        cloud.assert_sums().await;
        cloud.stop().await;
    }

    async fn an_image_for_another_architecture_finds_no_host(cloud: Cloud) {
        let resources = size(8, 8192, 80);
        cloud.start_host("host-1", resources, Building::Accept).await;
        compute_nodes::upsert(&mut cloud.database.write().await.unwrap(), "host-1", &of_x86("host-1", resources)).await.unwrap();
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        for (architecture, expected) in [("x86_64", true), ("aarch64", false)] {
            let image_properties = pairs(&[("hw_architecture", architecture)]);
            let uuid = cloud.write_instance(RequestSpec { image_properties, ..RequestSpec::default() }).await;
            cloud.build(uuid).await;
            assert_eq!(cloud.settled(uuid).await.host.is_some(), expected, "{architecture}");
        }
        cloud.stop().await;
    }
}
