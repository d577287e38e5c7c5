//! Power operations, consoles, and guests that die by themselves.

use std::time::Duration;

use novella_common::lifecycle::{Action, PowerState, TaskState, VmState};
use novella_compute::rpcapi::{ActionArguments, ComputeError, NewPassword, OperationId};
use novella_messaging::{CallError, MessagingError, Version};

use crate::cloud::{Cloud, ctx, instant, server};

async fn send(cloud: &Cloud, task_state: TaskState, operation: OperationId) {
    let action = Action::on_host_of(task_state).unwrap();
    cloud.compute("host-1").perform_action(&ctx(), operation, action, Default::default()).await.unwrap();
}

#[tokio::test]
async fn every_power_operation_ends_where_the_table_says() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    let walk = [
        (TaskState::PoweringOff, VmState::Stopped, PowerState::Shutdown, "compute_stop_instance"),
        (TaskState::PoweringOn, VmState::Active, PowerState::Running, "compute_start_instance"),
        (TaskState::Rebooting, VmState::Active, PowerState::Running, "compute_reboot_instance"),
        (TaskState::Pausing, VmState::Paused, PowerState::Paused, "compute_pause_instance"),
        (TaskState::Unpausing, VmState::Active, PowerState::Running, "compute_unpause_instance"),
        (TaskState::Suspending, VmState::Suspended, PowerState::Shutdown, "compute_suspend_instance"),
        (TaskState::Resuming, VmState::Active, PowerState::Running, "compute_resume_instance"),
        (TaskState::PoweringOff, VmState::Stopped, PowerState::Shutdown, "compute_stop_instance"),
        (TaskState::RebootingHard, VmState::Active, PowerState::Running, "compute_reboot_instance"),
        (TaskState::SoftDeleting, VmState::SoftDeleted, PowerState::Shutdown, "compute_soft_delete_instance"),
        (TaskState::Restoring, VmState::Active, PowerState::Running, "compute_restore_instance"),
    ];
    for (task_state, vm_state, power_state, event) in walk {
        let operation = cloud.begin(instance, task_state);
        send(&cloud, task_state, operation).await;
        let row = cloud.until(instance, &format!("{task_state} has ended"), |row| row.task.is_none()).await;
        assert_eq!((row.vm_state, row.power_state, &row.failure), (vm_state, power_state, &None), "{task_state}");
        assert_eq!(row.events[&operation.task_id].event, event);
    }
}

#[tokio::test]
async fn an_operation_that_is_delivered_twice_is_done_once() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    let reboot = cloud.begin(instance, TaskState::RebootingHard);
    send(&cloud, TaskState::RebootingHard, reboot).await;
    let row = cloud.until(instance, "has rebooted", |row| row.task.is_none()).await;
    let boots = || async {
        let console = cloud.compute("host-1").get_console_output(&ctx(), instance, None).await.unwrap();
        console.matches("booted").count()
    };
    assert_eq!(boots().await, 2);
    cloud.edit(instance, |row| {
        row.task = Some((TaskState::RebootingHard, reboot.task_id));
        row.report_seq = 0;
    });
    send(&cloud, TaskState::RebootingHard, reboot).await;
    let again = cloud.until(instance, "is told again", |row| row.task.is_none()).await;
    assert_eq!(again.report_seq, row.report_seq);
    assert_eq!(boots().await, 2);
}

#[tokio::test]
async fn a_failed_power_operation_leaves_the_server_as_it_was() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[("fake:fail_power", "power_off,reboot")]).await;
    let stop = cloud.begin(instance, TaskState::PoweringOff);
    send(&cloud, TaskState::PoweringOff, stop).await;
    let row = cloud.until(instance, "has failed", |row| row.failure.is_some()).await;
    assert_eq!((row.vm_state, row.power_state), (VmState::Active, PowerState::Running));

    let reboot = cloud.begin(instance, TaskState::RebootingHard);
    send(&cloud, TaskState::RebootingHard, reboot).await;
    let row = cloud.until(instance, "has ended", |row| row.task.is_none()).await;
    assert_eq!(row.vm_state, VmState::Error, "a hard reboot is the last resort");
}

