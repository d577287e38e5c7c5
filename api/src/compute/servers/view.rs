//! What is shown of a server, and at which versions.

use std::collections::{BTreeMap, HashMap};

use axum::response::Response;
use novella_common::{
    db::{instances, server_groups},
    ids::InstanceUuid,
    lifecycle::{TaskState, VmState, server_status},
    models::{Fault, Flavor, Instance, RequestSpec, SchedulerHints},
};
use novella_rest::{
    ApiError, FieldTable, Link,
    answer::Answer,
    field,
    paging::NextLink,
    times::{Micros, Seconds},
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha224};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    addresses::Addresses,
    create::request::DiskConfig,
    hosts,
    security_groups::{self, GroupName},
    tags,
};
use crate::{Request, neighbours::caller, policy};

/// Which versions have which fields of a server; those not named are in all.
const FIELDS: FieldTable = FieldTable(&[
    field("OS-EXT-SRV-ATTR:hostname").since(3),
    field("OS-EXT-SRV-ATTR:kernel_id").since(3),
    field("OS-EXT-SRV-ATTR:launch_index").since(3),
    field("OS-EXT-SRV-ATTR:ramdisk_id").since(3),
    field("OS-EXT-SRV-ATTR:reservation_id").since(3),
    field("OS-EXT-SRV-ATTR:root_device_name").since(3),
    field("OS-EXT-SRV-ATTR:user_data").since(3),
    field("locked").since(9),
    field("host_status").since(16),
    field("description").since(19),
    field("tags").since(26),
    field("trusted_image_certificates").since(63),
    field("server_groups").since(71),
    field("locked_reason").since(73),
    field("pinned_availability_zone").since(96),
    field("scheduler_hints").since(100),
]);

/// What the answer to a change of a server had to lack before 2.75.
const FIELDS_AFTER_CHANGE: FieldTable = FieldTable(&[
    field("OS-EXT-AZ:availability_zone").since(75),
    field("OS-EXT-SRV-ATTR:host").since(75),
    field("OS-EXT-SRV-ATTR:hostname").since(75),
    field("OS-EXT-SRV-ATTR:hypervisor_hostname").since(75),
    field("OS-EXT-SRV-ATTR:instance_name").since(75),
    field("OS-EXT-SRV-ATTR:kernel_id").since(75),
    field("OS-EXT-SRV-ATTR:launch_index").since(75),
    field("OS-EXT-SRV-ATTR:ramdisk_id").since(75),
    field("OS-EXT-SRV-ATTR:reservation_id").since(75),
    field("OS-EXT-SRV-ATTR:root_device_name").since(75),
    field("OS-EXT-SRV-ATTR:user_data").since(75),
    field("OS-EXT-STS:power_state").since(75),
    field("OS-EXT-STS:task_state").since(75),
    field("OS-EXT-STS:vm_state").since(75),
    field("OS-SRV-USG:launched_at").since(75),
    field("OS-SRV-USG:terminated_at").since(75),
    field("config_drive").since(75),
    field("host_status").since(75),
    field("key_name").since(75),
    field("os-extended-volumes:volumes_attached").since(75),
    field("security_groups").since(75),
]);

/// Where the device of a guest's root disk is.
pub(super) const ROOT_DEVICE: &str = "/dev/vda";

/// A server in brief.
#[derive(Serialize, ToSchema)]
pub(super) struct Brief<'i> {
    id: Uuid,
    name: &'i str,
    links: [Link; 2],
}

