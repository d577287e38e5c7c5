//! Rules of security groups, of what comes in: the only ones that this form knows.

use std::{collections::HashMap, net::IpAddr};

use axum::response::Response;
use http::{Method, StatusCode};
use novella_rest::{ApiError, Path, as_object, inputs::UuidText, object, typed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{RemoteGroup, checked_id, find, over_limit, with_rules};
use crate::{
    Request,
    compute::networking::{ask, failed},
    neighbours::caller,
};

/// Any address.
const ANYWHERE: &str = "0.0.0.0/0";

/// A rule, as Networking shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rule {
    id: String,
    security_group_id: String,
    direction: String,
    protocol: Option<String>,
    port_range_min: Option<i64>,
    port_range_max: Option<i64>,
    remote_group_id: Option<String>,
    remote_ip_prefix: Option<String>,
}

impl Rule {
    pub(super) fn comes_in(&self) -> bool {
        self.direction == "ingress"
    }

    pub(super) fn remote_group(&self) -> Option<&str> {
        self.remote_group_id.as_deref()
    }

    /// The ports, or types and codes, as this form shows them: all of a protocol are named.
    fn ports(&self) -> (Option<i64>, Option<i64>) {
        match (&self.protocol, self.port_range_min, self.port_range_max) {
            (Some(protocol), None, None) if is_tcp_or_udp(protocol) => (Some(1), Some(65_535)),
            (Some(_), None, None) => (Some(-1), Some(-1)),
            (_, from, to) => (from, to),
        }
    }

    fn cidr(&self) -> &str {
        self.remote_ip_prefix.as_deref().unwrap_or(ANYWHERE)
    }
}

fn is_tcp_or_udp(protocol: &str) -> bool {
    protocol.eq_ignore_ascii_case("tcp") || protocol.eq_ignore_ascii_case("udp")
}

/// A rule, as it is shown here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RuleView {
    id: String,
    parent_group_id: String,
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    #[schema(value_type = Object)]
    group: OrEmpty<RemoteGroup>,
    #[schema(value_type = Object)]
    ip_range: OrEmpty<IpRange>,
}

#[derive(Debug, Serialize)]
struct IpRange {
    cidr: String,
}

/// An object that has no fields where there is nothing.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum OrEmpty<T> {
    Some(T),
    Empty {},
}

impl RuleView {
    /// `None`: it lets in a group that is not known any more.
    pub(super) fn of(rule: &Rule, groups: &HashMap<String, RemoteGroup>) -> Option<Self> {
        let (group, ip_range) = match rule.remote_group() {
            Some(id) => (OrEmpty::Some(groups.get(id)?.clone()), OrEmpty::Empty {}),
            None => (OrEmpty::Empty {}, OrEmpty::Some(IpRange { cidr: rule.cidr().to_owned() })),
        };
        let (from_port, to_port) = rule.ports();
        Some(Self {
            id: rule.id.clone(),
            parent_group_id: rule.security_group_id.clone(),
            ip_protocol: rule.protocol.clone(),
            from_port,
            to_port,
            group,
            ip_range,
        })
    }
}

/// A rule that is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct NewRule {
    group: Option<String>,
    cidr: Option<String>,
    protocol: Option<String>,
    ports: Option<(i64, i64)>,
}

