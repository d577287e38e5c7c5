//! Free disk.

use super::Weigher;
use crate::{HostState, Wanted};

/// Free disk in GiB.
#[derive(Debug)]
pub struct DiskWeigher;

impl Weigher for DiskWeigher {
    #[allow(clippy::cast_precision_loss, reason = "no host has 2^53 GiB")]
    fn value(&self, host: &HostState, _wanted: &Wanted) -> f64 {
        host.free().disk_gb as f64
    }
}
