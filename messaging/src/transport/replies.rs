//! The calls of a transport that wait for an answer, and their one reply queue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use tokio::sync::{Notify, oneshot};

use crate::error::MessagingError;
use crate::wire::{self, ReplyMessage};

/// Answers are matched to calls by `_msg_id`; a reply nobody waits for (its caller gave up) is
/// dropped.
#[derive(Debug)]
pub(crate) struct Replies {
    queue: Arc<str>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    closed: bool,
    calls: HashMap<Arc<str>, Call>,
}

/// A call that waits.
#[derive(Debug)]
struct Call {
    answer: oneshot::Sender<Arc<ReplyMessage>>,
    signs_of_life: Arc<Notify>,
}

impl Replies {
    /// With a queue name of its own, which stays the same over every reconnect, so that answers
    /// under way still arrive.
    pub(crate) fn new() -> Self {
        Self { queue: format!("reply_{}", wire::new_id()).into(), waiting: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queue(&self) -> &Arc<str> {
        &self.queue
    }

    /// Announces a call, before it is sent.
    pub(crate) fn expect(replies: &Arc<Self>, message_id: &Arc<str>) -> Result<PendingReply, MessagingError> {
        let (sender, answer) = oneshot::channel();
        let signs_of_life = Arc::new(Notify::new());
        let mut waiting = replies.lock();
        if waiting.closed {
            return Err(MessagingError::Closed);
        }
        waiting
            .calls
            .insert(Arc::clone(message_id), Call { answer: sender, signs_of_life: Arc::clone(&signs_of_life) });
        drop(waiting);
        Ok(PendingReply { message_id: Arc::clone(message_id), answer, signs_of_life, replies: Arc::clone(replies) })
    }

    /// Hands an answer, or a sign of life, to its call.
    pub(crate) fn deliver(&self, reply: Arc<ReplyMessage>) {
        let mut waiting = self.lock();
        if !reply.ending {
            if let Some(call) = waiting.calls.get(&reply.message_id) {
                call.signs_of_life.notify_one();
            }
            return;
        }
        let call = waiting.calls.remove(&reply.message_id);
        drop(waiting);
        if call.and_then(|call| call.answer.send(Arc::clone(&reply)).ok()).is_none() {
            tracing::debug!(message_id = &*reply.message_id, "an answer came after its caller had given up");
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Fails every call that waits, and all to come.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.calls.clear();
    }
}

/// A call's place in the table; dropping it gives up waiting.
#[derive(Debug)]
pub(crate) struct PendingReply {
    message_id: Arc<str>,
    answer: oneshot::Receiver<Arc<ReplyMessage>>,
    signs_of_life: Arc<Notify>,
    replies: Arc<Replies>,
}

impl PendingReply {
    /// Waits for the answer, or for a sign of life, which is `None`.
    pub(crate) async fn next(&mut self) -> Result<Option<Arc<ReplyMessage>>, MessagingError> {
        tokio::select! {
            biased;
            answer = &mut self.answer => answer.map(Some).map_err(|_| MessagingError::Closed),
            () = self.signs_of_life.notified() => Ok(None),
        }
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.replies.lock().calls.remove(&self.message_id);
    }
}
