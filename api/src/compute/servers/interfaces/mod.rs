//! `/servers/{id}/os-interface`: the ports of a server.

mod attach;
mod detach;

use axum::response::Response;
use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{
        DbError,
        actions::{self, EventOf},
        instances::{self, ports},
    },
    ids::InstanceUuid,
    lifecycle::VmState,
    models::{EventResult, Instance, NetworkInfo},
    networks::{Port, PortFilter},
};
use novella_rest::{ApiError, FieldTable, Operation, Path, delete, field, get, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::{create::networks::no_port, hosts, operation};
use crate::{Request, compute::networking::failed, host_calls::HostCall, neighbours::caller, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ALL: &str = "/servers/{server_id}/os-interface";
    const ONE: &str = "/servers/{server_id}/os-interface/{port_id}";
    vec![
        get(ALL, policy::INTERFACES_LIST, index).answers_list::<Interface>("interfaceAttachments"),
        get(ONE, policy::INTERFACES_SHOW, show).answers::<Interface>("interfaceAttachment"),
        post(ALL, policy::INTERFACES_CREATE, attach::create).answers::<Interface>("interfaceAttachment"),
        delete(ONE, policy::INTERFACES_DELETE, detach::remove).status(202),
    ]
}

/// Which versions have which fields; those not named are in all.
const FIELDS: FieldTable = FieldTable(&[field("tag").since(70)]);

/// A port of a server.
#[derive(Serialize, ToSchema)]
struct Interface<'p> {
    net_id: &'p str,
    port_id: &'p str,
    mac_addr: &'p str,
    port_state: &'p str,
    fixed_ips: Vec<FixedIp<'p>>,
    /// By which the guest knows the device.
    tag: Option<&'p str>,
}

#[derive(Serialize, ToSchema)]
struct FixedIp<'p> {
    subnet_id: &'p str,
    ip_address: &'p str,
}

impl<'p> Interface<'p> {
    fn of(port: &'p Port, instance: &'p Instance) -> Self {
        let fixed_ip = |(ip_address, subnet_id): &'p (String, String)| FixedIp { subnet_id, ip_address };
        Self {
            net_id: &port.network_id,
            port_id: &port.id,
            mac_addr: &port.mac_address,
            port_state: &port.status,
            fixed_ips: port.fixed_ips.iter().map(fixed_ip).collect(),
            tag: instance.network_info.port(&port.id).and_then(|vif| vif.tag.as_deref()),
        }
    }
}

async fn find_port(request: &Request, id: &str) -> Result<Option<Port>, ApiError> {
    let filter = PortFilter::Ids(vec![id.to_owned()]);
    Ok(request.state.networks.ports(caller(request), filter).await.map_err(failed)?.pop())
}

/// Lists the ports of a server.
async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &id).await?;
    let filter = PortFilter::Instances(vec![instance.uuid]);
    let ports = request.state.networks.ports(caller(&request), filter).await.map_err(failed)?;
    let views: Vec<_> = ports.iter().map(|port| Interface::of(port, &instance)).collect();
    Ok(request.answer(&FIELDS).list("interfaceAttachments", &views, None))
}

/// Shows a port of a server.
async fn show(request: Request, Path((id, port)): Path<(String, String)>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &id).await?;
    answer(&request, &instance, &port).await
}

async fn answer(request: &Request, instance: &Instance, port: &str) -> Result<Response, ApiError> {
    let found = find_port(request, port).await?.ok_or_else(|| ApiError::NotFound(no_port(port)))?;
    if found.device_id != instance.uuid.to_string() {
        return Err(ApiError::not_found(format!("Instance {} does not have a port with id {port}", instance.uuid)));
    }
    Ok(request.answer(&FIELDS).object("interfaceAttachment", Interface::of(&found, instance)))
}