/// A server in detail.
#[derive(Serialize, ToSchema)]
pub(super) struct Detail<'i> {
    id: Uuid,
    name: &'i str,
    links: [Link; 2],
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<FaultView<'i>>,
    tenant_id: &'i str,
    user_id: &'i str,
    metadata: &'i BTreeMap<String, String>,
    #[serde(rename = "hostId")]
    host_id: String,
    #[schema(value_type = Object)]
    image: ImageOf<'i>,
    #[schema(value_type = Object)]
    flavor: FlavorOf<'i>,
    created: Seconds,
    updated: Seconds,
    addresses: Addresses<'i>,
    #[serde(rename = "accessIPv4")]
    access_ip_v4: &'i str,
    #[serde(rename = "accessIPv6")]
    access_ip_v6: &'i str,
    #[serde(rename = "OS-DCF:diskConfig")]
    disk_config: &'static str,
    #[serde(rename = "OS-EXT-AZ:availability_zone")]
    availability_zone: &'i str,
    config_drive: &'static str,
    key_name: Option<&'i str>,
    #[serde(rename = "OS-SRV-USG:launched_at")]
    launched_at: Option<Micros>,
    #[serde(rename = "OS-SRV-USG:terminated_at")]
    terminated_at: Option<Micros>,
    /// Of each port. Not there while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    security_groups: Option<&'i [GroupName]>,
    #[serde(rename = "OS-EXT-STS:task_state")]
    task_state: Option<&'static str>,
    #[serde(rename = "OS-EXT-STS:vm_state")]
    vm_state: &'static str,
    #[serde(rename = "OS-EXT-STS:power_state")]
    power_state: i64,
    #[serde(rename = "os-extended-volumes:volumes_attached")]
    volumes_attached: [&'static str; 0],
    locked: bool,
    locked_reason: Option<&'i str>,
    description: Option<&'i str>,
    tags: &'i [String],
    trusted_image_certificates: Option<&'i [String]>,
    server_groups: &'i [Uuid],
    pinned_availability_zone: Option<&'i str>,
    #[schema(value_type = Object)]
    scheduler_hints: Option<BTreeMap<&'i str, &'i [Value]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_status: Option<&'static str>,
    #[serde(rename = "OS-EXT-SRV-ATTR:hostname", skip_serializing_if = "Option::is_none")]
    hostname: Option<&'i str>,
    #[serde(rename = "OS-EXT-SRV-ATTR:host", skip_serializing_if = "Option::is_none")]
    host: Option<Option<&'i str>>,
    #[serde(rename = "OS-EXT-SRV-ATTR:hypervisor_hostname", skip_serializing_if = "Option::is_none")]
    hypervisor_hostname: Option<Option<&'i str>>,
    #[serde(rename = "OS-EXT-SRV-ATTR:instance_name", skip_serializing_if = "Option::is_none")]
    instance_name: Option<String>,
    #[serde(rename = "OS-EXT-SRV-ATTR:reservation_id", skip_serializing_if = "Option::is_none")]
    reservation_id: Option<&'i str>,
    #[serde(rename = "OS-EXT-SRV-ATTR:launch_index", skip_serializing_if = "Option::is_none")]
    launch_index: Option<i64>,
    #[serde(rename = "OS-EXT-SRV-ATTR:kernel_id", skip_serializing_if = "Option::is_none")]
    kernel_id: Option<&'static str>,
    #[serde(rename = "OS-EXT-SRV-ATTR:ramdisk_id", skip_serializing_if = "Option::is_none")]
    ramdisk_id: Option<&'static str>,
    #[serde(rename = "OS-EXT-SRV-ATTR:root_device_name", skip_serializing_if = "Option::is_none")]
    root_device_name: Option<&'static str>,
    #[serde(rename = "OS-EXT-SRV-ATTR:user_data", skip_serializing_if = "Option::is_none")]
    user_data: Option<Option<&'i str>>,
}

#[derive(Serialize, ToSchema)]
struct FaultView<'i> {
    code: i64,
    created: Seconds,
    message: &'i str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'i str>,
}

/// The image of a server; an empty text if it has none.
#[derive(Serialize)]
#[serde(untagged)]
enum ImageOf<'i> {
    Image {
        id: &'i str,
        links: [Link; 1],
        /// From 2.98 on.
        #[serde(skip_serializing_if = "Option::is_none")]
        properties: Option<&'i BTreeMap<String, String>>,
    },
    None(&'static str),
}

