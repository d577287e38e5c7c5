//! Ports are made for a build when its host is chosen, and given back with it.

use novella_common::{
    RequestContext,
    db::instances,
    ids::InstanceUuid,
    lifecycle::VmState,
    models::{NetworkInfo, RequestedVif},
    networks::{Caller, NetworkError, Networks, Port, PortFilter},
};
use novella_fakes::Building;
use novella_scheduler::SchedulerConfig;

use crate::support::{Cloud, on_both, on_private, size, with_interfaces};

async fn seeded(cloud: &Cloud) {
    novella_network::seed::run(&cloud.database, "admin").await.unwrap();
}

async fn ports(cloud: &Cloud, uuid: InstanceUuid) -> Vec<Port> {
    let context = RequestContext::internal();
    let caller = Caller { context: &context, token: None };
    cloud.networks.ports(caller, PortFilter::Instances(vec![uuid])).await.unwrap()
}

on_both! {
    async fn the_host_gets_the_interfaces_that_the_row_shows_and_they_are_bound_to_it(cloud: Cloud) {
        seeded(&cloud).await;
        let host = cloud.start_host("host-1", size(4, 4096, 40), Building::Accept).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let uuid = cloud.write_instance(with_interfaces(vec![on_private(), on_private()])).await;
        cloud.build(uuid).await;
        let instance = cloud.settled(uuid).await;
        let info = &instance.network_info;
        assert_eq!(info.0.len(), 2, "{info:?}");
        assert!(info.0.iter().all(|vif| vif.network_name == "private" && vif.fixed_ips.len() == 1), "{info:?}");
        assert_eq!(host.builds()[0].spec.network_info, *info);
        let ports = ports(&cloud, uuid).await;
        assert_eq!(ports.len(), 2);
        for port in &ports {
            assert_eq!((&*port.host, &*port.device_owner), ("host-1", "compute:nova"), "{port:?}");
            assert_eq!(port.project_id, instance.project_id);
        }
        cloud.stop().await;
    }

    async fn a_build_without_interfaces_asks_networking_nothing(cloud: Cloud) {
        cloud.networks.fail(Some(NetworkError::Unavailable("away".into())));
        cloud.start_host("host-1", size(4, 4096, 40), Building::Accept).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let uuid = cloud.write_instance(Default::default()).await;
        cloud.build(uuid).await;
        let instance = cloud.settled(uuid).await;
        assert_eq!(instance.network_info, NetworkInfo::default());
        assert!(!instance.has_ports);
        cloud.stop().await;
    }

    async fn a_build_that_goes_to_another_host_takes_its_ports_along(cloud: Cloud) {
        seeded(&cloud).await;
        cloud.start_host("host-1", size(64, 65536, 640), Building::Refuse).await;
        cloud.start_host("host-2", size(4, 4096, 40), Building::Accept).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let uuid = cloud.write_instance(with_interfaces(vec![on_private()])).await;
        cloud.build(uuid).await;
        let instance = cloud.settled(uuid).await;
        assert_eq!((instance.host.as_deref(), instance.attempts), (Some("host-2"), 2));
        let ports = ports(&cloud, uuid).await;
        assert_eq!(ports.len(), 1);
        assert_eq!(ports[0].host, "host-2");
        assert_eq!(instance.network_info.0[0].port_id, ports[0].id);
        cloud.stop().await;
    }

    async fn what_networking_refuses_ends_the_build_with_its_reason(cloud: Cloud) {
        seeded(&cloud).await;
        cloud.start_host("host-1", size(4, 4096, 40), Building::Accept).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let lost = RequestedVif { network_id: uuid::Uuid::new_v4().to_string(), ..RequestedVif::default() };
        let uuid = cloud.write_instance(with_interfaces(vec![on_private(), lost])).await;
        cloud.build(uuid).await;
        let instance = cloud.settled(uuid).await;
        assert_eq!((instance.vm_state, instance.host), (VmState::Error, None));
        assert_eq!(ports(&cloud, uuid).await, []);
        let faults = instances::faults(&mut cloud.database.read().await.unwrap(), &[uuid]).await.unwrap();
        let (_, fault) = &faults[0];
        assert!(fault.message.ends_with("Failed to allocate the network(s), not rescheduling."), "{fault:?}");
        assert!(fault.details.as_ref().is_some_and(|details| details.contains("could not be found")), "{fault:?}");
        assert_eq!(cloud.nodes().await["host-1"].used, size(0, 0, 0));
        cloud.assert_sums().await;
        cloud.stop().await;
    }

    async fn a_build_waits_for_a_networking_that_is_away(cloud: Cloud) {
        seeded(&cloud).await;
        cloud.networks.fail(Some(NetworkError::Unavailable("away".into())));
        cloud.start_host("host-1", size(4, 4096, 40), Building::Accept).await;
        cloud.start_scheduler("s1", SchedulerConfig::default()).await;
        let uuid = cloud.write_instance(with_interfaces(vec![on_private()])).await;
        cloud.build(uuid).await;
        // Tried, and taken back.
        let before = cloud.instance(uuid).await.task_id;
        cloud.until(uuid, |instance| instance.host.is_none() && instance.task_id != before).await;
        cloud.networks.fail(None);
        let instance = cloud.settled(uuid).await;
        assert_eq!((instance.host.as_deref(), instance.attempts), (Some("host-1"), 1));
        assert_eq!(ports(&cloud, uuid).await.len(), 1);
        cloud.assert_sums().await;
        cloud.stop().await;
    }
}
