//! What is shown of a hypervisor, and at which versions.

use std::time::{Duration, Instant};

use axum::response::Response;
use futures_util::{StreamExt, stream::FuturesUnordered};
use novella_common::{
    ids::InstanceUuid,
    models::{ComputeNode, FreshSince, Service},
};
use novella_rest::{FieldTable, Shaped, answer::Answer, field, paging::NextLink};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::services::{self, Id};
use crate::Request;

/// How long a host is given to say how long it has been up, where that is one line of a list.
const UPTIME_TIMEOUT: Duration = Duration::from_secs(3);
/// How long all of them are given.
const ASKING_TIMEOUT: Duration = Duration::from_secs(10);
/// Hosts that are asked at once.
const ASKED_AT_ONCE: usize = 64;

const FIELDS: FieldTable = FieldTable(&[
    field("cpu_info").until(87),
    field("current_workload").until(87),
    field("disk_available_least").until(87),
    field("free_disk_gb").until(87),
    field("free_ram_mb").until(87),
    field("local_gb").until(87),
    field("local_gb_used").until(87),
    field("memory_mb").until(87),
    field("memory_mb_used").until(87),
    field("running_vms").until(87),
    field("vcpus").until(87),
    field("vcpus_used").until(87),
    field("uptime").since(88),
]);

/// The fields of the brief form, of all that there are.
const BRIEF: [&str; 5] = ["id", "hypervisor_hostname", "state", "status", "servers"];

/// A host with what is known of it.
pub(super) struct Host {
    pub(super) node: ComputeNode,
    pub(super) service: Service,
    /// Instances on it.
    pub(super) instances: i64,
    /// Those of them with something under way.
    pub(super) busy: i64,
    /// Read if asked for.
    pub(super) servers: Vec<(InstanceUuid, String)>,
    /// Asked of the host if asked for; `None` too if it does not answer.
    pub(super) uptime: Option<String>,
}

impl Host {
    fn figures(&self) -> Figures {
        let (node, total) = (&self.node, self.node.inventory.total);
        // As in Nova: what the host keeps for itself counts as used.
        let memory_used = node.used.memory_mb + node.inventory.reserved.memory_mb;
        Figures {
            vcpus: total.vcpus,
            vcpus_used: node.used.vcpus,
            memory_mb: total.memory_mb,
            memory_mb_used: memory_used,
            free_ram_mb: total.memory_mb - memory_used,
            local_gb: total.disk_gb,
            local_gb_used: node.used.disk_gb,
            free_disk_gb: total.disk_gb - node.used.disk_gb,
            disk_available_least: total.disk_gb - node.used.disk_gb,
            running_vms: self.instances,
            current_workload: self.busy,
        }
    }
}

/// What a host gives, and how much of it is taken.
#[derive(Clone, Copy, Default, Serialize, ToSchema)]
struct Figures {
    vcpus: i64,
    vcpus_used: i64,
    memory_mb: i64,
    memory_mb_used: i64,
    free_ram_mb: i64,
    local_gb: i64,
    local_gb_used: i64,
    free_disk_gb: i64,
    disk_available_least: i64,
    running_vms: i64,
    current_workload: i64,
}

/// A hypervisor.
#[derive(Serialize, ToSchema)]
pub(super) struct Hypervisor<'h> {
    #[schema(value_type = String)]
    id: Id<'h>,
    hypervisor_hostname: &'h str,
    state: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers: Option<Vec<ServerOn<'h>>>,
    hypervisor_type: &'h str,
    hypervisor_version: i64,
    host_ip: &'h str,
    service: ServiceOf<'h>,
    #[schema(value_type = Object)]
    cpu_info: CpuInfo<'h>,
    vcpus: i64,
    vcpus_used: i64,
    memory_mb: i64,
    memory_mb_used: i64,
    free_ram_mb: i64,
    local_gb: i64,
    local_gb_used: i64,
    free_disk_gb: i64,
    disk_available_least: i64,
    running_vms: i64,
    current_workload: i64,
    uptime: Option<&'h str>,
}

#[derive(Serialize, ToSchema)]
struct ServiceOf<'h> {
    #[schema(value_type = String)]
    id: Id<'h>,
    host: &'h str,
    disabled_reason: Option<&'h str>,
}

#[derive(Serialize, ToSchema)]
struct ServerOn<'h> {
    uuid: uuid::Uuid,
    name: &'h str,
}

/// JSON in a text until 2.27, an object from 2.28.
#[derive(Serialize)]
#[serde(untagged)]
enum CpuInfo<'h> {
    Text(String),
    Object(&'h Value),
    Empty {},
}

/// The sums over all hosts.
#[derive(Serialize, ToSchema)]
pub(super) struct Statistics {
    count: usize,
    #[serde(flatten)]
    figures: Figures,
}

impl Statistics {
    pub(super) fn new(hosts: &[Host]) -> Self {
        let figures = hosts.iter().map(Host::figures).fold(Figures::default(), |sum, host| Figures {
            vcpus: sum.vcpus + host.vcpus,
            vcpus_used: sum.vcpus_used + host.vcpus_used,
            memory_mb: sum.memory_mb + host.memory_mb,
            memory_mb_used: sum.memory_mb_used + host.memory_mb_used,
            free_ram_mb: sum.free_ram_mb + host.free_ram_mb,
            local_gb: sum.local_gb + host.local_gb,
            local_gb_used: sum.local_gb_used + host.local_gb_used,
            free_disk_gb: sum.free_disk_gb + host.free_disk_gb,
            disk_available_least: sum.disk_available_least + host.disk_available_least,
            running_vms: sum.running_vms + host.running_vms,
            current_workload: sum.current_workload + host.current_workload,
        });
        Self { count: hosts.len(), figures }
    }
}

