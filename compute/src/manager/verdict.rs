//! What to do about one instance when the host and its row are brought together: a plain function of what is known.
//!
//! | the row says | the journal | verdict |
//! | --- | --- | --- |
//! | an operation | has it under way, and somebody does it | nothing, but the last report again |
//! | an operation | has it under way, nobody does it | go on |
//! | an operation | has finished it | the last report again |
//! | a power operation, a deletion | never heard of it | do it |
//! | a build | never heard of it | it is lost, unless it is still on its way |
//! | a migration | never heard of it | nothing: it is the conductor's |
//! | nothing under way | has something that nobody does | forget that, judge again |
//! | nothing under way | at rest | compare the guest with the row |

use novella_common::{
    ids::TaskId,
    lifecycle::{Action, PowerState, TaskState, VmState},
    reports::Fact,
};

use super::telling::reported;
use crate::{journal::Entry, rpcapi::OughtInstance};

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// All is well, or somebody sees to it.
    Nothing,
    /// Send the last report again if it is newer than the row's.
    Repeat,
    /// Take up what a former run of the host has left.
    GoOn(TaskId),
    /// Do what the row asks for; its message got lost.
    Do(Action, TaskId),
    /// Say that the build is lost, if its message does not come after all.
    Lost(TaskId),
    /// Forget an operation that the row does not know (any more), and judge again.
    Forget(TaskId),
    /// Tell that the guest is in another state than the row says.
    Tell(VmState, PowerState),
    /// Tell that there is no guest.
    Missing,
}

/// Judges. `guest` is what the hypervisor says, `free` whether nobody works on the instance.
pub(super) fn judge(entry: Option<&Entry>, guest: Option<PowerState>, ought: &OughtInstance, free: bool) -> Verdict {
    let under_way = entry.and_then(|entry| entry.operation.as_ref()).map(|operation| operation.task_id);
    match (ought.task, under_way) {
        (Some((_, task)), Some(own)) if task == own => {
            if free {
                Verdict::GoOn(task)
            } else {
                Verdict::Repeat
            }
        }
        (Some((_, task)), _) if entry.is_some_and(|entry| entry.settled.contains(&task)) => Verdict::Repeat,
        (Some((task_state, task)), _) => match Action::on_host_of(task_state) {
            Some(action) => Verdict::Do(action, task),
            None if task_state == TaskState::Migrating => Verdict::Nothing,
            None => Verdict::Lost(task),
        },
        (None, Some(own)) if free => Verdict::Forget(own),
        // The row was read before the operation began, or is about to be told of its end.
        (None, Some(_)) => Verdict::Nothing,
        (None, None) if !free => Verdict::Nothing,
        (None, None) if tells_of_itself(entry, ought.report_seq) => Verdict::Repeat,
        (None, None) => compare(guest, ought),
    }
}

/// Whether the last report is one that a row without an operation takes, and has not taken yet.
fn tells_of_itself(entry: Option<&Entry>, written_down: i64) -> bool {
    match entry.and_then(|entry| entry.last_report.as_ref()) {
        Some(Fact::Instance(report)) => report.task_id.is_none() && report.seq > written_down,
        _ => false,
    }
}

