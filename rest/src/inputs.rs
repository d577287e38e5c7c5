//! Values that OpenStack's services take in more than one form, or within bounds (nova/api/validation/parameter_types.py).
//! Parsed at the edge: what holds one of these types needs no further check.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer},
};

use crate::query::truth;

/// The largest number that Nova's database takes.
const MAX_INTEGER: i64 = 0x7FFF_FFFF;

/// `true`, or a word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Flag, E> {
                // One letter is not enough here, unlike in queries.
                match truth(text) {
                    Some(value) if text.len() > 1 || matches!(text, "0" | "1") => Ok(Flag(value)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// An integer from `LEAST` on, or its digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer<const LEAST: i64>(pub i64);

impl<'de, const LEAST: i64> Deserialize<'de> for Integer<LEAST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const LEAST: i64>;
        impl<const LEAST: i64> de::Visitor<'_> for Visitor<LEAST> {
            type Value = Integer<LEAST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an integer from {LEAST} to {MAX_INTEGER}")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Integer<LEAST>, E> {
                if (LEAST..=MAX_INTEGER).contains(&value) {
                    Ok(Integer(value))
                } else {
                    Err(E::invalid_value(de::Unexpected::Signed(value), &self))
                }
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Integer<LEAST>, E> {
                match i64::try_from(value) {
                    Ok(value) => self.visit_i64(value),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(value), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Integer<LEAST>, E> {
                let digits = text.strip_prefix('-').filter(|_| LEAST < 0).unwrap_or(text);
                let digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                match text.parse() {
                    Ok(value) if digits => self.visit_i64(value),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Whether a character can be seen. Those that format text can make one name look like another.
fn is_printable(character: char) -> bool {
    let formats = matches!(character,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}');
    let separates_lines = matches!(character, '\u{2028}' | '\u{2029}');
    !(character.is_control() || formats || separates_lines)
}

/// A text of 1 to `LONGEST` characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<const LONGEST: usize = { usize::MAX }>(pub String);

impl<'de, const LONGEST: usize> Deserialize<'de> for Text<LONGEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Err(de::Error::custom("'' is too short"));
        }
        if text.chars().count() > LONGEST {
            return Err(de::Error::custom(format!("it is longer than {LONGEST} characters")));
        }
        Ok(Self(text))
    }
}

/// Reads a field that may be missing and must not be null, for what is below the fields of a
/// [`body!`](crate::body): with `#[serde(default, deserialize_with = "not_null")]`.
///
/// # Errors
/// For what is no `T`.
pub fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A name: 1 to 255 printable characters, with no space at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Err(de::Error::custom("'' is too short"));
        }
        if text.chars().count() > 255 {
            return Err(de::Error::custom("it is longer than 255 characters"));
        }
        if text.trim() != text || !text.chars().all(is_printable) {
            return Err(de::Error::custom(
                "it must have only printable characters and can not start or end with whitespace",
            ));
        }
        Ok(Self(text))
    }
}

/// A name whose spaces at both ends are taken off, where Nova takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpacedName(pub String);

impl<'de> Deserialize<'de> for SpacedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::<255>::deserialize(deserializer)?.0;
        Name::deserialize(text.trim().into_deserializer()).map(|Name(name)| Self(name))
    }
}

/// A text of at most `LONGEST` printable characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description<const LONGEST: usize = 255>(pub String);

impl<'de, const LONGEST: usize> Deserialize<'de> for Description<LONGEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.chars().count() > LONGEST {
            return Err(de::Error::custom(format!("it is longer than {LONGEST} characters")));
        }
        if !text.chars().all(is_printable) {
            return Err(de::Error::custom("it must have only printable characters"));
        }
        Ok(Self(text))
    }
}

/// A UUID, with or without dashes, in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UuidText(pub uuid::Uuid);

impl<'de> Deserialize<'de> for UuidText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        uuid::Uuid::try_parse(&text).map(Self).map_err(|_| de::Error::custom(format!("'{text}' is not a 'uuid'")))
    }
}

/// Any value; what it may be is checked where it is used.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct AnyValue(pub serde_json::Value);

