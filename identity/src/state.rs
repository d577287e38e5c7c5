//! What the handlers stand on, and what other components are given of it.

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use novella_common::{
    db::{Database, DbError, Transaction},
    service::Shutdown,
};
use novella_rest::{ApiError, Authenticator, Token};

use crate::{
    cache::Cache,
    config::IdentityConfig,
    db::{self, tokens},
    lockout::SecurityComplianceConfig,
    passwords::PasswordChecks,
    resource::look_up,
};

/// How often tokens that have expired are removed. They are refused before that; this only keeps the table small.
const TOKEN_SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// How often it is looked whether another process has changed what tokens are good for.
const REVISION_INTERVAL: Duration = Duration::from_millis(400);

/// The Identity component. Clones share it.
#[derive(Clone)]
pub struct Identity(Arc<Parts>);

/// The parts of [`Identity`].
pub struct Parts {
    pub(crate) database: Database,
    pub(crate) cache: Cache,
    pub(crate) passwords: PasswordChecks,
    pub(crate) config: IdentityConfig,
    pub(crate) compliance: SecurityComplianceConfig,
    pub(crate) token_ttl: Duration,
}

impl Identity {
    /// On this database, with tokens that are valid for `token_ttl`.
    #[must_use]
    pub fn new(
        database: Database,
        token_ttl: Duration,
        config: IdentityConfig,
        compliance: SecurityComplianceConfig,
    ) -> Self {
        let passwords = PasswordChecks::new(config.password_cost());
        Self(Arc::new(Parts { database, cache: Cache::default(), passwords, config, compliance, token_ttl }))
    }

    /// Whether there is a project of this id.
    ///
    /// # Errors
    /// 503 if the database can't be read.
    pub async fn has_project(&self, id: &str) -> Result<bool, ApiError> {
        let found: Option<db::Project> = look_up(&mut *self.database.read().await?, id).await?;
        Ok(found.is_some_and(|project| !project.is_domain))
    }

    /// Removes expired tokens from time to time, and hears what other processes change, until `shutdown` is requested.
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
        let (identity, stop) = (self.clone(), shutdown.clone());
        shutdown.spawn(async move {
            while stop.pause(REVISION_INTERVAL).await {
                // What nobody uses need not be fresh: whoever comes next looks himself.
                if identity.cache.in_use()
                    && let Err(error) = identity.cache.confirm(&identity.database).await
                {
                    tracing::debug!(%error, "changes of tokens not heard");
                }
            }
        });
    }
}

impl Parts {
    /// Ends a transaction that may have changed what tokens are good for: it counts at once here, and within a second in
    /// every other process.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn commit(&self, mut transaction: Transaction) -> Result<(), ApiError> {
        db::touch(&mut transaction).await?;
        let committed = transaction.commit().await;
        // Even if that failed: it may have been committed all the same.
        self.cache.clear();
        Ok(committed?)
    }
}

async fn sweep(database: &Database) -> Result<u64, DbError> {
    tokens::delete_expired(&mut *database.write().await?, Timestamp::now()).await
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
        Box::pin(async move { Ok(self.cache.validated(&self.database, &db::token_hash(token)).await?) })
    }
}
