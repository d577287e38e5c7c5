//! The log-ins that wait to have a password checked. Plain data: what waits, who has failed of late, who is next.
//!
//! ```text
//! permits go round the addresses, and at each address round its users: who has many log-ins waiting waits for its own
//! ```
//!
//! After some failures of a user at one address, the two together may try again only after a pause, which grows, and only
//! once at a time; after many failures of an address, whatever the users, it may try only so often. The same user at another
//! address is not slowed: otherwise whoever guesses would keep the right one out.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use novella_common::service::ClientAddress;
use tokio::time::Instant;

/// Failures of a user at one address that cost nothing: people mistype.
const FREE_FOR_USER: u32 = 3;
/// The pause after the next one. It doubles with each, up to the longest.
const USER_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_USER_PAUSE: Duration = Duration::from_secs(4);
/// Failures of an address, over all users, that cost nothing.
const FREE_FOR_ADDRESS: u32 = 20;
/// The pause after each of the others.
const ADDRESS_PAUSE: Duration = Duration::from_millis(50);
/// After so long without a failure all is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(120);
/// Log-ins of a user who has failed at this address too often, that may wait there: with the longest pause before each they
/// are all answered in time.
const MAX_WAITING_SUSPECT: usize = 4;
/// Log-ins that may wait in all: a few seconds of checking.
const MAX_WAITING: usize = 256;
/// The most users and addresses that are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// Something that waits for a permit.
pub(crate) trait Waiter {
    /// Whether it does not any more.
    fn is_gone(&self) -> bool;
}

/// Whose log-in it is: a user, by a hash of whatever names it, at an address.
pub(crate) type Who = (ClientAddress, u64);

/// Why a log-in may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too many of the same user wait at this address, after too many failures.
    TooOften,
    /// Too many wait in all, and of its address the most.
    TooMany,
}

/// What can be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<W> {
    /// This one may be checked.
    Check(W, Who),
    /// Nobody's before then.
    At(Instant),
    /// Nobody's until something else happens.
    Nobody,
}

/// See the module's head.
pub(crate) struct LoginQueue<W> {
    /// Checks that may be under way at once, less those that are.
    free: usize,
    waiting: usize,
    addresses: HashMap<ClientAddress, Address<W>>,
    /// Those where somebody waits, the next one first.
    order: VecDeque<ClientAddress>,
}

struct Address<W> {
    failures: Failures,
    waiting: usize,
    users: HashMap<u64, User<W>>,
    /// Those of whom something waits, the next one first.
    order: VecDeque<u64>,
}

struct User<W> {
    failures: Failures,
    checking: usize,
    waiting: VecDeque<W>,
}

#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    last: Option<Instant>,
    not_before: Option<Instant>,
}

impl Failures {
    fn count(&self, now: Instant) -> u32 {
        match self.last {
            Some(last) if now.duration_since(last) < FORGET_AFTER => self.count,
            _ => 0,
        }
    }

    fn add(&mut self, now: Instant, pause: impl FnOnce(u32) -> Duration) {
        self.count = self.count(now).saturating_add(1);
        self.last = Some(now);
        let pause = pause(self.count);
        self.not_before = (!pause.is_zero()).then(|| now + pause);
    }

    /// Until when nothing may be tried.
    fn paused(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|until| *until > now)
    }
}

fn user_pause(failures: u32) -> Duration {
    match failures.checked_sub(FREE_FOR_USER + 1) {
        None => Duration::ZERO,
        Some(doublings) => USER_PAUSE.saturating_mul(1 << doublings.min(10)).min(LONGEST_USER_PAUSE),
    }
}

fn address_pause(failures: u32) -> Duration {
    if failures > FREE_FOR_ADDRESS { ADDRESS_PAUSE } else { Duration::ZERO }
}

impl<W> Default for Address<W> {
    fn default() -> Self {
        Self { failures: Failures::default(), waiting: 0, users: HashMap::new(), order: VecDeque::new() }
    }
}

impl<W> Default for User<W> {
    fn default() -> Self {
        Self { failures: Failures::default(), checking: 0, waiting: VecDeque::new() }
    }
}

/// The earlier of two moments, if there are any.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

impl<W: Waiter> User<W> {
    /// Says how many there were.
    fn remove_gone(&mut self) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|waiter| !waiter.is_gone());
        before - self.waiting.len()
    }
}

