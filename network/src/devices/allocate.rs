//! Ports for devices, those of several devices in one transaction.
//!
//! What each device is to have is decided from what is known ([`plan`]), then the addresses are taken and the quotas counted
//! for all together, and last everything is written. A device that is refused on the way gives back what it has got, and
//! the others go on; only what the database refuses ends the whole transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use novella_common::{db::Sql, sql};
use novella_rest::ApiError;
use serde_json::json;
use uuid::Uuid;

use super::{
    DevicePorts, Interface, PortWanted, addresses,
    addresses::Addressed,
    describe::{Details, floating},
    known::Known,
    lock_devices,
};
use crate::{
    Request,
    addresses::allocations,
    attributes::{Base, Fields as _, checks},
    errors::{invalid_attribute, refused},
    quotas,
    resource::{Resource as _, Work, by_default, retried},
    resources::{
        names,
        networks::Network,
        ports::{self, Port, RequestedIp, Source, allocation, several},
        security_groups::SecurityGroup,
    },
};

/// What a device is told.
type Allocated = Result<Vec<Interface>, ApiError>;

/// A port that a device gets.
pub(super) struct Planned<'k> {
    pub(super) port: Port,
    /// Whether it is made, and was not there.
    pub(super) new: bool,
    /// Whether it was there, and is not as it was.
    changed: bool,
    groups: Vec<String>,
    /// Where the addresses of a new one are from; one for each.
    pub(super) sources: Vec<Source<'k>>,
    /// Those it has got, in the same order.
    pub(super) addresses: Vec<Option<Addressed<'k>>>,
}

/// What devices get, or why one gets nothing.
pub(super) type Plans<'k> = [Result<Vec<Planned<'k>>, ApiError>];

/// Those of the new ports.
pub(super) fn new_ports<'p, 'k>(plans: &'p Plans<'k>) -> impl Iterator<Item = &'p Planned<'k>> {
    plans.iter().flatten().flatten().filter(|planned| planned.new)
}

/// What came of each.
pub(super) async fn allocate(request: &Request, wanted: &[Arc<DevicePorts>]) -> Vec<Allocated> {
    match retried!(together(request, wanted)) {
        Ok(allocated) => allocated,
        Err(error @ ApiError::Unavailable(_)) => vec![Err(error); wanted.len()],
        Err(error) if wanted.len() == 1 => vec![Err(error)],
        Err(error) => {
            // It may be the fault of one of them, which the others need not bear.
            tracing::warn!(%error, devices = wanted.len(), "ports of several devices could not be written together");
            let mut allocated = Vec::with_capacity(wanted.len());
            for one in wanted {
                let alone = retried!(together(request, std::slice::from_ref(one)));
                allocated.push(alone.and_then(|mut one| one.pop().unwrap_or(Err(ApiError::Broken))));
            }
            allocated
        }
    }
}

async fn together(request: &Request, wanted: &[Arc<DevicePorts>]) -> Result<Vec<Allocated>, ApiError> {
    let mut work = Work::begin(request).await?;
    lock_devices(&mut work.transaction, wanted.iter().map(|wanted| wanted.device.as_str())).await?;
    let known = Known::read(&mut work, wanted).await?;
    let mut plans: Vec<_> = wanted.iter().map(|wanted| plan(&known, wanted, work.now)).collect();
    choose_macs(&mut work, &mut plans).await?;
    for (plan, wanted) in plans.iter_mut().zip(wanted) {
        let chosen = plan.as_mut().map_err(|error| error.clone()).and_then(|plan| choose_sources(&known, plan, wanted));
        if let Err(error) = chosen {
            *plan = Err(error);
        }
    }
    let mut stock = addresses::give(&mut work, &mut plans).await?;
    count(&mut work, wanted, &mut plans, &mut stock).await?;
    stock.give_back(&mut work.transaction).await?;
    write(&mut work, &plans).await?;
    let allocated = answers(&mut work, &known, plans).await?;
    work.transaction.commit().await?;
    Ok(allocated)
}

