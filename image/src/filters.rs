//! What a list of images can be narrowed down by, as Glance has it (glance/db/sqlalchemy/api.py,
//! `_make_conditions_from_filters`): fixed attributes, with operators for some; and any property by its name.

use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{Json, Sql, list::Condition},
    sql,
};
use novella_rest::{ApiError, Parameters, times};
use serde_json::json;

use crate::list::{Wanted, visibility};

/// Numbers, which can be compared by `size_min` and `size_max` too.
const NUMBERS: [(&str, &str); 4] =
    [("size", "size"), ("virtual_size", "virtual_size"), ("min_disk", "min_disk_gb"), ("min_ram", "min_ram_mb")];
/// Texts that take `in:` and `eq:`.
const LISTED: [&str; 5] = ["name", "id", "status", "container_format", "disk_format"];
/// Texts that are compared as they are.
const PLAIN: [&str; 4] = ["owner", "checksum", "os_hash_algo", "os_hash_value"];
/// What does not narrow down, or is read elsewhere.
const OTHERS: [&str; 8] =
    ["limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "visibility", "os_hidden"];

/// All that a query asks of the images in a list.
///
/// # Errors
/// 400 in Glance's words.
pub(crate) fn conditions(query: &Parameters, context: &RequestContext) -> Result<Vec<Condition>, ApiError> {
    let mut all = Vec::new();
    match visibility(query)? {
        Wanted::All => {}
        Wanted::Only(visibility) => all.push(Condition::equal("visibility", &visibility)),
        Wanted::Usual => {
            let mut sql = sql!("visibility <> 'community'");
            if let Some(project) = &context.project_id {
                sql.push(" OR owner = ").bind(project);
            }
            all.push(Condition::raw(sql));
        }
    }
    all.push(Condition::equal("os_hidden", &flag("os_hidden", query.get("os_hidden").unwrap_or("false"), true)?));
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in query.iter() {
        match name {
            "tag" => all.push(tagged(value.trim())),
            _ if OTHERS.contains(&name) || seen.contains(&name) => {}
            _ => {
                seen.push(name);
                // As for all parameters, the last counts.
                all.push(condition(name, query.get(name).unwrap_or(value))?);
            }
        }
    }
    Ok(all)
}

fn condition(name: &str, value: &str) -> Result<Condition, ApiError> {
    if name == "changes-since" {
        return Err(ApiError::bad_request("The \"changes-since\" filter is no longer available on v2."));
    }
    if name == "protected" {
        return Ok(Condition::equal("protected", &flag(name, value, false)?));
    }
    if let Some(column) = ["created_at", "updated_at"].into_iter().find(|column| *column == name) {
        return time(column, value);
    }
    if let Some(column) = LISTED.into_iter().find(|column| *column == name) {
        return listed(column, value);
    }
    if let Some(column) = PLAIN.into_iter().find(|column| *column == name) {
        return Ok(Condition::equal(column, value));
    }
    for (known, column) in NUMBERS {
        let range = || {
            value
                .trim()
                .parse::<i64>()
                .map_err(|_| ApiError::bad_request("Unable to filter on a range with a non-numeric value."))
        };
        match name.strip_prefix(known) {
            // What is no number is no image's.
            Some("") => return Ok(Condition::is_in(column, value.trim().parse::<i64>().ok())),
            Some("_min") => return Ok(Condition::at_least(column, &range()?)),
            Some("_max") => return Ok(Condition::at_most(column, &range()?)),
            _ => {}
        }
    }
    Ok(with_property(name, value))
}

fn flag(name: &str, value: &str, any_case: bool) -> Result<bool, ApiError> {
    let word = if any_case { value.to_lowercase() } else { value.to_owned() };
    match word.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(ApiError::bad_request(format!(
            "Invalid value '{other}' for '{name}' filter. Valid values are 'true' or 'false'."
        ))),
    }
}

/// Images with this tag.
fn tagged(tag: &str) -> Condition {
    let mut sql = Sql::default();
    sql.push_for("EXISTS (SELECT 1 FROM json_each(tags) AS t, json_each(", "tags @> (");
    sql.bind(&Json([tag]));
    sql.push_for(") AS wanted WHERE t.value = wanted.value)", ")");
    Condition::raw(sql)
}