/// The flavor of a server: named before 2.47, since then shown as it was when the server was made.
#[derive(Serialize)]
#[serde(untagged)]
enum FlavorOf<'i> {
    Named {
        id: &'i str,
        links: [Link; 1],
    },
    Embedded {
        vcpus: i64,
        ram: i64,
        disk: i64,
        ephemeral: i64,
        swap: i64,
        original_name: &'i str,
        #[serde(skip_serializing_if = "Option::is_none")]
        extra_specs: Option<&'i BTreeMap<String, String>>,
    },
}

/// What the answer is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// `GET /servers/{id}`.
    Show,
    /// `GET /servers/detail`, which never names server groups.
    List,
    /// `PUT /servers/{id}`.
    Change,
}

/// A list in brief.
pub(super) fn brief_list(request: &Request, servers: &[(InstanceUuid, String)], next: Option<NextLink>) -> Response {
    let view =
        |(uuid, name): &(InstanceUuid, String)| (uuid.0, name.clone(), request.links.of(&format!("servers/{uuid}")));
    let known: Vec<_> = servers.iter().map(view).collect();
    let views: Vec<_> = known.iter().map(|(id, name, links)| Brief { id: *id, name, links: links.clone() }).collect();
    request.answer(&FieldTable(&[])).list("servers", &views, next)
}

/// What is known of the servers of one answer beside their rows, and what the answer's version and caller see of it.
pub(super) struct View<'a> {
    request: &'a Request,
    hidden: Vec<&'static str>,
    extended: bool,
    /// Whether the kind and the hardware address of each address are shown: before 2.75 not by the answer to a change.
    extended_addresses: bool,
    faults: HashMap<InstanceUuid, Fault>,
    host_status: Option<HashMap<String, &'static str>>,
    specs: HashMap<InstanceUuid, RequestSpec>,
    tags: HashMap<InstanceUuid, Vec<String>>,
    image_properties: Option<HashMap<String, BTreeMap<String, String>>>,
    groups: HashMap<InstanceUuid, Vec<GroupName>>,
    /// That of the one server that is shown.
    server_group: Option<Uuid>,
}

impl<'a> View<'a> {
    /// Reads what is needed beside the rows: a query or a question for each kind, whatever the number of servers. Whoever
    /// calls this holds no connection to the database: the components that are asked take one for themselves.
    ///
    /// # Errors
    /// The database can't be read, or the Image component not be asked.
    pub(super) async fn load(
        request: &'a Request,
        occasion: Occasion,
        instances: &[Instance],
    ) -> Result<Self, ApiError> {
        let mut hidden = FIELDS.hidden(request.version);
        match occasion {
            Occasion::Show => {}
            Occasion::List => hidden.push("server_groups"),
            Occasion::Change => hidden.extend(FIELDS_AFTER_CHANGE.hidden(request.version)),
        }
        let shown = |name: &str| !hidden.contains(&name);
        let own = request.context.project_id.as_deref();
        let uuids: Vec<_> = instances.iter().map(|instance| instance.uuid).collect();

        let mut connection = request.state.database.read().await?;
        let broken: Vec<_> = instances.iter().filter(|instance| shows_fault(instance)).map(|i| i.uuid).collect();
        let faults = instances::faults(&mut connection, &broken).await?.into_iter().collect();
        let sees_hosts = policy::SERVERS_SHOW_HOST_STATUS.allows(&request.context, own);
        let host_status = match sees_hosts && shown("host_status") && !instances.is_empty() {
            true => Some(hosts::statuses(&request.state, &mut connection, instances).await?),
            false => None,
        };
        let specs = match shown("scheduler_hints") {
            true => instances::list::request_specs(&mut connection, &uuids).await?.into_iter().collect(),
            false => HashMap::new(),
        };
        let tags = match shown("tags") {
            true => tags::of(&mut connection, &uuids).await?,
            false => HashMap::new(),
        };
        let server_group = match instances {
            [one] if shown("server_groups") => server_groups::of(&mut connection, one.uuid).await?,
            _ => None,
        };
        drop(connection);
        let image_properties = match request.version.at_least(98) {
            true => Some(image_properties(request, instances).await?),
            false => None,
        };
        let groups = match shown("security_groups") {
            true => security_groups::names_of(request, instances).await,
            false => HashMap::new(),
        };
        let extended = policy::EXTENDED_SERVER_ATTRIBUTES.allows(&request.context, own);
        let extended_addresses = occasion != Occasion::Change || request.version.at_least(75);
        Ok(Self {
            request,
            hidden,
            extended,
            extended_addresses,
            faults,
            host_status,
            specs,
            tags,
            image_properties,
            groups,
            server_group,
        })
    }

