//! What can be asked of a list of servers.

use std::collections::BTreeSet;

use novella_common::{
    db::list::{Condition, Direction, SortKey},
    ids::InstanceUuid,
    lifecycle::{TaskState, VmState, server_status},
    networks::PortFilter,
    sql,
};
use novella_rest::{
    ApiError,
    list::{self, ListDescription, PAGED, nothing, own, sort, sort_ignored},
    policy::Rule,
    times, truth,
};

use super::view::ROOT_DEVICE;
use crate::{Request, compute::networking::failed, neighbours::caller, policy};

/// The filters that everybody may use count for everybody; the others for administrators only, and for others from 2.83 on
/// or never, as in Nova.
pub(super) static SERVERS: ListDescription = ListDescription {
    filters: &[
        own("all_tenants"),
        own("deleted").for_admins(),
        own("soft_deleted").for_admins(),
        own("status"),
        list::since("changes-since", "updated_at"),
        list::before("changes-before", "updated_at").since(66),
        list::text("user_id", "user_id").for_others_since(83),
        own("project_id").for_admins(),
        own("tenant_id").for_admins(),
        list::int("launch_index", "launch_index").for_admins(),
        list::text("image_ref", "image_ref").for_admins(),
        list::text("image", "image_ref"),
        list::matching_constant("kernel_id", "").for_admins(),
        list::matching_constant("ramdisk_id", "").for_admins(),
        list::matching("hostname", "hostname").for_others_since(90),
        list::matching("key_name", "key_name").for_others_since(83),
        list::matching_value("power_state", SortKey::int("power_state")).for_others_since(83),
        own("vm_state").for_others_since(83),
        own("task_state").for_others_since(83),
        list::text("host", "host").for_admins(),
        list::matching("node", "host").for_admins(),
        list::text("flavor", "(flavor ->> 'id')").regex(),
        list::matching("reservation_id", "reservation_id"),
        list::matching_value("launched_at", SortKey::time("launched_at")).for_others_since(83),
        list::matching_value("terminated_at", SortKey::time("terminated_at")).for_others_since(83),
        list::matching_value("created_at", CREATED_AT).for_others_since(83),
        list::matching("availability_zone", "availability_zone").for_others_since(83),
        list::matching("name", "name"),
        list::matching("display_name", "name").for_admins(),
        list::matching("description", "description").for_admins(),
        list::matching("display_description", "description").for_admins(),
        list::matching("locked_by", "locked_by").for_admins(),
        own("locked").since(73),
        list::uuid("uuid", "uuid").for_admins(),
        list::matching_constant("root_device_name", ROOT_DEVICE).for_admins(),
        own("config_drive").for_others_since(83).regex(),
        list::matching("access_ip_v4", "access_ip_v4").for_admins(),
        list::matching("access_ip_v6", "access_ip_v6").for_admins(),
        own("auto_disk_config").for_admins().regex(),
        list::matching_constant("progress", "0").for_others_since(83),
        own("ip").regex(),
        own("ip6").for_others_since(5).regex(),
        own("tags").since(26).regex(),
        own("tags-any").since(26).regex(),
        own("not-tags").since(26).regex(),
        own("not-tags-any").since(26).regex(),
    ],
    sort_keys: &[
        sort("created_at", CREATED_AT),
        sort("updated_at", SortKey::time("updated_at")),
        sort("launched_at", SortKey::time("launched_at").nullable()),
        sort("terminated_at", SortKey::time("terminated_at").nullable()),
        sort("display_name", SortKey::text("name")),
        sort("display_description", SortKey::text("description").nullable()),
        sort("hostname", SortKey::text("hostname")),
        sort("uuid", SortKey::uuid("uuid")),
        sort("project_id", SortKey::text("project_id")),
        sort("user_id", SortKey::text("user_id")),
        sort("image_ref", SortKey::text("image_ref").nullable()),
        sort("key_name", SortKey::text("key_name").nullable()),
        sort("launch_index", SortKey::int("launch_index")),
        sort("host", SortKey::text("host").nullable()),
        sort("node", SortKey::text("host").nullable()),
        sort("availability_zone", SortKey::text("availability_zone").nullable()),
        sort("vm_state", SortKey::text("vm_state")),
        sort("task_state", SortKey::text("task_state").nullable()),
        sort("power_state", SortKey::int("power_state")),
        sort("config_drive", SortKey::boolean("config_drive")),
        sort("access_ip_v4", SortKey::text("access_ip_v4").nullable()),
        sort("access_ip_v6", SortKey::text("access_ip_v6").nullable()),
        sort("auto_disk_config", SortKey::boolean("auto_disk_config")),
        sort_ignored("instance_type_id"),
        sort_ignored("kernel_id"),
        sort("locked_by", SortKey::text("locked_by").nullable()),
        sort_ignored("progress"),
        sort_ignored("ramdisk_id"),
        sort_ignored("root_device_name"),
        sort("locked", SortKey::text("locked_by").nullable()).since(73),
        // Columns of old that were never meant to be sorted by: ignored until 2.75.
        sort_ignored("locked").until(72),
        sort_ignored("architecture").until(74),
        sort_ignored("cell_name").until(74),
        sort_ignored("cleaned").until(74),
        sort_ignored("default_ephemeral_device").until(74),
        sort_ignored("default_swap_device").until(74),
        sort_ignored("deleted").until(74),
        sort_ignored("deleted_at").until(74),
        sort_ignored("disable_terminate").until(74),
        sort_ignored("ephemeral_gb").until(74),
        sort_ignored("ephemeral_key_uuid").until(74),
        sort_ignored("id").until(74),
        sort_ignored("key_data").until(74),
        sort_ignored("launched_on").until(74),
        sort_ignored("memory_mb").until(74),
        sort_ignored("os_type").until(74),
        sort_ignored("reservation_id").until(74),
        sort_ignored("root_gb").until(74),
        sort_ignored("shutdown_terminate").until(74),
        sort_ignored("user_data").until(74),
        sort_ignored("vcpus").until(74),
        sort_ignored("vm_mode").until(74),
    ],
    default_sort: &[(CREATED_AT, Direction::Descending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker: |marker| format!("marker [{marker}] not found"),
};

const CREATED_AT: SortKey = SortKey::time("created_at");

/// Names of joined tables, which old Novas let through to their database.
const FORBIDDEN: [&str; 7] =
    ["block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups", "pci_devices"];

/// The statuses that Nova has and this table of states does not.
const OTHER_STATUSES: [&str; 8] =
    ["REBUILD", "RESCUE", "RESIZE", "REVERT_RESIZE", "SHELVED", "SHELVED_OFFLOADED", "VERIFY_RESIZE", "UNKNOWN"];

/// What the query asks for beyond what a line of the description can say: conditions on the servers, with those that say
/// which servers the caller may see at all apart.
pub(super) struct Conditions {
    pub(super) visible: Vec<Condition>,
    pub(super) filters: Vec<Condition>,
}

/// Reads the filters that are the list's own.
///
/// # Errors
/// 400 that names the filter, 403 for what only administrators may ask for.
pub(super) fn conditions(request: &Request, all_projects: Rule) -> Result<Conditions, ApiError> {
    let query = &request.query;
    if let Some(name) = query.names().find(|name| name.starts_with('_') || FORBIDDEN.contains(name)) {
        return Err(ApiError::bad_request(format!("Invalid filter field: {name}.")));
    }
    let by_host = query.all("sort_key").find(|key| matches!(*key, "host" | "node"));
    if let Some(name) = by_host.filter(|_| !policy::SERVERS_ALL_FILTERS.allows_own(&request.context)) {
        return Err(ApiError::Forbidden(format!("Only administrators can sort servers by {name}")));
    }
    let filters = Filters(request);
    times::check_order(filters.time("changes-since")?, filters.time("changes-before")?)?;
    let mut conditions = Conditions { visible: Vec::new(), filters: Vec::new() };
    filters.projects(&mut conditions, all_projects)?;
    conditions.filters.extend(filters.states()?);
    for column in ["config_drive", "auto_disk_config"] {
        if let Some(text) = filters.get(column) {
            conditions.filters.push(Condition::equal(column, &truth(text).unwrap_or(false)));
        }
    }
    if let Some(locked) = filters.get("locked").and_then(truth) {
        conditions.filters.push(Condition::is_null("locked_by", !locked));
    }
    for name in ["tags", "tags-any", "not-tags", "not-tags-any"] {
        conditions.filters.extend(filters.get(name).map(|text| super::tags::condition(name, text)));
    }
    Ok(conditions)
}

/// `ip` and `ip6`: the servers whose ports have an address with that text in it, one of both if both are given.
///
/// # Errors
/// Networking can't be asked.
pub(super) async fn by_address(request: &Request) -> Result<Option<Condition>, ApiError> {
    let parts: Vec<&str> = ["ip", "ip6"].into_iter().filter_map(|name| request.filter_value(&SERVERS, name)).collect();
    if parts.is_empty() {
        return Ok(None);
    }
    let mut servers = BTreeSet::new();
    for part in parts {
        let filter = PortFilter::AddressPart(part.to_owned());
        let ports = request.state.networks.ports(caller(request), filter).await.map_err(failed)?;
        servers.extend(ports.iter().filter_map(|port| port.device_id.parse::<InstanceUuid>().ok()));
    }
    Ok(Some(match servers.is_empty() {
        true => nothing(),
        false => Condition::is_in("uuid", servers),
    }))
}

struct Filters<'r>(&'r Request);

impl<'r> Filters<'r> {
    /// A filter's value, if this caller may use it at this version.
    fn get(&self, name: &str) -> Option<&'r str> {
        self.0.filter_value(&SERVERS, name)
    }

    fn time(&self, name: &str) -> Result<Option<jiff::Timestamp>, ApiError> {
        match self.get(name) {
            Some(_) => times::filter(&self.0.query, name),
            None => Ok(None),
        }
    }

    fn projects(&self, conditions: &mut Conditions, all_projects: Rule) -> Result<(), ApiError> {
        let all = match self.0.query.get("all_tenants") {
            None => false,
            // `?all_tenants` alone asks for them too.
            Some("") => true,
            Some(text) => truth(text).ok_or_else(|| {
                ApiError::bad_request(format!("Invalid value '{text}' for \"all_tenants\" query parameter."))
            })?,
        };
        if !self.0.context.is_admin {
            conditions.visible.push(Condition::equal("project_id", self.0.project()?));
        }
        if all {
            all_projects.check_own(&self.0.context)?;
            let project = self.get("project_id").or_else(|| self.get("tenant_id"));
            conditions.filters.extend(project.map(|project| Condition::equal("project_id", project)));
        } else {
            conditions.filters.push(Condition::equal("project_id", self.0.project()?));
        }
        Ok(())
    }

    fn states(&self) -> Result<Vec<Condition>, ApiError> {
        let mut conditions = Vec::new();
        let changed = self.get("changes-since").is_some() || self.get("changes-before").is_some();
        let mut deleted = match self.get("deleted") {
            Some(text) => Some(truth(text) == Some(true)),
            None if changed => None,
            None => Some(false),
        };
        if let Some(text) = self.get("vm_state") {
            conditions.push(Condition::is_in("vm_state", text.parse::<VmState>().ok()));
        }
        if let Some(text) = self.get("task_state") {
            conditions.push(Condition::is_in("task_state", text.parse::<TaskState>().ok()));
        }
        // As in Nova, what was put aside is shown to administrators who ask for it, and among the deleted ones.
        let aside = match self.get("soft_deleted") {
            Some(text) => truth(text) == Some(true),
            None => deleted == Some(true),
        };
        let statuses: Vec<_> = self.0.query.all("status").map(str::to_ascii_uppercase).collect();
        if !statuses.is_empty() {
            conditions.extend(self.statuses(&statuses, &mut deleted)?);
        }
        let by_status = statuses.iter().any(|status| status == server_status(VmState::SoftDeleted, None));
        conditions.extend(match deleted {
            Some(true) if aside => Some(Condition::raw(sql!(
                "(deleted_at IS NOT NULL OR vm_state = " (VmState::SoftDeleted) ")"
            ))),
            deleted => deleted.map(|deleted| Condition::is_null("deleted_at", !deleted)),
        });
        if deleted == Some(false) && !aside && !by_status {
            conditions.push(Condition::raw(sql!("vm_state <> "(VmState::SoftDeleted))));
        }
        Ok(conditions)
    }

    /// `status` as states. As in Nova, a status that a `vm_state` has when nothing is under way covers everything that
    /// can be under way in it: ACTIVE finds a server that is being rebooted too.
    fn statuses(&self, statuses: &[String], deleted: &mut Option<bool>) -> Result<Vec<Condition>, ApiError> {
        let asked = |vm_state, task_state| statuses.iter().any(|status| status == server_status(vm_state, task_state));
        let mut vm_states = Vec::new();
        let (mut task_states, mut any_task) = (Vec::new(), false);
        for vm_state in VmState::ALL {
            let idle = asked(*vm_state, None);
            let busy: Vec<_> = TaskState::ALL.iter().filter(|task| asked(*vm_state, Some(**task))).collect();
            if idle || !busy.is_empty() {
                vm_states.push(*vm_state);
                any_task |= idle;
                task_states.extend(busy.into_iter().copied());
            }
        }
        if vm_states.is_empty() {
            let known = statuses.iter().any(|status| OTHER_STATUSES.contains(&status.as_str()));
            if !known && self.0.version.at_least(38) {
                return Err(ApiError::bad_request("Invalid status value"));
            }
            return Ok(vec![nothing()]);
        }
        if vm_states == [VmState::Deleted] {
            if !self.0.context.is_admin {
                return Err(ApiError::Forbidden("Only administrators may list deleted instances".into()));
            }
            *deleted = Some(true);
        }
        let mut conditions = vec![Condition::is_in("vm_state", vm_states)];
        if !any_task {
            conditions.push(Condition::is_in("task_state", task_states));
        }
        Ok(conditions)
    }
}
