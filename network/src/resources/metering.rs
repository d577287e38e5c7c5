//! `/metering`: labels, and the rules that say which traffic counts for one. They are kept as records.

use ipnet::IpNet;
use novella_common::{
    db::{Connection, list::Condition},
    sql,
};
use novella_rest::{ApiError, Operation};
use serde_json::Value;

use crate::{
    Networking, Request,
    addresses::overlap,
    attributes::{
        Attribute,
        Otherwise::{Flag, Null, Text},
        attribute,
        checks::{Checked, boolean, cidr_or_null, name, one_of, uuid},
    },
    errors::{conflict, refused},
    policy,
    resource::{self, About, Given, Resource, SharedAs, View, Wanted, Work, find, is_admin, rows_by},
};

crate::resource! {
    /// A label.
    struct MeteringLabel in "metering_labels" {
        name: String = attribute("name", name).given_or(Text("")).filter().sort();
        description: String = attribute("description", name).given_or(Text("")).filter();
    }
}

crate::resource! {
    /// Which traffic counts for a label.
    struct MeteringLabelRule in "metering_label_rules" {
        metering_label_id: String = attribute("metering_label_id", uuid).required().filter().sort();
        direction: String = attribute("direction", direction).given_or(Text("ingress")).filter().sort();
        excluded: bool = attribute("excluded", boolean).given_or(Flag(false)).filter().sort();
        remote_ip_prefix: Option<String> = attribute("remote_ip_prefix", cidr_or_null).given_or(Null).filter()
            .sort_nullable();
        source_ip_prefix: Option<String> = attribute("source_ip_prefix", cidr_or_null).given_or(Null).filter();
        destination_ip_prefix: Option<String> = attribute("destination_ip_prefix", cidr_or_null).given_or(Null).filter();
    }
}

fn direction(value: &Value) -> Checked {
    one_of(value, &["ingress", "egress"])
}

static LABELS: About = About {
    one: "metering_label",
    many: "metering_labels",
    collection: "/metering/metering-labels",
    member: "/metering/metering-labels/{label_id}",
    tags: None,
    missing: ("MeteringLabelNotFound", "Metering label '", "' does not exist."),
    get: policy::GET_METERING_LABEL,
    create: policy::CREATE_METERING_LABEL,
    update: None,
    delete: policy::DELETE_METERING_LABEL,
    quota: None,
    stamped: false,
    first_revision: 0,
    shared: Some(&SHARED),
};

static SHARED: SharedAs = SharedAs::of("metering_label");

static RULES: About = About {
    one: "metering_label_rule",
    many: "metering_label_rules",
    collection: "/metering/metering-label-rules",
    member: "/metering/metering-label-rules/{rule_id}",
    tags: None,
    missing: ("MeteringLabelRuleNotFound", "Metering label rule '", "' does not exist."),
    get: policy::GET_METERING_LABEL_RULE,
    create: policy::CREATE_METERING_LABEL_RULE,
    update: None,
    delete: policy::DELETE_METERING_LABEL_RULE,
    quota: None,
    stamped: false,
    first_revision: 0,
    shared: None,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    let mut operations = resource::operations::<MeteringLabel>();
    operations.extend(resource::operations::<MeteringLabelRule>());
    operations
}

impl Resource for MeteringLabel {
    const ABOUT: &'static About = &LABELS;
    const OTHERS: &'static [Attribute] = &[attribute("shared", boolean).given_or(Flag(false)).filter()];

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        sql!("DELETE FROM metering_label_rules WHERE metering_label_id = "(self.id))
            .execute(&mut work.transaction)
            .await?;
        Ok(())
    }
}

impl Resource for MeteringLabelRule {
    const ABOUT: &'static About = &RULES;

    fn visible(request: &Request) -> Option<Condition> {
        if is_admin(request) {
            return None;
        }
        let project = request.context.project_id.as_deref().unwrap_or_default();
        Some(Condition::raw(sql!(
            "project_id = " (project) " OR metering_label_id IN (SELECT id FROM metering_labels WHERE project_id = "
            (project) ")"
        )))
    }

    async fn before_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        let label = find::<MeteringLabel>(work.request, &mut work.transaction, &self.metering_label_id).await?;
        let prefixes = [&self.remote_ip_prefix, &self.source_ip_prefix, &self.destination_ip_prefix];
        if prefixes.iter().all(|prefix| prefix.is_none()) {
            return Err(refused(
                "Invalid",
                "You must define at least one of the following parameters 'remote_ip_prefix', or 'source_ip_prefix' or \
                 'destination_ip_prefix'.",
            ));
        }
        let others: Vec<Self> = rows_by(&mut work.transaction, "metering_label_id", [&label.id]).await?;
        let block = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<IpNet>().ok());
        for other in others.iter().filter(|other| other.direction == self.direction) {
            let both = block(&self.remote_ip_prefix).zip(block(&other.remote_ip_prefix));
            if both.is_some_and(|(one, other)| overlap(&one, &other)) {
                return Err(conflict(
                    "MeteringLabelRuleOverlaps",
                    format!(
                        "Metering label rule with remote_ip_prefix '{}' overlaps another.",
                        self.remote_ip_prefix.as_deref().unwrap_or_default()
                    ),
                ));
            }
        }
        Ok(())
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
