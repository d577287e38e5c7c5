//! The lifecycle of an instance: its states, and the one table of what may follow what.
//!
//! ```text
//!            create                     stop                  live-migrate
//!  (none) ──────────▶ building ──▶ active ◀────▶ stopped      active ──▶ active (other host)
//!                        │          │ ▲ ▲ │                   paused ──▶ paused (other host)
//!                        │    pause │ │ │ │ suspend
//!                        │          ▼ │ │ ▼
//!                        │       paused  suspended            delete: from any state ──▶ deleted
//!                        ▼
//!                      error   (a failed build; a hard reboot brings it back to active)
//! ```
//!
//! While an operation is under way `task_state` says which. The API refuses (409) what the table does not allow, the
//! managers and the conductor look up in it what an operation ends in, and a property test walks it.
//!
//! Source of the states and of what is allowed from where: nova/compute/vm_states.py, task_states.py, api.py.

mod states;
mod table;

pub use states::{Keeper, PowerState, TaskState, VmState};
pub use table::{Action, Ending, NotAllowed, Tasks, Transition, check, is_long_task, server_status};
