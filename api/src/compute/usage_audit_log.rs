//! `/os-instance_usage_audit_log`: what hosts have reported of the usage of their servers, month by month. No host here
//! reports any, as none of Nova's does unless it is told to.

use axum::response::Response;
use jiff::civil::{Date, DateTime};
use novella_common::{db::services, models::Binary};
use novella_rest::{ApiError, Operation, Path, get};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/os-instance_usage_audit_log", policy::USAGE_AUDIT_LOG_LIST, index)
            .answers::<Log>("instance_usage_audit_logs"),
        get("/os-instance_usage_audit_log/{before}", policy::USAGE_AUDIT_LOG_SHOW, show)
            .answers::<Log>("instance_usage_audit_log"),
    ]
}

#[derive(Serialize, ToSchema)]
struct Log {
    period_beginning: String,
    period_ending: String,
    num_hosts: usize,
    num_hosts_done: usize,
    num_hosts_running: usize,
    num_hosts_not_run: usize,
    hosts_not_run: Vec<String>,
    total_instances: i64,
    total_errors: i64,
    overall_status: String,
    /// By host.
    #[schema(value_type = Object)]
    log: Map<String, Value>,
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let log = log(&request, jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).datetime()).await?;
    Ok(request.plain("instance_usage_audit_logs", log))
}

async fn show(request: Request, Path(before): Path<String>) -> Result<Response, ApiError> {
    let invalid = || ApiError::bad_request(format!("Invalid timestamp for date {before}"));
    // With a time of day, to the second or finer.
    let (date, time) = before.split_once(' ').ok_or_else(invalid)?;
    let form = time.matches(':').count() == 2 && date.matches('-').count() == 2;
    let before: DateTime = before.parse().ok().filter(|_| form).ok_or_else(invalid)?;
    let log = log(&request, before).await?;
    Ok(request.plain("instance_usage_audit_log", log))
}

async fn log(request: &Request, before: DateTime) -> Result<Log, ApiError> {
    let binary = Some(Binary::Compute.as_str());
    let found = services::list(&mut *request.state.database.read().await?, binary, None).await?;
    let hosts: Vec<String> = found.into_iter().map(|service| service.host).collect();
    let (begin, end) = last_month(before);
    let at = |date: Date| format!("{date} 00:00:00");
    let done = if hosts.is_empty() { "ALL".to_owned() } else { format!("0 of {}", hosts.len()) };
    Ok(Log {
        period_beginning: at(begin),
        period_ending: at(end),
        num_hosts: hosts.len(),
        num_hosts_done: 0,
        num_hosts_running: 0,
        num_hosts_not_run: hosts.len(),
        hosts_not_run: hosts,
        total_instances: 0,
        total_errors: 0,
        overall_status: format!("{done} hosts done. 0 errors."),
        log: Map::new(),
    })
}

/// The first days of the last whole month before this moment, and of the one after it.
fn last_month(before: DateTime) -> (Date, Date) {
    let mut end = before.date().first_of_month();
    if end.to_datetime(jiff::civil::Time::midnight()) >= before {
        end = month_before(end);
    }
    (month_before(end), end)
}

fn month_before(first: Date) -> Date {
    first.yesterday().map_or(first, Date::first_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_the_last_whole_month() {
        let months = |before: &str| {
            let (begin, end) = last_month(before.parse().unwrap());
            (begin.to_string(), end.to_string())
        };
        let expected = |begin: &str, end: &str| (begin.to_owned(), end.to_owned());
        assert_eq!(months("2026-11-29 16:00:00"), expected("2026-10-01", "2026-11-01"));
        assert_eq!(months("2026-01-15 00:00:00"), expected("2025-12-01", "2026-01-01"));
        // At its first moment a month has not begun.
        assert_eq!(months("2026-03-01 00:00:00"), expected("2026-01-01", "2026-02-01"));
        assert_eq!(months("2026-03-01 00:00:00.000001"), expected("2026-02-01", "2026-03-01"));
        // There is no month before the calendar's first.
        assert_eq!(last_month(DateTime::MIN), (Date::MIN, Date::MIN));
    }
}
