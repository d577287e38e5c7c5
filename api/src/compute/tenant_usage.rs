//! `/os-simple-tenant-usage`: what projects have used in a period, by their servers' hours.

use axum::{Json, response::Response};
use jiff::{SignedDuration, Timestamp};
use novella_common::{
    db::list::{Condition, Direction, SortKey},
    models::Instance,
    sql,
};
use novella_rest::{
    ApiError, Operation, Path, field, get,
    list::{ListDescription, Rows, own},
    times::{self, Micros},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Request, policy, state::Api};

const COLLECTION: &str = "os-simple-tenant-usage";

/// The usage of all projects, project by project.
static ALL: ListDescription = ListDescription { filters: &[own("start"), own("end"), own("detailed")], ..OF_PROJECT };

/// The usage of one.
static ONE: ListDescription = OF_PROJECT;

const OF_PROJECT: ListDescription = ListDescription {
    filters: &[own("start"), own("end")],
    sort_keys: &[],
    default_sort: &[(SortKey::text("project_id"), Direction::Ascending)],
    paging: &[field("limit").since(40), field("marker").since(40)],
    marker: |_| None,
    no_marker: |marker| format!("Marker {marker} could not be found."),
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/os-simple-tenant-usage", policy::TENANT_USAGE_LIST, index)
            .list(&ALL, 75)
            .answers_list::<Usage>("tenant_usages"),
        get("/os-simple-tenant-usage/{project_id}", policy::TENANT_USAGE_SHOW, show)
            .list(&ONE, 75)
            .answers::<Usage>("tenant_usage"),
    ]
}

/// What a project has used.
#[derive(Serialize, ToSchema)]
struct Usage<'i> {
    tenant_id: &'i str,
    start: Micros,
    stop: Micros,
    total_hours: f64,
    total_vcpus_usage: f64,
    total_memory_mb_usage: f64,
    total_local_gb_usage: f64,
    /// Where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_usages: Option<Vec<ServerUsage<'i>>>,
}

/// What one server has used.
#[derive(Serialize, ToSchema)]
struct ServerUsage<'i> {
    instance_id: Uuid,
    name: &'i str,
    tenant_id: &'i str,
    flavor: &'i str,
    hours: f64,
    vcpus: i64,
    memory_mb: i64,
    local_gb: i64,
    started_at: Option<Micros>,
    ended_at: Option<Micros>,
    state: &'static str,
    uptime: i64,
}

/// From when to when usage is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Period {
    start: Timestamp,
    stop: Timestamp,
}

impl Period {
    /// As the query says it: from now, until now, where it says nothing. What is to come is not used yet.
    fn of(request: &Request, now: Timestamp) -> Result<Self, ApiError> {
        let at = |name: &str| match request.query.get(name).filter(|text| !text.is_empty()) {
            None => Ok(now),
            Some(text) => times::parse(text)
                .ok_or_else(|| ApiError::bad_request("Invalid datetime string: Datetime is in invalid format")),
        };
        let (start, stop) = (at("start")?, at("end")?);
        if start > stop || (start == stop && start != now) {
            return Err(ApiError::bad_request("Invalid start time. The start time cannot occur after the end time."));
        }
        Ok(Self { start, stop: stop.min(now) })
    }

    /// How much of it a server has run.
    fn hours(self, launched_at: Option<Timestamp>, terminated_at: Option<Timestamp>) -> f64 {
        const SECONDS: f64 = 3600.0;
        let Some(launched_at) = launched_at else { return 0.0 };
        let from = launched_at.max(self.start);
        let until = terminated_at.map_or(self.stop, |end| end.min(self.stop));
        until.duration_since(from).max(SignedDuration::ZERO).as_secs_f64() / SECONDS
    }

    /// Servers that ran in it.
    fn condition(self) -> Condition {
        Condition::raw(sql!(
            "launched_at IS NOT NULL AND launched_at < " (self.stop) " AND (terminated_at IS NULL OR terminated_at > "
            (self.start) ")"
        ))
    }
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let period = Period::of(&request, now)?;
    // As by Nova, the first of several.
    let detailed = request.query.all("detailed").next() == Some("1");
    let found = page(&request, &ALL, period, None).await?;
    let usages = usages(&found.items, period, now, detailed);
    let next = request.next_link(&found, COLLECTION, |instance| instance.uuid.to_string());
    Ok(request.answer(&novella_rest::FieldTable(&[])).list("tenant_usages", &usages, next))
}

