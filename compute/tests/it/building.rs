//! Builds and deletions.

use novella_common::{
    ids::TaskId,
    lifecycle::{Action, PowerState, TaskState, VmState},
    models::EventResult,
    reports::OperationProgress,
};
use novella_compute::rpcapi::{BuildRequest, ComputeError, OperationId};
use novella_compute::{ComputeConfig, virt::fake::FakeConfig};
use novella_messaging::CallError;

use crate::cloud::{Cloud, ctx, instant, server};

#[tokio::test]
async fn a_build_is_reported_step_by_step_and_ends_active() {
    let cloud = Cloud::new().await;
    let pace = std::time::Duration::from_millis(300);
    let fake = FakeConfig { network_seconds: pace, disk_seconds: pace, ..FakeConfig::default() };
    let _host = cloud.start("host-1", ComputeConfig { fake, ..ComputeConfig::default() }).await;
    let spec = server(&[]);
    let task = cloud.build("host-1", &spec).await;
    let row = cloud.until(spec.uuid, "is active", |row| row.vm_state == VmState::Active).await;
    let steps: Vec<_> = row
        .applied
        .iter()
        .filter_map(|report| match report.progress {
            OperationProgress::Doing { task_state } => Some(task_state),
            _ => None,
        })
        .collect();
    assert_eq!(steps, [TaskState::Networking, TaskState::BlockDeviceMapping, TaskState::Spawning]);
    assert_eq!((row.power_state, row.task), (PowerState::Running, None));
    let event = &row.events[&task];
    assert_eq!(event.event, "compute__do_build_and_run_instance");
    assert_eq!(event.host.as_deref(), Some("host-1"));
    assert_eq!(event.result, Some(EventResult::Success));
    assert!(event.finish_time >= Some(event.start_time));
}

#[tokio::test]
async fn a_build_that_is_delivered_twice_is_done_once() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let spec = server(&[]);
    let task_id = cloud.build("host-1", &spec).await;
    let row = cloud.until(spec.uuid, "is active", |row| row.vm_state == VmState::Active).await;
    // As if the first end had got lost: the second delivery brings it again.
    cloud.edit(spec.uuid, |row| {
        row.vm_state = VmState::Building;
        row.task = Some((TaskState::Spawning, task_id));
        row.report_seq = 0;
    });
    let again = BuildRequest { spec: spec.clone(), task_id };
    cloud.compute("host-1").build_and_run_instance(&ctx(), again).await.unwrap();
    let repeated = cloud.until(spec.uuid, "is active again", |row| row.vm_state == VmState::Active).await;
    assert_eq!(repeated.report_seq, row.report_seq);
}

#[tokio::test]
async fn a_failed_build_is_cleared_away_and_may_go_elsewhere() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let spec = server(&[("fake:fail_build", "host-1")]);
    let task = cloud.build("host-1", &spec).await;
    let row = cloud.until(spec.uuid, "has failed", |row| row.failure.is_some()).await;
    let (message, reschedule) = row.failure.unwrap();
    assert!(message.contains("host-1"), "{message}");
    assert!(reschedule);
    assert_eq!(row.vm_state, VmState::Error);
    let event = &row.events[&task];
    assert_eq!(event.result, Some(EventResult::Error));
    // In words, where the fault shows it.
    let details = format!("compute__do_build_and_run_instance failed on host host-1: {message}");
    assert_eq!(event.details.as_deref(), Some(details.as_str()));
    let console = cloud.compute("host-1").get_console_output(&ctx(), spec.uuid, None).await;
    assert!(matches!(console, Err(CallError::Remote(ComputeError::InstanceNotFound { .. }))));
}

#[tokio::test]
async fn a_server_with_unreadable_metadata_fails_everywhere_with_the_key_named() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let spec = server(&[("fake:build_seconds", "soon")]);
    cloud.build("host-1", &spec).await;
    let row = cloud.until(spec.uuid, "has failed", |row| row.failure.is_some()).await;
    let (message, reschedule) = row.failure.unwrap();
    assert!(message.contains("fake:build_seconds") && message.contains("soon"), "{message}");
    assert!(!reschedule);
}

