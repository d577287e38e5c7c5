//! Ports for the servers that a test starts.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

/// Those that were handed out: a server needs a moment until it listens.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Where they begin: below those that the system gives to connections, any of which could have taken one before its
/// server does. The servers that `./test` starts have higher ones.
const FIRST: u16 = 10_000;
/// How many each of the tests has to itself that run at the same time, and how many such shares there are.
const SHARE: u16 = 500;
const SHARES: u16 = 20;

/// A port on which nobody listens, another one each time.
///
/// # Panics
/// If a random number is none.
pub fn free_port() -> u16 {
    // cargo-nextest numbers the tests that run at once, each in a process of its own.
    let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").ok().and_then(|slot| slot.parse::<u16>().ok());
    let (first, count) = match slot {
        Some(slot) => (FIRST + slot % SHARES * SHARE, SHARE),
        None => (FIRST, SHARES * SHARE),
    };
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let port = first + u16::try_from(Uuid::new_v4().as_u128() % u128::from(count)).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && given.insert(port) {
            return port;
        }
    }
}
