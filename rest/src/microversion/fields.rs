//! Which fields an object has at which version: tables, and their two uses.

use serde::{
    Serialize, Serializer,
    ser::{Error as _, Impossible, SerializeStruct},
};
use serde_json::{Map, Value};

use super::{Microversion, Versions};
use crate::{
    body::{refuse_unknown, wrong},
    error::ApiError,
};

/// A field, and the versions that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRule {
    /// Its name.
    pub name: &'static str,
    /// The versions that have it.
    pub versions: Versions,
    /// Whether it may be null in a request.
    pub nullable: bool,
    /// Whether a query may have it only once.
    pub once: bool,
}

/// A field that every version has.
#[must_use]
pub const fn field(name: &'static str) -> FieldRule {
    FieldRule { name, versions: Versions::ALL, nullable: false, once: false }
}

impl FieldRule {
    /// The field came with this minor version.
    #[must_use]
    pub const fn since(mut self, minor: u16) -> Self {
        self.versions.since = minor;
        self
    }

    /// The field was last there in this minor version.
    #[must_use]
    pub const fn until(mut self, minor: u16) -> Self {
        self.versions.until = Some(minor);
        self
    }

    /// A request may set the field to null.
    #[must_use]
    pub const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// A query that is held against the table may have the parameter only once.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.once = true;
        self
    }
}

/// The fields of one kind of object, or the parameters of one query.
#[derive(Clone, Copy, Debug)]
pub struct FieldTable(pub &'static [FieldRule]);

impl FieldTable {
    /// Whether `version` has a field of this name.
    pub fn has(&self, name: &str, version: Microversion) -> bool {
        self.rule(name, version).is_some()
    }

    /// What `version` says of the field of this name.
    pub fn rule(&self, name: &str, version: Microversion) -> Option<&FieldRule> {
        self.0.iter().find(|rule| rule.name == name && rule.versions.includes(version))
    }

    /// Refuses a request's object that has a field which the table does not have at `version`, or null where a value
    /// is expected.
    ///
    /// # Errors
    /// 400 that names the field.
    pub fn check(&self, place: &str, object: &Map<String, Value>, version: Microversion) -> Result<(), ApiError> {
        for (name, value) in object {
            let rule = self.rule(name, version).ok_or_else(|| refuse_unknown(place, name))?;
            if value.is_null() && !rule.nullable {
                let field = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                return Err(wrong(&field, value, "It may be left out, but not be null."));
            }
        }
        Ok(())
    }

    /// The fields of an answer that `version` does not have. A field that the table does not name is in every version.
    pub fn hidden(&self, version: Microversion) -> Vec<&'static str> {
        self.0.iter().map(|rule| rule.name).filter(|name| !self.has(name, version)).collect()
    }
}

/// An object of an answer as one version has it: serialised without the hidden fields.
pub struct Shaped<'h, T> {
    /// The object with the fields of all versions; must serialise as a struct.
    pub whole: T,
    /// From [`FieldTable::hidden`], once for all objects of an answer.
    pub hidden: &'h [&'static str],
}

impl<T: Serialize> Serialize for Shaped<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.whole.serialize(Shaper { inner: serializer, hidden: self.hidden })
    }
}

/// A serializer of one struct that leaves fields out.
struct Shaper<'h, S> {
    inner: S,
    hidden: &'h [&'static str],
}

struct ShapedStruct<'h, S> {
    inner: S,
    hidden: &'h [&'static str],
}

impl<S: SerializeStruct> SerializeStruct for ShapedStruct<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error> {
        if self.hidden.contains(&key) {
            return self.inner.skip_field(key);
        }
        self.inner.serialize_field(key, value)
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}

macro_rules! structs_only {
    ($($method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $method(self, $($argument: $type),*) -> Result<$result, S::Error> {
            $(let _ = $argument;)*
            Err(S::Error::custom("only a struct has fields that depend on the version"))
        })*
    };
}

