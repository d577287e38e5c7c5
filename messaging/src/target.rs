//! Where a message goes: exchange, topic, server, fanout; and which version of a contract it
//! speaks.

use std::fmt;
use std::str::FromStr;

use crate::error::MessagingError;

/// The version of a contract: `major.minor`.
///
/// A minor step adds methods or optional arguments; a major step may change or remove them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Peers of different majors do not understand each other.
    pub major: u32,
    /// Counts the additions within a major.
    pub minor: u32,
}

impl Version {
    /// The version `major.minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Whether an endpoint of this version can serve a message of version `requested`: the same
    /// major, and a minor that is not below the requested one.
    #[must_use]
    pub const fn serves(self, requested: Version) -> bool {
        self.major == requested.major && self.minor >= requested.minor
    }
}

/// What a message without a version is taken to speak: `1.0`, as in oslo.messaging.
impl Default for Version {
    fn default() -> Self {
        Self::new(1, 0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = MessagingError;

    /// Reads `"1.4"`; a lone `"1"` means `1.0`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || MessagingError::Malformed {
            what: format!("the version `{text}` is not of the form major.minor, for instance 1.0"),
        };
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let number = |digits: &str| {
            // `u32::from_str` takes a leading plus sign, which is no version.
            if digits.bytes().all(|byte| byte.is_ascii_digit()) {
                digits.parse::<u32>().map_err(|_| malformed())
            } else {
                Err(malformed())
            }
        };
        Ok(Self::new(number(major)?, number(minor)?))
    }
}

/// Whom a client addresses, or what a server answers to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The control exchange; `None` takes the transport's.
    pub exchange: Option<String>,
    /// The kind of service, for instance `compute`. Servers of one topic share its queue.
    pub topic: String,
    /// One server among those of the topic, for instance a host's name. A client without one reaches any server of the
    /// topic; a server without one is reached by its topic and by fanouts alone.
    pub server: Option<String>,
    /// Address every server of the topic at once. Only meaningful for casts.
    pub fanout: bool,
    /// Tells apart several contracts of one topic; `None` is a namespace of its own. For clients: a server's are those of
    /// its endpoints.
    pub namespace: Option<String>,
    /// The version a client's messages speak.
    pub version: Version,
}

impl Target {
    /// Any server of `topic`, speaking version 1.0.
    #[must_use]
    pub fn new(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), ..Self::default() }
    }

    /// The same target narrowed to one server.
    #[must_use]
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.server = Some(server.into());
        self
    }

    /// The same target by another control exchange than the transport's.
    #[must_use]
    pub fn exchange(mut self, exchange: impl Into<String>) -> Self {
        self.exchange = Some(exchange.into());
        self
    }

    /// The same target in a namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The same target speaking `version`.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// The name of the queue (and the routing key) this target is reached by: `topic` or
    /// `topic.server`.
    pub(crate) fn queue(&self) -> String {
        match &self.server {
            Some(server) => format!("{}.{server}", self.topic),
            None => self.topic.clone(),
        }
    }

    /// The exchange that reaches every server of a topic.
    pub(crate) fn fanout_exchange(topic: &str) -> String {
        format!("{topic}_fanout")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.server, self.fanout) {
            (_, true) => write!(f, "every server of `{}`", self.topic),
            (Some(server), _) => write!(f, "`{}.{server}`", self.topic),
            (None, _) => write!(f, "`{}`", self.topic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_served_by_the_same_major_and_a_minor_not_below() {
        let endpoint = Version::new(2, 3);
        assert!(endpoint.serves(Version::new(2, 0)));
        assert!(endpoint.serves(Version::new(2, 3)));
        assert!(!endpoint.serves(Version::new(2, 4)));
        assert!(!endpoint.serves(Version::new(1, 0)));
        assert!(!endpoint.serves(Version::new(3, 0)));
    }

    #[test]
    fn versions_are_compared_as_numbers_not_as_text() {
        assert!(Version::new(1, 10) > Version::new(1, 9));
    }

    #[test]
    fn a_version_reads_what_it_writes_and_refuses_the_rest() {
        assert_eq!("1.17".parse::<Version>().unwrap(), Version::new(1, 17));
        assert_eq!("3".parse::<Version>().unwrap(), Version::new(3, 0));
        for bad in ["", ".", "1.", ".1", "a.b", "1.x", "-1.0", "+1.0", "1.2.3", "99999999999.0"] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?} was read as a version");
        }
    }
}
