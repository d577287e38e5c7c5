//! What networks are made of below: their kinds, their numbers, and how large a packet each kind carries.

use novella_common::sql;
use novella_rest::ApiError;

use super::networks::Network;
use crate::{
    addresses::{pool, ranges::Range},
    errors::{conflict, invalid_input},
    resource::{Given, Work},
};

/// The kind of networks for which nobody says another.
const OWN: &str = "vxlan";

/// The numbers that networks of their own kind get: what the schema has put into the free ranges of this name.
const OWN_NUMBERS: [Range; 1] = [Range { first: 1, last: 1_000_000 }];

/// Bytes of the largest packet on the wires below.
const PHYSICAL: i64 = 1500;
/// Bytes that a packet within a packet takes.
const OVERHEAD: i64 = 50;

/// Bytes of the largest packet that a network of a kind carries.
pub(super) fn largest_packet(kind: Option<&str>) -> i64 {
    match kind {
        Some("vxlan" | "geneve" | "gre") => PHYSICAL - OVERHEAD,
        _ => PHYSICAL,
    }
}

/// Chooses what nobody has said: the kind, and the number.
pub(super) async fn choose(work: &mut Work<'_>, network: &mut Network) -> Result<(), ApiError> {
    let Some(kind) = network.network_type.clone() else {
        if network.physical_network.is_some() || network.segmentation_id.is_some() {
            return Err(invalid_input("network_type required"));
        }
        let number = pool::take_any(&mut work.transaction, OWN, &OWN_NUMBERS).await?;
        let number = number.and_then(|number| i64::try_from(number).ok());
        let number = number.ok_or_else(|| {
            conflict(
                "NoNetworkAvailable",
                "Unable to create the network. No tenant network is available for allocation.",
            )
        })?;
        network.network_type = Some(OWN.to_owned());
        network.segmentation_id = Some(number);
        return Ok(());
    };
    check_kind(&kind, network)?;
    if let ("vlan" | "vxlan" | "gre" | "geneve", None) = (kind.as_str(), network.segmentation_id) {
        network.segmentation_id = Some(next_number(work, &kind, network.physical_network.as_deref()).await?);
    } else if let (OWN, Some(number)) = (kind.as_str(), network.segmentation_id) {
        pool::take(&mut work.transaction, OWN, number.unsigned_abs().into()).await?;
    }
    check_free(work, &kind, network).await
}

/// Refuses what a kind of network does not have.
fn check_kind(kind: &str, network: &Network) -> Result<(), ApiError> {
    let (physical, number) = (network.physical_network.is_some(), network.segmentation_id);
    match kind {
        "flat" if !physical => Err(invalid_input("physical_network required for flat provider network")),
        "flat" if number.is_some() => Err(invalid_input("segmentation_id specified for flat network")),
        "local" if physical || number.is_some() => {
            Err(invalid_input("physical_network specified for local provider network"))
        }
        "vlan" if !physical => {
            Err(invalid_input("segmentation_id requires physical_network for VLAN provider network"))
        }
        "vlan" if number.is_some_and(|number| !(1..=4094).contains(&number)) => {
            Err(invalid_input("segmentation_id out of range (1 through 4094)"))
        }
        "vxlan" | "gre" | "geneve" if physical => {
            Err(invalid_input(format!("provider:physical_network specified for {kind} network")))
        }
        "vxlan" | "geneve" if number.is_some_and(|number| !(1..=16_777_215).contains(&number)) => {
            Err(invalid_input("segmentation_id out of range (1 through 16777215)"))
        }
        "gre" if number.is_some_and(|number| !(1..=4_294_967_295).contains(&number)) => {
            Err(invalid_input("segmentation_id out of range (1 through 4294967295)"))
        }
        "flat" | "local" | "vlan" | "vxlan" | "gre" | "geneve" => Ok(()),
        other => Err(invalid_input(format!("network_type value '{other}' not supported"))),
    }
}

/// A number of a kind that an administrator has asked for without saying which.
async fn next_number(work: &mut Work<'_>, kind: &str, physical: Option<&str>) -> Result<i64, ApiError> {
    if kind == OWN
        && let Some(number) = pool::take_any(&mut work.transaction, OWN, &OWN_NUMBERS).await?
    {
        return Ok(i64::try_from(number).unwrap_or(1));
    }
    let used: Vec<i64> = sql!(
        "SELECT segmentation_id FROM networks WHERE network_type = " (kind) " AND COALESCE(physical_network, '') = "
        (physical.unwrap_or_default()) " AND segmentation_id IS NOT NULL ORDER BY segmentation_id"
    )
    .fetch_all(&mut work.transaction)
    .await?;
    Ok((1..).zip(&used).find(|(number, used)| number != *used).map_or(used.len() as i64 + 1, |(number, _)| number))
}

/// 409 if another network has it.
async fn check_free(work: &mut Work<'_>, kind: &str, network: &Network) -> Result<(), ApiError> {
    let (physical, number) = (network.physical_network.as_deref().unwrap_or_default(), network.segmentation_id);
    if kind == "local" {
        return Ok(());
    }
    let used: Option<String> = sql!(
        "SELECT id FROM networks WHERE network_type = " (kind) " AND COALESCE(physical_network, '') = " (physical)
        " AND COALESCE(segmentation_id, 0) = " (number.unwrap_or(0))
    )
    .fetch_optional(&mut work.transaction)
    .await?;
    if used.is_none() {
        return Ok(());
    }
    let number = number.unwrap_or(0);
    Err(match kind {
        "flat" => conflict(
            "FlatNetworkInUse",
            format!("Unable to create the flat network. Physical network {physical} is in use by a different network."),
        ),
        "vlan" => conflict(
            "VlanIdInUse",
            format!("Unable to create the network. The VLAN {number} on physical network {physical} is in use."),
        ),
        _ => conflict("TunnelIdInUse", format!("Unable to create the network. The tunnel ID {number} is in use.")),
    })
}

/// What a network is made of below is not changed.
pub(super) fn check_change(old: &Network, given: &Given) -> Result<(), ApiError> {
    let same = |name: &str, value: Option<&str>| !given.has(name) || given.text(name) == value;
    let number = !given.has("provider:segmentation_id")
        || given.get("provider:segmentation_id").and_then(serde_json::Value::as_i64) == old.segmentation_id;
    if same("provider:network_type", old.network_type.as_deref())
        && same("provider:physical_network", old.physical_network.as_deref())
        && number
    {
        return Ok(());
    }
    Err(invalid_input(
        // Neutron's text has this second full stop.
        "Only VLAN type networks can be updated.",
    ))
}

/// Lets another network have its number.
pub(super) async fn give_back(work: &mut Work<'_>, network: &Network) -> Result<(), ApiError> {
    if let (Some(OWN), Some(number)) = (network.network_type.as_deref(), network.segmentation_id) {
        let number = u128::from(number.unsigned_abs());
        if OWN_NUMBERS.iter().any(|range| range.contains(number)) {
            pool::give_back(&mut work.transaction, OWN, number).await?;
        }
    }
    Ok(())
}
