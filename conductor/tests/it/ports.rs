//! Ports of instances: they move with the guest, and are given back when it ends.

use std::time::Duration;

use novella_common::{
    RequestContext,
    db::instances::ports,
    ids::InstanceUuid,
    lifecycle::{Action, PowerState, VmState},
    models::{Instance, MigrationKind, MigrationStatus, RequestSpec, RequestedNetworks, RequestedVif},
    networks::{Caller, NetworkError, Networks, Port, PortFilter, PortsWanted},
    sql,
};
use novella_conductor::ConductorConfig;
use novella_fakes::Copying;

use crate::support::{Cloud, big, idle};

/// The network that a new cloud has.
const PRIVATE: &str = "ca11ab1e-0000-4000-8000-000000000002";

fn away() -> Option<NetworkError> {
    Some(NetworkError::Unavailable("away".into()))
}

/// An active instance with ports on a host, as a build leaves it.
async fn with_ports(cloud: &Cloud, host: &str, count: usize) -> InstanceUuid {
    novella_network::seed::run(&cloud.database, "admin").await.unwrap();
    let instance = Instance {
        vm_state: VmState::Active,
        power_state: PowerState::Running,
        host: Some(host.into()),
        has_ports: true,
        ..idle()
    };
    let vifs = vec![RequestedVif { network_id: PRIVATE.into(), ..RequestedVif::default() }; count];
    let wanted = PortsWanted {
        instance: instance.uuid,
        project_id: instance.project_id.clone(),
        hostname: instance.hostname.clone(),
        host: host.into(),
        zone: "nova".into(),
        requested: RequestedNetworks { vifs, security_groups: Vec::new() },
    };
    let network_info = cloud.networks.allocate(&wanted).await.unwrap();
    let instance = Instance { network_info, ..instance };
    cloud.write(&instance).await;
    instance.uuid
}

async fn two_hosts(cloud: &Cloud) -> InstanceUuid {
    cloud.start_host("source", big()).await;
    cloud.start_host("dest", big()).await;
    cloud.start_scheduler().await;
    with_ports(cloud, "source", 2).await
}

async fn ports_of(cloud: &Cloud, uuid: InstanceUuid) -> Vec<Port> {
    let context = RequestContext::internal();
    cloud.networks.ports(Caller { context: &context, token: None }, PortFilter::Instances(vec![uuid])).await.unwrap()
}

async fn hosts_of(cloud: &Cloud, uuid: InstanceUuid) -> Vec<String> {
    ports_of(cloud, uuid).await.into_iter().map(|port| port.host).collect()
}

/// How many bindings there are beside those by which ports work.
async fn bound_besides(cloud: &Cloud) -> i64 {
    let mut connection = cloud.database.read().await.unwrap();
    sql!("SELECT COUNT(*) FROM port_bindings").fetch_one(&mut connection).await.unwrap()
}

/// Waits until the instance has no ports. Networking is asked again and again: it tells nobody.
async fn until_no_ports(cloud: &Cloud, uuid: InstanceUuid) {
    novella_testing::eventually(async || match ports_of(cloud, uuid).await {
        ports if ports.is_empty() => Ok(()),
        ports => Err(format!("{ports:?}")),
    })
    .await;
}

