//! `[faults]`: faults at run time.

use serde::{Deserialize, Serialize};

/// `[faults]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultsConfig {
    /// Whether `novella fault` can set faults in this process, an API or compute hosts. Whoever reaches the bus can then
    /// make it fail.
    pub enabled: bool,
}
