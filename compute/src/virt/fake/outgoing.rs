//! The source's end of a simulated live migration: copying, in time, and the switch.

use std::{io, sync::Arc, time::Duration};

use novella_common::{
    faults::HostOperation,
    ids::{InstanceUuid, MigrationUuid},
    lifecycle::PowerState,
    models::MigrationProgress,
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    FakeDriver,
    channel::{self, Begin, FromDestination, FromSource},
    guest::Guest,
    handover::{self, Transfer},
    migration::{IncomingAddress, Offer},
    pause,
    peers::Connection,
    precopy::{Plan, Precopy},
    settings::Settings,
};
use crate::{
    rpcapi::{ComputeError, MigrateData, MigrationSpec},
    virt::{MigrationEnding, MigrationWatch},
};

const MIB: u64 = 1 << 20;

/// Progress changes at least this often, so that a person who watches sees that it goes on; and at most so often, so
/// that watching does not cost more than copying.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// A migration that leaves, as others can steer it.
#[derive(Debug)]
pub(super) struct Outgoing {
    migration: MigrationUuid,
    abort: CancellationToken,
    hold: watch::Sender<bool>,
    /// Cancelled when nothing of it moves any more.
    ended: CancellationToken,
}

impl Outgoing {
    pub(super) fn abort(&self) {
        self.abort.cancel();
    }

    pub(super) fn hold(&self) {
        self.hold.send_replace(true);
    }
}

/// Why copying ended before the switch.
enum Stopped {
    Cancelled,
    Failed(String),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Failed(format!("the connection to the destination failed: {error}"))
    }
}

/// What one copy needs to know.
struct Copy {
    instance: InstanceUuid,
    migration: MigrationUuid,
    destination: String,
    incoming: IncomingAddress,
    plan: Plan,
    /// A guest that is powered off, and must stay so.
    cold: bool,
    /// How long it takes to begin.
    delay: Duration,
    /// At how many percent, and why.
    fails_at: Option<(u64, String)>,
    progress: watch::Sender<MigrationProgress>,
    hold: watch::Receiver<bool>,
}

impl FakeDriver {
    pub(super) fn outgoing(&self, instance: InstanceUuid, migration: MigrationUuid) -> Option<Arc<Outgoing>> {
        self.outgoing.lock().get(&instance).filter(|outgoing| outgoing.migration == migration).cloned()
    }

    /// Ends the copying of a guest, if it is under way, and waits until nothing of it moves any more. A switch that
    /// has begun runs to its end.
    pub(super) async fn stop_copying(&self, instance: InstanceUuid) {
        let outgoing = self.outgoing.lock().get(&instance).cloned();
        if let Some(outgoing) = outgoing {
            outgoing.abort();
            outgoing.ended.cancelled().await;
        }
    }

    pub(super) async fn start_copying(
        &self,
        migration: &MigrationSpec,
        data: &MigrateData,
    ) -> Result<MigrationWatch, ComputeError> {
        let instance = migration.spec.uuid;
        let offer = Offer::read(data)?;
        let incoming = offer.incoming.ok_or_else(|| self.invalid(instance, "the destination was not prepared"))?;
        let plan = self.guest(instance, |guest| self.plan(guest, offer.block_migration))?;
        let cold = self.guest(instance, |guest| guest.power == PowerState::Shutdown)?;
        let settings = self.guest(instance, |guest| Settings::of_built(&guest.spec))?;
        let fault = self.fires(HostOperation::Migration, &migration.spec);
        let (delay, failure) = fault.map_or((Duration::ZERO, None), |fault| (fault.delay, fault.failure));
        let at = self.config.migration_failure_at;
        let by_chance = self.chance.happens(self.config.migration_failure).then_some(at);
        let simulated = |percent| (percent, format!("simulated failure after {percent} percent"));
        let fails_at = failure.map(|message| (at, message));
        let fails_at = fails_at.or_else(|| settings.fail_migration_at.or(by_chance).map(simulated));

        let (hold, hold_receiver) = watch::channel(false);
        let (progress, progress_receiver) = watch::channel(Precopy::new(plan).progress());
        let outgoing = Arc::new(Outgoing {
            migration: migration.migration,
            abort: CancellationToken::new(),
            hold,
            ended: CancellationToken::new(),
        });
        let commit = {
            let mut all = self.outgoing.lock();
            if all.contains_key(&instance) {
                return Err(self.invalid(instance, "it is being copied already"));
            }
            let commit = self.hypervisor.change(instance, |guest| {
                let guest = guest.as_mut().ok_or_else(|| self.not_found(instance))?;
                handover::begin(&mut guest.transfer, migration.migration)
                    .map_err(|error| self.invalid(instance, error.0))
            })?;
            all.insert(instance, outgoing.clone());
            commit
        };

        let copy = Copy {
            instance,
            migration: migration.migration,
            destination: migration.destination.clone(),
            incoming,
            plan,
            cold,
            delay,
            fails_at,
            progress,
            hold: hold_receiver,
        };
        let (ending, ending_receiver) = oneshot::channel();
        let me = self.me.clone();
        let copying = async move {
            let Some(driver) = me.upgrade() else { return };
            let end = match commit.durable().await {
                Ok(()) => driver.migrate(copy, &outgoing.abort).await,
                Err(error) => MigrationEnding::Failed(error.to_string()),
            };
            driver.outgoing.lock().remove(&instance);
            outgoing.ended.cancel();
            // Nobody may be left to hear it.
            let _ = ending.send(end);
        };
        self.spawn(copying.in_current_span());
        Ok(MigrationWatch { progress: progress_receiver, ending: ending_receiver })
    }

