//! What is done with several ports at once, each in as many statements as with one.

use http::StatusCode;
use novella_common::{
    db::{Json, Sql, table},
    sql,
};
use novella_rest::ApiError;

use super::Port;
use crate::{
    addresses::allocations,
    errors::{conflict, typed},
    resource::{AT_ONCE, Work, delete_row},
    resources::floating_ips,
};

/// Rows in one statement that binds every column of each: SQLite binds some 30,000 values.
const ROWS_PER_STATEMENT: usize = 1_000;

/// A MAC of those that the cloud gives out.
pub(crate) fn any_mac() -> String {
    let [a, b, c]: [u8; 3] = rand::random();
    format!("fa:16:3e:{a:02x}:{b:02x}:{c:02x}")
}

/// 503: none was found that nobody has.
pub(crate) fn no_mac(network: &str) -> ApiError {
    typed(
        StatusCode::SERVICE_UNAVAILABLE,
        "MacAddressGenerationFailure",
        format!("Unable to generate unique mac on network {network}."),
    )
}

/// 409: something has the port.
pub(crate) fn in_use(port: &Port) -> ApiError {
    conflict(
        "PortInUse",
        format!(
            "Unable to complete operation on port {} for network {}. Port already has an attached device {}.",
            port.id, port.network_id, port.device_id
        ),
    )
}

/// Writes new ports.
///
/// # Errors
/// If another port has the MAC of one: tried again that is seen.
pub(crate) async fn insert(work: &mut Work<'_>, ports: &[Port]) -> Result<(), ApiError> {
    for ports in ports.chunks(ROWS_PER_STATEMENT) {
        let mut sql = table::insert_into(ports);
        sql.push(" ON CONFLICT (network_id, mac_address) DO NOTHING");
        if sql.execute(&mut work.transaction).await? != ports.len() as u64 {
            return Err(ApiError::TransactionLost);
        }
    }
    Ok(())
}

/// Writes which devices have ports, where these are bound and what follows from it. The ports must be locked.
pub(crate) async fn write_devices(work: &mut Work<'_>, ports: &[&Port]) -> Result<(), ApiError> {
    for ports in ports.chunks(ROWS_PER_STATEMENT) {
        let mut sql = Sql::new(
            "UPDATE ports SET device_id = v.column2, device_owner = v.column3, host_id = v.column4, profile = v.column5, \
             vif_type = v.column6, vif_details = v.column7, status = v.column8, dns_name = v.column9, \
             vnic_type = v.column10, revision_number = v.column11, updated_at = v.column12 FROM (",
        );
        sql.rows(ports, |port, cells| {
            cells.bind(&port.id).bind(&port.device_id).bind(&port.device_owner).bind(&port.host_id);
            cells.bind(&Json(&port.profile)).bind(&port.vif_type).bind(&Json(&port.vif_details)).bind(&port.status);
            cells.bind(&port.dns_name).bind(&port.vnic_type).bind(&port.revision_number).bind(&port.updated_at);
        });
        sql.push(") AS v WHERE id = v.column1").execute(&mut work.transaction).await?;
    }
    Ok(())
}

/// Gives back what ports have: addresses, groups, bindings, floating IPs.
pub(crate) async fn release(work: &mut Work<'_>, ports: &[&str]) -> Result<(), ApiError> {
    floating_ips::leave_ports(work, ports).await?;
    allocations::take_back_all(&mut work.transaction, ports).await?;
    for ports in ports.chunks(AT_ONCE) {
        sql!("DELETE FROM port_security_groups WHERE port_id").is_in(ports).execute(&mut work.transaction).await?;
    }
    forget_bindings(work, ports).await
}

/// Forgets on which other hosts ports were about to be.
pub(crate) async fn forget_bindings(work: &mut Work<'_>, ports: &[&str]) -> Result<(), ApiError> {
    for ports in ports.chunks(AT_ONCE) {
        sql!("DELETE FROM port_bindings WHERE port_id").is_in(ports).execute(&mut work.transaction).await?;
    }
    Ok(())
}

/// Deletes a port on behalf of what it is part of.
pub(in crate::resources) async fn remove_port(work: &mut Work<'_>, port: &Port) -> Result<(), ApiError> {
    release(work, &[&port.id]).await?;
    delete_row::<Port>(&mut work.transaction, &port.id).await
}
