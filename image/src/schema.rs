//! The JSON schemas of the Image API: what `/v2/schemas` shows, and what bodies are held against.
//!
//! A body is refused in the words of Python's `jsonschema`, as Glance does, without the part in which that shows the
//! schema: `Provided object does not match schema 'image': 5 is not of type 'null', 'string'`.

use std::sync::LazyLock;

use axum::Json;
use novella_rest::{ApiError, Operation, Path, get, repr};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Images, Request, policy};

/// All schemas, as Glance shows them, without descriptions.
static SCHEMAS: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("schemas.json")).unwrap_or_default());

pub(crate) fn operations() -> Vec<Operation<Images>> {
    vec![
        get("/schemas/{name}", policy::GET_SCHEMA, show),
        get("/schemas/metadefs/{name}", policy::GET_SCHEMA, show_metadef)
            .summary("Show the schema of a metadata definition."),
    ]
}

async fn show(_: Request, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    SCHEMAS.get(&name).cloned().map(Json).ok_or_else(ApiError::no_such_path)
}

async fn show_metadef(request: Request, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    show(request, Path(format!("metadefs/{name}"))).await
}

/// Holds a value against the schema of this name.
///
/// # Errors
/// 400 in Glance's words.
pub(crate) fn validate(schema: &str, value: &Value) -> Result<(), ApiError> {
    let Some(whole) = SCHEMAS.get(schema) else { return Ok(()) };
    let name = whole.get("name").and_then(Value::as_str).unwrap_or(schema);
    let refused = |reason| ApiError::bad_request(format!("Provided object does not match schema '{name}': {reason}"));
    match Against(whole).fault(whole, value, 0) {
        Some((_, reason)) => Err(refused(reason)),
        None => Ok(()),
    }
}

/// A schema, in which others are looked up.
struct Against<'s>(&'s Value);

/// What is wrong, and how deep.
type Fault = (usize, String);

impl Against<'_> {
    /// The first fault that is not deeper than another, as `jsonschema` chooses.
    fn fault(&self, schema: &Value, value: &Value, depth: usize) -> Option<Fault> {
        let mut faults = Vec::new();
        self.collect(schema, value, depth, &mut faults);
        let least = faults.iter().map(|(depth, _)| *depth).min()?;
        faults.into_iter().find(|(depth, _)| *depth == least)
    }

    fn collect(&self, schema: &Value, value: &Value, depth: usize, faults: &mut Vec<Fault>) {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#')) {
            if let Some(target) = self.0.pointer(target) {
                self.collect(target, value, depth, faults);
            }
            return;
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.collect(part, value, depth, faults);
        }
        let mut say = |reason: String| faults.push((depth, reason));
        if let Some(types) = schema.get("type") {
            let types: Vec<&str> = match types {
                Value::String(one) => vec![one],
                several => several.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
            };
            if !types.iter().any(|kind| is_of(kind, value)) {
                let names: Vec<String> = types.iter().map(|kind| format!("'{kind}'")).collect();
                say(format!("{} is not of type {}", repr(value), names.join(", ")));
            }
        }
        if let Some(values) = schema.get("enum")
            && !values.as_array().is_some_and(|values| values.contains(value))
        {
            say(format!("{} is not one of {}", repr(value), repr(values)));
        }
        if let Some(text) = value.as_str() {
            let limit =
                |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok());
            let length = text.chars().count();
            if limit("maxLength").is_some_and(|most| length > most) {
                say(format!("{} is too long", repr(value)));
            }
            if limit("minLength").is_some_and(|least| length < least) {
                say(format!("{} is too short", repr(value)));
            }
            if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
                // There is but this one.
                && !is_uuid(text)
            {
                say(format!("{} does not match '{pattern}'", repr(value)));
            }
        }
        if let (Some(least), Some(number)) = (schema.get("minimum").and_then(Value::as_i64), value.as_i64())
            && number < least
        {
            say(format!("{number} is less than the minimum of {least}"));
        }
        if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
            for item in values {
                self.collect(items, item, depth + 1, faults);
            }
            let twice = |item: &Value| values.iter().filter(|other| *other == item).nth(1).is_some();
            if schema.get("uniqueItems") == Some(&Value::Bool(true)) && values.iter().any(twice) {
                faults.push((depth, format!("{} has non-unique elements", repr(value))));
            }
        }
        if let Some(object) = value.as_object() {
            self.collect_object(schema, object, depth, faults);
        }
    }

    fn collect_object(&self, schema: &Value, object: &Map<String, Value>, depth: usize, faults: &mut Vec<Fault>) {
        let none = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        for (name, property) in known {
            if let Some(value) = object.get(name) {
                self.collect(property, value, depth + 1, faults);
            }
        }
        let others = || object.iter().filter(|(name, _)| !known.contains_key(*name));
        match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => {
                let names: Vec<String> = others().map(|(name, _)| format!("'{name}'")).collect();
                if !names.is_empty() {
                    let were = if names.len() == 1 { "was" } else { "were" };
                    let names = names.join(", ");
                    faults.push((depth, format!("Additional properties are not allowed ({names} {were} unexpected)")));
                }
            }
            Some(more @ Value::Object(_)) => {
                for (_, value) in others() {
                    self.collect(more, value, depth + 1, faults);
                }
            }
            _ => {}
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                faults.push((depth, format!("'{name}' is a required property")));
            }
        }
    }
}

/// What every id looks like.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_jsonschema() {
        for (value, reason) in [
            (json!({"name": 5}), "5 is not of type 'null', 'string'"),
            (json!({"protected": "x"}), "'x' is not of type 'boolean'"),
            (json!({"visibility": "x"}), "'x' is not one of ['community', 'public', 'private', 'shared']"),
            (json!({"tags": ["a", 5]}), "5 is not of type 'string'"),
            (json!({"other": 5}), "5 is not of type 'string'"),
            (json!({"min_disk": true}), "True is not of type 'integer'"),
            (json!({"id": "x"}), "'x' does not match '^([0-9a-fA-F]){8}-"),
        ] {
            let text = validate("image", &value).unwrap_err().to_string();
            assert!(text.starts_with(&format!("Provided object does not match schema 'image': {reason}")), "{text}");
        }
        validate("image", &json!({"name": null, "other": "x", "disk_format": null, "min_ram": 5})).unwrap();
        let text = validate("metadefs/tag", &json!({"x": 1})).unwrap_err().to_string();
        assert!(text.ends_with("Additional properties are not allowed ('x' was unexpected)"), "{text}");
        assert!(validate("metadefs/object", &json!({"name": "n", "required": ["a", "a"]})).is_err());
    }

    #[test]
    fn every_schema_is_there() {
        assert_eq!(SCHEMAS.len(), 16);
        assert!(SCHEMAS.iter().all(|(_, schema)| schema["name"].is_string()));
    }
}