/// What one device gets.
fn plan<'k>(known: &'k Known, wanted: &DevicePorts, now: Timestamp) -> Result<Vec<Planned<'k>>, ApiError> {
    if let Some(missing) = wanted.security_groups.iter().find(|group| !known.groups.contains(*group)) {
        // Without a new port nobody has looked.
        if wanted.ports.iter().any(|asked| asked.port.is_none()) {
            return Err(SecurityGroup::missing(missing));
        }
    }
    let brought = |port: &Port| wanted.ports.iter().any(|asked| asked.port.as_ref() == Some(&port.id));
    // Whoever knows the device's id can give it to a port of another project, which is not the device's for that.
    let is_its = |port: &&Port| port.device_id == wanted.device && port.project_id == wanted.project && !brought(port);
    let mut had: Vec<&Port> = known.ports.iter().filter(is_its).collect();
    if wanted.more {
        had.clear();
    }
    let mut there: Vec<Option<&Port>> = vec![None; wanted.ports.len()];
    // Those with an address of their own first: no other one takes their ports.
    for named in [true, false] {
        for (asked, there) in wanted.ports.iter().zip(&mut there) {
            if asked.port.is_none() && asked.address.is_some() == named {
                *there = had.iter().position(|port| known.fits(port, asked)).map(|at| had.remove(at));
            }
        }
    }
    let mut planned = Vec::new();
    for (index, (asked, there)) in wanted.ports.iter().zip(there).enumerate() {
        planned.push(match (&asked.port, there) {
            (Some(id), _) => {
                let port = known.port(id).ok_or_else(|| Port::missing(id))?;
                if !port.device_id.is_empty() && port.device_id != wanted.device {
                    return Err(several::in_use(port));
                }
                held(port, wanted, now)?
            }
            (None, Some(port)) => held(port, wanted, now)?,
            (None, None) => new(known, wanted, asked, later(now, index))?,
        });
    }
    for port in had {
        planned.push(held(port, wanted, now)?);
    }
    Ok(planned)
}

/// Ports of one device are listed in the order in which they are asked for.
fn later(now: Timestamp, index: usize) -> Timestamp {
    let index = i64::try_from(index).unwrap_or_default();
    now.checked_add(SignedDuration::from_micros(index)).unwrap_or(now)
}

/// A port that is there.
fn held<'k>(port: &Port, wanted: &DevicePorts, now: Timestamp) -> Result<Planned<'k>, ApiError> {
    let (old, mut port) = (port, port.clone());
    port.device_id.clone_from(&wanted.device);
    port.device_owner.clone_from(&wanted.owner);
    port.host_id.clone_from(&wanted.host);
    let name = dns_name(&wanted.name);
    if old.dns_name.is_empty() {
        port.dns_name = name;
    } else if old.dns_name != name && old.device_id.is_empty() {
        // Nova's words: it is its rule.
        return Err(refused(
            "PortNotUsableDNS",
            format!(
                "Port {} not usable for instance {}. Value {} assigned to dns_name attribute does not match instance's \
                 hostname {name}",
                port.id, wanted.device, old.dns_name
            ),
        ));
    }
    let changed = port != *old;
    if changed {
        port.bind();
        port.bump(now);
    }
    Ok(Planned { port, new: false, changed, groups: Vec::new(), sources: Vec::new(), addresses: Vec::new() })
}

