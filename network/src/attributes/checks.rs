//! What values may be, in Neutron's words: each check gives the value in its one form, or says why not.
//!
//! Source: the validators and converters of neutron-lib, asked over the API.

use std::net::IpAddr;

use ipnet::IpNet;
use macaddr::MacAddr6;
use novella_rest::{ApiError, repr, truth};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::errors::{invalid_attribute, invalid_input};

/// Why a value is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is not of the form.
    Reason(String),
    /// It can't be made into what is wanted.
    Convert(String),
    /// With an error of its own.
    Error(ApiError),
}

impl Refusal {
    /// The error for the attribute of this name.
    pub(crate) fn of(self, name: &str) -> ApiError {
        match self {
            Self::Reason(reason) => invalid_attribute(name, &reason),
            Self::Convert(reason) => invalid_input(reason),
            Self::Error(error) => error,
        }
    }
}

/// Reads a value.
pub(crate) type Check = fn(&Value) -> Checked;
/// What a check comes to.
pub(crate) type Checked = Result<Value, Refusal>;

/// A value as Python's `%s` shows it.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

fn reason(text: impl Into<String>) -> Refusal {
    Refusal::Reason(text.into())
}

/// Anything.
pub(crate) fn any(value: &Value) -> Checked {
    Ok(value.clone())
}

/// Null as well.
fn or_null(value: &Value, check: Check) -> Checked {
    if value.is_null() { Ok(Value::Null) } else { check(value) }
}

/// A text of at most so many characters.
pub(crate) fn text<const LONGEST: usize>(value: &Value) -> Checked {
    let Some(text) = value.as_str() else { return Err(reason(format!("'{}' is not a valid string", plain(value)))) };
    if text.chars().count() > LONGEST {
        return Err(reason(format!("'{text}' exceeds maximum length of {LONGEST}")));
    }
    Ok(value.clone())
}

/// A name or a description.
pub(crate) fn name(value: &Value) -> Checked {
    text::<255>(value)
}

pub(crate) fn text_or_null(value: &Value) -> Checked {
    or_null(value, text::<255>)
}

/// An id of something, or null. Whether there is such a thing is looked up.
pub(crate) fn id_or_null(value: &Value) -> Checked {
    or_null(value, text::<36>)
}

/// A name that must say something.
pub(crate) fn some_name(value: &Value) -> Checked {
    let checked = text::<255>(value)?;
    match value.as_str() {
        Some(text) if text.trim().is_empty() => Err(reason(format!("'{text}' Blank strings are not permitted"))),
        _ => Ok(checked),
    }
}

/// True or false, in any of OpenStack's words.
pub(crate) fn boolean(value: &Value) -> Checked {
    let flag = match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => truth(text),
        Value::Number(number) => truth(&number.to_string()),
        _ => None,
    };
    flag.map(Value::Bool).ok_or_else(|| Refusal::Convert(format!("'{}' cannot be converted to boolean", plain(value))))
}

pub(crate) fn boolean_or_null(value: &Value) -> Checked {
    or_null(value, boolean)
}

/// An integer, or a text that is one.
pub(crate) fn int(value: &Value) -> Checked {
    let number = match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|number| number.trunc() as i64)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(i64::from(*flag)),
        _ => None,
    };
    number.map(Value::from).ok_or_else(|| Refusal::Convert(format!("'{}' is not an integer", plain(value))))
}

/// An integer from 0 on.
pub(crate) fn non_negative(value: &Value) -> Checked {
    let number = int(value)?;
    match number.as_i64() {
        Some(0..) => Ok(number),
        _ => Err(reason(format!("'{}' should be non-negative", plain(&number)))),
    }
}

pub(crate) fn non_negative_or_null(value: &Value) -> Checked {
    or_null(value, non_negative)
}

/// An integer between two.
pub(crate) fn range<const LEAST: i64, const MOST: i64>(value: &Value) -> Checked {
    let number = int(value)?;
    match number.as_i64() {
        Some(small) if small < LEAST => Err(reason(format!("'{small}' is too small - must be at least '{LEAST}'"))),
        Some(large) if large > MOST => Err(reason(format!("'{large}' is too large - must be no larger than '{MOST}'"))),
        _ => Ok(number),
    }
}

