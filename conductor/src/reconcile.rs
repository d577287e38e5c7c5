//! Reconciling a host with its rows.
//!
//! A host says what it has, the conductor reads the rows and says what it should have; the host does the rest. In
//! this order, so that an instance which arrives on the host in between is not taken for one that nobody knows.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{Connection, DbError, host_admission, instances, migrations, services},
    ids::InstanceUuid,
    lifecycle::{TaskState, VmState},
    models::{Binary, Holder, Instance, Migration},
    telemetry::request_span,
};
use novella_compute::rpcapi::{ComputeError, DesiredInstance, Reconciliation, control_server};
use novella_messaging::CallError;
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::{one_each::OneEach, shared::Shared};

/// Why a host could not be reconciled; it is tried again, at its next hello or at the next round.
#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Host(#[from] CallError<ComputeError>),
    #[error("what it holds was listed {0} s ago, and may be something else by now")]
    Late(i64),
}

/// How old a listing may be when a host is told what to make of it. A conductor that stood still in between (its machine was
/// suspended, say) has read rows of then, and others may have reconciled the host since.
const MAX_LISTING_AGE: Duration = Duration::from_secs(60);

/// The shortest pause between two hosts of a round. With more than 1,500 hosts for each conductor a round takes longer than
/// the default `reconcile_interval`: what is to find a rare difference must not be most of the work of a bus where nothing
/// happens.
const MIN_GAP: Duration = Duration::from_millis(40);

/// Reconciles hosts: at most one reconciliation of a host at a time, and not too many at once.
pub(crate) struct Reconciler {
    shared: Arc<Shared>,
    under_way: Arc<OneEach<String>>,
    /// To read rows. Nobody who waits for a host holds one: hosts that never answer hold up no other.
    permits: Semaphore,
}

impl Reconciler {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let permits = Semaphore::new(shared.config.reconcile_concurrency.max(1));
        Self { shared, under_way: OneEach::new(), permits }
    }

    /// Reconciles a host in the background; if it is being reconciled, once more after that.
    pub(crate) fn request(self: &Arc<Self>, host: String) {
        let Some(mut guard) = self.under_way.begin(host.clone()) else { return };
        let this = Arc::clone(self);
        self.shared.shutdown.spawn(async move {
            loop {
                tokio::select! {
                    () = this.reconcile_as_a_request(&host) => {}
                    () = this.shared.shutdown.requested() => return,
                }
                if !guard.once_more() {
                    return;
                }
            }
        });
    }

    /// Under a request id of its own, which the host's lines about it have too.
    async fn reconcile_as_a_request(&self, host: &str) {
        let ctx = RequestContext::internal();
        let reconciled = async {
            if let Err(error) = self.reconcile(&ctx, host).await {
                tracing::warn!(host, %error, "host not reconciled; it is tried again");
            }
        };
        reconciled.instrument(request_span(Some(&ctx.request_id))).await;
    }

    async fn reconcile(&self, ctx: &RequestContext, host: &str) -> Result<(), ReconcileError> {
        let identity = {
            let mut connection = self.shared.database.read().await?;
            host_admission::of_host(&mut connection, host).await?
        };
        let control = self.shared.control.server(control_server(host, identity));
        let listed_at = Timestamp::now();
        let held = control.list_instances(ctx).await?;
        let reconciliation = {
            // Closed never; an error would mean that there is no limit, which is no reason to stop.
            let _permit = self.permits.acquire().await.ok();
            let mut connection = self.shared.database.read().await?;
            compare(&mut connection, host, &held).await?
        };
        // By the clock on the wall, which goes on while a machine is suspended.
        let age = Timestamp::now().duration_since(listed_at);
        if age.unsigned_abs() > MAX_LISTING_AGE {
            return Err(ReconcileError::Late(age.as_secs()));
        }
        let (desired, removed) = (reconciliation.desired.len(), reconciliation.remove.len());
        control.reconcile(ctx, reconciliation).await?;
        tracing::debug!(host, held = held.len(), desired, removed, "host reconciled");
        Ok(())
    }

    /// Reconciles each host that is up once in each `reconcile_interval`, evenly spread, or less often where there are very
    /// many, until stopping is asked for. The conductors share the hosts among them.
    pub(crate) async fn run(self: Arc<Self>) {
        let interval = self.shared.config.reconcile_interval;
        let shutdown = self.shared.shutdown.clone();
        loop {
            let hosts = match self.hosts_to_look_after().await {
                Ok(hosts) => hosts,
                Err(error) => {
                    tracing::warn!(%error, "the hosts could not be listed; they are reconciled later");
                    Vec::new()
                }
            };
            let Some(gap) = u32::try_from(hosts.len()).ok().and_then(|count| interval.checked_div(count)) else {
                if !shutdown.pause(interval).await {
                    return;
                }
                continue;
            };
            for host in hosts {
                if !shutdown.pause(gap.max(MIN_GAP)).await {
                    return;
                }
                self.request(host);
            }
        }
    }

    /// The hosts that are up and this conductor's share: each host belongs to one of the conductors that are up.
    pub(crate) async fn hosts_to_look_after(&self) -> Result<Vec<String>, DbError> {
        let services = {
            let mut connection = self.shared.database.read().await?;
            services::list(&mut connection, None, None).await?
        };
        let fresh_since = self.shared.fresh_since().await?;
        let up = |binary: Binary| {
            services.iter().filter(move |service| service.binary == binary && service.is_up(&fresh_since))
        };
        let conductors = up(Binary::Conductor).count() as u64;
        let place = up(Binary::Conductor).position(|service| service.incarnation == self.shared.incarnation);
        let hosts = up(Binary::Compute).map(|service| service.host.clone());
        Ok(match place {
            Some(place) => hosts.filter(|host| hash(host) % conductors == place as u64).collect(),
            // Not listed itself: better all hosts twice than some never.
            None => hosts.collect(),
        })
    }
}

