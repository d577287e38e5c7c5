//! `/qos/policies/{id}/..._rules`: the rules of a QoS policy, of five kinds.

use std::collections::BTreeMap;

use novella_common::{
    db::{Connection, Sql, list::Condition},
    sql,
};
use novella_rest::{ApiError, Operation};
use serde_json::{Value, json};

use super::qos::QosPolicy;
use crate::{
    Networking, Request,
    attributes::{
        Fields as _,
        Otherwise::{Int, Text},
        attribute,
        checks::{Checked, Refusal, any, int, one_of, plain, range},
    },
    errors::{conflict, missing},
    policy,
    resource::{
        About, Given, Resource, Shown, View, Wanted, Whose, Work, bump, find, is_admin, look_up,
        parts::{self, Part},
        rows_by,
    },
};

/// The types of rules.
pub(super) const TYPES: [&str; 5] =
    ["bandwidth_limit", "dscp_marking", "minimum_bandwidth", "packet_rate_limit", "minimum_packet_rate"];

/// Larger numbers than these are none of a rule's.
const MOST: i64 = 2_147_483_647;

fn direction(value: &Value) -> Checked {
    one_of(value, &["ingress", "egress"])
}

fn direction_or_any(value: &Value) -> Checked {
    one_of(value, &["ingress", "egress", "any"])
}

/// Marks of differentiated services.
fn dscp_mark(value: &Value) -> Checked {
    let mark = int(value)?;
    match mark.as_i64() {
        Some(0 | 8..=16 | 18 | 20 | 22 | 24 | 26 | 28 | 30 | 32 | 34 | 36 | 38 | 40 | 44 | 46 | 48 | 56)
            if mark.as_i64().is_some_and(|mark| mark % 2 == 0) =>
        {
            Ok(mark)
        }
        _ => Err(Refusal::Reason(format!("{} is not in valid_values", plain(value)))),
    }
}

