//! Names in the DNS: what they may be, and which each address of a port has.

use serde_json::Value;

use crate::{
    addresses::allocations::FixedIp,
    attributes::checks::{Checked, Refusal, plain},
    resource::View,
};

/// Characters of the longest full name.
const LONGEST: usize = 255;

fn reason(text: impl Into<String>) -> Refusal {
    Refusal::Reason(text.into())
}

/// A name in small letters.
fn lowered(value: &Value) -> Result<String, Refusal> {
    match value.as_str() {
        Some(text) => Ok(text.to_ascii_lowercase()),
        None => Err(Refusal::Convert(format!("Input value {} must be string type", plain(value)))),
    }
}

/// What is wrong with a name, if something is.
fn fault(name: &str) -> Option<String> {
    let trimmed = name.strip_suffix('.').unwrap_or(name);
    let labels: Vec<&str> = trimmed.split('.').collect();
    let of_label = |label: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if label.is_empty() {
            Some("Encountered an empty component".to_owned())
        } else if label.starts_with('-') || label.ends_with('-') {
            Some(format!("Name '{label}' must not start or end with a hyphen"))
        } else if label.len() > 63 || !label.chars().all(plain) {
            Some(format!(
                "Name '{label}' must be 1-63 characters long, each of which can only be alphanumeric or a hyphen"
            ))
        } else {
            None
        }
    };
    let numeric = |label: &&&str| labels.len() > 1 && label.chars().all(|c| c.is_ascii_digit());
    let why = if trimmed.len() > LONGEST {
        Some(format!("'{trimmed}' exceeds the {LONGEST} character FQDN limit"))
    } else {
        labels
            .iter()
            .find_map(of_label)
            .or_else(|| labels.last().filter(numeric).map(|label| format!("TLD '{label}' must not be all numeric")))
    };
    why.map(|why| format!("'{name}' not a valid PQDN or FQDN. Reason: {why}"))
}

/// The domain of a network or a floating IP: empty, or a full name with its dot.
pub(super) fn domain(value: &Value) -> Checked {
    let name = lowered(value)?;
    if name.is_empty() {
        return Ok(name.into());
    }
    if !name.ends_with('.') {
        return Err(reason(format!("'{name}' is not a FQDN")));
    }
    match fault(&name) {
        Some(fault) => Err(reason(fault)),
        None => Ok(name.into()),
    }
}

/// The name of a port.
pub(crate) fn host(value: &Value) -> Checked {
    let name = lowered(value)?;
    match fault(&name).filter(|_| !name.is_empty()) {
        Some(fault) => Err(reason(fault)),
        None => Ok(name.into()),
    }
}

/// The name of a floating IP, without a domain.
pub(super) fn floating(value: &Value) -> Checked {
    let name = lowered(value)?;
    if name.ends_with('.') {
        return Err(reason(format!("'{name}' is a FQDN. It should be a relative domain name")));
    }
    match fault(&name).filter(|_| !name.is_empty()) {
        Some(fault) => Err(reason(fault)),
        None => Ok(name.into()),
    }
}

/// The name of each address of a port, in the cloud's domain.
pub(super) fn assignment(addresses: &[FixedIp], name: &str, domain: &str) -> Vec<View<'static>> {
    let domain = domain.trim_end_matches('.');
    let each = addresses.iter().map(|fixed| {
        let own = format!("host-{}", fixed.ip_address.replace(['.', ':'], "-"));
        let host = if name.is_empty() { own.as_str() } else { name };
        let full = match host.strip_suffix('.') {
            Some(_) => host.to_owned(),
            None => format!("{host}.{domain}."),
        };
        View::from([("fqdn", full), ("hostname", host.to_owned()), ("ip_address", fixed.ip_address.clone())])
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_can_not_be_says_why() {
        let refused = |name: &str| match host(&json!(name)) {
            Err(Refusal::Reason(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert!(refused("-x").ends_with("Name '-x' must not start or end with a hyphen"));
        assert!(refused("a..b").ends_with("Encountered an empty component"));
        assert!(refused("a.5").ends_with("TLD '5' must not be all numeric"));
        assert_eq!(host(&json!("My-Host")).unwrap(), json!("my-host"));
        assert_eq!(host(&json!("")).unwrap(), json!(""));
        assert_eq!(domain(&json!("example.org.")).unwrap(), json!("example.org."));
        assert!(domain(&json!("example.org")).is_err());
    }

    #[test]
    fn an_address_has_a_name_of_its_own_or_that_of_its_port() {
        let fixed = FixedIp { subnet_id: "s".into(), ip_address: "10.0.0.5".into() };
        let own = json!(assignment(std::slice::from_ref(&fixed), "", "example.org."));
        assert_eq!(own[0]["fqdn"], "host-10-0-0-5.example.org.");
        assert_eq!(json!(assignment(&[fixed], "web", "example.org."))[0]["fqdn"], "web.example.org.");
    }
}
