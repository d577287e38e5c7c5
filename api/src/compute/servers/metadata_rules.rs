//! What a server's metadata may be.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

/// Metadata as a request gives it: keys of 1 to 255 plain characters, values of at most 255.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = BTreeMap::<String, String>::deserialize(deserializer)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.' | ' ');
        for (key, value) in &pairs {
            if key.is_empty() || key.len() > 255 || !key.chars().all(plain) {
                return Err(de::Error::custom(format!(
                    "the key '{key}' must have 1 to 255 letters, digits, spaces and characters of -_:."
                )));
            }
            if value.chars().count() > 255 {
                return Err(de::Error::custom(format!("the value of '{key}' is longer than 255 characters")));
            }
        }
        Ok(Self(pairs))
    }
}

novella_rest::documented_as! {
    Metadata => Object;
}
