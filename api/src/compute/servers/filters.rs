//! The query of a list of servers, read into what the database is asked.

use novella_common::{
    db::instances::list::{Deleted, InstanceQuery, Pattern, Sort, SortKey},
    ids::InstanceUuid,
    lifecycle::{PowerState, TaskState, VmState, server_status},
};
use novella_rest::{ApiError, FieldTable, Microversion, Parameters, field, policy::Rule, times, truth};

use crate::{Request, policy};

/// Every parameter that a list of servers knows. A filter's versions are those that take it at all.
pub(super) const QUERY: FieldTable = FieldTable(&[
    field("limit"),
    field("marker"),
    field("sort_key"),
    field("sort_dir"),
    field("all_tenants"),
    field("deleted"),
    field("soft_deleted"),
    field("status"),
    field("changes-since"),
    field("changes-before").since(66),
    field("user_id"),
    field("project_id"),
    field("tenant_id"),
    field("launch_index"),
    field("image_ref"),
    field("image"),
    field("kernel_id"),
    field("ramdisk_id"),
    field("hostname"),
    field("key_name"),
    field("power_state"),
    field("vm_state"),
    field("task_state"),
    field("host"),
    field("node"),
    field("flavor"),
    field("reservation_id"),
    field("launched_at"),
    field("terminated_at"),
    field("created_at"),
    field("availability_zone"),
    field("name"),
    field("display_name"),
    field("description"),
    field("display_description"),
    field("locked_by"),
    field("locked").since(73),
    field("uuid"),
    field("root_device_name"),
    field("config_drive"),
    field("access_ip_v4"),
    field("access_ip_v6"),
    field("auto_disk_config"),
    field("progress"),
    field("ip"),
    field("ip6"),
    field("tags").since(26),
    field("tags-any").since(26),
    field("not-tags").since(26),
    field("not-tags-any").since(26),
]);

/// The filters that everybody may use; the others count for administrators only, and are ignored for others, as in
/// Nova.
const FOR_EVERYBODY: FieldTable = FieldTable(&[
    field("reservation_id"),
    field("name"),
    field("status"),
    field("image"),
    field("flavor"),
    field("ip"),
    field("ip6").since(5),
    field("changes-since"),
    field("changes-before").since(66),
    field("tags").since(26),
    field("tags-any").since(26),
    field("not-tags").since(26),
    field("not-tags-any").since(26),
    field("locked").since(73),
    field("availability_zone").since(83),
    field("config_drive").since(83),
    field("key_name").since(83),
    field("created_at").since(83),
    field("launched_at").since(83),
    field("terminated_at").since(83),
    field("power_state").since(83),
    field("task_state").since(83),
    field("vm_state").since(83),
    field("progress").since(83),
    field("user_id").since(83),
]);

/// Names of joined tables, which old Novas let through to their database.
const FORBIDDEN: [&str; 7] =
    ["block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups", "pci_devices"];

/// The filters that are regular expressions in Nova, where an empty one is none.
const PATTERNS: [&str; 29] = [
    "kernel_id",
    "ramdisk_id",
    "hostname",
    "key_name",
    "power_state",
    "node",
    "flavor",
    "reservation_id",
    "launched_at",
    "terminated_at",
    "created_at",
    "availability_zone",
    "name",
    "display_name",
    "description",
    "display_description",
    "locked_by",
    "root_device_name",
    "config_drive",
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
    "progress",
    "ip",
    "ip6",
    "tags",
    "tags-any",
    "not-tags",
    "not-tags-any",
];

/// The statuses that Nova has and this table of states does not.
const OTHER_STATUSES: [&str; 10] = [
    "PASSWORD",
    "REBUILD",
    "RESCUE",
    "RESIZE",
    "REVERT_RESIZE",
    "SHELVED",
    "SHELVED_OFFLOADED",
    "SOFT_DELETED",
    "VERIFY_RESIZE",
    "UNKNOWN",
];

/// What a list is asked for. `None`: what nothing can fit.
pub(super) fn read(request: &Request, all_projects: Rule) -> Result<Option<InstanceQuery>, ApiError> {
    let (query, version) = (&request.query, request.version);
    if let Some(name) = query.names().find(|name| name.starts_with('_') || FORBIDDEN.contains(name)) {
        return Err(ApiError::bad_request(format!("Invalid filter field: {name}.")));
    }
    let empty = |name: &&str| QUERY.has(name, version) && query.all(name).any(str::is_empty);
    if let Some(name) = PATTERNS.iter().find(|name| empty(name)) {
        return Err(ApiError::bad_request(format!(
            "Invalid input for query parameters {name}. Value: . '' is not a 'regex'"
        )));
    }
    let filters = Filters { query, version, is_admin: request.context.is_admin };
    let mut wanted = InstanceQuery { sort: sort(request)?, ..Default::default() };
    let possible = filters.projects(&mut wanted, request, all_projects)?
        && filters.states(&mut wanted)?
        && filters.times(&mut wanted)?
        && filters.columns(&mut wanted)?
        && filters.what_is_not_kept()?;
    Ok(possible.then_some(wanted))
}

