//! Free vCPUs.

use super::Weigher;
use crate::{HostState, Wanted};

/// Free vCPUs, with the allocation ratio.
#[derive(Debug)]
pub struct CPUWeigher;

impl Weigher for CPUWeigher {
    #[allow(clippy::cast_precision_loss, reason = "no host has 2^53 vCPUs")]
    fn value(&self, host: &HostState, _wanted: &Wanted) -> f64 {
        host.free().vcpus as f64
    }
}
