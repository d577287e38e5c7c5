//! Checking passwords without hurting anybody: not the runtime's threads, not the machine's memory, not those who log in
//! beside one who guesses, and without telling by the time it takes whether a user exists.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::available_parallelism,
};

use novella_common::{config::Secret, service::ClientAddress};
use novella_rest::ApiError;
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};

use crate::{
    config::PasswordCost,
    db::{self, PasswordError},
    login_queue::{LoginQueue, Next, Refused, Waiter, Who},
};

/// Checks passwords, a few at a time, as the [queue](crate::login_queue) says.
#[derive(Clone)]
pub(crate) struct PasswordChecks(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// What the password of a user who does not exist is compared with.
    nobody: OnceLock<String>,
    names: RandomState,
    cost: PasswordCost,
    /// For what takes a core for a while and is no guess: as many at once as there are cores.
    cores: Semaphore,
}

struct Queue {
    logins: LoginQueue<oneshot::Sender<HashingPermit>>,
    /// When somebody looks again whose permit it is.
    wakes_at: Option<Instant>,
}

impl Waiter for oneshot::Sender<HashingPermit> {
    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}

/// The right to check one password.
pub(crate) struct HashingPermit {
    checks: PasswordChecks,
    /// `None`: it was ended.
    who: Option<Who>,
}

impl HashingPermit {
    fn end(mut self, fits: Option<bool>) {
        self.give_back(fits);
    }

    fn give_back(&mut self, fits: Option<bool>) {
        if let Some(who) = self.who.take() {
            self.checks.queue().logins.end(who, fits, Instant::now());
            self.checks.dispatch();
        }
    }
}

impl Drop for HashingPermit {
    fn drop(&mut self) {
        self.give_back(None);
    }
}

impl PasswordChecks {
    /// With this cost of a hash.
    pub(crate) fn new(cost: PasswordCost) -> Self {
        // One check takes a core for tens of milliseconds and 12 MiB: as many at once as there are cores.
        let cores = available_parallelism().map_or(2, usize::from);
        let queue = Mutex::new(Queue { logins: LoginQueue::new(cores), wakes_at: None });
        let (nobody, names, cores) = (OnceLock::new(), RandomState::new(), Semaphore::new(cores));
        Self(Arc::new(Shared { queue, nobody, names, cost, cores }))
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// 503 if it can't be made.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, ApiError> {
        let cost = self.0.cost;
        self.work(move || db::hash_password(&password, cost)).await
    }

    /// The hash of a password with the cost of today, if `hash` has another one.
    ///
    /// # Errors
    /// 503 if it can't be made.
    pub(crate) async fn renewed(&self, password: Secret, hash: &str) -> Result<Option<String>, ApiError> {
        match db::has_other_cost(hash, self.0.cost) {
            true => self.hash(password).await.map(Some),
            false => Ok(None),
        }
    }

    /// Whether a password is the one with this hash, for somebody who has shown who he is.
    ///
    /// # Errors
    /// 503 if it can't be found out.
    pub(crate) async fn is_that_of(&self, password: Secret, hash: String) -> Result<bool, ApiError> {
        self.work(move || db::verify_password(&password, &hash)).await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let unavailable = |error: String| ApiError::from(PasswordError(error));
        let _core = self.0.cores.acquire().await.map_err(|error| unavailable(error.to_string()))?;
        let done = tokio::task::spawn_blocking(work).await;
        Ok(done.map_err(|error| unavailable(error.to_string()))??)
    }

    /// Waits for the permit of this user, named by an id or by a name that nobody has, at this address.
    ///
    /// # Errors
    /// 429 or 503 if too many wait.
    pub(crate) async fn permit(&self, address: ClientAddress, user: &str) -> Result<HashingPermit, ApiError> {
        let who = (address, self.0.names.hash_one(user));
        let (sender, permit) = oneshot::channel();
        self.queue().logins.queue(who, sender, Instant::now()).map_err(|refused| match refused {
            Refused::TooOften => ApiError::TooManyRequests("Too many logins of this user have failed of late.".into()),
            Refused::TooMany => too_many(),
        })?;
        self.dispatch();
        permit.await.map_err(|_| too_many())
    }

    /// Whether `password` is the one with this hash. `None` takes as long as a wrong password, and is wrong.
    ///
    /// # Errors
    /// 503 if it can't be found out.
    pub(crate) async fn fits(
        &self,
        permit: HashingPermit,
        password: Secret,
        hash: Option<String>,
    ) -> Result<bool, ApiError> {
        let checks = self.clone();
        // To its end, whatever becomes of who waits for it: who hangs up has guessed as well.
        let checked = tokio::task::spawn_blocking(move || {
            let fits = checks.compare(&password, hash.as_deref());
            permit.end(fits.as_ref().ok().copied());
            fits
        });
        let checked = checked.await.map_err(|error| ApiError::from(PasswordError(error.to_string())))?;
        Ok(checked?)
    }

    fn compare(&self, password: &Secret, hash: Option<&str>) -> Result<bool, PasswordError> {
        if let Some(hash) = hash {
            return db::verify_password(password, hash);
        }
        let nobody = match self.0.nobody.get() {
            Some(hash) => hash,
            None => {
                let hash = db::hash_password(&Secret::new(db::new_id()), self.0.cost)?;
                self.0.nobody.get_or_init(|| hash)
            }
        };
        db::verify_password(password, nobody).map(|_| false)
    }

    /// Gives logins to those whose they are, and sees to it that the others get theirs.
    fn dispatch(&self) {
        let mut queue = self.queue();
        loop {
            let now = Instant::now();
            match queue.logins.next(now) {
                Next::Check(sender, who) => {
                    let permit = HashingPermit { checks: self.clone(), who: Some(who) };
                    if let Err(mut permit) = sender.send(permit) {
                        // It went away at this moment. Ended here: the queue is locked.
                        permit.who = None;
                        queue.logins.end(who, None, now);
                    }
                }
                Next::At(at) => {
                    if queue.wakes_at.is_none_or(|other| at < other) {
                        queue.wakes_at = Some(at);
                        self.wake(at);
                    }
                    return;
                }
                Next::Nobody => return,
            }
        }
    }

    fn wake(&self, at: Instant) {
        let checks = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            {
                let mut queue = checks.queue();
                if queue.wakes_at == Some(at) {
                    queue.wakes_at = None;
                }
            }
            checks.dispatch();
        });
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Whoever panicked with the lock held did not do so between two changes that belong together.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many() -> ApiError {
    ApiError::Unavailable("Too many logins at once. Please try again.".into())
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        tracing::error!(%error, "a password cannot be checked");
        Self::Unavailable("Passwords cannot be checked at present. Please try again.".into())
    }
}