/// Images with this property.
fn with_property(name: &str, value: &str) -> Condition {
    let mut sql = Sql::default();
    sql.push_for("EXISTS (SELECT 1 FROM json_each(properties) AS p, json_each(", "properties @> (");
    sql.bind(&Json(json!({ name: value })));
    sql.push_for(") AS wanted WHERE p.key = wanted.key AND p.value = wanted.value)", ")");
    Condition::raw(sql)
}

/// A time, or an operator and one. Times are shown without fractions of seconds, so that they are compared without them.
fn time(column: &'static str, text: &str) -> Result<Condition, ApiError> {
    let (operator, time) = match (times::parse(text), text.split_once(':')) {
        (Some(time), _) => ("eq", Some(time)),
        (None, Some((operator, time))) => (operator, times::parse(time)),
        (None, None) => ("eq", None),
    };
    let Some(time) = time else {
        return Err(ApiError::bad_request(format!(
            "Bad \"{column}\" query filter format. Use ISO 8601 DateTime notation."
        )));
    };
    let after = if time.subsec_nanosecond() == 0 { Timestamp::from_second(time.as_second() + 1) } else { Ok(time) };
    let after = after.map_err(|_| ApiError::bad_request("Unable to filter by a time so late."))?;
    let within = |operator: fn(&'static str, &Timestamp) -> Condition, time| Ok(operator(column, time));
    match operator {
        "gt" if after == time => within(Condition::above, &time),
        "gt" => within(Condition::at_least, &after),
        "gte" => within(Condition::at_least, &time),
        "lt" => within(Condition::below, &time),
        "lte" if after == time => within(Condition::at_most, &time),
        "lte" => within(Condition::below, &after),
        "neq" => Ok(Condition::any([Condition::below(column, &time), Condition::at_least(column, &after)])),
        "eq" if after == time => within(Condition::equal, &time),
        "eq" => Ok(Condition::all([Condition::at_least(column, &time), Condition::below(column, &after)])),
        _ => Err(ApiError::bad_request("Unable to filter on a unknown operator.")),
    }
}

/// A text, `eq:` and one, or `in:` and several.
fn listed(column: &'static str, text: &str) -> Result<Condition, ApiError> {
    match text.split_once(':') {
        None => Ok(Condition::equal(column, text)),
        Some(("eq", text)) => Ok(Condition::equal(column, text)),
        Some(("in", list)) => Ok(Condition::is_in(column, values(list)?)),
        // A name may look as if it had one.
        Some((operator, _)) => {
            Err(ApiError::bad_request(format!("Unable to filter by unknown operator '{operator}'.")))
        }
    }
}

/// The values of a list with commas. A value with a comma or a quote in it stands in double quotes, with backslashes before
/// quotes.
fn values(list: &str) -> Result<Vec<String>, ApiError> {
    let malformed = |reason: &str| ApiError::bad_request(format!("Invalid filter value {list}. {reason}"));
    let (mut values, mut value, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted => {
                quoted = false;
                if characters.peek().is_some_and(|next| *next != ',') {
                    return Err(malformed("There is no comma after closing quotation mark."));
                }
            }
            '"' if value.is_empty() => quoted = true,
            '"' => return Err(malformed("There is no comma before opening quotation mark.")),
            '\\' if quoted => match characters.next() {
                Some(next) => value.push(next),
                None => break,
            },
            ',' if !quoted => values.push(std::mem::take(&mut value)),
            other => value.push(other),
        }
    }
    if quoted {
        return Err(malformed("The quote is not closed."));
    }
    values.push(value);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_commas_and_quotes_around_those_that_are_in_a_value() {
        assert_eq!(values("a").unwrap(), ["a"]);
        assert_eq!(values("a,b").unwrap(), ["a", "b"]);
        assert_eq!(values(r#""a,b",c"#).unwrap(), ["a,b", "c"]);
        assert_eq!(values(r#""a\"b""#).unwrap(), [r#"a"b"#]);
        for (list, reason) in
            [(r#"a"b""#, "no comma before"), (r#""a"b"#, "no comma after"), (r#""a"#, "is not closed")]
        {
            assert!(values(list).unwrap_err().to_string().contains(reason), "{list}");
        }
    }
}
