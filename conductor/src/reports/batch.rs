//! A batch of reports, sorted by what they are about.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use novella_common::{
    ids::{HostIdentity, Incarnation, InstanceUuid, MigrationUuid},
    reports::{self, Fact, Hello, InstanceReport, MigrationReport, Report},
};
use novella_messaging::{Excerpt, Notification};

use super::plausible::{self, Implausible};

/// A batch of reports, sorted by what they are about; the order of the queue is kept within each.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The last hello of each host; of each machine, where several use one name.
    pub(crate) hellos: BTreeMap<(String, Option<HostIdentity>), Hello>,
    /// The runs of hosts that were heard.
    pub(crate) alive: HashSet<(String, Incarnation)>,
    /// The runs of hosts that stop.
    pub(crate) goodbyes: Vec<(String, Incarnation)>,
    /// Whether there is something in it that comes at regular times.
    pub(crate) is_heartbeat: bool,
    /// About instances, with the host that says so.
    pub(crate) instances: BTreeMap<InstanceUuid, Vec<(String, InstanceReport)>>,
    /// About live migrations, with the host that says so.
    pub(crate) migrations: BTreeMap<MigrationUuid, Vec<(String, MigrationReport)>>,
    /// Hosts that count their reports wrongly.
    pub(crate) reconcile: Vec<String>,
}

impl Batch {
    /// Reads notifications, as the broker's user `own`. What is no report, or is not its sender's to make, can never be
    /// applied: it is counted and left out. Of each batch one is named in the log: there may be many.
    pub(crate) fn read<'a>(notifications: impl IntoIterator<Item = &'a Notification>, own: Option<&str>) -> Self {
        let mut batch = Self::default();
        let now = Timestamp::now();
        let (mut malformed, mut forged) = (LeftOut::default(), LeftOut::default());
        for notification in notifications {
            match serde_json::from_value::<Report>(notification.payload.clone()) {
                Ok(mut report) => match reports::may_speak_for(&report.host, notification.sender.as_deref(), own) {
                    Ok(()) => match plausible::check(&mut report, now) {
                        Ok(()) => batch.add(report),
                        Err(error) => batch.refuse(report, &error),
                    },
                    Err(reason) => forged.add(notification, || format!("for {}: {reason}", report.host)),
                },
                Err(error) => malformed.add(notification, || error.to_string()),
            }
        }
        metrics::counter!("reports_malformed_total").increment(malformed.count);
        metrics::counter!("reports_forged_total").increment(forged.count);
        malformed.tell("notifications on the reports' topic are no reports; they are left out");
        forged.tell("reports are left out: they are not from the host that they speak for");
        batch
    }

    fn refuse(&mut self, report: Report, error: &Implausible) {
        metrics::counter!("reports_implausible_total").increment(1);
        tracing::warn!(
            host = ?report.host,
            event_type = report.event_type(),
            %error,
            "a host says what can't be true, and is not believed"
        );
        // Whatever it has to say of its instances is asked for again.
        if let Implausible::FromTheFuture { .. } = error {
            self.reconcile.push(report.host);
        }
    }

    fn add(&mut self, report: Report) {
        let host = report.host;
        match report.fact {
            Fact::Echo => self.is_heartbeat = true,
            Fact::Goodbye { incarnation } => self.goodbyes.push((host, incarnation)),
            Fact::Hello(hello) => {
                self.is_heartbeat = true;
                self.hellos.insert((host, hello.identity), hello);
            }
            Fact::Alive { incarnation } => {
                self.is_heartbeat = true;
                self.alive.insert((host, incarnation));
            }
            Fact::Instance(report) => self.instances.entry(report.instance).or_default().push((host, report)),
            Fact::Migration(report) => self.migrations.entry(report.migration).or_default().push((host, report)),
        }
    }
}

/// What is left out of a batch for one reason.
#[derive(Default)]
struct LeftOut<'a> {
    count: u64,
    first: Option<(&'a Notification, String)>,
}

impl<'a> LeftOut<'a> {
    fn add(&mut self, notification: &'a Notification, why: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(|| (notification, why()));
    }

    fn tell(&self, what: &str) {
        let Some((first, why)) = &self.first else { return };
        tracing::error!(
            count = self.count,
            sender = first.sender.as_deref(),
            reason = %Excerpt(why),
            message_id = %Excerpt(&first.message_id),
            publisher_id = %Excerpt(&first.publisher_id),
            event_type = %Excerpt(&first.event_type),
            payload = %Excerpt(&first.payload.to_string()),
            "{what}"
        );
    }
}
