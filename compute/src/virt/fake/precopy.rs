//! The arithmetic of a pre-copy live migration, without a clock of its own.
//!
//! Memory is copied in rounds while the guest runs. The first round copies all of it; each further one what the guest
//! dirtied during the round before:
//!
//! ```text
//!   round's time = pages / bandwidth            next round's pages = min(all, dirty rate x round's time)
//! ```
//!
//! The copy has converged when what remains can be sent within the allowed downtime: then the guest is held and
//! switched. A guest that dirties memory as fast as it is copied never converges, unless it is held
//! ([`Precopy::hold`]). Disks, in a block migration, are copied before the memory.
//!
//! The caller says how much time has passed; how it cuts that time into pieces makes no difference.

use std::time::Duration;

use novella_common::models::MigrationProgress;

/// Bytes of a page: the unit in which memory is dirtied and copied.
pub(super) const PAGE: u64 = 4096;

const NANOS: u128 = 1_000_000_000;

/// What is to be copied, and under which conditions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// The guest's memory in bytes.
    pub(super) memory: u64,
    /// Disk to copy, in bytes.
    pub(super) disk: u64,
    /// How much memory the guest dirties, in bytes per second.
    pub(super) dirty_rate: u64,
    /// How much is copied, in bytes per second; 0 is without limit.
    pub(super) bandwidth: u64,
    /// How long the guest may stand still for the switch.
    pub(super) max_downtime: Duration,
}

/// A copy under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Precopy {
    memory_pages: u64,
    dirty_rate: u64,
    bandwidth: u64,
    max_downtime: Duration,
    /// Disk pages, and how many nanoseconds they have been copied for.
    disk_pages: u64,
    disk_nanos: u128,
    /// Pages of the present round.
    round_pages: u64,
    /// Nanoseconds since the round began, and how many of them the guest ran.
    round_nanos: u128,
    running_nanos: u128,
    /// Pages of the rounds before.
    copied_pages: u64,
    held: bool,
    switched: bool,
}

impl Precopy {
    pub(super) fn new(plan: Plan) -> Self {
        let memory_pages = plan.memory.div_ceil(PAGE);
        Self {
            memory_pages,
            dirty_rate: plan.dirty_rate,
            bandwidth: plan.bandwidth,
            max_downtime: plan.max_downtime,
            disk_pages: plan.disk.div_ceil(PAGE),
            disk_nanos: 0,
            round_pages: memory_pages,
            round_nanos: 0,
            running_nanos: 0,
            copied_pages: 0,
            held: false,
            switched: false,
        }
    }

    /// The guest stands still from now on: nothing more is dirtied.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// Whether what remains can be sent within the allowed downtime.
    pub(super) fn converged(&self) -> bool {
        self.disk_left() == 0
            && self.round_nanos == 0
            && self.time_for(self.round_pages) <= self.max_downtime.as_nanos()
    }

    /// How long the guest stands still for the last pages.
    pub(super) fn downtime(&self) -> Duration {
        nanos(self.time_for(self.round_pages))
    }

    /// When there is next something to decide: the end of the disk or of the round.
    pub(super) fn time_to_next(&self) -> Duration {
        if self.converged() {
            return Duration::ZERO;
        }
        match self.disk_left() {
            0 => nanos(self.round_left()),
            left => nanos(left),
        }
    }

    /// Lets time pass, up to the point where the copy has converged.
    pub(super) fn advance(&mut self, elapsed: Duration) {
        let mut left = elapsed.as_nanos();
        let on_disk = left.min(self.disk_left());
        self.disk_nanos += on_disk;
        left -= on_disk;
        if self.disk_left() > 0 {
            return;
        }
        // Ends: each round is shorter than the one before until it converges, or takes longer than the downtime.
        while !self.converged() {
            let step = left.min(self.round_left());
            self.round_nanos += step;
            if !self.held {
                self.running_nanos += step;
            }
            left -= step;
            if self.round_left() > 0 {
                return;
            }
            self.copied_pages += self.round_pages;
            self.round_pages = self.dirtied();
            self.round_nanos = 0;
            self.running_nanos = 0;
            if left == 0 {
                return;
            }
        }
    }

    /// The last pages are sent.
    pub(super) fn finish(&mut self) {
        self.copied_pages += self.round_pages;
        self.round_pages = 0;
        self.switched = true;
    }

    /// How much of all there is has been copied, in whole percent; pages copied again do not count beyond 100.
    pub(super) fn percent(&self) -> u64 {
        let total = u128::from(self.memory_pages + self.disk_pages);
        if total == 0 || self.converged() || self.switched {
            return 100;
        }
        let done = u128::from(self.copied_pages + self.copied_in_round() + self.copied_of_disk());
        u64::try_from((done * 100 / total).min(100)).unwrap_or(100)
    }

    /// For the migration's row.
    pub(super) fn progress(&self) -> MigrationProgress {
        let in_round = self.copied_in_round();
        let of_disk = self.copied_of_disk();
        // What the guest has dirtied in this round remains too.
        let remaining = (self.round_pages - in_round + self.dirtied()).min(self.memory_pages);
        MigrationProgress {
            memory_total: bytes(self.memory_pages),
            memory_processed: bytes(self.copied_pages + in_round),
            memory_remaining: bytes(if self.switched { 0 } else { remaining }),
            disk_total: bytes(self.disk_pages),
            disk_processed: bytes(of_disk),
            disk_remaining: bytes(self.disk_pages - of_disk),
        }
    }

