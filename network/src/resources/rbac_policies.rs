//! `/rbac-policies`: what is shared with whom.

use novella_common::{
    db::{Connection, list::Condition},
    sql,
};
use novella_rest::{ApiError, Operation};
use serde_json::Value;

use super::{
    address_groups::AddressGroup, address_scopes::AddressScope, networks::Network, qos::QosPolicy,
    security_groups::SecurityGroup, subnet_pools::SubnetPool,
};
use crate::{
    Networking, Request,
    attributes::{
        attribute,
        checks::{Checked, Refusal, plain, text, uuid},
    },
    errors::{conflict, disallowed, refused},
    policy,
    resource::{self, About, Given, Resource, Work, find, is_admin, look_up},
};

crate::resource! {
    /// A policy of sharing.
    struct RbacPolicy in "network_rbac" {
        object_type: String = attribute("object_type", object_type).required().filter();
        object_id: String = attribute("object_id", uuid).required().filter();
        action: String = attribute("action", text::<255>).required().filter();
        target_project: String = attribute("target_tenant", text::<255>).required().changed().filter();
    }
}

static RBAC_POLICIES: About = About {
    one: "rbac_policy",
    many: "rbac_policies",
    collection: "/rbac-policies",
    member: "/rbac-policies/{rbac_policy_id}",
    tags: None,
    missing: ("RbacPolicyNotFound", "RBAC policy of type ", " not found"),
    get: policy::GET_RBAC_POLICY,
    create: policy::CREATE_RBAC_POLICY,
    update: Some(policy::UPDATE_RBAC_POLICY),
    delete: policy::DELETE_RBAC_POLICY,
    quota: Some("rbac_policy"),
    stamped: false,
    first_revision: 0,
    shared: None,
};

/// What can be shared.
const TYPES: [&str; 6] = ["address_group", "address_scope", "network", "qos_policy", "security_group", "subnetpool"];

fn object_type(value: &Value) -> Checked {
    if value.as_str().is_some_and(|kind| TYPES.contains(&kind)) {
        return Ok(value.clone());
    }
    Err(Refusal::Convert(format!("'{}' is not a valid RBAC object type", plain(value))))
}

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    resource::operations::<RbacPolicy>()
}

impl Resource for RbacPolicy {
    const ABOUT: &'static About = &RBAC_POLICIES;

    fn missing(id: &str) -> ApiError {
        crate::errors::missing("RbacPolicyNotFound", format!("RBAC policy of type unknown with ID {id} not found"))
    }

    async fn before_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        self.check_everybody(work, "create_rbac_policy")?;
        let valid: &[&str] = match self.object_type.as_str() {
            "network" => &["access_as_shared", "access_as_external"],
            _ => &["access_as_shared"],
        };
        if !valid.contains(&self.action.as_str()) {
            let valid: Vec<String> = valid.iter().map(|action| format!("'{action}'")).collect();
            return Err(refused(
                "InvalidActionForType",
                format!(
                    "Invalid action '{}' for object type '{}'. Valid actions: ({}{})",
                    self.action,
                    self.object_type,
                    valid.join(", "),
                    if valid.len() == 1 { "," } else { "" }
                ),
            ));
        }
        let owner = self.owner(work).await?;
        if !is_admin(work.request) && owner != work.own_project() {
            return Err(refused(
                "RbacPolicyInitError",
                format!("RBAC policies of type {} can only be created by the object owner", self.object_type),
            ));
        }
        if self.action == "access_as_external" {
            sql!("UPDATE networks SET external = " (true) " WHERE id = " (self.object_id))
                .execute(&mut work.transaction)
                .await?;
        }
        Ok(())
    }

    async fn write(&self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        let mut sql = novella_common::db::table::insert_into(std::slice::from_ref(self));
        sql.push(" ON CONFLICT (object_id, target_project, action) DO NOTHING");
        if sql.execute_one(&mut work.transaction).await? {
            return Ok(());
        }
        Err(self.duplicate())
    }

    async fn before_update(&mut self, old: &Self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        self.check_everybody(work, "update_rbac_policy")?;
        let other: Option<String> = sql!(
            "SELECT id FROM network_rbac WHERE object_id = " (self.object_id) " AND action = " (self.action)
            " AND target_project = " (self.target_project) " AND id <> " (self.id)
        )
        .fetch_optional(&mut work.transaction)
        .await?;
        if other.is_some() {
            return Err(self.duplicate());
        }
        if self.target_project != old.target_project {
            old.check_unused(work).await?;
        }
        Ok(())
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        self.check_unused(work).await?;
        if self.action == "access_as_external" {
            sql!(
                "UPDATE networks SET external = " (false) " WHERE id = " (self.object_id)
                " AND NOT EXISTS (SELECT 1 FROM network_rbac WHERE object_id = " (self.object_id) " AND action = "
                (self.action) " AND id <> " (self.id) ")"
            )
            .execute(&mut work.transaction)
            .await?;
        }
        Ok(())
    }

    fn filter(_: &Request, _: &str, _: &[&str]) -> Result<Option<Condition>, ApiError> {
        Ok(None)
    }
}

