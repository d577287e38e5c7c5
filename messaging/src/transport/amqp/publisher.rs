//! Sending: one channel, many messages in flight, every one confirmed or failed.
//!
//! A task owns the channel. Messages wait in a bounded queue while there is no connection or the
//! broker is blocked. When the channel breaks, what was not confirmed is sent again on the next
//! one, *one at a time*: so a message that breaks channels is found and failed, and the others get
//! through.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lapin::options::ConfirmSelectOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Connection};
use tokio::sync::{mpsc, oneshot, watch};

use super::confirms::{InFlight, Verdict};
use super::link::{self, Address, State};
use super::topology::{self, Exchange};
use super::{faults, properties};
use crate::error::MessagingError;
use crate::transport::{Publication, QueueSpec, Route, TransportOptions};
use crate::wire;

/// How many messages may wait for the task, and how many for the broker's confirm. Further senders
/// wait.
const WAITING: usize = 1024;
const IN_FLIGHT: usize = 2048;
/// A message that was alone on this many channels that broke is what breaks them.
const BROKEN_CHANNELS: u32 = 2;

/// A message ready to be sent.
pub(super) struct Job {
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    pub(super) body: Bytes,
    pub(super) properties: BasicProperties,
    pub(super) mandatory: bool,
    /// The AMQP message id: what a returned message is recognised by.
    pub(super) id: String,
    route: Route,
    declare: Option<Box<QueueSpec>>,
    /// How often it was alone on a channel that broke, or its queue was missing.
    failures: u32,
    done: oneshot::Sender<Result<(), MessagingError>>,
}

/// Tells how a message fared.
pub(super) type Confirmed = oneshot::Receiver<Result<(), MessagingError>>;

impl Job {
    pub(super) fn new(publication: &Publication) -> Result<(Self, Confirmed), MessagingError> {
        let Publication { route, message, mandatory, declare } = publication;
        if let Some(spec) = declare {
            topology::check(spec)?;
        }
        // oslo.messaging leaves a fanout's routing key empty.
        let key = if let Route::Fanout { .. } = route { "" } else { route.key() };
        let (done, confirmed) = oneshot::channel();
        let id = wire::new_id();
        let job = Self {
            exchange: topology::name(&route.exchange())?,
            key: topology::name(key)?,
            body: message.content.encode()?,
            properties: properties::of(message, route, &id),
            mandatory: *mandatory,
            id,
            route: route.clone(),
            declare: declare.clone(),
            failures: 0,
            done,
        };
        Ok((job, confirmed))
    }

    /// Whether nobody waits for it any more, so that it need not be sent again.
    fn is_abandoned(&self) -> bool {
        self.done.is_closed()
    }

    fn finish(self, result: Result<(), MessagingError>) {
        // Whoever waited may have given up.
        let _ = self.done.send(result);
    }
}

/// The sending end. Dropping it lets what is under way finish.
#[derive(Debug)]
pub(super) struct Publisher {
    jobs: mpsc::Sender<Job>,
}

impl Publisher {
    pub(super) fn start(state: watch::Receiver<State>, address: Address, options: TransportOptions) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let task = Task { state, address, options, waiting, again: VecDeque::new(), broken_by: None };
        tokio::spawn(task.run());
        Self { jobs }
    }

    /// Hands a message over for sending. Messages are sent in the order of these calls.
    pub(super) async fn hand_over(&self, job: Job) -> Result<(), MessagingError> {
        self.jobs.send(job).await.map_err(|_| MessagingError::Closed)
    }
}

struct Task {
    state: watch::Receiver<State>,
    address: Address,
    options: TransportOptions,
    waiting: mpsc::Receiver<Job>,
    /// Sent on a channel that broke before they were confirmed.
    again: VecDeque<Job>,
    /// What broke the last one.
    broken_by: Option<lapin::Error>,
}

/// A channel for sending, and what is known to exist on its connection.
struct Session {
    connection: Arc<Connection>,
    /// The connection's number.
    number: u64,
    in_flight: InFlight,
    /// For declarations, which break their channel when they fail.
    declaring: Option<Channel>,
    exchanges: HashSet<Exchange>,
    queues: HashSet<String>,
}

/// Why a session ended.
enum End {
    /// The channel or connection broke.
    Broken(lapin::Error),
    /// Nobody can hand over messages any more, and all are confirmed.
    Finished,
}

