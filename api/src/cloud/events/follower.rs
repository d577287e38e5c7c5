//! One client's stream: what it may see, in order, with no more kept for it than a batch.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::body::Bytes;
use futures_util::{Stream, stream};
use jiff::Timestamp;
use novella_common::service::ClientAddress;
use novella_rest::{ApiError, TokenWatch};
use serde_json::json;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    Viewer,
    feed::{BATCH, Batch, Event, Feed, Following, Key, Position},
    views,
};

/// How often a client without news is written to, so that both sides and every proxy between them know that it is there.
const ALIVE: Duration = Duration::from_secs(15);

/// How often the token is looked at again.
const CHECK: Duration = Duration::from_secs(2);

/// Milliseconds that a client is to wait before it comes back.
const RETRY: &str = "retry: 1000\n";

/// The end of a frame.
const END: Bytes = Bytes::from_static(b"\n");

pub(super) struct Follower {
    following: Following,
    viewer: Viewer,
    watch: TokenWatch,
    /// What is ready to be written.
    frames: VecDeque<Bytes>,
    /// Until when it has been told of changes.
    position: Position,
    /// What it has missed and is still to be told of, the oldest first.
    missed: VecDeque<(Key, Timestamp)>,
    /// Until when it has been told of changes once it has been told of all these.
    reached: Position,
    /// As of when it was told of what it had missed: of what was on its way meanwhile, the older is left out.
    made_up: HashMap<Key, Timestamp>,
    /// Whether what it has missed is still to be found out.
    behind: bool,
    ended: bool,
    alive: Interval,
    check: Interval,
}

impl Follower {
    /// Follows from now on; from `last` on, if it is given.
    pub(super) fn new(
        feed: &Feed,
        client: ClientAddress,
        viewer: Viewer,
        last: Option<Position>,
        watch: TokenWatch,
    ) -> Result<Self, ApiError> {
        let following = feed.follow(client)?;
        let every = |period| {
            let mut clock = interval(period);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            clock
        };
        let position = last.unwrap_or_else(Position::now);
        let mut follower = Self {
            following,
            viewer,
            watch,
            frames: VecDeque::new(),
            position,
            missed: VecDeque::new(),
            reached: position,
            made_up: HashMap::new(),
            behind: last.is_some(),
            ended: false,
            alive: every(ALIVE),
            check: every(CHECK),
        };
        follower.frames.push_back(Bytes::from_static(RETRY.as_bytes()));
        let hello = json!({"all_projects": follower.viewer.project.is_none(), "resumed": follower.behind});
        follower.frames.push_back(views::frame("hello", &hello));
        follower.end_frame(Some(position));
        if follower.viewer.project.is_none() {
            let hosts = follower.following.hosts();
            follower.tell(&hosts, None);
        }
        Ok(follower)
    }

