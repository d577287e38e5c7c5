//! What ports can have beside addresses: pairs of addresses that are let through, options for DHCP, and how they are bound.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    attributes::checks::{self, Checked, Refusal, one_of, plain},
    errors::{invalid_input, refused},
    resource::View,
};
use novella_rest::{ApiError, repr};

/// An address, with the MAC that it is let through with; `None`: the port's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressPair {
    #[serde(default)]
    pub(crate) mac_address: Option<String>,
    pub(crate) ip_address: String,
}

impl AddressPair {
    /// What clients see, if the port has this MAC.
    pub(super) fn shown(&self, of_port: &str) -> View<'static> {
        let mac = self.mac_address.as_deref().unwrap_or(of_port);
        View::from([("ip_address", self.ip_address.clone()), ("mac_address", mac.to_owned())])
    }
}

fn bad(text: impl Into<String>) -> Refusal {
    Refusal::Error(ApiError::bad_request(text))
}

/// `[{"ip_address", "mac_address"}]`; null is none.
pub(super) fn address_pairs(value: &Value) -> Checked {
    const MOST: usize = 10;
    if value.is_null() {
        return Ok(json!([]));
    }
    let items = value.as_array().ok_or_else(|| bad("Allowed address pairs must be a list."))?;
    if items.len() > MOST {
        return Err(Refusal::Error(refused(
            "AllowedAddressPairExhausted",
            format!("The number of allowed address pair exceeds the maximum {MOST}."),
        )));
    }
    let bare = |refusal: Refusal| match refusal {
        Refusal::Reason(reason) => bad(reason),
        other => other,
    };
    let mut found: Vec<Value> = Vec::new();
    for item in items {
        let Some(pair) = item.as_object() else {
            return Err(Refusal::Reason(format!("'{}' is not a dictionary", plain(item))));
        };
        let mac = pair.get("mac_address").map(checks::mac).transpose().map_err(bare)?.unwrap_or_default();
        let Some(address) = pair.get("ip_address") else {
            return Err(Refusal::Error(refused(
                "AllowedAddressPairsMissingIP",
                "AllowedAddressPair must contain ip_address",
            )));
        };
        let same = |other: &&Value| other["mac_address"] == mac && other["given"] == *address;
        if found.iter().any(|other| same(&other)) {
            return Err(Refusal::Error(refused(
                "DuplicateAddressPairInRequest",
                format!(
                    "Request contains duplicate address pair: mac_address {} ip_address {}.",
                    plain(&mac),
                    plain(address)
                ),
            )));
        }
        let unknown: Vec<&str> =
            pair.keys().map(String::as_str).filter(|key| !matches!(*key, "mac_address" | "ip_address")).collect();
        if !unknown.is_empty() {
            return Err(bad(format!("Unrecognized attribute(s) '{}'", unknown.join(", "))));
        }
        let text = plain(address);
        let read = if text.contains('/') {
            text.parse::<IpNet>()
                .map(|network| json!(network.to_string()))
                .map_err(|_| bad(format!("'{text}' is not a valid IP subnet")))?
        } else {
            checks::address(address).map_err(bare)?
        };
        let many = read.as_str().and_then(checks::parse_cidr).is_some_and(|network| network.addr().is_multicast());
        if many {
            return Err(bad(format!("IP {text} is a multicast address, which is not supported.")));
        }
        found.push(json!({"mac_address": mac, "ip_address": read, "given": address}));
    }
    for pair in &mut found {
        if let Some(pair) = pair.as_object_mut() {
            pair.remove("given");
        }
    }
    Ok(Value::Array(found))
}

/// `[{"opt_name", "opt_value", "ip_version"}]`; null is none.
pub(super) fn dhcp_options(value: &Value) -> Checked {
    if value.is_null() {
        return Ok(json!([]));
    }
    let Some(items) = value.as_array() else {
        return Err(Refusal::Error(invalid_input(format!("'{}' is not a list", plain(value)))));
    };
    let mut found = Vec::new();
    for item in items {
        let option = item.as_object().and_then(dhcp_option);
        found.push(
            option.ok_or_else(|| {
                Refusal::Error(invalid_input(format!("No valid key specs matched for: {}", repr(item))))
            })?,
        );
    }
    Ok(Value::Array(found))
}

fn dhcp_option(given: &Map<String, Value>) -> Option<Value> {
    let line =
        |text: &str, longest: usize| !text.trim().is_empty() && !text.contains('\n') && text.chars().count() <= longest;
    let name = given.get("opt_name")?.as_str().filter(|name| line(name, 64))?;
    // Some options may have an empty value.
    let may_be_empty = matches!(name, "router" | "classless-static-route");
    let value = match given.get("opt_value")? {
        Value::Null => Value::Null,
        Value::String(text) if line(text, 255) || (may_be_empty && text.chars().count() <= 255) => text.as_str().into(),
        _ => return None,
    };
    let version = match given.get("ip_version") {
        None => json!(4),
        Some(version) => checks::ip_version(version).ok()?,
    };
    if given.keys().any(|key| !matches!(key.as_str(), "opt_name" | "opt_value" | "ip_version")) {
        return None;
    }
    Some(json!({"opt_name": name, "opt_value": value, "ip_version": version}))
}

/// The options of a port after a change: those that are named are set, or taken away by null.
pub(super) fn merged(old: &[Map<String, Value>], change: &[Map<String, Value>]) -> Vec<Map<String, Value>> {
    let same = |one: &Map<String, Value>, other: &Map<String, Value>| {
        one.get("opt_name") == other.get("opt_name") && one.get("ip_version") == other.get("ip_version")
    };
    let kept = old.iter().filter(|option| !change.iter().any(|other| same(option, other)));
    let set = change.iter().filter(|option| option.get("opt_value").is_some_and(|value| !value.is_null()));
    kept.chain(set).cloned().collect()
}

/// A host's name; null is none.
pub(super) fn host(value: &Value) -> Checked {
    if value.is_null() { Ok("".into()) } else { checks::text::<255>(value) }
}

/// What a service says of how a port is bound; null is nothing.
pub(super) fn profile(value: &Value) -> Checked {
    if value.is_null() { Ok(json!({})) } else { checks::object_or_null(value) }
}

/// The kind of device.
pub(super) fn vnic_type(value: &Value) -> Checked {
    one_of(
        value,
        &[
            "normal",
            "direct",
            "macvtap",
            "baremetal",
            "direct-physical",
            "virtio-forwarder",
            "smart-nic",
            "vdpa",
            "accelerator-direct",
            "accelerator-direct-physical",
            "remote-managed",
        ],
    )
}