/// A change of a server's interfaces that may begin: where, for whom, under which name.
#[derive(Clone)]
struct Change {
    api: Api,
    context: RequestContext,
    instance: Instance,
    host: String,
    /// Nova's name of the action, which is also the host's method.
    name: &'static str,
}

impl Change {
    /// A change that may begin, once the server's host is there. The place among those who wait for the host is taken.
    ///
    /// # Errors
    /// 503 if the host can't be asked.
    async fn of(request: &Request, instance: Instance, name: &'static str) -> Result<(Self, HostCall), ApiError> {
        let (host, waiting) = hosts::reserve(request, &instance).await?;
        let (api, context) = (request.state.clone(), RequestContext::clone(&request.context));
        Ok((Self { api, context, instance, host, name }, waiting))
    }

    /// Does it, and leaves its action with its event.
    async fn recorded<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let (context, uuid) = (&self.context, self.instance.uuid);
        let name = format!("compute_{}", self.name);
        let mut event = operation::event_of(context, uuid, &name, Some(&self.host), None);
        let mut transaction = self.api.database.begin().await?;
        operation::record_action(&mut transaction, context, self.name, event.clone()).await?;
        transaction.commit().await?;
        // What has begun is not begun again: see `uninterrupted`.
        let done = work.await.map_err(|error| match error {
            ApiError::TransactionLost => ApiError::Unavailable(error.to_string()),
            error => error,
        });
        event.event.finish_time = Some(Timestamp::now());
        event.event.result = Some(if done.is_ok() { EventResult::Success } else { EventResult::Error });
        event.event.details = done.as_ref().err().map(ToString::to_string);
        if let Err(error) = self.end(event).await {
            tracing::error!(instance = %uuid, %error, "the end of an action could not be written down");
        }
        done
    }

    async fn end(&self, event: EventOf) -> Result<(), DbError> {
        actions::record_events(&mut *self.api.database.write().await?, &[event]).await
    }

    /// Writes what is known of the interfaces beside what Networking says.
    ///
    /// # Errors
    /// 404 if the server is gone; 409 if it changes faster than that.
    async fn write_down(&self, change: impl Fn(&mut NetworkInfo)) -> Result<(), ApiError> {
        const ATTEMPTS: usize = 5;
        let (database, uuid) = (&self.api.database, self.instance.uuid);
        for _ in 0..ATTEMPTS {
            let instance = instances::get(&mut *database.read().await?, uuid).await?;
            let seen = instance.ok_or_else(|| super::not_found(&uuid.to_string()))?.network_info;
            let mut now = seen.clone();
            change(&mut now);
            if ports::swap(&mut *database.write().await?, uuid, &seen, &now).await? {
                return Ok(());
            }
        }
        Err(ApiError::Conflict(format!("The interfaces of instance {uuid} change at the same time. Please try again.")))
    }

    /// Has the row say what Networking says now.
    async fn refresh(&self) {
        crate::compute::floating_ips::show_now(&self.api, &[self.instance.uuid]).await;
    }
}

/// Whether a server's interfaces may be changed in the state that it is in.
///
/// # Errors
/// 409 for its state or its lock.
fn check_state(request: &Request, instance: &Instance, name: &str) -> Result<(), ApiError> {
    operation::check_unlocked(&request.context, instance)?;
    let uuid = instance.uuid;
    let refused =
        |state: String| Err(ApiError::Conflict(format!("Cannot '{name}' instance {uuid} while it is in {state}")));
    if !matches!(instance.vm_state, VmState::Active | VmState::Paused | VmState::Stopped) {
        return refused(format!("vm_state {}", instance.vm_state));
    }
    match instance.task_state {
        Some(task) => refused(format!("task_state {task}")),
        None => Ok(()),
    }
}

/// The server as it is now.
async fn read_again(request: &Request, uuid: InstanceUuid) -> Result<Instance, ApiError> {
    let instance = instances::get(&mut *request.state.database.read().await?, uuid).await?;
    instance.ok_or_else(|| super::not_found(&uuid.to_string()))
}
