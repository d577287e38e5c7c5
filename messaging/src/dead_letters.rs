//! Messages that were dead-lettered: what they were, why, and what becomes of them.

use std::hash::{DefaultHasher, Hasher};

use serde::{Deserialize, Serialize};

use crate::error::MessagingError;
use crate::transport::{
    Content, DEAD_LETTERS, Delivery, MAX_DEAD_LETTERS, MAX_DEAD_LETTERS_BYTES, Message, Publication, Route, Transport,
};

/// A message in the durable queue `dead_letters`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The message's `_unique_id`, which it keeps when it is sent again; for what cannot be read, a hash of the body.
    /// The copies of a fanout share it and differ in `queue`.
    pub id: String,
    /// Why it was dead-lettered.
    pub reason: String,
    /// The queue it was taken from.
    pub queue: String,
    /// When, in UTC (RFC 3339).
    pub time: String,
    /// How often it was delivered in vain.
    pub deliveries: u32,
    /// The method, if it is an RPC request.
    pub method: Option<String>,
    /// The event type, if it is a notification.
    pub event_type: Option<String>,
    /// The request it belongs to, if its context says so.
    pub request_id: Option<String>,
    /// The whole body as text; of a message that was too large, the beginning.
    pub body: String,
    /// How many bytes the message had, if it was too large to be kept. It can't be sent again.
    #[serde(default)]
    pub cut: Option<u64>,
    /// The broker does not vouch for `queue`: somebody may have put the letter there who has no right to send to that queue.
    /// It is not sent again.
    #[serde(default)]
    pub doubtful: bool,
}

impl DeadLetter {
    /// The queue they are in, on every bus.
    pub const QUEUE: &'static str = DEAD_LETTERS;
    /// How many are kept at most: the oldest go first. A queue that an earlier version has declared has no bound of its own,
    /// and needs a policy of the broker's.
    pub const MAX_KEPT: u32 = MAX_DEAD_LETTERS;
    /// The most bytes of them.
    pub const MAX_KEPT_BYTES: u32 = MAX_DEAD_LETTERS_BYTES;

    fn read(message: &Message) -> Self {
        let death = message.death.as_deref().cloned().unwrap_or_default();
        let body =
            message.content.encode().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let (mut id, mut method, mut event_type, mut context) = (String::new(), None, None, None);
        if let Ok(request) = message.content.request() {
            id = request.unique_id.to_string();
            method = Some(request.method.clone());
            context = Some(request.context.clone());
        } else if let Ok(notification) = message.content.notification() {
            id.clone_from(&notification.unique_id);
            event_type = Some(notification.event_type.clone());
            context = Some(notification.context.clone());
        }
        // A peer's message may have none: reading it then makes one up, another each time.
        if id.is_empty() || !body.contains(&id) {
            let mut hasher = DefaultHasher::new();
            hasher.write(body.as_bytes());
            id = format!("{:016x}", hasher.finish());
        }
        let request_id = context.and_then(|context| context.get("request_id")?.as_str().map(str::to_owned));
        Self {
            id,
            reason: death.reason,
            queue: death.queue,
            time: death.time,
            deliveries: message.deliveries,
            method,
            event_type,
            request_id,
            body,
            cut: death.cut,
            doubtful: death.doubtful,
        }
    }

    /// Why it can't be sent again, if it can't.
    fn obstacle(&self) -> Option<MessagingError> {
        let what = match self.cut {
            _ if self.doubtful => {
                format!("the letter says that it comes from `{}`, and the broker does not vouch for that", self.queue)
            }
            Some(size) => format!("only the beginning of its {size} bytes was kept"),
            None => return None,
        };
        Some(MessagingError::Malformed { what })
    }
}

/// What has become of dead letters that were to be sent again or deleted.
#[derive(Debug, Default)]
pub struct DisposedLetters {
    /// How many were sent again or deleted.
    pub count: usize,
    /// Those that could not be sent again, and why. They stay where they are.
    pub failed: Vec<(DeadLetter, MessagingError)>,
}

/// What is to become of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeadLetterAction {
    /// It stays where it is.
    Keep,
    /// It goes back to the queue it was taken from, as if it had never been delivered.
    Resend,
    /// It is deleted.
    Discard,
}

