//! Microversions: one API whose requests and answers differ by the version that the client names.
//!
//! What differs is data: an operation's row says in which [`Versions`] it is served; an answer passes through a
//! [`FieldTable`], which leaves out what its version does not have; a request is held against another, which refuses
//! what its version does not know. Handlers ask for the version only where the same field means something else.
//!
//! A service has one [`Family`] of versions, `compute 2.x` or `volume 3.x`, or none. Within a family the major number
//! never changes, so tables and rows name the minor number alone.

mod family;
mod fields;

use std::{fmt, str::FromStr};

pub use family::Family;
pub(crate) use family::negotiate;
pub use fields::{FieldRule, FieldTable, Shaped, field};

/// A version of a service's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Microversion {
    pub(crate) major: u16,
    pub(crate) minor: u16,
}

impl Microversion {
    /// The version of services that have none.
    pub const NONE: Self = Self { major: 0, minor: 0 };

    /// Version `major`.`minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Whether it is this minor version or a later one.
    #[must_use]
    pub const fn at_least(self, minor: u16) -> bool {
        self.minor >= minor
    }

    /// Whether it is earlier than this minor version.
    #[must_use]
    pub const fn before(self, minor: u16) -> bool {
        self.minor < minor
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

/// The versions that have an operation, an action, a field or a parameter, by their minor numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The first.
    pub(crate) since: u16,
    /// The last; `None`: every later one.
    pub(crate) until: Option<u16>,
}

impl Versions {
    /// All of them.
    pub const ALL: Self = Self { since: 0, until: None };

    /// Whether `version` is among them.
    #[must_use]
    pub const fn includes(self, version: Microversion) -> bool {
        let begun = version.minor >= self.since;
        match self.until {
            None => begun,
            Some(until) => begun && version.minor <= until,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_ordered_by_number_and_not_by_text() {
        assert!(Microversion::new(2, 9) < Microversion::new(2, 10));
        assert!(Microversion::new(2, 100) > Microversion::new(2, 96));
    }

    #[test]
    fn only_two_plain_numbers_are_a_version() {
        for text in
            ["", "2", "2.", ".1", "2.01", "02.1", "0.1", "2.1.1", "2.-1", "2.+1", "v2.1", " 2.1", "2.x", "latest"]
        {
            assert!(text.parse::<Microversion>().is_err(), "{text}");
        }
        assert_eq!("2.0".parse(), Ok(Microversion::new(2, 0)));
        assert_eq!("2.99999999".parse::<Microversion>().map(|version| version > Microversion::new(2, 103)), Ok(true));
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
