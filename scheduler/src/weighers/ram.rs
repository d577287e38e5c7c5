//! Free memory.

use super::Weigher;
use crate::{HostState, Wanted};

/// Free memory in MiB.
#[derive(Debug)]
pub struct RAMWeigher;

impl Weigher for RAMWeigher {
    #[allow(clippy::cast_precision_loss, reason = "no host has 2^53 MiB")]
    fn value(&self, host: &HostState, _wanted: &Wanted) -> f64 {
        host.free().memory_mb as f64
    }
}