    /// What is to be written, until the token ends.
    pub(super) fn frames(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, |mut follower| async move { follower.next().await.map(|frame| (Ok(frame), follower)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            if self.behind || !self.missed.is_empty() {
                self.make_up().await;
                continue;
            }
            tokio::select! {
                batch = self.following.batches.recv() => match batch {
                    Ok(batch) => self.take(&batch),
                    // It is slower than others, or was away.
                    Err(RecvError::Lagged(_)) => self.behind = true,
                    Err(RecvError::Closed) => self.ended = true,
                },
                _ = self.alive.tick() => {
                    self.frames.push_back(Bytes::from_static(b": alive\n"));
                    self.end_frame(Some(self.position));
                }
                _ = self.check.tick() => self.check_token().await,
            }
        }
    }

    fn end_frame(&mut self, position: Option<Position>) {
        self.frames.push_back(match position {
            Some(position) => format!("id: {position}\n\n").into(),
            None => END,
        });
    }

    fn notice(&mut self, event: &str, reason: &str) {
        self.frames.push_back(views::frame(event, &json!({"reason": reason})));
        self.end_frame(Some(self.position));
    }

    fn take(&mut self, batch: &Arc<Batch>) {
        match &**batch {
            Batch::Changes(changes) => {
                let sees_all = self.viewer.sees_everything();
                if sees_all && !changes.events.iter().any(|event| self.has_told(event)) {
                    self.position = changes.position.map_or(self.position, |position| self.position.max(position));
                    self.alive.reset();
                    self.frames.push_back(changes.whole());
                } else {
                    self.tell(&changes.events, changes.position);
                }
            }
            Batch::Notice(frame) => {
                self.frames.push_back(frame.clone());
                self.end_frame(None);
            }
        }
    }

    /// Whether this was told of when what had been missed was made up for.
    fn has_told(&self, event: &Event) -> bool {
        self.made_up.get(&event.key).is_some_and(|known| event.changed <= *known)
    }

    /// Tells of these, and with the last of them that all until `position` have been told.
    fn tell(&mut self, events: &[Event], position: Option<Position>) {
        if let Some(position) = position {
            self.position = self.position.max(position);
        }
        let mut visible = events.iter().filter(|event| self.viewer.sees(event) && !self.has_told(event)).peekable();
        let mut frames = Vec::new();
        while let Some(event) = visible.next() {
            let data = if self.viewer.with_hosts { &event.with_hosts } else { &event.without_hosts };
            frames.push(data.clone());
            frames.push(match position {
                Some(position) if visible.peek().is_none() => format!("id: {position}\n\n").into(),
                _ => END,
            });
        }
        if !frames.is_empty() {
            self.alive.reset();
        }
        self.frames.extend(frames);
    }

    /// Tells of the next part of what was missed, from the rows.
    async fn make_up(&mut self) {
        if self.behind {
            // Before the rows are read: what is changed after that comes by itself.
            self.reached = Position::now();
            match self.following.missed(self.position).await {
                Ok(Some(missed)) => {
                    self.missed = missed.into();
                    self.made_up = HashMap::new();
                }
                Ok(None) => {
                    self.position = self.reached;
                    self.notice("lost", "More has changed than is told one by one; read the lists again.");
                }
                Err(error) => return self.give_up(&error),
            }
            self.behind = false;
        }
        let part: Vec<_> = self.missed.drain(..self.missed.len().min(BATCH)).collect();
        let last = self.missed.is_empty();
        match self.following.read(&part).await {
            Ok(events) => {
                self.tell(&events, None);
                self.made_up.extend(events.into_iter().map(|event| (event.key, event.changed)));
                if last {
                    // What was changed since the look is on its way, and told after this.
                    self.position = self.position.max(self.reached);
                    self.frames.push_back(Bytes::from_static(b": made up\n"));
                    self.end_frame(Some(self.position));
                }
            }
            Err(error) => self.give_up(&error),
        }
    }

    /// Ends the stream: its client comes back, and is told then.
    fn give_up(&mut self, error: &novella_common::db::DbError) {
        tracing::warn!(%error, "what a client has missed can't be read");
        self.notice("stale", "What has changed can't be read at present.");
        self.ended = true;
    }

    async fn check_token(&mut self) {
        match self.watch.holds().await {
            Ok(true) => {}
            Ok(false) => {
                self.notice("end", "The token is not valid any more.");
                self.ended = true;
            }
            Err(error) => tracing::debug!(%error, "a token can't be looked at again"),
        }
    }
}

impl Viewer {
    /// Whether every event is for it, with all that it says.
    fn sees_everything(&self) -> bool {
        self.project.is_none() && self.with_hosts && self.with_migrations
    }

    fn sees(&self, event: &Event) -> bool {
        if matches!(event.key, Key::Migration(_)) && !self.with_migrations {
            return false;
        }
        match &self.project {
            None => true,
            Some(own) => event.project.as_deref() == Some(own),
        }
    }
}