/// What all hypervisors of one answer have in common.
pub(super) struct View<'a> {
    pub(super) request: &'a Request,
    pub(super) fresh_since: FreshSince,
    pub(super) detail: bool,
    pub(super) with_servers: bool,
}

impl View<'_> {
    /// Asks the hosts that are up how long they have been. One that does not answer has no answer; nor has one for whose
    /// answers as many requests wait already as may. To be the last thing that a handler does but for writing its answer
    /// down.
    pub(super) async fn ask_uptimes(&self, hosts: &mut [Host]) {
        self.request.elsewhere(self.uptimes(hosts)).await;
    }

    async fn uptimes(&self, hosts: &mut [Host]) {
        let (api, context) = (&self.request.state, &self.request.context);
        let until = Instant::now() + ASKING_TIMEOUT;
        for part in hosts.chunks_mut(ASKED_AT_ONCE) {
            if Instant::now() >= until {
                return;
            }
            let asked: FuturesUnordered<_> = part
                .iter_mut()
                .filter(|host| services::state(&host.service, &self.fresh_since) == "up")
                .map(|host| async move {
                    let Some(_waiting) = api.host_calls.begin(&host.node.host) else { return };
                    let client = api.compute.clone().server(host.node.host.clone()).timeout(UPTIME_TIMEOUT);
                    match client.get_host_uptime(context).await {
                        Ok(uptime) => host.uptime = Some(uptime),
                        Err(error) => tracing::warn!(host = host.node.host, %error, "no uptime"),
                    }
                })
                .collect();
            asked.collect::<()>().await;
        }
    }

    pub(super) fn one(&self, host: &Host) -> Response {
        let hidden = self.hidden();
        self.request.plain("hypervisor", Shaped { whole: self.whole(host), hidden: &hidden })
    }

    pub(super) fn list(&self, hosts: &[Host], next: Option<NextLink>) -> Response {
        let views: Vec<_> = hosts.iter().map(|host| self.whole(host)).collect();
        Answer::hiding(self.hidden()).list("hypervisors", &views, next)
    }

    /// The brief form and the uptime, as an answer of its own had them.
    pub(super) fn with_uptime<'h>(&self, host: &'h Host, uptime: &'h str) -> impl Serialize + use<'h> {
        #[derive(Serialize)]
        struct WithUptime<'h> {
            id: Id<'h>,
            hypervisor_hostname: &'h str,
            state: &'static str,
            status: &'static str,
            uptime: &'h str,
        }
        let Hypervisor { id, hypervisor_hostname, state, status, .. } = self.whole(host);
        WithUptime { id, hypervisor_hostname, state, status, uptime }
    }

    fn hidden(&self) -> Vec<&'static str> {
        if self.detail {
            return FIELDS.hidden(self.request.version);
        }
        let all = FIELDS.0.iter().map(|rule| rule.name);
        let others = ["hypervisor_type", "hypervisor_version", "host_ip", "service"];
        all.chain(others).filter(|name| !BRIEF.contains(name)).collect()
    }

    fn whole<'h>(&self, host: &'h Host) -> Hypervisor<'h> {
        let (node, service, figures) = (&host.node, &host.service, host.figures());
        let inventory = &node.inventory;
        let servers = host.servers.iter().map(|(uuid, name)| ServerOn { uuid: uuid.0, name });
        // A host without servers had no list of them before 2.75.
        let shown = self.with_servers && (!host.servers.is_empty() || self.request.version.at_least(75));
        Hypervisor {
            id: Id::new(node.id, &node.uuid, self.request.version),
            hypervisor_hostname: &inventory.hypervisor_hostname,
            state: services::state(service, &self.fresh_since),
            status: services::status(service),
            servers: shown.then(|| servers.collect()),
            hypervisor_type: &inventory.hypervisor_type,
            hypervisor_version: inventory.hypervisor_version,
            host_ip: &inventory.host_ip,
            service: ServiceOf {
                id: Id::new(service.id, &service.uuid, self.request.version),
                host: &service.host,
                disabled_reason: service.disabled_reason.as_deref(),
            },
            cpu_info: match &inventory.cpu_info {
                info if self.request.version.before(28) => CpuInfo::Text(info.to_string()),
                info @ Value::Object(_) => CpuInfo::Object(info),
                _ => CpuInfo::Empty {},
            },
            vcpus: figures.vcpus,
            vcpus_used: figures.vcpus_used,
            memory_mb: figures.memory_mb,
            memory_mb_used: figures.memory_mb_used,
            free_ram_mb: figures.free_ram_mb,
            local_gb: figures.local_gb,
            local_gb_used: figures.local_gb_used,
            free_disk_gb: figures.free_disk_gb,
            disk_available_least: figures.disk_available_least,
            running_vms: figures.running_vms,
            current_workload: figures.current_workload,
            uptime: host.uptime.as_deref(),
        }
    }
}