#[tokio::test]
async fn a_hard_reboot_takes_over_a_reboot_that_hangs() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[("fake:power_seconds", "3600")]).await;
    let hangs = cloud.begin(instance, TaskState::Rebooting);
    send(&cloud, TaskState::Rebooting, hangs).await;
    cloud.until(instance, "reboots", |row| matches!(row.task, Some((TaskState::RebootStarted, _)))).await;
    let hard = cloud.begin(instance, TaskState::RebootingHard);
    send(&cloud, TaskState::RebootingHard, hard).await;
    cloud.until(instance, "reboots hard", |row| matches!(row.task, Some((TaskState::RebootStartedHard, _)))).await;
    // And a delete takes over that.
    let delete = cloud.begin(instance, TaskState::Deleting);
    cloud.compute("host-1").perform_action(&ctx(), delete, Action::Delete, Default::default()).await.unwrap();
    cloud.until(instance, "is gone", |row| row.gone).await;
}

#[tokio::test]
async fn a_power_operation_on_a_server_without_a_guest_ends_in_error() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let spec = server(&[]);
    cloud.write(&spec, "host-1", VmState::Active, None);
    let stop = cloud.begin(spec.uuid, TaskState::PoweringOff);
    send(&cloud, TaskState::PoweringOff, stop).await;
    let row = cloud.until(spec.uuid, "has failed", |row| row.failure.is_some()).await;
    assert_eq!(row.vm_state, VmState::Error);
}

#[tokio::test]
async fn a_guest_writes_a_crash_dump_and_boots_again() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    let crash = cloud.begin(instance, TaskState::TriggeringCrashDump);
    send(&cloud, TaskState::TriggeringCrashDump, crash).await;
    let row = cloud.until(instance, "is done", |row| row.task.is_none()).await;
    assert_eq!((row.vm_state, row.power_state, &row.failure), (VmState::Active, PowerState::Running, &None));
    assert_eq!(row.events[&crash.task_id].event, "compute_trigger_crash_dump");
    let console = cloud.compute("host-1").get_console_output(&ctx(), instance, None).await.unwrap();
    assert!(console.contains("saved vmcore") && console.matches("booted").count() == 2, "{console}");

    let stop = cloud.begin(instance, TaskState::PoweringOff);
    send(&cloud, TaskState::PoweringOff, stop).await;
    cloud.until(instance, "is stopped", |row| row.task.is_none()).await;
    let crash = cloud.begin(instance, TaskState::TriggeringCrashDump);
    send(&cloud, TaskState::TriggeringCrashDump, crash).await;
    let row = cloud.until(instance, "has failed", |row| row.failure.is_some()).await;
    assert_eq!((row.vm_state, row.power_state), (VmState::Stopped, PowerState::Shutdown));
}

#[tokio::test]
async fn a_guest_keeps_the_password_that_it_is_given() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    let change = cloud.begin(instance, TaskState::UpdatingPassword);
    let arguments = ActionArguments::of(&NewPassword { admin_password: "n3w".into() }).unwrap();
    let host = cloud.compute("host-1");
    host.perform_action(&ctx(), change, Action::ChangePassword, arguments).await.unwrap();
    let row = cloud.until(instance, "is done", |row| row.task.is_none()).await;
    assert_eq!((row.vm_state, row.power_state, &row.failure), (VmState::Active, PowerState::Running, &None));
    assert_eq!(row.events[&change.task_id].event, "compute_set_admin_password");
    let console = host.get_console_output(&ctx(), instance, None).await.unwrap();
    assert!(console.contains("password for root changed") && !console.contains("n3w"), "{console}");

    // Where only the row asks for it, nobody knows the password any more.
    let change = cloud.begin(instance, TaskState::UpdatingPassword);
    host.perform_action(&ctx(), change, Action::ChangePassword, Default::default()).await.unwrap();
    let row = cloud.until(instance, "has failed", |row| row.failure.is_some()).await;
    assert_eq!((row.vm_state, row.power_state), (VmState::Active, PowerState::Running));
}

