//! A simulated hypervisor: everything a real one does, in time and in state, without a single real guest.
//!
//! Its guests outlive the process, as real ones do: they are in the state directory. Thousands of hosts fit into one
//! process: a host costs no thread, and all of them share one file and one migration listener.
//!
//! # What one server can ask for
//!
//! `[compute.fake]` ([`FakeConfig`]) says how all guests behave. A server's own metadata overrides it:
//!
//! | key | value | effect |
//! | --- | --- | --- |
//! | `fake:build_seconds` | seconds | how long its first start takes |
//! | `fake:fail_build` | `always`, or host names with commas | its build fails there |
//! | `fake:power_seconds` | seconds | how long each power operation takes |
//! | `fake:fail_power` | `always`, or names with commas of `power_off`, `power_on`, `reboot`, `pause`, `unpause`, `suspend`, `resume`, `trigger_crash_dump` | those operations fail |
//! | `fake:fail_plug` | `always`, or host names with commas | its interfaces can't be plugged there |
//! | `fake:dirty_rate_mib` | MiB/s | how much memory it dirties |
//! | `fake:bandwidth_mib` | MiB/s, 0 without limit | how fast its migration copies |
//! | `fake:max_downtime_seconds` | seconds | how long it may stand still for the switch |
//! | `fake:fail_pre_migration` | `always`, or host names with commas | those destinations can't prepare for it |
//! | `fake:fail_migration_at` | percent | its migration fails when so much is copied |
//! | `fake:crash_after` | seconds | it dies that long after each boot |
//! | `fake:shutdown_after` | seconds | it powers itself off that long after each boot |
//!
//! `docs/faults.md` has an example for each. A key that is not in this table, or a value that can't be read, fails the build with a text that names the key.
//!
//! # Where things are
//!
//! `guest` is a guest's record, `hypervisor` keeps all of them, `power` changes them, `interfaces` what
//! they are plugged into, `faults` is where faults of run time fire. A live migration is `precopy`
//! (how much, how long: pure), `handover` (who runs the guest: pure), `outgoing` (the source's end) and `incoming`
//! (the destination's), which talk over TCP in the frames of `channel`.

mod chance;
mod channel;
mod cold_migration;
mod config;
mod faults;
mod guest;
mod handover;
mod hypervisor;
mod incoming;
mod interfaces;
mod migration;
mod outgoing;
mod peers;
mod power;
mod precopy;
mod settings;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use chance::Chance;
use guest::Guest;
use hypervisor::Hypervisor;
use novella_common::{
    faults::{Faults, HostOperation},
    ids::{InstanceUuid, MigrationUuid},
    lifecycle::PowerState,
    models::{InstanceSpec, Resources, Vif},
};
use outgoing::Outgoing;
use parking_lot::Mutex;
use settings::Settings;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::{Driver, DriverFuture, Hardware};
use crate::{
    rpcapi::{ComputeError, Diagnostics},
    store::{Store, StoreError},
};

pub use config::FakeConfig;
pub(crate) use incoming::Hub;
pub(crate) use peers::Peers;

/// How many guests may have died unnoticed before the next is left to reconciliation.
const EVENTS: usize = 1024;

/// Where a fake host listens for incoming migrations, and what it calls that.
#[derive(Clone, Debug)]
pub(crate) struct MigrationAddress {
    /// The address to listen on.
    pub(crate) listen: SocketAddr,
    /// The name or address that other hosts reach it under; `None`: the address listened on.
    pub(crate) advertised: Option<String>,
    /// How hosts reach each other.
    pub(crate) peers: Peers,
}

/// One simulated host.
#[derive(Debug)]
pub(crate) struct FakeDriver {
    /// Handed to the tasks it starts, so that they do not keep it alive.
    me: Weak<FakeDriver>,
    host: String,
    config: FakeConfig,
    address: MigrationAddress,
    chance: Chance,
    /// Those that are set at run time.
    faults: Option<Faults>,
    hypervisor: Hypervisor,
    hub: Arc<Hub>,
    /// Migrations that leave, while they copy or switch.
    outgoing: Mutex<HashMap<InstanceUuid, Arc<Outgoing>>>,
    /// The requests of the migrations that are expected here, for the lines of their connections.
    expected: Mutex<HashMap<MigrationUuid, Span>>,
    events: Mutex<Option<mpsc::Sender<InstanceUuid>>>,
    /// Ends all that the driver does by itself. The guests, as records, stay.
    life: CancellationToken,
    started: Instant,
}