    fn plan(&self, guest: &Guest, block_migration: bool) -> Plan {
        let settings = Settings::of_built(&guest.spec);
        let mib = |amount: i64| u64::try_from(amount).unwrap_or(0).saturating_mul(MIB);
        let flavor = &guest.spec.flavor;
        let disk = mib(flavor.disk_gb.saturating_mul(1024)).min(self.config.disk_used_mib.saturating_mul(MIB));
        let dirty_rate = settings.dirty_rate_mib.unwrap_or(self.config.dirty_rate_mib);
        Plan {
            memory: if guest.power == PowerState::Shutdown { 0 } else { mib(flavor.memory_mb) },
            disk: if block_migration { disk } else { 0 },
            dirty_rate: if guest.power == PowerState::Running { dirty_rate.saturating_mul(MIB) } else { 0 },
            bandwidth: settings.bandwidth_mib.unwrap_or(self.config.bandwidth_mib).saturating_mul(MIB),
            max_downtime: settings.max_downtime.unwrap_or(self.config.max_downtime),
        }
    }

    async fn migrate(&self, mut copy: Copy, abort: &CancellationToken) -> MigrationEnding {
        let copied = tokio::select! {
            biased;
            () = abort.cancelled() => Err(Stopped::Cancelled),
            copied = self.copy(&mut copy) => copied,
        };
        match copied {
            Ok((stream, precopy)) => self.switch(copy, stream, precopy).await,
            Err(stopped) => {
                let given_up = self.settle(copy.instance, |transfer| handover::give_up(transfer, copy.migration)).await;
                match (stopped, given_up) {
                    (_, Err(error)) => MigrationEnding::Failed(error.to_string()),
                    (Stopped::Cancelled, Ok(())) => MigrationEnding::Cancelled,
                    (Stopped::Failed(reason), Ok(())) => MigrationEnding::Failed(reason),
                }
            }
        }
    }

