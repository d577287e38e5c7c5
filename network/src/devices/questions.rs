//! What is asked on somebody's behalf: what there is that he may see, and what he may have.

use novella_common::{
    RequestContext,
    db::{
        Connection, Sql,
        list::{Condition, List, SortKey},
    },
    sql,
};
use novella_rest::ApiError;

use super::{Devices, describe::ports_of, lock_devices};
use crate::{
    Request,
    addresses::allocations,
    quotas,
    resource::{Resource, Work, bump_many, grouped, retried, rows_by, shared_with, sharing},
    resources::{
        auto_allocation,
        networks::{self, Network},
        ports::{self, Port, fixed_ips_filter},
        security_groups::{self, SecurityGroup},
        subnets::Subnet,
    },
};

/// Which networks are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworksAsked {
    /// Those of these ids that whoever asks may see.
    Ids(Vec<String>),
    /// A project's own, and those that are shared with it to have ports on them.
    OfProject(String),
    /// All that whoever asks may see.
    All,
}

/// A network, for who puts devices on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The project that it belongs to.
    pub project: String,
    /// Whether it is shared with whoever asks, or the project that is asked about.
    pub shared: bool,
    /// Whether routers can have it as their gateway.
    pub external: bool,
    /// Whether it is to work.
    pub admin_state_up: bool,
    /// Whether its ports have security groups.
    pub port_security_enabled: bool,
    /// Its subnets, in the order in which they were made.
    pub subnets: Vec<String>,
}

/// Which ports are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortsAsked {
    /// Those of these ids.
    Ids(Vec<String>),
    /// Those of these devices.
    Devices(Vec<String>),
    /// Those that have an address with this text in it.
    AddressPart(String),
}

/// A port, for who gives it to devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortView {
    /// Its id.
    pub id: String,
    /// The network that it is on.
    pub network: String,
    /// The project that it belongs to.
    pub project: String,
    /// The device that has it; empty: none.
    pub device: String,
    /// What kind of thing that is.
    pub owner: String,
    /// Its hardware address.
    pub mac: String,
    /// Its status.
    pub status: String,
    /// Its addresses, each with its subnet.
    pub addresses: Vec<(String, String)>,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// The host that it is bound to; empty: none.
    pub host: String,
    /// How it is bound there.
    pub vif_type: String,
    /// When it gets its addresses.
    pub ip_allocation: String,
    /// Whether it has security groups at all.
    pub port_security_enabled: bool,
}

/// A security group, for who gives it to devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroupView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The project that it belongs to.
    pub project: String,
}

/// Rows that whoever asks may see, in the order in which they are listed.
pub(super) async fn listed<R: Resource>(
    request: &Request,
    connection: &mut Connection,
    only: Option<Condition>,
    visible: bool,
) -> Result<Vec<R>, ApiError> {
    let mut list = List::<R>::all().named_by(SortKey::text("id"));
    if let Some(only) = only {
        list = list.filter(only);
    }
    if let Some(visible) = R::visible(request).filter(|_| visible) {
        list = list.visible(visible);
    }
    Ok(list.page(connection).await?.unwrap_or_default())
}

impl Devices {
    /// Networks, in the order in which they are listed.
    ///
    /// # Errors
    /// The database's.
    pub async fn networks(&self, context: &RequestContext, asked: NetworksAsked) -> Result<Vec<NetworkView>, ApiError> {
        let request = self.on_behalf(context);
        let mut connection = request.state.database.read().await?;
        let (only, project) = match &asked {
            NetworksAsked::Ids(ids) => (Some(Condition::is_in("id", ids)), None),
            NetworksAsked::OfProject(project) => {
                let mut sql = sql!("project_id = " (project) " OR id IN (");
                sql.append(shared_with(&networks::SHARED, project)).push(")");
                (Some(Condition::raw(sql)), Some(project))
            }
            NetworksAsked::All => (None, None),
        };
        let rows: Vec<Network> = listed(&request, &mut connection, only, project.is_none()).await?;
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut subnets: Vec<Subnet> = rows_by(&mut connection, "network_id", &ids).await?;
        subnets.sort_by_key(|subnet| subnet.created_at);
        let mut subnets = grouped(subnets.into_iter().map(|subnet| (subnet.network_id, subnet.id)));
        let shared = match project {
            Some(project) => sharing::shared_to(project, &mut connection, &networks::SHARED, &ids).await?,
            None => sharing::shared_now(&request, &mut connection, &networks::SHARED, &ids).await?,
        };
        Ok(rows
            .into_iter()
            .map(|row| NetworkView {
                shared: shared.contains(&row.id),
                subnets: subnets.remove(&row.id).unwrap_or_default(),
                id: row.id,
                name: row.name,
                project: row.project_id,
                external: row.external,
                admin_state_up: row.admin_state_up,
                port_security_enabled: row.port_security_enabled,
            })
            .collect())
    }

