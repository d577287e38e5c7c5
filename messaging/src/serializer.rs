//! The seam for forms that serde's JSON does not give: versioned objects, encryption, compression of large arguments.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::MessagingError;

/// Changes arguments, results, payloads and contexts on their way to the wire and back, as oslo.messaging's serializers
/// do. Each method passes on what it gets unless it is overridden.
///
/// ```
/// use novella_messaging::{MessagingError, Serializer};
/// use serde_json::{Map, Value, json};
///
/// /// Marks what is sent with the version of its form, as Nova's objects are.
/// #[derive(Debug)]
/// struct Versioned;
///
/// impl Serializer for Versioned {
///     fn serialize_entity(&self, _context: &Map<String, Value>, entity: Value) -> Result<Value, MessagingError> {
///         Ok(json!({ "object.version": "1.0", "object.data": entity }))
///     }
///
///     fn deserialize_entity(&self, _context: &Map<String, Value>, mut entity: Value) -> Result<Value, MessagingError> {
///         match entity["object.version"].as_str() {
///             Some("1.0") => Ok(entity["object.data"].take()),
///             // A plain value, such as null.
///             None => Ok(entity),
///             Some(other) => Err(MessagingError::Malformed { what: format!("version {other} of an object; 1.0 is known") }),
///         }
///     }
/// }
/// # let form = Versioned.serialize_entity(&Map::new(), json!(1)).unwrap();
/// # assert_eq!(Versioned.deserialize_entity(&Map::new(), form).unwrap(), json!(1));
/// ```
pub trait Serializer: fmt::Debug + Send + Sync + 'static {
    /// One argument, result or payload on its way out.
    ///
    /// # Errors
    /// If it cannot be sent in this form.
    fn serialize_entity(&self, context: &Map<String, Value>, entity: Value) -> Result<Value, MessagingError> {
        let _ = context;
        Ok(entity)
    }

    /// One argument, result or payload as it came.
    ///
    /// # Errors
    /// If it is not of the form that was agreed.
    fn deserialize_entity(&self, context: &Map<String, Value>, entity: Value) -> Result<Value, MessagingError> {
        let _ = context;
        Ok(entity)
    }

    /// A context on its way out.
    fn serialize_context(&self, context: Map<String, Value>) -> Map<String, Value> {
        context
    }

    /// A context as it came.
    fn deserialize_context(&self, context: Map<String, Value>) -> Map<String, Value> {
        context
    }
}
