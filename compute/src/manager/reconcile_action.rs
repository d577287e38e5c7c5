//! What to do about one instance when the host is reconciled with its row: a plain function of what is known.
//!
//! | the row says | the journal | action |
//! | --- | --- | --- |
//! | an operation | has it under way, and somebody does it | nothing, but the last report again |
//! | an operation | has it under way, nobody does it | go on |
//! | an operation | has finished it | the last report again; without one, how it must have ended, by the guest |
//! | an operation | has had it taken over by a message that came late | do it again |
//! | another operation, or nothing | still copies for a migration | give that up: its conductor has |
//! | a power operation, a deletion | never heard of it | do it |
//! | a build | never heard of it | it is lost, unless it is still on its way |
//! | a migration | never heard of it | nothing: it is the conductor's |
//! | nothing under way | has something that nobody does | forget that, decide again |
//! | nothing under way | at rest | compare the guest with the row |

use novella_common::{
    ids::TaskId,
    lifecycle::{Action, Keeper, PowerState, VmState},
    reports::Fact,
};

use super::reports::reported;
use crate::{journal::Entry, rpcapi::DesiredInstance};

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ReconcileAction {
    /// All is well, or somebody works on it.
    Nothing,
    /// Send the last report again if it is newer than the row's.
    RepeatReport,
    /// Take up what a former run of the host has left.
    Resume(TaskId),
    /// Do what the row asks for; its message got lost.
    Perform(Action, TaskId),
    /// Do again what a message that came late has taken over.
    PerformAgain(Action, TaskId),
    /// Report how an operation must have ended whose end is in no report any more.
    ReportEnd(Action, TaskId),
    /// Stop to copy for a migration that is over, and decide again at the next reconciliation.
    StopCopying(TaskId),
    /// PendingReport that the build is lost, if its message does not come after all.
    ReportLostBuild(TaskId),
    /// Forget an operation that the row does not know (any more), and decide again.
    ForgetOperation(TaskId),
    /// Report that the guest is in another state than the row says.
    ReportState(VmState, PowerState),
    /// Report that there is no guest.
    ReportMissing,
}

/// Decides. `guest` is what the hypervisor says, `free` whether nobody works on the instance, `as_listed` whether nothing
/// has begun or ended on it since the host was asked what it holds: then the row, which was read after that, is no older
/// than what the journal says.
pub(super) fn decide(
    entry: Option<&Entry>,
    guest: Option<PowerState>,
    desired: &DesiredInstance,
    free: bool,
    as_listed: bool,
) -> ReconcileAction {
    if let Some(operation) = entry.and_then(|entry| entry.operation.as_ref())
        && desired.task.is_none_or(|(_, task)| task != operation.task_id)
        && matches!(operation.action, Action::LiveMigrate | Action::Migrate)
        && !free
    {
        return if as_listed { ReconcileAction::StopCopying(operation.task_id) } else { ReconcileAction::Nothing };
    }
    let under_way = entry.and_then(|entry| entry.operation.as_ref()).map(|operation| operation.task_id);
    match (desired.task, under_way) {
        (Some((_, task)), Some(own)) if task == own => {
            if free {
                ReconcileAction::Resume(task)
            } else {
                ReconcileAction::RepeatReport
            }
        }
        (Some((task_state, task)), _) if entry.is_some_and(|entry| entry.settled.contains(&task)) => {
            if entry.is_some_and(|entry| entry.reports_end_of(task)) {
                return ReconcileAction::RepeatReport;
            }
            let overtaken = entry.is_some_and(|entry| entry.overtaken.contains(&task));
            match (task_state.keeper(), Action::on_host_of(task_state)) {
                // Its conductor asks for what it needs to know.
                (Keeper::LongTask, _) => ReconcileAction::RepeatReport,
                // The row may be older than what has taken over.
                _ if overtaken && !as_listed => ReconcileAction::Nothing,
                (_, Some(action)) if overtaken || (action.transition().is_final() && guest.is_some()) => {
                    ReconcileAction::PerformAgain(action, task)
                }
                // On its way here or away from here.
                _ if guest == Some(PowerState::NoState) => ReconcileAction::Nothing,
                (_, action) => ReconcileAction::ReportEnd(action.unwrap_or(Action::Create), task),
            }
        }
        (Some((task_state, task)), _) => match (task_state.keeper(), Action::on_host_of(task_state)) {
            (_, Some(action)) => ReconcileAction::Perform(action, task),
            (Keeper::LongTask, None) => ReconcileAction::Nothing,
            (Keeper::Build | Keeper::Host, None) => ReconcileAction::ReportLostBuild(task),
        },
        (None, Some(own)) if free => ReconcileAction::ForgetOperation(own),
        // The row was read before the operation began, or is about to be told of its end.
        (None, Some(_)) => ReconcileAction::Nothing,
        (None, None) if !free => ReconcileAction::Nothing,
        (None, None) if has_unwritten_report(entry, desired.report_seq) => ReconcileAction::RepeatReport,
        (None, None) => compare(guest, desired),
    }
}