struct Filters<'q> {
    query: &'q Parameters,
    version: Microversion,
    is_admin: bool,
}

impl<'q> Filters<'q> {
    /// A filter's value, if this caller may use it at this version.
    fn get(&self, name: &str) -> Option<&'q str> {
        let counts = if self.is_admin { QUERY.has(name, self.version) } else { FOR_EVERYBODY.has(name, self.version) };
        self.query.get(name).filter(|_| counts)
    }

    /// Either of two names of one filter.
    fn either(&self, name: &str, alias: &str) -> Option<&'q str> {
        self.get(name).or_else(|| self.get(alias))
    }

    fn projects(&self, wanted: &mut InstanceQuery, request: &Request, all_projects: Rule) -> Result<bool, ApiError> {
        let all = match self.query.get("all_tenants") {
            None => false,
            // `?all_tenants` alone asks for them too.
            Some("") => true,
            Some(text) => truth(text).ok_or_else(|| {
                ApiError::bad_request(format!("Invalid value '{text}' for \"all_tenants\" query parameter."))
            })?,
        };
        wanted.user_id = self.get("user_id").map(ToOwned::to_owned);
        if all {
            all_projects.check_own(&request.context)?;
            wanted.project_id = self.either("project_id", "tenant_id").map(ToOwned::to_owned);
        } else {
            wanted.project_id = Some(request.project()?.to_owned());
        }
        Ok(true)
    }

    fn states(&self, wanted: &mut InstanceQuery) -> Result<bool, ApiError> {
        wanted.deleted = match self.get("deleted") {
            Some(text) if truth(text) == Some(true) => Deleted::Only,
            Some(_) => Deleted::Without,
            None if self.get("changes-since").is_some() || self.get("changes-before").is_some() => Deleted::Included,
            None => Deleted::Without,
        };
        if let Some(text) = self.get("vm_state") {
            wanted.vm_states = Some(text.parse().into_iter().collect());
        }
        if let Some(text) = self.get("task_state") {
            wanted.task_states = Some(text.parse().ok().map(Some).into_iter().collect());
        }
        if let Some(text) = self.get("power_state") {
            let number = text.parse::<i64>().ok().and_then(|number| PowerState::try_from(number).ok());
            let Some(state) = number else { return Ok(false) };
            wanted.power_state = Some(state);
        }
        let statuses: Vec<_> = self.query.all("status").map(str::to_ascii_uppercase).collect();
        if statuses.is_empty() {
            return Ok(true);
        }
        self.statuses(wanted, &statuses)
    }

    /// `status` as states. As in Nova, a status that a `vm_state` has when nothing is under way covers everything that
    /// can be under way in it: ACTIVE finds a server that is being rebooted too.
    fn statuses(&self, wanted: &mut InstanceQuery, statuses: &[String]) -> Result<bool, ApiError> {
        let asked = |vm_state, task_state| statuses.iter().any(|status| status == server_status(vm_state, task_state));
        let mut vm_states = Vec::new();
        let (mut task_states, mut any_task) = (Vec::new(), false);
        for vm_state in VmState::ALL {
            let idle = asked(*vm_state, None);
            let busy: Vec<_> = TaskState::ALL.iter().filter(|task| asked(*vm_state, Some(**task))).collect();
            if idle || !busy.is_empty() {
                vm_states.push(*vm_state);
                any_task |= idle;
                task_states.extend(busy.into_iter().map(|task| Some(*task)));
            }
        }
        if vm_states.is_empty() {
            let known = statuses.iter().any(|status| OTHER_STATUSES.contains(&status.as_str()));
            if !known && self.version.at_least(38) {
                return Err(ApiError::bad_request("Invalid status value"));
            }
            return Ok(false);
        }
        if vm_states == [VmState::Deleted] {
            if !self.is_admin {
                return Err(ApiError::Forbidden("Only administrators may list deleted instances".into()));
            }
            wanted.deleted = Deleted::Only;
        }
        wanted.vm_states = Some(vm_states);
        if !any_task {
            wanted.task_states = Some(task_states);
        }
        Ok(true)
    }

    fn times(&self, wanted: &mut InstanceQuery) -> Result<bool, ApiError> {
        let time = |name: &str| match self.get(name) {
            Some(_) => times::filter(self.query, name),
            None => Ok(None),
        };
        wanted.changes_since = time("changes-since")?;
        wanted.changes_before = time("changes-before")?;
        times::check_order(wanted.changes_since, wanted.changes_before)?;
        Ok(true)
    }

    fn columns(&self, wanted: &mut InstanceQuery) -> Result<bool, ApiError> {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        wanted.host = owned(self.either("host", "node"));
        wanted.image_ref = owned(self.either("image", "image_ref"));
        wanted.flavor_id = owned(self.get("flavor"));
        wanted.reservation_id = owned(self.get("reservation_id"));
        wanted.name = self.either("name", "display_name").map(|text| pattern("name", text)).transpose()?;
        wanted.description =
            self.either("description", "display_description").map(|text| pattern("description", text)).transpose()?;
        wanted.hostname = self.get("hostname").map(|text| pattern("hostname", text)).transpose()?;
        wanted.key_name = self.get("key_name").map(|text| pattern("key_name", text)).transpose()?;
        wanted.availability_zone =
            self.get("availability_zone").map(|text| pattern("availability_zone", text)).transpose()?;
        wanted.config_drive = self.get("config_drive").map(|text| truth(text).unwrap_or(false));
        if let Some(text) = self.get("uuid") {
            wanted.uuids = Some(text.parse::<InstanceUuid>().into_iter().collect());
        }
        if let Some(text) = self.get("launch_index") {
            let Ok(index) = text.parse() else { return Ok(false) };
            wanted.launch_index = Some(index);
        }
        Ok(true)
    }

    /// Filters by what no server here has: what asks for it finds nothing, what asks for its absence finds all.
    fn what_is_not_kept(&self) -> Result<bool, ApiError> {
        for name in ["launched_at", "terminated_at", "created_at"] {
            if self.get(name).is_some() {
                return Err(ApiError::bad_request(format!(
                    "Invalid filter field: {name}. Use changes-since, or sort by it."
                )));
            }
        }
        let nothing_has =
            ["ip", "ip6", "access_ip_v4", "access_ip_v6", "locked_by", "tags", "tags-any", "kernel_id", "ramdisk_id"];
        if nothing_has.iter().any(|name| self.get(name).is_some_and(|text| !text.is_empty())) {
            return Ok(false);
        }
        Ok(self.get("locked").and_then(truth) != Some(true) && self.get("soft_deleted").and_then(truth) != Some(true))
    }
}

