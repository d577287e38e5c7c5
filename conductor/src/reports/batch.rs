//! A batch of reports, sorted by what they are about.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use novella_common::{
    ids::{HostIdentity, Incarnation, InstanceUuid, MigrationUuid},
    reports::{Fact, Hello, InstanceReport, MigrationReport, Report},
};
use novella_messaging::Notification;

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
    /// Reads notifications. One that is no report, or that can't be true, is never applied: it is logged and left out.
    pub(crate) fn read<'a>(notifications: impl IntoIterator<Item = &'a Notification>) -> Self {
        let mut batch = Self::default();
        let now = Timestamp::now();
        for notification in notifications {
            match serde_json::from_value::<Report>(notification.payload.clone()) {
                Ok(mut report) => match plausible::check(&mut report, now) {
                    Ok(()) => batch.add(report),
                    Err(error) => batch.refuse(report, &error),
                },
                Err(error) => {
                    metrics::counter!("reports_malformed_total").increment(1);
                    tracing::error!(
                        %error,
                        message_id = notification.message_id,
                        publisher_id = notification.publisher_id,
                        event_type = notification.event_type,
                        request_id = notification.context.get("request_id").and_then(|id| id.as_str()),
                        payload = %notification.payload,
                        "a notification on the reports' topic is no report; set aside in this log"
                    );
                }
            }
        }
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
