//! Who runs the guest: the two ends of a live migration as one small state machine each.
//!
//! ```text
//!  source                                                         destination
//!
//!  here ──begin──▶ copying ──switch──▶ switching ──answer──▶ gone      expected ──arrive──▶ here
//!   ▲                 │                  │  │                             │
//!   └── give up ──────┘      refused ────┘  │                             └──roll back──▶ (nothing)
//!   └────────────── roll back ──────────────┘
//! ```
//!
//! The guest runs in `here` and `copying` only. The promise: **never do both ends run it**, whatever is lost, repeated
//! or restarted. It rests on three things:
//!
//! 1. the source writes `switching` down before it says SWITCH, the destination `here` before it answers;
//! 2. the destination takes a SWITCH only while it is `expected` with the same one-time secret; rolled back, it never
//!    is again with that secret;
//! 3. a source in `switching` goes back only when it has not said SWITCH yet, when the destination has refused, or after
//!    the destination was rolled back. Hearing nothing is not an answer.
//!
//! The functions here change one end's state and are called under that host's lock; the test below walks all of them
//! in any order, with messages lost and both ends restarted.

use novella_common::ids::MigrationUuid;
use serde::{Deserialize, Serialize};

/// Where one end stands; kept with the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub(super) enum Transfer {
    /// On the source: copied while it runs.
    Copying {
        /// By which migration.
        migration: MigrationUuid,
    },
    /// On the source: held; the destination may have been told to run it.
    Switching {
        /// By which migration.
        migration: MigrationUuid,
    },
    /// On the source: runs on the destination.
    Gone {
        /// By which migration.
        migration: MigrationUuid,
    },
    /// On the destination: not there yet.
    Expected {
        /// By which migration.
        migration: MigrationUuid,
        /// What the source must say.
        secret: OneTimeSecret,
    },
}

/// What a source must say to be taken for the source; good for one migration.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct OneTimeSecret(String);

