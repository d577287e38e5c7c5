//! `/security-group-rules`: what is let in and out. There are no two equal ones in a group.

use ipnet::IpNet;
use novella_common::{
    db::{Connection, list::Condition},
    sql,
};
use novella_rest::{ApiError, Operation};
use serde_json::{Value, json};

use super::{
    address_groups::AddressGroup,
    protocols,
    security_groups::{DEFAULT, SecurityGroup},
};
use crate::{
    Networking, Request,
    attributes::{
        Attribute,
        Otherwise::{Null, Text},
        attribute, checks,
        checks::{Checked, Refusal, any, name, one_of, plain},
    },
    errors::{conflict, refused},
    policy,
    resource::{
        self, About, Given, Resource, View, Wanted, Whose, Work, bump, by_default, insert_row, is_admin, look_up,
        rows_by,
    },
};

crate::resource! {
    /// A rule.
    struct SecurityGroupRule in "security_group_rules" {
        direction: String = attribute("direction", direction).required().filter().sort();
        security_group_id: String = attribute("security_group_id", checks::text::<36>).required().filter().sort();
        remote_group_id: Option<String> = attribute("remote_group_id", checks::id_or_null).given_or(Null).filter().sort_nullable();
        remote_address_group_id: Option<String> = attribute("remote_address_group_id", checks::id_or_null).given_or(Null).filter()
            .sort_nullable();
        protocol: Option<String> = attribute("protocol", protocols::check).given_or(Null).filter().sort_nullable();
        port_range_min: Option<i64> = attribute("port_range_min", port_value).given_or(Null).filter().sort_nullable();
        port_range_max: Option<i64> = attribute("port_range_max", port_value).given_or(Null).filter().sort_nullable();
        ethertype: String = attribute("ethertype", ethertype).given_or(Text("IPv4")).filter().sort();
        remote_ip_prefix: Option<String> = attribute("remote_ip_prefix", prefix).given_or(Null).filter()
            .sort_nullable();
        description: String = attribute("description", name).given_or(Text("")).filter();
        /// What it is equal by, with others of its group.
        equality: String = attribute("equality", any).begins(Text("")).hidden();
    }
}

static RULES: About = About {
    one: "security_group_rule",
    many: "security_group_rules",
    collection: "/security-group-rules",
    member: "/security-group-rules/{security_group_rule_id}",
    tags: None,
    missing: ("SecurityGroupRuleNotFound", "Security group rule ", " does not exist"),
    get: policy::GET_SECURITY_GROUP_RULE,
    create: policy::CREATE_SECURITY_GROUP_RULE,
    update: None,
    delete: policy::DELETE_SECURITY_GROUP_RULE,
    quota: Some("security_group_rule"),
    stamped: true,
    first_revision: 0,
    shared: None,
};

fn direction(value: &Value) -> Checked {
    one_of(value, &["ingress", "egress"])
}

fn ethertype(value: &Value) -> Checked {
    match value.as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("ipv4") => Ok("IPv4".into()),
        Some("ipv6") => Ok("IPv6".into()),
        _ => Err(Refusal::Error(refused(
            "SecurityGroupRuleInvalidEtherType",
            format!(
                "Security group rule for ethertype '{}' not supported. Allowed values are ['IPv4', 'IPv6'].",
                plain(value)
            ),
        ))),
    }
}

/// A port, or a type or code of ICMP.
fn port_value(value: &Value) -> Checked {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let number = checks::int(value).ok().and_then(|number| number.as_i64());
    match number.filter(|number| (0..=65535).contains(number)) {
        Some(number) => Ok(number.into()),
        None => Err(Refusal::Error(bad_port(&plain(value)))),
    }
}

fn bad_port(value: &str) -> ApiError {
    refused("SecurityGroupInvalidPortValue", format!("Invalid value for port {value}"))
}

/// A network; the empty text is none, and one address is a network of its own.
fn prefix(value: &Value) -> Checked {
    match value {
        Value::Null => Ok(Value::Null),
        Value::String(text) if text.is_empty() => Ok(Value::Null),
        _ => match value.as_str().and_then(checks::parse_cidr) {
            Some(network) => Ok(network.to_string().into()),
            None => Err(Refusal::Error(refused(
                "InvalidCIDR",
                format!("Invalid CIDR {} given as IP prefix.", plain(value)),
            ))),
        },
    }
}

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    let mut operations = resource::operations::<SecurityGroupRule>();
    operations.remove(0);
    operations.push(
        novella_rest::get(RULES.collection, policy::GET_SECURITY_GROUP_RULE, index)
            .takes(resource::names::<SecurityGroupRule>()),
    );
    operations
}

