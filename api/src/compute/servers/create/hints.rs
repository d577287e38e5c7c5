//! What a create tells the scheduler beside `server`.

use std::net::IpAddr;

use novella_common::models::SchedulerHints;
use novella_rest::{
    ApiError,
    inputs::{Name, UuidText},
    object, typed, wrong,
};
use serde_json::{Map, Value};

/// The two names that hints go by.
pub(super) const NAMES: [&str; 2] = ["os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"];

/// Reads the hints of a request's body. A name that is not known is no error: schedulers' filters are the operator's, and
/// some have hints of their own.
///
/// # Errors
/// 400 for a known hint of the wrong form.
pub(super) fn read(body: &Map<String, Value>) -> Result<SchedulerHints, ApiError> {
    let mut all = SchedulerHints::new();
    for name in NAMES {
        let Some(hints) = body.get(name) else { continue };
        all.extend(object(name, hints)?.clone());
    }
    for (name, hint) in &all {
        check(name, hint)?;
    }
    // One group may stand in a list; a server is in no more.
    if let Some(Value::Array(groups)) = all.get("group") {
        match groups.as_slice() {
            [] => drop(all.remove("group")),
            [one] => drop(all.insert("group".to_owned(), one.clone())),
            _ => return Err(ApiError::bad_request("The hint 'group' names several groups; a server can be in one.")),
        }
    }
    Ok(all)
}

fn check(name: &str, hint: &Value) -> Result<(), ApiError> {
    let place = format!("os:scheduler_hints.{name}");
    let fits = |fits: bool, right: &str| if fits { Ok(()) } else { Err(wrong(&place, hint, right)) };
    match name {
        // Nova takes any text for the first.
        "same_host" if hint.is_string() => Ok(()),
        "same_host" | "different_host" => match hint {
            Value::String(_) => typed::<UuidText>(&place, hint).map(drop),
            _ => typed::<Vec<UuidText>>(&place, hint).map(drop),
        },
        "query" => fits(hint.is_string() || hint.is_object(), "It must be a text of JSON, or an object."),
        "target_cell" => typed::<Name>(&place, hint).map(drop),
        "different_cell" => match hint {
            Value::String(_) => Ok(()),
            _ => typed::<Vec<String>>(&place, hint).map(drop),
        },
        "build_near_host_ip" => {
            fits(hint.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok()), "It must be an IP address.")
        }
        "cidr" => {
            let plain = |c: char| c.is_ascii_digit() || matches!(c, 'a'..='f' | '.' | ':');
            let prefix = hint.as_str().and_then(|text| text.strip_prefix('/'));
            fits(prefix.is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain)), "It must be a prefix, as /24.")
        }
        "group" => match hint {
            Value::Array(_) => typed::<Vec<UuidText>>(&place, hint).map(drop),
            _ => typed::<UuidText>(&place, hint).map(drop),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(hints: &Value) -> bool {
        NAMES.into_iter().all(|name| read(&Map::from_iter([(name.to_owned(), hints.clone())])).is_ok())
    }

    #[test]
    fn the_group_may_stand_in_a_list_of_one() {
        let group = |group: &Value| {
            let body = json!({"os:scheduler_hints": {"group": group}});
            read(body.as_object().unwrap()).map(|hints| hints.get("group").cloned()).map_err(|error| error.to_string())
        };
        let id = json!("c1227000-0000-4000-8000-000000000001");
        assert_eq!(group(&json!([id])), Ok(Some(id.clone())));
        assert_eq!(group(&json!([])), Ok(None));
        assert!(group(&json!([id, id])).unwrap_err().contains("several groups"));
    }

    #[test]
    fn known_hints_have_their_form() {
        let server = "c1227000-0000-4000-8000-000000000001";
        for hints in [
            json!({}),
            json!({"of_the_operator": [1, {"x": null}]}),
            json!({"same_host": server, "different_host": [server], "group": server}),
            json!({"same_host": "host-1", "group": [server]}),
            json!({"query": "[\">=\", \"$free_ram_mb\", 1024]", "target_cell": "c", "different_cell": ["c"]}),
            json!({"build_near_host_ip": "10.0.0.1", "cidr": "/24"}),
        ] {
            assert!(taken(&hints), "{hints}");
        }
        for hints in [
            json!([]),
            json!(null),
            json!({"same_host": ["host-1"]}),
            json!({"different_host": "host-1"}),
            json!({"different_host": [1]}),
            json!({"query": []}),
            json!({"target_cell": ""}),
            json!({"different_cell": [1]}),
            json!({"build_near_host_ip": "near"}),
            json!({"cidr": "24"}),
            json!({"group": "web"}),
            json!({"group": ["web"]}),
        ] {
            assert!(!taken(&hints), "{hints}");
        }
    }
}
