use novella_common::{
    ids::{Incarnation, InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{PowerState, TaskState},
    models::{AllocationRatios, EventResult, Resources},
    reports::Hello,
};
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn refused(fact: Fact) -> Option<String> {
    check(&mut Report { host: "host-1".into(), fact }, now()).err().map(|error| error.to_string())
}

fn hello(change: impl FnOnce(&mut Inventory)) -> Fact {
    let mut inventory = Inventory {
        total: Resources { vcpus: 8, memory_mb: 16_384, disk_gb: 100 },
        reserved: Resources::default(),
        ratios: AllocationRatios::default(),
        hypervisor_type: "fake".into(),
        hypervisor_version: 1,
        hypervisor_hostname: "host-1".into(),
        host_ip: "127.0.0.1".into(),
        cpu_info: json!({}),
        availability_zone: "nova".into(),
    };
    change(&mut inventory);
    Fact::Hello(Hello { incarnation: Incarnation::random(), inventory, identity: None })
}

fn instance(task_id: Option<TaskId>, change: impl FnOnce(&mut InstanceReport)) -> Fact {
    let mut report = InstanceReport {
        instance: InstanceUuid(uuid::Uuid::nil()),
        seq: now().as_microsecond(),
        task_id,
        request_id: Some("req-1".into()),
        power_state: PowerState::Running,
        progress: OperationProgress::Done { vm_state: VmState::Active },
        event: Some(ActionEvent {
            event: "compute_start_instance".into(),
            host: Some("host-1".into()),
            start_time: now(),
            finish_time: None,
            result: Some(EventResult::Success),
            details: None,
        }),
    };
    change(&mut report);
    Fact::Instance(report)
}

fn copied(memory_remaining: i64) -> Fact {
    Fact::Migration(MigrationReport {
        migration: MigrationUuid(uuid::Uuid::nil()),
        instance: InstanceUuid(uuid::Uuid::nil()),
        seq: 1,
        task_id: TaskId::random(),
        progress: MigrationProgress { memory_remaining, ..MigrationProgress::default() },
        outcome: MigrationOutcome::Running,
    })
}

#[test]
fn what_a_host_says_of_itself_and_its_guests_is_believed() {
    let task = Some(TaskId::random());
    for fact in [
        hello(|_| {}),
        instance(task, |_| {}),
        instance(None, |_| {}),
        instance(task, |report| report.progress = OperationProgress::Done { vm_state: VmState::Resized }),
        instance(task, |report| report.progress = OperationProgress::Doing { task_state: TaskState::Spawning }),
        // A clock that is not quite right.
        instance(task, |report| report.seq += 60_000_000),
        copied(4096),
    ] {
        assert_eq!(refused(fact), None);
    }
}

#[test]
fn what_no_host_can_say_is_refused_and_named() {
    let task = Some(TaskId::random());
    let done = |vm_state| move |report: &mut InstanceReport| report.progress = OperationProgress::Done { vm_state };
    for (fact, reason) in [
        (hello(|it| it.total.vcpus = i64::MAX), "vcpus is 9223372036854775807"),
        (hello(|it| it.reserved.memory_mb = i64::MIN), "memory_mb is -9223372036854775808"),
        (hello(|it| it.ratios.disk = f64::INFINITY), "the allocation ratio of disk is inf"),
        (hello(|it| it.ratios.cpu = f64::NAN), "the allocation ratio of cpu is NaN"),
        (
            hello(|it| {
                it.total.disk_gb = MAX_AMOUNT;
                it.ratios.disk = 2.0;
            }),
            "with its allocation ratios",
        ),
        (hello(|it| it.availability_zone = "z".repeat(256)), "availability_zone has 256 bytes"),
        (hello(|it| it.host_ip = "\u{1b}[2J".into()), "host_ip has control characters"),
        (hello(|it| it.cpu_info = json!("\0")), "cpu_info"),
        (instance(None, done(VmState::Building)), "building"),
        (instance(task, done(VmState::Deleted)), "deleted"),
        (instance(None, done(VmState::Resized)), "resized"),
        (
            instance(None, |it| it.progress = OperationProgress::Doing { task_state: TaskState::Deleting }),
            "without having been asked",
        ),
        (instance(None, |it| it.seq = i64::MAX), "ahead of this conductor's clock"),
        (instance(None, |it| it.seq = -1), "its number is -1"),
        (instance(task, |it| it.request_id = Some("r".repeat(300))), "request_id has 300 bytes"),
        (instance(task, |it| it.event.as_mut().unwrap().event = String::new()), "event has 0 bytes"),
        (copied(-1), "-1 bytes"),
    ] {
        let refusal = refused(fact).unwrap();
        assert!(refusal.contains(reason), "{refusal}");
    }
}

#[test]
fn a_failure_that_is_long_or_has_what_no_database_holds_is_told_as_far_as_it_can_be() {
    let failed = OperationProgress::Failed {
        vm_state: None,
        message: "no\0disk".into(),
        details: Some("ü".repeat(MAX_TEXT)),
        reschedule: false,
    };
    let fact = instance(Some(TaskId::random()), |report| report.progress = failed);
    let mut report = Report { host: "host-1".into(), fact };
    check(&mut report, now()).unwrap();
    let Fact::Instance(InstanceReport { progress: OperationProgress::Failed { message, details, .. }, .. }) =
        report.fact
    else {
        panic!("{report:?}")
    };
    assert_eq!((message.as_str(), details.unwrap().len()), ("no\u{fffd}disk", MAX_TEXT));
}