/// One of these texts.
pub(crate) fn one_of(value: &Value, values: &[&str]) -> Checked {
    if value.as_str().is_some_and(|text| values.contains(&text)) {
        return Ok(value.clone());
    }
    Err(reason(format!("{} is not in valid_values", plain(value))))
}

/// 4 or 6.
pub(crate) fn ip_version(value: &Value) -> Checked {
    let number = int(value)?;
    match number.as_i64() {
        Some(4 | 6) => Ok(number),
        _ => Err(reason(format!("{number} is not in valid_values"))),
    }
}

/// A UUID.
pub(crate) fn uuid(value: &Value) -> Checked {
    match value.as_str().and_then(|text| Uuid::try_parse(text).ok()) {
        Some(_) => Ok(value.clone()),
        None => Err(reason(format!("'{}' is not a valid UUID", plain(value)))),
    }
}

pub(crate) fn uuid_or_null(value: &Value) -> Checked {
    or_null(value, uuid)
}

/// A list of which each is checked, and none is there twice.
pub(crate) fn list_of(value: &Value, check: Check) -> Checked {
    let Some(items) = value.as_array() else { return Err(reason(format!("'{}' is not a list", plain(value)))) };
    if let Some(twice) = items.iter().enumerate().find(|(at, item)| items[..*at].contains(item)) {
        return Err(reason(format!("Duplicate items in the list: '{}'", plain(twice.1))));
    }
    items.iter().map(check).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

/// A list of UUIDs; null is none.
pub(crate) fn uuids(value: &Value) -> Checked {
    if value.is_null() { Ok(json!([])) } else { list_of(value, uuid) }
}

/// Tags.
pub(crate) fn tags(value: &Value) -> Checked {
    list_of(value, text::<255>)
}

/// Availability zones.
pub(crate) fn zones(value: &Value) -> Checked {
    list_of(value, text::<255>)
}

/// An IP address in its one form.
pub(crate) fn address(value: &Value) -> Checked {
    let refused = || reason(format!("'{}' is not a valid IP address", plain(value)));
    let text = value.as_str().ok_or_else(refused)?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string().into());
    }
    // Zeros before a number, which some read as octal.
    let parts: Vec<&str> = text.split('.').collect();
    let numbers: Option<Vec<u8>> = parts.iter().map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[a, b, c, d]) if text.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit()) => {
            Err(reason(format!("'{text}' is not an accepted IP address, '{a}.{b}.{c}.{d}' is recommended")))
        }
        _ => Err(refused()),
    }
}

pub(crate) fn address_or_null(value: &Value) -> Checked {
    or_null(value, address)
}

/// A network in its one form, host bits kept; one address is a network of its own.
pub(crate) fn cidr(value: &Value) -> Checked {
    let refused = || Refusal::Convert(format!("{} is not in a CIDR format", plain(value)));
    let text = value.as_str().ok_or_else(refused)?;
    let network = parse_cidr(text).ok_or_else(refused)?;
    Ok(network.to_string().into())
}

pub(crate) fn cidr_or_null(value: &Value) -> Checked {
    or_null(value, cidr)
}