impl<W: Waiter> Address<W> {
    /// Who may be checked next here; otherwise from when on somebody may, if that is known.
    fn next(&mut self, now: Instant) -> Result<(W, u64), Option<Instant>> {
        if let Some(until) = self.failures.paused(now) {
            return Err(Some(until));
        }
        let mut earliest = None;
        for _ in 0..self.order.len() {
            let Some(user) = self.order.pop_front() else { break };
            let Some(of_user) = self.users.get_mut(&user) else { continue };
            let paused = of_user.failures.paused(now);
            let one_at_a_time = of_user.failures.count(now) > FREE_FOR_USER;
            if paused.is_some() || (one_at_a_time && of_user.checking > 0) {
                earliest = earlier(earliest, paused);
                self.order.push_back(user);
                continue;
            }
            self.waiting -= of_user.remove_gone();
            let waiter = of_user.waiting.pop_front();
            if !of_user.waiting.is_empty() {
                self.order.push_back(user);
            }
            if let Some(waiter) = waiter {
                self.waiting -= 1;
                of_user.checking += 1;
                return Ok((waiter, user));
            }
        }
        Err(earliest)
    }
}

impl<W: Waiter> LoginQueue<W> {
    /// With so many checks at once.
    pub(crate) fn new(slots: usize) -> Self {
        Self { free: slots, waiting: 0, addresses: HashMap::new(), order: VecDeque::new() }
    }

    /// Queues up. Where too many wait, the last of whoever has most of them gives way, and is dropped.
    ///
    /// # Errors
    /// The log-in may not wait.
    pub(crate) fn queue(&mut self, (address, user): Who, waiter: W, now: Instant) -> Result<(), Refused> {
        self.forget(now);
        if self.waiting >= MAX_WAITING {
            self.remove_gone();
        }
        if self.waiting >= MAX_WAITING && !self.displace((address, user)) {
            return Err(Refused::TooMany);
        }
        let here = self.addresses.entry(address).or_default();
        let of_user = here.users.entry(user).or_default();
        if of_user.failures.count(now) > FREE_FOR_USER {
            let gone = of_user.remove_gone();
            here.waiting -= gone;
            self.waiting -= gone;
            if of_user.waiting.len() >= MAX_WAITING_SUSPECT {
                return Err(Refused::TooOften);
            }
        }
        of_user.waiting.push_back(waiter);
        if !here.order.contains(&user) {
            here.order.push_back(user);
        }
        here.waiting += 1;
        self.waiting += 1;
        if !self.order.contains(&address) {
            self.order.push_back(address);
        }
        Ok(())
    }

    /// Who may be checked next. Each check is to be ended by [`LoginQueue::end`].
    pub(crate) fn next(&mut self, now: Instant) -> Next<W> {
        let mut earliest: Option<Instant> = None;
        for _ in 0..self.order.len() {
            if self.free == 0 {
                return Next::Nobody;
            }
            let Some(address) = self.order.pop_front() else { break };
            let Some(here) = self.addresses.get_mut(&address) else { continue };
            let before = here.waiting;
            let found = here.next(now);
            self.waiting -= before - here.waiting;
            if !here.order.is_empty() {
                self.order.push_back(address);
            }
            match found {
                Ok((waiter, user)) => {
                    self.free -= 1;
                    return Next::Check(waiter, (address, user));
                }
                Err(until) => earliest = earlier(earliest, until),
            }
        }
        earliest.map_or(Next::Nobody, Next::At)
    }

    /// The check that was begun is over. `None`: it could not be made.
    pub(crate) fn end(&mut self, (address, user): Who, fits: Option<bool>, now: Instant) {
        self.free += 1;
        let Some(here) = self.addresses.get_mut(&address) else { return };
        let of_user = here.users.entry(user).or_default();
        of_user.checking = of_user.checking.saturating_sub(1);
        match fits {
            Some(true) => of_user.failures = Failures::default(),
            Some(false) => {
                of_user.failures.add(now, user_pause);
                here.failures.add(now, address_pause);
            }
            None => {}
        }
    }

    /// Makes room for one of `newcomer`, at the address where most wait, of the user of whom most do. Says whether that is
    /// another one.
    fn displace(&mut self, newcomer: Who) -> bool {
        let most = self.addresses.iter_mut().max_by_key(|(_, here)| here.waiting);
        let Some((address, here)) = most else { return false };
        let most = here.users.iter_mut().max_by_key(|(_, of_user)| of_user.waiting.len());
        let Some((_, of_user)) = most.filter(|(user, _)| (*address, **user) != newcomer) else { return false };
        if of_user.waiting.pop_back().is_none() {
            return false;
        }
        here.waiting -= 1;
        self.waiting -= 1;
        true
    }