impl Task {
    async fn run(mut self) {
        let mut pauses = link::pauses(self.options.rabbit_interval_max);
        while let Some((connection, number)) = self.connection().await {
            let mut session = match faults::answered(Session::open(connection, number)).await {
                Ok(session) => session,
                Err(error) => {
                    tracing::debug!(%error, "no channel for sending");
                    tokio::time::sleep(pauses.next().unwrap_or_default()).await;
                    continue;
                }
            };
            let end = match self.send_again(&mut session).await {
                Ok(()) => {
                    pauses = link::pauses(self.options.rabbit_interval_max);
                    self.send(&mut session).await
                }
                Err(error) => End::Broken(error),
            };
            match end {
                End::Finished => return,
                End::Broken(error) => {
                    let mut unconfirmed = session.in_flight.into_jobs();
                    if !faults::is_verdict(&error) {
                        // The network's doing, not the message's.
                        unconfirmed.iter_mut().for_each(|job| job.failures = job.failures.saturating_sub(1));
                    }
                    if !unconfirmed.is_empty() {
                        let count = unconfirmed.len();
                        tracing::warn!(%error, count, "messages are sent again: their channel broke");
                    }
                    // They were sent before those that had to be sent again already.
                    unconfirmed.into_iter().rev().for_each(|job| self.again.push_front(job));
                    self.broken_by = Some(error);
                    // A connection that broke is noticed a moment later; without a pause this would
                    // spin until then.
                    tokio::time::sleep(pauses.next().unwrap_or_default().min(Duration::from_secs(1))).await;
                }
            }
        }
        self.waiting.close();
        while let Some(job) = self.again.pop_front() {
            job.finish(Err(MessagingError::Closed));
        }
        while let Some(job) = self.waiting.recv().await {
            job.finish(Err(MessagingError::Closed));
        }
    }

    /// Waits for a connection that takes messages; `None` when there will be none, or nothing to
    /// send.
    async fn connection(&mut self) -> Option<(Arc<Connection>, u64)> {
        loop {
            match &*self.state.borrow_and_update() {
                State::Up { connection, number, blocked: None } => return Some((Arc::clone(connection), *number)),
                State::Closed => return None,
                State::Up { .. } | State::Down { .. } => {}
            }
            self.state.changed().await.ok()?;
        }
    }

    /// Sends what broke with its channel, one at a time.
    async fn send_again(&mut self, session: &mut Session) -> lapin::Result<()> {
        while let Some(mut job) = self.again.pop_front() {
            if job.is_abandoned() {
                continue;
            }
            match session.prepare(&job, &self.address, &self.options).await {
                Ok(None) => {}
                Ok(Some(error)) => {
                    job.finish(Err(error));
                    continue;
                }
                Err(error) => {
                    self.again.push_front(job);
                    return Err(error);
                }
            }
            job.failures += 1;
            if job.failures > BROKEN_CHANNELS {
                let error = self.why_refused(&job);
                job.finish(Err(error));
                continue;
            }
            session.in_flight.send(job);
            // One that is not confirmed in its time holds up no others: its queue may have lost its majority.
            let patience = tokio::time::Instant::now() + self.options.publish_timeout;
            while !session.in_flight.is_empty()
                && let Ok(verdicts) = tokio::time::timeout_at(patience, session.in_flight.verdicts()).await
            {
                for (job, verdict) in verdicts? {
                    self.settle(session, job, verdict);
                }
            }
        }
        Ok(())
    }

    /// What is wrong with a message that breaks channels.
    fn why_refused(&self, job: &Job) -> MessagingError {
        let reason = self.broken_by.as_ref().map_or_else(|| "it breaks the channel".to_owned(), ToString::to_string);
        if self.broken_by.as_ref().is_some_and(faults::is_forbidden) {
            return MessagingError::AccessRefused { address: self.address.place(), reason };
        }
        MessagingError::Refused { routing_key: job.route.key().to_owned(), reason }
    }