impl OneTimeSecret {
    pub(super) fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    fn is(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq;
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl std::fmt::Debug for OneTimeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A step that the state does not allow; says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutOfOrder(pub(super) &'static str);

/// Whether a guest in this state runs on this host (if its power is on).
pub(super) fn runs_here(state: Option<&Transfer>) -> bool {
    matches!(state, None | Some(Transfer::Copying { .. }))
}

/// The source begins to copy. A second beginning of the same migration is one.
pub(super) fn begin(state: &mut Option<Transfer>, migration: MigrationUuid) -> Result<(), OutOfOrder> {
    match state {
        None => {
            *state = Some(Transfer::Copying { migration });
            Ok(())
        }
        Some(Transfer::Copying { migration: other }) if *other == migration => Ok(()),
        Some(_) => Err(OutOfOrder("another migration of it is under way")),
    }
}

/// The source gives up while it copies.
pub(super) fn give_up(state: &mut Option<Transfer>, migration: MigrationUuid) {
    if *state == Some(Transfer::Copying { migration }) {
        *state = None;
    }
}

/// The source holds the guest, before it says SWITCH.
pub(super) fn switch(state: &mut Option<Transfer>, migration: MigrationUuid) -> Result<(), OutOfOrder> {
    if *state == Some(Transfer::Copying { migration }) {
        *state = Some(Transfer::Switching { migration });
        Ok(())
    } else {
        Err(OutOfOrder("it is no longer being copied"))
    }
}

/// The destination has answered that the guest runs there.
pub(super) fn switched(state: &mut Option<Transfer>, migration: MigrationUuid) {
    if *state == Some(Transfer::Switching { migration }) {
        *state = Some(Transfer::Gone { migration });
    }
}

/// The destination has refused the switch, or was rolled back: the guest goes on at the source.
pub(super) fn roll_back_source(state: &mut Option<Transfer>, migration: MigrationUuid) -> Result<(), OutOfOrder> {
    match state {
        Some(Transfer::Copying { migration: own } | Transfer::Switching { migration: own }) if *own == migration => {
            *state = None;
            Ok(())
        }
        Some(Transfer::Gone { migration: own }) if *own == migration => {
            Err(OutOfOrder("it has switched to the destination"))
        }
        _ => Ok(()),
    }
}

/// The destination has nothing of the guest any more: the source has it back, even if it had gone.
pub(super) fn revert(state: &mut Option<Transfer>, migration: MigrationUuid) {
    if let Some(
        Transfer::Copying { migration: own }
        | Transfer::Switching { migration: own }
        | Transfer::Gone { migration: own },
    ) = state
        && *own == migration
    {
        *state = None;
    }
}

/// What a source finds after a restart: copying ended with the process that did it.
pub(super) fn restart(state: &mut Option<Transfer>) {
    if matches!(state, Some(Transfer::Copying { .. })) {
        *state = None;
    }
}

/// Whether SWITCH with this secret may make the guest run on the destination now.
pub(super) fn may_arrive(state: Option<&Transfer>, migration: MigrationUuid, secret: &OneTimeSecret) -> bool {
    match state {
        Some(Transfer::Expected { migration: own, secret: expected }) => *own == migration && expected.is(secret),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What can happen, in any order and number.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Prepare,
        Begin,
        GiveUp,
        Hold,
        SaySwitch,
        NeverMind,
        DeliverSwitch,
        LoseSwitch,
        DeliverAnswer,
        LoseAnswer,
        SourceRestarts,
        DestinationRestarts,
        /// A conductor that has decided to undo: destination first, then, unless it refuses, the source.
        Undo,
        /// The same, dying after the first half; the second half comes at any later time.
        UndoDestination,
        UndoSource,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        use Event::*;
        let one = prop::sample::select(vec![
            Prepare,
            Begin,
            GiveUp,
            Hold,
            SaySwitch,
            NeverMind,
            DeliverSwitch,
            LoseSwitch,
            DeliverAnswer,
            LoseAnswer,
            SourceRestarts,
            DestinationRestarts,
            Undo,
            UndoDestination,
            UndoSource,
        ]);
        prop::collection::vec(one, 0..60)
    }

    #[derive(Default)]
    struct World {
        source: Option<Transfer>,
        /// `None`: the destination has nothing of the guest.
        destination: Option<Option<Transfer>>,
        secrets: usize,
        /// The source holds the guest and knows that it has not said SWITCH.
        held_but_silent: bool,
        /// SWITCH messages under way, with their secrets.
        switches: Vec<OneTimeSecret>,
        answers: Vec<bool>,
        /// The secret that the source was given.
        known: Option<OneTimeSecret>,
        destination_rolled_back: bool,
    }

    const M: MigrationUuid = MigrationUuid(uuid::Uuid::nil());

    impl World {
        fn destination_runs(&self) -> bool {
            self.destination.as_ref().is_some_and(|state| runs_here(state.as_ref()))
        }

        fn undo_destination(&mut self) {
            // The destination refuses once the guest runs there.
            if !self.destination_runs() {
                self.destination = None;
                self.destination_rolled_back = true;
            }
        }

        fn undo_source(&mut self) {
            // The conductor asks it only after the destination's agreement.
            if self.destination_rolled_back {
                let _ = roll_back_source(&mut self.source, M);
            }
        }

        fn apply(&mut self, event: Event) {
            match event {
                Event::Prepare => {
                    // Once undone, a migration is not prepared again: its row is past that.
                    if self.destination.is_none() && !self.destination_rolled_back {
                        self.secrets += 1;
                        let secret = OneTimeSecret(self.secrets.to_string());
                        self.known = Some(secret.clone());
                        self.destination = Some(Some(Transfer::Expected { migration: M, secret }));
                    }
                }
                Event::Begin => {
                    if self.known.is_some() {
                        let _ = begin(&mut self.source, M);
                    }
                }
                Event::GiveUp => give_up(&mut self.source, M),
                Event::Hold => {
                    if switch(&mut self.source, M).is_ok() {
                        self.held_but_silent = true;
                    }
                }
                Event::SaySwitch => {
                    if std::mem::take(&mut self.held_but_silent) {
                        self.switches.extend(self.known.clone());
                    }
                }
                Event::NeverMind => {
                    if std::mem::take(&mut self.held_but_silent) {
                        let _ = roll_back_source(&mut self.source, M);
                    }
                }
                Event::DeliverSwitch => {
                    if let Some(secret) = self.switches.pop() {
                        let taken =
                            self.destination.as_ref().is_some_and(|state| may_arrive(state.as_ref(), M, &secret));
                        if taken {
                            self.destination = Some(None);
                        }
                        self.answers.push(taken);
                    }
                }
                Event::LoseSwitch => drop(self.switches.pop()),
                Event::DeliverAnswer => match self.answers.pop() {
                    Some(true) => switched(&mut self.source, M),
                    Some(false) => {
                        let _ = roll_back_source(&mut self.source, M);
                    }
                    None => {}
                },
                Event::LoseAnswer => drop(self.answers.pop()),
                Event::SourceRestarts => {
                    restart(&mut self.source);
                    self.held_but_silent = false;
                    // Its connection is gone, and what the destination would have answered on it.
                    self.answers.clear();
                }
                Event::DestinationRestarts => {
                    self.switches.clear();
                    self.answers.clear();
                }
                Event::Undo => {
                    self.undo_destination();
                    self.undo_source();
                }
                Event::UndoDestination => self.undo_destination(),
                Event::UndoSource => self.undo_source(),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_guest_never_runs_on_both_hosts(events in events()) {
            let mut world = World::default();
            for event in events {
                world.apply(event);
                prop_assert!(
                    !(runs_here(world.source.as_ref()) && world.destination_runs()),
                    "after {event:?}: {:?} and {:?}", world.source, world.destination
                );
            }
        }

        #[test]
        fn asking_the_destination_always_settles_where_the_guest_runs(events in events()) {
            let mut world = World::default();
            for event in events {
                world.apply(event);
            }
            world.switches.clear();
            world.answers.clear();
            world.apply(Event::Undo);
            prop_assert!(runs_here(world.source.as_ref()) != world.destination_runs());
        }
    }
}
