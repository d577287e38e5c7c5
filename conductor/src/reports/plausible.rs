//! What a host may say. A host is believed about its own guests, and about nothing else: whoever has taken one over must
//! not be able to do more harm than to stop it.
//!
//! That a report speaks of an instance or a migration of that host is checked where its row is at hand (`fold`, `write`).

use jiff::{SignedDuration, Timestamp};
use novella_common::{
    lifecycle::VmState,
    models::{ActionEvent, Inventory, MigrationProgress},
    reports::{Fact, InstanceReport, MigrationOutcome, MigrationReport, OperationProgress, Report},
};

/// How far a host's clock may be ahead. A report's number is below the time of its host in microseconds: a new journal
/// begins with that, and grows by one with each report.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(1);

/// No host has more of anything; sums of what a million hosts have are still numbers.
const MAX_AMOUNT: i64 = 1 << 40;

/// The longest name of anything, in bytes.
const MAX_NAME: usize = 255;

/// The longest text of a failure, in bytes; a longer one is cut.
const MAX_TEXT: usize = 64 * 1024;

/// Why a report can't be true.
#[derive(Debug, thiserror::Error)]
pub(super) enum Implausible {
    /// Something it can't say.
    #[error("{0}")]
    Content(String),
    /// Its number is one that the host can't have reached.
    #[error(
        "its number, {seq}, is {ahead:#} ahead of this conductor's clock; if the host's clock is wrong, correct it and \
         remove the host's state folder"
    )]
    FromTheFuture {
        /// The number.
        seq: i64,
        /// How far ahead of the clock.
        ahead: SignedDuration,
    },
}

fn no(what: impl Into<String>) -> Implausible {
    Implausible::Content(what.into())
}

/// Checks what is said, and cuts what is too long.
pub(super) fn check(report: &mut Report, now: Timestamp) -> Result<(), Implausible> {
    name("host", &report.host)?;
    match &mut report.fact {
        Fact::Hello(hello) => inventory(&hello.inventory),
        Fact::Instance(report) => instance(report, now),
        Fact::Migration(report) => migration(report, now),
        Fact::Alive { .. } | Fact::Goodbye { .. } | Fact::Echo => Ok(()),
    }
}

fn name(field: &str, text: &str) -> Result<(), Implausible> {
    match text.len() {
        1..=MAX_NAME if !text.contains(char::is_control) => Ok(()),
        1..=MAX_NAME => Err(no(format!("{field} has control characters"))),
        length => Err(no(format!("{field} has {length} bytes; 1 to {MAX_NAME} are allowed"))),
    }
}

fn inventory(inventory: &Inventory) -> Result<(), Implausible> {
    let Inventory { total, reserved, ratios, hypervisor_type, hypervisor_hostname, host_ip, availability_zone, .. } =
        inventory;
    for (field, ratio) in [("cpu", ratios.cpu), ("ram", ratios.ram), ("disk", ratios.disk)] {
        if !(0.0..=1e6).contains(&ratio) {
            return Err(no(format!("the allocation ratio of {field} is {ratio}")));
        }
    }
    for amounts in [total, reserved] {
        let amounts = [("vcpus", amounts.vcpus), ("memory_mb", amounts.memory_mb), ("disk_gb", amounts.disk_gb)];
        if let Some((field, amount)) = amounts.into_iter().find(|(_, amount)| !(0..=MAX_AMOUNT).contains(amount)) {
            return Err(no(format!("{field} is {amount}; 0 to {MAX_AMOUNT} are allowed")));
        }
    }
    let capacity = inventory.capacity();
    if [capacity.vcpus, capacity.memory_mb, capacity.disk_gb].iter().any(|amount| *amount > MAX_AMOUNT) {
        return Err(no(format!("with its allocation ratios it has more than {MAX_AMOUNT} of something")));
    }
    name("availability_zone", availability_zone)?;
    name("hypervisor_type", hypervisor_type)?;
    name("hypervisor_hostname", hypervisor_hostname)?;
    name("host_ip", host_ip)?;
    let cpu_info = inventory.cpu_info.to_string();
    if cpu_info.len() > MAX_TEXT || cpu_info.contains("\\u0000") {
        return Err(no("cpu_info is too long, or has NUL characters"));
    }
    Ok(())
}

fn instance(report: &mut InstanceReport, now: Timestamp) -> Result<(), Implausible> {
    number(report.seq, now)?;
    request_id(report.request_id.as_deref())?;
    if let Some(event) = &mut report.event {
        self::event(event)?;
    }
    let idle = report.task_id.is_none();
    match &mut report.progress {
        OperationProgress::Doing { task_state } if idle => {
            Err(no(format!("it says that it does '{task_state}' without having been asked")))
        }
        OperationProgress::Done { vm_state } | OperationProgress::Failed { vm_state: Some(vm_state), .. }
            if !is_of_a_guest(*vm_state, idle) =>
        {
            Err(no(format!("it says that the instance is {vm_state}, which no host can say of one")))
        }
        OperationProgress::Failed { message, details, .. } => {
            cut(message);
            details.iter_mut().for_each(cut);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether a host can find a guest in this state, or bring it there.
fn is_of_a_guest(vm_state: VmState, idle: bool) -> bool {
    match vm_state {
        VmState::Active | VmState::Paused | VmState::Suspended | VmState::Stopped | VmState::Error => true,
        VmState::Resized | VmState::SoftDeleted => !idle,
        VmState::Building | VmState::Deleted => false,
    }
}

fn migration(report: &mut MigrationReport, now: Timestamp) -> Result<(), Implausible> {
    number(report.seq, now)?;
    let MigrationProgress {
        memory_total,
        memory_processed,
        memory_remaining,
        disk_total,
        disk_processed,
        disk_remaining,
    } = report.progress;
    let all = [memory_total, memory_processed, memory_remaining, disk_total, disk_processed, disk_remaining];
    if let Some(amount) = all.into_iter().find(|amount| *amount < 0) {
        return Err(no(format!("it has copied {amount} bytes")));
    }
    if let MigrationOutcome::Failed { message } = &mut report.outcome {
        cut(message);
    }
    Ok(())
}

fn number(seq: i64, now: Timestamp) -> Result<(), Implausible> {
    let ahead = SignedDuration::from_micros(seq.saturating_sub(now.as_microsecond()));
    if seq < 0 {
        Err(no(format!("its number is {seq}")))
    } else if ahead > CLOCK_TOLERANCE {
        Err(Implausible::FromTheFuture { seq, ahead })
    } else {
        Ok(())
    }
}

fn request_id(id: Option<&str>) -> Result<(), Implausible> {
    id.map_or(Ok(()), |id| name("request_id", id))
}

fn event(event: &mut ActionEvent) -> Result<(), Implausible> {
    name("event", &event.event)?;
    event.host.as_deref().map_or(Ok(()), |host| name("the event's host", host))?;
    event.details.iter_mut().for_each(cut);
    Ok(())
}

/// Shortens a text, and takes out what PostgreSQL can't hold.
fn cut(text: &mut String) {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

#[cfg(test)]
mod tests;