/// A port that is made.
fn new<'k>(
    known: &'k Known,
    wanted: &DevicePorts,
    asked: &PortWanted,
    now: Timestamp,
) -> Result<Planned<'k>, ApiError> {
    let network = known.networks.get(&asked.network).ok_or_else(|| Network::missing(&asked.network))?;
    let values = json!({
        "network_id": network.id, "device_id": wanted.device, "device_owner": wanted.owner,
        "binding:host_id": wanted.host, "dns_name": dns_name(&wanted.name),
        "port_security_enabled": network.port_security_enabled, "mac_address": several::any_mac(),
    });
    let given = by_default::<Port>(&wanted.project, values);
    let base = Base {
        id: Uuid::new_v4().to_string(),
        project_id: wanted.project.clone(),
        now,
        revision_number: Port::ABOUT.first_revision,
    };
    let mut port = Port::from_values(base, &given.values)?;
    port.bind();
    let groups = match (port.is_secured(), wanted.security_groups.is_empty()) {
        (false, _) => Vec::new(),
        (true, false) => wanted.security_groups.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect(),
        // Unless an administrator has just deleted it: then another one is made.
        (true, true) => vec![known.defaults.get(&wanted.project).cloned().ok_or(ApiError::TransactionLost)?],
    };
    Ok(Planned { port, new: true, changed: false, groups, sources: Vec::new(), addresses: Vec::new() })
}

/// The name in the DNS that a device's name comes to; none, if it can be none.
fn dns_name(name: &str) -> String {
    match names::host(&json!(name)) {
        Ok(name) => name.as_str().unwrap_or_default().to_owned(),
        Err(_) => String::new(),
    }
}

/// Gives new ports other MACs where somebody has theirs.
async fn choose_macs(work: &mut Work<'_>, plans: &mut Plans<'_>) -> Result<(), ApiError> {
    const ATTEMPTS: u32 = 16;
    for _ in 0..ATTEMPTS {
        let mut seen = BTreeSet::new();
        let pair = |port: &Port| (port.network_id.clone(), port.mac().to_owned());
        let pairs: Vec<_> = new_ports(plans).map(|planned| pair(&planned.port)).collect();
        if pairs.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::new("SELECT p.network_id, p.mac_address FROM (");
        sql.rows(&pairs, |(network, mac), cells| {
            cells.bind(network).bind(mac);
        });
        sql.push(") AS v JOIN ports p ON p.network_id = v.column1 AND p.mac_address = v.column2");
        let taken: BTreeSet<(String, String)> = sql.fetch_all(&mut work.transaction).await?.into_iter().collect();
        let mut again = false;
        for planned in plans.iter_mut().flatten().flatten().filter(|planned| planned.new) {
            let pair = pair(&planned.port);
            if taken.contains(&pair) || !seen.insert(pair) {
                planned.port.mac_address = Some(several::any_mac());
                again = true;
            }
        }
        if !again {
            return Ok(());
        }
    }
    let network = new_ports(plans).next().map(|planned| planned.port.network_id.clone());
    Err(several::no_mac(&network.unwrap_or_default()))
}

/// Says where the addresses of new ports are from.
fn choose_sources<'k>(known: &'k Known, planned: &mut [Planned<'k>], wanted: &DevicePorts) -> Result<(), ApiError> {
    let asked = planned.iter_mut().zip(wanted.ports.iter().map(Some).chain(std::iter::repeat(None)));
    for (planned, asked) in asked.filter(|(planned, _)| planned.new) {
        let subnets = known.subnets.get(&planned.port.network_id).map_or(&[][..], Vec::as_slice);
        planned.sources = match asked.and_then(|asked| asked.address.as_deref()) {
            None => ports::default_sources(&planned.port, subnets)?,
            Some(text) => {
                let address = checks::address(&json!(text)).ok().and_then(|text| text.as_str()?.parse().ok());
                let address = address
                    .ok_or_else(|| invalid_attribute("fixed_ips", &format!("'{text}' is not a valid IP address")))?;
                let requested_ip = RequestedIp { subnet: None, address: Some(address) };
                let (subnet, _) = ports::place(&planned.port, subnets, &requested_ip)?;
                ports::sources_with(&planned.port, subnets, (subnet, address))?
            }
        };
    }
    Ok(())
}