/// A network, or one address.
pub(crate) fn parse_cidr(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// A network with its length, as a list of them has it.
pub(crate) fn subnet(value: &Value) -> Checked {
    match value.as_str().and_then(|text| text.parse::<IpNet>().ok()) {
        Some(network) => Ok(network.to_string().into()),
        None => Err(reason(format!("'{}' is not a valid IP subnet", plain(value)))),
    }
}

/// A list of networks; null is none.
pub(crate) fn subnets(value: &Value) -> Checked {
    if value.is_null() { Ok(json!([])) } else { list_of(value, subnet) }
}

/// `[{"start", "end"}]`; null is none.
pub(crate) fn pools(value: &Value) -> Checked {
    let bad = || Refusal::Convert("Invalid data format for allocation pools".to_owned());
    if value.is_null() {
        return Ok(json!([]));
    }
    let items = value.as_array().ok_or_else(bad)?;
    let pools = items.iter().map(|item| {
        let pool = item.as_object().ok_or_else(bad)?;
        keys(pool, &["end", "start"])?;
        Ok(json!({"start": address(&pool["start"])?, "end": address(&pool["end"])?}))
    });
    pools.collect::<Result<Vec<_>, _>>().map(Value::Array)
}

/// An object with exactly these keys, which are in the order of their names.
pub(crate) fn keys(object: &Map<String, Value>, expected: &[&str]) -> Result<(), Refusal> {
    if object.len() == expected.len() && expected.iter().all(|key| object.contains_key(*key)) {
        return Ok(());
    }
    let set = |names: Vec<String>| match names.is_empty() {
        true => "set()".to_owned(),
        false => format!("{{{}}}", names.join(", ")),
    };
    let quoted = |name: &str| format!("'{name}'");
    Err(reason(format!(
        "Validation of dictionary's keys failed. Expected keys: {} Provided keys: {}",
        set(expected.iter().map(|key| quoted(key)).collect()),
        set(object.keys().map(|key| quoted(key)).collect()),
    )))
}

/// Addresses of name servers, in order; null is none.
pub(crate) fn nameservers(value: &Value) -> Checked {
    if value.is_null() {
        return Ok(json!([]));
    }
    let Some(items) = value.as_array() else {
        return Err(reason(format!("Invalid data format for nameserver: '{}'", plain(value))));
    };
    let mut found: Vec<Value> = Vec::new();
    for item in items {
        let server = match address(item) {
            Ok(server) => server,
            Err(Refusal::Reason(why)) => {
                return Err(reason(format!("'{}' is not a valid nameserver. {why}", plain(item))));
            }
            Err(other) => return Err(other),
        };
        if found.contains(&server) {
            return Err(reason(format!("Duplicate nameserver '{}'", plain(item))));
        }
        found.push(server);
    }
    Ok(Value::Array(found))
}

/// `[{"destination", "nexthop"}]`; null is none.
pub(crate) fn routes(value: &Value) -> Checked {
    if value.is_null() {
        return Ok(json!([]));
    }
    let bad = |item: &Value| reason(format!("Invalid data format for hostroute: '{}'", plain(item)));
    let items = value.as_array().ok_or_else(|| bad(value))?;
    let mut found: Vec<Value> = Vec::new();
    for item in items {
        let route = item.as_object().ok_or_else(|| bad(item))?;
        keys(route, &["destination", "nexthop"])?;
        let destination = route["destination"].as_str().and_then(|text| text.parse::<IpNet>().ok());
        let destination = destination.filter(|network| network.trunc() == *network);
        let Some(destination) = destination else {
            return Err(reason(format!("'{}' is not a valid CIDR", plain(&route["destination"]))));
        };
        if destination.network().is_loopback() {
            return Err(reason(format!("'{destination}' is not a routable CIDR")));
        }
        let route = json!({"destination": destination.to_string(), "nexthop": address(&route["nexthop"])?});
        if found.contains(&route) {
            return Err(reason(format!("Duplicate hostroute '{}'", plain(&route))));
        }
        found.push(route);
    }
    Ok(Value::Array(found))
}

/// A MAC address in its one form.
pub(crate) fn mac(value: &Value) -> Checked {
    let parsed = value.as_str().and_then(parse_mac);
    match parsed {
        Some(mac) => Ok(mac.into()),
        None => Err(reason(format!("'{}' is not a valid MAC address", plain(value)))),
    }
}

/// A MAC address, or null for a new one.
pub(crate) fn mac_or_null(value: &Value) -> Checked {
    or_null(value, mac)
}

/// `fa:16:3e:00:00:01` of any form of it; none for the address of nobody.
pub(crate) fn parse_mac(text: &str) -> Option<String> {
    let mac: MacAddr6 = text.parse().ok()?;
    (!mac.is_nil()).then(|| mac.to_string().to_ascii_lowercase())
}

/// An object, or null.
pub(crate) fn object_or_null(value: &Value) -> Checked {
    match value {
        Value::Null | Value::Object(_) => Ok(value.clone()),
        other => Err(reason(format!("'{}' is not a dictionary", plain(other)))),
    }
}
