//! `POST /servers`.
//!
//! ```text
//! validate, ask Networking ──▶ one transaction: the quota, every instance with its action ──▶ a cast each ──▶ 202
//!     │ 400, 403, 409               │ 403                                                 │ not taken: 202 as well
//! ```
//!
//! Ports are made by the scheduler, for the host that it chooses: [`networks`] says which, and that they may be had.
//!
//! What several requests write at one moment is one transaction: see [`ServerWriter`].

mod devices;
mod files;
mod hints;
pub(super) mod networks;
pub(super) mod request;
mod write;

use std::sync::Arc;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{TryStreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{Connection, services},
    ids::{InstanceUuid, TaskId},
    images::ImageRecord,
    lifecycle::{PowerState, TaskState, VmState},
    models::{Binary, Flavor, Instance, NetworkInfo, RequestSpec, Service},
};
use novella_messaging::MessagingError;
use novella_rest::{ApiError, Link, truth};
use rand::RngExt;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use self::write::ServerWriter;
use self::{
    networks::AskedNetworks,
    request::{DiskConfig, RequestedDestination, ServerRequest},
    write::NewServers,
};
use super::{
    super::{
        keypairs,
        quotas::{Limits, servers::ServerQuota},
        server_groups::{self, Joined},
    },
    operation::{hand_over, uninterrupted},
};
use crate::{Request, neighbours::caller, policy, state::Api};

/// Messages that are on their way to the bus at once, where one request makes many servers.
const CASTS_AT_ONCE: usize = 32;

/// What is answered.
#[derive(Serialize, ToSchema)]
pub(super) struct Created {
    id: Uuid,
    links: [Link; 2],
    #[serde(rename = "OS-DCF:diskConfig")]
    disk_config: &'static str,
    security_groups: Vec<SecurityGroup>,
    #[serde(rename = "adminPass")]
    admin_pass: String,
}

#[derive(Serialize, ToSchema)]
struct SecurityGroup {
    name: String,
}

/// Makes one server or several.
pub(super) async fn create(mut request: Request) -> Result<Response, ApiError> {
    let (version, most) = (request.version, request.state.config.max_servers_per_request);
    let wanted = request::read(request.json().await?, version, most)?;
    let project = request.project()?.to_owned();
    let mut placement = placement(&request, &wanted)?;
    if !wanted.trusted_certs.is_empty() {
        policy::SERVERS_CREATE_TRUSTED_CERTS.check_own(&request.context)?;
    }
    if matches!(wanted.networks, AskedNetworks::Auto | AskedNetworks::These(_)) {
        policy::SERVERS_CREATE_ATTACH_NETWORK.check_own(&request.context)?;
    }

    let image = usable_image(&request, &wanted.image_id).await?;
    let mut connection = request.state.database.read().await?;
    let flavor = super::super::flavors::find_in(&mut connection, &request, &wanted.flavor_id).await?;
    let flavor =
        flavor.ok_or_else(|| ApiError::bad_request(format!("Flavor {} could not be found.", wanted.flavor_id)))?;
    let image = image.ok_or_else(|| ApiError::bad_request("Can not find requested image"))?;
    check_image(&request, &image, &flavor)?;
    wanted.devices.check(&flavor)?;
    let auto_disk_config = auto_disk_config(&image, wanted.disk_config)?;
    if let Some(name) = &wanted.key_name
        && !keypairs::exists(&mut connection, request.user(), name).await?
    {
        return Err(ApiError::bad_request("Invalid key_name provided."));
    }
    let limits = Limits::of(&mut connection, &request.state.quota, &project, Some(request.user())).await?;
    limits.check_metadata(wanted.metadata.len())?;
    wanted.files.check(&limits)?;
    let group = group(&mut connection, &request, &wanted, limits).await?;
    check_placement(&mut connection, &mut placement).await?;
    // Networking in the same process takes a connection for itself.
    drop(connection);
    let resolved =
        networks::resolve(&request, &project, &wanted.networks, &wanted.security_groups, wanted.count).await?;
    let quota = ServerQuota::new(limits, &project, request.user(), &flavor);
    let count = match &quota {
        Some(quota) => quota.allowed(&mut *request.state.database.read().await?, resolved.count).await?,
        None => resolved.count.most,
    };
    let networks = resolved.complete(&request, &project).await?;

    let spec = RequestSpec {
        availability_zone: placement.zone.clone(),
        requested_host: placement.host.clone(),
        hints: wanted.hints.clone(),
        image_properties: image.properties.clone(),
        networks,
        ..Default::default()
    };
    let from = From { flavor: &flavor, image: &image, auto_disk_config, has_ports: !spec.networks.is_none() };
    let instances = instances_for(&request, &project, &wanted, count, &placement, from);
    let first = instances[0].uuid;
    let reservation_id = instances[0].reservation_id.clone();
    let new = NewServers {
        context: RequestContext::clone(&request.context),
        instances,
        spec,
        tags: wanted.tags,
        group,
        quota,
    };
    let parts = (request.state.clone(), Arc::new(new));
    uninterrupted(parts, move |(api, new)| async move { make(&api, &new).await }).await?;

    if wanted.return_reservation_id {
        return Ok((StatusCode::ACCEPTED, request.plain("reservation_id", reservation_id)).into_response());
    }
    let path = format!("servers/{first}");
    let created = Created {
        id: first.0,
        links: request.links.of(&path),
        disk_config: DiskConfig::shown(auto_disk_config),
        security_groups: wanted.security_groups.into_iter().map(|name| SecurityGroup { name }).collect(),
        admin_pass: wanted.admin_pass.unwrap_or_else(new_password),
    };
    let location = [(header::LOCATION, request.links.to(&path))];
    Ok((StatusCode::ACCEPTED, location, request.plain("server", created)).into_response())
}

