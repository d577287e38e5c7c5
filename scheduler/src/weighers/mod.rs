//! Weighers: each gives the hosts that passed the filters a value; the host with the highest weighted sum is best.
//!
//! A weigher's values are normalised to 0..1 over the hosts that are compared, as in Nova, so that MiB and vCPUs can be
//! added; where all are equal, they are all 0.

mod build_failure;
mod cpu;
mod disk;
mod ram;
mod server_group;

pub use build_failure::BuildFailureWeigher;
pub use cpu::CPUWeigher;
pub use disk::DiskWeigher;
pub use ram::RAMWeigher;
pub use server_group::{ServerGroupSoftAffinityWeigher, ServerGroupSoftAntiAffinityWeigher};

use crate::{HostState, SchedulerConfig, Wanted};

/// Gives a host a value.
pub trait Weigher: Send + Sync {
    /// The host's value, in a unit of the weigher's own: more is better.
    fn value(&self, host: &HostState, wanted: &Wanted) -> f64;

    /// Whether hosts can have different values for what is wanted.
    fn matters(&self, _wanted: &Wanted) -> bool {
        true
    }
}

/// Every weigher with its multiplier. Those whose multiplier is 0 are left out.
#[must_use]
pub fn configured(config: &SchedulerConfig) -> Vec<(f64, Box<dyn Weigher>)> {
    let all: [(f64, Box<dyn Weigher>); 6] = [
        (config.ram_weight_multiplier, Box::new(RAMWeigher)),
        (config.cpu_weight_multiplier, Box::new(CPUWeigher)),
        (config.disk_weight_multiplier, Box::new(DiskWeigher)),
        (config.build_failure_weight_multiplier, Box::new(BuildFailureWeigher)),
        (config.soft_affinity_weight_multiplier, Box::new(ServerGroupSoftAffinityWeigher)),
        (config.soft_anti_affinity_weight_multiplier, Box::new(ServerGroupSoftAntiAffinityWeigher)),
    ];
    all.into_iter().filter(|(multiplier, _)| *multiplier != 0.0).collect()
}

/// Adds `multiplier` times the normalised values to the weights.
pub(crate) fn add_weights(multiplier: f64, values: &[f64], weights: &mut [f64]) {
    let (lowest, highest) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    if lowest < highest {
        for (weight, value) in weights.iter_mut().zip(values) {
            *weight += multiplier * (*value - lowest) / (highest - lowest);
        }
    }
}