async fn index(request: Request) -> Result<axum::response::Response, ApiError> {
    super::security_groups::ensure_own(&request).await?;
    resource::index::<SecurityGroupRule>(request).await
}

/// What a rule is equal by. Tcp and 6 are the same, and so are everywhere and nowhere in particular.
fn equality(rule: &SecurityGroupRule) -> String {
    let everywhere = |prefix: &&str| matches!(*prefix, "0.0.0.0/0" | "::/0");
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    [
        rule.direction.as_str(),
        rule.ethertype.as_str(),
        &rule.protocol.as_deref().map(protocols::number_of).unwrap_or_default(),
        &number(rule.port_range_min),
        &number(rule.port_range_max),
        rule.remote_ip_prefix.as_deref().filter(|prefix| !everywhere(prefix)).unwrap_or_default(),
        rule.remote_group_id.as_deref().unwrap_or_default(),
        rule.remote_address_group_id.as_deref().unwrap_or_default(),
    ]
    .join("|")
}

impl Resource for SecurityGroupRule {
    const ABOUT: &'static About = &RULES;
    const OTHERS: &'static [Attribute] =
        &[attribute("normalized_cidr", any).filter().sort(), attribute("belongs_to_default_sg", any).filter()];

    fn check_together(given: &[Given]) -> Result<(), ApiError> {
        let mut groups = given.iter().map(|given| given.text("security_group_id"));
        let first = groups.next();
        if groups.all(|other| Some(other) == first) {
            return Ok(());
        }
        Err(refused(
            "SecurityGroupNotSingleGroupRules",
            "Only allowed to update rules for one security profile at a time",
        ))
    }

    fn visible(request: &Request) -> Option<Condition> {
        if is_admin(request) {
            return None;
        }
        let project = request.context.project_id.as_deref().unwrap_or_default();
        Some(Condition::raw(sql!(
            "project_id = " (project) " OR security_group_id IN (SELECT id FROM security_groups WHERE project_id = "
            (project) ")"
        )))
    }

    fn filter(_: &Request, name: &str, values: &[&str]) -> Result<Option<Condition>, ApiError> {
        if name == "normalized_cidr" {
            return Ok(Some(Condition::is_in("remote_ip_prefix", values)));
        }
        let flags = resource::flags(values)?;
        let Ok([wanted]) = <[bool; 1]>::try_from(flags) else { return Ok(None) };
        let mut sql = novella_common::db::Sql::new("security_group_id ");
        sql.push(if wanted { "IN" } else { "NOT IN" }).push(" (SELECT id FROM security_groups WHERE name = ");
        sql.bind(DEFAULT).push(")");
        Ok(Some(Condition::raw(sql)))
    }

    async fn whose(&self, _: &Request, connection: &mut Connection) -> Result<Whose, ApiError> {
        let group = look_up::<SecurityGroup>(connection, &self.security_group_id).await?;
        Ok(Whose { parent: group.map(|group| group.project_id), ..Whose::of(self.project_id.clone()) })
    }

    async fn whose_new(given: &Given, request: &Request, connection: &mut Connection) -> Result<Whose, ApiError> {
        let group = given.text("security_group_id").unwrap_or_default();
        let group = resource::find::<SecurityGroup>(request, connection, group).await?;
        Ok(Whose { parent: Some(group.project_id), ..Whose::of(given.project.clone()) })
    }

