//! Takes a port from a server, while it runs: the host unplugs it, then Networking takes it back. Answered when both is done,
//! so that nothing is promised which a crash could break: until then the port is the server's as before.

use std::sync::Arc;

use http::StatusCode;
use novella_common::db::instances::{self, ports};
use novella_rest::{ApiError, Path};

use super::{super::operation::uninterrupted, Change, check_state, find_port};
use crate::{Request, compute::networking::failed};

/// Nova's name of the action.
const NAME: &str = "detach_interface";

/// Detaches a port.
pub(super) async fn remove(request: Request, Path((id, port)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let instance = super::super::find(&request, &id).await?;
    let uuid = instance.uuid;
    check_state(&request, &instance, NAME)?;
    let known = instance.network_info.port(&port).is_some()
        || find_port(&request, &port).await?.is_some_and(|port| port.device_id == uuid.to_string());
    if !known {
        return Err(ApiError::not_found(format!("Port {port} is not attached")));
    }
    let (change, waiting) = Change::of(&request, instance, NAME).await?;
    let waiting = Arc::new(waiting);
    let detached = uninterrupted((change, port, waiting), |(change, port, _waiting)| async move {
        change.recorded(detach(&change, &port)).await
    });
    request.elsewhere(detached).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn detach(change: &Change, port: &str) -> Result<(), ApiError> {
    let (api, uuid) = (&change.api, change.instance.uuid);
    let spec = instances::request_spec(&mut *api.database.read().await?, uuid).await?.unwrap_or_default();
    let keep = ports::kept(&change.instance.network_info, &spec).iter().any(|kept| kept == port);
    let host = api.compute.clone().server(&change.host);
    host.detach_interface(&change.context, uuid, port.to_owned()).await.map_err(|error| {
        tracing::warn!(instance = %uuid, port, %error, "a host could not unplug an interface");
        ApiError::Unavailable(format!("Failed to detach network adapter device from {uuid}"))
    })?;
    api.networks.remove(uuid, port, keep).await.map_err(failed)?;
    change.refresh().await;
    Ok(())
}
