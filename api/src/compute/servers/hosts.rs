//! How the hosts of servers are.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
};

use novella_common::{
    db::{Connection, DbError, services},
    models::{Binary, Instance, Service},
};
use novella_compute::rpcapi::{ComputeClient, ComputeError};
use novella_messaging::CallError;
use novella_rest::ApiError;

use crate::{Request, host_calls::HostCall, state::Api};

/// Whether a host is there to be asked for something.
///
/// # Errors
/// The database can't be read.
pub(super) async fn is_up(api: &Api, connection: &mut Connection, host: &str) -> Result<bool, DbError> {
    let service = services::find(connection, Binary::Compute, host).await?;
    let fresh_since = api.fresh_since(connection).await?;
    Ok(service.is_some_and(|service| service.is_up(&fresh_since)))
}

/// The host of a server, that is there to be asked, and a place among those who wait for its answer.
///
/// # Errors
/// 409 if the server has no host yet; 503 if the host is down, since a call to it would take until it times out, or if as
/// many requests wait for it as may.
pub(super) async fn reserve(request: &Request, instance: &Instance) -> Result<(String, HostCall), ApiError> {
    let api = &request.state;
    let uuid = instance.uuid;
    let host = instance.host.as_deref().ok_or_else(|| not_ready(instance))?;
    if !is_up(api, &mut *api.database.read().await?, host).await? {
        return Err(ApiError::Unavailable(format!("The host of instance {uuid} is down; it can't be asked.")));
    }
    let Some(waiting) = api.host_calls.begin(host) else {
        tracing::warn!(host, "as many requests wait for an answer of this host as may; another one is refused");
        // Which host it is, only an operator is told, as everywhere.
        let host = match request.context.is_admin {
            true => format!("The host {host} of instance {uuid}"),
            false => format!("The host of instance {uuid}"),
        };
        return Err(ApiError::Unavailable(format!(
            "{host} owes answers to {} requests already, as many as may wait for it. Please try again.",
            api.config.max_calls_per_host
        )));
    };
    Ok((host.to_owned(), waiting))
}

/// Asks the host of a server about its guest. To be the last thing that a handler does but for writing its answer down.
///
/// # Errors
/// 409 if the server has no host yet; 503 if the host is down, since a call to it would take until it times out, or if as
/// many requests wait for it as may; and what an answer that is none comes to.
pub(super) async fn ask<T, F>(
    request: &Request,
    instance: &Instance,
    call: impl FnOnce(ComputeClient) -> F,
) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, CallError<ComputeError>>>,
{
    let (host, _waiting) = reserve(request, instance).await?;
    let answer = request.elsewhere(call(request.state.compute.clone().server(&host))).await;
    answer.map_err(|error| untold(instance, &error))
}

fn not_ready(instance: &Instance) -> ApiError {
    ApiError::Conflict(format!("Instance {} is not ready", instance.uuid))
}

/// What it comes to that a host did not tell about a guest.
fn untold(instance: &Instance, error: &CallError<ComputeError>) -> ApiError {
    let uuid = instance.uuid;
    match error {
        CallError::Remote(ComputeError::InstanceNotFound { .. }) => {
            ApiError::not_found(format!("The host of instance {uuid} has no guest of it."))
        }
        CallError::Remote(ComputeError::InvalidState { .. }) => not_ready(instance),
        error => {
            tracing::warn!(instance = %uuid, %error, "a host could not be asked about a guest");
            ApiError::Unavailable(format!("The host of instance {uuid} did not answer. Please try again."))
        }
    }
}

/// `host_status` of the hosts that these servers are on, by name. As in Nova, one that an operator has declared down is
/// down, whether or not it is taken out of scheduling too.
///
/// # Errors
/// The database can't be read.
pub(super) async fn statuses(
    api: &Api,
    connection: &mut Connection,
    servers: &[Instance],
) -> Result<HashMap<String, &'static str>, DbError> {
    let fresh_since = api.fresh_since(connection).await?;
    let hosts: BTreeSet<&str> = servers.iter().filter_map(|server| server.host.as_deref()).collect();
    let hosts: Vec<&str> = hosts.into_iter().collect();
    let services = services::of_compute_hosts(connection, &hosts).await?;
    let status = |service: &Service| {
        if service.forced_down {
            "DOWN"
        } else if service.disabled {
            "MAINTENANCE"
        } else if service.is_up(&fresh_since) {
            "UP"
        } else {
            "UNKNOWN"
        }
    };
    Ok(services.into_iter().map(|service| (service.host.clone(), status(&service))).collect())
}
