//! Microversions: one API whose requests and answers differ by the version that the client names.
//!
//! Three places say what differs, all of them data: a route or an action is registered with the versions that it is
//! `Served` in; an answer passes through a `FieldTable`, which leaves out what its version does not have; a
//! request is held against another, which refuses what its version does not know. Handlers ask for the version only
//! where the same field means something else.

mod fields;
mod negotiation;
mod served;

use std::{fmt, str::FromStr};

pub(crate) use fields::{FieldTable, Shaped, field};
pub(crate) use negotiation::negotiate;
pub(crate) use served::{Served, ServedExt};

/// A version of the Compute API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Microversion {
    major: u16,
    minor: u16,
}

impl Microversion {
    /// What a client that names no version gets, and the lowest that is served.
    pub const MIN: Self = Self::v2(1);

    /// The highest that is served.
    ///
    /// Every version up to here is served for the resources that exist: what a version adds to one that Novella does not
    /// have yet (keypairs, volumes, server groups, tags) is a 404, or a 400 that says so, at every version alike. 2.104
    /// lets `PUT /servers/{id}` move a server's pinned zone, which is part of what the scheduler was asked for and is
    /// not changed by anybody yet.
    pub const MAX: Self = Self::v2(103);

    /// Version 2.`minor`.
    #[must_use]
    pub const fn v2(minor: u16) -> Self {
        Self { major: 2, minor }
    }
}

impl fmt::Display for Microversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is no microversion. The wording is Nova's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("API Version String {0} is of invalid format. Must be of format MajorNum.MinorNum.")]
pub struct InvalidMicroversion(String);

impl FromStr for Microversion {
    type Err = InvalidMicroversion;

    fn from_str(text: &str) -> Result<Self, InvalidMicroversion> {
        let number = |digits: &str, may_be_zero: bool| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let leading_zero = digits.starts_with('0') && !(may_be_zero && digits.len() == 1);
            (plain && !leading_zero).then(|| digits.parse::<u16>().unwrap_or(u16::MAX))
        };
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self { major: number(major, false)?, minor: number(minor, true)? }))
            .ok_or_else(|| InvalidMicroversion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_ordered_by_number_and_not_by_text() {
        assert!(Microversion::v2(9) < Microversion::v2(10));
        assert!(Microversion::v2(100) > Microversion::v2(96));
    }

    #[test]
    fn only_two_plain_numbers_are_a_version() {
        for text in
            ["", "2", "2.", ".1", "2.01", "02.1", "0.1", "2.1.1", "2.-1", "2.+1", "v2.1", " 2.1", "2.x", "latest"]
        {
            assert!(text.parse::<Microversion>().is_err(), "{text}");
        }
        assert_eq!("2.0".parse(), Ok(Microversion::v2(0)));
        assert_eq!("2.99999999".parse::<Microversion>().map(|version| version > Microversion::MAX), Ok(true));
    }

    proptest! {
        #[test]
        fn a_version_is_read_as_it_is_written(major in 1..u16::MAX, minor in 0..u16::MAX) {
            let version = Microversion { major, minor };
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,12}") {
            let _ = text.parse::<Microversion>();
        }
    }
}
