//! What is asked of a conductor. The work goes on in the background, from the row: the message is acknowledged once the
//! row says whose it is, or that it is nobody's.

use std::sync::Arc;

use novella_common::{RequestContext, db::migrations, ids::MigrationUuid, models::Holder};

use crate::{
    rpcapi::{Conductor, ConductorError},
    shared::Shared,
    tasks::{Tasks, live_migrate},
};

/// The conductor's manager.
pub(crate) struct ConductorManager {
    shared: Arc<Shared>,
    tasks: Arc<Tasks>,
}

impl ConductorManager {
    pub(crate) fn new(shared: Arc<Shared>, tasks: Arc<Tasks>) -> Self {
        Self { shared, tasks }
    }
}

impl Conductor for ConductorManager {
    async fn live_migrate_instance(&self, _: RequestContext, migration: MigrationUuid) -> Result<(), ConductorError> {
        // The message must not go before the row names an owner, or a crash in between would lose the migration until
        // it is found by its age.
        Ok(self.tasks.take_up(migration).await?)
    }

    async fn abort_live_migration(&self, _: RequestContext, migration: MigrationUuid) -> Result<(), ConductorError> {
        let row = {
            let mut connection = self.shared.database.read().await?;
            migrations::get(&mut connection, migration).await?
        };
        match row {
            // Its source owns it. With an owner, that one looks whether an abort was requested before each step.
            Some(row) if row.status.holder() == Holder::Host && row.owner.is_none() => {
                let told = live_migrate::abort_at_source(&self.shared, &row).await;
                told.map_err(|error| ConductorError::BusUnavailable { message: error.to_string() })
            }
            Some(row) if row.status.holder() != Holder::Nobody => Ok(self.tasks.take_up(migration).await?),
            _ => Ok(()),
        }
    }

    async fn migrate_server(&self, _: RequestContext, migration: MigrationUuid) -> Result<(), ConductorError> {
        Ok(self.tasks.take_up(migration).await?)
    }

    async fn confirm_resize(&self, _: RequestContext, migration: MigrationUuid) -> Result<(), ConductorError> {
        Ok(self.tasks.take_up(migration).await?)
    }

    async fn revert_resize(&self, _: RequestContext, migration: MigrationUuid) -> Result<(), ConductorError> {
        Ok(self.tasks.take_up(migration).await?)
    }
}
