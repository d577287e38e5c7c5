//! `PUT /servers/{id}`: a new name, description, host name, and what else its user says of a server.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::response::Response;
use novella_common::{
    db::{
        Transaction,
        instances::{
            self,
            edits::{self, Edit},
        },
    },
    ids::InstanceUuid,
};
use novella_rest::{
    ApiError, Nullable, Path, body, documented_as,
    inputs::{Description, Name},
};

use serde::Deserialize;

use super::{
    create::request::DiskConfig,
    hostname,
    view::{Occasion, View},
};
use crate::Request;

body! {
    /// What may be changed of a server.
    pub(super) struct ServerChange in "server" {
        name: Option<Name> = "name",
        disk_config: Option<DiskConfig> = "OS-DCF:diskConfig",
        access_ip_v4: Option<Address<Ipv4Addr>> = "accessIPv4",
        access_ip_v6: Option<Address<Ipv6Addr>> = "accessIPv6",
        description: Nullable<Description> = "description".since(19).nullable(),
        hostname: Option<String> = "hostname".since(90),
        pinned_availability_zone: Nullable<String> = "pinned_availability_zone".since(104).nullable(),
    }
}

/// An address of one kind.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Address<A>(A);

documented_as! {
    Address<A> where (A) => String;
}

/// Changes what its user says of a server.
pub(super) async fn update(
    request: Request,
    Path(id): Path<String>,
    change: ServerChange,
) -> Result<Response, ApiError> {
    let hostname = change.hostname.map(|name| hostname::checked(name, request.version)).transpose()?;
    let instance = super::find(&request, &id).await?;

    let edit = Edit {
        name: change.name.map(|name| name.0),
        description: change.description.change().map(|text| text.map(|text| text.0)),
        hostname,
        access_ip_v4: change.access_ip_v4.map(|address| address.0.to_string()),
        access_ip_v6: change.access_ip_v6.map(|address| address.0.to_string()),
        auto_disk_config: change.disk_config.map(|config| config == DiskConfig::Auto),
    };
    let mut transaction = request.state.database.begin().await?;
    if !edits::update(&mut transaction, instance.uuid, &edit).await? {
        return Err(super::not_found(&id));
    }
    if let Some(zone) = change.pinned_availability_zone.change() {
        pin(&mut transaction, instance.uuid, zone).await?;
    }
    let instance = instances::get(&mut transaction, instance.uuid).await?.ok_or_else(|| super::not_found(&id))?;
    transaction.commit().await?;
    let one = std::slice::from_ref(&instance);
    let view = View::load(&request, Occasion::Change, one).await?;
    Ok(view.one(&instance))
}

/// Lets a server be moved into every zone, or into the one that it is in only. Its row is locked already.
async fn pin(transaction: &mut Transaction, uuid: InstanceUuid, zone: Option<String>) -> Result<(), ApiError> {
    let instance = instances::get(transaction, uuid).await?.ok_or_else(|| super::not_found(&uuid.to_string()))?;
    let (pinned, own) = (instance.requested_zone.as_deref(), instance.availability_zone.as_deref());
    match zone.as_deref() {
        asked if asked == pinned => return Ok(()),
        Some(_) if pinned.is_some() => {
            return Err(ApiError::Conflict(
                "Cannot change pinned availability zone directly. Unpin first by setting pinned_availability_zone to null."
                    .into(),
            ));
        }
        Some(asked) if own != Some(asked) => {
            return Err(ApiError::Conflict(format!(
                "Server can only be pinned to its current availability zone '{}', but '{asked}' was requested.",
                own.unwrap_or_default()
            )));
        }
        _ => {}
    }
    edits::pin(transaction, uuid, zone.as_deref()).await?;
    Ok(())
}
