//! `DELETE /servers/{id}`.
//!
//! Three ways. On a host that is up: the host is told, and the row goes when it reports. On no host, or on one that is
//! down: the row goes here and now, with its claims; a scheduler that is choosing at this moment loses its
//! compare-and-swap, and a host that comes back is cleared of the guest by reconciliation.

use http::StatusCode;
use novella_common::{
    RequestContext,
    db::{actions, allocations, instances},
    lifecycle::{Action, TaskState},
    models::{EventResult, Instance},
};
use novella_compute::rpcapi::{ActionArguments, OperationId};
use novella_rest::{ApiError, Path};

use super::{
    hosts,
    operation::{self, uninterrupted},
};
use crate::{Request, state::Api};

/// The event in the action of a deletion that no host has a part in.
const LOCAL_DELETE: &str = "api_local_delete";

/// How often a delete looks again when the instance changes under it. Each change is a step of a build or of another
/// operation; there are never this many in the time of two queries.
const ATTEMPTS: usize = 5;

/// Deletes a server.
pub(super) async fn delete(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let mut attempt = 1;
    loop {
        let instance = super::find(&request, &id).await?;
        let (api, context) = (request.state.clone(), RequestContext::clone(&request.context));
        let begun = uninterrupted((api, context, instance), |(api, context, instance)| async move {
            once(&api, &context, instance).await
        });
        match begun.await {
            // A delete takes over whatever is under way; it only has to see what that is.
            Err(ApiError::Conflict(_)) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
            Ok(()) => return Ok(StatusCode::NO_CONTENT),
        }
    }
}

async fn once(api: &Api, context: &RequestContext, instance: Instance) -> Result<(), ApiError> {
    let host_up = match &instance.host {
        Some(host) => hosts::is_up(api, &mut *api.database.read().await?, host).await?,
        None => false,
    };
    match instance.host.clone().filter(|_| host_up) {
        Some(host) => {
            // Asked for already, and somebody is at it.
            if instance.task_state == Some(TaskState::Deleting) {
                return Ok(());
            }
            let uuid = instance.uuid;
            let task_id = operation::begin(api, context, instance, Action::Delete).await?.commit().await?;
            let operation = OperationId { instance: uuid, task_id };
            let client = api.compute.clone().server(host);
            let told = client.perform_action(context, operation, Action::Delete, ActionArguments::default());
            operation::hand_over(uuid, told).await;
            Ok(())
        }
        None => {
            let uuid = instance.uuid;
            let details = instance
                .host
                .as_ref()
                .map(|host| format!("Host {host} is down; what it still holds is removed when it is back."));
            let mut beginning = operation::begin(api, context, instance, Action::Delete).await?;
            let done = operation::event_of(context, uuid, LOCAL_DELETE, None, Some((EventResult::Success, details)));
            actions::record_events(&mut beginning.transaction, &[done]).await?;
            allocations::release_all(&mut beginning.transaction, &[uuid]).await?;
            instances::mark_deleted(&mut beginning.transaction, &[uuid]).await?;
            beginning.commit().await?;
            tracing::info!(instance = %uuid, "deleted without its host");
            Ok(())
        }
    }
}