impl RbacPolicy {
    fn duplicate(&self) -> ApiError {
        conflict("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
    }

    /// Only administrators share with everybody.
    fn check_everybody(&self, work: &Work<'_>, rule: &str) -> Result<(), ApiError> {
        if self.target_project != "*" || is_admin(work.request) {
            return Ok(());
        }
        Err(disallowed(&format!("(rule:{rule} and rule:{rule}:target_tenant)")))
    }

    /// Whose the object is.
    async fn owner(&self, work: &mut Work<'_>) -> Result<String, ApiError> {
        let (request, connection, id) = (work.request, &mut work.transaction as &mut Connection, &self.object_id);
        Ok(match self.object_type.as_str() {
            "network" => find::<Network>(request, connection, id).await?.project_id,
            "security_group" => find::<SecurityGroup>(request, connection, id).await?.project_id,
            "address_group" => find::<AddressGroup>(request, connection, id).await?.project_id,
            "address_scope" => find::<AddressScope>(request, connection, id).await?.project_id,
            "qos_policy" => find::<QosPolicy>(request, connection, id).await?.project_id,
            _ => find::<SubnetPool>(request, connection, id).await?.project_id,
        })
    }

    /// 409 while others use what they have by it.
    async fn check_unused(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let (object, target) = (&self.object_id, &self.target_project);
        let connection = &mut work.transaction;
        let owner = match self.object_type.as_str() {
            "network" => look_up::<Network>(connection, object).await?.map(|network| network.project_id),
            "security_group" => look_up::<SecurityGroup>(connection, object).await?.map(|group| group.project_id),
            _ => return Ok(()),
        };
        let owner = owner.unwrap_or_default();
        let mut sql = match (self.object_type.as_str(), self.action.as_str()) {
            ("network", "access_as_shared") => sql!("SELECT p.id FROM ports p WHERE p.network_id = "(object)),
            ("network", _) => sql!(
                "SELECT r.id FROM routers r JOIN ports p ON p.id = r.gateway_port_id WHERE r.gateway_network_id = "(
                    object
                )
            ),
            _ => sql!("SELECT p.id FROM ports p JOIN port_security_groups g ON g.port_id = p.id WHERE g.group_id = "(
                object
            )),
        };
        let column = if self.action == "access_as_external" { " AND r.project_id" } else { " AND p.project_id" };
        if target == "*" {
            // Those who have a policy of their own keep it.
            sql.push(column).push(" <> ").bind(&owner).push(column).push(" <> ").bind("");
            sql.push(column).push(" NOT IN (SELECT target_project FROM network_rbac WHERE object_id = ").bind(object);
            sql.push(" AND action = ").bind(&self.action).push(" AND target_project <> ").bind("*").push(")");
        } else {
            let all: Option<String> = sql!(
                "SELECT id FROM network_rbac WHERE object_id = " (object) " AND action = " (self.action)
                " AND target_project = " ("*")
            )
            .fetch_optional(connection)
            .await?;
            if all.is_some() {
                return Ok(());
            }
            sql.push(column).push(" = ").bind(target);
        }
        let used: Option<String> = sql.push(" LIMIT 1").fetch_optional(connection).await?;
        match used {
            None => Ok(()),
            Some(used) => Err(conflict(
                "RbacPolicyInUse",
                format!(
                    "RBAC policy on object {object} cannot be removed because other objects depend on it.\nDetails: \
                     Callback failed with \"{used}\""
                ),
            )),
        }
    }
}