fn hash(host: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    host.hash(&mut hasher);
    hasher.finish()
}

async fn compare(connection: &mut Connection, host: &str, held: &[InstanceUuid]) -> Result<Reconciliation, DbError> {
    let mut ours = instances::on_host(connection, host).await?;
    // A scheduler is handing these over at this moment; neither theirs nor ours to settle.
    let being_handed_over =
        |instance: &Instance| instance.owner.is_some() && instance.task_state == Some(TaskState::Scheduling);
    let expected: HashSet<InstanceUuid> = ours.iter().map(|instance| instance.uuid).collect();
    ours.retain(|instance| !being_handed_over(instance));

    let others: Vec<InstanceUuid> = held.iter().copied().filter(|held| !expected.contains(held)).collect();
    let rows = instances::get_many(connection, &others).await?;
    let migrations = migrations::transitions::under_way_on(connection, host).await?;
    // An administrator has given these another state while they move. To the host their rows would say that they rest, and
    // it would let go of a guest that may run on the other host. So they are left alone until the migration has ended.
    ours.retain(|instance| !migrations.iter().any(|migration| moves_unknown_to(instance, migration)));
    let known: HashSet<InstanceUuid> = rows.iter().map(|row| row.uuid).collect();
    for unknown in others.iter().filter(|other| !known.contains(other)) {
        // The API writes a row before anything else, so this is no host's doing: the database is another one, or an
        // old copy. To remove guests for that reason could remove all of a cloud.
        tracing::warn!(host, instance = %unknown, "the host holds an instance that the database has never known; left alone");
    }
    let remove = rows.iter().filter(|row| is_foreign(row, host, &migrations)).map(|row| row.uuid).collect();
    let service = services::find(connection, Binary::Compute, host).await?;
    let incarnation = service.map(|service| service.incarnation);
    Ok(Reconciliation { desired: ours.into_iter().map(desired).collect(), remove, incarnation })
}

/// Whether a migration that hosts work on moves an instance whose row does not know it.
fn moves_unknown_to(row: &Instance, migration: &Migration) -> bool {
    migration.instance == row.uuid
        && migration.status.holder() != Holder::Person
        && row.task_id != Some(migration.task_id)
}

/// Whether a held instance, whose row did not name the host a moment ago, is none of the host's business. `migrations` are
/// those from or to the host.
fn is_foreign(row: &Instance, host: &str, migrations: &[Migration]) -> bool {
    if row.deleted_at.is_some() {
        return true;
    }
    let arrived = row.host.as_deref() == Some(host);
    // It may be given to this host at any moment. Next time, then.
    let waits_for_a_host =
        row.host.is_none() && row.vm_state == VmState::Building && row.task_state == Some(TaskState::Scheduling);
    let moves = migrations.iter().any(|migration| migration.instance == row.uuid);
    !arrived && !waits_for_a_host && !moves
}

fn desired(instance: Instance) -> DesiredInstance {
    DesiredInstance {
        spec: instance.spec(),
        vm_state: instance.vm_state,
        power_state: instance.power_state,
        task: instance.task_state.zip(instance.task_id),
        request_id: instance.task_request_id,
        report_seq: instance.report_seq,
    }
}