/// Whether the last report is one that a row without an operation takes, and has not taken yet.
fn has_unwritten_report(entry: Option<&Entry>, written_down: i64) -> bool {
    match entry.and_then(|entry| entry.last_report.as_ref()) {
        Some(Fact::Instance(report)) => report.task_id.is_none() && report.seq > written_down,
        _ => false,
    }
}

fn compare(guest: Option<PowerState>, desired: &DesiredInstance) -> ReconcileAction {
    let Some(power) = guest else {
        return match desired.vm_state {
            VmState::Active | VmState::Paused | VmState::Suspended | VmState::Stopped | VmState::Resized => {
                ReconcileAction::ReportMissing
            }
            VmState::Building | VmState::SoftDeleted | VmState::Error | VmState::Deleted => ReconcileAction::Nothing,
        };
    };
    let fits = match desired.vm_state {
        VmState::Active => power == PowerState::Running,
        VmState::Paused => power == PowerState::Paused,
        VmState::Suspended => power == PowerState::Suspended,
        VmState::Stopped => matches!(power, PowerState::Shutdown | PowerState::Crashed),
        // Not for the host to say: a person, or the conductor, ends these.
        VmState::Building | VmState::Resized | VmState::SoftDeleted | VmState::Error | VmState::Deleted => {
            return ReconcileAction::Nothing;
        }
    };
    if fits {
        if reported(power) == desired.power_state {
            ReconcileAction::Nothing
        } else {
            ReconcileAction::ReportState(desired.vm_state, reported(power))
        }
    } else {
        match state_of(power) {
            Some(vm_state) => ReconcileAction::ReportState(vm_state, reported(power)),
            // On its way here or away from here.
            None => ReconcileAction::Nothing,
        }
    }
}

