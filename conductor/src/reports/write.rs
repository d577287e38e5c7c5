//! A batch of reports, written in one transaction of few statements.

use std::collections::HashSet;

use jiff::Timestamp;
use novella_common::{
    db::{
        Connection, DbError, actions, allocations,
        host_admission::{self, Refusal},
        instances::{
            self, ports,
            transitions::{self, Reported},
        },
        listening,
        migrations::{self, transitions::Progressed},
        services,
    },
    ids::{HostIdentity, InstanceUuid, MigrationUuid},
    lifecycle::TaskState,
    models::{Binary, Holder, Inventory, Migration},
    reports::{MigrationOutcome, MigrationReport},
    telemetry::request_span,
};

use super::{
    batch::Batch,
    fold::{Folded, fold},
};
use crate::{shared::Shared, tasks};

/// What is to be done once a batch is written.
#[derive(Debug, Default)]
pub(crate) struct Consequences {
    /// Hosts that wait to be reconciled.
    pub(crate) reconcile: Vec<String>,
    /// Whether a host takes work only from now on.
    pub(crate) began_serving: bool,
    /// Builds that wait for a scheduler again, with the requests they are for.
    pub(crate) recast: Vec<(InstanceUuid, Option<String>)>,
    /// Instances that are gone from their hosts: their ports are to be given back, and they are deleted then.
    pub(crate) give_back: Vec<InstanceUuid>,
    /// Long tasks that are this conductor's now.
    pub(crate) tasks: Vec<MigrationUuid>,
}

/// Writes a batch.
pub(crate) async fn write(
    shared: &Shared,
    connection: &mut Connection,
    batch: &Batch,
) -> Result<Consequences, DbError> {
    let mut consequences = Consequences::default();
    write_hosts(shared, connection, batch, &mut consequences).await?;
    let moving = batch.migrations.values().flatten().map(|(_, report)| report.instance);
    let touched: Vec<InstanceUuid> = batch.instances.keys().copied().chain(moving).collect();
    instances::lock_in_order(connection, &touched).await?;
    write_instances(connection, batch, &mut consequences).await?;
    write_migrations(shared, connection, batch, &mut consequences).await?;
    Ok(consequences)
}

async fn write_hosts(
    shared: &Shared,
    connection: &mut Connection,
    batch: &Batch,
    consequences: &mut Consequences,
) -> Result<(), DbError> {
    for ((host, identity), hello) in &batch.hellos {
        let auto_approve = shared.config.auto_approve;
        let admission = host_admission::admit(connection, host, *identity, &hello.inventory, auto_approve).await?;
        if let Some(refusal) = admission.refusal {
            metrics::counter!("hosts_refused_total", "reason" => refusal.as_str()).increment(1);
            // It says hello every few seconds.
            if !admission.is_repeated {
                log_refused(host, *identity, refusal, &hello.inventory);
            }
        }
        if !admission.is_host {
            continue;
        }
        let zone = &hello.inventory.availability_zone;
        services::hello(connection, host, zone, hello.incarnation).await?;
        consequences.reconcile.push(host.clone());
    }
    consequences.reconcile.extend(batch.reconcile.iter().cloned());
    let alive: Vec<_> = batch.alive.iter().cloned().collect();
    consequences.began_serving = services::compute_hosts_alive(connection, &alive).await?;
    services::goodbye(connection, Binary::Compute, &batch.goodbyes).await?;
    if batch.is_heartbeat {
        listening::heard(connection, shared.report_interval).await?;
    }
    Ok(())
}

fn log_refused(host: &str, identity: Option<HostIdentity>, refusal: Refusal, inventory: &Inventory) {
    let identity = identity.map(|identity| identity.to_string());
    match refusal {
        Refusal::Identity => tracing::warn!(
            host,
            identity,
            "another machine says hello under the name of a host that is known, and is refused; if the host was \
             replaced: novella host replace {host}"
        ),
        Refusal::New => tracing::warn!(
            host,
            identity,
            capacity = ?inventory.capacity(),
            "a new host says hello, and gets no work before it is approved: novella host approve {host}"
        ),
        Refusal::Capacity => tracing::warn!(
            host,
            identity,
            capacity = ?inventory.capacity(),
            "a host says that it has more than before, which does not count before it is approved: novella host approve \
             {host}"
        ),
    }
}