    fn time_for(&self, pages: u64) -> u128 {
        if self.bandwidth == 0 {
            return 0;
        }
        (u128::from(pages) * u128::from(PAGE) * NANOS).div_ceil(u128::from(self.bandwidth))
    }

    fn copied_after(&self, nanos: u128, pages: u64) -> u64 {
        if self.bandwidth == 0 {
            return pages;
        }
        let copied = u128::from(self.bandwidth) * nanos / NANOS / u128::from(PAGE);
        u64::try_from(copied).unwrap_or(u64::MAX).min(pages)
    }

    fn copied_in_round(&self) -> u64 {
        if self.round_nanos == 0 { 0 } else { self.copied_after(self.round_nanos, self.round_pages) }
    }

    fn copied_of_disk(&self) -> u64 {
        if self.disk_left() == 0 { self.disk_pages } else { self.copied_after(self.disk_nanos, self.disk_pages) }
    }

    fn dirtied(&self) -> u64 {
        let pages = u128::from(self.dirty_rate) * self.running_nanos / NANOS / u128::from(PAGE);
        u64::try_from(pages).unwrap_or(u64::MAX).min(self.memory_pages)
    }

    fn round_left(&self) -> u128 {
        self.time_for(self.round_pages).saturating_sub(self.round_nanos)
    }

    fn disk_left(&self) -> u128 {
        self.time_for(self.disk_pages).saturating_sub(self.disk_nanos)
    }
}

fn nanos(nanos: u128) -> Duration {
    u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
}

fn bytes(pages: u64) -> i64 {
    i64::try_from(pages.saturating_mul(PAGE)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn plans() -> impl Strategy<Value = Plan> {
        (0..4096_u64, 0..512_u64, 0..2048_u64, 0..2048_u64, 0..500_u64).prop_map(
            |(memory, disk, dirty_rate, bandwidth, downtime)| Plan {
                memory: memory * MIB,
                disk: disk * MIB,
                dirty_rate: dirty_rate * MIB,
                bandwidth: bandwidth * MIB,
                max_downtime: Duration::from_millis(downtime),
            },
        )
    }

    /// Lets a copy run to its end, at most this many decisions long.
    fn run(mut copy: Precopy, most: usize) -> Precopy {
        for _ in 0..most {
            if copy.converged() {
                break;
            }
            copy.advance(copy.time_to_next());
        }
        copy
    }

    proptest! {
        #[test]
        fn a_guest_that_dirties_less_than_half_of_what_is_copied_converges_soon(plan in plans()) {
            let plan = Plan { dirty_rate: plan.bandwidth / 2, ..plan };
            // Each round is at most half of the one before: 4 GiB of pages are gone after 20 rounds and the disk.
            prop_assert!(run(Precopy::new(plan), 23).converged());
        }

        #[test]
        fn a_guest_that_dirties_all_that_is_copied_never_converges_until_it_is_held(plan in plans()) {
            let bandwidth = plan.bandwidth.max(MIB);
            let memory = plan.memory.max(MIB) + bandwidth;
            let plan = Plan { bandwidth, memory, dirty_rate: 2 * bandwidth, ..plan };
            let mut copy = run(Precopy::new(plan), 100);
            prop_assert!(!copy.converged());
            copy.hold();
            prop_assert!(run(copy, 3).converged());
        }

        #[test]
        fn what_is_left_at_the_switch_fits_into_the_downtime(plan in plans()) {
            let copy = run(Precopy::new(plan), 1000);
            if copy.converged() {
                prop_assert!(copy.downtime() <= plan.max_downtime);
            }
        }

        #[test]
        fn how_time_is_cut_into_pieces_makes_no_difference(
            plan in plans(),
            pieces in prop::collection::vec(0..2000_u64, 1..20),
        ) {
            let mut piecewise = Precopy::new(plan);
            for piece in &pieces {
                piecewise.advance(Duration::from_millis(*piece));
            }
            let mut at_once = Precopy::new(plan);
            at_once.advance(Duration::from_millis(pieces.iter().sum()));
            prop_assert_eq!(piecewise, at_once);
        }

        #[test]
        fn progress_never_goes_back_and_ends_with_nothing_left(
            plan in plans(),
            pieces in prop::collection::vec(0..2000_u64, 1..30),
        ) {
            let mut copy = Precopy::new(plan);
            let mut before = copy.progress();
            for piece in pieces {
                copy.advance(Duration::from_millis(piece));
                let now = copy.progress();
                prop_assert!(now.memory_processed >= before.memory_processed);
                prop_assert!(now.disk_processed >= before.disk_processed);
                prop_assert_eq!(now.disk_processed + now.disk_remaining, now.disk_total);
                prop_assert!(now.memory_remaining <= now.memory_total);
                prop_assert!(copy.percent() <= 100);
                before = now;
            }
            copy.hold();
            let mut copy = run(copy, 10);
            copy.finish();
            let end = copy.progress();
            prop_assert_eq!((end.memory_remaining, end.disk_remaining, copy.percent()), (0, 0, 100));
            prop_assert!(end.memory_processed >= end.memory_total);
        }
    }

    #[test]
    fn without_a_limit_on_bandwidth_all_is_copied_at_once() {
        let plan = Plan { memory: MIB, disk: MIB, dirty_rate: MIB, bandwidth: 0, max_downtime: Duration::ZERO };
        assert!(Precopy::new(plan).converged());
        assert_eq!(Precopy::new(plan).downtime(), Duration::ZERO);
    }
}
