//! `PUT /servers/{id}`: a new name, description, host name.

use axum::response::Response;
use novella_common::db::instances;
use novella_rest::{
    ApiError, Nullable, Path, body,
    inputs::{Description, Name},
};

use super::{
    hostname,
    view::{Occasion, View},
};
use crate::Request;

body! {
    /// What may be changed of a server. Not among it, though Nova has them: `accessIPv4`, `accessIPv6` and
    /// `OS-DCF:diskConfig`, which no host here would act on; a request with them is refused instead of being half obeyed.
    pub(super) struct ServerChange in "server" {
        name: Option<Name> = "name",
        description: Nullable<Description> = "description".since(19).nullable(),
        hostname: Option<String> = "hostname".since(90),
    }
}

/// Changes a server's name, description and host name.
pub(super) async fn update(
    request: Request,
    Path(id): Path<String>,
    change: ServerChange,
) -> Result<Response, ApiError> {
    let hostname = change.hostname.map(|name| hostname::checked(name, request.version)).transpose()?;
    let instance = super::find(&request, &id).await?;

    let name = change.name.as_ref().map(|name| name.0.as_str());
    let description = change.description.change();
    let description = description.as_ref().map(|text| text.as_ref().map(|text| text.0.as_str()));
    let mut connection = request.state.database.write().await?;
    let (uuid, hostname) = (instance.uuid, hostname.as_deref());
    if !instances::update_names(&mut connection, uuid, name, description, hostname).await? {
        return Err(super::not_found(&id));
    }
    let instance = instances::get(&mut connection, instance.uuid).await?.ok_or_else(|| super::not_found(&id))?;
    let one = std::slice::from_ref(&instance);
    let view = View::load(&request, &mut connection, Occasion::Change, one).await?;
    Ok(view.one(&instance))
}
