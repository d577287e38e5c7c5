//! Weighers: each gives the hosts that passed the filters a value; the host with the highest weighted sum is best.
//!
//! A weigher's values are normalised to 0..1 over the hosts that are compared, as in Nova, so that MiB and vCPUs can be
//! added; where all are equal, they are all 0.

mod build_failure;
mod cpu;
mod disk;
mod ram;

pub use build_failure::BuildFailureWeigher;
pub use cpu::CPUWeigher;
pub use disk::DiskWeigher;
pub use ram::RAMWeigher;

use crate::{HostState, SchedulerConfig};

/// Gives a host a value.
pub trait Weigher: Send + Sync {
    /// The host's value, in a unit of the weigher's own: more is better.
    fn value(&self, host: &HostState) -> f64;
}

/// Every weigher with its multiplier. Those whose multiplier is 0 are left out.
#[must_use]
pub fn configured(config: &SchedulerConfig) -> Vec<(f64, Box<dyn Weigher>)> {
    let all: [(f64, Box<dyn Weigher>); 4] = [
        (config.ram_weight_multiplier, Box::new(RAMWeigher)),
        (config.cpu_weight_multiplier, Box::new(CPUWeigher)),
        (config.disk_weight_multiplier, Box::new(DiskWeigher)),
        (config.build_failure_weight_multiplier, Box::new(BuildFailureWeigher)),
    ];
    all.into_iter().filter(|(multiplier, _)| *multiplier != 0.0).collect()
}

/// Adds `multiplier` times the normalised values to the weights. `values` is room to work in.
pub(crate) fn add_weights<'a>(
    weigher: &dyn Weigher,
    multiplier: f64,
    hosts: impl Iterator<Item = &'a HostState>,
    weights: &mut [f64],
    values: &mut Vec<f64>,
) {
    values.clear();
    values.extend(hosts.map(|host| weigher.value(host)));
    let (lowest, highest) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    if lowest < highest {
        for (weight, value) in weights.iter_mut().zip(values) {
            *weight += multiplier * (*value - lowest) / (highest - lowest);
        }
    }
}