fn compare(guest: Option<PowerState>, ought: &OughtInstance) -> Verdict {
    let Some(power) = guest else {
        return match ought.vm_state {
            VmState::Active | VmState::Paused | VmState::Suspended | VmState::Stopped => Verdict::Missing,
            VmState::Building | VmState::Error | VmState::Deleted => Verdict::Nothing,
        };
    };
    let fits = match ought.vm_state {
        VmState::Active => power == PowerState::Running,
        VmState::Paused => power == PowerState::Paused,
        VmState::Suspended => power == PowerState::Suspended,
        VmState::Stopped => matches!(power, PowerState::Shutdown | PowerState::Crashed),
        // Not for the host to say: a person, or the conductor, ends these.
        VmState::Building | VmState::Error | VmState::Deleted => return Verdict::Nothing,
    };
    if fits {
        if reported(power) == ought.power_state {
            Verdict::Nothing
        } else {
            Verdict::Tell(ought.vm_state, reported(power))
        }
    } else {
        match power {
            PowerState::Running => Verdict::Tell(VmState::Active, power),
            PowerState::Paused => Verdict::Tell(VmState::Paused, power),
            PowerState::Suspended => Verdict::Tell(VmState::Suspended, reported(power)),
            PowerState::Shutdown | PowerState::Crashed => Verdict::Tell(VmState::Stopped, power),
            // On its way here or away from here.
            PowerState::NoState => Verdict::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use novella_common::{
        ids::InstanceUuid,
        models::{Flavor, InstanceSpec},
    };

    use super::*;
    use crate::journal::Operation;

    fn ought(vm_state: VmState, power_state: PowerState, task: Option<(TaskState, TaskId)>) -> OughtInstance {
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
        };
        let spec = InstanceSpec {
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
        OughtInstance { spec, vm_state, power_state, task, request_id: None, report_seq: 0 }
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
        let row = ought(VmState::Building, PowerState::NoState, Some((TaskState::Spawning, task)));
        assert_eq!(judge(Some(&busy_with(Action::Create, task)), None, &row, true), Verdict::GoOn(task));
        assert_eq!(judge(Some(&busy_with(Action::Create, task)), None, &row, false), Verdict::Repeat);
    }

    #[test]
    fn what_is_finished_is_told_again() {
        let task = TaskId::random();
        let row = ought(VmState::Active, PowerState::Running, Some((TaskState::PoweringOff, task)));
        assert_eq!(judge(Some(&settled(task)), Some(PowerState::Shutdown), &row, true), Verdict::Repeat);
    }

    #[test]
    fn an_operation_whose_message_is_lost_is_done() {
        let task = TaskId::random();
        for (state, action) in [(TaskState::PoweringOff, Action::Stop), (TaskState::Deleting, Action::Delete)] {
            let row = ought(VmState::Active, PowerState::Running, Some((state, task)));
            assert_eq!(judge(None, RUNNING, &row, true), Verdict::Do(action, task));
        }
    }

    #[test]
    fn a_build_that_nobody_knows_is_lost_and_a_migration_is_the_conductors() {
        let task = TaskId::random();
        for state in [TaskState::Scheduling, TaskState::Networking, TaskState::Spawning] {
            let row = ought(VmState::Building, PowerState::NoState, Some((state, task)));
            assert_eq!(judge(None, None, &row, true), Verdict::Lost(task));
        }
        let row = ought(VmState::Active, PowerState::Running, Some((TaskState::Migrating, task)));
        assert_eq!(judge(None, RUNNING, &row, true), Verdict::Nothing);
    }

    #[test]
    fn an_operation_that_the_row_does_not_know_is_forgotten_only_when_nobody_does_it() {
        let task = TaskId::random();
        let row = ought(VmState::Active, PowerState::Running, None);
        let entry = busy_with(Action::Stop, task);
        assert_eq!(judge(Some(&entry), RUNNING, &row, true), Verdict::Forget(task));
        assert_eq!(judge(Some(&entry), RUNNING, &row, false), Verdict::Nothing);
    }

    #[test]
    fn a_guest_at_rest_is_compared_with_its_row() {
        let judge_at_rest = |vm_state, power, guest| judge(None, guest, &ought(vm_state, power, None), true);
        use PowerState::{Crashed, Running, Shutdown, Suspended};
        assert_eq!(judge_at_rest(VmState::Active, Running, Some(Running)), Verdict::Nothing);
        assert_eq!(judge_at_rest(VmState::Active, Running, Some(Crashed)), Verdict::Tell(VmState::Stopped, Crashed));
        assert_eq!(judge_at_rest(VmState::Stopped, Shutdown, Some(Crashed)), Verdict::Tell(VmState::Stopped, Crashed));
        assert_eq!(judge_at_rest(VmState::Suspended, Shutdown, Some(Suspended)), Verdict::Nothing);
        assert_eq!(judge_at_rest(VmState::Active, Running, None), Verdict::Missing);
        assert_eq!(judge_at_rest(VmState::Error, Running, None), Verdict::Nothing);
    }
}