on_both! {
    async fn the_ports_of_a_guest_that_moves_follow_it(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        let migration = cloud.migrate(uuid, None).await;
        cloud.until_status(&migration, MigrationStatus::Completed).await;
        assert_eq!(hosts_of(&cloud, uuid).await, ["dest", "dest"]);
        assert_eq!(bound_besides(&cloud).await, 0);
        cloud.assert_settled(uuid).await;
        cloud.stop().await;
    }

    async fn the_ports_of_a_guest_that_does_not_move_after_all_stay(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.hosts.copy_by(Copying::Fail);
        cloud.start_conductor().await;
        let migration = cloud.migrate(uuid, None).await;
        cloud.until_status(&migration, MigrationStatus::Error).await;
        assert_eq!(hosts_of(&cloud, uuid).await, ["source", "source"]);
        assert_eq!(bound_besides(&cloud).await, 0);
        cloud.assert_settled(uuid).await;
        cloud.stop().await;
    }

    async fn a_guest_whose_ports_cannot_be_bound_elsewhere_stays(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        let refusal = NetworkError::Refused { status: 409, kind: "PortBindingError".into(), message: "no".into() };
        cloud.networks.fail(Some(refusal));
        cloud.start_conductor().await;
        let migration = cloud.migrate(uuid, None).await;
        let migration = cloud.until_status(&migration, MigrationStatus::Error).await;
        assert!(migration.error.unwrap().contains("could not be bound there: no"));
        assert_eq!(cloud.hosts.calls("pre_live_migration"), 0);
        cloud.assert_settled(uuid).await;
        cloud.stop().await;
    }

    async fn ports_follow_a_guest_that_has_switched_when_networking_is_back(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.hosts.copy_by(Copying::Hold);
        cloud.start_conductor().await;
        let migration = cloud.migrate(uuid, None).await;
        cloud.hosts.called("live_migration", 1).await;
        cloud.until_owner_is_gone(&migration).await;
        cloud.networks.fail(away());
        cloud.hosts.finish_copy(uuid).await;
        cloud.until(uuid, |instance| instance.host.as_deref() == Some("dest")).await;
        assert_eq!(cloud.migration(migration.uuid).await.status, MigrationStatus::Finishing);
        cloud.networks.fail(None);
        cloud.until_status(&migration, MigrationStatus::Completed).await;
        assert_eq!(hosts_of(&cloud, uuid).await, ["dest", "dest"]);
        cloud.stop().await;
    }

    async fn the_ports_of_a_server_that_is_moved_cold_follow_it_there_and_back(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        let migration = cloud.begin_task(MigrationKind::Migration, uuid, None).await;
        cloud.cast(&migration).await;
        cloud.until_status(&migration, MigrationStatus::Finished).await;
        assert_eq!(hosts_of(&cloud, uuid).await, ["dest", "dest"]);
        cloud.end_finished(&migration, Action::RevertResize).await;
        cloud.until_status(&migration, MigrationStatus::Reverted).await;
        assert_eq!(hosts_of(&cloud, uuid).await, ["source", "source"]);
        cloud.stop().await;
    }

    async fn whoever_sees_a_server_gone_sees_its_ports_gone(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let uuid = with_ports(&cloud, "host-1", 1).await;
        cloud.start_conductor().await;
        cloud.delete(uuid, "host-1").await;
        let instance = cloud.until(uuid, |instance| instance.deleted_at.is_some()).await;
        assert_eq!(ports_of(&cloud, uuid).await, []);
        assert!(!instance.has_ports);
        assert_eq!(cloud.claims(&["host-1"]).await, [0]);
        cloud.stop().await;
    }

    async fn a_port_that_its_user_has_brought_stays_and_is_free(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let uuid = with_ports(&cloud, "host-1", 2).await;
        let brought = ports_of(&cloud, uuid).await.remove(0).id;
        let spec = RequestSpec {
            networks: RequestedNetworks {
                vifs: vec![RequestedVif { port_id: Some(brought.clone()), ..RequestedVif::default() }],
                security_groups: Vec::new(),
            },
            ..RequestSpec::default()
        };
        sql!("UPDATE instances SET request_spec = " (novella_common::db::Json(&spec)) " WHERE uuid = " (uuid))
            .execute(&mut cloud.database.write().await.unwrap())
            .await
            .unwrap();
        cloud.start_conductor().await;
        cloud.delete(uuid, "host-1").await;
        cloud.until(uuid, |instance| instance.deleted_at.is_some()).await;
        assert_eq!(ports_of(&cloud, uuid).await, []);
        let context = RequestContext::internal();
        let caller = Caller { context: &context, token: None };
        let left = cloud.networks.ports(caller, PortFilter::Ids(vec![brought])).await.unwrap();
        assert_eq!((left.len(), &*left[0].device_id, &*left[0].host), (1, "", ""));
        cloud.stop().await;
    }

    async fn a_server_is_deleted_without_networking_and_its_ports_follow(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let uuid = with_ports(&cloud, "host-1", 1).await;
        cloud.networks.fail(away());
        cloud.start_conductor().await;
        cloud.delete(uuid, "host-1").await;
        let instance = cloud.until(uuid, |instance| instance.deleted_at.is_some()).await;
        assert!(instance.has_ports);
        cloud.networks.fail(None);
        until_no_ports(&cloud, uuid).await;
        cloud.stop().await;
    }

    async fn a_conductor_that_dies_between_the_host_and_the_ports_leaves_a_deletion_that_is_finished(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let uuid = with_ports(&cloud, "host-1", 1).await;
        let task = cloud.begin(uuid, novella_common::lifecycle::TaskState::Deleting).await;
        ports::leave_host(&mut cloud.database.write().await.unwrap(), &[uuid]).await.unwrap();
        assert_eq!(cloud.instance(uuid).await.task_id, Some(task));
        sql!("UPDATE instances SET updated_at = " (jiff::Timestamp::UNIX_EPOCH) " WHERE uuid = " (uuid))
            .execute(&mut cloud.database.write().await.unwrap())
            .await
            .unwrap();
        cloud.listened_until(jiff::Timestamp::now()).await;
        cloud.start_conductor().await;
        cloud.until(uuid, |instance| instance.deleted_at.is_some()).await;
        until_no_ports(&cloud, uuid).await;
        cloud.stop().await;
    }

    async fn what_nobody_has_told_of_a_servers_ports_shows_after_a_while(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(with_ports(&cloud, "host-1", 1).await);
        }
        // One that is under way is left alone.
        let busy = servers.pop().unwrap();
        cloud.begin(busy, novella_common::lifecycle::TaskState::Rebooting).await;
        for uuid in servers.iter().chain([&busy]) {
            for port in ports_of(&cloud, *uuid).await {
                cloud.networks.remove(*uuid, &port.id, false).await.unwrap();
            }
        }
        cloud.networks.fail(away());
        let config = ConductorConfig {
            network_refresh_interval: Duration::from_millis(20),
            network_refresh_batch: 1,
            ..cloud.config.clone()
        };
        let conductor = cloud.conductor_with("conductor-1", config, false).await;
        cloud.networks.fail(None);
        for uuid in servers {
            cloud.until(uuid, |instance| instance.network_info.0.is_empty()).await;
        }
        assert_eq!(cloud.instance(busy).await.network_info.0.len(), 1);
        conductor.service.stop().await;
        cloud.stop().await;
    }

    async fn a_port_that_networking_does_not_take_back_holds_up_no_other_servers_ports(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(with_ports(&cloud, "host-1", 1).await);
        }
        cloud.networks.keep_ports_of(servers[0]);
        for uuid in &servers {
            let deleted = jiff::Timestamp::UNIX_EPOCH;
            sql!("UPDATE instances SET deleted_at = " (deleted) " WHERE uuid = " (uuid))
                .execute(&mut cloud.database.write().await.unwrap())
                .await
                .unwrap();
        }
        cloud.start_conductor().await;
        for uuid in &servers[1..] {
            until_no_ports(&cloud, *uuid).await;
        }
        assert_eq!(ports_of(&cloud, servers[0]).await.len(), 1);
        cloud.stop().await;
    }

    async fn a_build_that_has_failed_gives_its_ports_back(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let uuid = with_ports(&cloud, "host-1", 1).await;
        let mut connection = cloud.database.write().await.unwrap();
        sql!("UPDATE instances SET vm_state = " (VmState::Error) ", host = NULL WHERE uuid = " (uuid))
            .execute(&mut connection)
            .await
            .unwrap();
        drop(connection);
        cloud.start_conductor().await;
        until_no_ports(&cloud, uuid).await;
        let shown = cloud.until(uuid, |instance| instance.network_info.0.is_empty()).await;
        // Once more in a minute: a scheduler may still be asking for some.
        assert!(shown.has_ports);
        cloud.stop().await;
    }
}