    async fn before_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        self.protocol = protocols::meant(self.protocol.take(), &self.ethertype);
        (self.port_range_min, self.port_range_max) = protocols::meant_ports(self.port_range_min, self.port_range_max);
        self.check_ports()?;
        self.check_remote()?;
        let group = resource::locked::<SecurityGroup>(work, &self.security_group_id).await?;
        if let Some(remote) = self.remote_group_id.clone() {
            super::security_groups::check_seen(work, &[remote]).await?;
        }
        if let Some(remote) = &self.remote_address_group_id {
            resource::find::<AddressGroup>(work.request, &mut work.transaction, remote).await?;
        }
        self.project_id.clone_from(&group.project_id);
        self.equality = equality(self);
        Ok(())
    }

    async fn write(&self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        // The group is locked, so nobody adds one meanwhile.
        let same: Option<String> = sql!(
            "SELECT id FROM security_group_rules WHERE security_group_id = " (self.security_group_id)
            " AND equality = " (self.equality)
        )
        .fetch_optional(&mut work.transaction)
        .await?;
        if let Some(same) = same {
            return Err(conflict(
                "SecurityGroupRuleExists",
                format!("Security group rule already exists. Rule id is {same}."),
            ));
        }
        insert_row(&mut work.transaction, self).await?;
        bump::<SecurityGroup>(&mut work.transaction, &self.security_group_id, work.now).await
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        bump::<SecurityGroup>(&mut work.transaction, &self.security_group_id, work.now).await
    }

    async fn complete(
        rows: &[Self],
        views: &mut [View<'_>],
        wanted: &Wanted<'_>,
        _: &Request,
        connection: &mut Connection,
    ) -> Result<(), ApiError> {
        let mut of_default = std::collections::BTreeSet::new();
        if wanted.has("belongs_to_default_sg") {
            let groups: std::collections::BTreeSet<&str> =
                rows.iter().map(|row| row.security_group_id.as_str()).collect();
            let groups: Vec<SecurityGroup> = rows_by(connection, "id", groups).await?;
            of_default = groups.into_iter().filter(|group| group.name == DEFAULT).map(|group| group.id).collect();
        }
        for (row, view) in rows.iter().zip(views) {
            let network = row.remote_ip_prefix.as_deref().and_then(|prefix| prefix.parse::<IpNet>().ok());
            view.insert("normalized_cidr", json!(network.map(|network| network.trunc())));
            view.insert("belongs_to_default_sg", of_default.contains(&row.security_group_id));
        }
        Ok(())
    }
}

impl SecurityGroupRule {
    fn check_ports(&self) -> Result<(), ApiError> {
        let (min, max) = (self.port_range_min, self.port_range_max);
        let Some(protocol) = self.protocol.as_deref() else {
            return match min.or(max) {
                None => Ok(()),
                Some(_) => Err(refused(
                    "SecurityGroupProtocolRequiredWithPorts",
                    "Must also specify protocol if port range is given.",
                )),
            };
        };
        let number = protocols::number_of(protocol);
        let of_ipv6 = protocols::is_ipv6_only(&number);
        if of_ipv6 && self.ethertype == "IPv4" {
            return Err(refused(
                "SecurityGroupEthertypeConflictWithProtocol",
                format!("Invalid ethertype IPv4 for protocol {protocol}."),
            ));
        }
        match number.as_str() {
            // With ports: DCCP, SCTP, TCP, UDP, UDPLITE.
            "6" | "17" | "33" | "132" | "136" => match (min, max) {
                (None, None) => Ok(()),
                (Some(0), _) => Err(bad_port("0")),
                (Some(min), Some(max)) if min <= max => Ok(()),
                _ => Err(refused(
                    "SecurityGroupInvalidPortRange",
                    "For TCP/UDP protocols, port_range_min must be <= port_range_max",
                )),
            },
            "1" | "58" => {
                for (value, what, field) in [(min, "type", "port_range_min"), (max, "code", "port_range_max")] {
                    if let Some(value) = value.filter(|value| *value > 255) {
                        return Err(refused(
                            "SecurityGroupInvalidIcmpValue",
                            format!("Invalid value for ICMP {what} ({field}) {value}. It must be 0 to 255."),
                        ));
                    }
                }
                match (min, max) {
                    (None, Some(code)) => Err(refused(
                        "SecurityGroupMissingIcmpType",
                        format!(
                            "ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing."
                        ),
                    )),
                    _ => Ok(()),
                }
            }
            _ if min.is_none() && max.is_none() => Ok(()),
            other => Err(refused(
                "SecurityGroupInvalidProtocolForPort",
                format!(
                    "Ports cannot be specified for protocol {other}. Ports are only supported for DCCP, SCTP, TCP, UDP, \
                     UDPLITE."
                ),
            )),
        }
    }

    fn check_remote(&self) -> Result<(), ApiError> {
        let remotes = [&self.remote_ip_prefix, &self.remote_group_id, &self.remote_address_group_id];
        if remotes.into_iter().flatten().count() > 1 {
            return Err(refused(
                "SecurityGroupMultipleRemoteEntites",
                "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
            ));
        }
        let Some(prefix) = &self.remote_ip_prefix else { return Ok(()) };
        let of_ipv4 = prefix.parse::<IpNet>().is_ok_and(|network| network.addr().is_ipv4());
        if of_ipv4 == (self.ethertype == "IPv4") {
            return Ok(());
        }
        Err(refused(
            "SecurityGroupRuleParameterConflict",
            format!("Conflicting value ethertype {} for CIDR {prefix}", self.ethertype),
        ))
    }
}

