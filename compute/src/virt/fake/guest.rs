//! A simulated guest: what the simulated hypervisor remembers of it.

use std::{collections::VecDeque, fmt, time::Duration};

use jiff::Timestamp;
use novella_common::{lifecycle::PowerState, models::InstanceSpec};
use serde::{Deserialize, Serialize};

use super::{
    handover::{self, Transfer},
    settings::Settings,
};
use crate::rpcapi::Diagnostics;

/// How much of its past a guest's console shows. The record is written at each change, so it stays small.
const REMEMBERED: usize = 32;

/// One guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guest {
    pub(super) spec: InstanceSpec,
    pub(super) power: PowerState,
    /// Its part in a live migration.
    pub(super) transfer: Option<Transfer>,
    /// When it last booted.
    pub(super) booted_at: Option<Timestamp>,
    /// How often it booted; tells a timer of an earlier life from one of this.
    pub(super) boots: u32,
    past: VecDeque<(Timestamp, Moment)>,
    /// The administrator's password, if one was set since the guest was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) admin_password: Option<Password>,
}

/// A password, which no log shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Password(pub(super) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What a guest's console shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Moment {
    Booted,
    PoweredOff,
    Crashed,
    CrashDumped,
    PasswordSet,
    Paused,
    Unpaused,
    Suspended,
    Resumed,
    Arrived,
}

impl Guest {
    /// A guest that runs for the first time.
    pub(super) fn booted(spec: &InstanceSpec) -> Self {
        let mut guest = Self::absent(spec, None);
        guest.becomes(PowerState::Running, Moment::Booted);
        guest
    }

    /// A guest that is to arrive.
    pub(super) fn absent(spec: &InstanceSpec, transfer: Option<Transfer>) -> Self {
        Self {
            spec: spec.clone(),
            power: PowerState::NoState,
            transfer,
            booted_at: None,
            boots: 0,
            past: VecDeque::new(),
            admin_password: None,
        }
    }

    /// Whether this host is where it runs or would run.
    pub(super) fn is_here(&self) -> bool {
        handover::runs_here(self.transfer.as_ref())
    }

    /// What it does, as its host sees it.
    pub(super) fn power_state(&self) -> PowerState {
        match self.transfer {
            Some(Transfer::Expected { .. } | Transfer::Gone { .. }) => PowerState::NoState,
            Some(Transfer::Switching { .. }) => PowerState::Paused,
            Some(Transfer::Copying { .. }) | None => self.power,
        }
    }

    /// Another state from now on.
    pub(super) fn becomes(&mut self, power: PowerState, moment: Moment) {
        let now = Timestamp::now();
        if moment == Moment::Booted {
            self.booted_at = Some(now);
            self.boots += 1;
        }
        self.power = power;
        self.notes(now, moment);
    }

    /// It has come from another host.
    pub(super) fn arrives(mut self) -> Self {
        self.transfer = None;
        self.notes(Timestamp::now(), Moment::Arrived);
        self
    }

    fn notes(&mut self, when: Timestamp, moment: Moment) {
        if self.past.len() == REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back((when, moment));
    }

    /// When, after now, and how this guest is to die by itself, if its metadata asks for it.
    pub(super) fn fate(&self) -> Option<(Duration, PowerState, Moment)> {
        let settings = Settings::of_built(&self.spec);
        let (after, power, moment) = match (settings.crash_after, settings.shutdown_after) {
            (Some(after), _) => (after, PowerState::Crashed, Moment::Crashed),
            (None, Some(after)) => (after, PowerState::Shutdown, Moment::PoweredOff),
            (None, None) => return None,
        };
        let lived = Timestamp::now().duration_since(self.booted_at?);
        Some((after.saturating_sub(lived.unsigned_abs()), power, moment))
    }

    /// The console, oldest line first: the whole of it, or its last lines, without a line break behind them.
    pub(super) fn console(&self, tail: Option<usize>) -> String {
        let lines: Vec<String> = self.past.iter().flat_map(|(when, moment)| self.lines(*when, *moment)).collect();
        match tail {
            None => lines.iter().fold(String::new(), |text, line| text + line + "\n"),
            Some(tail) => lines[lines.len().saturating_sub(tail)..].join("\n"),
        }
    }

    /// A simulated vCPU works all the time that its guest runs.
    pub(super) fn diagnostics(&self) -> Diagnostics {
        let power_state = self.power_state();
        let booted_at = self.booted_at.filter(|_| power_state == PowerState::Running);
        let uptime = booted_at.map(|booted| Timestamp::now().duration_since(booted).as_secs().max(0));
        let cpu_time_ns = uptime.unwrap_or(0).saturating_mul(1_000_000_000);
        let flavor = &self.spec.flavor;
        let extra_disks = [flavor.ephemeral_gb, flavor.swap_mb].into_iter().filter(|size| *size > 0).count();
        Diagnostics {
            power_state,
            hypervisor: "fake".into(),
            uptime_seconds: uptime,
            cpu_time_ns: vec![cpu_time_ns; usize::try_from(flavor.vcpus).unwrap_or(0)],
            memory_mb: flavor.memory_mb,
            disks: u32::try_from(1 + extra_disks).unwrap_or(1),
            nics: u32::try_from(self.spec.network_info.0.len()).unwrap_or(u32::MAX),
        }
    }

    fn lines(&self, when: Timestamp, moment: Moment) -> Vec<String> {
        let flavor = &self.spec.flavor;
        let hostname = &self.spec.hostname;
        match moment {
            Moment::Booted => vec![
                format!("[    0.000000] Simulated machine {}, booted {when}", self.spec.uuid),
                format!("[    0.000000] Memory: {} MiB, {} CPUs", flavor.memory_mb, flavor.vcpus),
                format!("[    0.012000] vda: {} GiB disk", flavor.disk_gb),
                format!("[    0.031000] cloud-init: set hostname to {hostname}"),
                String::new(),
                format!("{hostname} login:"),
            ],
            Moment::PoweredOff => vec![format!("[{when}] Power down.")],
            Moment::Crashed => vec![format!("[{when}] Kernel panic - not syncing: simulated crash")],
            Moment::CrashDumped => vec![
                format!("[{when}] Kernel panic - not syncing: NMI: not continuing"),
                format!("[{when}] kdump: saved vmcore, rebooting"),
            ],
            Moment::PasswordSet => vec![format!("[{when}] passwd: password for root changed")],
            Moment::Paused => vec![format!("[{when}] (paused)")],
            Moment::Unpaused => vec![format!("[{when}] (goes on)")],
            Moment::Suspended => vec![format!("[{when}] PM: suspend to disk")],
            Moment::Resumed => vec![format!("[{when}] PM: resumed from disk")],
            Moment::Arrived => vec![format!("[{when}] (migrated to another host)")],
        }
    }
}