/// Describes one kind of rules.
macro_rules! rules {
    ($(#[$doc:meta])* $model:ident, $about:ident, $table:literal, $kind:literal,
     [$get:ident $create:ident $update:ident $delete:ident], { $($fields:tt)* }) => {
        crate::resource! {
            $(#[$doc])*
            struct $model in $table {
                policy_id: String = attribute("policy_id", any).hidden();
                $($fields)*
            }
        }

        static $about: About = About {
            one: concat!($kind, "_rule"),
            many: concat!($kind, "_rules"),
            collection: concat!("/qos/policies/{policy_id}/", $kind, "_rules"),
            member: concat!("/qos/policies/{policy_id}/", $kind, "_rules/{rule_id}"),
            tags: None,
            missing: ("QosRuleNotFound", "QoS rule ", " could not be found."),
            get: policy::$get,
            create: policy::$create,
            update: Some(policy::$update),
            delete: policy::$delete,
            quota: None,
            stamped: false,
            first_revision: 0,
            shared: None,
        };

        impl Part for $model {
            type Whole = QosPolicy;
            const OF: &'static str = "policy_id";

            fn whole(&self) -> &str {
                &self.policy_id
            }

            fn missing_in(whole: &str, id: &str) -> ApiError {
                missing("QosRuleNotFound", format!("QoS rule {id} for policy {whole} could not be found."))
            }
        }

        impl Resource for $model {
            const ABOUT: &'static About = &$about;

            fn visible(request: &Request) -> Option<Condition> {
                of_visible(request)
            }

            async fn whose(&self, _: &Request, connection: &mut Connection) -> Result<Whose, ApiError> {
                whose(connection, &self.policy_id, &self.project_id).await
            }

            async fn whose_new(
                given: &Given,
                request: &Request,
                connection: &mut Connection,
            ) -> Result<Whose, ApiError> {
                let policy = find::<QosPolicy>(request, connection, given.text("policy_id").unwrap_or_default()).await?;
                Ok(Whose { parent: Some(policy.project_id), ..Whose::of(given.project.clone()) })
            }

            async fn before_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
                let values = self.values();
                check_bandwidth(work, &self.policy_id, &values).await?;
                let others: Vec<Self> = rows_by(&mut work.transaction, "policy_id", [&self.policy_id]).await?;
                let same = |other: &&Self| other.values().get("direction") == values.get("direction");
                if let Some(other) = others.iter().find(same) {
                    return Err(conflict(
                        "QoSRulesConflict",
                        format!(
                            "Rule {} conflicts with rule {} which already exists in QoS Policy {}.",
                            $kind, other.id, self.policy_id
                        ),
                    ));
                }
                check_packet_rates(work, &self.policy_id, &self.id, &values).await?;
                bump::<QosPolicy>(&mut work.transaction, &self.policy_id, work.now).await
            }

            async fn before_update(
                &mut self,
                _: &Self,
                work: &mut Work<'_>,
                _: &Given,
            ) -> Result<(), ApiError> {
                let values = self.values();
                check_bandwidth(work, &self.policy_id, &values).await?;
                check_packet_rates(work, &self.policy_id, &self.id, &values).await?;
                bump::<QosPolicy>(&mut work.transaction, &self.policy_id, work.now).await
            }

            async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
                bump::<QosPolicy>(&mut work.transaction, &self.policy_id, work.now).await
            }

            async fn complete(
                _: &[Self],
                views: &mut [View<'_>],
                _: &Wanted<'_>,
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
    };
}

rules! {
    /// How much may pass.
    BandwidthLimitRule, BANDWIDTH_LIMIT_RULES, "qos_bandwidth_limit_rules", "bandwidth_limit",
    [GET_POLICY_BANDWIDTH_LIMIT_RULE CREATE_POLICY_BANDWIDTH_LIMIT_RULE UPDATE_POLICY_BANDWIDTH_LIMIT_RULE
     DELETE_POLICY_BANDWIDTH_LIMIT_RULE],
    {
        max_kbps: i64 = attribute("max_kbps", range::<0, MOST>).required().changed().filter().sort();
        max_burst_kbps: i64 = attribute("max_burst_kbps", range::<0, MOST>).given_or(Int(0)).changed().filter().sort();
        direction: String = attribute("direction", direction).given_or(Text("egress")).changed().sort();
    }
}

rules! {
    /// How packets are marked.
    DscpMarkingRule, DSCP_MARKING_RULES, "qos_dscp_marking_rules", "dscp_marking",
    [GET_POLICY_DSCP_MARKING_RULE CREATE_POLICY_DSCP_MARKING_RULE UPDATE_POLICY_DSCP_MARKING_RULE
     DELETE_POLICY_DSCP_MARKING_RULE],
    {
        dscp_mark: i64 = attribute("dscp_mark", dscp_mark).required().changed().filter().sort();
    }
}

rules! {
    /// How much must be able to pass.
    MinimumBandwidthRule, MINIMUM_BANDWIDTH_RULES, "qos_minimum_bandwidth_rules", "minimum_bandwidth",
    [GET_POLICY_MINIMUM_BANDWIDTH_RULE CREATE_POLICY_MINIMUM_BANDWIDTH_RULE UPDATE_POLICY_MINIMUM_BANDWIDTH_RULE
     DELETE_POLICY_MINIMUM_BANDWIDTH_RULE],
    {
        min_kbps: i64 = attribute("min_kbps", range::<0, MOST>).required().changed().filter().sort();
        direction: String = attribute("direction", direction).given_or(Text("egress")).changed().sort();
    }
}

rules! {
    /// How many packets may pass.
    PacketRateLimitRule, PACKET_RATE_LIMIT_RULES, "qos_packet_rate_limit_rules", "packet_rate_limit",
    [GET_POLICY_PACKET_RATE_LIMIT_RULE CREATE_POLICY_PACKET_RATE_LIMIT_RULE UPDATE_POLICY_PACKET_RATE_LIMIT_RULE
     DELETE_POLICY_PACKET_RATE_LIMIT_RULE],
    {
        max_kpps: i64 = attribute("max_kpps", range::<0, MOST>).required().changed().filter().sort();
        max_burst_kpps: i64 = attribute("max_burst_kpps", range::<0, MOST>).given_or(Int(0)).changed().filter().sort();
        direction: String = attribute("direction", direction).given_or(Text("egress")).changed().sort();
    }
}

rules! {
    /// How many packets must be able to pass.
    MinimumPacketRateRule, MINIMUM_PACKET_RATE_RULES, "qos_minimum_packet_rate_rules", "minimum_packet_rate",
    [GET_POLICY_MINIMUM_PACKET_RATE_RULE CREATE_POLICY_MINIMUM_PACKET_RATE_RULE UPDATE_POLICY_MINIMUM_PACKET_RATE_RULE
     DELETE_POLICY_MINIMUM_PACKET_RATE_RULE],
    {
        min_kpps: i64 = attribute("min_kpps", range::<0, MOST>).required().changed().filter().sort();
        direction: String = attribute("direction", direction_or_any).required().changed().sort();
    }
}

/// 409: a rule says the opposite of another.
fn contradiction(policy: &str, value: impl std::fmt::Display, kind: &str, other: impl std::fmt::Display) -> ApiError {
    conflict(
        "QoSRuleParameterConflict",
        format!(
            "Unable to add the rule with value {value} to the policy {policy} as the existing rule of type {kind} has value \
             {other}."
        ),
    )
}

/// 409 if less may pass than must be able to, in one direction.
async fn check_bandwidth(work: &mut Work<'_>, policy: &str, values: &View<'_>) -> Result<(), ApiError> {
    let number = |name: &str| values.get(name).and_then(Shown::as_i64);
    let same = |direction: &str| values.get("direction").and_then(Shown::as_str) == Some(direction);
    if let Some(most) = number("max_kbps") {
        let others: Vec<MinimumBandwidthRule> = rows_by(&mut work.transaction, "policy_id", [policy]).await?;
        if let Some(other) = others.iter().find(|other| same(&other.direction) && other.min_kbps > most) {
            return Err(contradiction(policy, most, "minimum_bandwidth", other.min_kbps));
        }
    }
    if let Some(least) = number("min_kbps") {
        let others: Vec<BandwidthLimitRule> = rows_by(&mut work.transaction, "policy_id", [policy]).await?;
        if let Some(other) = others.iter().find(|other| same(&other.direction) && other.max_kbps < least) {
            return Err(contradiction(policy, least, "bandwidth_limit", other.max_kbps));
        }
    }
    Ok(())
}

/// 409 if packets are counted in one direction and in both.
async fn check_packet_rates(work: &mut Work<'_>, policy: &str, id: &str, values: &View<'_>) -> Result<(), ApiError> {
    let (Some(_), Some(direction)) = (values.get("min_kpps"), values.get("direction").and_then(Shown::as_str)) else {
        return Ok(());
    };
    let others: Vec<MinimumPacketRateRule> = rows_by(&mut work.transaction, "policy_id", [policy]).await?;
    let other = others.iter().find(|other| other.id != id && (other.direction == "any") != (direction == "any"));
    match other {
        None => Ok(()),
        Some(other) => Err(contradiction(policy, direction, "minimum_packet_rate", &other.direction)),
    }
}

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    [
        parts::operations::<BandwidthLimitRule>(),
        parts::operations::<DscpMarkingRule>(),
        parts::operations::<MinimumBandwidthRule>(),
        parts::operations::<PacketRateLimitRule>(),
        parts::operations::<MinimumPacketRateRule>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Rules of policies that whoever asks may see.
fn of_visible(request: &Request) -> Option<Condition> {
    if is_admin(request) {
        return None;
    }
    let project = request.context.project_id.as_deref().unwrap_or_default();
    let mut sql = sql!("policy_id IN (SELECT id FROM qos_policies WHERE project_id = " (project) ") OR policy_id IN (");
    sql.append(crate::resource::shared_with(&super::qos::SHARED, project)).push(")");
    Some(Condition::raw(sql))
}

async fn whose(connection: &mut Connection, policy: &str, project: &str) -> Result<Whose, ApiError> {
    let policy = look_up::<QosPolicy>(connection, policy).await?;
    Ok(Whose { parent: policy.map(|policy| policy.project_id), ..Whose::of(project.to_owned()) })
}

/// What is shown of the rules of these policies.
pub(super) async fn of_policies(
    connection: &mut Connection,
    policies: &[&str],
) -> Result<BTreeMap<String, Vec<Value>>, ApiError> {
    async fn add<P: Part>(
        connection: &mut Connection,
        policies: &[&str],
        kind: &str,
        all: &mut BTreeMap<String, Vec<Value>>,
    ) -> Result<(), ApiError> {
        let rules: Vec<P> = rows_by(connection, "policy_id", policies).await?;
        for rule in rules {
            let mut view = rule.values();
            view.insert("id", json!(rule.id()));
            view.insert("type", json!(kind));
            view.insert("qos_policy_id", json!(rule.whole()));
            all.entry(rule.whole().to_owned()).or_default().push(json!(view));
        }
        Ok(())
    }
    let mut all = BTreeMap::new();
    let [bandwidth, dscp, minimum, packets, minimum_packets] = TYPES;
    add::<BandwidthLimitRule>(connection, policies, bandwidth, &mut all).await?;
    add::<DscpMarkingRule>(connection, policies, dscp, &mut all).await?;
    add::<MinimumBandwidthRule>(connection, policies, minimum, &mut all).await?;
    add::<PacketRateLimitRule>(connection, policies, packets, &mut all).await?;
    add::<MinimumPacketRateRule>(connection, policies, minimum_packets, &mut all).await?;
    Ok(all)
}

/// Deletes the rules of a policy.
pub(super) async fn remove_of(connection: &mut Connection, policy: &str) -> Result<(), ApiError> {
    for table in [
        "DELETE FROM qos_bandwidth_limit_rules WHERE policy_id = ",
        "DELETE FROM qos_dscp_marking_rules WHERE policy_id = ",
        "DELETE FROM qos_minimum_bandwidth_rules WHERE policy_id = ",
        "DELETE FROM qos_packet_rate_limit_rules WHERE policy_id = ",
        "DELETE FROM qos_minimum_packet_rate_rules WHERE policy_id = ",
    ] {
        Sql::new(table).bind(policy).execute(connection).await?;
    }
    Ok(())
}
