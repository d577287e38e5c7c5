//! JSON patches, as Glance reads them: draft 4 and draft 10, one level deep.

use novella_rest::ApiError;
use serde_json::{Map, Value};

/// The media types, each with what operations look like in it.
pub(super) const V2_1: &str = "application/openstack-images-v2.1-json-patch";
pub(super) const V2_0: &str = "application/openstack-images-v2.0-json-patch";

/// What is done to an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Remove,
    Replace,
}

const OPS: [(&str, Op); 3] = [("add", Op::Add), ("remove", Op::Remove), ("replace", Op::Replace)];

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) op: Op,
    /// The attribute.
    pub(super) name: String,
    /// What else is in the path: a place in `locations`.
    pub(super) rest: Vec<String>,
    /// Null for what removes.
    pub(super) value: Value,
    /// Whether what is added must not be there.
    pub(super) add_is_new: bool,
}

/// Reads a patch.
///
/// # Errors
/// 400 in Glance's words.
pub(super) fn changes(body: &Value, old: bool) -> Result<Vec<Change>, ApiError> {
    let refused = |text: &str| ApiError::bad_request(text.to_owned());
    let operations =
        body.as_array().ok_or_else(|| refused("Request body must be a JSON array of operation objects."))?;
    operations
        .iter()
        .map(|operation| {
            let operation = operation.as_object().ok_or_else(|| refused("Operations must be JSON objects."))?;
            if old { of_draft_4(operation) } else { of_draft_10(operation) }
        })
        .collect()
}

/// `{"op": "add", "path": "/name", "value": "x"}`.
fn of_draft_10(operation: &Map<String, Value>) -> Result<Change, ApiError> {
    const KNOWN: &str = "It must be one of the following: add, remove, replace.";
    let op = match operation.get("op") {
        None | Some(Value::Null) => {
            return Err(ApiError::bad_request(format!("Unable to find `op` in JSON Schema change. {KNOWN}")));
        }
        Some(op) => op.as_str().map_or_else(|| op.to_string(), ToOwned::to_owned),
    };
    let known = OPS.iter().find(|(name, _)| *name == op);
    let (name, op) = *known.ok_or_else(|| ApiError::bad_request(format!("Invalid operation: `{op}`. {KNOWN}")))?;
    let path = operation.get("path");
    let path = path.ok_or_else(|| ApiError::bad_request("Unable to find 'path' in JSON Schema change"))?;
    change(name, op, path, operation, false)
}

/// `{"add": "/name", "value": "x"}`.
fn of_draft_4(operation: &Map<String, Value>) -> Result<Change, ApiError> {
    const NAMED: &str = "member named \"add\", \"remove\", or \"replace\".";
    let mut named = OPS.iter().filter_map(|(name, op)| Some((*name, *op, operation.get(*name)?)));
    match (named.next(), named.next()) {
        (Some((name, op, path)), None) => change(name, op, path, operation, true),
        (None, _) => Err(ApiError::bad_request(format!("Operation objects must contain exactly one {NAMED}"))),
        (Some(_), Some(_)) => Err(ApiError::bad_request(format!("Operation objects must contain only one {NAMED}"))),
    }
}

fn change(word: &str, op: Op, path: &Value, operation: &Map<String, Value>, old: bool) -> Result<Change, ApiError> {
    let pointer = path.as_str().map_or_else(|| path.to_string(), ToOwned::to_owned);
    let mut parts = parts(&pointer)?;
    let depth = match (parts.first().map(String::as_str), op) {
        (Some("locations"), Op::Add | Op::Remove) => 2,
        _ => 1,
    };
    if parts.len() != depth {
        let parts = parts.join("/");
        return Err(ApiError::bad_request(format!("Invalid JSON pointer for this resource: '/{parts}'")));
    }
    let value = match (op, operation.get("value")) {
        (Op::Remove, _) => Value::Null,
        (_, Some(value)) => value.clone(),
        (_, None) => {
            return Err(ApiError::bad_request(format!("Operation \"{word}\" requires a member named \"value\".")));
        }
    };
    let name = parts.remove(0);
    Ok(Change { op, name, rest: parts, value, add_is_new: old })
}

