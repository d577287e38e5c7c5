//! Hosts that die and come back: nothing they owned is lost, nothing is done twice.

use std::time::Duration;

use novella_common::{
    lifecycle::{Action, PowerState, TaskState, VmState},
    service::Shutdown,
};
use novella_compute::{ComputeConfig, Stores, virt::fake::FakeConfig};

use crate::cloud::{Cloud, ctx, instant, server};

#[tokio::test]
async fn a_build_goes_on_after_its_host_has_died_in_the_middle() {
    let cloud = Cloud::new().await;
    let pace = Duration::from_millis(300);
    let fake = FakeConfig { disk_seconds: pace, ..FakeConfig::instant() };
    let config = ComputeConfig { fake, ..instant() };
    let host = cloud.start("host-1", config.clone()).await;
    let spec = server(&[]);
    cloud.build("host-1", &spec).await;
    cloud.until(spec.uuid, "attaches disks", |row| matches!(row.task, Some((TaskState::BlockDeviceMapping, _)))).await;
    drop(host);
    let _host = cloud.start("host-1", config).await;
    let row = cloud.until(spec.uuid, "is active", |row| row.vm_state == VmState::Active).await;
    assert_eq!(row.failure, None);
}

#[tokio::test]
async fn a_power_operation_goes_on_after_its_host_has_died_in_the_middle() {
    let cloud = Cloud::new().await;
    let config = |power_seconds| {
        let fake = FakeConfig { power_seconds, ..FakeConfig::instant() };
        ComputeConfig { fake, ..instant() }
    };
    let host = cloud.start("host-1", config(Duration::from_secs(3600))).await;
    let instance = cloud.built("host-1", &[]).await;
    let reboot = cloud.begin(instance, TaskState::RebootingHard);
    cloud.compute("host-1").perform_action(&ctx(), reboot, Action::RebootHard, Default::default()).await.unwrap();
    cloud.until(instance, "reboots", |row| matches!(row.task, Some((TaskState::RebootStartedHard, _)))).await;
    drop(host);
    let _host = cloud.start("host-1", config(Duration::ZERO)).await;
    cloud.until(instance, "has rebooted", |row| row.task.is_none() && row.vm_state == VmState::Active).await;
}

#[tokio::test]
async fn guests_and_journal_survive_in_the_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let cloud = Cloud::with(Stores::open(dir.path()).unwrap()).await;
    let host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    let shutdown = Shutdown::new();
    let other = cloud.start_only("host-2", instant(), &shutdown).await;
    assert!(other.ready().await);
    shutdown.request();
    assert!(shutdown.finished(Duration::from_secs(20)).await);
    drop((host, other));

    let cloud = cloud.reopened(dir.path()).await;
    let _host = cloud.start("host-1", instant()).await;
    let stop = cloud.begin(instance, TaskState::PoweringOff);
    cloud.compute("host-1").perform_action(&ctx(), stop, Action::Stop, Default::default()).await.unwrap();
    let row = cloud.until(instance, "has stopped", |row| row.vm_state == VmState::Stopped).await;
    assert_eq!(row.failure, None);
}

#[tokio::test]
async fn a_report_that_was_lost_is_brought_again_by_reconciliation() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    let stop = cloud.begin(instance, TaskState::PoweringOff);
    cloud.compute("host-1").perform_action(&ctx(), stop, Action::Stop, Default::default()).await.unwrap();
    let row = cloud.until(instance, "has stopped", |row| row.vm_state == VmState::Stopped).await;
    // As if that report had never come.
    cloud.edit(instance, |row| {
        row.vm_state = VmState::Active;
        row.task = Some((TaskState::PoweringOff, stop.task_id));
        row.report_seq -= 1;
    });
    cloud.reconcile("host-1").await;
    let again = cloud.until(instance, "has stopped", |row| row.vm_state == VmState::Stopped).await;
    assert_eq!(again.report_seq, row.report_seq);
}

#[tokio::test]
async fn report_numbers_go_on_after_a_restart_and_above_all_former_ones_after_a_lost_disk() {
    let cloud = Cloud::new().await;
    let host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    drop(host);
    let host = cloud.start("host-1", instant()).await;
    let stop = cloud.begin(instance, TaskState::PoweringOff);
    cloud.compute("host-1").perform_action(&ctx(), stop, Action::Stop, Default::default()).await.unwrap();
    cloud.until(instance, "has stopped", |row| row.vm_state == VmState::Stopped).await;
    drop(host);

    let fresh = cloud.on(Stores::ephemeral().unwrap());
    let _host = fresh.start("host-1", instant()).await;
    let row = fresh.until(instance, "is in error", |row| row.vm_state == VmState::Error).await;
    assert_eq!(row.power_state, PowerState::NoState);
    let heard = cloud.received("host-1");
    assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "{heard:?}");
}

#[tokio::test]
async fn a_host_works_only_after_a_conductor_has_called() {
    let cloud = Cloud::new().await;
    let first = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    drop(first);
    cloud.ignore("host-1", true);
    let host = cloud.start_only("host-1", instant(), &Shutdown::new()).await;
    let stop = cloud.begin(instance, TaskState::PoweringOff);
    // Waits in its queue.
    cloud.compute("host-1").perform_action(&ctx(), stop, Action::Stop, Default::default()).await.unwrap();
    cloud.when("hello is said again", || (cloud.hellos("host-1") >= 3).then_some(()), || "fewer".into()).await;
    assert!(!host.is_ready());
    assert_eq!(cloud.row(instance).vm_state, VmState::Active);
    cloud.ignore("host-1", false);
    cloud.until(instance, "has stopped", |row| row.vm_state == VmState::Stopped).await;
    assert!(host.ready().await);
}

#[tokio::test]
async fn a_host_that_is_stopped_in_order_leaves_a_long_build_to_its_next_start() {
    let cloud = Cloud::new().await;
    let shutdown = Shutdown::new();
    let one_at_a_time = ComputeConfig { max_concurrent_builds: 1, ..instant() };
    let host = cloud.start_only("host-1", one_at_a_time.clone(), &shutdown).await;
    assert!(host.ready().await);
    let long = server(&[("fake:build_seconds", "0.5")]);
    let waits = server(&[]);
    cloud.build("host-1", &long).await;
    cloud.until(long.uuid, "spawns", |row| matches!(row.task, Some((TaskState::Spawning, _)))).await;
    cloud.build("host-1", &waits).await;
    shutdown.request();
    assert!(shutdown.finished(Duration::from_secs(20)).await);
    // What had begun was finished; what waited was not begun.
    cloud.until(long.uuid, "is active", |row| row.vm_state == VmState::Active).await;
    assert_eq!(cloud.row(waits.uuid).vm_state, VmState::Building);
    drop(host);
    let _host = cloud.start("host-1", one_at_a_time).await;
    cloud.until(waits.uuid, "is active", |row| row.vm_state == VmState::Active).await;
}
