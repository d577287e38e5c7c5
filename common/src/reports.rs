//! What compute hosts report: facts that flow back, against the direction of the commands.
//!
//! A report about an instance is a snapshot, not a delta: it says what the host knows of the instance now. So a later
//! report always subsumes an earlier one, and a report can be repeated or lost without harm: reconciliation brings the
//! newest again from the host's journal.
//!
//! Numbers: `seq` grows by one with each report of a host and lives in the host's journal. A new journal starts at its
//! creation time in microseconds, so that a host whose disk was lost counts on above what it has ever sent.
//!
//! Reports travel as notifications of topic [`TOPIC`], event type [`Report::event_type`], one consumer at a time, by an
//! exchange of their own: a host that may report may not, by that, command. Who has sent one the broker knows;
//! [`may_speak_for`] says for which host that counts.

use novella_messaging::{NotificationListener, NotificationListenerBuilder, Notifier, Target, Transport};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{HostIdentity, Incarnation, InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::{ActionEvent, Inventory, MigrationProgress},
};

/// The notification topic that reports travel on; the queue is `reports.info`.
pub const TOPIC: &str = "reports";

/// The exchange that reports go by, beside this control exchange.
#[must_use]
pub fn exchange(control_exchange: &str) -> String {
    format!("{control_exchange}_reports")
}

fn target(transport: &Transport) -> Target {
    Target::new(TOPIC).exchange(exchange(&transport.options().control_exchange))
}

/// What sends reports, signed `publisher_id`.
#[must_use]
pub fn notifier(transport: &Transport, publisher_id: &str) -> Notifier {
    Notifier::to(transport, target(transport), publisher_id).single_active_consumer(true)
}

/// What hears reports: also those of hosts of an earlier version, which send them by the control exchange.
pub fn listener(transport: &Transport) -> NotificationListenerBuilder {
    NotificationListener::builder(transport, TOPIC).target(target(transport)).single_active_consumer(true)
}

/// The broker's user of a conductor that has one of its own, as `novella bus grant conductor` makes it.
pub const CONDUCTOR_USER: &str = "conductor";

/// The broker's user of a host that has one of its own, as `novella bus grant` makes it.
#[must_use]
pub fn host_user(host: &str) -> String {
    format!("compute.{host}")
}

/// Somebody reports for a host that it has no right to speak for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// Another user of the broker.
    #[error("the broker's user `{0}` does not speak for this host")]
    By(String),
    /// It does not say who it is, and everybody who may speak does.
    #[error("its sender does not say who it is")]
    Unsigned,
}

/// Whether what `sender` says of `host` is the host's word. `own` is the user of whoever asks
/// ([`Transport::user`]).
///
/// A host that has a user of its own speaks for itself alone. Who has the same user as the one that asks is believed: the
/// conductors themselves, and everybody where all share one user. An unsigned report (a host of an earlier version, or
/// somebody who hides) is believed only as long as the conductors have no user of their own.
///
/// # Errors
/// Why it is not.
pub fn may_speak_for(host: &str, sender: Option<&str>, own: Option<&str>) -> Result<(), Forged> {
    // In process nobody else is on the bus.
    let Some(own) = own else { return Ok(()) };
    match sender {
        None if own == CONDUCTOR_USER => Err(Forged::Unsigned),
        None => Ok(()),
        Some(sender) if sender == own || sender.strip_prefix("compute.") == Some(host) => Ok(()),
        Some(sender) => Err(Forged::By(sender.to_owned())),
    }
}

/// One fact from one host, or a conductor's echo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The host that says so.
    pub host: String,
    /// What it says.
    pub fact: Fact,
}

/// What can be said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fact {
    /// The host has started, and waits to be reconciled. Repeated until it is.
    Hello(Hello),
    /// The host is there: its heartbeat.
    Alive {
        /// Its present run.
        incarnation: Incarnation,
    },
    /// The host stops in good order: no work is to be given to it until it says hello again.
    Goodbye {
        /// The run that ends.
        incarnation: Incarnation,
    },
    /// A conductor's own, by which conductors see that reports come through, whatever the hosts do.
    Echo,
    /// What became of an instance.
    Instance(InstanceReport),
    /// How far a live migration is, from its source.
    Migration(MigrationReport),
}

