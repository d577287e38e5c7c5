//! The tokens that were seen to be valid a moment ago.
//!
//! A request with a known token costs no query. The price is that what another process changes (a token ended, a role
//! taken away) is seen up to [`FRESH`] later here; what this process ends is ended at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use novella_common::db::{Database, DbError};
use novella_rest::{Named, Token};

use crate::db;

/// How long a look-up is believed.
const FRESH: Duration = Duration::from_secs(5);

/// The most tokens that are kept; about 5 MB.
const CAPACITY: usize = 10_000;

/// See the module's head.
#[derive(Default)]
pub(crate) struct TokenCache {
    /// By hash: a dump of this process's memory yields no token from here.
    seen: Mutex<HashMap<String, (Arc<Token>, Instant)>>,
}

impl TokenCache {
    /// The valid token of this hash.
    ///
    /// # Errors
    /// The database can't be read.
    pub(crate) async fn validated(&self, database: &Database, hash: &str) -> Result<Option<Arc<Token>>, DbError> {
        let now = Timestamp::now();
        if let Some(token) = self.fresh(hash)
            && token.expires_at > now
        {
            return Ok(Some(token));
        }
        let found = db::token(&mut *database.read().await?, hash, now).await?;
        Ok(found.map(|found| {
            let token = Arc::new(token(found));
            self.keep(hash, &token);
            token
        }))
    }

    /// Forgets a token that was ended.
    pub(crate) fn forget(&self, hash: &str) {
        self.lock().remove(hash);
    }

    fn fresh(&self, hash: &str) -> Option<Arc<Token>> {
        let seen = self.lock();
        let (token, since) = seen.get(hash)?;
        (since.elapsed() < FRESH).then(|| Arc::clone(token))
    }

    fn keep(&self, hash: &str, token: &Arc<Token>) {
        let mut seen = self.lock();
        if seen.len() >= CAPACITY {
            seen.retain(|_, (_, since)| since.elapsed() < FRESH);
        }
        // Still full of fresh ones: this one is looked up again next time.
        if seen.len() < CAPACITY {
            seen.insert(hash.to_owned(), (Arc::clone(token), Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Arc<Token>, Instant)>> {
        // Whoever panicked with the lock held left a map that is whole: each change is one call.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token as other components see it.
pub(crate) fn token(found: db::Token) -> Token {
    let db::Token { user, project, roles, issued_at, expires_at } = found;
    Token {
        user: Named { id: user.id, name: user.name },
        project: project.map(|project| Named { id: project.id, name: project.name }),
        roles,
        issued_at,
        expires_at,
    }
}
