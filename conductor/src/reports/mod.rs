//! What compute hosts say, written down.
//!
//! All conductors listen, one at a time gets reports: so their order holds. It takes what waits, writes it in one
//! transaction, does what follows from it, and acknowledges. If it dies before that, the next one gets the same reports
//! again, and finds that they are written.

mod batch;
mod fold;
mod plausible;
mod write;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{DbError, takeover},
    ids::InstanceUuid,
    reports::{self, Fact, Report},
    service::Shutdown,
    telemetry::request_span,
};
use novella_messaging::{Excerpt, MessagingError, Notification, NotificationListener, Priority, Transport};
use tracing::Instrument;

use self::{batch::Batch, write::Consequences};
use crate::{ports::Ports, reconcile::Reconciler, shared::Shared, tasks::Tasks};

/// The pause before reports are tried again that could not be written.
const PAUSE: Duration = Duration::from_secs(1);

/// How many builds are cast again in one go.
pub(crate) const RECASTS: i64 = 500;

/// A build that was cast so lately has its message on the way.
const JUST_CAST: Duration = Duration::from_secs(2);

/// Writes reports down.
pub(crate) struct Reports {
    shared: Arc<Shared>,
    reconciler: Arc<Reconciler>,
    tasks: Arc<Tasks>,
    ports: Arc<Ports>,
}

impl Reports {
    pub(crate) fn new(shared: Arc<Shared>, reconciler: Arc<Reconciler>, tasks: Arc<Tasks>, ports: Arc<Ports>) -> Self {
        Self { shared, reconciler, tasks, ports }
    }

    /// Listens until stopping is asked for.
    ///
    /// # Errors
    /// The queue can't be declared or consumed.
    pub(crate) async fn start(self, transport: &Transport) -> Result<(), MessagingError> {
        let size = self.shared.config.report_batch.clamp(1, 1000);
        let listener = reports::listener(transport)
            .priority(Priority::Info)
            .prefetch(u16::try_from(size).unwrap_or(u16::MAX))
            .max_message_bytes(self.shared.config.max_report_bytes)
            .start()
            .await?;
        let shared = Arc::clone(&self.shared);
        shared.shutdown.spawn(self.run(listener, size));
        Ok(())
    }

    async fn run(self, mut listener: NotificationListener, size: usize) {
        let shutdown = self.shared.shutdown.clone();
        loop {
            let batch = tokio::select! {
                batch = listener.next_batch(size) => batch,
                () = shutdown.requested() => None,
            };
            let Some(batch) = batch else { break };
            metrics::histogram!("reports_batch_size")
                .record(u32::try_from(batch.notifications().len()).unwrap_or(u32::MAX));
            match self.write(batch.notifications()).await {
                Ok(()) => batch.ack().await,
                Err(error) => {
                    tracing::warn!(%error, "reports could not be written; they wait");
                    batch.requeue().await;
                    if !shutdown.pause(PAUSE).await {
                        break;
                    }
                }
            }
        }
        listener.stop().await;
    }

    /// Writes a batch; if that fails, each report by itself, so that one which can't be written does not stop the
    /// others. An error means that the database can't be used.
    async fn write(&self, notifications: &[Notification]) -> Result<(), DbError> {
        let error = match self.write_together(notifications).await {
            Ok(()) => return Ok(()),
            // Not the reports' fault: they wait.
            Err(error @ (DbError::NoAnswer { .. } | DbError::Unconfirmed { .. })) => return Err(error),
            Err(error) => error,
        };
        tracing::warn!(%error, reports = notifications.len(), "a batch of reports could not be written");
        for notification in notifications {
            // A second try: two transactions may have been in each other's way.
            let Err(first) = self.write_together(std::slice::from_ref(notification)).await else { continue };
            let Err(error) = self.write_together(std::slice::from_ref(notification)).await else { continue };
            // If the database does not answer, or others hold the rows, it is not the report's fault.
            if error.is_transaction_lost() {
                return Err(error);
            }
            self.shared.database.ping().await?;
            metrics::counter!("reports_unwritable_total").increment(1);
            tracing::error!(
                %first,
                %error,
                sender = notification.sender.as_deref(),
                message_id = %Excerpt(&notification.message_id),
                publisher_id = %Excerpt(&notification.publisher_id),
                payload = %Excerpt(&notification.payload.to_string()),
                "a report can't be written; set aside in this log"
            );
        }
        Ok(())
    }

    async fn write_together(&self, notifications: &[Notification]) -> Result<(), DbError> {
        let batch = Batch::read(notifications, self.shared.bus_user.as_deref());
        let mut transaction = self.shared.database.begin().await?;
        let consequences = write::write(&self.shared, &mut transaction, &batch).await?;
        transaction.commit().await?;
        self.follow_up(consequences).await;
        Ok(())
    }

    async fn follow_up(&self, consequences: Consequences) {
        // Builds may have waited for a host.
        if consequences.began_serving
            && let Err(error) = self.recast_waiting().await
        {
            tracing::warn!(%error, "builds that wait for a host go on waiting for the search");
        }
        for host in consequences.reconcile {
            self.reconciler.request(host);
        }
        self.ports.delete_without(consequences.give_back);
        for task in consequences.tasks {
            self.tasks.resume(task);
        }
        for (instance, request_id) in consequences.recast {
            recast(&self.shared, instance, request_id.as_deref()).await;
        }
    }
}

impl Reports {
    async fn recast_waiting(&self) -> Result<(), DbError> {
        let waiting = {
            let mut connection = self.shared.database.write().await?;
            takeover::waiting_builds(&mut connection, Timestamp::now() - JUST_CAST, RECASTS).await?
        };
        for build in waiting {
            recast(&self.shared, build.instance, build.request_id.as_deref()).await;
        }
        Ok(())
    }
}

/// Sends an echo at once and then each `interval`, until stopping is asked for.
pub(crate) fn send_echoes(transport: &Transport, conductor: String, interval: Duration, shutdown: &Shutdown) {
    let notifier = reports::notifier(transport, &format!("conductor.{conductor}"));
    let echo = Report { host: conductor, fact: Fact::Echo };
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        loop {
            let sent = notifier.info(&RequestContext::internal(), echo.event_type(), &echo).await;
            if let Err(error) = &sent {
                tracing::warn!(%error, "no report comes through: nobody is judged by their silence");
            }
            if !stop.pause(if sent.is_ok() { interval } else { interval.min(PAUSE) }).await {
                return;
            }
        }
    });
}

/// Casts a build that waits for a host. If that fails, it goes on waiting: the search for work that nobody does finds
/// it after `reschedule_after`.
pub(crate) async fn recast(shared: &Shared, instance: InstanceUuid, request_id: Option<&str>) {
    let ctx = request_id.map_or_else(RequestContext::internal, RequestContext::resumed);
    let cast = async {
        match shared.scheduler.build_instance(&ctx, instance).await {
            Ok(()) => tracing::info!(%instance, "build cast to a scheduler again"),
            Err(error) => tracing::warn!(%instance, %error, "build not cast to a scheduler; it is tried again later"),
        }
    };
    cast.instrument(request_span(Some(&ctx.request_id))).await;
}
