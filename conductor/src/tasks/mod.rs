//! Long tasks: one file each, with its steps and their undoing; here, what drives them from step to step.
//!
//! A task's state is its row. It is driven by whoever the row names as its owner, in the background and not in the
//! handler of a message, so that no task holds a place that others wait for. A driver that dies leaves its name in the
//! row, and the search for work that nobody does ([`crate::takeover`]) gives the row to another one.

pub(crate) mod live_migrate;

use std::sync::Arc;

use novella_common::{
    db::{DbError, migrations, takeover},
    ids::MigrationUuid,
    models::{Migration, MigrationStatus},
};

use self::live_migrate::{Drive, Step};
use crate::{one_each::OneEach, reconcile::Reconciler, shared::Shared};

/// Drives live migrations.
pub(crate) struct Migrations {
    shared: Arc<Shared>,
    reconciler: Arc<Reconciler>,
    driven: OneEach<MigrationUuid>,
}

impl Migrations {
    pub(crate) fn new(shared: Arc<Shared>, reconciler: Arc<Reconciler>) -> Self {
        Self { shared, reconciler, driven: OneEach::new() }
    }

    /// Drives a migration in the background as far as it goes now; if it is being driven, looks at it once more after
    /// that.
    pub(crate) fn go_on(self: &Arc<Self>, migration: MigrationUuid) {
        if !self.driven.begin(&migration) {
            return;
        }
        let this = Arc::clone(self);
        let shutdown = self.shared.shutdown.clone();
        self.shared.shutdown.spawn(async move {
            loop {
                let driven = tokio::select! {
                    driven = this.drive(migration) => driven,
                    // Between two steps or in one: the row says which, and whoever takes over does it again.
                    () = shutdown.requested() => return,
                };
                if let Err(error) = driven {
                    tracing::warn!(%migration, %error, "migration interrupted; it goes on in a moment");
                    if !shutdown.pause(this.shared.config.call_retry_interval).await {
                        return;
                    }
                    continue;
                }
                if !this.driven.once_more(&migration) {
                    return;
                }
            }
        });
    }

    /// Makes a migration this conductor's, if it is nobody's and there is something to do, and drives it.
    pub(crate) async fn take_up(self: &Arc<Self>, uuid: MigrationUuid) -> Result<(), DbError> {
        let migration = {
            let mut connection = self.shared.database.read().await?;
            migrations::get(&mut connection, uuid).await?
        };
        if let Some(migration) = migration
            && migration.status == MigrationStatus::Accepted
        {
            self.own(&migration).await?;
        }
        self.go_on(uuid);
        Ok(())
    }

    async fn drive(self: &Arc<Self>, uuid: MigrationUuid) -> Result<(), DbError> {
        let mut drive = Drive::new(&self.shared);
        loop {
            let migration = {
                let mut connection = self.shared.database.read().await?;
                migrations::get(&mut connection, uuid).await?
            };
            let Some(migration) = migration else { return Ok(()) };
            if migration.status.is_final() {
                self.admit(&migration.source).await?;
                return Ok(());
            }
            if migration.status == MigrationStatus::Queued && !migration.abort_requested {
                self.admit(&migration.source).await?;
                return Ok(());
            }
            if !self.own(&migration).await? {
                return Ok(());
            }
            match drive.step(&migration).await? {
                Step::Next => {}
                Step::Rest => {
                    if let Some(host) = drive.leftovers() {
                        self.reconciler.request(host);
                    }
                    return Ok(());
                }
                Step::Again => {
                    if !self.shared.shutdown.pause(self.shared.config.call_retry_interval).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether the migration is this conductor's, now if it was nobody's.
    async fn own(&self, migration: &Migration) -> Result<bool, DbError> {
        let me = self.shared.incarnation;
        let takeable = match migration.owner {
            Some(owner) if owner == me => return Ok(true),
            Some(owner) => {
                let mut connection = self.shared.database.read().await?;
                takeover::is_gone(&mut connection, owner, self.shared.fresh_since()).await?
            }
            // While the source copies, the migration is the source's.
            None => migration.status != MigrationStatus::Running,
        };
        if !takeable {
            return Ok(false);
        }
        let mut connection = self.shared.database.write().await?;
        migrations::transitions::take(&mut connection, migration, me).await
    }

    /// Takes a running migration from its source, which is gone or can't be relied on, and drives it.
    pub(crate) async fn take_from_source(self: &Arc<Self>, migration: &Migration) -> Result<(), DbError> {
        let taken = {
            let mut connection = self.shared.database.write().await?;
            migrations::transitions::take(&mut connection, migration, self.shared.incarnation).await?
        };
        if taken {
            self.go_on(migration.uuid);
        }
        Ok(())
    }

    /// Lets as many queued migrations begin as the source has free places.
    pub(crate) async fn admit(self: &Arc<Self>, source: &str) -> Result<(), DbError> {
        let limit = i64::from(self.shared.config.max_concurrent_live_migrations.max(1));
        let admitted = {
            let mut transaction = self.shared.database.begin().await?;
            let admitted =
                migrations::transitions::admit(&mut transaction, source, limit, self.shared.incarnation).await?;
            transaction.commit().await?;
            admitted
        };
        for migration in admitted {
            tracing::info!(%migration, source, "live migration admitted");
            self.go_on(migration);
        }
        Ok(())
    }
}
