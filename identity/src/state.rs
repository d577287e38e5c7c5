//! What the handlers stand on, and what other components are given of it.

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use novella_common::{
    db::{Database, DbError},
    service::Shutdown,
};
use novella_rest::{ApiError, Authenticator, CatalogEntry, Token};

use crate::{cache::TokenCache, db, lockout::SecurityComplianceConfig, passwords::PasswordChecks};

/// How often tokens that have expired are removed. They are refused before that; this only keeps the table small.
const TOKEN_SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// How Identity is configured.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// How long a token is valid.
    pub token_ttl: Duration,
    /// What log-ins are held to.
    pub security_compliance: SecurityComplianceConfig,
    /// The services of the catalog.
    pub catalog: Vec<CatalogEntry>,
}

/// The Identity component. Clones share it.
#[derive(Clone)]
pub struct Identity(Arc<Parts>);

/// The parts of [`Identity`].
pub struct Parts {
    pub(crate) database: Database,
    pub(crate) tokens: TokenCache,
    pub(crate) passwords: PasswordChecks,
    pub(crate) config: IdentityConfig,
}

impl Identity {
    /// On this database.
    #[must_use]
    pub fn new(database: Database, config: IdentityConfig) -> Self {
        Self(Arc::new(Parts { database, tokens: TokenCache::default(), passwords: PasswordChecks::default(), config }))
    }

    /// Whether there is a project of this id.
    ///
    /// # Errors
    /// 503 if the database can't be read.
    pub async fn has_project(&self, id: &str) -> Result<bool, ApiError> {
        let which = db::Reference::Id(id.to_owned());
        Ok(db::project(&mut *self.database.read().await?, &which).await?.is_some())
    }

    /// Removes expired tokens from time to time, until `shutdown` is requested.
    pub fn sweep_tokens(&self, shutdown: &Shutdown) {
        let (database, stop) = (self.database.clone(), shutdown.clone());
        shutdown.spawn(async move {
            while stop.pause(TOKEN_SWEEP_INTERVAL).await {
                match sweep(&database).await {
                    Ok(0) => {}
                    Ok(tokens) => tracing::debug!(tokens, "expired tokens removed"),
                    Err(error) => tracing::warn!(%error, "expired tokens not removed"),
                }
            }
        });
    }
}

async fn sweep(database: &Database) -> Result<u64, DbError> {
    db::delete_expired_tokens(&mut *database.write().await?, Timestamp::now()).await
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Deref for Identity {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Authenticator for Identity {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Arc<Token>>, ApiError>> {
        Box::pin(async move { Ok(self.tokens.validated(&self.database, &db::token_hash(token)).await?) })
    }
}
