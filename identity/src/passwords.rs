//! Checking passwords without hurting anybody: not the runtime's threads, not the machine's memory, and without
//! telling by the time it takes whether a user exists.

use std::{
    sync::{Arc, OnceLock},
    thread::available_parallelism,
};

use novella_common::config::Secret;
use novella_rest::ApiError;
use tokio::sync::Semaphore;

use crate::{
    config::PasswordCost,
    db::{self, PasswordError},
};

/// About two seconds of checking on one core.
const MAX_WAITING: usize = 64;

/// Checks passwords, a few at a time.
pub(crate) struct PasswordChecks {
    cost: PasswordCost,
    /// One check takes a core for tens of milliseconds and 19 MiB: as many at once as there are cores.
    slots: Semaphore,
    /// Checks that may wait for a slot. More than these would take places from requests that need none.
    waiting: Semaphore,
    /// What the password of a user who does not exist is compared with.
    nobody: Arc<OnceLock<String>>,
}

impl PasswordChecks {
    /// With this cost of a hash.
    pub(crate) fn new(cost: PasswordCost) -> Self {
        let cores = available_parallelism().map_or(2, usize::from);
        let (slots, waiting) = (Semaphore::new(cores), Semaphore::new(cores + MAX_WAITING));
        Self { cost, slots, waiting, nobody: Arc::default() }
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// 503 if it can't be made.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, ApiError> {
        let cost = self.cost;
        self.work(move || db::hash_password(&password, cost)).await
    }

    /// The hash of a password with the cost of today, if `hash` has another one.
    ///
    /// # Errors
    /// 503 if it can't be made.
    pub(crate) async fn renewed(&self, password: Secret, hash: &str) -> Result<Option<String>, ApiError> {
        match db::has_other_cost(hash, self.cost) {
            true => self.hash(password).await.map(Some),
            false => Ok(None),
        }
    }

    /// Whether `password` is the one with this hash. `None` takes as long as a wrong password, and is wrong.
    ///
    /// # Errors
    /// 503 if it can't be found out.
    pub(crate) async fn fits(&self, password: Secret, hash: Option<String>) -> Result<bool, ApiError> {
        let (nobody, cost) = (Arc::clone(&self.nobody), self.cost);
        self.work(move || match hash {
            Some(hash) => db::verify_password(&password, &hash),
            None => {
                let hash = match nobody.get() {
                    Some(hash) => hash.clone(),
                    None => {
                        let hash = db::hash_password(&Secret::new(db::new_id()), cost)?;
                        nobody.get_or_init(|| hash).clone()
                    }
                };
                db::verify_password(&password, &hash).map(|_| false)
            }
        })
        .await
    }

    /// Does what takes a core for a while, when there is one.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let unavailable = |error: String| ApiError::from(PasswordError(error));
        let too_many = |_| ApiError::Unavailable("Too many logins at once. Please try again.".into());
        let _waiting = self.waiting.try_acquire().map_err(too_many)?;
        let _slot = self.slots.acquire().await.map_err(|error| unavailable(error.to_string()))?;
        let done = tokio::task::spawn_blocking(work).await;
        Ok(done.map_err(|error| unavailable(error.to_string()))??)
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        tracing::error!(%error, "a password cannot be checked");
        Self::Unavailable("Passwords cannot be checked at present. Please try again.".into())
    }
}