/// What a host says when it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Its present run.
    pub incarnation: Incarnation,
    /// What it has.
    pub inventory: Inventory,
    /// What it is beside its name; `None`: it keeps no state, and is whoever says its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<HostIdentity>,
}

/// What a host knows of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// Which instance.
    pub instance: InstanceUuid,
    /// The report's number.
    pub seq: i64,
    /// The operation it belongs to; `None` for what happened by itself, such as a guest that died.
    pub task_id: Option<TaskId>,
    /// The request that asked for the operation.
    pub request_id: Option<String>,
    /// What the guest does.
    pub power_state: PowerState,
    /// How far the operation is.
    pub progress: OperationProgress,
    /// The operation's event for the instance action, as it stands now.
    pub event: Option<ActionEvent>,
}

/// How far an operation on an instance is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum OperationProgress {
    /// Under way, in this state.
    Doing {
        /// The new `task_state`.
        task_state: TaskState,
    },
    /// Done: nothing is under way now. Also what a host says of an instance whose guest changed by itself.
    Done {
        /// The new `vm_state`.
        vm_state: VmState,
    },
    /// Done, and the `vm_state` is what it was before the operation: nothing is under way now.
    Unchanged,
    /// Failed: nothing is under way now.
    Failed {
        /// The new `vm_state`; `None`: as it was before the operation.
        vm_state: Option<VmState>,
        /// The fault's text, for users.
        message: String,
        /// For administrators.
        details: Option<String>,
        /// For a build: whether another host might succeed.
        #[serde(alias = "elsewhere")]
        reschedule: bool,
    },
    /// The instance and all it had on the host is gone.
    Gone,
}

/// How far a live migration is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationReport {
    /// Which migration.
    pub migration: MigrationUuid,
    /// The instance that moves.
    pub instance: InstanceUuid,
    /// The report's number.
    pub seq: i64,
    /// The operation it belongs to.
    pub task_id: TaskId,
    /// How much is copied.
    pub progress: MigrationProgress,
    /// What has become of it.
    pub outcome: MigrationOutcome,
}

/// What has become of a live migration, as its source sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum MigrationOutcome {
    /// Copying.
    Running,
    /// The guest runs on the destination and no longer here.
    Switched,
    /// Given up because a person asked for it; the guest runs here as before.
    Cancelled,
    /// Given up; the guest runs here as before.
    Failed {
        /// For the server's history.
        message: String,
    },
}

impl Report {
    /// The notification's event type.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        match self.fact {
            Fact::Hello(_) => "compute.hello",
            Fact::Alive { .. } => "compute.alive",
            Fact::Goodbye { .. } => "compute.goodbye",
            Fact::Echo => "conductor.echo",
            Fact::Instance(_) => "compute.instance",
            Fact::Migration(_) => "compute.migration",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_speaks_for_itself_and_nobody_else_does() {
        let says = |host: &str, sender: Option<&str>, own: Option<&str>| may_speak_for(host, sender, own);
        let (one, two) = (host_user("host-1"), host_user("host-2"));
        assert_eq!(says("host-1", Some(&one), Some(CONDUCTOR_USER)), Ok(()));
        assert_eq!(says("host-1", Some(&two), Some(CONDUCTOR_USER)), Err(Forged::By(two.clone())));
        assert_eq!(says("host-1", None, Some(CONDUCTOR_USER)), Err(Forged::Unsigned));
        assert_eq!(says("conductor-1", Some(CONDUCTOR_USER), Some(CONDUCTOR_USER)), Ok(()));
        // One user for all, hosts of an earlier version among them, and the first host that has its own.
        for (sender, said) in [(Some("novella"), Ok(())), (None, Ok(())), (Some(&*two), Err(Forged::By(two.clone())))] {
            assert_eq!(says("host-1", sender, Some("novella")), said);
        }
        assert_eq!(says("host-1", None, None), Ok(()));
    }
}
