//! The state table: walked at random, it never leads anywhere that it does not name.

use novella_common::lifecycle::{
    Action, Ending, Keeper, NotAllowed, PowerState, TaskState, Tasks, VmState, check, server_status,
};
use novella_messaging::{Version, contract::NamesMethod};
use proptest::prelude::*;

fn any_action() -> impl Strategy<Value = Action> {
    prop::sample::select(Action::ALL)
}

fn any_vm_state() -> impl Strategy<Value = VmState> {
    prop::sample::select(VmState::ALL)
}

fn any_task() -> impl Strategy<Value = Option<TaskState>> {
    prop::option::of(prop::sample::select(TaskState::ALL))
}

#[test]
fn each_action_has_its_own_row() {
    for action in Action::ALL {
        assert_eq!(action.transition().action, *action);
        assert!(!action.transition().during.is_empty(), "{action:?} passes through no task state");
    }
}

#[test]
fn every_task_state_belongs_to_an_action() {
    for task in TaskState::ALL {
        assert!(
            Action::ALL.iter().any(|action| action.transition().during.contains(task)),
            "{task} is set by no action"
        );
    }
}

#[test]
fn each_task_state_is_kept_by_those_who_do_its_action() {
    for task in TaskState::ALL {
        let mut actions = Action::ALL.iter().filter(|action| action.transition().during.contains(task));
        let kept = match task.keeper() {
            Keeper::Build => actions.all(|action| *action == Action::Create),
            Keeper::Host => actions.all(|action| action.transition().on_host) && Action::on_host_of(*task).is_some(),
            Keeper::LongTask => actions.all(|action| !action.transition().on_host && *action != Action::Create),
        };
        assert!(kept, "{task}");
    }
}

#[test]
fn a_state_that_a_host_passes_through_leads_back_to_its_action() {
    for action in Action::ALL.iter().filter(|action| action.transition().on_host) {
        for task in action.transition().during {
            assert_eq!(Action::on_host_of(*task), Some(*action), "{task}");
        }
        assert!(Action::is_method(action.method()) && action.transition().event.starts_with("compute_"), "{action:?}");
        assert!(action.since() <= Version::new(1, 4), "{action:?}");
    }
    assert_eq!(Action::on_host_of(TaskState::Migrating), None);
    assert!(!Action::is_method(Action::Create.method()));
}

#[test]
fn every_state_but_deleted_can_be_left_and_deleted_is_reached_from_each() {
    for state in VmState::ALL.iter().filter(|state| **state != VmState::Deleted) {
        for task in TaskState::ALL.iter().copied().map(Some).chain([None]) {
            assert!(check(Action::Delete, *state, task, false).is_ok(), "{state} {task:?} can't be deleted");
        }
    }
    for action in Action::ALL {
        assert!(check(*action, VmState::Deleted, None, true).is_err(), "{action:?} of a deleted instance");
    }
}

/// What a walk holds: the states, and the action whose task is under way.
#[derive(Debug, Clone, Copy)]
struct Walker {
    vm_state: VmState,
    power_state: PowerState,
    task: Option<(Action, TaskState)>,
}

impl Walker {
    fn begin(&mut self, action: Action) -> Result<(), NotAllowed> {
        let transition = check(action, self.vm_state, self.task.map(|(_, task)| task), true)?;
        self.task = Some((action, transition.first_task()));
        Ok(())
    }

    fn finish(&mut self) {
        let Some((action, _)) = self.task.take() else { return };
        match action.transition().ends {
            Ending::State(vm_state, power_state) => (self.vm_state, self.power_state) = (vm_state, power_state),
            Ending::SamePower(vm_state) => self.vm_state = vm_state,
            Ending::ByPower => {
                let runs = self.power_state == PowerState::Running;
                self.vm_state = if runs { VmState::Active } else { VmState::Stopped };
            }
            Ending::Unchanged => {}
        }
    }
}

proptest! {
    #[test]
    fn an_operation_excludes_all_that_do_not_say_otherwise(action in any_action(), vm in any_vm_state(), task in any_task()) {
        let transition = action.transition();
        let expected = transition.from.contains(&vm) && match (task, transition.tasks) {
            (None, _) | (Some(_), Tasks::Any) => true,
            (Some(_), Tasks::Idle) => false,
            (Some(task), Tasks::IdleOr(tasks)) => tasks.contains(&task),
        };
        prop_assert_eq!(check(action, vm, task, true).is_ok(), expected);
        prop_assert_eq!(check(action, vm, task, false).is_ok(), expected && !transition.needs_host);
    }

    #[test]
    fn a_walk_of_any_actions_stays_within_the_table(steps in prop::collection::vec((any_action(), any::<bool>()), 0..60)) {
        let mut walker = Walker { vm_state: VmState::Building, power_state: PowerState::NoState, task: Some((Action::Create, TaskState::Scheduling)) };
        for (action, finishes_first) in steps {
            if finishes_first {
                walker.finish();
            }
            let before = walker;
            if walker.begin(action).is_err() {
                // A refusal changes nothing.
                prop_assert_eq!(before.vm_state, walker.vm_state);
                prop_assert_eq!(before.task.map(|t| t.1), walker.task.map(|t| t.1));
            }
            let status = server_status(walker.vm_state, walker.task.map(|(_, task)| task));
            prop_assert_ne!(status, "UNKNOWN");
            if walker.task.is_none() {
                // At rest, what the guest does follows from what the instance is.
                let expected = match walker.vm_state {
                    VmState::Active => PowerState::Running,
                    VmState::Paused => PowerState::Paused,
                    VmState::Stopped | VmState::Suspended | VmState::SoftDeleted => PowerState::Shutdown,
                    // As before it was moved.
                    VmState::Resized => walker.power_state,
                    VmState::Building | VmState::Error | VmState::Deleted => PowerState::NoState,
                };
                prop_assert_eq!(walker.power_state, expected);
            }
            if walker.vm_state == VmState::Deleted {
                break;
            }
        }
        // Whatever happened, a delete ends it.
        if walker.vm_state != VmState::Deleted {
            prop_assert!(walker.begin(Action::Delete).is_ok());
            walker.finish();
            prop_assert_eq!(walker.vm_state, VmState::Deleted);
        }
    }

    #[test]
    fn names_of_states_are_read_back(vm in any_vm_state(), task in any_task()) {
        prop_assert_eq!(vm.as_str().parse::<VmState>(), Ok(vm));
        if let Some(task) = task {
            prop_assert_eq!(task.as_str().parse::<TaskState>(), Ok(task));
        }
    }
}