/// What a server is whose guest does this; `None`: it is on its way here or away from here.
pub(super) fn state_of(power: PowerState) -> Option<VmState> {
    match power {
        PowerState::Running => Some(VmState::Active),
        PowerState::Paused => Some(VmState::Paused),
        PowerState::Suspended => Some(VmState::Suspended),
        PowerState::Shutdown | PowerState::Crashed => Some(VmState::Stopped),
        PowerState::NoState => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use novella_common::{
        ids::InstanceUuid,
        lifecycle::TaskState,
        models::{Flavor, InstanceSpec, RxtxFactor},
        reports::{InstanceReport, OperationProgress},
    };

    use super::*;
    use crate::journal::Operation;

    fn desired(vm_state: VmState, power_state: PowerState, task: Option<(TaskState, TaskId)>) -> DesiredInstance {
        let flavor = Flavor {
            id: "1".into(),
            name: "m1.tiny".into(),
            vcpus: 1,
            memory_mb: 512,
            disk_gb: 1,
            ephemeral_gb: 0,
            swap_mb: 0,
            is_public: true,
            description: None,
            extra_specs: BTreeMap::new(),
            rxtx_factor: RxtxFactor::default(),
        };
        let spec = InstanceSpec {
            network_info: novella_common::models::NetworkInfo::default(),
            uuid: InstanceUuid::random(),
            name: "vm".into(),
            hostname: "vm".into(),
            project_id: "p".into(),
            user_id: "u".into(),
            image_ref: None,
            flavor,
            metadata: BTreeMap::new(),
            user_data: None,
            config_drive: false,
        };
        DesiredInstance { spec, vm_state, power_state, task, request_id: None, report_seq: 0 }
    }

    fn busy_with(action: Action, task: TaskId) -> Entry {
        Entry { operation: Some(Operation::new(task, None, action, Default::default())), ..Entry::default() }
    }

    fn settled(task: TaskId) -> Entry {
        let mut entry = Entry::default();
        entry.remember(task);
        entry
    }

    const RUNNING: Option<PowerState> = Some(PowerState::Running);

    #[test]
    fn what_a_former_run_left_goes_on() {
        let task = TaskId::random();
        let row = desired(VmState::Building, PowerState::NoState, Some((TaskState::Spawning, task)));
        assert_eq!(
            decide(Some(&busy_with(Action::Create, task)), None, &row, true, true),
            ReconcileAction::Resume(task)
        );
        assert_eq!(
            decide(Some(&busy_with(Action::Create, task)), None, &row, false, true),
            ReconcileAction::RepeatReport
        );
    }

    #[test]
    fn what_is_finished_is_told_again() {
        let task = TaskId::random();
        let row = desired(VmState::Active, PowerState::Running, Some((TaskState::PoweringOff, task)));
        let mut entry = settled(task);
        entry.last_report = Some(Fact::Instance(InstanceReport {
            instance: row.spec.uuid,
            seq: 1,
            task_id: Some(task),
            request_id: None,
            power_state: PowerState::Shutdown,
            progress: OperationProgress::Done { vm_state: VmState::Stopped },
            event: None,
        }));
        assert_eq!(decide(Some(&entry), Some(PowerState::Shutdown), &row, true, true), ReconcileAction::RepeatReport);
    }

    #[test]
    fn an_end_that_is_in_no_report_any_more_is_found_again_and_what_was_taken_over_by_a_late_message_is_done_again() {
        let task = TaskId::random();
        let row = desired(VmState::Active, PowerState::Running, Some((TaskState::RebootStartedHard, task)));
        let mut entry = settled(task);
        assert_eq!(
            decide(Some(&entry), RUNNING, &row, true, true),
            ReconcileAction::ReportEnd(Action::RebootHard, task)
        );
        entry.overtaken.push_back(task);
        let again = ReconcileAction::PerformAgain(Action::RebootHard, task);
        assert_eq!(decide(Some(&entry), RUNNING, &row, true, true), again);
        // The row may be older than what has taken over.
        assert_eq!(decide(Some(&entry), RUNNING, &row, true, false), ReconcileAction::Nothing);
    }

    #[test]
    fn a_copy_that_the_row_does_not_know_is_given_up_whatever_the_row_asks_for() {
        let copy = TaskId::random();
        let entry = busy_with(Action::LiveMigrate, copy);
        for task in [None, Some((TaskState::Suspending, TaskId::random()))] {
            let row = desired(VmState::Active, PowerState::Running, task);
            assert_eq!(decide(Some(&entry), RUNNING, &row, false, true), ReconcileAction::StopCopying(copy));
            assert_eq!(decide(Some(&entry), RUNNING, &row, false, false), ReconcileAction::Nothing);
        }
    }

    #[test]
    fn every_task_state_is_somebodys_and_none_is_left_alone_by_a_host_that_should_do_it() {
        for state in TaskState::ALL {
            let task = TaskId::random();
            let row = desired(VmState::Active, PowerState::Running, Some((*state, task)));
            let mut overtaken = settled(task);
            overtaken.overtaken.push_back(task);
            for entry in [None, Some(Entry::default()), Some(settled(task)), Some(overtaken)] {
                let action = decide(entry.as_ref(), RUNNING, &row, true, true);
                let alone = action == ReconcileAction::Nothing || action == ReconcileAction::RepeatReport;
                // Of a long task its conductor says more.
                assert!(!alone || state.keeper() == Keeper::LongTask, "{state}: {action:?}");
            }
        }
    }

    #[test]
    fn an_operation_whose_message_is_lost_is_done() {
        let task = TaskId::random();
        for (state, action) in [(TaskState::PoweringOff, Action::Stop), (TaskState::Deleting, Action::Delete)] {
            let row = desired(VmState::Active, PowerState::Running, Some((state, task)));
            assert_eq!(decide(None, RUNNING, &row, true, true), ReconcileAction::Perform(action, task));
        }
    }

    #[test]
    fn a_build_that_nobody_knows_is_lost_and_a_migration_is_the_conductors() {
        let task = TaskId::random();
        for state in [TaskState::Scheduling, TaskState::Networking, TaskState::Spawning] {
            let row = desired(VmState::Building, PowerState::NoState, Some((state, task)));
            assert_eq!(decide(None, None, &row, true, true), ReconcileAction::ReportLostBuild(task));
        }
        let row = desired(VmState::Active, PowerState::Running, Some((TaskState::Migrating, task)));
        assert_eq!(decide(None, RUNNING, &row, true, true), ReconcileAction::Nothing);
    }

    #[test]
    fn an_operation_that_the_row_does_not_know_is_forgotten_only_when_nobody_does_it() {
        let task = TaskId::random();
        let row = desired(VmState::Active, PowerState::Running, None);
        let entry = busy_with(Action::Stop, task);
        assert_eq!(decide(Some(&entry), RUNNING, &row, true, true), ReconcileAction::ForgetOperation(task));
        assert_eq!(decide(Some(&entry), RUNNING, &row, false, true), ReconcileAction::Nothing);
    }

    #[test]
    fn a_guest_at_rest_is_compared_with_its_row() {
        let judge_at_rest = |vm_state, power, guest| decide(None, guest, &desired(vm_state, power, None), true, true);
        use PowerState::{Crashed, Running, Shutdown, Suspended};
        assert_eq!(judge_at_rest(VmState::Active, Running, Some(Running)), ReconcileAction::Nothing);
        assert_eq!(
            judge_at_rest(VmState::Active, Running, Some(Crashed)),
            ReconcileAction::ReportState(VmState::Stopped, Crashed)
        );
        assert_eq!(
            judge_at_rest(VmState::Stopped, Shutdown, Some(Crashed)),
            ReconcileAction::ReportState(VmState::Stopped, Crashed)
        );
        assert_eq!(judge_at_rest(VmState::Suspended, Shutdown, Some(Suspended)), ReconcileAction::Nothing);
        assert_eq!(judge_at_rest(VmState::Active, Running, None), ReconcileAction::ReportMissing);
        assert_eq!(judge_at_rest(VmState::Error, Running, None), ReconcileAction::Nothing);
    }
}
