//! One thing at a time for each instance.
//!
//! Who works on an instance holds its [`Turn`]; others wait in line. What may begin during other operations (a delete,
//! a hard reboot) takes over: it cancels whoever holds the turn or waits for it, and comes next.

use std::{collections::HashMap, sync::Arc};

use novella_common::ids::InstanceUuid;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::sync::Shared;

type Lines = Shared<HashMap<InstanceUuid, Arc<Line>>>;

/// The instances that somebody works on or waits for; an instance at rest takes no room.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lines: Arc<Lines>,
}

#[derive(Debug, Default)]
struct Line {
    busy: Arc<tokio::sync::Mutex<()>>,
    /// Cancelled, and replaced, by whoever takes over.
    present: Shared<CancellationToken>,
}

/// A place in the line; the line goes with the last one.
#[derive(Debug)]
struct Place {
    lines: Arc<Lines>,
    instance: InstanceUuid,
    line: Option<Arc<Line>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.lines.lock();
        self.line = None;
        // Nobody can join in between: joining needs the same lock.
        if lines.get(&self.instance).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.instance);
        }
    }
}

/// The right to work on one instance, until dropped.
#[derive(Debug)]
pub(super) struct Turn {
    // Dropped before the place, so that the line is free when it goes.
    _busy: OwnedMutexGuard<()>,
    cancelled: CancellationToken,
    _place: Place,
}

impl Turn {
    /// Does the work, unless somebody takes over: then it is dropped where it stands, and the answer is `None`.
    pub(super) async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.cancelled.run_until_cancelled(work).await
    }
}

impl Turns {
    /// Waits for the instance's turn. `None`: somebody has taken over meanwhile, so there is nothing left to do.
    pub(super) async fn enter(&self, instance: InstanceUuid) -> Option<Turn> {
        let (place, line) = self.join(instance);
        let cancelled = line.present.lock().clone();
        wait(place, &line, cancelled).await
    }

    /// Cancels whoever works on the instance or waits for it, and waits until they are out of the way.
    pub(super) async fn take_over(&self, instance: InstanceUuid) -> Option<Turn> {
        let (place, line) = self.join(instance);
        let cancelled = CancellationToken::new();
        std::mem::replace(&mut *line.present.lock(), cancelled.clone()).cancel();
        wait(place, &line, cancelled).await
    }

    /// Whether nobody works on the instance or waits to.
    pub(super) fn is_free(&self, instance: InstanceUuid) -> bool {
        !self.lines.lock().contains_key(&instance)
    }

    fn join(&self, instance: InstanceUuid) -> (Place, Arc<Line>) {
        let line = self.lines.lock().entry(instance).or_default().clone();
        (Place { lines: self.lines.clone(), instance, line: Some(line.clone()) }, line)
    }
}

async fn wait(place: Place, line: &Line, cancelled: CancellationToken) -> Option<Turn> {
    let busy = cancelled.run_until_cancelled(line.busy.clone().lock_owned()).await?;
    // Both may have come at once: the one taken over gives way, and the one who takes over was cancelled by neither.
    (!cancelled.is_cancelled()).then_some(Turn { _busy: busy, cancelled, _place: place })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails there")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_takeover_cancels_the_work_and_those_who_wait() {
        let turns = Arc::new(Turns::default());
        let instance = InstanceUuid::random();
        let first = turns.enter(instance).await.unwrap();
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { turns.enter(instance).await.is_none() }
        });
        tokio::task::yield_now().await;
        let work = tokio::spawn(async move { first.run(std::future::pending::<()>()).await });
        let second = turns.take_over(instance).await.unwrap();
        assert_eq!(work.await.unwrap(), None);
        assert!(waiting.await.unwrap());
        assert_eq!(second.run(async { 1 }).await, Some(1));
        drop(second);
        assert!(turns.is_free(instance));
    }
}
