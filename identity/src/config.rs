//! How Identity is configured.

use serde::{Deserialize, Serialize};

/// `[identity]`: passwords.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// Memory that hashing a password takes, in KiB. With another value, a hash is made anew at the next log-in.
    pub password_hash_memory_kib: u32,
    /// Passes over that memory. Likewise.
    pub password_hash_iterations: u32,
    /// Lanes of the memory that are filled independently. Likewise.
    pub password_hash_lanes: u32,
    /// After how many days a password is no longer taken, and must be changed. Without a value: never.
    pub password_expires_days: Option<u32>,
    /// How many passwords of a user, the present one among them, can't be chosen again by him. 0: any can.
    pub unique_last_password_count: u32,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        let PasswordCost { memory_kib, iterations, lanes } = PasswordCost::default();
        Self {
            password_hash_memory_kib: memory_kib,
            password_hash_iterations: iterations,
            password_hash_lanes: lanes,
            password_expires_days: None,
            unique_last_password_count: 0,
        }
    }
}

impl IdentityConfig {
    /// What a hash costs.
    #[must_use]
    pub fn password_cost(&self) -> PasswordCost {
        PasswordCost {
            memory_kib: self.password_hash_memory_kib,
            iterations: self.password_hash_iterations,
            lanes: self.password_hash_lanes,
        }
    }
}

/// What hashing a password costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Parts of the memory that are filled independently.
    pub lanes: u32,
}

impl Default for PasswordCost {
    fn default() -> Self {
        // Of the costs that OWASP's password storage cheat sheet calls equally strong, one that takes less memory than its
        // first (19 MiB, 2 passes) in as much time: the allocator keeps it for the next.
        Self { memory_kib: 12 * 1024, iterations: 3, lanes: 1 }
    }
}
