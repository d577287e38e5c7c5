//! `PUT /servers/{id}`: a new name, description, host name, and what else its user says of a server.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::response::Response;
use novella_common::db::instances::{
    self,
    edits::{self, Edit},
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
    let mut connection = request.state.database.write().await?;
    if !edits::update(&mut connection, instance.uuid, &edit).await? {
        return Err(super::not_found(&id));
    }
    let instance = instances::get(&mut connection, instance.uuid).await?.ok_or_else(|| super::not_found(&id))?;
    let one = std::slice::from_ref(&instance);
    let view = View::load(&request, &mut connection, Occasion::Change, one).await?;
    Ok(view.one(&instance))
}
