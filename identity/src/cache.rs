//! The tokens that were seen to be valid a moment ago, and the catalog.
//!
//! A request with a known token costs no query. What this process changes counts at once here; what another one changes,
//! once it is heard: each change raises a number in the database (`identity_revision`), in the same transaction, and that
//! number is read twice a second while there is anything to forget. Nothing is believed for longer than [`FRESH`]
//! without that number: so a token that was ended anywhere is refused everywhere within a second, also where the
//! database or the task that reads it is slow.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use novella_common::db::{Database, DbError};
use novella_rest::Token;

use crate::{
    catalog::Catalog,
    db::{self, tokens},
};

/// How long what is kept is believed after the number was last read.
const FRESH: Duration = Duration::from_millis(900);

/// The most tokens that are kept; about 10 MB.
const CAPACITY: usize = 10_000;

/// See the module's head.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// By hash: a dump of this process's memory yields no token from here.
    tokens: HashMap<String, Arc<Token>>,
    catalog: Option<Arc<Catalog>>,
    /// The number in the database that this belongs to, and when it was read.
    revision: i64,
    confirmed: Option<Instant>,
    /// Grows when all is forgotten: what was begun to be read before that is not kept.
    generation: u64,
    /// Whether anything was asked for since the number was last read.
    in_use: bool,
}

impl Kept {
    fn clear(&mut self) {
        self.tokens.clear();
        self.catalog = None;
        self.generation += 1;
    }

    fn is_fresh(&self) -> bool {
        self.confirmed.is_some_and(|confirmed| confirmed.elapsed() < FRESH)
    }
}

impl Cache {
    /// The valid token of this hash.
    ///
    /// # Errors
    /// The database can't be read.
    pub(crate) async fn validated(&self, database: &Database, hash: &str) -> Result<Option<Arc<Token>>, DbError> {
        let now = Timestamp::now();
        let generation = self.fresh(database).await?;
        let known = self.lock().tokens.get(hash).map(Arc::clone);
        if let Some(token) = known {
            return Ok((token.expires_at > now).then_some(token));
        }
        let found = tokens::valid(&mut *database.read().await?, hash, now).await?.map(Arc::new);
        if let Some(token) = &found {
            let mut kept = self.lock();
            if kept.tokens.len() >= CAPACITY {
                kept.tokens.retain(|_, token| token.expires_at > now);
            }
            if kept.tokens.len() >= CAPACITY {
                // Full of valid ones. To begin anew is cheap, and fair to those that are in use.
                kept.tokens.clear();
            }
            if kept.generation == generation {
                kept.tokens.insert(hash.to_owned(), Arc::clone(token));
            }
        }
        Ok(found)
    }

    /// What the catalog says.
    ///
    /// # Errors
    /// The database can't be read.
    pub(crate) async fn catalog(&self, database: &Database) -> Result<Arc<Catalog>, DbError> {
        let generation = self.fresh(database).await?;
        let known = self.lock().catalog.clone();
        if let Some(catalog) = known {
            return Ok(catalog);
        }
        let catalog = Arc::new(Catalog::read(&mut *database.read().await?).await?);
        let mut kept = self.lock();
        if kept.generation == generation {
            kept.catalog = Some(Arc::clone(&catalog));
        }
        Ok(catalog)
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Whether anything was asked for since the number was last read.
    pub(crate) fn in_use(&self) -> bool {
        self.lock().in_use
    }

    /// Reads the number, and forgets everything if it has changed.
    ///
    /// # Errors
    /// The database can't be read.
    pub(crate) async fn confirm(&self, database: &Database) -> Result<(), DbError> {
        // Before it is asked: what is changed after the answer was on its way counts as heard no later than this.
        let asked = Instant::now();
        let revision = db::revision(&mut *database.read().await?).await?;
        let mut kept = self.lock();
        kept.in_use = false;
        if revision != kept.revision {
            kept.clear();
            kept.revision = revision;
        }
        kept.confirmed = kept.confirmed.max(Some(asked));
        Ok(())
    }

    /// Sees to it that what is kept may be believed. Says to which generation it belongs.
    async fn fresh(&self, database: &Database) -> Result<u64, DbError> {
        let fresh = {
            let mut kept = self.lock();
            kept.in_use = true;
            kept.is_fresh()
        };
        if !fresh {
            self.confirm(database).await?;
            self.lock().in_use = true;
        }
        Ok(self.lock().generation)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked with the lock held left maps that are whole: each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