impl Transport {
    /// The oldest messages that were dead-lettered, at most `max` of them. They stay where they are.
    ///
    /// # Errors
    /// If the bus cannot be reached.
    pub async fn dead_letters(&self, max: usize) -> Result<Vec<DeadLetter>, MessagingError> {
        let mut letters = Vec::new();
        self.dispose_of_dead_letters(max, |letter| {
            letters.push(letter.clone());
            DeadLetterAction::Keep
        })
        .await?;
        Ok(letters)
    }

    /// Looks at the oldest messages that were dead-lettered, at most `max` of them, and does with each
    /// what `decide` says. One that can't be sent again, because its queue is gone for instance, holds up no other.
    ///
    /// ```
    /// use novella_messaging::{DeadLetterAction, Transport, TransportOptions};
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = Transport::connect("memory://", TransportOptions::default()).await?;
    /// // After a repair: what `compute.host-1` could not do is tried again, and measurements are not worth keeping.
    /// let disposed = transport
    ///     .dispose_of_dead_letters(100, |letter| match letter.queue.as_str() {
    ///         "compute.host-1" => DeadLetterAction::Resend,
    ///         "notifications.sample" => DeadLetterAction::Discard,
    ///         _ => DeadLetterAction::Keep,
    ///     })
    ///     .await?;
    /// for (letter, error) in &disposed.failed {
    ///     eprintln!("{} of `{}`: {error}", letter.id, letter.queue);
    /// }
    /// # assert_eq!(disposed.count, 0); Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the bus cannot be reached or takes no messages. What was not disposed of until then stays.
    pub async fn dispose_of_dead_letters(
        &self,
        max: usize,
        mut decide: impl FnMut(&DeadLetter) -> DeadLetterAction,
    ) -> Result<DisposedLetters, MessagingError> {
        let mut disposed = DisposedLetters::default();
        let mut refused = None;
        // What is not settled goes back when this is dropped.
        let fetched = self.fetch_dead_letters(max).await?;
        let mut kept: Vec<Delivery> = Vec::new();
        for delivery in fetched {
            let letter = DeadLetter::read(&delivery.message);
            match decide(&letter) {
                DeadLetterAction::Keep => {
                    kept.push(delivery);
                    continue;
                }
                DeadLetterAction::Resend if let Some(error) = letter.obstacle() => {
                    disposed.failed.push((letter, error));
                    kept.push(delivery);
                    continue;
                }
                DeadLetterAction::Resend => match self.send_again(&letter, &delivery.message, &mut refused).await {
                    Ok(()) => {}
                    Err(
                        error @ (MessagingError::Closed
                        | MessagingError::Disconnected { .. }
                        | MessagingError::Blocked { .. }),
                    ) => return Err(error),
                    Err(error) => {
                        disposed.failed.push((letter, error));
                        kept.push(delivery);
                        continue;
                    }
                },
                DeadLetterAction::Discard => {}
            }
            let settlement = delivery.settlement();
            delivery.ack();
            // One that was sent again must not be here as well.
            settlement.arrived().await;
            disposed.count += 1;
        }
        kept.into_iter().for_each(Delivery::requeue);
        Ok(disposed)
    }

    /// Puts a message back into the queue that it was taken from.
    ///
    /// A command goes the way that it came, by the control exchange, so that whoever may command may do this too. All else
    /// goes straight into its queue, which takes the right to every queue. `refused`: that this user has no such right.
    async fn send_again(
        &self,
        letter: &DeadLetter,
        message: &Message,
        refused: &mut Option<MessagingError>,
    ) -> Result<(), MessagingError> {
        let copy = || Message::new(Content::clone(&message.content));
        // A fanout's queues are bound to an exchange of their own.
        if letter.method.is_some() && !letter.queue.contains("_fanout_") {
            let route = Route::Topic { exchange: self.exchange(None).into(), key: letter.queue.as_str().into() };
            match self.publish(Publication::mandatory(route, copy())).await {
                // It is of another control exchange, or gone.
                Err(MessagingError::Unroutable { .. }) => {}
                sent => return sent,
            }
        }
        // A refusal breaks the channel that all is sent on: it is not asked for twice.
        if let Some(refusal) = refused {
            return Err(refusal.clone());
        }
        let route = Route::Queue { name: letter.queue.as_str().into() };
        let sent = self.publish(Publication::mandatory(route, copy())).await;
        if let Err(refusal @ MessagingError::AccessRefused { .. }) = &sent {
            *refused = Some(refusal.clone());
        }
        sent
    }
}
