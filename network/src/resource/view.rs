//! One thing as clients see it.

use serde::{Serialize, Serializer};
use serde_json::Value;

/// The attributes of a thing, with their values. Lists have thousands: a name is not copied for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct View(Vec<(&'static str, Value)>);

impl View {
    /// One that has no attribute yet, with room for so many.
    pub(crate) fn with_capacity(attributes: usize) -> Self {
        Self(Vec::with_capacity(attributes))
    }

    /// Adds an attribute that it does not have.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        debug_assert!(self.get(name).is_none(), "{name} twice");
        self.0.push((name, value.into()));
    }

    /// Sets an attribute.
    pub(crate) fn insert(&mut self, name: &'static str, value: Value) {
        match self.get_mut(name) {
            Some(known) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| *known != name);
    }

    /// Keeps the attributes of these names.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }
}

impl Serialize for View {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