impl FakeDriver {
    /// Takes over the guests that `store` holds for `host`. Nothing of it moves after `life` is cancelled.
    pub(crate) async fn open(
        store: &Arc<Store>,
        hub: &Arc<Hub>,
        host: &str,
        config: FakeConfig,
        address: MigrationAddress,
        faults: Option<Faults>,
        life: CancellationToken,
    ) -> Result<Arc<Self>, StoreError> {
        let hypervisor = Hypervisor::open(store, host).await?;
        let driver = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            host: host.to_owned(),
            chance: Chance::new(config.seed, host),
            config,
            address,
            faults,
            hypervisor,
            hub: hub.clone(),
            outgoing: Mutex::default(),
            expected: Mutex::default(),
            events: Mutex::default(),
            life,
            started: Instant::now(),
        });
        hub.register(host, &driver);
        for instance in driver.hypervisor.all(|instance, _| instance) {
            driver.follow_fate(instance);
        }
        Ok(driver)
    }

    /// Runs a task until the driver is closed.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let life = self.life.clone();
        tokio::spawn(async move { life.run_until_cancelled_owned(task).await });
    }

    fn not_found(&self, instance: InstanceUuid) -> ComputeError {
        ComputeError::InstanceNotFound { instance, host: self.host.clone() }
    }

    fn invalid(&self, instance: InstanceUuid, reason: impl Into<String>) -> ComputeError {
        ComputeError::InvalidState { instance, host: self.host.clone(), reason: reason.into() }
    }

    /// Looks at a guest that must be there.
    fn guest<R>(&self, instance: InstanceUuid, look: impl FnOnce(&Guest) -> R) -> Result<R, ComputeError> {
        self.hypervisor.look(instance, |guest| guest.map(look)).ok_or_else(|| self.not_found(instance))
    }

    async fn boot_first(&self, spec: &InstanceSpec) -> Result<(), ComputeError> {
        let instance = spec.uuid;
        if self.hypervisor.look(instance, |guest| guest.is_some()) {
            // A build that is done again after its process died between the start and the note of it.
            return Ok(self.hypervisor.barrier().durable().await?);
        }
        let settings = Settings::of(spec).map_err(|reason| self.invalid(instance, reason))?;
        let time = settings
            .build_time
            .unwrap_or_else(|| self.chance.between(self.config.boot_seconds_min, self.config.boot_seconds_max));
        pause(time).await;
        self.fault(HostOperation::Build, spec).await?;
        if settings.fail_build.names(&self.host) || self.chance.happens(self.config.build_failure) {
            let message = format!("the simulated hypervisor on {} failed to start instance {instance}", self.host);
            return Err(ComputeError::Failed { message });
        }
        let commit = self.hypervisor.change(instance, |guest| {
            *guest = Some(Guest::booted(spec));
            Ok(())
        })?;
        commit.durable().await?;
        self.follow_fate(instance);
        Ok(())
    }

    async fn remove(&self, instance: InstanceUuid) -> Result<(), ComputeError> {
        self.stop_copying(instance).await;
        let commit = self.hypervisor.change(instance, |guest| {
            *guest = None;
            Ok(())
        })?;
        Ok(commit.durable().await?)
    }
}

/// Waits; not at all for no time, so that a simulation without delays has none.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

impl Driver for FakeDriver {
    fn hardware(&self) -> Hardware {
        Hardware {
            total: Resources {
                vcpus: self.config.vcpus,
                memory_mb: self.config.memory_mb,
                disk_gb: self.config.disk_gb,
            },
            hypervisor_type: "fake".into(),
            hypervisor_version: 1_000_000,
            cpu_info: serde_json::json!({
                "arch": "x86_64",
                "model": "simulated",
                "vendor": "Novella",
                "features": [],
                "topology": { "sockets": 1, "cores": self.config.vcpus, "threads": 1 },
            }),
        }
    }