/// Refuses what takes a project past its quota.
async fn count<'k>(
    work: &mut Work<'_>,
    wanted: &[Arc<DevicePorts>],
    plans: &mut Plans<'k>,
    stock: &mut addresses::Stock<'k>,
) -> Result<(), ApiError> {
    let news = |plan: &Result<Vec<Planned<'k>>, ApiError>| -> i64 {
        let new = plan.iter().flatten().filter(|planned| planned.new).count();
        i64::try_from(new).unwrap_or(i64::MAX)
    };
    let counted = plans.iter().zip(wanted).filter(|(plan, _)| news(plan) > 0);
    let mut left: BTreeMap<&str, Option<i64>> = counted.map(|(_, wanted)| (wanted.project.as_str(), None)).collect();
    for (project, left) in &mut left {
        *left = quotas::left_locked::<Port>(work, project).await?;
    }
    for (plan, wanted) in plans.iter_mut().zip(wanted) {
        let new = news(plan);
        let Some(Some(left)) = left.get_mut(wanted.project.as_str()).filter(|_| new > 0) else { continue };
        if *left >= new {
            *left -= new;
            continue;
        }
        if let Ok(planned) = plan {
            stock.take_from(&mut work.transaction, planned).await?;
        }
        *plan = Err(quotas::over::<Port>());
    }
    Ok(())
}

async fn write(work: &mut Work<'_>, plans: &Plans<'_>) -> Result<(), ApiError> {
    let new: Vec<&Planned<'_>> = new_ports(plans).collect();
    if !new.is_empty() {
        let rows: Vec<Port> = new
            .iter()
            .map(|planned| Port { ip_allocation: allocation(true).to_owned(), ..planned.port.clone() })
            .collect();
        several::insert(work, &rows).await?;
    }
    let mut given = Vec::new();
    for planned in &new {
        let rows = planned.addresses.iter().enumerate().filter_map(|(index, given)| Some((index, given.as_ref()?)));
        let rows = rows.filter(|(_, addressed)| !addressed.written);
        given.extend(rows.map(|(position, addressed)| allocations::Given {
            port: &planned.port.id,
            network: &planned.port.network_id,
            fixed: &addressed.fixed,
            position: i64::try_from(position).unwrap_or(i64::MAX),
        }));
    }
    allocations::insert_many(&mut work.transaction, &given).await?;
    let groups: Vec<(&str, &str)> = new
        .iter()
        .flat_map(|planned| planned.groups.iter().map(|group| (planned.port.id.as_str(), group.as_str())))
        .collect();
    if !groups.is_empty() {
        let mut sql = sql!("INSERT INTO port_security_groups (port_id, group_id) ");
        sql.rows(groups, |(port, group), cells| {
            cells.bind(port).bind(group);
        });
        sql.execute(&mut work.transaction).await?;
    }
    let changed: Vec<&Port> =
        plans.iter().flatten().flatten().filter(|planned| planned.changed).map(|planned| &planned.port).collect();
    if changed.is_empty() {
        return Ok(());
    }
    several::write_devices(work, &changed).await?;
    let changed: Vec<&str> = changed.iter().map(|port| port.id.as_str()).collect();
    several::forget_bindings(work, &changed).await
}

/// What each device is told.
async fn answers(
    work: &mut Work<'_>,
    known: &Known,
    plans: Vec<Result<Vec<Planned<'_>>, ApiError>>,
) -> Result<Vec<Allocated>, ApiError> {
    let mut addresses = BTreeMap::new();
    let mut there = Vec::new();
    for planned in plans.iter().flatten().flatten() {
        let id = &planned.port.id;
        let fixed = match planned.new {
            true => planned.addresses.iter().flatten().map(|addressed| addressed.fixed.clone()).collect(),
            false => known.addresses.get(id).cloned().unwrap_or_default(),
        };
        addresses.insert(id.clone(), fixed);
        if !planned.new {
            there.push(id.as_str());
        }
    }
    let floating = match there.is_empty() {
        true => BTreeMap::new(),
        false => floating(&mut work.transaction, &there).await?,
    };
    let names = known.networks.iter().map(|(id, network)| (id.clone(), network.name.clone())).collect();
    let mut details = Details::known(addresses, floating, names);
    Ok(plans
        .into_iter()
        .map(|plan| Ok(plan?.iter().map(|planned| details.interface(&planned.port)).collect()))
        .collect())
}
