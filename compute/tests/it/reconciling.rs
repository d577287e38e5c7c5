//! Bringing a host and its rows together.

use novella_common::{
    ids::TaskId,
    lifecycle::{Action, PowerState, TaskState, VmState},
};
use novella_compute::{
    Stores,
    rpcapi::{BuildRequest, ComputeControlClient, Reconciliation},
};

use crate::cloud::{Cloud, ctx, instant, server};

#[tokio::test]
async fn what_is_deleted_in_its_row_is_removed() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let stays = cloud.built("host-1", &[]).await;
    let orphan = cloud.built("host-1", &[]).await;
    cloud.delete(orphan);
    cloud.reconcile("host-1").await;
    assert_eq!(cloud.held_instances("host-1").await, [stays].into());
    assert!(cloud.compute("host-1").get_console_output(&ctx(), orphan, None).await.is_err());
}

#[tokio::test]
async fn what_has_come_again_since_the_conductor_asked_is_not_removed() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let spec = server(&[("fake:fail_build", "host-1")]);
    cloud.build("host-1", &spec).await;
    cloud.until(spec.uuid, "has failed", |row| row.failure.is_some()).await;
    // A conductor asks, finds that the row names another host, ...
    assert!(cloud.held_instances("host-1").await.contains(&spec.uuid));
    // ... the server comes back here by another attempt, ...
    let again = server(&[]);
    let spec = novella_common::models::InstanceSpec { uuid: spec.uuid, ..again };
    cloud.build("host-1", &spec).await;
    cloud.until(spec.uuid, "is active", |row| row.vm_state == VmState::Active).await;
    // ... and only then the conductor says what it had found.
    let late = Reconciliation { desired: Vec::new(), remove: vec![spec.uuid] };
    ComputeControlClient::new(&cloud.transport).server("host-1").reconcile(&ctx(), late).await.unwrap();
    cloud.compute("host-1").get_console_output(&ctx(), spec.uuid, None).await.unwrap();
}

#[tokio::test]
async fn an_operation_whose_message_is_lost_is_done_by_reconciliation() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    cloud.begin(instance, TaskState::PoweringOff);
    cloud.reconcile("host-1").await;
    cloud.until(instance, "has stopped", |row| row.vm_state == VmState::Stopped).await;
    cloud.begin(instance, TaskState::Deleting);
    cloud.reconcile("host-1").await;
    cloud.until(instance, "is gone", |row| row.gone).await;
}

#[tokio::test]
async fn a_build_that_never_came_is_reported_lost_and_refused_when_it_comes_after_all() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let spec = server(&[]);
    let task_id = TaskId::random();
    cloud.write(&spec, "host-1", VmState::Building, Some((TaskState::Scheduling, task_id)));
    cloud.reconcile("host-1").await;
    let row = cloud.until(spec.uuid, "is lost", |row| row.failure.is_some()).await;
    assert_eq!(row.failure.unwrap(), ("host host-1 lost the build".to_owned(), true));
    let late = BuildRequest { spec: spec.clone(), task_id };
    cloud.compute("host-1").build_and_run_instance(&ctx(), late).await.unwrap();
    assert!(cloud.compute("host-1").get_console_output(&ctx(), spec.uuid, None).await.is_err());
}

#[tokio::test]
async fn a_guest_that_differs_from_its_row_is_reported() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    cloud.edit(instance, |row| row.vm_state = VmState::Stopped);
    // Once the host has let go of the instance: what it is still busy with, it does not judge.
    while cloud.row(instance).vm_state != VmState::Active {
        cloud.reconcile("host-1").await;
    }
    let row = cloud.until(instance, "is active", |row| row.vm_state == VmState::Active).await;
    assert_eq!(row.power_state, PowerState::Running);
}

#[tokio::test]
async fn a_server_without_a_guest_is_put_into_error_once() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let spec = server(&[]);
    cloud.write(&spec, "host-1", VmState::Active, None);
    cloud.reconcile("host-1").await;
    let row = cloud.until(spec.uuid, "is in error", |row| row.vm_state == VmState::Error).await;
    cloud.reconcile("host-1").await;
    cloud.reconcile("host-1").await;
    assert_eq!(cloud.row(spec.uuid).applied.len(), row.applied.len());
}

#[tokio::test]
async fn a_host_that_lost_its_journal_but_not_its_guests_takes_them_back() {
    let dir = tempfile::tempdir().unwrap();
    let cloud = Cloud::with(Stores::open(dir.path()).unwrap()).await;
    let host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    drop(host);
    std::fs::remove_file(dir.path().join("journal.redb")).unwrap();
    let half = cloud.reopened(dir.path()).await;
    let _host = half.start("host-1", instant()).await;
    assert_eq!(half.row(instance).vm_state, VmState::Active);
    let stop = half.begin(instance, TaskState::PoweringOff);
    half.compute("host-1").perform_action(&ctx(), stop, Action::Stop, Default::default()).await.unwrap();
    half.until(instance, "has stopped", |row| row.vm_state == VmState::Stopped).await;
}

#[tokio::test]
async fn a_thousand_hosts_fit_into_one_process() {
    let cloud = Cloud::with(Stores::ephemeral().unwrap()).await;
    let names: Vec<String> = (0..1000).map(|n| format!("host-{n}")).collect();
    let starts = names.iter().map(|name| cloud.start(name, instant()));
    let hosts = futures_util::future::join_all(starts).await;
    assert_eq!(hosts.len(), 1000);
    let specs: Vec<_> = names.iter().map(|_| server(&[])).collect();
    let builds = names.iter().zip(&specs).map(|(name, spec)| cloud.build(name, spec));
    futures_util::future::join_all(builds).await;
    for spec in &specs {
        cloud.until(spec.uuid, "is active", |row| row.vm_state == VmState::Active).await;
    }
}