    pub(super) fn one(self, instance: &Instance) -> Response {
        Answer::hiding(self.hidden.clone()).object("server", self.detail(instance))
    }

    pub(super) fn list(self, instances: &[Instance], next: Option<NextLink>) -> Response {
        let views: Vec<_> = instances.iter().map(|instance| self.detail(instance)).collect();
        Answer::hiding(self.hidden.clone()).list("servers", &views, next)
    }

    fn detail<'i>(&'i self, instance: &'i Instance) -> Detail<'i> {
        let status = match instance.deleted_at {
            Some(_) => "DELETED",
            None => server_status(instance.vm_state, instance.task_state),
        };
        let extended = |value| self.extended.then_some(value);
        let host = instance.host.as_deref();
        Detail {
            id: instance.uuid.0,
            name: &instance.name,
            links: self.request.links.of(&format!("servers/{}", instance.uuid)),
            status,
            progress: matches!(status, "ACTIVE" | "BUILD" | "RESIZE" | "VERIFY_RESIZE" | "MIGRATING").then_some(0),
            fault: self.faults.get(&instance.uuid).map(|fault| self.fault(fault)),
            tenant_id: &instance.project_id,
            user_id: &instance.user_id,
            metadata: &instance.metadata,
            host_id: host.map(|host| host_id(&instance.project_id, host)).unwrap_or_default(),
            image: self.image(instance),
            flavor: self.flavor(&instance.flavor),
            created: Seconds(instance.created_at),
            updated: Seconds(instance.updated_at),
            addresses: self.addresses(instance),
            access_ip_v4: instance.access_ip_v4.as_deref().unwrap_or_default(),
            access_ip_v6: instance.access_ip_v6.as_deref().unwrap_or_default(),
            disk_config: DiskConfig::shown(instance.auto_disk_config),
            availability_zone: availability_zone(instance),
            config_drive: if instance.config_drive { "True" } else { "" },
            key_name: instance.key_name.as_deref(),
            launched_at: instance.launched_at.map(Micros),
            terminated_at: instance.terminated_at.map(Micros),
            security_groups: self.groups.get(&instance.uuid).map(Vec::as_slice),
            task_state: instance.task_state.and_then(TaskState::shown),
            vm_state: instance.vm_state.as_str(),
            power_state: instance.power_state.number(),
            volumes_attached: [],
            locked: instance.locked_by.is_some(),
            locked_reason: instance.locked_reason.as_deref(),
            description: instance.description.as_deref(),
            tags: self.tags.get(&instance.uuid).map(Vec::as_slice).unwrap_or_default(),
            trusted_image_certificates: Some(instance.trusted_certs.as_slice()).filter(|ids| !ids.is_empty()),
            server_groups: self.server_group.as_slice(),
            pinned_availability_zone: instance.requested_zone.as_deref(),
            scheduler_hints: self.specs.get(&instance.uuid).map(|spec| hints(&spec.hints)),
            host_status: self
                .host_status
                .as_ref()
                .map(|statuses| host.and_then(|host| statuses.get(host)).copied().unwrap_or_default()),
            // From 2.90 on everybody sees it.
            hostname: (self.extended || self.request.version.at_least(90)).then_some(&instance.hostname),
            host: self.extended.then_some(host),
            hypervisor_hostname: self.extended.then_some(host),
            instance_name: self.extended.then(|| instance_name(instance)),
            reservation_id: self.extended.then_some(&instance.reservation_id),
            launch_index: self.extended.then_some(instance.launch_index),
            kernel_id: extended(""),
            ramdisk_id: extended(""),
            root_device_name: extended(ROOT_DEVICE),
            user_data: self.extended.then_some(instance.user_data.as_deref()),
        }
    }