/// Says what the OpenAPI document calls types that are read by hand: `Flag => Boolean;`.
#[macro_export]
macro_rules! documented_as {
    ($($type:ty $(where ($($generics:tt)*))? => $kind:ident;)*) => {
        $(
            // What `derive(ToSchema)` implements: only with it can the type stand in an `Option` or a list.
            impl $(<$($generics)*>)? $crate::macros::utoipa::__dev::ComposeSchema for $type {
                fn compose(
                    _: ::std::vec::Vec<
                        $crate::macros::utoipa::openapi::RefOr<$crate::macros::utoipa::openapi::schema::Schema>,
                    >,
                ) -> $crate::macros::utoipa::openapi::RefOr<$crate::macros::utoipa::openapi::schema::Schema> {
                    let kind = $crate::macros::utoipa::openapi::schema::Type::$kind;
                    $crate::macros::utoipa::openapi::ObjectBuilder::new().schema_type(kind).into()
                }
            }
            impl $(<$($generics)*>)? $crate::macros::utoipa::ToSchema for $type {}
        )*
    };
}

documented_as! {
    AnyValue => Object;
    Flag => Boolean;
    Integer<LEAST> where (const LEAST: i64) => Integer;
    Name => String;
    SpacedName => String;
    Text<LONGEST> where (const LONGEST: usize) => String;
    Description<LONGEST> where (const LONGEST: usize) => String;
    UuidText => String;
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn refused<T: for<'de> Deserialize<'de>>(value: Value) -> bool {
        from_value::<T>(value).is_err()
    }

    #[test]
    fn a_boolean_comes_in_many_words() {
        for value in [json!(true), json!("True"), json!("1"), json!("yes"), json!("ON")] {
            assert_eq!(from_value::<Flag>(value).unwrap(), Flag(true));
        }
        assert_eq!(from_value::<Flag>(json!("off")).unwrap(), Flag(false));
        for value in [json!(1), json!("y"), json!("maybe"), json!(null), json!("")] {
            assert!(refused::<Flag>(value));
        }
    }

    #[test]
    fn an_integer_may_be_written_in_digits_and_has_bounds() {
        assert_eq!(from_value::<Integer<1>>(json!("12")).unwrap(), Integer(12));
        assert_eq!(from_value::<Integer<0>>(json!(0)).unwrap(), Integer(0));
        assert_eq!(from_value::<Integer<-1>>(json!("-1")).unwrap(), Integer(-1));
        assert!(refused::<Integer<-1>>(json!("-2")) && refused::<Integer<-1>>(json!("-")));
        let too_much =
            [json!(0), json!(-1), json!("-1"), json!(1.5), json!("x"), json!(""), json!(i64::MAX), json!(true)];
        for value in too_much {
            assert!(refused::<Integer<1>>(value));
        }
    }

    #[test]
    fn a_name_is_short_printable_and_trimmed() {
        assert!(from_value::<Name>(json!("my server ü")).is_ok());
        for value in [
            json!(""),
            json!(" a"),
            json!("a "),
            json!("a\u{7}b"),
            json!("a\u{200b}"),
            json!("x".repeat(256)),
            json!(1),
        ] {
            assert!(refused::<Name>(value));
        }
        assert_eq!(from_value::<SpacedName>(json!(" a b ")).unwrap(), SpacedName("a b".into()));
        assert!(refused::<SpacedName>(json!("  ")) && refused::<SpacedName>(json!("a\u{7}b")));
    }

    #[test]
    fn a_text_has_bounds() {
        assert!(from_value::<Text<3>>(json!(" ä ")).is_ok());
        assert!(refused::<Text<3>>(json!("")) && refused::<Text<3>>(json!("four")) && refused::<Text>(json!(1)));
    }

    #[test]
    fn a_field_below_others_may_be_missing_and_not_null() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Inner {
            #[serde(default, deserialize_with = "not_null")]
            count: Option<Integer<1>>,
        }
        assert_eq!(from_value::<Inner>(json!({})).unwrap(), Inner { count: None });
        assert_eq!(from_value::<Inner>(json!({"count": 2})).unwrap(), Inner { count: Some(Integer(2)) });
        assert!(refused::<Inner>(json!({"count": null})));
    }
}
