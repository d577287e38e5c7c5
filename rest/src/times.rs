//! Times, in the forms that the services write and read them.

use std::fmt;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Serialize, Serializer};

use crate::{error::ApiError, query::Parameters};

macro_rules! forms {
    ($($(#[$doc:meta])* $name:ident($second:ident) => ($f:ident) $fraction:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name(pub Timestamp);

            impl fmt::Display for $name {
                fn fmt(&self, $f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    let $second = TimeZone::UTC.to_datetime(self.0);
                    whole_seconds($f, $second)?;
                    $fraction
                }
            }

            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            $crate::documented_as! {
                $name => String;
            }
        )*
    };
}

forms! {
    /// `2026-01-31T12:00:00Z`.
    Seconds(time) => (f) { let _ = time; f.write_str("Z") };
    /// `2026-01-31T12:00:00.000000`, in UTC without saying so: what Nova makes of a time from its database.
    Micros(time) => (f) write!(f, ".{:06}", time.subsec_nanosecond() / 1000);
    /// `2026-01-31T12:00:00.000000Z`.
    MicrosUtc(time) => (f) write!(f, ".{:06}Z", time.subsec_nanosecond() / 1000);
}

fn whole_seconds(f: &mut fmt::Formatter<'_>, time: DateTime) -> fmt::Result {
    write!(
        f,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// A time in a query: ISO 8601 with an offset, or without one in UTC. In our era: earlier ones can't be held by every
/// database, and Nova knows none.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok()?,
    };
    (TimeZone::UTC.to_datetime(time).year() >= 1).then_some(time)
}

/// A time that a query filters by.
///
/// # Errors
/// 400 that names the parameter.
pub fn filter(query: &Parameters, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = query.get(name) else { return Ok(None) };
    parse(text).map(Some).ok_or_else(|| {
        ApiError::bad_request(format!(
            "Invalid input for query parameters {name}. Value: {text}. It must be a time such as 2026-01-31T12:00:00Z."
        ))
    })
}

/// Refuses `changes-since` after `changes-before`.
///
/// # Errors
/// 400 in Nova's words.
pub fn check_order(since: Option<Timestamp>, before: Option<Timestamp>) -> Result<(), ApiError> {
    match (since, before) {
        (Some(since), Some(before)) if before < since => {
            Err(ApiError::bad_request("The value of changes-since must be less than or equal to changes-before."))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_gets_its_form() {
        let time: Timestamp = "2026-01-31T12:00:05.000123Z".parse().unwrap();
        assert_eq!(Seconds(time).to_string(), "2026-01-31T12:00:05Z");
        assert_eq!(Micros(time).to_string(), "2026-01-31T12:00:05.000123");
        assert_eq!(MicrosUtc(time).to_string(), "2026-01-31T12:00:05.000123Z");
    }

    #[test]
    fn a_time_without_an_offset_is_in_utc() {
        let expected: Timestamp = "2026-01-31T12:00:05Z".parse().unwrap();
        for text in ["2026-01-31T12:00:05Z", "2026-01-31T12:00:05", "2026-01-31 12:00:05", "2026-01-31T13:00:05+01:00"]
        {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["yesterday", "-005000-01-01T00:00:00Z", "-005000-01-01T00:00:00"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