    async fn send(&mut self, session: &mut Session) -> End {
        let mut jobs = Vec::new();
        let (mut blocked, mut closed) = (false, false);
        loop {
            if closed && session.in_flight.is_empty() {
                return End::Finished;
            }
            let room = IN_FLIGHT.saturating_sub(session.in_flight.len());
            tokio::select! {
                biased;
                verdicts = session.in_flight.verdicts(), if !session.in_flight.is_empty() => match verdicts {
                    Ok(verdicts) => verdicts.into_iter().for_each(|(job, verdict)| self.settle(session, job, verdict)),
                    Err(error) => return End::Broken(error),
                },
                changed = self.state.changed() => match (changed, &*self.state.borrow_and_update()) {
                    (Ok(()), State::Up { blocked: reason, number, .. }) if *number == session.number => blocked = reason.is_some(),
                    _ => return End::Broken(lapin::ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed).into()),
                },
                count = self.waiting.recv_many(&mut jobs, room), if room > 0 && !blocked && !closed => closed = count == 0,
            }
            // A queue that was missing is declared again for these.
            jobs.splice(0..0, self.again.drain(..));
            let mut batch = std::mem::take(&mut jobs).into_iter();
            while let Some(job) = batch.next() {
                // Its sender was told that it failed, so it had better not arrive.
                if job.is_abandoned() {
                    continue;
                }
                match session.prepare(&job, &self.address, &self.options).await {
                    Ok(None) => session.in_flight.send(job),
                    Ok(Some(error)) => job.finish(Err(error)),
                    Err(error) => {
                        self.again.push_back(job);
                        self.again.extend(batch);
                        return End::Broken(error);
                    }
                }
            }
        }
    }

    fn settle(&mut self, session: &mut Session, mut job: Job, verdict: Verdict) {
        match verdict {
            Verdict::Taken => job.finish(Ok(())),
            Verdict::Unroutable => match &job.declare {
                // It was deleted under us: once more from the start.
                Some(spec) if job.failures <= BROKEN_CHANNELS => {
                    session.queues.remove(&spec.name);
                    job.failures += 1;
                    self.again.push_back(job);
                }
                _ => {
                    let error = job.route.unroutable();
                    job.finish(Err(error));
                }
            },
            Verdict::Refused => {
                let routing_key = job.route.key().to_owned();
                job.finish(Err(MessagingError::Refused {
                    routing_key,
                    reason: "it answered with a negative confirm (basic.nack)".into(),
                }));
            }
        }
    }
}

impl Session {
    async fn open(connection: Arc<Connection>, number: u64) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self {
            connection,
            number,
            in_flight: InFlight::new(channel),
            declaring: None,
            exchanges: HashSet::new(),
            queues: HashSet::new(),
        })
    }

    /// Makes sure that a message's exchange and queue exist. The inner error is the message's own
    /// and would come again.
    async fn prepare(
        &mut self,
        job: &Job,
        address: &Address,
        options: &TransportOptions,
    ) -> lapin::Result<Option<MessagingError>> {
        if let Some(exchange) = Exchange::of(&job.route)
            && !self.exchanges.contains(&exchange)
        {
            let declared = faults::answered(async { exchange.declare(&self.declaring().await?, options).await }).await;
            if let Err(error) = declared {
                self.declaring = None;
                return faults::permanent(&error, &format!("the exchange `{}`", exchange.name), address)
                    .map(Some)
                    .ok_or(error);
            }
            self.exchanges.insert(exchange);
        }
        if let Some(spec) = &job.declare
            && !self.queues.contains(&spec.name)
        {
            let declare = async { topology::declare_queue(&self.declaring().await?, spec, options).await };
            let mut declared = faults::answered(declare).await;
            if declared.as_ref().is_err_and(faults::is_declared_otherwise) {
                // Somebody declared it as it needs it (a single active consumer, say). It is there, and that is
                // enough to send.
                self.declaring = None;
                let look = async { topology::exists(&self.declaring().await?, &spec.name).await };
                declared = faults::answered(look).await;
            }
            if let Err(error) = declared {
                self.declaring = None;
                return faults::permanent(&error, &format!("the queue `{}`", spec.name), address)
                    .map(Some)
                    .ok_or(error);
            }
            self.queues.insert(spec.name.clone());
        }
        Ok(None)
    }

    async fn declaring(&mut self) -> lapin::Result<Channel> {
        match &self.declaring {
            Some(channel) if channel.status().connected() => Ok(channel.clone()),
            _ => {
                let channel = self.connection.create_channel().await?;
                self.declaring = Some(channel.clone());
                Ok(channel)
            }
        }
    }
}