    fn remove_gone(&mut self) {
        for here in self.addresses.values_mut() {
            let gone: usize = here.users.values_mut().map(User::remove_gone).sum();
            here.waiting -= gone;
            self.waiting -= gone;
        }
    }

    /// Keeps what is remembered small: first without what is forgotten anyway, then without half of the rest, the older one.
    fn forget(&mut self, now: Instant) {
        if self.remembered() < MAX_REMEMBERED {
            return;
        }
        self.retain(|failures| failures.count(now) > 0);
        if self.remembered() >= MAX_REMEMBERED {
            let users = self.addresses.values().flat_map(|here| here.users.values());
            let mut lasts: Vec<Instant> = users.filter_map(|of_user| of_user.failures.last).collect();
            lasts.sort_unstable();
            let middle = lasts.get(lasts.len() / 2).copied();
            self.retain(|failures| failures.last > middle);
        }
    }

    fn remembered(&self) -> usize {
        self.addresses.values().map(|here| here.users.len() + 1).sum()
    }

    /// Keeps whoever has something under way, and those of the others with such failures.
    fn retain(&mut self, keep: impl Fn(&Failures) -> bool) {
        self.addresses.retain(|_, here| {
            here.users
                .retain(|_, of_user| of_user.checking > 0 || !of_user.waiting.is_empty() || keep(&of_user.failures));
            !here.users.is_empty() || keep(&here.failures)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::IpAddr, rc::Rc};

    use proptest::prelude::*;

    use super::*;

    /// Counted while it waits.
    #[derive(Debug)]
    struct Log(u32, Rc<Cell<i32>>);

    impl PartialEq for Log {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    impl Drop for Log {
        fn drop(&mut self) {
            self.1.set(self.1.get() - 1);
        }
    }

    impl Waiter for Log {
        fn is_gone(&self) -> bool {
            self.0 == u32::MAX
        }
    }

    struct Queue {
        logins: LoginQueue<Log>,
        alive: Rc<Cell<i32>>,
        now: Instant,
    }

    fn address(last: u8) -> ClientAddress {
        IpAddr::from([192, 0, 2, last]).into()
    }

    impl Queue {
        fn new(slots: usize) -> Self {
            Self { logins: LoginQueue::new(slots), alive: Rc::default(), now: Instant::now() }
        }

        fn queue(&mut self, last: u8, user: u64, name: u32) -> Result<(), Refused> {
            self.alive.set(self.alive.get() + 1);
            self.logins.queue((address(last), user), Log(name, Rc::clone(&self.alive)), self.now)
        }

        /// Who is next, if anybody is.
        fn next(&mut self) -> Option<(u32, Who)> {
            match self.logins.next(self.now) {
                Next::Check(log, who) => Some((log.0, who)),
                Next::At(_) | Next::Nobody => None,
            }
        }

        /// Lets the next one be checked.
        fn check(&mut self, fits: bool) -> Option<u32> {
            let (name, who) = self.next()?;
            self.logins.end(who, Some(fits), self.now);
            Some(name)
        }
    }

    #[test]
    fn checks_go_round_addresses_and_users_whoever_has_many_waiting() {
        let mut queue = Queue::new(1);
        for name in 0..50 {
            queue.queue(1, 1, name).unwrap();
        }
        queue.queue(1, 2, 100).unwrap();
        queue.queue(2, 1, 200).unwrap();
        let first: Vec<u32> = (0..4).map(|_| queue.check(true).unwrap()).collect();
        assert_eq!(first, [0, 200, 100, 1]);
    }

    #[test]
    fn a_user_who_fails_waits_at_that_address_and_nowhere_else() {
        let mut queue = Queue::new(4);
        for name in 0..=FREE_FOR_USER {
            queue.queue(1, 1, name).unwrap();
            assert_eq!(queue.check(false), Some(name));
        }
        for name in 10..14 {
            queue.queue(1, 1, name).unwrap();
        }
        assert_eq!(queue.queue(1, 1, 14), Err(Refused::TooOften));
        let until = queue.now + USER_PAUSE;
        assert_eq!(queue.logins.next(queue.now), Next::At(until));
        queue.queue(2, 1, 20).unwrap();
        queue.queue(1, 2, 21).unwrap();
        let mut others = [queue.check(true).unwrap(), queue.check(true).unwrap()];
        others.sort_unstable();
        assert_eq!(others, [20, 21]);
        queue.now = until;
        let (name, who) = queue.next().unwrap();
        assert_eq!(name, 10);
        // One at a time, and after the next failure twice as long.
        assert_eq!(queue.logins.next(queue.now), Next::Nobody);
        queue.logins.end(who, Some(false), queue.now);
        assert_eq!(queue.logins.next(queue.now), Next::At(until + 2 * USER_PAUSE));
        queue.now = until + 2 * USER_PAUSE;
        assert_eq!(queue.check(true), Some(11));
        // Forgiven.
        assert_eq!((queue.check(true), queue.check(true)), (Some(12), Some(13)));
    }

    #[test]
    fn an_address_that_tries_many_users_waits_too() {
        let mut queue = Queue::new(4);
        for number in 0..=FREE_FOR_ADDRESS {
            queue.queue(1, number.into(), number).unwrap();
            assert_eq!(queue.check(false), Some(number));
        }
        queue.queue(1, 1000, 1000).unwrap();
        assert_eq!(queue.logins.next(queue.now), Next::At(queue.now + ADDRESS_PAUSE));
        queue.now += FORGET_AFTER;
        assert_eq!(queue.check(false), Some(1000));
        queue.queue(1, 1001, 1001).unwrap();
        assert_eq!(queue.check(false), Some(1001));
    }

    #[test]
    fn where_too_many_wait_the_last_of_whoever_has_most_gives_way() {
        let mut queue = Queue::new(1);
        for name in 0..u32::try_from(MAX_WAITING).unwrap() {
            queue.queue(1, 1, name).unwrap();
        }
        assert_eq!(queue.queue(1, 1, 1000), Err(Refused::TooMany));
        queue.queue(2, 1, 2000).unwrap();
        queue.queue(1, 2, 3000).unwrap();
        assert_eq!(queue.alive.get(), i32::try_from(MAX_WAITING).unwrap());
        assert_eq!([queue.check(true), queue.check(true), queue.check(true)], [Some(0), Some(2000), Some(3000)]);
    }

    #[test]
    fn little_is_remembered_however_many_names_are_tried() {
        let mut queue = Queue::new(1);
        for number in 0..3 * u64::try_from(MAX_REMEMBERED).unwrap() {
            queue.now += Duration::from_millis(60);
            queue.queue(u8::try_from(number % 3).unwrap(), number, 0).unwrap();
            assert_eq!(queue.check(false), Some(0));
        }
        assert!(queue.logins.remembered() <= MAX_REMEMBERED + 1);
    }

    proptest! {
        #[test]
        fn everybody_is_checked_or_told(
            logs in proptest::collection::vec((0u8..4, 0u64..4, any::<bool>(), any::<bool>()), 0..600),
            slots in 1usize..4,
        ) {
            let mut queue = Queue::new(slots);
            let (mut queued, mut running) = (0usize, Vec::new());
            for (number, (last, user, begin, fits)) in logs.into_iter().enumerate() {
                let name = if number % 7 == 0 { u32::MAX } else { 1 };
                queued += usize::from(queue.queue(last, user, name).is_ok());
                if begin && let Some((_, who)) = queue.next() {
                    running.push(who);
                    prop_assert!(running.len() <= slots);
                }
                if !begin && let Some(who) = running.pop() {
                    queue.logins.end(who, Some(fits), queue.now);
                }
                queue.now += Duration::from_millis(10);
            }
            while let Some(who) = running.pop() {
                queue.logins.end(who, Some(false), queue.now);
            }
            for _ in 0..=queued {
                match queue.logins.next(queue.now) {
                    Next::Check(log, who) => {
                        prop_assert!(!log.is_gone());
                        queue.logins.end(who, Some(false), queue.now);
                    }
                    Next::At(until) => {
                        prop_assert!(until > queue.now);
                        queue.now = until;
                    }
                    Next::Nobody => break,
                }
            }
            queue.now += FORGET_AFTER;
            while queue.check(true).is_some() {}
            prop_assert_eq!(queue.alive.get(), 0);
            prop_assert_eq!((queue.logins.waiting, queue.logins.free), (0, slots));
        }
    }
}
