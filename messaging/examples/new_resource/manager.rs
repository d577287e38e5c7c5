//! The manager: does the work, and knows nothing of HTTP. It keeps its state in memory, to keep the lesson short.

use std::collections::HashMap;

use uuid::Uuid;

use crate::rpcapi::{Context, NewResource, Resource, ResourceError};

#[derive(Default)]
pub struct Manager(tokio::sync::Mutex<HashMap<Uuid, Resource>>);

impl NewResource for Manager {
    async fn create(&self, _ctx: Context, id: Uuid, name: String) -> Result<(), ResourceError> {
        // If a manager dies over a message, it is delivered again: the id, chosen by the sender, tells what is done.
        if self.0.lock().await.entry(id).or_insert(Resource { name, done: false }).done {
            return Ok(());
        }
        // The work. No lock is held meanwhile, so `show` answers.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        self.0.lock().await.entry(id).and_modify(|resource| resource.done = true);
        // Only now is the message acknowledged. An error instead would have it delivered again, after a pause.
        Ok(())
    }

    async fn show(&self, _ctx: Context, id: Uuid) -> Result<Resource, ResourceError> {
        self.0.lock().await.get(&id).cloned().ok_or(ResourceError::NotFound { id })
    }
}
