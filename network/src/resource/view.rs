//! One thing as clients see it.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// The attributes of a thing, with their values. Lists have thousands: no name is copied, nor what the thing's row has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct View<'r>(Vec<(&'static str, Shown<'r>)>);

/// A value for an answer: of a row, or made for the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shown<'r> {
    Text(&'r str),
    Object(&'r Map<String, Value>),
    Made(Value),
    /// Things within this one.
    Views(Vec<View<'r>>),
}

/// A type of columns that clients see.
pub(crate) trait Show {
    /// The value for an answer.
    fn show(&self) -> Shown<'_>;
}

impl<'r> View<'r> {
    /// One that has no attribute yet, with room for so many.
    pub(crate) fn with_capacity(attributes: usize) -> Self {
        Self(Vec::with_capacity(attributes))
    }

    /// Adds an attribute that it does not have.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Shown<'r>>) {
        debug_assert!(self.get(name).is_none(), "{name} twice");
        self.0.push((name, value.into()));
    }

    /// Sets an attribute.
    pub(crate) fn insert(&mut self, name: &'static str, value: impl Into<Shown<'r>>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Shown<'r>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| *known != name);
    }

    /// Keeps the attributes of these names.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }
}

impl<const N: usize> From<[(&'static str, String); N]> for View<'_> {
    fn from(attributes: [(&'static str, String); N]) -> Self {
        Self(attributes.into_iter().map(|(name, value)| (name, value.into())).collect())
    }
}

impl Shown<'_> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Made(value) => value.as_str(),
            Self::Object(_) | Self::Views(_) => None,
        }
    }

    pub(crate) fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Made(value) => value.as_i64(),
            Self::Text(_) | Self::Object(_) | Self::Views(_) => None,
        }
    }
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
            Self::Made(value) => value.serialize(serializer),
            Self::Views(views) => views.serialize(serializer),
        }
    }
}

impl<'r> From<&'r str> for Shown<'r> {
    fn from(text: &'r str) -> Self {
        Self::Text(text)
    }
}

impl From<Value> for Shown<'_> {
    fn from(value: Value) -> Self {
        Self::Made(value)
    }
}

impl From<String> for Shown<'_> {
    fn from(text: String) -> Self {
        Self::Made(text.into())
    }
}

impl From<bool> for Shown<'_> {
    fn from(flag: bool) -> Self {
        Self::Made(flag.into())
    }
}

impl From<i64> for Shown<'_> {
    fn from(number: i64) -> Self {
        Self::Made(number.into())
    }
}

impl<'r> From<Vec<View<'r>>> for Shown<'r> {
    fn from(views: Vec<View<'r>>) -> Self {
        Self::Views(views)
    }
}

impl Show for String {
    fn show(&self) -> Shown<'_> {
        self.as_str().into()
    }
}

impl Show for bool {
    fn show(&self) -> Shown<'_> {
        (*self).into()
    }
}

impl Show for i64 {
    fn show(&self) -> Shown<'_> {
        (*self).into()
    }
}

impl Show for Map<String, Value> {
    fn show(&self) -> Shown<'_> {
        Shown::Object(self)
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> Shown<'_> {
        self.as_ref().map_or(Shown::Made(Value::Null), T::show)
    }
}

impl<T: Serialize> Show for Vec<T> {
    /// What can't be written as JSON is in no model.
    fn show(&self) -> Shown<'_> {
        serde_json::to_value(self).unwrap_or_default().into()
    }
}
