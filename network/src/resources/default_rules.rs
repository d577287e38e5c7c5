//! `/default-security-group-rules`: the rules that new groups begin with.

use novella_common::db::{Connection, list::Condition, table::select};
use novella_rest::{ApiError, Operation};
use serde_json::{Value, json};

use super::protocols;
use crate::{
    Networking, Request,
    attributes::{
        Otherwise::{Null, Text},
        attribute,
        checks::{self, boolean, name},
    },
    policy,
    resource::{self, About, Given, Resource, Work},
};

/// Of a rule for what comes from the group itself: the group is not known yet.
const ITSELF: &str = "PARENT";

crate::resource! {
    /// A rule that new groups begin with.
    struct DefaultRule in "default_security_group_rules" {
        direction: String = attribute("direction", direction).required().filter().sort();
        ethertype: String = attribute("ethertype", checks::text::<32>).given_or(Text("IPv4")).filter().sort();
        protocol: Option<String> = attribute("protocol", protocols::check).given_or(Null).filter();
        port_range_min: Option<i64> = attribute("port_range_min", checks::non_negative_or_null).given_or(Null).filter();
        port_range_max: Option<i64> = attribute("port_range_max", checks::non_negative_or_null).given_or(Null).filter();
        remote_ip_prefix: Option<String> = attribute("remote_ip_prefix", checks::cidr_or_null).given_or(Null).filter();
        remote_group_id: Option<String> = attribute("remote_group_id", checks::id_or_null).given_or(Null).filter();
        remote_address_group_id: Option<String> = attribute("remote_address_group_id", checks::id_or_null).given_or(Null).filter();
        description: String = attribute("description", name).given_or(Text("")).filter();
        used_in_default_sg: bool = attribute("used_in_default_sg", boolean).required().filter();
        used_in_non_default_sg: bool = attribute("used_in_non_default_sg", boolean).required().filter();
    }
}

static DEFAULT_RULES: About = About {
    one: "default_security_group_rule",
    many: "default_security_group_rules",
    collection: "/default-security-group-rules",
    member: "/default-security-group-rules/{default_security_group_rule_id}",
    tags: None,
    missing: ("DefaultSecurityGroupRuleNotFound", "Default Security Group rule ", " does not exist"),
    get: policy::GET_DEFAULT_SECURITY_GROUP_RULE,
    create: policy::CREATE_DEFAULT_SECURITY_GROUP_RULE,
    update: None,
    delete: policy::DELETE_DEFAULT_SECURITY_GROUP_RULE,
    quota: None,
    stamped: false,
    first_revision: 0,
    shared: None,
};

fn direction(value: &Value) -> checks::Checked {
    checks::one_of(value, &["ingress", "egress"])
}

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    resource::operations::<DefaultRule>()
}

impl Resource for DefaultRule {
    const ABOUT: &'static About = &DEFAULT_RULES;

    /// They are the cloud's.
    fn visible(_: &Request) -> Option<Condition> {
        None
    }

    async fn before_create(&mut self, _: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        self.protocol = protocols::meant(self.protocol.take(), &self.ethertype);
        (self.port_range_min, self.port_range_max) = protocols::meant_ports(self.port_range_min, self.port_range_max);
        Ok(())
    }

    async fn complete(
        _: &[Self],
        views: &mut [resource::View<'_>],
        _: &resource::Wanted<'_>,
        _: &Request,
        _: &mut Connection,
    ) -> Result<(), ApiError> {
        for view in views {
            view.remove("project_id");
            view.remove("tenant_id");
        }
        Ok(())
    }
}

impl DefaultRule {
    /// The rule that a group gets of it.
    pub(super) fn rule(&self, group: &str) -> Value {
        let remote = match self.remote_group_id.as_deref() {
            Some(ITSELF) => Some(group),
            other => other,
        };
        json!({
            "security_group_id": group, "direction": self.direction, "ethertype": self.ethertype,
            "protocol": self.protocol, "port_range_min": self.port_range_min, "port_range_max": self.port_range_max,
            "remote_ip_prefix": self.remote_ip_prefix, "remote_group_id": remote,
            "remote_address_group_id": self.remote_address_group_id,
        })
    }
}

/// Those for a project's default group, or for any other.
pub(super) async fn for_group(connection: &mut Connection, default: bool) -> Result<Vec<DefaultRule>, ApiError> {
    let mut sql = select::<DefaultRule>();
    sql.push(if default { " WHERE used_in_default_sg" } else { " WHERE used_in_non_default_sg" }).push(" ORDER BY id");
    Ok(sql.fetch_all(connection).await?)
}