/// The rules that a new group has: everything goes out, and of the default group what is in it comes in.
pub(super) async fn add_first(work: &mut Work<'_>, group: &SecurityGroup) -> Result<(), ApiError> {
    let templates = super::default_rules::for_group(&mut work.transaction, group.name == DEFAULT).await?;
    for template in templates {
        let given = by_default::<SecurityGroupRule>(&group.project_id, template.rule(&group.id));
        let mut rule = <SecurityGroupRule as crate::attributes::Fields>::from_values(
            crate::attributes::Base {
                id: uuid::Uuid::new_v4().to_string(),
                project_id: group.project_id.clone(),
                now: work.now,
                revision_number: 0,
            },
            &given.values,
        )?;
        rule.equality = equality(&rule);
        insert_row(&mut work.transaction, &rule).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(values: Value) -> SecurityGroupRule {
        let given = by_default::<SecurityGroupRule>("p", json!({"direction": "ingress", "security_group_id": "g"}));
        let mut all = given.values;
        for (name, value) in values.as_object().unwrap() {
            let attribute = SecurityGroupRule::FIELDS.iter().find(|field| field.attribute.name == name).unwrap();
            all.insert(name.clone(), (attribute.attribute.check)(value).unwrap());
        }
        let base = crate::attributes::Base {
            id: "r".into(),
            project_id: "p".into(),
            now: jiff::Timestamp::UNIX_EPOCH,
            revision_number: 0,
        };
        <SecurityGroupRule as crate::attributes::Fields>::from_values(base, &all).unwrap()
    }

    use crate::attributes::Fields as _;

    #[test]
    fn rules_are_equal_whatever_words_they_use() {
        let same = |one: Value, other: Value| equality(&rule(one)) == equality(&rule(other));
        assert!(same(json!({"protocol": "tcp"}), json!({"protocol": 6})));
        assert!(same(json!({"protocol": "TCP"}), json!({"protocol": "6"})));
        assert!(same(json!({"protocol": "icmpv6"}), json!({"protocol": "ipv6-icmp"})));
        assert!(same(json!({"protocol": "any"}), json!({})));
        assert!(same(json!({"remote_ip_prefix": "0.0.0.0/0"}), json!({})));
        assert!(same(json!({"ethertype": "ipv4"}), json!({"ethertype": "IPv4"})));
        assert!(same(json!({"description": "x"}), json!({"description": "y"})));
        assert!(!same(json!({"remote_ip_prefix": "10.0.0.0/24"}), json!({})));
        assert!(!same(json!({"protocol": "tcp"}), json!({"protocol": "udp"})));
        assert!(!same(json!({"ethertype": "IPv6"}), json!({})));
    }

    proptest! {
        /// Two rules are equal if what they let through is written alike, and only then.
        #[test]
        fn equal_rules_have_the_same_protocol_ports_and_prefix(
            one in (0u8..3, proptest::option::of((1u16..5, 0u16..3)), 0u8..3),
            other in (0u8..3, proptest::option::of((1u16..5, 0u16..3)), 0u8..3),
            words in proptest::prelude::any::<(bool, bool)>(),
        ) {
            let make = |(protocol, ports, prefix): (u8, Option<(u16, u16)>, u8), by_number: bool| {
                let protocol = match (protocol, by_number) {
                    (0, false) => json!("tcp"), (0, true) => json!(6),
                    (1, false) => json!("udp"), (1, true) => json!("17"),
                    (_, false) => json!("sctp"), (_, true) => json!("132"),
                };
                let prefix = match (prefix, by_number) {
                    (0, false) => json!(""), (0, true) => json!("0.0.0.0/0"),
                    (1, _) => json!("10.0.0.0/24"), _ => json!("10.0.1.0/24"),
                };
                let (min, max) = ports.map(|(min, more)| (min, min + more)).unzip();
                rule(json!({"protocol": protocol, "port_range_min": min, "port_range_max": max,
                    "remote_ip_prefix": prefix}))
            };
            let equal = equality(&make(one, words.0)) == equality(&make(other, words.1));
            prop_assert_eq!(equal, one == other);
        }
    }
}
