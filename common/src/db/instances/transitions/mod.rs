//! What schedulers and conductors change of instances: each a compare-and-swap that names what it expects.
//!
//! Where a transaction touches both instances and the sums of compute hosts, it touches the instances first and the
//! hosts in the order of their names, so that two of them can't wait for each other in a circle. One that touches several
//! instances has locked them before, in the order of their ids ([`lock_in_order`](super::lock_in_order)).
//!
//! What is expected of a column with an index is compared by `IS NOT DISTINCT FROM`, for which PostgreSQL uses none: the
//! rows are to be found by their keys. By `=` it would find them among all that are in the same state, wherever its
//! statistics, which are of some earlier minute or not there yet, say that these are few.

mod builds;
mod moved;
mod reported;

pub use builds::{
    Build, FailedBuild, Placement, RevertedAttempt, adopt, builds, fail_build, hand_over, hosts_of, place,
    revert_attempt, revert_placements,
};
pub use moved::switch_host;
pub use reported::{Reported, ReportedRow, RescheduledBuild, apply, reported_rows, reschedule, still_trying};
