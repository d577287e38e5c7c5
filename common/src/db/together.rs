//! What waits at one moment is written in one transaction, so that it pays for one commit together.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;
use novella_messaging::trace;
use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument;

type Write<T, R> = Box<dyn Fn(Vec<T>) -> BoxFuture<'static, Vec<R>> + Send + Sync>;

/// Writes things, several at once. Whoever comes while others are being written waits; then one of those who wait writes
/// all of them.
pub struct Together<T, R> {
    waiting: Mutex<Vec<Waiting<T, R>>>,
    /// One writes at a time.
    permit: Arc<Semaphore>,
    most: usize,
    size: fn(&T) -> usize,
    write: Write<T, R>,
}

struct Waiting<T, R> {
    item: T,
    answer: oneshot::Sender<R>,
}

impl<T, R> fmt::Debug for Together<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

impl<T: Send + 'static, R: Send + 'static> Together<T, R> {
    /// `write` is given what is written in one transaction, and says of each what came of it, in the same order. That are
    /// things of `most` in all by their `size`, since others wait for the locks; but always one of them.
    pub fn new<F>(most: usize, size: fn(&T) -> usize, write: F) -> Self
    where
        F: Fn(Vec<T>) -> BoxFuture<'static, Vec<R>> + Send + Sync + 'static,
    {
        Self { waiting: Mutex::default(), permit: Arc::new(Semaphore::new(1)), most, size, write: Box::new(write) }
    }

    /// Writes one thing with others, and says what came of it. What has begun runs to its end; whoever ends his wait before
    /// is passed over.
    ///
    /// `None`: the writing broke off, and what lasts is not known.
    pub async fn write(&self, item: T) -> Option<R> {
        let (answer, mut answered) = oneshot::channel();
        lock(&self.waiting).push(Waiting { item, answer });
        loop {
            let permit = tokio::select! {
                biased;
                result = &mut answered => return result.ok(),
                permit = Arc::clone(&self.permit).acquire_owned() => permit,
            };
            let (items, answers): (Vec<T>, Vec<_>) =
                self.take().into_iter().map(|Waiting { item, answer }| (item, answer)).unzip();
            if items.is_empty() {
                continue;
            }
            let written = (self.write)(items);
            // In a task of its own: whoever waits here may be dropped, and the others must not suffer from it.
            let written = async move {
                for (answer, result) in answers.into_iter().zip(written.await) {
                    // Who does not listen any more has been dropped.
                    let _ = answer.send(result);
                }
                drop(permit);
            };
            tokio::spawn(trace::within(trace::current(), written).in_current_span());
        }
    }

    /// Those who have waited longest.
    fn take(&self) -> Vec<Waiting<T, R>> {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|next| !next.answer.is_closed());
        let mut sum = 0;
        let fits = waiting.iter().take_while(|next| {
            sum += (self.size)(&next.item);
            sum <= self.most
        });
        let count = fits.count().max(1).min(waiting.len());
        waiting.drain(..count).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{FutureExt, future::join_all};
    use tokio::sync::mpsc;

    use super::*;

    /// How many were written each time.
    type Sizes = Arc<Mutex<Vec<usize>>>;

    /// Doubles numbers; each time it is let.
    fn doubling(most: usize) -> (Arc<Together<usize, usize>>, mpsc::UnboundedSender<()>, Sizes) {
        let (go, may) = mpsc::unbounded_channel();
        let (may, sizes) = (Arc::new(tokio::sync::Mutex::new(may)), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&sizes);
        let together = Together::new(
            most,
            |_| 1,
            move |items: Vec<usize>| {
                let (may, seen) = (Arc::clone(&may), Arc::clone(&seen));
                async move {
                    may.lock().await.recv().await;
                    lock(&seen).push(items.len());
                    items.into_iter().map(|item| item * 2).collect()
                }
                .boxed()
            },
        );
        (Arc::new(together), go, sizes)
    }

    #[tokio::test]
    async fn those_who_come_while_one_is_written_are_written_together_and_each_is_told_its_own() {
        let (together, go, sizes) = doubling(3);
        let each = (0..6).map(|number| {
            let together = Arc::clone(&together);
            tokio::spawn(async move { together.write(number).await })
        });
        let each: Vec<_> = each.collect();
        for _ in 0..6 {
            go.send(()).unwrap();
        }
        let results: Vec<usize> = join_all(each).await.into_iter().map(|result| result.unwrap().unwrap()).collect();
        assert_eq!(results, [0, 2, 4, 6, 8, 10]);
        let sizes = lock(&sizes).clone();
        assert_eq!(sizes.iter().sum::<usize>(), 6);
        assert!(sizes.iter().all(|size| *size <= 3) && sizes.len() < 6, "{sizes:?}");
    }

    #[tokio::test]
    async fn who_is_dropped_breaks_off_nobody_elses_writing_and_is_not_written_later() {
        let (together, go, sizes) = doubling(10);
        // The first one begins to write, and is dropped in the midst of it; the second waits, and is dropped waiting.
        let mut first = Box::pin(together.write(1));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(together.write(2));
        assert!(second.as_mut().now_or_never().is_none());
        drop((first, second));
        for _ in 0..2 {
            go.send(()).unwrap();
        }
        assert_eq!(together.write(3).await, Some(6));
        // That of the first one ran to its end; the second was never written.
        assert_eq!(*lock(&sizes), [1, 1]);
    }

    #[tokio::test]
    async fn a_writing_that_breaks_says_so_and_the_next_one_is_written() {
        let round = Arc::new(AtomicUsize::new(0));
        let together = Together::new(
            1,
            |_| 1,
            move |items: Vec<usize>| {
                let round = round.fetch_add(1, Ordering::Relaxed);
                async move {
                    assert!(round > 0, "the first one breaks");
                    items
                }
                .boxed()
            },
        );
        assert_eq!(together.write(1).await, None);
        assert_eq!(together.write(2).await, Some(2));
    }
}
