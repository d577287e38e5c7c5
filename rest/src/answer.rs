//! Answers: an object or a list under its key, in the form of the version.

use axum::{
    body::Body,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use crate::{ApiError, links::NextLink, microversion::Shaped};

/// Room for an answer of one thing or of a few; it grows for more.
const FIRST_BYTES: usize = 4096;

/// `value` as JSON: axum's `Json` for long lists, of which the way through its buffer takes a tenth of the time.
pub fn written<T: Serialize>(value: &T) -> Response {
    let mut text = Vec::with_capacity(FIRST_BYTES);
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => {
            let kind = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, kind)], Body::from(text)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            ApiError::Broken.into_response()
        }
    }
}

/// An answer in the form of one version.
#[derive(Debug)]
pub struct Answer {
    hidden: Vec<&'static str>,
}

impl Answer {
    /// Without these fields.
    #[must_use]
    pub fn hiding(hidden: Vec<&'static str>) -> Self {
        Self { hidden }
    }

    /// `whole` as this version has it; must serialise as a struct.
    pub fn shaped<T>(&self, whole: T) -> Shaped<'_, T> {
        Shaped { whole, hidden: &self.hidden }
    }

    /// `{"key": ...}`.
    pub fn object<T: Serialize>(&self, key: &'static str, whole: T) -> Response {
        written(&Keyed { key, value: MaybeShaped { whole, hidden: &self.hidden } })
    }

    /// `{"key": [...]}`, with Nova's and Neutron's `key_links` where there is a next page.
    pub fn list<T: Serialize>(&self, key: &'static str, items: &[T], next: Option<NextLink>) -> Response {
        written(&List { key, items, hidden: &self.hidden, next, links: &format!("{key}_links") })
    }

    /// The same with another name for the links.
    pub fn list_linked<T: Serialize>(
        &self,
        key: &'static str,
        items: &[T],
        links: &str,
        next: Option<NextLink>,
    ) -> Response {
        written(&List { key, items, hidden: &self.hidden, next, links })
    }
}

/// A struct without its hidden fields, or anything else where nothing is hidden.
struct MaybeShaped<'h, T> {
    whole: T,
    hidden: &'h [&'static str],
}

impl<T: Serialize> Serialize for MaybeShaped<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.hidden.is_empty() {
            return self.whole.serialize(serializer);
        }
        Shaped { whole: &self.whole, hidden: self.hidden }.serialize(serializer)
    }
}

struct Keyed<T> {
    key: &'static str,
    value: T,
}

impl<T: Serialize> Serialize for Keyed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.key, &self.value)?;
        map.end()
    }
}

struct List<'a, T> {
    key: &'static str,
    items: &'a [T],
    hidden: &'a [&'static str],
    links: &'a str,
    next: Option<NextLink>,
}

impl<T: Serialize> Serialize for List<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.key, &Items { items: self.items, hidden: self.hidden })?;
        if let Some(next) = &self.next {
            map.serialize_entry(self.links, &[next])?;
        }
        map.end()
    }
}

struct Items<'a, T> {
    items: &'a [T],
    hidden: &'a [&'static str],
}

impl<T: Serialize> Serialize for Items<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(Some(self.items.len()))?;
        for whole in self.items {
            items.serialize_element(&MaybeShaped { whole, hidden: self.hidden })?;
        }
        items.end()
    }
}