    async fn copy(&self, copy: &mut Copy) -> Result<(Connection, Precopy), Stopped> {
        pause(copy.delay).await;
        let timeout = self.config.peer_timeout;
        let connect = tokio::time::timeout(timeout, self.address.peers.connect(&copy.incoming.address));
        let mut stream = connect.await.map_err(|_| {
            Stopped::Failed(format!("{} did not answer within {} s", copy.incoming.address, timeout.as_secs_f64()))
        })??;
        let begin = Begin {
            host: copy.destination.clone(),
            instance: copy.instance,
            migration: copy.migration,
            secret: copy.incoming.secret.clone(),
        };
        channel::send(&mut stream, &FromSource::Begin(begin)).await?;
        expect(&mut stream, timeout, |answer| matches!(answer, FromDestination::Ready)).await?;

        let mut precopy = Precopy::new(copy.plan);
        let mut last = Instant::now();
        loop {
            let wait = self.config.progress_interval.clamp(INTERVAL.0, INTERVAL.1).min(precopy.time_to_next());
            let mut hold_now = false;
            if !wait.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    // The sender lives as long as this task.
                    _ = copy.hold.changed() => hold_now = true,
                }
            }
            let now = Instant::now();
            precopy.advance(now - last);
            last = now;
            if hold_now || *copy.hold.borrow() {
                precopy.hold();
            }
            let progress = precopy.progress();
            copy.progress.send_replace(progress);
            let bytes = progress.memory_processed + progress.disk_processed;
            channel::send(&mut stream, &FromSource::Copied { bytes }).await?;
            expect(&mut stream, timeout, |answer| matches!(answer, FromDestination::Received)).await?;
            if let Some((percent, reason)) = &copy.fails_at
                && precopy.percent() >= *percent
            {
                return Err(Stopped::Failed(reason.clone()));
            }
            self.still_runs(copy)?;
            if precopy.converged() {
                return Ok((stream, precopy));
            }
        }
    }

    fn still_runs(&self, copy: &Copy) -> Result<(), Stopped> {
        let runs = self.hypervisor.look(copy.instance, |guest| {
            guest.is_some_and(|guest| {
                guest.transfer == Some(Transfer::Copying { migration: copy.migration })
                    && match copy.cold {
                        true => guest.power == PowerState::Shutdown,
                        false => matches!(guest.power, PowerState::Running | PowerState::Paused),
                    }
            })
        });
        if runs { Ok(()) } else { Err(Stopped::Failed("the guest died while it was copied".into())) }
    }

    async fn switch(&self, copy: Copy, mut stream: Connection, mut precopy: Precopy) -> MigrationEnding {
        // From here on there is no abort. `switching` is on the disk before the destination can hear of it.
        let mut frozen = None;
        let switching = self.hypervisor.change(copy.instance, |guest| {
            let guest = guest.as_mut().ok_or_else(|| self.not_found(copy.instance))?;
            handover::switch(&mut guest.transfer, copy.migration)
                .map_err(|error| self.invalid(copy.instance, error.0))?;
            frozen = Some(guest.clone());
            Ok(())
        });
        let durable = match switching {
            Ok(commit) => commit.durable().await.map_err(ComputeError::from),
            Err(error) => Err(error),
        };
        let guest = match (durable, frozen) {
            (Ok(()), Some(guest)) => Box::new(guest),
            (Err(error), _) => return MigrationEnding::Failed(error.to_string()),
            (Ok(()), None) => return MigrationEnding::Failed("the guest has gone".into()),
        };
        if let Err(Stopped::Failed(reason)) = self.stand_still(&copy, &mut stream, precopy.downtime()).await {
            // SWITCH was not said yet, so this is no doubt, only a failure.
            return self.go_on_here(&copy, reason).await;
        }

        let answer = async {
            channel::send(&mut stream, &FromSource::Switch { guest }).await?;
            channel::receive(&mut stream, self.config.peer_timeout).await
        };
        match answer.await {
            Ok(FromDestination::Switched) => {
                precopy.finish();
                copy.progress.send_replace(precopy.progress());
                let gone = |transfer: &mut _| handover::switched(transfer, copy.migration);
                match self.settle(copy.instance, gone).await {
                    Ok(()) => MigrationEnding::Switched,
                    Err(error) => MigrationEnding::Held(error.to_string()),
                }
            }
            Ok(FromDestination::Refused { reason }) => {
                self.go_on_here(&copy, format!("the destination refused the guest: {reason}")).await
            }
            Ok(other) => MigrationEnding::Held(format!("the destination answered the switch with '{other}'")),
            Err(error) => MigrationEnding::Held(format!("the destination did not answer the switch: {error}")),
        }
    }

    /// Sends the last pages while the guest stands still. Says something from time to time, so that the destination
    /// does not take the silence for the source's end.
    async fn stand_still(&self, copy: &Copy, stream: &mut Connection, downtime: Duration) -> Result<(), Stopped> {
        let timeout = self.config.peer_timeout;
        let mut left = downtime;
        while !left.is_zero() {
            let step = left.min(timeout / 4);
            tokio::time::sleep(step).await;
            left -= step;
            let bytes = copy.progress.borrow().memory_processed;
            channel::send(stream, &FromSource::Copied { bytes }).await?;
            expect(stream, timeout, |answer| matches!(answer, FromDestination::Received)).await?;
        }
        Ok(())
    }

    /// Lets the guest run on, though it was held already: the destination certainly does not run it.
    async fn go_on_here(&self, copy: &Copy, reason: String) -> MigrationEnding {
        let back = self.settle(copy.instance, |transfer| {
            // Can't be out of order: only this task ends `switching` while it runs.
            let _ = handover::roll_back_source(transfer, copy.migration);
        });
        match back.await {
            Ok(()) => {
                self.follow_fate(copy.instance);
                MigrationEnding::Failed(reason)
            }
            Err(error) => MigrationEnding::Held(error.to_string()),
        }
    }

    async fn settle(
        &self,
        instance: InstanceUuid,
        change: impl FnOnce(&mut Option<Transfer>),
    ) -> Result<(), ComputeError> {
        let commit = self.hypervisor.change(instance, |guest| {
            if let Some(guest) = guest {
                change(&mut guest.transfer);
            }
            Ok(())
        })?;
        Ok(commit.durable().await?)
    }
}

async fn expect(
    stream: &mut Connection,
    timeout: Duration,
    wanted: impl FnOnce(&FromDestination) -> bool,
) -> Result<(), Stopped> {
    match channel::receive(stream, timeout).await? {
        FromDestination::Refused { reason } => Err(Stopped::Failed(reason)),
        answer if wanted(&answer) => Ok(()),
        answer => Err(Stopped::Failed(format!("the destination answered '{answer}' out of turn"))),
    }
}
