//! Pages of a list: how much is asked for, from where on, and the link to the next.

pub use crate::links::NextLink;
use crate::{ApiError, Links, Parameters};

/// What part of a list a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most this many entries.
    pub limit: i64,
    /// After this entry.
    pub marker: Option<String>,
}

/// Reads a parameter that counts entries.
///
/// # Errors
/// 400 for what is no number from 0 on.
pub fn count(query: &Parameters, name: &str) -> Result<Option<i64>, ApiError> {
    match query.get(name) {
        None => Ok(None),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            // What is no `i64` is more than there can be.
            Ok(Some(digits.parse().unwrap_or(i64::MAX)))
        }
        Some(other) => Err(ApiError::bad_request(format!(
            "Invalid input for query parameters {name}. Value: {other}. It must be an integer from 0 on."
        ))),
    }
}

impl Page {
    /// Reads `limit` and `marker`; more than `max_limit` is cut down to it, as is no limit at all.
    ///
    /// # Errors
    /// 400 for a limit that is no number from 0 on.
    pub fn from_query(query: &Parameters, max_limit: u32) -> Result<Self, ApiError> {
        let max = i64::from(max_limit);
        let limit = count(query, "limit")?.map_or(max, |limit| limit.min(max));
        Ok(Self { limit, marker: query.get("marker").map(ToOwned::to_owned) })
    }

    /// The query that asks for the next page, if a page of `len` entries that ends with `last` is full.
    #[must_use]
    pub fn next_query(&self, query: &Parameters, len: usize, last: Option<&str>) -> Option<String> {
        let full = i64::try_from(len).is_ok_and(|len| len >= self.limit);
        let last = last.filter(|_| full && self.limit > 0)?;
        let mut next = form_urlencoded::Serializer::new(String::new());
        for (name, value) in query.iter().filter(|(name, _)| *name != "marker") {
            next.append_pair(name, value);
        }
        next.append_pair("marker", last);
        Some(next.finish())
    }

    /// The link to the next page of a collection, in Nova's and Neutron's form.
    #[must_use]
    pub fn next_link(
        &self,
        query: &Parameters,
        links: &Links,
        collection: &str,
        len: usize,
        last: Option<&str>,
    ) -> Option<NextLink> {
        let next = self.next_query(query, len, last)?;
        Some(NextLink { rel: "next", href: format!("{}?{next}", links.to(collection)) })
    }
}
