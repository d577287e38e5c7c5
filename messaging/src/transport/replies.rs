//! The calls of a transport that wait for an answer, and their one reply queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::error::MessagingError;
use crate::wire::{self, ReplyMessage};

/// Answers are matched to calls by `_msg_id`; a reply nobody waits for (its caller gave up) is dropped.
#[derive(Debug)]
pub(crate) struct Replies {
    queue: Arc<str>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    closed: bool,
    calls: HashMap<String, mpsc::UnboundedSender<Arc<ReplyMessage>>>,
}

impl Replies {
    /// With a queue name of its own, which stays the same over every reconnect, so that answers under way still arrive.
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
    pub(crate) fn expect(replies: &Arc<Self>, message_id: &str) -> Result<PendingReply, MessagingError> {
        // Unbounded, but only signs of life can pile up in it, one each half monitoring interval.
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut waiting = replies.lock();
        if waiting.closed {
            return Err(MessagingError::Closed);
        }
        waiting.calls.insert(message_id.to_owned(), sender);
        drop(waiting);
        Ok(PendingReply { message_id: message_id.to_owned(), receiver, replies: Arc::clone(replies) })
    }

    /// Hands an answer to its call.
    pub(crate) fn deliver(&self, reply: Arc<ReplyMessage>) {
        let delivered = match self.lock().calls.get(&reply.message_id) {
            Some(call) => call.send(Arc::clone(&reply)).is_ok(),
            None => false,
        };
        if !delivered {
            tracing::debug!(message_id = %reply.message_id, "an answer came after its caller had given up");
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
    message_id: String,
    receiver: mpsc::UnboundedReceiver<Arc<ReplyMessage>>,
    replies: Arc<Replies>,
}

impl PendingReply {
    /// The next answer or sign of life.
    pub(crate) async fn next(&mut self) -> Result<Arc<ReplyMessage>, MessagingError> {
        self.receiver.recv().await.ok_or(MessagingError::Closed)
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.replies.lock().calls.remove(&self.message_id);
    }
}
