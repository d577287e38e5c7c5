//! What others may ask of a conductor.
//!
//! | version | change |
//! | --- | --- |
//! | 1.0 | first version |
//! | 1.1 | cold migration |

use novella_common::{RequestContext, db::DbError, ids::MigrationUuid};
use novella_messaging::{RpcError, contract};
use serde::{Deserialize, Serialize};

/// How a conductor fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field stands in its error's text")]
pub enum ConductorError {
    /// The database could not be asked or written; the message is delivered again.
    #[error("The conductor could not reach the database: {message}")]
    DatabaseUnavailable { message: String },
    /// The database refused, or holds what can't be read: tried again it would be so again.
    #[error("The conductor's request to the database failed: {message}")]
    DatabaseFailed { message: String },
    /// The bus did not take a message to a host; the message is delivered again.
    #[error("The conductor could not reach the hosts: {message}")]
    BusUnavailable { message: String },
}

impl RpcError for ConductorError {
    const MODULE: &'static str = "novella.conductor";

    fn is_temporary(&self) -> bool {
        matches!(self, Self::DatabaseUnavailable { .. } | Self::BusUnavailable { .. })
    }
}

impl From<DbError> for ConductorError {
    fn from(error: DbError) -> Self {
        let message = error.to_string();
        if error.is_unavailable() { Self::DatabaseUnavailable { message } } else { Self::DatabaseFailed { message } }
    }
}

/// What others may ask of a conductor.
#[contract(topic = "conductor", version = "1.1")]
pub trait Conductor {
    /// Drive the live migration whose row is `accepted`.
    #[rpc(cast)]
    async fn live_migrate_instance(&self, ctx: RequestContext, migration: MigrationUuid) -> Result<(), ConductorError>;

    /// Undo the live migration, whatever it is doing, unless the guest has switched. Its row says that an abort was
    /// requested.
    #[rpc(cast)]
    async fn abort_live_migration(&self, ctx: RequestContext, migration: MigrationUuid) -> Result<(), ConductorError>;

    /// Drive the cold migration whose row is `accepted`.
    #[rpc(cast, since = "1.1")]
    async fn migrate_server(&self, ctx: RequestContext, migration: MigrationUuid) -> Result<(), ConductorError>;

    /// Confirm the migration whose row is `confirming`.
    #[rpc(cast, since = "1.1")]
    async fn confirm_resize(&self, ctx: RequestContext, migration: MigrationUuid) -> Result<(), ConductorError>;

    /// Revert the migration whose row is `reverting`.
    #[rpc(cast, since = "1.1")]
    async fn revert_resize(&self, ctx: RequestContext, migration: MigrationUuid) -> Result<(), ConductorError>;
}