async fn show(request: Request, Path(project): Path<String>) -> Result<Json<Map<String, Value>>, ApiError> {
    policy::TENANT_USAGE_SHOW.check(&request.context, Some(&project))?;
    let now = Timestamp::now();
    let period = Period::of(&request, now)?;
    let found = page(&request, &ONE, period, Some(&project)).await?;
    let usage = usages(&found.items, period, now, true).pop();
    // An empty object, where there is none.
    let usage = usage.map_or_else(|| json!({}), |usage| json!(usage));
    let mut answer = Map::from_iter([("tenant_usage".to_owned(), usage)]);
    let collection = format!("{COLLECTION}/{project}");
    let next = request.next_link(&found, &collection, |instance| instance.uuid.to_string());
    answer.extend(next.map(|next| ("tenant_usage_links".to_owned(), json!([next]))));
    Ok(Json(answer))
}

async fn page(
    request: &Request,
    description: &ListDescription,
    period: Period,
    project: Option<&str>,
) -> Result<Rows<Instance>, ApiError> {
    let mut listing = request.list::<Instance>(description)?.filter(period.condition());
    if let Some(project) = project {
        listing = listing.visible(Condition::equal("project_id", project));
    }
    listing.page(&mut *request.state.database.read().await?).await
}

/// By project, in the order in which they come.
fn usages(instances: &[Instance], period: Period, now: Timestamp, detailed: bool) -> Vec<Usage<'_>> {
    let mut usages: Vec<Usage<'_>> = Vec::new();
    for instance in instances {
        let used = server_usage(instance, period, now);
        if usages.last().is_none_or(|usage| usage.tenant_id != instance.project_id) {
            usages.push(Usage {
                tenant_id: &instance.project_id,
                start: Micros(period.start),
                stop: Micros(period.stop),
                total_hours: 0.0,
                total_vcpus_usage: 0.0,
                total_memory_mb_usage: 0.0,
                total_local_gb_usage: 0.0,
                server_usages: detailed.then(Vec::new),
            });
        }
        let Some(usage) = usages.last_mut() else { continue };
        // Exact for all sizes that occur: an f64 holds integers up to 2^53.
        #[allow(clippy::cast_precision_loss)]
        let hours_of = |amount: i64| amount as f64 * used.hours;
        usage.total_hours += used.hours;
        usage.total_vcpus_usage += hours_of(used.vcpus);
        usage.total_memory_mb_usage += hours_of(used.memory_mb);
        usage.total_local_gb_usage += hours_of(used.local_gb);
        if let Some(servers) = &mut usage.server_usages {
            servers.push(used);
        }
    }
    usages
}

fn server_usage(instance: &Instance, period: Period, now: Timestamp) -> ServerUsage<'_> {
    let flavor = &instance.flavor;
    let ended = instance.terminated_at;
    let lived = instance.launched_at.map(|launched| ended.unwrap_or(now).duration_since(launched).as_secs());
    ServerUsage {
        instance_id: instance.uuid.0,
        name: &instance.name,
        tenant_id: &instance.project_id,
        flavor: &flavor.name,
        hours: period.hours(instance.launched_at, ended),
        vcpus: flavor.vcpus,
        memory_mb: flavor.memory_mb,
        local_gb: flavor.disk_gb + flavor.ephemeral_gb,
        started_at: instance.launched_at.map(Micros),
        ended_at: ended.map(Micros),
        state: if ended.is_some() { "terminated" } else { instance.vm_state.as_str() },
        uptime: lived.unwrap_or(0).max(0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    proptest! {
        /// A server is charged for what of its life is in the period, and two periods side by side make one.
        #[test]
        fn hours_add_up(launched in 0..5000i64, lived in prop::option::of(0..5000i64), start in 0..5000i64, first in 0..5000i64, second in 0..5000i64) {
            let ended = lived.map(|lived| at(launched + lived));
            let hours = |start: i64, stop: i64| Period { start: at(start), stop: at(stop) }.hours(Some(at(launched)), ended);
            let (middle, stop) = (start + first, start + first + second);
            let apart = hours(start, middle) + hours(middle, stop);
            prop_assert!((apart - hours(start, stop)).abs() < 1e-9);
            prop_assert!(hours(start, stop) >= 0.0);
        }
    }
}
