//! Keystone's lock-out: who has failed too often of late can't log in for a while, whatever the password.
//!
//! It is kept in the database, so every API service knows of it and a restart changes nothing. Keystone's
//! (keystone/identity/backends/sql.py, `_is_account_locked`): a locked user is answered as one with a wrong password, and
//! what it tries meanwhile does not prolong the lock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use novella_common::{
    config::seconds,
    db::{Connection, Database, DbError},
    sql,
};
use serde::{Deserialize, Serialize};

/// `[security_compliance]`: what log-ins are held to, under Keystone's names and with its defaults.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityComplianceConfig {
    /// How many times a user may fail to log in before it is locked. Unset: as often as it likes, though ever more slowly.
    pub lockout_failure_attempts: Option<u32>,
    /// Seconds that a user stays locked. 0: until its password is set anew.
    #[serde(with = "seconds")]
    pub lockout_duration: Duration,
}

impl Default for SecurityComplianceConfig {
    fn default() -> Self {
        Self { lockout_failure_attempts: None, lockout_duration: Duration::from_secs(1800) }
    }
}

/// What is remembered of a user's failures.
struct FailedAuths {
    count: i64,
    last: Option<Timestamp>,
}

impl SecurityComplianceConfig {
    /// Whether a user with these failures is locked; `None`: it was, and has served its time.
    fn locked(&self, failed: &FailedAuths, now: Timestamp) -> Option<bool> {
        let Some(attempts) = self.lockout_failure_attempts else { return Some(false) };
        if failed.count < i64::from(attempts) || failed.count == 0 {
            return Some(false);
        }
        if self.lockout_duration.is_zero() {
            return Some(true);
        }
        let duration = SignedDuration::try_from(self.lockout_duration).unwrap_or(SignedDuration::MAX);
        let until = failed.last.unwrap_or(now).saturating_add(duration).unwrap_or(Timestamp::MAX);
        if until > now { Some(true) } else { None }
    }

    /// Whether this user is locked.
    ///
    /// # Errors
    /// The database can't be used.
    pub(crate) async fn is_locked(&self, database: &Database, user_id: &str) -> Result<bool, DbError> {
        if self.lockout_failure_attempts.is_none() {
            return Ok(false);
        }
        let failed = failed_auths(&mut *database.read().await?, user_id).await?;
        match self.locked(&failed, Timestamp::now()) {
            Some(locked) => Ok(locked),
            None => {
                reset(&mut *database.write().await?, user_id, failed.count).await?;
                Ok(false)
            }
        }
    }

    /// Writes down how a log-in of this user has ended. Says whether it holds: not if the user was locked meanwhile, by
    /// others who guessed at the same time.
    ///
    /// # Errors
    /// The database can't be used.
    pub(crate) async fn record(&self, database: &Database, user_id: &str, fits: bool) -> Result<bool, DbError> {
        if self.lockout_failure_attempts.is_none() {
            return Ok(fits);
        }
        if !fits {
            add(&mut *database.write().await?, user_id, Timestamp::now()).await?;
            return Ok(false);
        }
        let failed = failed_auths(&mut *database.read().await?, user_id).await?;
        if self.locked(&failed, Timestamp::now()) == Some(true) {
            return Ok(false);
        }
        if failed.count > 0 {
            reset(&mut *database.write().await?, user_id, failed.count).await?;
        }
        Ok(true)
    }
}

async fn failed_auths(connection: &mut Connection, user_id: &str) -> Result<FailedAuths, DbError> {
    let found: Option<(i64, Option<Timestamp>)> =
        sql!("SELECT failed_auth_count, failed_auth_at FROM users WHERE id = "(user_id))
            .fetch_optional(connection)
            .await?;
    let (count, last) = found.unwrap_or((0, None));
    Ok(FailedAuths { count, last })
}

async fn add(connection: &mut Connection, user_id: &str, now: Timestamp) -> Result<(), DbError> {
    sql!(
        "UPDATE users SET failed_auth_count = failed_auth_count + 1, failed_auth_at = " (now) " WHERE id = " (user_id)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the failures that were seen, and none that came since.
async fn reset(connection: &mut Connection, user_id: &str, seen: i64) -> Result<(), DbError> {
    sql!(
        "UPDATE users SET failed_auth_count = 0, failed_auth_at = NULL WHERE id = " (user_id)
        " AND failed_auth_count = " (seen)
    )
    .execute(connection)
    .await?;
    Ok(())
}
