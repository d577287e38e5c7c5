//! `DELETE /servers/{id}`, `forceDelete`, `restore`.
//!
//! Three ways. On a host that is up: the host is told, and the row goes when it reports. On no host, or on one that is
//! down: the row goes here and now, with its claims; a scheduler that is choosing at this moment loses its
//! compare-and-swap, and a host that comes back is cleared of the guest by reconciliation.

use http::StatusCode;
use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{
        actions, allocations,
        instances::{self, edits, ports},
    },
    ids::InstanceUuid,
    lifecycle::{Action, NotAllowed, TaskState, VmState},
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

/// Deletes a server; where that is configured, it is only put aside, and can be brought back for a while.
pub(super) async fn delete(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    if !request.state.service.reclaim_instance_interval.is_zero() {
        let instance = super::find(&request, &id).await?;
        if instance.vm_state == VmState::SoftDeleted {
            return Ok(StatusCode::NO_CONTENT);
        }
        // What never ran, or is being moved, is deleted at once.
        let aside = instance.launched_at.is_some() && Action::SoftDelete.transition().from.contains(&instance.vm_state);
        if aside {
            perform_changing(request, instance, Action::SoftDelete, Some(Timestamp::now())).await?;
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    force_delete(request, &id).await
}

/// `forceDelete`: now, whatever is configured.
pub(super) async fn force(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    force_delete(request, &id).await?;
    Ok(StatusCode::ACCEPTED)
}

/// `restore`: a server that was put aside is brought back.
pub(super) async fn restore(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let instance = super::find(&request, &id).await?;
    perform_changing(request, instance, Action::Restore, None).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Begins an action of the server's host, and writes since when the server is put aside.
async fn perform_changing(
    request: Request,
    instance: Instance,
    action: Action,
    soft_deleted_at: Option<Timestamp>,
) -> Result<(), ApiError> {
    let parts = (request.state, request.context, instance);
    uninterrupted(parts, move |(api, context, instance)| async move {
        let (uuid, host) = (instance.uuid, instance.host.clone());
        let mut beginning = operation::begin(&api, &context, instance, action).await?;
        edits::set_soft_deleted(&mut beginning.transaction, uuid, soft_deleted_at).await?;
        let task_id = beginning.commit().await?;
        let no_host = || operation::not_allowed(action.transition(), uuid, NotAllowed::NoHost);
        let client = api.compute.clone().server(host.ok_or_else(no_host)?);
        let operation = OperationId { instance: uuid, task_id };
        let told = client.perform_action(&context, operation, action, ActionArguments::default());
        operation::hand_over(uuid, told).await;
        Ok(())
    })
    .await
}

async fn force_delete(request: Request, id: &str) -> Result<StatusCode, ApiError> {
    let mut attempt = 1;
    loop {
        let instance = super::find(&request, id).await?;
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
            let ports = instance.has_ports.then(|| instance.network_info.clone());
            let mut beginning = operation::begin(api, context, instance, Action::Delete).await?;
            let done = operation::event_of(context, uuid, LOCAL_DELETE, None, Some((EventResult::Success, details)));
            actions::record_events(&mut beginning.transaction, &[done]).await?;
            allocations::release_all(&mut beginning.transaction, &[uuid]).await?;
            instances::mark_deleted(&mut beginning.transaction, &[uuid]).await?;
            let spec = match ports {
                Some(_) => instances::request_spec(&mut beginning.transaction, uuid).await?,
                None => None,
            };
            beginning.commit().await?;
            tracing::info!(instance = %uuid, "deleted without its host");
            if let Some(info) = ports {
                give_back_ports(api, uuid, ports::kept(&info, &spec.unwrap_or_default())).await;
            }
            Ok(())
        }
    }
}

/// Gives the ports of a deleted server back at once. Where that can't be done, or a scheduler is making some at this moment, a
/// conductor's sweep does it: the row says so until then.
async fn give_back_ports(api: &Api, instance: InstanceUuid, kept: Vec<String>) {
    if let Err(error) = api.networks.deallocate(&[(instance, kept)]).await {
        tracing::warn!(%instance, %error, "the ports of a deleted server are given back later");
    }
}
