#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use novella_common::{
    ids::{InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::RequestSpec,
    reports::{InstanceReport, OperationProgress},
};
use proptest::prelude::*;

use super::*;

/// A few operations and hosts, so that reports often meet the row and often miss it.
fn task(index: usize) -> TaskId {
    TaskId(uuid::Uuid::from_u128(index as u128 + 1))
}

fn task_ids() -> impl Strategy<Value = Option<TaskId>> {
    prop::option::of((0..2_usize).prop_map(task))
}

fn vm_states() -> impl Strategy<Value = VmState> {
    prop::sample::select(vec![VmState::Building, VmState::Active, VmState::Stopped, VmState::Error])
}

fn task_states() -> impl Strategy<Value = TaskState> {
    prop::sample::select(vec![TaskState::Scheduling, TaskState::Spawning, TaskState::Deleting, TaskState::Migrating])
}

fn hosts() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["host-1", "host-2"])
}

prop_compose! {
    fn reported_rows()(
        host in prop::option::of(hosts()),
        vm_state in vm_states(),
        task in prop::option::of((task_states(), (0..2_usize).prop_map(task))),
        report_seq in 0..4_i64,
        launched in any::<bool>(),
    ) -> ReportedRow {
        ReportedRow {
            instance: InstanceUuid(uuid::Uuid::nil()),
            host: host.map(ToOwned::to_owned),
            vm_state,
            task_state: task.map(|(state, _)| state),
            task_id: task.map(|(_, id)| id),
            task_request_id: task.map(|_| "req-1".into()),
            power_state: PowerState::NoState,
            report_seq,
            attempts: 1,
            launched,
            has_ports: false,
            spec: RequestSpec::default(),
        }
    }
}

fn progress() -> impl Strategy<Value = OperationProgress> {
    prop_oneof![
        task_states().prop_map(|task_state| OperationProgress::Doing { task_state }),
        vm_states().prop_map(|vm_state| OperationProgress::Done { vm_state }),
        (prop::option::of(vm_states()), any::<bool>()).prop_map(|(vm_state, reschedule)| OperationProgress::Failed {
            vm_state,
            message: "it failed".into(),
            details: None,
            reschedule,
        }),
        Just(OperationProgress::Gone),
    ]
}

prop_compose! {
    fn reports()(seq in 0..8_i64, task_id in task_ids(), progress in progress()) -> InstanceReport {
        InstanceReport {
            instance: InstanceUuid(uuid::Uuid::nil()),
            seq,
            task_id,
            request_id: None,
            power_state: PowerState::Running,
            progress,
            event: None,
        }
    }
}

/// The row after what was folded is written.
fn written(mut row: ReportedRow, folded: &Folded) -> Option<ReportedRow> {
    if folded.gone || folded.rescheduled.is_some() {
        return None;
    }
    if let Some(reported) = &folded.reported {
        row.report_seq = reported.seq;
        row.vm_state = reported.vm_state;
        row.task_state = reported.task_state;
        row.power_state = reported.power_state;
        row.launched |= reported.launched;
        if reported.task_state.is_none() {
            row.task_id = None;
            row.task_request_id = None;
        }
    }
    Some(row)
}

proptest! {
    #[test]
    fn a_batch_comes_to_the_same_as_its_reports_one_by_one(
        target in reported_rows(),
        reports in prop::collection::vec((hosts(), reports()), 0..8),
    ) {
        let now = Timestamp::UNIX_EPOCH;
        let together = fold(&target, reports.iter().map(|(host, report)| (*host, report)), now);
        let mut row = Some(target.clone());
        let mut faults = Vec::new();
        let mut last = Folded::default();
        for (host, report) in &reports {
            let Some(before) = row else { break };
            last = fold(&before, [(*host, report)], now);
            faults.extend(last.faults.clone());
            row = written(before, &last);
        }
        prop_assert_eq!(written(target, &together), row.clone());
        prop_assert_eq!(&together.faults, &faults);
        if row.is_none() {
            prop_assert_eq!(together.gone, last.gone);
            prop_assert_eq!(together.rescheduled, last.rescheduled);
        }
    }

    #[test]
    fn what_does_not_apply_changes_nothing(target in reported_rows(), host in hosts(), report in reports()) {
        let applies = target.host.as_deref() == Some(host)
            && report.seq > target.report_seq
            && report.task_id == target.task_id;
        let folded = fold(&target, [(host, &report)], Timestamp::UNIX_EPOCH);
        prop_assert_eq!(folded.reported.is_some() || folded.rescheduled.is_some(), applies);
        if !applies {
            prop_assert!(folded.faults.is_empty() && folded.events.is_empty() && !folded.gone);
        }
    }

    #[test]
    fn only_what_is_being_deleted_is_ever_gone(
        target in reported_rows(),
        reports in prop::collection::vec((hosts(), reports()), 0..8),
    ) {
        let folded = fold(&target, reports.iter().map(|(host, report)| (*host, report)), Timestamp::UNIX_EPOCH);
        let ever_deleting = target.task_state == Some(TaskState::Deleting)
            || reports.iter().any(|(_, report)| {
                report.progress == OperationProgress::Doing { task_state: TaskState::Deleting }
            });
        prop_assert!(!folded.gone || ever_deleting);
    }

    #[test]
    fn a_migration_ends_by_no_report_about_the_instance(
        target in reported_rows(),
        reports in prop::collection::vec((hosts(), reports()), 0..8),
    ) {
        let task_id = target.task_id.unwrap_or_else(|| task(0));
        let migrating = ReportedRow {
            vm_state: VmState::Active,
            task_state: Some(TaskState::Migrating),
            task_id: Some(task_id),
            ..target
        };
        let gone = |report: &InstanceReport| report.progress == OperationProgress::Gone;
        let reports: Vec<_> = reports.into_iter().filter(|(_, report)| !gone(report)).collect();
        let folded = fold(&migrating, reports.iter().map(|(host, report)| (*host, report)), Timestamp::UNIX_EPOCH);
        if let Some(reported) = folded.reported {
            prop_assert_eq!(reported.task_state, Some(TaskState::Migrating));
            prop_assert_eq!(reported.vm_state, VmState::Active);
        }
    }
}