    fn uptime(&self) -> String {
        let up = self.started.elapsed().as_secs();
        let (days, hours, minutes) = (up / 86_400, up / 3600 % 24, up / 60 % 60);
        let now = jiff::Timestamp::now().strftime("%H:%M:%S");
        format!(" {now} up {days} days, {hours:2}:{minutes:02},  0 users,  load average: 0.00, 0.00, 0.00")
    }

    fn guests(&self) -> Vec<(InstanceUuid, PowerState)> {
        self.hypervisor.all(|instance, guest| (instance, guest.power_state()))
    }

    fn power_state(&self, instance: InstanceUuid) -> Option<PowerState> {
        self.hypervisor.look(instance, |guest| guest.map(Guest::power_state))
    }

    fn events(&self) -> mpsc::Receiver<InstanceUuid> {
        let (sender, receiver) = mpsc::channel(EVENTS);
        *self.events.lock() = Some(sender);
        receiver
    }

    fn plug_networks<'a>(&'a self, spec: &'a InstanceSpec) -> DriverFuture<'a, ()> {
        Box::pin(self.plug_all(spec))
    }

    fn attach_disks<'a>(&'a self, _spec: &'a InstanceSpec) -> DriverFuture<'a, ()> {
        Box::pin(async {
            pause(self.config.disk_seconds).await;
            Ok(())
        })
    }

    fn spawn<'a>(&'a self, spec: &'a InstanceSpec) -> DriverFuture<'a, ()> {
        Box::pin(self.boot_first(spec))
    }

    fn destroy(&self, instance: InstanceUuid) -> DriverFuture<'_, ()> {
        Box::pin(self.remove(instance))
    }

    fn power_off(&self, instance: InstanceUuid) -> DriverFuture<'_, ()> {
        Box::pin(self.change_power(instance, &power::POWER_OFF))
    }

    fn power_on(&self, instance: InstanceUuid) -> DriverFuture<'_, ()> {
        Box::pin(self.change_power(instance, &power::POWER_ON))
    }

    fn reboot_soft(&self, instance: InstanceUuid) -> DriverFuture<'_, ()> {
        Box::pin(self.change_power(instance, &power::REBOOT_SOFT))
    }

    fn reboot_hard(&self, instance: InstanceUuid) -> DriverFuture<'_, ()> {
        Box::pin(self.change_power(instance, &power::REBOOT_HARD))
    }

    fn pause(&self, instance: InstanceUuid) -> DriverFuture<'_, ()> {
        Box::pin(self.change_power(instance, &power::PAUSE))
    }

    fn unpause(&self, instance: InstanceUuid) -> DriverFuture<'_, ()> {
        Box::pin(self.change_power(instance, &power::UNPAUSE))
    }

    fn suspend(&self, instance: InstanceUuid) -> DriverFuture<'_, ()> {
        Box::pin(self.change_power(instance, &power::SUSPEND))
    }

    fn resume(&self, instance: InstanceUuid) -> DriverFuture<'_, ()> {
        Box::pin(self.change_power(instance, &power::RESUME))
    }

    fn trigger_crash_dump(&self, instance: InstanceUuid) -> DriverFuture<'_, ()> {
        Box::pin(self.inject_nmi(instance))
    }

    fn set_admin_password<'a>(&'a self, instance: InstanceUuid, password: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(self.keep_password(instance, password))
    }

    fn console_output(&self, instance: InstanceUuid, tail: Option<usize>) -> DriverFuture<'_, String> {
        Box::pin(async move { self.guest(instance, |guest| guest.console(tail)) })
    }

    fn attach_interface<'a>(&'a self, instance: InstanceUuid, vif: &'a Vif) -> DriverFuture<'a, ()> {
        Box::pin(self.attach(instance, vif))
    }

    fn detach_interface<'a>(&'a self, instance: InstanceUuid, port_id: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(self.detach(instance, port_id))
    }

    fn diagnostics(&self, instance: InstanceUuid) -> DriverFuture<'_, Diagnostics> {
        Box::pin(async move { self.guest(instance, Guest::diagnostics) })
    }
}