/// Writes the instances and hands them to the schedulers.
async fn make(api: &Api, new: &Arc<NewServers>) -> Result<(), ApiError> {
    api.server_writer.write(&api.database, new).await?;
    let uuids = new.uuids();
    for instance in &uuids {
        tracing::debug!(%instance, "written down: it waits for a host");
    }

    // What the bus does not take, and all after it, waits in its rows for a conductor to cast it.
    hand_over(uuids[0], cast_all(api, &new.context, &uuids)).await;
    Ok(())
}

async fn cast_all(api: &Api, context: &RequestContext, uuids: &[InstanceUuid]) -> Result<(), MessagingError> {
    for part in uuids.chunks(CASTS_AT_ONCE) {
        let casts: FuturesUnordered<_> = part.iter().map(|uuid| api.scheduler.build_instance(context, *uuid)).collect();
        casts.try_collect::<()>().await?;
    }
    Ok(())
}

/// The server group that a hint names.
async fn group(
    connection: &mut Connection,
    request: &Request,
    wanted: &ServerRequest,
    limits: Limits,
) -> Result<Option<Joined>, ApiError> {
    let Some(id) = wanted.hints.get("group").and_then(Value::as_str) else { return Ok(None) };
    match server_groups::find(connection, request, id).await? {
        Some(group) => Ok(Some(Joined { group: group.uuid, user: request.user().to_owned(), limits })),
        None => Err(ApiError::bad_request(format!("Instance group {id} could not be found."))),
    }
}

/// The zone and the host that are asked for, if the caller may ask for a host.
fn placement(request: &Request, wanted: &ServerRequest) -> Result<RequestedDestination, ApiError> {
    let placement = wanted.placement()?;
    if placement.forced {
        policy::SERVERS_CREATE_FORCED_HOST.check_own(&request.context)?;
    } else if placement.host.is_some() {
        policy::SERVERS_CREATE_REQUESTED.check_own(&request.context)?;
    }
    Ok(placement)
}

/// The image of this id, if the caller may use it.
async fn usable_image(request: &Request, id: &str) -> Result<Option<ImageRecord>, ApiError> {
    Ok(request.state.images.find_many(caller(request), vec![id.to_owned()]).await?.pop())
}

/// Whether servers of this flavor can be made from this image by this caller: with a flavor that has no root disk, the
/// image may be of any size.
fn check_image(request: &Request, image: &ImageRecord, flavor: &Flavor) -> Result<(), ApiError> {
    const GIB: i64 = 1 << 30;
    if image.status != "active" {
        return Err(ApiError::bad_request(format!("Image {} is not active.", image.id)));
    }
    if flavor.memory_mb < image.min_ram_mb {
        return Err(ApiError::bad_request("Flavor's memory is too small for requested image."));
    }
    if flavor.disk_gb == 0 {
        return match policy::SERVERS_CREATE_ZERO_DISK.allows_own(&request.context) {
            true => Ok(()),
            false => {
                Err(ApiError::Forbidden("Only volume-backed servers are allowed for flavors with zero disk.".into()))
            }
        };
    }
    let disk = flavor.disk_gb.saturating_mul(GIB);
    let (size, smallest) = (image.size.unwrap_or(0), image.min_disk_gb.saturating_mul(GIB));
    if disk < size {
        return Err(ApiError::bad_request(format!(
            "Flavor's disk is too small for requested image. Flavor disk is {disk} bytes, image is {size} bytes."
        )));
    }
    if disk < smallest {
        return Err(ApiError::bad_request(format!(
            "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is {disk} bytes, \
             minimum size is {smallest} bytes."
        )));
    }
    Ok(())
}

/// Whether the disk is to be filled by itself: as the request says, or the image where it says nothing.
fn auto_disk_config(image: &ImageRecord, asked: Option<DiskConfig>) -> Result<bool, ApiError> {
    let property = image.properties.get("auto_disk_config").map(|text| text.trim().to_lowercase());
    let property = property.as_deref().unwrap_or_default();
    match asked {
        Some(DiskConfig::Auto) if property == "disabled" => {
            Err(ApiError::bad_request(format!("Requested image {} has automatic disk resize disabled.", image.id)))
        }
        Some(asked) => Ok(asked == DiskConfig::Auto),
        None => Ok(truth(property).unwrap_or(false)),
    }
}

