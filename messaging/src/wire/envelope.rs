//! The envelope 2.0 around a message: an object whose `oslo.message` is the message as JSON *text*. And the 1.0 one, which
//! is none: there the body is the message itself.
//!
//! Every message passes here twice, so neither direction builds a tree for what is only looked at once.

use memchr::{memchr_iter, memchr2_iter};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap};
use serde_json::{Map, Value};

use super::{AUTH_TOKEN, CONTEXT_PREFIX, malformed};
use crate::error::MessagingError;

const START: &[u8] = br#"{"oslo.version": "2.0", "oslo.message": ""#;
const END: &[u8] = br#""}"#;
/// A message without large arguments fits.
const USUAL_SIZE: usize = 2048;

/// Writes a message into an envelope 2.0.
pub(super) fn seal(message: &impl Serialize) -> Result<Vec<u8>, MessagingError> {
    let mut text = Vec::with_capacity(USUAL_SIZE);
    serde_json::to_writer(&mut text, message).map_err(|error| malformed(error.to_string()))?;
    let mut body = Vec::with_capacity(START.len() + text.len() + text.len() / 8 + END.len());
    body.extend_from_slice(START);
    push_escaped(&mut body, &text);
    body.extend_from_slice(END);
    Ok(body)
}

/// Appends the content of a JSON string. `json` is JSON itself as `serde_json` writes it, so of what a string must escape
/// only quotes and backslashes occur; to look for these alone takes less than half the time of a general look.
fn push_escaped(body: &mut Vec<u8>, json: &[u8]) {
    let mut written = 0;
    for place in memchr2_iter(b'"', b'\\', json) {
        body.extend_from_slice(&json[written..place]);
        body.push(b'\\');
        written = place;
    }
    body.extend_from_slice(&json[written..]);
}

/// What [`push_escaped`] was given; `None` if something else was escaped or should have been, or the string ends before its
/// end.
fn unescaped(string: &[u8]) -> Option<Vec<u8>> {
    let mut json = Vec::with_capacity(string.len());
    let (mut read, mut quotes) = (0, 0);
    for place in memchr_iter(b'\\', string) {
        // The second of two was read with the first.
        if place < read {
            continue;
        }
        json.extend_from_slice(&string[read..place]);
        let escaped = *string.get(place + 1).filter(|escaped| matches!(escaped, b'"' | b'\\'))?;
        quotes += usize::from(escaped == b'"');
        json.push(escaped);
        read = place + 2;
    }
    json.extend_from_slice(string.get(read..)?);
    // Of all bytes, so that it needs no branch at each.
    let controls = string.iter().fold(false, |found, byte| found | (*byte < 0x20));
    (!controls && quotes == memchr_iter(b'"', string).count()).then_some(json)
}

/// Reads a message out of either envelope.
pub(super) fn open<M: DeserializeOwned>(body: &[u8]) -> Result<M, MessagingError> {
    // As this crate and oslo.messaging write it. Anything else, and whatever is wrong with it, in the usual way.
    let usual = || unescaped(body.strip_prefix(START)?.strip_suffix(END)?);
    if let Some(message) = usual().and_then(|json| serde_json::from_slice(&json).ok()) {
        return Ok(message);
    }
    #[derive(serde::Deserialize)]
    struct Envelope {
        #[serde(rename = "oslo.version")]
        version: Option<Value>,
        #[serde(rename = "oslo.message")]
        message: Option<Value>,
    }
    let no_object = |error: serde_json::Error| malformed(format!("the body is not a JSON object: {error}"));
    match serde_json::from_slice(body).map_err(no_object)? {
        Envelope { version: Some(version), message: Some(message) } => {
            // Any 2.x has this form; another major may not.
            let major = version.as_str().and_then(|version| version.split('.').next());
            if major != Some("2") {
                return Err(malformed(format!("the envelope's version is {version}, 2.0 is understood")));
            }
            let message = message.as_str().ok_or_else(|| malformed("`oslo.message` is not a string"))?;
            serde_json::from_str(message)
                .map_err(|error| malformed(format!("`oslo.message` does not hold a JSON object: {error}")))
        }
        _ => serde_json::from_slice(body).map_err(no_object),
    }
}

/// Writes the fields of the caller's context among those of the message.
pub(super) fn write_context<M: SerializeMap>(message: &mut M, context: &Map<String, Value>) -> Result<(), M::Error> {
    let mut name = String::from(CONTEXT_PREFIX);
    for (field, value) in context {
        name.truncate(CONTEXT_PREFIX.len());
        name.push_str(field);
        message.serialize_entry(&name, value)?;
    }
    Ok(())
}

/// The fields of a message as they came, apart from those of the caller's context.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) own: Map<String, Value>,
    /// Without the prefix, and without a credential.
    pub(super) context: Map<String, Value>,
}

impl Fields {
    /// `None` if it is missing, or null.
    pub(super) fn take_string(&mut self, field: &str) -> Result<Option<String>, MessagingError> {
        take_string(&mut self.own, field)
    }

    pub(super) fn require_string(&mut self, field: &str) -> Result<String, MessagingError> {
        self.take_string(field)?.ok_or_else(|| malformed(format!("`{field}` is missing")))
    }
}

/// Takes a string out of `fields`; `None` if it is missing, or null.
pub(super) fn take_string(fields: &mut Map<String, Value>, field: &str) -> Result<Option<String>, MessagingError> {
    match fields.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(malformed(format!("`{field}` is {other}, expected a string"))),
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            match name.strip_prefix(CONTEXT_PREFIX) {
                Some(AUTH_TOKEN) => {}
                Some(field) => drop(fields.context.insert(field.to_owned(), value)),
                None => drop(fields.own.insert(name, value)),
            }
        }
        Ok(fields)
    }
}
