//! Reads JSON as schemas mean it: an object is an object. serde takes a struct from an array too, its fields in their order,
//! which no schema of OpenStack's does.

use serde::{
    Deserializer,
    de::{
        Error as _, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Value};

/// Reads from this value.
pub(crate) struct JsonReader<'de>(pub(crate) &'de Value);

impl<'de> IntoDeserializer<'de, Error> for JsonReader<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for JsonReader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.iter().map(JsonReader));
                let read = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(read)
            }
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.as_str(), JsonReader(value)));
                let mut fields = MapDeserializer::new(fields);
                let read = visitor.visit_map(&mut fields)?;
                fields.end()?;
                Ok(read)
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.0.is_array() {
            return Err(Error::invalid_type(Unexpected::Seq, &"an object"));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, de::DeserializeOwned};
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Thing {
        count: Option<u8>,
        kind: Option<Kind>,
        inner: Option<Box<Thing>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Plain,
    }

    fn read<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
        T::deserialize(JsonReader(value)).map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_is_read_from_an_object_alone() {
        let whole = json!({"count": 1, "kind": "plain", "inner": {"count": null}});
        let inner = Thing { count: None, kind: None, inner: None };
        let thing = Thing { count: Some(1), kind: Some(Kind::Plain), inner: Some(Box::new(inner)) };
        assert_eq!(read::<Thing>(&whole), Ok(thing));
        for array in [json!([]), json!([1, "plain", null]), json!({"inner": []}), json!({"inner": [1, null, null]})] {
            assert!(read::<Thing>(&array).unwrap_err().contains("expected an object"), "{array}");
        }
    }

    #[test]
    fn everything_else_is_read_as_it_is() {
        assert_eq!(read::<Vec<(u8, String)>>(&json!([[1, "a"]])), Ok(vec![(1, "a".to_owned())]));
        assert_eq!(read::<BTreeMap<String, f64>>(&json!({"a": 1, "b": 1.5})).map(|map| map["b"]), Ok(1.5));
        let any = json!({"a": [1, -1, 1.5, null, true, "x", {"b": []}]});
        assert_eq!(read::<Value>(&any), Ok(any));
        assert!(read::<(u8,)>(&json!([1, 2])).is_err());
    }
}
