//! Chance, repeatable if seeded.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use parking_lot::Mutex;

/// One host's source of chance. Each host draws from its own, so that what happens on one does not change another.
#[derive(Debug)]
pub(super) struct Chance(Mutex<StdRng>);

impl Chance {
    pub(super) fn new(seed: Option<u64>, host: &str) -> Self {
        let seed = seed.map_or_else(rand::random, |seed| seed ^ fnv1a(host));
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// Whether something of this probability happens now.
    pub(super) fn happens(&self, probability: f64) -> bool {
        // Draws nothing where nothing is left to chance: switching one failure on does not change the others.
        probability > 0.0 && self.0.lock().random_bool(probability.min(1.0))
    }

    /// A duration between the two.
    pub(super) fn between(&self, least: Duration, most: Duration) -> Duration {
        if least >= most { least } else { self.0.lock().random_range(least..=most) }
    }
}

/// FNV-1a: unlike the standard library's hasher the same in every version.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
