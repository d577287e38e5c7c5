//! Power operations of simulated guests, and guests that die by themselves.

use novella_common::{faults::HostOperation, ids::InstanceUuid, lifecycle::PowerState};

use super::{
    FakeDriver,
    guest::{Moment, Password},
    pause,
    settings::Settings,
};
use crate::rpcapi::ComputeError;

/// One power operation.
pub(super) struct Change {
    /// What it is called, in `fake:fail_power` too.
    operation: HostOperation,
    /// The states it can begin in, besides the one it ends in.
    from: &'static [PowerState],
    to: PowerState,
    moment: Moment,
    /// Whether it does something even where its end is reached already.
    always: bool,
}

use PowerState::{Crashed, NoState, Paused, Running, Shutdown, Suspended};

const ANY: &[PowerState] = &[NoState, Running, Paused, Shutdown, Crashed, Suspended];

pub(super) const POWER_OFF: Change =
    Change { operation: HostOperation::PowerOff, from: ANY, to: Shutdown, moment: Moment::PoweredOff, always: false };
pub(super) const POWER_ON: Change = Change {
    operation: HostOperation::PowerOn,
    from: &[Shutdown, Crashed],
    to: Running,
    moment: Moment::Booted,
    always: false,
};
pub(super) const REBOOT_SOFT: Change =
    Change { operation: HostOperation::Reboot, from: &[Running], to: Running, moment: Moment::Booted, always: true };
pub(super) const REBOOT_HARD: Change =
    Change { operation: HostOperation::Reboot, from: ANY, to: Running, moment: Moment::Booted, always: true };
pub(super) const PAUSE: Change =
    Change { operation: HostOperation::Pause, from: &[Running], to: Paused, moment: Moment::Paused, always: false };
pub(super) const UNPAUSE: Change =
    Change { operation: HostOperation::Unpause, from: &[Paused], to: Running, moment: Moment::Unpaused, always: false };
pub(super) const SUSPEND: Change = Change {
    operation: HostOperation::Suspend,
    from: &[Running],
    to: Suspended,
    moment: Moment::Suspended,
    always: false,
};
pub(super) const RESUME: Change = Change {
    operation: HostOperation::Resume,
    from: &[Suspended],
    to: Running,
    moment: Moment::Resumed,
    always: false,
};

impl FakeDriver {
    pub(super) async fn change_power(&self, instance: InstanceUuid, change: &Change) -> Result<(), ComputeError> {
        let spec = self.guest(instance, |guest| guest.spec.clone())?;
        let settings = Settings::of_built(&spec);
        if self.may_change(instance, change)? {
            pause(settings.power_time.unwrap_or(self.config.power_seconds)).await;
            self.fault(change.operation, &spec).await?;
            if settings.fails(change.operation.as_str()) || self.chance.happens(self.config.power_failure) {
                let message = format!(
                    "the simulated hypervisor on {} failed to {} instance {instance}",
                    self.host, change.operation
                );
                return Err(ComputeError::Failed { message });
            }
        }
        // Looked at once more: the guest may have died meanwhile.
        if !self.may_change(instance, change)? {
            return Ok(self.hypervisor.barrier().durable().await?);
        }
        let commit = self.hypervisor.change(instance, |guest| {
            let guest = guest.as_mut().ok_or_else(|| self.not_found(instance))?;
            guest.becomes(change.to, change.moment);
            Ok(())
        })?;
        commit.durable().await?;
        if change.to == Running {
            self.follow_fate(instance);
        }
        Ok(())
    }

    /// A running guest's kernel panics over the interrupt, writes its dump and boots again. A paused one takes no
    /// interrupt before it goes on, and then behaves as if there had been none.
    pub(super) async fn inject_nmi(&self, instance: InstanceUuid) -> Result<(), ComputeError> {
        const NAME: HostOperation = HostOperation::TriggerCrashDump;
        let spec = self.guest(instance, |guest| guest.spec.clone())?;
        self.fault(NAME, &spec).await?;
        if Settings::of_built(&spec).fails(NAME.as_str()) || self.chance.happens(self.config.power_failure) {
            let message = format!("the simulated hypervisor on {} failed to {NAME} instance {instance}", self.host);
            return Err(ComputeError::Failed { message });
        }
        let commit = self.hypervisor.change(instance, |guest| match guest {
            None => Err(self.not_found(instance)),
            Some(guest) if !guest.is_here() => Err(self.invalid(instance, "it is being moved to another host")),
            Some(guest) if guest.power == Running => {
                guest.becomes(Running, Moment::CrashDumped);
                guest.becomes(Running, Moment::Booted);
                Ok(())
            }
            Some(guest) if guest.power == Paused => Ok(()),
            Some(_) => Err(self.invalid(instance, "the guest does not run")),
        })?;
        commit.durable().await?;
        self.follow_fate(instance);
        Ok(())
    }

    /// The guest keeps the password, and its console says that it was set.
    pub(super) async fn keep_password(&self, instance: InstanceUuid, password: &str) -> Result<(), ComputeError> {
        let commit = self.hypervisor.change(instance, |guest| match guest {
            None => Err(self.not_found(instance)),
            Some(guest) if guest.is_here() && guest.power == Running => {
                guest.admin_password = Some(Password(password.to_owned()));
                guest.becomes(Running, Moment::PasswordSet);
                Ok(())
            }
            Some(_) => Err(self.invalid(instance, "the guest does not run here")),
        })?;
        Ok(commit.durable().await?)
    }

    /// Whether there is anything to do; an error if it can't be done.
    fn may_change(&self, instance: InstanceUuid, change: &Change) -> Result<bool, ComputeError> {
        let (here, power) = self.guest(instance, |guest| (guest.is_here(), guest.power))?;
        if !here {
            return Err(self.invalid(instance, "it is being moved to another host"));
        }
        if power == change.to && !change.always {
            return Ok(false);
        }
        if !change.from.contains(&power) {
            let reason = format!("cannot {} a guest in power state {power}", change.operation);
            return Err(self.invalid(instance, reason));
        }
        Ok(true)
    }

    /// Lets a guest die when its metadata says that it does.
    pub(super) fn follow_fate(&self, instance: InstanceUuid) {
        let fate = self.hypervisor.look(instance, |guest| {
            let guest = guest.filter(|guest| guest.is_here() && guest.power == Running)?;
            Some((guest.fate()?, guest.boots))
        });
        let Some(((after, power, moment), boots)) = fate else {
            return;
        };
        let me = self.me.clone();
        self.spawn(async move {
            tokio::time::sleep(after).await;
            let Some(driver) = me.upgrade() else { return };
            let died = driver.hypervisor.change(instance, |guest| match guest {
                Some(guest) if guest.is_here() && guest.power == Running && guest.boots == boots => {
                    guest.becomes(power, moment);
                    Ok(())
                }
                _ => Err(driver.invalid(instance, "it has gone or changed before")),
            });
            // Not this guest any more, or the process is about to end: nothing has happened.
            let Ok(commit) = died else { return };
            if commit.durable().await.is_err() {
                return;
            }
            let events = driver.events.lock().clone();
            if let Some(events) = events
                && events.try_send(instance).is_err()
            {
                tracing::debug!(%instance, "a guest's end is left to reconciliation");
            }
        });
    }
}