    /// None while the server is being built, as in Nova; the list of its addresses shows them all the same.
    fn addresses<'i>(&self, instance: &'i Instance) -> Addresses<'i> {
        match instance.vm_state {
            VmState::Building => Addresses::default(),
            _ if self.extended_addresses => Addresses::in_server(&instance.network_info),
            _ => Addresses::in_list(&instance.network_info),
        }
    }

    /// Details of a fault that is not the user's are an administrator's matter.
    fn fault<'i>(&self, fault: &'i Fault) -> FaultView<'i> {
        let details = fault.details.as_deref().filter(|_| self.request.context.is_admin || fault.code != 500);
        FaultView { code: fault.code, created: Seconds(fault.created_at), message: &fault.message, details }
    }

    fn image<'i>(&'i self, instance: &'i Instance) -> ImageOf<'i> {
        match instance.image_ref.as_deref() {
            None => ImageOf::None(""),
            Some(id) => ImageOf::Image {
                id,
                links: self.request.links.bookmark_of(&format!("images/{id}")),
                properties: self.image_properties.as_ref().map(|all| all.get(id).unwrap_or(&EMPTY)),
            },
        }
    }

    fn flavor<'i>(&self, flavor: &'i Flavor) -> FlavorOf<'i> {
        if self.request.version.before(47) {
            let links = self.request.links.bookmark_of(&format!("flavors/{}", flavor.id));
            return FlavorOf::Named { id: &flavor.id, links };
        }
        FlavorOf::Embedded {
            vcpus: flavor.vcpus,
            ram: flavor.memory_mb,
            disk: flavor.disk_gb,
            ephemeral: flavor.ephemeral_gb,
            swap: flavor.swap_mb,
            original_name: &flavor.name,
            // Whoever sees the server sees these: the rule is the same role in the same project.
            extra_specs: Some(&flavor.extra_specs),
        }
    }
}

static EMPTY: BTreeMap<String, String> = BTreeMap::new();

/// Nova shows a fault in these states only; one of an operation that failed without harm stays in the table.
fn shows_fault(instance: &Instance) -> bool {
    matches!(instance.vm_state, VmState::Error | VmState::Deleted)
}

/// Hints as Nova keeps them: what is no list is one of a single value.
fn hints(hints: &SchedulerHints) -> BTreeMap<&str, &[Value]> {
    hints
        .iter()
        .map(|(name, hint)| {
            let values = match hint {
                Value::Array(values) => values.as_slice(),
                one => std::slice::from_ref(one),
            };
            (name.as_str(), values)
        })
        .collect()
}

/// The zone of the host; before there is one, the zone that was asked for.
fn availability_zone(instance: &Instance) -> &str {
    instance.availability_zone.as_deref().or(instance.requested_zone.as_deref()).unwrap_or_default()
}

/// Tells a project which of its servers share a host, without telling which host that is.
pub(super) fn host_id(project_id: &str, host: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha224::new().chain_update(project_id).chain_update(host).finalize();
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0xF)]);
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// A name that the hypervisor could have it under.
fn instance_name(instance: &Instance) -> String {
    format!("instance-{:08x}", instance.uuid.0.as_fields().0)
}

async fn image_properties(
    request: &Request,
    instances: &[Instance],
) -> Result<HashMap<String, BTreeMap<String, String>>, ApiError> {
    let mut ids: Vec<_> = instances.iter().filter_map(|instance| instance.image_ref.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = request.state.images.find_many(caller(request), ids).await?;
    Ok(found.into_iter().map(|image| (image.id, image.properties)).collect())
}