/// Checks the zone and the host that are asked for. A host that is forced is where it is: as in Nova, a zone that is
/// not its own counts for nothing.
async fn check_placement(connection: &mut Connection, placement: &mut RequestedDestination) -> Result<(), ApiError> {
    if placement.forced
        && let Some(host) = &placement.host
    {
        let own = find_host(connection, host).await?.zone;
        if placement.zone.as_deref() != Some(own.as_str()) {
            placement.zone = None;
        }
    }
    if let Some(zone) = &placement.zone {
        check_zone(connection, zone).await?;
    }
    if !placement.forced
        && let Some(host) = &placement.host
    {
        find_host(connection, host).await?;
    }
    Ok(())
}

async fn check_zone(connection: &mut Connection, zone: &str) -> Result<(), ApiError> {
    if services::zone_takes_work(connection, zone).await? {
        return Ok(());
    }
    Err(ApiError::bad_request(format!("The requested availability zone is not available: {zone}")))
}

async fn find_host(connection: &mut Connection, host: &str) -> Result<Service, ApiError> {
    let service = services::find(connection, Binary::Compute, host).await?;
    service.ok_or_else(|| ApiError::bad_request(format!("Compute host {host} could not be found.")))
}

/// What servers are made from.
struct From<'f> {
    flavor: &'f Flavor,
    image: &'f ImageRecord,
    auto_disk_config: bool,
    has_ports: bool,
}

fn instances_for(
    request: &Request,
    project: &str,
    wanted: &ServerRequest,
    count: u32,
    placement: &RequestedDestination,
    From { flavor, image, auto_disk_config, has_ports }: From<'_>,
) -> Vec<Instance> {
    let now = Timestamp::now();
    let reservation_id = new_reservation_id();
    (0..count)
        .map(|index| {
            let uuid = InstanceUuid::random();
            // Several of one name are told apart by their number, as by Nova.
            let number = if count == 1 { String::new() } else { format!("-{}", index + 1) };
            Instance {
                uuid,
                project_id: project.to_owned(),
                user_id: request.user().to_owned(),
                name: format!("{}{number}", wanted.name),
                description: wanted.description.clone(),
                hostname: wanted.hostname.clone().unwrap_or_else(|| hostname_from(&wanted.name, &number, uuid)),
                image_ref: Some(image.id.clone()),
                flavor: flavor.clone(),
                metadata: wanted.metadata.clone(),
                requested_zone: placement.zone.clone(),
                user_data: wanted.user_data.clone(),
                key_name: wanted.key_name.clone(),
                locked_by: None,
                locked_reason: None,
                network_info: NetworkInfo::default(),
                has_ports,
                access_ip_v4: wanted.access_ip_v4.clone(),
                access_ip_v6: wanted.access_ip_v6.clone(),
                auto_disk_config,
                trusted_certs: wanted.trusted_certs.clone(),
                config_drive: wanted.config_drive,
                reservation_id: reservation_id.clone(),
                launch_index: i64::from(index),
                host: None,
                availability_zone: None,
                vm_state: VmState::Building,
                task_state: Some(TaskState::Scheduling),
                power_state: PowerState::NoState,
                task_id: Some(TaskId::random()),
                task_request_id: Some(request.context.request_id.clone()),
                owner: None,
                report_seq: 0,
                attempts: 0,
                created_at: now,
                updated_at: now,
                launched_at: None,
                terminated_at: None,
                deleted_at: None,
            }
        })
        .collect()
}

/// A host name made of a name, with what tells several servers apart behind it: letters, digits and dashes, at most 63.
/// As in Nova, a name of which nothing is left is replaced by the server's id, which needs no number.
fn hostname_from(name: &str, number: &str, uuid: InstanceUuid) -> String {
    const LONGEST: usize = 63;
    let plain: String = name
        .to_lowercase()
        .chars()
        .map(|c| if matches!(c, ' ' | '_' | '.') { '-' } else { c })
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(LONGEST.saturating_sub(number.len()))
        .collect();
    match plain.trim_matches('-') {
        "" => format!("Server-{uuid}"),
        plain => format!("{plain}{number}"),
    }
}

/// One id for all servers of one request, in the form that Nova gives it.
fn new_reservation_id() -> String {
    format!("r-{}", random_text(b"0123456789abcdefghijklmnopqrstuvwxyz", 8))
}

/// The password that a create answers with where the request gave none.
fn new_password() -> String {
    // Without characters that are mistaken for each other.
    random_text(b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", 12)
}

fn random_text(alphabet: &[u8], length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_made_of_any_name() {
        let uuid = InstanceUuid(uuid::Uuid::nil());
        assert_eq!(hostname_from("My Server_1", "", uuid), "my-server-1");
        assert_eq!(hostname_from("web.", "-2", uuid), "web-2");
        for number in ["", "-2"] {
            assert_eq!(hostname_from("-ü-", number, uuid), "Server-00000000-0000-0000-0000-000000000000");
        }
        assert_eq!(hostname_from(&"a".repeat(255), "", uuid).len(), 63);
        assert_eq!(hostname_from(&"a".repeat(255), "-10", uuid), format!("{}-10", "a".repeat(60)));
    }
}
