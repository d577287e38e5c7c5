//! New servers are written down: those of all requests that wait at one moment in one transaction, so that they pay for one
//! commit together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::FutureExt;
use novella_common::{
    RequestContext,
    db::{Connection, Database, DbError, actions, instances, together::Together},
    ids::InstanceUuid,
    models::{Instance, RequestSpec},
};
use novella_rest::ApiError;

use super::super::{
    super::{
        quotas::servers::{CountedUsage, ServerQuota},
        server_groups::{self, Joined},
    },
    operation::action_row,
    tags::{self, Tags},
};

/// Rows in one `INSERT`: SQLite binds at most 32766 values in a statement, and a row has fewer than 60.
const ROWS_PER_STATEMENT: usize = 500;

/// Servers in one transaction at most, but for those of a single request: others wait for its locks.
const MAX_SERVERS_TOGETHER: usize = 500;

/// All that one request writes.
pub(super) struct NewServers {
    pub(super) context: RequestContext,
    pub(super) instances: Vec<Instance>,
    pub(super) spec: RequestSpec,
    pub(super) tags: Tags,
    pub(super) group: Option<Joined>,
    pub(super) quota: Option<ServerQuota>,
}

impl NewServers {
    pub(super) fn uuids(&self) -> Vec<InstanceUuid> {
        self.instances.iter().map(|instance| instance.uuid).collect()
    }
}

/// What a request came to, or that its transaction must be tried again.
type Written = Result<(), ApiError>;

type Queue = Together<Arc<NewServers>, Written>;

/// Writes new servers, several requests' together.
#[derive(Default)]
pub(crate) struct ServerWriter {
    /// Those of a project whose servers are counted wait by themselves: they wait for whoever counts in other processes,
    /// too, and hold up nobody else. All others wait together.
    queues: Mutex<HashMap<Option<String>, Arc<Queue>>>,
}

impl ServerWriter {
    /// Writes the servers of a request, or nothing of them.
    ///
    /// # Errors
    /// 403 if a quota is exceeded, and what the database comes to.
    pub(super) async fn write(&self, database: &Database, new: &Arc<NewServers>) -> Written {
        if new.group.is_some() {
            // Whether it may join is known in the midst of its transaction, which can then be nobody else's.
            return write_alone(database, new).await;
        }
        let counted = new.quota.as_ref().map(|quota| quota.project().to_owned());
        let queue = lock(&self.queues).entry(counted.clone()).or_insert_with(|| queue(database)).clone();
        let written = queue.write(Arc::clone(new)).await.unwrap_or_else(|| Err(broken_off()));
        let mut queues = lock(&self.queues);
        // The map's own and this one: nobody else uses it, and nobody can begin to.
        if Arc::strong_count(&queue) == 2 {
            queues.remove(&counted);
        }
        written
    }
}

fn queue(database: &Database) -> Arc<Queue> {
    let database = database.clone();
    Arc::new(Together::new(
        MAX_SERVERS_TOGETHER,
        |new: &Arc<NewServers>| new.instances.len(),
        move |batch| {
            let database = database.clone();
            async move { write_batch(&database, &batch).await }.boxed()
        },
    ))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who wrote for others has broken off.
fn broken_off() -> ApiError {
    ApiError::Unknown("Whether the servers were created is not known. Please look before you try again.".into())
}

/// Writes the servers of several requests, and says of each what came of it.
async fn write_batch(database: &Database, batch: &[Arc<NewServers>]) -> Vec<Written> {
    metrics::histogram!("api_creates_written_together").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
    let new: Vec<&NewServers> = batch.iter().map(|new| &**new).collect();
    match write_together(database, &new).await {
        Ok(written) => written,
        Err(error) if batch.len() == 1 || error.is_unavailable() => {
            let error = ApiError::from(error);
            vec![Err(error); batch.len()]
        }
        Err(error) => {
            // It may be the fault of one of them, which the others need not bear.
            tracing::warn!(%error, requests = batch.len(), "servers could not be written together");
            let mut written = Vec::with_capacity(batch.len());
            for new in new {
                written.push(write_alone(database, new).await);
            }
            written
        }
    }
}

async fn write_together(database: &Database, new: &[&NewServers]) -> Result<Vec<Written>, DbError> {
    let mut transaction = database.begin().await?;
    let written = insert(&mut transaction, new).await?;
    transaction.commit().await?;
    Ok(written)
}

async fn write_alone(database: &Database, new: &NewServers) -> Written {
    let mut transaction = database.begin().await?;
    for written in insert(&mut transaction, &[new]).await? {
        written?;
    }
    if let Some(group) = &new.group {
        server_groups::join(&mut transaction, group, &new.uuids()).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Writes the servers of those requests whose quotas allow it, and says of each whether.
async fn insert(transaction: &mut Connection, new: &[&NewServers]) -> Result<Vec<Written>, DbError> {
    let quotas: Vec<_> = new.iter().filter_map(|new| new.quota.as_ref()).collect();
    let mut usage = CountedUsage::lock_and_count(transaction, &quotas).await?;
    let allowed = new.iter().map(|new| match &new.quota {
        Some(quota) => usage.take(quota, u32::try_from(new.instances.len()).unwrap_or(u32::MAX)),
        None => Ok(()),
    });
    let written: Vec<Written> = allowed.collect();
    let new: Vec<_> = new.iter().zip(&written).filter(|(_, written)| written.is_ok()).map(|(new, _)| *new).collect();

    let rows: Vec<_> = new.iter().flat_map(|new| new.instances.iter().map(|instance| (*new, instance))).collect();
    for part in rows.chunks(ROWS_PER_STATEMENT) {
        let instances: Vec<_> = part.iter().map(|(new, instance)| (*instance, &new.spec)).collect();
        instances::insert_each(transaction, &instances).await?;
        let actions: Vec<_> =
            part.iter().map(|(new, instance)| action_row(&new.context, instance.uuid, "create")).collect();
        actions::start(transaction, &actions).await?;
    }
    for new in new {
        tags::insert(transaction, &new.uuids(), &new.tags).await?;
    }
    Ok(written)
}
