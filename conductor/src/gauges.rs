//! Gauges of the whole cloud: servers, hosts, migrations, and what waits on the bus.

use std::{collections::HashSet, sync::Arc};

use metrics::gauge;
use novella_common::{
    db::{DbError, figures, services},
    models::Binary,
    reports,
};
use novella_messaging::{DeadLetter, MessagingError, Transport};

use crate::shared::Shared;

/// Sets the gauges from time to time.
pub(crate) struct Gauges {
    shared: Arc<Shared>,
    transport: Transport,
    /// What was not zero the last time: what is none any more must be set to zero once.
    seen: HashSet<Labels>,
}

/// A gauge's name and labels.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Labels {
    name: &'static str,
    labels: Vec<(&'static str, String)>,
}

impl Gauges {
    pub(crate) fn new(shared: Arc<Shared>, transport: Transport) -> Self {
        Self { shared, transport, seen: HashSet::new() }
    }

    /// Sets them until stopping is asked for.
    pub(crate) async fn run(mut self) {
        let shutdown = self.shared.shutdown.clone();
        loop {
            match self.of_database().await {
                Ok(figures) => self.set(figures),
                Err(error) => tracing::debug!(%error, "the figures of the database are not known"),
            }
            match self.of_bus().await {
                Ok(queues) => {
                    for (queue, messages) in queues {
                        if queue == DeadLetter::QUEUE {
                            gauge!("dead_letters").set(messages);
                        } else {
                            gauge!("queue_messages", "queue" => queue).set(messages);
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "the figures of the bus are not known"),
            }
            if !shutdown.pause(self.shared.config.gauges_interval).await {
                return;
            }
        }
    }

    fn set(&mut self, figures: Vec<(Labels, f64)>) {
        let now: HashSet<Labels> = figures.iter().map(|(labels, _)| labels.clone()).collect();
        for gone in self.seen.difference(&now) {
            gauge!(gone.name, &gone.labels).set(0.0);
        }
        for (labels, value) in figures {
            gauge!(labels.name, &labels.labels).set(value);
        }
        self.seen = now;
    }

    async fn of_database(&self) -> Result<Vec<(Labels, f64)>, DbError> {
        let fresh_since = self.shared.fresh_since().await?;
        let mut connection = self.shared.database.read().await?;
        let mut all = Vec::new();
        let mut add = |name, labels: Vec<(&'static str, String)>, count: i64| {
            // Exact up to 2^53.
            all.push((Labels { name, labels }, count as f64));
        };
        for (state, count) in figures::servers(&mut connection).await? {
            add("servers", vec![("vm_state", state.to_string())], count);
        }
        for (state, count) in figures::busy_servers(&mut connection).await? {
            add("servers_busy", vec![("task_state", state.to_string())], count);
        }
        for (kind, status, count) in figures::migrations(&mut connection).await? {
            add(
                "migrations_under_way",
                vec![("kind", kind.as_str().to_owned()), ("status", status.as_str().to_owned())],
                count,
            );
        }
        let hosts = services::list(&mut connection, Some(Binary::Compute.as_str()), None).await?;
        let up = hosts.iter().filter(|host| host.is_up(&fresh_since)).count();
        for (state, count) in [("up", up), ("down", hosts.len() - up)] {
            add("compute_hosts", vec![("state", state.to_owned())], i64::try_from(count).unwrap_or(i64::MAX));
        }
        Ok(all)
    }

    /// The queues that services of a kind share, and the dead letters.
    async fn of_bus(&self) -> Result<Vec<(String, f64)>, MessagingError> {
        let common = ["scheduler", "conductor", &format!("{}.info", reports::TOPIC), DeadLetter::QUEUE];
        let report = self.transport.inspect(&common).await?;
        let found = report.queues.into_iter().filter(|queue| common.contains(&queue.name.as_str()));
        Ok(found.map(|queue| (queue.name, queue.ready as f64)).collect())
    }
}
