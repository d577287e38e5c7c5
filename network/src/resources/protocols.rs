//! The protocols of IP, by name and by number.

use serde_json::Value;

use crate::{
    attributes::checks::{Checked, Refusal, plain},
    errors::refused,
};

/// Their names, with their numbers.
const PROTOCOLS: [(&str, &str); 25] = [
    ("ah", "51"),
    ("dccp", "33"),
    ("egp", "8"),
    ("esp", "50"),
    ("gre", "47"),
    ("hopopt", "0"),
    ("icmp", "1"),
    ("igmp", "2"),
    ("ip", "0"),
    ("ipip", "4"),
    ("ipv6-encap", "41"),
    ("ipv6-frag", "44"),
    ("ipv6-icmp", "58"),
    ("icmpv6", "58"),
    ("ipv6-nonxt", "59"),
    ("ipv6-opts", "60"),
    ("ipv6-route", "43"),
    ("ospf", "89"),
    ("pgm", "113"),
    ("rsvp", "46"),
    ("sctp", "132"),
    ("tcp", "6"),
    ("udp", "17"),
    ("udplite", "136"),
    ("vrrp", "112"),
];

/// A protocol of a rule: its name in small letters, its number as a text, or null for any.
pub(super) fn check(value: &Value) -> Checked {
    let text = match value {
        Value::Null => return Ok(Value::Null),
        Value::String(text) => text.to_ascii_lowercase(),
        Value::Number(number) => number.to_string(),
        other => return Err(unknown(other)),
    };
    if matches!(text.as_str(), "any" | "") {
        return Ok(Value::Null);
    }
    if text == "icmpv6" {
        return Ok("ipv6-icmp".into());
    }
    if PROTOCOLS.iter().any(|(name, _)| *name == text) || text.parse::<u8>().is_ok() {
        return Ok(text.into());
    }
    Err(unknown(value))
}

fn unknown(value: &Value) -> Refusal {
    let names: Vec<String> = PROTOCOLS.iter().map(|(name, _)| format!("'{name}'")).collect();
    Refusal::Error(refused(
        "SecurityGroupRuleInvalidProtocol",
        format!(
            "Security group rule protocol {} not supported. Only protocol values (None, 'any', {}) and integer \
             representations [0 to 255] are supported.",
            plain(value),
            names.join(", ")
        ),
    ))
}

/// The protocol that a rule for this ethertype means: ICMP has another name and another number in IPv6.
pub(super) fn meant(protocol: Option<String>, ethertype: &str) -> Option<String> {
    if ethertype != "IPv6" {
        return protocol;
    }
    protocol.map(|protocol| match protocol.as_str() {
        "icmp" | "icmpv6" => "ipv6-icmp".to_owned(),
        "1" => "58".to_owned(),
        _ => protocol,
    })
}

/// The ports that a rule means: all of them are none in particular.
pub(super) const fn meant_ports(min: Option<i64>, max: Option<i64>) -> (Option<i64>, Option<i64>) {
    match (min, max) {
        (Some(1), Some(65535)) => (None, None),
        ports => ports,
    }
}

/// The number of a protocol, as a text.
pub(super) fn number_of(protocol: &str) -> String {
    let known = PROTOCOLS.iter().find(|(name, _)| *name == protocol);
    match known {
        Some((_, number)) => (*number).to_owned(),
        // Without zeros before it.
        None => protocol.parse::<u8>().map_or_else(|_| protocol.to_owned(), |number| number.to_string()),
    }
}

/// Whether a protocol is there in IPv6 only.
pub(super) fn is_ipv6_only(number: &str) -> bool {
    matches!(number, "41" | "43" | "44" | "58" | "59" | "60")
}