#[tokio::test]
async fn a_host_refuses_what_does_not_fit_and_takes_it_when_room_is_made() {
    let cloud = Cloud::new().await;
    let fake = FakeConfig { memory_mb: 1024, ..FakeConfig::instant() };
    let _host = cloud.start("host-1", ComputeConfig { fake, ..instant() }).await;
    // 512 MiB are the host's own, so there is room for one.
    let first = cloud.built("host-1", &[]).await;
    let second = server(&[]);
    let task_id = TaskId::random();
    let build = BuildRequest { spec: second.clone(), task_id };
    let refused = cloud.compute("host-1").build_and_run_instance(&ctx(), build).await;
    assert!(matches!(refused, Err(CallError::Remote(ComputeError::ComputeResourcesUnavailable { .. }))), "{refused:?}");

    let delete = cloud.begin(first, TaskState::Deleting);
    cloud.compute("host-1").perform_action(&ctx(), delete, Action::Delete, Default::default()).await.unwrap();
    cloud.until(first, "is gone", |row| row.gone).await;
    cloud.build("host-1", &second).await;
    cloud.until(second.uuid, "is active", |row| row.vm_state == VmState::Active).await;
}

#[tokio::test]
async fn a_delete_cancels_the_build() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let spec = server(&[("fake:build_seconds", "3600")]);
    cloud.build("host-1", &spec).await;
    cloud.until(spec.uuid, "spawns", |row| matches!(row.task, Some((TaskState::Spawning, _)))).await;
    let delete = cloud.begin(spec.uuid, TaskState::Deleting);
    cloud.compute("host-1").perform_action(&ctx(), delete, Action::Delete, Default::default()).await.unwrap();
    let row = cloud.until(spec.uuid, "is gone", |row| row.gone).await;
    assert_eq!(row.events[&delete.task_id].event, "compute_terminate_instance");
}

#[tokio::test]
async fn a_delete_of_an_unknown_server_reports_it_gone() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let spec = server(&[]);
    cloud.write(&spec, "host-1", VmState::Active, None);
    let delete = cloud.begin(spec.uuid, TaskState::Deleting);
    cloud.compute("host-1").perform_action(&ctx(), delete, Action::Delete, Default::default()).await.unwrap();
    cloud.until(spec.uuid, "is gone", |row| row.gone).await;
}

#[tokio::test]
async fn no_more_builds_run_at_once_than_allowed() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", ComputeConfig { max_concurrent_builds: 1, ..instant() }).await;
    let slow = server(&[("fake:build_seconds", "3600")]);
    let next = server(&[]);
    cloud.build("host-1", &slow).await;
    cloud.until(slow.uuid, "spawns", |row| matches!(row.task, Some((TaskState::Spawning, _)))).await;
    cloud.build("host-1", &next).await;
    assert!(matches!(cloud.row(next.uuid).task, Some((TaskState::Scheduling, _))));
    let delete = cloud.begin(slow.uuid, TaskState::Deleting);
    cloud.compute("host-1").perform_action(&ctx(), delete, Action::Delete, Default::default()).await.unwrap();
    cloud.until(next.uuid, "is active", |row| row.vm_state == VmState::Active).await;
}

#[tokio::test]
async fn hundreds_of_servers_are_built_at_once_and_every_report_has_its_own_number() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", ComputeConfig { ratios: roomy(), ..instant() }).await;
    let specs: Vec<_> = (0..300).map(|_| server(&[])).collect();
    let builds = specs.iter().map(|spec| cloud.build("host-1", spec));
    futures_util::future::join_all(builds).await;
    for spec in &specs {
        cloud.until(spec.uuid, "is active", |row| row.vm_state == VmState::Active).await;
    }
    let heard = cloud.received("host-1");
    let distinct: std::collections::HashSet<_> = heard.iter().collect();
    assert_eq!(distinct.len(), heard.len());
    assert!(heard.is_sorted());
}

fn roomy() -> novella_common::models::AllocationRatios {
    novella_common::models::AllocationRatios { cpu: 100.0, ram: 100.0, disk: 100.0 }
}

#[tokio::test]
async fn a_second_delete_repeats_the_end_of_the_first() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    let delete: OperationId = cloud.begin(instance, TaskState::Deleting);
    let host = cloud.compute("host-1");
    host.perform_action(&ctx(), delete, Action::Delete, Default::default()).await.unwrap();
    let row = cloud.until(instance, "is gone", |row| row.gone).await;
    cloud.edit(instance, |row| {
        row.gone = false;
        row.task = Some((TaskState::Deleting, delete.task_id));
        row.report_seq = 0;
    });
    host.perform_action(&ctx(), delete, Action::Delete, Default::default()).await.unwrap();
    let again = cloud.until(instance, "is gone again", |row| row.gone).await;
    assert_eq!(again.report_seq, row.report_seq);
}
