//! `/qos/policies`: what quality ports and networks are to have. They are kept as records.

use novella_common::{db::Connection, sql};
use novella_rest::{ApiError, Operation, Path, get};
use serde_json::{Value, json};

use super::qos_rules;
use crate::{
    Networking, Request,
    attributes::{
        Attribute,
        Otherwise::{Flag, Text},
        attribute,
        checks::{any, boolean, name},
    },
    errors::{conflict, missing},
    policy,
    resource::{self, About, Given, Resource, SharedAs, View, Wanted, Work, sharing},
};

crate::resource! {
    /// A policy.
    struct QosPolicy in "qos_policies" {
        name: String = attribute("name", name).given_or(Text("")).changed().filter().sort();
        description: String = attribute("description", name).given_or(Text("")).changed().filter();
        is_default: bool = attribute("is_default", boolean).given_or(Flag(false)).changed().filter();
    }
}

static QOS_POLICIES: About = About {
    one: "policy",
    many: "policies",
    collection: "/qos/policies",
    member: "/qos/policies/{policy_id}",
    tags: Some(("/qos/policies/{policy_id}/tags", "/qos/policies/{policy_id}/tags/{tag}")),
    missing: ("QosPolicyNotFound", "QoS policy ", " could not be found."),
    get: policy::GET_POLICY,
    create: policy::CREATE_POLICY,
    update: Some(policy::UPDATE_POLICY),
    delete: policy::DELETE_POLICY,
    quota: None,
    stamped: true,
    first_revision: 0,
    shared: Some(&SHARED),
};

pub(super) static SHARED: SharedAs = SharedAs::of("qos_policy");

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    let mut operations = resource::operations::<QosPolicy>();
    // Neutron has them here; its clients ask for them there.
    operations.extend(resource::tag_operations::<QosPolicy>(
        "/policies/{policy_id}/tags",
        "/policies/{policy_id}/tags/{tag}",
    ));
    operations.extend(qos_rules::operations());
    operations.extend([
        get("/qos/rule-types", policy::GET_RULE_TYPE, rule_types),
        get("/qos/rule-types/{rule_type}", policy::GET_RULE_TYPE, rule_type),
    ]);
    operations
}

impl Resource for QosPolicy {
    const ABOUT: &'static About = &QOS_POLICIES;
    const OTHERS: &'static [Attribute] =
        &[attribute("shared", boolean).given_or(Flag(false)).changed().filter(), attribute("rules", any)];

    async fn after_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        self.check_default(work).await
    }

    async fn before_update(&mut self, _: &Self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        self.check_default(work).await?;
        match given.flag("shared") {
            Some(true) => sharing::share(work, &SHARED, &self.id, &self.project_id).await,
            Some(false) => sharing::unshare(work, &SHARED, &self.id).await,
            None => Ok(()),
        }
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let used: Option<(String, String)> = sql!(
            "SELECT 'port', id FROM ports WHERE qos_policy_id = " (self.id)
            " UNION ALL SELECT 'network', id FROM networks WHERE qos_policy_id = " (self.id)
            " UNION ALL SELECT 'floatingip', id FROM floating_ips WHERE qos_policy_id = " (self.id) " LIMIT 1"
        )
        .fetch_optional(&mut work.transaction)
        .await?;
        if let Some((kind, id)) = used {
            return Err(conflict("QosPolicyInUse", format!("QoS Policy {} is used by {kind} {id}.", self.id)));
        }
        qos_rules::remove_of(&mut work.transaction, &self.id).await
    }

    async fn complete(
        rows: &[Self],
        views: &mut [View<'_>],
        wanted: &Wanted<'_>,
        _: &Request,
        connection: &mut Connection,
    ) -> Result<(), ApiError> {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut rules = match wanted.has("rules") {
            true => qos_rules::of_policies(connection, &ids).await?,
            false => std::collections::BTreeMap::new(),
        };
        for (row, view) in rows.iter().zip(views) {
            view.insert("rules", json!(rules.remove(&row.id).unwrap_or_default()));
        }
        Ok(())
    }
}

impl QosPolicy {
    /// At most one of a project is its default.
    async fn check_default(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        if !self.is_default {
            return Ok(());
        }
        let other: Option<String> = sql!(
            "SELECT id FROM qos_policies WHERE is_default AND project_id = " (self.project_id) " AND id <> " (self.id)
        )
        .fetch_optional(&mut work.transaction)
        .await?;
        match other {
            None => Ok(()),
            Some(other) => Err(conflict(
                "QoSPolicyDefaultAlreadyExists",
                format!("A default QoS policy exists for project {}: {other}.", self.project_id),
            )),
        }
    }
}

/// Checks that whoever asks may use a policy.
///
/// # Errors
/// 404.
pub(super) async fn check_policy(work: &mut Work<'_>, id: Option<&str>) -> Result<(), ApiError> {
    if let Some(id) = id {
        resource::find::<QosPolicy>(work.request, &mut work.transaction, id).await?;
    }
    Ok(())
}

async fn rule_types(_: Request) -> Result<axum::Json<Value>, ApiError> {
    let types: Vec<Value> = qos_rules::TYPES.iter().map(|name| json!({"type": name})).collect();
    Ok(axum::Json(json!({"rule_types": types})))
}

async fn rule_type(_: Request, Path(name): Path<String>) -> Result<axum::Json<Value>, ApiError> {
    if !qos_rules::TYPES.contains(&name.as_str()) {
        return Err(missing("QosRuleTypeNotFound", format!("QoS rule type {name} could not be found.")));
    }
    Ok(axum::Json(json!({"rule_type": {"type": name}})))
}