/// Reads what is asked for, in Nova's order and with its texts.
fn read(rule: &Map<String, Value>, group: Option<String>) -> Result<NewRule, ApiError> {
    let given = |name: &str| rule.get(name).filter(|value| !value.is_null());
    let protocol = given("ip_protocol").map(plain).filter(|protocol| !protocol.is_empty());
    let (mut from, mut to) = (given("from_port").cloned(), given("to_port").cloned());
    let cidr = match &group {
        Some(_) => None,
        None => Some(cidr(given("cidr"))?),
    };
    if let (Some(_), Some(protocol), None, None) = (&group, &protocol, &from, &to) {
        // Everything of it, for a group.
        if protocol.eq_ignore_ascii_case("icmp") {
            (from, to) = (Some(json!(-1)), Some(json!(-1)));
        } else if is_tcp_or_udp(protocol) {
            (from, to) = (Some(json!(1)), Some(json!(65_535)));
        }
    }
    match (protocol, from, to) {
        (Some(protocol), Some(from), Some(to)) => {
            let ports = ports(&protocol, &from, &to)?;
            Ok(NewRule { group, cidr, protocol: Some(protocol), ports: Some(ports) })
        }
        _ if group.is_some() => Ok(NewRule { group, ..NewRule::default() }),
        _ => Err(ApiError::bad_request("Not enough parameters to build a valid rule.")),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn ports(protocol: &str, from: &Value, to: &Value) -> Result<(i64, i64), ApiError> {
    let icmp = protocol.eq_ignore_ascii_case("icmp");
    let integer = |value: &Value| match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let (Some(from), Some(to)) = (integer(from), integer(to)) else {
        let what = match icmp {
            true => "Type and Code must be integers for ICMP protocol type",
            false => "To and From ports must be integers",
        };
        return Err(ApiError::bad_request(format!("Invalid input received: {what}")));
    };
    let refuse = |why: &str| Err(ApiError::bad_request(format!("Invalid port range {from}:{to}. {why}")));
    match icmp {
        true if [from, to].iter().any(|number| !(-1..=255).contains(number)) => {
            refuse("For ICMP, the type:code must be valid")
        }
        true => Ok((from, to)),
        false if !is_tcp_or_udp(protocol) => Err(ApiError::bad_request(format!("Invalid IP protocol {protocol}."))),
        false if from > to => refuse("Former value cannot be greater than the later"),
        false if from < 1 || to > 65_535 => {
            refuse(&format!("Valid {} ports should be between 1-65535", protocol.to_uppercase()))
        }
        false => Ok((from, to)),
    }
}

/// A range of addresses; all where there is none.
fn cidr(cidr: Option<&Value>) -> Result<String, ApiError> {
    let Some(text) = cidr.map(plain).filter(|text| !text.is_empty()) else { return Ok(ANYWHERE.into()) };
    let invalid = || ApiError::bad_request(format!("{text} is not a valid IP network."));
    let (address, length) = text.split_once('/').ok_or_else(invalid)?;
    let address: IpAddr = address.parse().map_err(|_| invalid())?;
    let length: u8 = length.parse().map_err(|_| invalid())?;
    if length > if address.is_ipv4() { 32 } else { 128 } {
        return Err(invalid());
    }
    if length == 0 && !address.is_unspecified() {
        return Err(ApiError::bad_request(format!("Bad prefix for network in cidr {text}")));
    }
    Ok(text)
}

impl NewRule {
    /// Whether a rule says just this.
    fn is(&self, rule: &Rule) -> bool {
        let ports = match rule.ports() {
            (Some(from), Some(to)) => Some((from, to)),
            _ => None,
        };
        self.group == rule.remote_group_id
            && self.cidr.as_deref() == Some(rule.cidr())
            && self.protocol == rule.protocol
            && self.ports == ports
    }

    fn in_group(&self, group: &str) -> Value {
        let v6 = self.cidr.as_deref().is_some_and(|cidr| cidr.contains(':'));
        let port = |number: i64| Some(number).filter(|number| *number != -1);
        json!({"security_group_rule": {
            "direction": "ingress",
            "ethertype": if v6 { "IPv6" } else { "IPv4" },
            "security_group_id": group,
            "protocol": self.protocol,
            "remote_ip_prefix": self.cidr,
            "remote_group_id": self.group,
            "port_range_min": self.ports.and_then(|(from, _)| port(from)),
            "port_range_max": self.ports.and_then(|(_, to)| port(to)),
        }})
    }
}

/// Adds a rule to a group.
pub(super) async fn create(mut request: Request) -> Result<Response, ApiError> {
    let body = as_object(request.json().await?)?.get("security_group_rule").cloned();
    let required = |name: &str| ApiError::bad_request(format!("Invalid input: '{name}' is a required property"));
    let body = body.ok_or_else(|| required("security_group_rule"))?;
    let asked = object("security_group_rule", &body)?;
    let id = |name: &str| {
        let value = asked.get(name).filter(|value| !value.is_null());
        value.map(|value| typed::<UuidText>(&format!("security_group_rule.{name}"), value)).transpose()
    };
    let parent = id("parent_group_id")?.ok_or_else(|| required("parent_group_id"))?;
    let remote = id("group_id")?;
    let group = find(&request, parent.0).await?;
    if let Some(remote) = remote {
        find(&request, remote.0).await?;
    }
    let new = read(asked, remote.map(|remote| remote.0.to_string()))?;
    if group.security_group_rules.iter().any(|rule| rule.comes_in() && new.is(rule)) {
        return Err(ApiError::bad_request(format!("This rule already exists in group {}", group.id)));
    }
    let call = (Method::POST, "/security-group-rules");
    let made = ask(&request.state, caller(&request), call, Some(new.in_group(&group.id)), "security_group_rule").await;
    let made: Rule = made.map_err(over_limit)?;
    let of_it = super::Group { security_group_rules: vec![made], ..group };
    let shown = with_rules(&request, vec![of_it]).await.map_err(failed)?.pop().and_then(|mut group| group.rules.pop());
    Ok(request.plain("security_group_rule", shown.ok_or(ApiError::Broken)?))
}

/// Takes a rule from its group.
pub(super) async fn remove(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let path = format!("/security-group-rules/{}", checked_id(&id)?);
    request.state.networking.send(caller(&request), Method::DELETE, &path, None).await.map_err(failed)?;
    Ok(StatusCode::ACCEPTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(rule: Value, group: Option<&str>) -> Result<NewRule, String> {
        read(rule.as_object().unwrap(), group.map(ToOwned::to_owned)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_is_read_and_refused_in_novas_words() {
        let tcp = asked(json!({"ip_protocol": "TCP", "from_port": "22", "to_port": 22, "cidr": "10.0.0.0/8"}), None);
        let tcp = tcp.unwrap();
        assert_eq!((tcp.cidr.as_deref(), tcp.ports), (Some("10.0.0.0/8"), Some((22, 22))));
        let all = asked(json!({"ip_protocol": "icmp", "from_port": -1, "to_port": -1}), None).unwrap();
        assert_eq!((all.cidr.as_deref(), all.ports), (Some(ANYWHERE), Some((-1, -1))));
        assert_eq!(asked(json!({"ip_protocol": "udp"}), Some("g")).unwrap().ports, Some((1, 65_535)));
        assert_eq!(asked(json!({}), Some("g")), Ok(NewRule { group: Some("g".into()), ..NewRule::default() }));
        let with = |from: Value, to: Value, protocol: &str, cidr: &str| json!({"ip_protocol": protocol, "from_port": from, "to_port": to, "cidr": cidr});
        for (rule, said) in [
            (json!({}), "Not enough parameters to build a valid rule."),
            (with(json!("x"), json!(1), "tcp", ""), "Invalid input received: To and From ports must be integers"),
            (with(json!([]), json!(1), "icmp", ""), "Invalid input received: Type and Code must be integers for ICMP"),
            (with(json!(1), json!(1), "sctp", ""), "Invalid IP protocol sctp."),
            (with(json!(2), json!(1), "tcp", ""), "Invalid port range 2:1. Former value cannot be greater"),
            (with(json!(0), json!(1), "udp", ""), "Invalid port range 0:1. Valid UDP ports should be between 1-65535"),
            (with(json!(256), json!(1), "icmp", ""), "Invalid port range 256:1. For ICMP, the type:code must be valid"),
            (with(json!(1), json!(1), "tcp", "10.0.0.0"), "10.0.0.0 is not a valid IP network."),
            (with(json!(1), json!(1), "tcp", "10.0.0.0/33"), "10.0.0.0/33 is not a valid IP network."),
            (with(json!(1), json!(1), "tcp", "10.0.0.0/0"), "Bad prefix for network in cidr 10.0.0.0/0"),
        ] {
            let refused = asked(rule.clone(), None).unwrap_err();
            assert!(refused.starts_with(said), "{rule}: {refused}");
        }
    }
}