#[tokio::test]
async fn an_action_that_a_client_may_not_send_yet_is_refused_to_its_sender() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    let operation = cloud.begin(instance, TaskState::TriggeringCrashDump);
    let old = cloud.compute("host-1").version_cap(Version::new(1, 0));
    let refused = old.perform_action(&ctx(), operation, Action::TriggerCrashDump, Default::default()).await;
    assert!(matches!(refused, Err(MessagingError::UnsupportedVersion { .. })), "{refused:?}");
    let stop = cloud.begin(instance, TaskState::PoweringOff);
    old.perform_action(&ctx(), stop, Action::Stop, Default::default()).await.unwrap();
    cloud.until(instance, "is stopped", |row| row.vm_state == VmState::Stopped).await;
}

#[tokio::test]
async fn a_guest_that_dies_by_itself_is_reported() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[("fake:crash_after", "0.05")]).await;
    let row = cloud.until(instance, "has stopped", |row| row.vm_state == VmState::Stopped).await;
    assert_eq!(row.power_state, PowerState::Crashed);
    assert_eq!(row.applied.last().unwrap().task_id, None);

    let quiet = cloud.built("host-1", &[("fake:shutdown_after", "0.05")]).await;
    let row = cloud.until(quiet, "has stopped", |row| row.vm_state == VmState::Stopped).await;
    assert_eq!(row.power_state, PowerState::Shutdown);
}

#[tokio::test]
async fn a_console_can_be_read_whole_or_from_its_end() {
    let cloud = Cloud::new().await;
    let _host = cloud.start("host-1", instant()).await;
    let instance = cloud.built("host-1", &[]).await;
    let host = cloud.compute("host-1");
    let whole = host.get_console_output(&ctx(), instance, None).await.unwrap();
    assert!(whole.contains("Memory: 512 MiB, 1 CPUs"));
    for (length, end) in
        [(0, ""), (1, "web login:"), (3, "[    0.031000] cloud-init: set hostname to web\n\nweb login:")]
    {
        assert_eq!(host.get_console_output(&ctx(), instance, Some(length)).await.unwrap(), end);
    }
    assert!(host.get_host_uptime(&ctx()).await.unwrap().contains(" up "));
    let unknown = host.get_console_output(&ctx(), server(&[]).uuid, None).await;
    assert!(matches!(unknown, Err(CallError::Remote(ComputeError::InstanceNotFound { .. }))));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_failures() {
    let outcomes = || async {
        let cloud = Cloud::new().await;
        let mut config = instant();
        config.fake.seed = Some(7);
        config.fake.build_failure = 0.5;
        let _host = cloud.start("host-1", config).await;
        let mut outcomes = Vec::new();
        for _ in 0..20 {
            let spec = server(&[]);
            cloud.build("host-1", &spec).await;
            let row = cloud.until(spec.uuid, "has ended", |row| row.task.is_none()).await;
            outcomes.push(row.failure.is_some());
        }
        outcomes
    };
    let first = outcomes().await;
    assert_eq!(first, outcomes().await);
    assert!(first.contains(&true) && first.contains(&false));
}

#[tokio::test]
async fn a_heartbeat_comes_as_long_as_the_host_runs() {
    let mut cloud = Cloud::new().await;
    cloud.beat = Duration::from_millis(20);
    let host = cloud.start("host-1", instant()).await;
    cloud.when("three beats", || (cloud.beats("host-1") >= 3).then_some(()), || "fewer".into()).await;
    drop(host);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let last = cloud.beats("host-1");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cloud.beats("host-1"), last);
}
