//! What reports about one instance come to. Plain functions on plain data.
//!
//! A report is applied if the row names the same host and the same operation and no newer report has been written. The
//! rule is applied to each report in turn, on the row as the ones before have left it, so that a batch comes to the same
//! as its reports one by one.

use jiff::Timestamp;
use novella_common::{
    db::{
        actions::EventOf,
        instances::transitions::{Reported, ReportedRow, RescheduledBuild},
    },
    lifecycle::{TaskState, VmState, is_long_task},
    models::Fault,
    reports::{InstanceReport, OperationProgress},
};

/// What is to be written of one instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folded {
    /// The row's new values; `None` if no report applied.
    pub(crate) reported: Option<Reported>,
    /// Whether the instance is gone after that.
    pub(crate) gone: bool,
    /// The build is to be tried elsewhere; takes the place of the new values.
    pub(crate) rescheduled: Option<RescheduledBuild>,
    /// What went wrong.
    pub(crate) faults: Vec<Fault>,
    /// What is to be written into the actions.
    pub(crate) events: Vec<EventOf>,
}

/// Applies `reports`, each with the host that sent it, to the row as it was read.
pub(crate) fn fold<'a>(
    seen: &ReportedRow,
    reports: impl IntoIterator<Item = (&'a str, &'a InstanceReport)>,
    now: Timestamp,
) -> Folded {
    let mut row = seen.clone();
    let mut folded = Folded::default();
    for (host, report) in reports {
        let applies = row.host.as_deref() == Some(host) && report.seq > row.report_seq && row.task_id == report.task_id;
        if !applies || folded.gone || folded.rescheduled.is_some() {
            metrics::counter!("reports_dropped_total").increment(1);
            continue;
        }
        row.report_seq = report.seq;
        row.power_state = report.power_state;
        if let (Some(event), Some(request_id)) = (&report.event, &report.request_id) {
            let (instance, request_id) = (row.instance, request_id.clone());
            folded.events.push(EventOf { instance, request_id, event: event.clone() });
        }
        apply(&mut row, &mut folded, host, &report.progress, now);
        folded.reported = Some(Reported {
            instance: row.instance,
            host: host.to_owned(),
            seen_task: seen.task_id,
            seq: row.report_seq,
            vm_state: row.vm_state,
            task_state: row.task_state,
            power_state: row.power_state,
            launched: row.launched && !seen.launched,
        });
    }
    if folded.rescheduled.is_some() {
        folded.reported = None;
    }
    folded
}

fn apply(row: &mut ReportedRow, folded: &mut Folded, host: &str, progress: &OperationProgress, now: Timestamp) {
    // A long task ends when its conductor says so: until then the two hosts' views of the guest are parts of it.
    let migrating = row.task_state.is_some_and(is_long_task);
    match progress {
        OperationProgress::Doing { task_state } => {
            // Which state a long task is in is its conductor's to say.
            if row.task_id.is_some() && !migrating && !is_long_task(*task_state) {
                row.task_state = Some(*task_state);
            }
        }
        // What the guest does by itself does not confirm or revert it, nor bring it back.
        OperationProgress::Done { .. }
            if matches!(row.vm_state, VmState::Resized | VmState::SoftDeleted) && row.task_id.is_none() => {}
        OperationProgress::Done { vm_state } => {
            if !migrating {
                row.vm_state = *vm_state;
                end_task(row);
            }
            row.launched |= *vm_state == VmState::Active;
        }
        OperationProgress::Unchanged => {
            if !migrating {
                end_task(row);
            }
        }
        OperationProgress::Failed { vm_state, message, details, reschedule } => {
            let building = row.vm_state == VmState::Building;
            let text = || match details {
                Some(details) => format!("{message}\n{details}"),
                None => message.clone(),
            };
            if let (true, true, Some(attempt)) = (building, *reschedule, row.task_id) {
                let mut spec = row.spec.clone();
                spec.excluded_hosts.push(host.to_owned());
                spec.last_failure = Some(format!("Host {host}: {}", text()));
                folded.rescheduled =
                    Some(RescheduledBuild { instance: row.instance, host: host.to_owned(), attempt, spec });
                return;
            }
            folded.faults.push(Fault {
                code: 500,
                message: message.clone(),
                details: details.clone(),
                created_at: now,
            });
            if !migrating {
                match vm_state {
                    Some(vm_state) => row.vm_state = *vm_state,
                    // A build that failed has no state to go back to.
                    None if building => row.vm_state = VmState::Error,
                    None => {}
                }
                end_task(row);
            }
        }
        OperationProgress::Gone if row.task_state == Some(TaskState::Deleting) => folded.gone = true,
        OperationProgress::Gone => {
            // Nobody has asked for it: what the user sees must not vanish without a word.
            folded.faults.push(Fault {
                code: 500,
                message: format!("Host {host} no longer has the server."),
                details: None,
                created_at: now,
            });
            row.vm_state = VmState::Error;
            end_task(row);
        }
    }
}

fn end_task(row: &mut ReportedRow) {
    row.task_state = None;
    row.task_id = None;
    row.task_request_id = None;
}

#[cfg(test)]
mod tests;
