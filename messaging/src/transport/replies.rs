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
    pending: Mutex<PendingCalls>,
}

#[derive(Debug, Default)]
struct PendingCalls {
    closed: bool,
    calls: HashMap<Arc<str>, PendingCall>,
}

/// A call that waits.
#[derive(Debug)]
struct PendingCall {
    answer: oneshot::Sender<Arc<ReplyMessage>>,
    heartbeats: Arc<Notify>,
}

impl Replies {
    /// With a queue name of its own, which stays the same over every reconnect, so that answers
    /// under way still arrive.
    pub(crate) fn new() -> Self {
        Self { queue: format!("reply_{}", wire::new_id()).into(), pending: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, PendingCalls> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queue(&self) -> &Arc<str> {
        &self.queue
    }

    /// Announces a call, before it is sent.
    pub(crate) fn expect(replies: &Arc<Self>, message_id: &Arc<str>) -> Result<PendingReply, MessagingError> {
        let (sender, answer) = oneshot::channel();
        let heartbeats = Arc::new(Notify::new());
        let mut pending = replies.lock();
        if pending.closed {
            return Err(MessagingError::Closed);
        }
        pending
            .calls
            .insert(Arc::clone(message_id), PendingCall { answer: sender, heartbeats: Arc::clone(&heartbeats) });
        drop(pending);
        Ok(PendingReply { message_id: Arc::clone(message_id), answer, heartbeats, replies: Arc::clone(replies) })
    }

    /// Hands an answer, or a heartbeat, to its call.
    pub(crate) fn deliver(&self, reply: Arc<ReplyMessage>) {
        let mut pending = self.lock();
        if !reply.ending {
            if let Some(call) = pending.calls.get(&reply.message_id) {
                call.heartbeats.notify_one();
            }
            return;
        }
        let call = pending.calls.remove(&reply.message_id);
        drop(pending);
        if call.and_then(|call| call.answer.send(Arc::clone(&reply)).ok()).is_none() {
            tracing::debug!(message_id = &*reply.message_id, "an answer came after its caller had given up");
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Fails every call that waits, and all to come.
    pub(crate) fn close(&self) {
        let mut pending = self.lock();
        pending.closed = true;
        pending.calls.clear();
    }
}

/// A call's place in the table; dropping it gives up waiting.
#[derive(Debug)]
pub(crate) struct PendingReply {
    message_id: Arc<str>,
    answer: oneshot::Receiver<Arc<ReplyMessage>>,
    heartbeats: Arc<Notify>,
    replies: Arc<Replies>,
}

impl PendingReply {
    /// Waits for the answer, or for a heartbeat, which is `None`.
    pub(crate) async fn next(&mut self) -> Result<Option<Arc<ReplyMessage>>, MessagingError> {
        tokio::select! {
            biased;
            answer = &mut self.answer => answer.map(Some).map_err(|_| MessagingError::Closed),
            () = self.heartbeats.notified() => Ok(None),
        }
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.replies.lock().calls.remove(&self.message_id);
    }
}