/// A regular expression as far as filters use them: a text, at the beginning (`^`), at the end (`$`), or anywhere,
/// with `.*` at either end and backslashes before characters that would mean something.
fn pattern(name: &str, text: &str) -> Result<Pattern, ApiError> {
    let (text, start) = text.strip_prefix('^').map_or((text, false), |rest| (rest, true));
    let (text, end) = match text.strip_suffix('$') {
        Some(rest) if !rest.ends_with('\\') => (rest, true),
        _ => (text, false),
    };
    let (text, start) = text.strip_prefix(".*").map_or((text, start), |rest| (rest, false));
    let (text, end) = match text.strip_suffix(".*") {
        Some(rest) if !rest.ends_with('\\') => (rest, false),
        _ => (text, end),
    };
    let mut literal = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped) if !escaped.is_ascii_alphanumeric() => literal.push(escaped),
                _ => return Err(unserved_pattern(name, text)),
            },
            // A dot is left as it is: who writes one in a name means a dot.
            '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => {
                return Err(unserved_pattern(name, text));
            }
            other => literal.push(other),
        }
    }
    Ok(match (start, end) {
        (false, false) => Pattern::Contains(literal),
        (true, false) => Pattern::Prefix(literal),
        (false, true) => Pattern::Suffix(literal),
        (true, true) => Pattern::Exact(literal),
    })
}

fn unserved_pattern(name: &str, text: &str) -> ApiError {
    ApiError::bad_request(format!(
        "Invalid input for query parameters {name}. Value: {text}. Of regular expressions, ^ at the beginning, $ at \
         the end, .* at either and backslashes before other characters are understood."
    ))
}

