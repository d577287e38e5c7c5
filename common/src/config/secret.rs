//! Values that must not reach a log, an error text or `novella config`.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

const MASK: &str = "***";

/// A password or key. Shown as `***`, also when serialised.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself; for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// A URL that may hold a password. Shown with `***` in the password's place.
///
/// Serialises whole, since configuration defaults pass through serialisation: show it by `Display` only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Wraps a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL with its password; for the one place that connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether no URL was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Parts of the names of parameters whose values are secrets.
const SECRET_NAMES: [&str; 4] = ["pass", "pwd", "secret", "token"];

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // scheme://user:password@rest?name=value. A URL that somebody has mistyped is shown too, in the error that says so:
        // rather too much is masked than too little. A password may hold anything, also what would end it.
        let (scheme, rest) = match self.0.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, self.0.as_str()),
        };
        if let Some(scheme) = scheme {
            write!(f, "{scheme}://")?;
        }
        let mut secrets = Vec::new();
        if let Some(at) = rest.rfind('@')
            && let Some(colon) = rest[..at].find(':')
        {
            secrets.push(colon + 1..at);
        }
        let mut begin = rest.find('?').map_or(rest.len(), |question| question + 1);
        for pair in rest[begin..].split('&') {
            let end = begin + pair.len();
            secrets.extend(
                pair.split_once('=').filter(|(name, _)| is_secret(name)).map(|(_, value)| end - value.len()..end),
            );
            begin = end + 1;
        }
        // The two overlap where an `@` stands in the query, or a `?` in the password.
        secrets.sort_by_key(|secret| secret.start);
        let (mut shown, mut masked) = (0, None);
        for secret in secrets {
            if masked.is_none_or(|end| secret.start > end) {
                write!(f, "{}{MASK}", &rest[shown..secret.start])?;
            }
            shown = shown.max(secret.end);
            masked = Some(shown);
        }
        f.write_str(&rest[shown..])
    }
}

/// Whether a parameter of this name holds a secret. A name with escapes in it may be any.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains('%') || SECRET_NAMES.iter().any(|part| name.contains(part))
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let shown = |url: &str| SecretUrl::new(url).to_string();
        for url in
            ["sqlite:///var/lib/novella.db", "memory://", "postgres://host:5432/db?sslmode=require", "http://h:1"]
        {
            assert_eq!(shown(url), url);
        }
        for (url, masked) in [
            ("amqp://guest:s3cret@host:5672/vhost", "amqp://guest:***@host:5672/vhost"),
            ("postgres://u:s3cret@s3cret@host/db", "postgres://u:***@host/db"),
            ("postgres://u:s3cret/s3cret@host/db", "postgres://u:***@host/db"),
            ("postgres://u:s3cret?s3cret#s3cret@host/db", "postgres://u:***@host/db"),
            ("amqp://u:s3cret@a,v:s3cret@b/vhost?ssl=1", "amqp://u:***@b/vhost?ssl=1"),
            ("postgres://host/db?user=u&password=s3cret&a=b", "postgres://host/db?user=u&password=***&a=b"),
            ("postgres://u@host/db?sslpassword=s3cret", "postgres://u@host/db?sslpassword=***"),
            ("postgres://host/db?p%61ssword=s3cret", "postgres://host/db?p%61ssword=***"),
            ("http://host/?access_token=s3cret", "http://host/?access_token=***"),
            ("u:s3cret@host/db", "u:***@host/db"),
            ("postgres:u:s3cret@host/db", "postgres:***@host/db"),
        ] {
            assert_eq!(shown(url), masked);
        }
        assert!(!shown("postgres://host:5432/db?password=s3cret@s3cret").contains("s3cret"));
    }

    proptest::proptest! {
        /// Whatever a password holds, in whichever of the two places it stands.
        #[test]
        fn no_password_is_shown(password in "[ -~]{0,4}s3cret[ -~]{0,4}", host in "[a-z]{1,3}(:[0-9]{2})?") {
            let in_front = SecretUrl::new(format!("postgres://u:{password}@{host}/db")).to_string();
            proptest::prop_assert!(!in_front.contains("s3cret"), "{in_front}");
            let password = password.replace('&', "");
            let in_query = SecretUrl::new(format!("postgres://{host}/db?password={password}")).to_string();
            proptest::prop_assert!(!in_query.contains("s3cret"), "{in_query}");
        }
    }
}