/// The parts of a JSON pointer.
fn parts(pointer: &str) -> Result<Vec<String>, ApiError> {
    let refused = |reason: &str| Err(ApiError::bad_request(format!("Pointer `{pointer}` {reason}")));
    let Some(rest) = pointer.strip_prefix('/') else { return refused("does not start with \"/\".") };
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.iter().skip(1).rev().skip(1).any(|part| part.trim().is_empty()) {
        return refused("contains adjacent \"/\".");
    }
    if pointer.len() > 1 && pointer.ends_with('/') {
        return refused("end with \"/\".");
    }
    let tildes = rest.match_indices('~').all(|(at, _)| matches!(rest.as_bytes().get(at + 1), Some(b'0' | b'1')));
    if !tildes {
        return refused("contains \"~\" not part of a recognized escape sequence.");
    }
    let part = |part: &str| part.replace("~1", "/").replace("~0", "~").trim().to_owned();
    Ok(pointer.trim_start_matches('/').split('/').map(part).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refusal(body: &Value, old: bool) -> String {
        changes(body, old).unwrap_err().to_string()
    }

    #[test]
    fn both_drafts_are_read() {
        let change = |op, value, add_is_new| Change { op, name: "a/b~".into(), rest: vec![], value, add_is_new };
        let body = json!([{"op": "add", "path": "/a~1b~0", "value": "x"}, {"op": "remove", "path": "/a~1b~0"}]);
        let expected = [change(Op::Add, json!("x"), false), change(Op::Remove, Value::Null, false)];
        assert_eq!(changes(&body, false).unwrap(), expected);
        let body = json!([{"replace": "/a~1b~0", "value": 5}]);
        assert_eq!(changes(&body, true).unwrap(), [change(Op::Replace, json!(5), true)]);
        let body = json!([{"op": "add", "path": "/locations/-", "value": {}}]);
        assert_eq!(changes(&body, false).unwrap()[0].rest, ["-"]);
    }

    #[test]
    fn what_is_no_patch_is_refused_with_the_reason() {
        for (body, text) in [
            (json!({}), "Request body must be a JSON array of operation objects."),
            (json!(["x"]), "Operations must be JSON objects."),
            (
                json!([{}]),
                "Unable to find `op` in JSON Schema change. It must be one of the following: add, remove, replace.",
            ),
            (
                json!([{"op": "bad"}]),
                "Invalid operation: `bad`. It must be one of the following: add, remove, replace.",
            ),
            (json!([{"op": "add"}]), "Unable to find 'path' in JSON Schema change"),
            (json!([{"op": "add", "path": "name"}]), "Pointer `name` does not start with \"/\"."),
            (json!([{"op": "add", "path": "/name/"}]), "Pointer `/name/` end with \"/\"."),
            (json!([{"op": "add", "path": "/a//b"}]), "Pointer `/a//b` contains adjacent \"/\"."),
            (
                json!([{"op": "add", "path": "/a~2"}]),
                "Pointer `/a~2` contains \"~\" not part of a recognized escape sequence.",
            ),
            (json!([{"op": "add", "path": "/a/b", "value": 1}]), "Invalid JSON pointer for this resource: '/a/b'"),
            (json!([{"op": "add", "path": "/a"}]), "Operation \"add\" requires a member named \"value\"."),
        ] {
            assert_eq!(refusal(&body, false), text);
        }
        assert!(refusal(&json!([{"op": "add"}]), true).contains("exactly one member"));
        assert!(refusal(&json!([{"add": "/a", "remove": "/a"}]), true).contains("only one member"));
    }

    proptest! {
        #[test]
        fn no_pointer_makes_the_reader_panic(pointer in ".{0,12}") {
            let _ = changes(&json!([{"op": "replace", "path": pointer, "value": "x"}]), false);
        }
    }
}
