//! Bringing a host and its rows together.

use novella_common::{
    ids::{Incarnation, TaskId},
    lifecycle::{Action, PowerState, TaskState, VmState},
    service::Shutdown,
};
use novella_compute::{
    Stores,
    rpcapi::{BuildRequest, ComputeControlClient, OperationId, Reconciliation},
};

use crate::{
    cloud::{Cloud, ctx, instant, server},
    pair::{Pair, RESTLESS, paced},
};

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
    let late = Reconciliation { desired: Vec::new(), remove: vec![spec.uuid], incarnation: None };
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
async fn an_operation_whose_end_is_in_no_report_any_more_ends_as_the_guest_is_whatever_it_was() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    for action in Action::ALL.iter().filter(|action| action.transition().on_host) {
        let instance = cloud.built("host-1", &[]).await;
        let transition = action.transition();
        let perform = async |operation, action| {
            cloud.compute("host-1").perform_action(&ctx(), operation, action, Default::default()).await.unwrap();
        };
        // What it needs to begin with.
        let before = match action {
            Action::Start => Some((TaskState::PoweringOff, Action::Stop)),
            Action::Unpause => Some((TaskState::Pausing, Action::Pause)),
            Action::Resume => Some((TaskState::Suspending, Action::Suspend)),
            _ => None,
        };
        if let Some((state, action)) = before {
            perform(cloud.begin(instance, state), action).await;
            cloud.until(instance, "is ready", |row| row.task.is_none()).await;
        }
        let operation = cloud.begin(instance, transition.first_task());
        perform(operation, *action).await;
        cloud.until(instance, "has been done", |row| row.gone || row.task.is_none()).await;
        // Its end was never written down, and the host has since had something else to say.
        let last = *transition.during.last().unwrap();
        cloud.edit(instance, |row| {
            row.gone = false;
            row.task = Some((TaskState::PoweringOff, TaskId::random()));
        });
        cloud.reconcile("host-1").await;
        cloud.until(instance, "has been said", |row| row.task.is_none()).await;
        cloud.edit(instance, |row| {
            row.failure = None;
            row.task = Some((last, operation.task_id));
        });
        cloud.reconcile("host-1").await;
        cloud.until(instance, transition.verb, |row| row.gone || row.task.is_none()).await;
    }
}

#[tokio::test]
async fn a_message_that_comes_late_does_not_have_the_last_word() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[("fake:power_seconds", "0.3")]).await;
    let newer = cloud.begin(instance, TaskState::RebootingHard);
    let older = OperationId { task_id: TaskId::random(), ..newer };
    for operation in [newer, older] {
        cloud
            .compute("host-1")
            .perform_action(&ctx(), operation, Action::RebootHard, Default::default())
            .await
            .unwrap();
        cloud
            .until(instance, "reboots", |row| row.task.is_none_or(|(state, _)| state == TaskState::RebootStartedHard))
            .await;
    }
    // The older has taken over, and its end is nobody's: the row waits for the newer.
    while cloud.row(instance).task.is_some() {
        cloud.reconcile("host-1").await;
    }
    let row = cloud.row(instance);
    assert_eq!((row.vm_state, row.failure), (VmState::Active, None));
    assert_eq!(row.applied.last().unwrap().task_id, Some(newer.task_id));
}

#[tokio::test]
async fn a_reboot_that_comes_late_does_not_keep_a_server_that_is_to_be_deleted() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    let delete = cloud.begin(instance, TaskState::Deleting);
    cloud.compute("host-1").perform_action(&ctx(), delete, Action::Delete, Default::default()).await.unwrap();
    let late = OperationId { task_id: TaskId::random(), ..delete };
    cloud.compute("host-1").perform_action(&ctx(), late, Action::RebootHard, Default::default()).await.unwrap();
    // Whichever of the two the host has taken up first.
    while !cloud.row(instance).gone {
        cloud.reconcile("host-1").await;
    }
    cloud.reconcile("host-1").await;
    assert!(cloud.compute("host-1").get_console_output(&ctx(), instance, None).await.is_err());
}

#[tokio::test]
async fn a_suspend_does_not_wait_for_a_copy_whose_migration_is_over() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    let _migration = pair.begin(instance).await;
    pair.copying(instance).await;
    // Aborted and ended, and neither host could be told.
    pair.here.edit(instance, |row| row.task = None);
    let suspend = pair.here.begin(instance, TaskState::Suspending);
    pair.here.compute("source").perform_action(&ctx(), suspend, Action::Suspend, Default::default()).await.unwrap();
    pair.here.reconcile("source").await;
    let row = pair.here.until(instance, "is suspended", |row| row.task.is_none()).await;
    assert_eq!((row.vm_state, row.failure), (VmState::Suspended, None));
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
async fn a_server_whose_guest_is_gone_is_made_anew_by_a_hard_reboot_and_by_nothing_else() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let spec = server(&[]);
    cloud.write(&spec, "host-1", VmState::Active, None);
    cloud.reconcile("host-1").await;
    cloud.until(spec.uuid, "is in error", |row| row.vm_state == VmState::Error).await;
    let stop = cloud.begin(spec.uuid, TaskState::PoweringOff);
    cloud.compute("host-1").perform_action(&ctx(), stop, Action::Stop, Default::default()).await.unwrap();
    let row = cloud.until(spec.uuid, "could not be stopped", |row| row.task.is_none()).await;
    assert_eq!((row.vm_state, row.failure.is_some()), (VmState::Error, true));
    let reboot = cloud.begin(spec.uuid, TaskState::RebootingHard);
    cloud.compute("host-1").perform_action(&ctx(), reboot, Action::RebootHard, Default::default()).await.unwrap();
    let row = cloud.until(spec.uuid, "runs again", |row| row.task.is_none()).await;
    assert_eq!((row.vm_state, row.power_state), (VmState::Active, PowerState::Running));
    let delete = cloud.begin(spec.uuid, TaskState::Deleting);
    cloud.compute("host-1").perform_action(&ctx(), delete, Action::Delete, Default::default()).await.unwrap();
    cloud.until(spec.uuid, "is gone", |row| row.gone).await;
}

#[tokio::test]
async fn a_host_says_hello_until_it_is_reconciled_as_the_run_that_it_is() {
    let cloud = Cloud::new().await;
    cloud.ignore("host-1", true);
    let host = cloud.start_only("host-1", instant(), &Shutdown::new()).await;
    while cloud.hellos("host-1") == 0 {
        tokio::task::yield_now().await;
    }
    // By a conductor that has written down the run before.
    let control = ComputeControlClient::new(&cloud.transport).server("host-1");
    let before = Reconciliation { incarnation: Some(Incarnation::random()), ..Reconciliation::default() };
    control.reconcile(&ctx(), before).await.unwrap();
    assert!(!host.is_ready());
    let this = Reconciliation { incarnation: Some(host.identity().incarnation), ..Reconciliation::default() };
    control.reconcile(&ctx(), this).await.unwrap();
    assert!(host.ready().await);
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
