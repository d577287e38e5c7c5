//! Values of Keystone's bodies and queries, parsed at the edge (keystone/api/validation/parameter_types.py).

use novella_common::config::Secret;
use novella_rest::{ApiError, repr, wrong_open};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};

/// A name: 1 to `LONGEST` characters, of which one can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name<const LONGEST: usize = 255>(pub(crate) String);

impl<'de, const LONGEST: usize> Deserialize<'de> for Name<LONGEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let said = |reason: &str| Err(D::Error::custom(format!("{} {reason}", repr(&Value::from(text.clone())))));
        if text.is_empty() {
            return said("should be non-empty");
        }
        if text.chars().count() > LONGEST {
            return said("is too long");
        }
        if text.trim().is_empty() {
            return said("does not match '[\\\\S]+'");
        }
        Ok(Self(text.trim().to_owned()))
    }
}

/// Yes or no, in one of the words that Keystone takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) bool);

const WORDS: &str = "[True, 'True', 'TRUE', 'true', False, 'False', 'FALSE', 'false', '', '1', '0', 'y', 'Y', 'n', 'N', \
                     'on', 'ON', 'off', 'OFF', 'yes', 'no']";

fn truth(word: &str) -> Option<bool> {
    match word {
        "True" | "TRUE" | "true" | "1" | "y" | "Y" | "on" | "ON" | "yes" => Some(true),
        "False" | "FALSE" | "false" | "" | "0" | "n" | "N" | "off" | "OFF" | "no" => Some(false),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let word = match &value {
            Value::Bool(value) => return Ok(Self(*value)),
            Value::String(word) => truth(word),
            _ => None,
        };
        word.map(Self).ok_or_else(|| D::Error::custom(format!("{} is not one of {WORDS}", repr(&value))))
    }
}

/// A flag in a query. Given without a value it is set.
pub(crate) fn query_flag(name: &str, value: &str) -> Result<bool, ApiError> {
    if value.is_empty() {
        return Ok(true);
    }
    truth(value).ok_or_else(|| wrong_open(name, &Value::from(value), &format!("'{value}' is not one of {WORDS}")))
}

/// A password, or another secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretText(pub(crate) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer).map(Self)
    }
}

/// Any object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object(pub(crate) Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self)
    }
}

novella_rest::documented_as! {
    Name<LONGEST> where (const LONGEST: usize) => String;
    Flag => Boolean;
    Object => Object;
    SecretText => String;
}

/// Options of a resource.
pub(crate) type Options = Map<String, Value>;

/// What a resource's options may be called, with what each may be.
pub(crate) struct OptionNames(pub(crate) &'static [KnownOption]);

/// An option's name, and whether a value fits.
type KnownOption = (&'static str, fn(&Value) -> bool);

/// The one option of projects, domains and roles.
pub(crate) const IMMUTABLE: OptionNames = OptionNames(&[("immutable", Value::is_boolean)]);

impl OptionNames {
    /// Takes over what a request says of options: null ends one.
    ///
    /// # Errors
    /// 400 for one that there is not, or that can't have this value.
    pub(crate) fn merge(&self, options: &mut Options, given: Option<Object>) -> Result<(), ApiError> {
        let Some(Object(given)) = given else { return Ok(()) };
        for (name, value) in &given {
            let Some((_, fits)) = self.0.iter().find(|(known, _)| known == name) else {
                let reason = format!("Additional properties are not allowed ('{name}' was unexpected)");
                return Err(wrong_open("options", &Value::Object(given.clone()), &reason));
            };
            if value.is_null() {
                options.remove(name);
            } else if fits(value) {
                options.insert(name.clone(), value.clone());
            } else {
                return Err(wrong_open(name, value, &format!("{} is not of type 'boolean', 'null'", repr(value))));
            }
        }
        Ok(())
    }
}

/// Whether a resource may neither be changed nor deleted.
pub(crate) fn is_immutable(options: &Options) -> bool {
    options.get("immutable") == Some(&Value::Bool(true))
}

/// Refuses to change what is immutable, unless all that is asked for is to end that.
///
/// # Errors
/// 403.
pub(crate) fn check_immutable(
    what: &str,
    id: &str,
    options: &Options,
    fields: usize,
    given: Option<&Object>,
) -> Result<(), ApiError> {
    let ends = fields == 1 && given.is_some_and(|Object(given)| given.contains_key("immutable"));
    if !is_immutable(options) || ends { Ok(()) } else { Err(immutable("update", what, id)) }
}

/// 403 for something immutable.
pub(crate) fn immutable(verb: &str, what: &str, id: &str) -> ApiError {
    ApiError::Forbidden(format!(
        "Unable to {verb} immutable {what} resource: `{id}. Set resource option \"immutable\" to false first."
    ))
}

/// The text that Keystone puts behind a request that it does not understand.
pub(crate) const NOT_UNDERSTOOD: &str = "The server could not comply with the request since it is either malformed or \
                                         otherwise incorrect. The client is assumed to be in error.";

/// 400: something must be there that is not.
pub(crate) fn expecting(what: &str, place: &str) -> ApiError {
    ApiError::bad_request(format!("Expecting to find {what} in {place}. {NOT_UNDERSTOOD}"))
}
