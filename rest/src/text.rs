//! What text may be, wherever in a request it stands.
//!
//! One rule, applied where a path, a query and a body are parsed, before anything is looked for or written: what one of the
//! databases can't hold is refused, whether or not it would come to a database. So no answer depends on which database
//! there is. Headers need none: HTTP itself forbids the character in them.

use serde_json::Value;

use crate::ApiError;

/// PostgreSQL holds it neither in text nor in JSON.
const NUL: char = '\0';

/// Holds one text against the rule.
///
/// # Errors
/// 400 that names the place.
pub(crate) fn check(place: &str, text: &str) -> Result<(), ApiError> {
    if text.contains(NUL) { Err(refused(place)) } else { Ok(()) }
}

/// Holds every text and every key of a body against the rule. `bytes` are what it was read from.
///
/// # Errors
/// 400 that names the place.
pub(crate) fn check_json(bytes: &[u8], body: &Value) -> Result<(), ApiError> {
    // JSON has no other way to write the character, so that nearly every body is looked through but once.
    const ESCAPED: &[u8] = b"\\u0000";
    if !bytes.windows(ESCAPED.len()).any(|window| window == ESCAPED) {
        return Ok(());
    }
    match place_of_nul(body) {
        Some(place) => Err(refused(if place.is_empty() { "the body" } else { &place })),
        // It was written `\\u0000`, which is six characters.
        None => Ok(()),
    }
}

fn refused(place: &str) -> ApiError {
    let place = place.replace(NUL, "\\u0000");
    ApiError::bad_request(format!(
        "Invalid input for field/attribute {place}. A text can't have the NUL character (U+0000) in it."
    ))
}

fn place_of_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains(NUL).then(String::new),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            let below = place_of_nul(item)?;
            Some(joined(&format!("[{index}]"), &below))
        }),
        Value::Object(entries) => entries.iter().find_map(|(key, value)| {
            if key.contains(NUL) {
                return Some(key.clone());
            }
            Some(joined(key, &place_of_nul(value)?))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn joined(place: &str, below: &str) -> String {
    match below {
        "" => place.to_owned(),
        below if below.starts_with('[') => format!("{place}{below}"),
        below => format!("{place}.{below}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refusal(body: &Value) -> Option<String> {
        check_json(body.to_string().as_bytes(), body).err().map(|error| error.to_string())
    }

    #[test]
    fn a_refusal_names_the_place_however_deep() {
        for (body, place) in [
            (json!({"server": {"metadata": {"a": "x\0"}}}), "server.metadata.a."),
            (json!({"server": {"metadata": {"a\0": "x"}}}), "server.metadata.a\\u0000."),
            (json!({"a": [{"b": ["", "\0"]}]}), "a[0].b[1]."),
            (json!("\0"), "the body."),
        ] {
            let text = refusal(&body).unwrap_or_default();
            assert!(text.contains(&format!("attribute {place}")) && text.contains("U+0000"), "{body}: {text}");
        }
        assert_eq!(refusal(&json!({"a": "\\u0000", "b": 0})), None);
    }

    proptest! {
        #[test]
        fn what_has_none_passes_and_what_has_one_does_not(text in "[a-z\\\\u0\"]{0,12}", at in 0usize..12) {
            prop_assert_eq!(refusal(&json!([text])), None);
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let (before, after) = text.split_at(at);
            let with_nul = format!("{before}\0{after}");
            prop_assert!(refusal(&json!([with_nul])).is_some());
        }
    }
}
