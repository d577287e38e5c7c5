//! Hosts that do not take builds.

use super::Weigher;
use crate::{HostState, Wanted};

/// Counts against a host that it did not take the last builds that were to be handed over to it: it refused, or did not
/// answer. One success clears it.
///
/// A host that has died counts as up until `service_down_time` is over. Without this weigher the emptiest of all hosts
/// would be tried again and again in the meantime, and each build would wait for its answer in vain.
#[derive(Debug)]
pub struct BuildFailureWeigher;

impl Weigher for BuildFailureWeigher {
    fn value(&self, host: &HostState, _wanted: &Wanted) -> f64 {
        -f64::from(host.failures)
    }
}
