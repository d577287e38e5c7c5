//! Server groups, and which hosts they leave to their servers.
//!
//! Where a server is follows from its claims (see [`super::allocations`]): one that is being moved is on
//! both hosts. Who claims for a server of a group locks the group's row first ([`lock`]), groups in the order of their
//! ids and before any host, and reads after that what claims there are: so two claims at once can't both be the last
//! that the policy permits.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::{Connection, DbError, allocations};
use crate::{
    ids::InstanceUuid,
    models::{GroupPolicy, GroupRule, Resources, ServerGroup},
    sql, table,
};

table! {
    ServerGroup in "server_groups", key int "id";
    generated id;
    uuid, project_id, user_id, name, policy, max_server_per_host,
}

/// Puts new instances into a group.
pub async fn join(connection: &mut Connection, group: Uuid, instances: &[InstanceUuid]) -> Result<(), DbError> {
    sql!("UPDATE instances SET server_group = " (group) " WHERE uuid").is_in(instances).execute(connection).await?;
    Ok(())
}

/// The servers of each of these groups, deleted ones aside, oldest first.
pub async fn members(
    connection: &mut Connection,
    groups: impl IntoIterator<Item = Uuid>,
) -> Result<HashMap<Uuid, Vec<InstanceUuid>>, DbError> {
    let rows: Vec<(Uuid, InstanceUuid)> =
        sql!("SELECT server_group, uuid FROM instances WHERE deleted_at IS NULL AND server_group")
            .is_in(groups)
            .push(" ORDER BY created_at, uuid")
            .fetch_all(connection)
            .await?;
    let mut members = HashMap::<_, Vec<_>>::new();
    for (group, instance) in rows {
        members.entry(group).or_default().push(instance);
    }
    Ok(members)
}

/// How many servers a user has in a group, deleted ones aside.
pub async fn members_of_user(connection: &mut Connection, group: Uuid, user: &str) -> Result<i64, DbError> {
    sql!(
        "SELECT COUNT(*) FROM instances WHERE deleted_at IS NULL AND server_group = " (group)
        " AND user_id = " (user)
    )
    .fetch_one(connection)
    .await
}

/// The group that an instance is in.
pub async fn of(connection: &mut Connection, instance: InstanceUuid) -> Result<Option<Uuid>, DbError> {
    sql!("SELECT g.uuid FROM instances i JOIN server_groups g ON g.uuid = i.server_group WHERE i.uuid = "(instance))
        .fetch_optional(connection)
        .await
}

/// Locks a group's row until the transaction ends. Says whether there is such a group.
pub async fn lock(connection: &mut Connection, group: Uuid) -> Result<bool, DbError> {
    sql!("UPDATE server_groups SET name = name WHERE uuid = "(group)).execute_one(connection).await
}

/// The claims of these groups' servers: group, server, host.
pub(super) async fn claims(
    connection: &mut Connection,
    groups: impl IntoIterator<Item = Uuid>,
) -> Result<Vec<(Uuid, InstanceUuid, String)>, DbError> {
    sql!(
        "SELECT i.server_group, a.instance_uuid, a.host FROM instances i \
         JOIN allocations a ON a.instance_uuid = i.uuid WHERE i.deleted_at IS NULL AND i.server_group"
    )
    .is_in(groups)
    .fetch_all(connection)
    .await
}

/// The groups of some instances, and where the servers of these groups have claims.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    group_of: HashMap<InstanceUuid, Uuid>,
    states: HashMap<Uuid, GroupState>,
}

#[derive(Clone, Debug)]
struct GroupState {
    policy: GroupPolicy,
    max_server_per_host: Option<i64>,
    claims: BTreeSet<(InstanceUuid, String)>,
}

impl Groups {
    /// Reads the groups of these instances, in two queries; in none for no instance.
    pub async fn load(connection: &mut Connection, instances: &[InstanceUuid]) -> Result<Self, DbError> {
        let mut groups = Self::default();
        groups.read_groups(connection, instances).await?;
        groups.read_claims(connection).await?;
        Ok(groups)
    }

    /// The same with the groups locked until the transaction ends.
    pub async fn locked(connection: &mut Connection, instances: &[InstanceUuid]) -> Result<Self, DbError> {
        let mut groups = Self::default();
        groups.read_groups(connection, instances).await?;
        let in_order: BTreeSet<Uuid> = groups.states.keys().copied().collect();
        for group in in_order {
            if !lock(connection, group).await? {
                groups.states.remove(&group);
            }
        }
        groups.read_claims(connection).await?;
        Ok(groups)
    }

    async fn read_groups(&mut self, connection: &mut Connection, instances: &[InstanceUuid]) -> Result<(), DbError> {
        if instances.is_empty() {
            return Ok(());
        }
        let rows: Vec<(InstanceUuid, Uuid, GroupPolicy, Option<i64>)> = sql!(
            "SELECT i.uuid, g.uuid, g.policy, g.max_server_per_host FROM instances i \
             JOIN server_groups g ON g.uuid = i.server_group WHERE i.uuid"
        )
        .is_in(instances)
        .fetch_all(connection)
        .await?;
        for (instance, group, policy, max_server_per_host) in rows {
            self.group_of.insert(instance, group);
            self.states.insert(group, GroupState { policy, max_server_per_host, claims: BTreeSet::new() });
        }
        Ok(())
    }

    async fn read_claims(&mut self, connection: &mut Connection) -> Result<(), DbError> {
        if self.states.is_empty() {
            return Ok(());
        }
        for (group, instance, host) in claims(connection, self.states.keys().copied()).await? {
            if let Some(state) = self.states.get_mut(&group) {
                state.claims.insert((instance, host));
            }
        }
        Ok(())
    }

    /// What the instance's group says of hosts; nothing, if it is in none.
    #[must_use]
    pub fn rule(&self, instance: InstanceUuid) -> Option<GroupRule> {
        let GroupState { policy, max_server_per_host, claims } = self.states.get(self.group_of.get(&instance)?)?;
        let mut others = HashMap::new();
        for (_, host) in claims.iter().filter(|(other, _)| *other != instance) {
            *others.entry(host.clone()).or_insert(0) += 1;
        }
        Some(GroupRule { policy: *policy, max_server_per_host: *max_server_per_host, others })
    }

    /// Claims `resources` on `host` for `instance`, if its group permits the host and there is room. Says whether so; if
    /// not, nothing is changed. The groups must be [`Groups::locked`].
    pub async fn claim(
        &mut self,
        connection: &mut Connection,
        instance: InstanceUuid,
        host: &str,
        resources: Resources,
    ) -> Result<bool, DbError> {
        let permitted = self.rule(instance).is_none_or(|rule| rule.permits(host));
        if !permitted || !allocations::claim(connection, instance, host, resources).await? {
            return Ok(false);
        }
        self.claimed(instance, host);
        Ok(true)
    }

    /// Counts a claim that is decided and not read yet.
    pub fn claimed(&mut self, instance: InstanceUuid, host: &str) {
        let state = self.group_of.get(&instance).and_then(|group| self.states.get_mut(group));
        if let Some(state) = state {
            state.claims.insert((instance, host.to_owned()));
        }
    }
}
