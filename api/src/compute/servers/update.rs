//! `PUT /servers/{id}`: a new name, description, host name.

use axum::{
    extract::{Path, State},
    response::Response,
};
use novella_common::{db::instances, policy};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    super::{
        inputs::{Description, Name, present},
        microversion::{FieldTable, Microversion, field},
    },
    hostname,
    view::{Occasion, ServerBody, View},
};
use crate::{
    authentication::Caller,
    body::{JsonBody, typed},
    error::ApiError,
    links::Links,
    state::Api,
};

/// What may be changed. Not among them, though Nova has them: `accessIPv4`, `accessIPv6` and `OS-DCF:diskConfig`, which
/// no host here would act on; a request with them is refused instead of being half obeyed.
const REQUEST: FieldTable =
    FieldTable(&[field("name"), field("description").since(19).nullable(), field("hostname").since(90)]);

/// What `server` holds.
#[derive(Deserialize, ToSchema)]
struct ServerChange {
    #[serde(default)]
    name: Option<Name>,
    #[serde(default, deserialize_with = "present")]
    description: Option<Option<Description>>,
    #[serde(default)]
    hostname: Option<String>,
}

/// Changes a server's name, description and host name.
#[utoipa::path(
    put,
    path = "/servers/{server_id}",
    tag = "servers",
    params(("server_id" = String, Path)),
    request_body(content = ServerChange, description = "Under the key `server`."),
    responses((status = 200, body = ServerBody)),
)]
pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let object = body.envelope("server")?;
    REQUEST.check("server", object, version)?;
    let change: ServerChange = typed("server", &Value::Object(object.clone()))?;
    let hostname = change.hostname.map(|name| hostname::checked(name, version)).transpose()?;
    let instance = super::find(&api, &caller, &id, policy::SERVERS_UPDATE).await?;

    let name = change.name.as_ref().map(|name| name.0.as_str());
    let description = change.description.as_ref().map(|text| text.as_ref().map(|text| text.0.as_str()));
    let mut connection = api.database.write().await?;
    let (uuid, hostname) = (instance.uuid, hostname.as_deref());
    if !instances::update_names(&mut connection, uuid, name, description, hostname).await? {
        return Err(super::not_found(&id));
    }
    let instance = instances::get(&mut connection, instance.uuid).await?.ok_or_else(|| super::not_found(&id))?;
    let one = std::slice::from_ref(&instance);
    let view = View::load(&api, &mut connection, &caller, version, &links, Occasion::Change, one).await?;
    Ok(view.one(&instance))
}