async fn write_instances(
    connection: &mut Connection,
    batch: &Batch,
    consequences: &mut Consequences,
) -> Result<(), DbError> {
    if batch.instances.is_empty() {
        return Ok(());
    }
    let uuids: Vec<InstanceUuid> = batch.instances.keys().copied().collect();
    let now = Timestamp::now();
    let mut folded = Vec::new();
    let mut with_ports = HashSet::new();
    for row in transitions::reported_rows(connection, &uuids).await? {
        let Some(reports) = batch.instances.get(&row.instance) else { continue };
        let reports = reports.iter().map(|(host, report)| (host.as_str(), report));
        let request_id = row.task_request_id.clone();
        let result = fold(&row, reports, now);
        if result.gone && row.has_ports {
            with_ports.insert(row.instance);
        }
        folded.push((row.instance, request_id, result));
    }
    let reported: Vec<_> = folded.iter().filter_map(|(_, _, folded)| folded.reported.clone()).collect();
    let mut applied: HashSet<InstanceUuid> = transitions::apply(connection, &reported).await?;
    let mut retried = Vec::new();
    for (instance, request_id, folded) in &folded {
        if let Some(rescheduled) = &folded.rescheduled
            && transitions::reschedule(connection, rescheduled).await?
        {
            applied.insert(*instance);
            consequences.recast.push((*instance, request_id.clone()));
            retried.extend(request_id.clone().map(|request_id| (*instance, request_id)));
        }
    }

    let mut events = Vec::new();
    let mut gone = Vec::new();
    for (instance, request_id, folded) in folded {
        if !applied.contains(&instance) {
            continue;
        }
        log_applied(instance, request_id.as_deref(), &folded);
        events.extend(folded.events);
        if folded.gone {
            gone.push(instance);
        }
        for fault in folded.faults {
            instances::add_fault(connection, instance, &fault).await?;
        }
    }
    actions::record_events(connection, &events).await?;
    transitions::still_trying(connection, &retried).await?;
    let (leaving, deleted): (Vec<_>, Vec<_>) = gone.iter().copied().partition(|uuid| with_ports.contains(uuid));
    instances::mark_deleted(connection, &deleted).await?;
    ports::leave_host(connection, &leaving).await?;
    consequences.give_back = leaving;
    // What waits for a person on another host is to be removed there.
    let waiting = migrations::transitions::under_way_of(connection, &gone).await?;
    let waiting = waiting.iter().filter(|task| task.status.holder() == Holder::Person);
    consequences.tasks.extend(waiting.map(|task| task.uuid));
    allocations::release_all(connection, &gone).await
}

/// A line of the request's story. The row no longer knows the request when a report ends its operation.
fn log_applied(instance: InstanceUuid, request_id: Option<&str>, folded: &Folded) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    request_span(request_id).in_scope(|| {
        if let Some(reported) = &folded.reported {
            let Reported { host, vm_state, task_state, .. } = reported;
            let (vm_state, task_state) = (vm_state.as_str(), task_state.map(TaskState::as_str));
            tracing::debug!(%instance, host, vm_state, task_state, gone = folded.gone, "report written down");
        }
        if let Some(rescheduled) = &folded.rescheduled {
            tracing::debug!(%instance, host = rescheduled.host, "build taken back from a host that failed");
        }
    });
}

fn log_outcome(migration: &Migration, outcome: &MigrationOutcome) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    request_span(Some(&migration.request_id)).in_scope(|| {
        let Migration { uuid, instance, source, .. } = migration;
        tracing::debug!(migration = %uuid, %instance, host = source, ?outcome, "report written down");
    });
}

async fn write_migrations(
    shared: &Shared,
    connection: &mut Connection,
    batch: &Batch,
    consequences: &mut Consequences,
) -> Result<(), DbError> {
    if batch.migrations.is_empty() {
        return Ok(());
    }
    let uuids: Vec<MigrationUuid> = batch.migrations.keys().copied().collect();
    let mut newest: Vec<(Migration, &MigrationReport, &MigrationOutcome)> = Vec::new();
    for migration in migrations::get_many(connection, &uuids).await? {
        let reports = batch.migrations.get(&migration.uuid).into_iter().flatten();
        let own: Vec<&MigrationReport> = reports
            .filter(|(host, report)| *host == migration.source && report.task_id == migration.task_id)
            .map(|(_, report)| report)
            .collect();
        let Some(last) = own.iter().max_by_key(|report| report.seq) else { continue };
        // A copy ends once: whatever is said after that, this is what counts.
        let ended = own.iter().map(|report| &report.outcome).find(|outcome| **outcome != MigrationOutcome::Running);
        newest.push((migration, last, ended.unwrap_or(&MigrationOutcome::Running)));
    }
    let progressed: Vec<Progressed> = newest
        .iter()
        .map(|(migration, report, _)| Progressed {
            migration: migration.uuid,
            seq: report.seq,
            progress: report.progress,
        })
        .collect();
    let written = migrations::transitions::progress(connection, &progressed).await?;
    for (migration, _, outcome) in newest {
        if !written.contains(&migration.uuid) {
            continue;
        }
        let continues = tasks::apply_outcome(shared, connection, &migration, outcome).await?;
        log_outcome(&migration, outcome);
        if continues {
            consequences.tasks.push(migration.uuid);
        }
    }
    Ok(())
}