impl<'h, S: Serializer> Serializer for Shaper<'h, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Impossible<S::Ok, S::Error>;
    type SerializeTuple = Impossible<S::Ok, S::Error>;
    type SerializeTupleStruct = Impossible<S::Ok, S::Error>;
    type SerializeTupleVariant = Impossible<S::Ok, S::Error>;
    type SerializeMap = Impossible<S::Ok, S::Error>;
    type SerializeStruct = ShapedStruct<'h, S::SerializeStruct>;
    type SerializeStructVariant = Impossible<S::Ok, S::Error>;

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        Ok(ShapedStruct { inner: self.inner.serialize_struct(name, len)?, hidden: self.hidden })
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("only a struct has fields that depend on the version"))
    }

    structs_only! {
        serialize_bool(v: bool) -> S::Ok;
        serialize_i8(v: i8) -> S::Ok;
        serialize_i16(v: i16) -> S::Ok;
        serialize_i32(v: i32) -> S::Ok;
        serialize_i64(v: i64) -> S::Ok;
        serialize_u8(v: u8) -> S::Ok;
        serialize_u16(v: u16) -> S::Ok;
        serialize_u32(v: u32) -> S::Ok;
        serialize_u64(v: u64) -> S::Ok;
        serialize_f32(v: f32) -> S::Ok;
        serialize_f64(v: f64) -> S::Ok;
        serialize_char(v: char) -> S::Ok;
        serialize_str(v: &str) -> S::Ok;
        serialize_bytes(v: &[u8]) -> S::Ok;
        serialize_none() -> S::Ok;
        serialize_unit() -> S::Ok;
        serialize_unit_struct(name: &'static str) -> S::Ok;
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> S::Ok;
        serialize_seq(len: Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(len: usize) -> Self::SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> Self::SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> Self::SerializeMap;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> Self::SerializeStructVariant;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Thing {
        id: u8,
        old: &'static str,
        new: Option<bool>,
        returned: u8,
    }

    const TABLE: FieldTable = FieldTable(&[
        field("id"),
        field("old").until(5),
        field("new").since(3).nullable(),
        field("returned").until(2),
        field("returned").since(8),
    ]);

    fn shown(minor: u16) -> Value {
        let hidden = TABLE.hidden(Microversion::new(2, minor));
        let whole = Thing { id: 1, old: "o", new: None, returned: 9 };
        serde_json::to_value(Shaped { whole, hidden: &hidden }).unwrap()
    }

    #[test]
    fn an_answer_has_the_fields_of_its_version() {
        assert_eq!(shown(1), json!({"id": 1, "old": "o", "returned": 9}));
        assert_eq!(shown(4), json!({"id": 1, "old": "o", "new": null}));
        assert_eq!(shown(9), json!({"id": 1, "new": null, "returned": 9}));
    }

    #[test]
    fn a_request_with_a_field_of_another_version_is_refused_by_name() {
        let body = json!({"new": true});
        let object = body.as_object().unwrap();
        assert!(TABLE.check("thing", object, Microversion::new(2, 3)).is_ok());
        assert_eq!(
            TABLE.check("thing", object, Microversion::new(2, 2)).unwrap_err().to_string(),
            "Invalid input for field/attribute thing. Additional properties are not allowed ('new' was unexpected)"
        );
    }

    #[test]
    fn a_field_is_null_only_where_the_table_says_so() {
        let checked = |name: &str| {
            let object = Map::from_iter([(name.to_owned(), Value::Null)]);
            TABLE.check("thing", &object, Microversion::new(2, 3)).map_err(|error| error.to_string())
        };
        assert_eq!(checked("new"), Ok(()));
        assert_eq!(
            checked("old").unwrap_err(),
            "Invalid input for field/attribute thing.old. Value: null. It may be left out, but not be null."
        );
    }

    proptest! {
        /// The two uses of a table agree: what a version shows, it takes.
        #[test]
        fn what_a_version_shows_it_takes(minor in 1u16..200) {
            let version = Microversion::new(2, minor);
            let shown = shown(minor);
            prop_assert!(TABLE.check("thing", shown.as_object().unwrap(), version).is_ok());
            for name in TABLE.hidden(version) {
                let object = Map::from_iter([(name.to_owned(), Value::Null)]);
                prop_assert!(TABLE.check("thing", &object, version).is_err());
            }
        }
    }
}