    /// Ports that whoever asks may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn ports(&self, context: &RequestContext, asked: PortsAsked) -> Result<Vec<PortView>, ApiError> {
        let request = self.on_behalf(context);
        let mut connection = request.state.database.read().await?;
        let only = match &asked {
            PortsAsked::Ids(ids) => Condition::is_in("id", ids),
            // No device is called nothing.
            PortsAsked::Devices(devices) => {
                Condition::is_in("device_id", devices.iter().filter(|device| !device.is_empty()))
            }
            PortsAsked::AddressPart(part) => fixed_ips_filter(&[&format!("ip_address_substr={part}")])?,
        };
        let rows: Vec<Port> = listed(&request, &mut connection, Some(only), true).await?;
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut addresses = grouped(allocations::of_ports(&mut connection, &ids).await?);
        let mut groups = grouped(ports::groups_of(&mut connection, &ids).await?);
        Ok(rows
            .into_iter()
            .map(|row| PortView {
                port_security_enabled: row.is_secured(),
                ip_allocation: row.ip_allocation.clone(),
                mac: row.mac().to_owned(),
                addresses: addresses
                    .remove(&row.id)
                    .unwrap_or_default()
                    .into_iter()
                    .map(|fixed| (fixed.ip_address, fixed.subnet_id))
                    .collect(),
                security_groups: groups.remove(&row.id).unwrap_or_default(),
                id: row.id,
                network: row.network_id,
                project: row.project_id,
                device: row.device_id,
                owner: row.device_owner,
                status: row.status,
                host: row.host_id,
                vif_type: row.vif_type,
            })
            .collect())
    }

    /// All security groups of a project. The default one is made first if it is missing.
    ///
    /// # Errors
    /// The database's.
    pub async fn security_groups(
        &self,
        context: &RequestContext,
        project: &str,
    ) -> Result<Vec<SecurityGroupView>, ApiError> {
        let request = self.on_behalf(context);
        retried!(security_groups::ensure_of(&request, project))?;
        let mut connection = request.state.database.read().await?;
        let of_project = Condition::equal("project_id", project);
        let rows: Vec<SecurityGroup> = listed(&request, &mut connection, Some(of_project), false).await?;
        Ok(rows
            .into_iter()
            .map(|row| SecurityGroupView {
                id: row.id,
                name: row.name,
                description: row.description,
                project: row.project_id,
            })
            .collect())
    }

    /// How many ports more a project may have; `None`: any number.
    ///
    /// # Errors
    /// The database's.
    pub async fn ports_left(&self, project: &str) -> Result<Option<u64>, ApiError> {
        let networking = &self.0.networking;
        quotas::left::<Port>(&mut *networking.database.read().await?, &networking.config, project).await
    }

    /// The network of a project's topology, which is made if it is not there; `check`: nothing is made, and the answer is
    /// whether it could be.
    ///
    /// # Errors
    /// 409 for what is missing to make it.
    pub async fn auto_allocate(
        &self,
        context: &RequestContext,
        project: &str,
        check: bool,
    ) -> Result<Option<String>, ApiError> {
        let request = self.on_behalf(context);
        retried!(auto_allocation::topology(&request, project, check))
    }

    /// Adds security groups to all ports of a device that can have some, and takes others from them.
    ///
    /// # Errors
    /// 404 for one that is to be added and that whoever asks may not know of.
    pub async fn change_security_groups(
        &self,
        context: &RequestContext,
        device: &str,
        add: &[String],
        remove: &[String],
    ) -> Result<(), ApiError> {
        let request = self.on_behalf(context);
        retried!(change_security_groups(&request, device, add, remove))
    }
}

async fn change_security_groups(
    request: &Request,
    device: &str,
    add: &[String],
    remove: &[String],
) -> Result<(), ApiError> {
    let mut work = Work::begin(request).await?;
    lock_devices(&mut work.transaction, [device].into_iter()).await?;
    let mut ports = ports_of(&mut work.transaction, &[device], true).await?;
    let ids: Vec<&str> = ports.iter().map(|port| port.id.as_str()).collect();
    let addresses = grouped(allocations::of_ports(&mut work.transaction, &ids).await?);
    ports.retain(|port| port.is_secured() && addresses.contains_key(&port.id));
    security_groups::check_seen(&mut work, add).await?;
    let ids: Vec<&str> = ports.iter().map(|port| port.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let mut changed = 0;
    if !remove.is_empty() {
        let mut sql = sql!("DELETE FROM port_security_groups WHERE port_id");
        sql.is_in(&ids).push(" AND group_id").is_in(remove);
        changed += sql.execute(&mut work.transaction).await?;
    }
    let pairs: Vec<(&str, &String)> = ids.iter().flat_map(|port| add.iter().map(move |group| (*port, group))).collect();
    if !pairs.is_empty() {
        let mut sql = Sql::new("INSERT INTO port_security_groups (port_id, group_id) ");
        sql.rows(pairs, |(port, group), cells| {
            cells.bind(port).bind(group);
        });
        sql.push(" ON CONFLICT (port_id, group_id) DO NOTHING");
        changed += sql.execute(&mut work.transaction).await?;
    }
    if changed > 0 {
        bump_many::<Port>(&mut work.transaction, &ids, work.now).await?;
    }
    Ok(work.transaction.commit().await?)
}
