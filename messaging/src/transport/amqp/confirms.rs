//! The messages of one channel that the broker has not confirmed yet.
//!
//! The broker says that a mandatory message could not be routed by sending it back before its
//! confirm. The client library attaches a message that came back to *some* confirm that arrives at
//! that moment, not always its own. So messages that came back are recognised by their id, and a
//! confirm counts only after every confirm that may carry its message has been looked at. Confirms
//! are resolved in batches under a lock; having held that lock afterwards ([`InFlight::barrier`])
//! means that the batch is complete.

use std::collections::{BTreeMap, HashSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::stream::{FuturesUnordered, Stream};
use futures_util::task::AtomicWaker;
use futures_util::{FutureExt, future::BoxFuture};
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation};

use super::publisher::Job;

/// What the broker said to one message.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It has it.
    Taken,
    /// No queue takes it.
    Unroutable,
    /// It refused to keep it.
    Refused,
}

type Answer = (u64, lapin::Result<Confirmation>);

/// Messages sent and not confirmed, in the order they were sent.
pub(super) struct InFlight {
    channel: Channel,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    jobs: BTreeMap<u64, Job>,
    next: u64,
    /// Ids of messages that came back.
    returned: HashSet<String>,
    /// Confirms seen, but not yet known to be complete.
    undecided: Vec<(u64, Confirmation)>,
    /// What ended the channel.
    failure: Option<lapin::Error>,
    bell: Arc<Bell>,
}

impl InFlight {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            answers: FuturesUnordered::new(),
            jobs: BTreeMap::new(),
            next: 0,
            returned: HashSet::new(),
            undecided: Vec::new(),
            failure: None,
            bell: Arc::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Sends a message without waiting.
    pub(super) fn send(&mut self, job: Job) {
        let number = self.next;
        self.next += 1;
        let channel = self.channel.clone();
        let (exchange, key, body, properties) =
            (job.exchange.clone(), job.key.clone(), job.body.clone(), job.properties.clone());
        let options = BasicPublishOptions { mandatory: job.mandatory, immediate: false };
        let mut answer: BoxFuture<'static, Answer> = Box::pin(async move {
            let confirm = match channel.basic_publish(exchange, key, options, &body, properties).await {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            (number, confirm)
        });
        self.jobs.insert(number, job);
        // Polled at once and here: the first poll hands the frames over, so the order of sending is
        // the order of the calls.
        match (&mut answer).now_or_never() {
            Some(answer) => self.answers.push(Box::pin(std::future::ready(answer))),
            None => self.answers.push(answer),
        }
    }

    /// Waits for verdicts. An error means that the channel is gone; what is still in flight is to
    /// be taken with [`InFlight::into_jobs`].
    pub(super) async fn verdicts(&mut self) -> lapin::Result<Vec<(Job, Verdict)>> {
        if self.undecided.is_empty() {
            poll_fn(|context| self.collect(context)).await;
        }
        if self.undecided.is_empty()
            && let Some(error) = &self.failure
        {
            return Err(error.clone());
        }
        let decided = std::mem::take(&mut self.undecided);
        self.barrier();
        // What was sent back is known now for all of `decided`; confirms that turn up only here
        // wait for the next round.
        poll_fn(|context| Poll::Ready(self.collect(context).is_ready())).await;
        let verdicts = decided.into_iter().filter_map(|(number, confirmation)| {
            let job = self.jobs.remove(&number)?;
            let verdict = if self.returned.remove(&job.id) {
                Verdict::Unroutable
            } else if confirmation.is_nack() {
                Verdict::Refused
            } else {
                Verdict::Taken
            };
            Some((job, verdict))
        });
        Ok(verdicts.collect())
    }

    /// All that was not confirmed, in the order it was sent.
    pub(super) fn into_jobs(self) -> Vec<Job> {
        self.jobs.into_values().collect()
    }

    /// Takes every answer that is there; pending if there is none.
    fn collect(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.bell.task.register(context.waker());
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut listening = Context::from_waker(&waker);
        loop {
            self.bell.rang.store(false, Ordering::SeqCst);
            match Pin::new(&mut self.answers).poll_next(&mut listening) {
                Poll::Ready(Some((number, Ok(Confirmation::Ack(message))))) => {
                    self.note(number, message, Confirmation::Ack(None))
                }
                Poll::Ready(Some((number, Ok(Confirmation::Nack(message))))) => {
                    self.note(number, message, Confirmation::Nack(None))
                }
                // The channel was opened with confirms.
                Poll::Ready(Some((number, Ok(Confirmation::NotRequested)))) => {
                    self.note(number, None, Confirmation::Ack(None))
                }
                Poll::Ready(Some((_, Err(error)))) => self.failure = Some(error),
                Poll::Ready(None) => break,
                Poll::Pending if self.bell.rang.load(Ordering::SeqCst) => {}
                Poll::Pending => break,
            }
        }
        if self.undecided.is_empty() && self.failure.is_none() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn note(&mut self, number: u64, returned: Option<lapin::message::BasicReturnMessage>, confirmation: Confirmation) {
        if let Some(id) = returned.and_then(|message| message.properties.message_id().as_ref().map(|id| id.to_string()))
        {
            self.returned.insert(id);
        }
        self.undecided.push((number, confirmation));
    }

    /// Returns after every confirm that was being resolved is resolved: this call takes the lock
    /// under which that is done.
    fn barrier(&self) {
        let _ = self.channel.wait_for_confirms().now_or_never();
    }
}

/// Passes a wake-up on, and remembers it: the set pauses after some number of futures although more are ready, and says so
/// only by waking its task.
#[derive(Default)]
struct Bell {
    rang: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        self.task.wake();
    }
}