/// Nova's sort keys; `None`: one that all servers here have the same value of.
fn sort_key(name: &str, version: Microversion) -> Option<Option<SortKey>> {
    Some(Some(match name {
        "created_at" => SortKey::CreatedAt,
        "updated_at" => SortKey::UpdatedAt,
        "launched_at" => SortKey::LaunchedAt,
        "terminated_at" => SortKey::TerminatedAt,
        "display_name" => SortKey::Name,
        "display_description" => SortKey::Description,
        "hostname" => SortKey::Hostname,
        "uuid" => SortKey::Uuid,
        "project_id" => SortKey::ProjectId,
        "user_id" => SortKey::UserId,
        "image_ref" => SortKey::ImageRef,
        "key_name" => SortKey::KeyName,
        "launch_index" => SortKey::LaunchIndex,
        "host" | "node" => SortKey::Host,
        "availability_zone" => SortKey::AvailabilityZone,
        "vm_state" => SortKey::VmState,
        "task_state" => SortKey::TaskState,
        "power_state" => SortKey::PowerState,
        "config_drive" => SortKey::ConfigDrive,
        "access_ip_v4" | "access_ip_v6" | "auto_disk_config" | "instance_type_id" | "kernel_id" | "locked_by"
        | "progress" | "ramdisk_id" | "root_device_name" => return Some(None),
        "locked" if version.at_least(73) => return Some(None),
        // Columns of old that were never meant to be sorted by: ignored until 2.75.
        "architecture"
        | "cell_name"
        | "cleaned"
        | "default_ephemeral_device"
        | "default_swap_device"
        | "deleted"
        | "deleted_at"
        | "disable_terminate"
        | "ephemeral_gb"
        | "ephemeral_key_uuid"
        | "id"
        | "key_data"
        | "launched_on"
        | "locked"
        | "memory_mb"
        | "os_type"
        | "reservation_id"
        | "root_gb"
        | "shutdown_terminate"
        | "user_data"
        | "vcpus"
        | "vm_mode"
            if version.before(75) =>
        {
            return Some(None);
        }
        _ => return None,
    }))
}

fn sort(request: &Request) -> Result<Vec<Sort>, ApiError> {
    let (query, version) = (&request.query, request.version);
    let descending = |text: &str| match text {
        "asc" => Ok(false),
        "desc" => Ok(true),
        other => Err(ApiError::bad_request(format!("Unknown sort direction '{other}', must be one of: asc, desc"))),
    };
    let directions: Vec<bool> = query.all("sort_dir").map(descending).collect::<Result<_, _>>()?;
    let mut keys: Vec<&str> = query.all("sort_key").collect();
    if keys.is_empty() {
        keys.push("created_at");
    }
    if directions.len() > keys.len() {
        return Err(ApiError::bad_request("Sort direction array size exceeds sort key array size."));
    }
    let mut sort = Vec::new();
    for (index, name) in keys.into_iter().enumerate() {
        // The first direction is that of all keys without their own.
        let descending = directions.get(index).or(directions.first()).copied().unwrap_or(true);
        let key = sort_key(name, version).ok_or_else(|| {
            ApiError::bad_request(format!("Invalid input for query parameters sort_key. Value: {name}."))
        })?;
        if key == Some(SortKey::Host) && !policy::SERVERS_ALL_FILTERS.allows(&request.context, None) {
            return Err(ApiError::Forbidden(format!("Only administrators can sort servers by {name}")));
        }
        sort.extend(key.map(|key| Sort { key, descending }));
    }
    Ok(sort)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn simple_regular_expressions_become_plain_comparisons() {
        let read = |text| pattern("name", text).ok();
        assert_eq!(read("web"), Some(Pattern::Contains("web".into())));
        assert_eq!(read("^web"), Some(Pattern::Prefix("web".into())));
        assert_eq!(read("web$"), Some(Pattern::Suffix("web".into())));
        assert_eq!(read("^web-1$"), Some(Pattern::Exact("web-1".into())));
        assert_eq!(read("^web.*$"), Some(Pattern::Prefix("web".into())));
        assert_eq!(read(".*"), Some(Pattern::Contains(String::new())));
        assert_eq!(read(r"^web\.1\$$"), Some(Pattern::Exact("web.1$".into())));
        assert_eq!(read("web[0-9]"), None);
        assert_eq!(read(r"web\d"), None);
    }

    proptest! {
        #[test]
        fn no_pattern_makes_the_reader_panic(text in ".{0,20}") {
            let _ = pattern("name", &text);
        }

        #[test]
        fn an_escaped_name_is_found_whole(name in "[a-zA-Z0-9 _.-]{1,20}") {
            let escaped: String = name
                .chars()
                .flat_map(|c| (!c.is_ascii_alphanumeric()).then_some('\\').into_iter().chain([c]))
                .collect();
            prop_assert_eq!(pattern("name", &format!("^{escaped}$")).ok(), Some(Pattern::Exact(name)));
        }
    }
}
