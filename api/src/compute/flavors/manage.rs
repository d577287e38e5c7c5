//! `POST`, `PUT` and `DELETE` of flavors, for administrators.

use std::collections::BTreeMap;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use novella_common::{db::flavors, models::Flavor, policy};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    super::{
        inputs::{Description, Flag, Integer, Name, present},
        microversion::{FieldTable, Microversion, field},
    },
    view::{FlavorBody, View},
};
use crate::{
    authentication::Caller,
    body::{JsonBody, typed},
    error::ApiError,
    links::Links,
    state::Api,
};

const CREATE: FieldTable = FieldTable(&[
    field("name"),
    field("id").nullable(),
    field("ram"),
    field("vcpus"),
    field("disk"),
    field("OS-FLV-EXT-DATA:ephemeral"),
    field("swap"),
    field("rxtx_factor").until(101),
    field("os-flavor-access:is_public"),
    field("description").since(55).nullable(),
]);

const UPDATE: FieldTable = FieldTable(&[field("description").nullable()]);

/// What `flavor` holds.
#[derive(Deserialize, ToSchema)]
struct NewFlavor {
    name: Name,
    #[serde(default, deserialize_with = "flavor_id")]
    #[schema(value_type = Option<String>)]
    id: Option<String>,
    ram: Integer<1>,
    vcpus: Integer<1>,
    disk: Integer<0>,
    #[serde(default, rename = "OS-FLV-EXT-DATA:ephemeral")]
    ephemeral: Option<Integer<0>>,
    #[serde(default)]
    swap: Option<Integer<0>>,
    #[serde(default, deserialize_with = "rxtx_factor")]
    #[schema(value_type = Option<f64>)]
    #[allow(dead_code, reason = "checked where it is read: the only value there is")]
    rxtx_factor: (),
    #[serde(default, rename = "os-flavor-access:is_public")]
    is_public: Option<Flag>,
    #[serde(default)]
    description: Option<FlavorDescription>,
}

#[derive(Deserialize, ToSchema)]
struct FlavorChange {
    #[serde(default, deserialize_with = "present")]
    description: Option<Option<FlavorDescription>>,
}

/// Longer than others (nova's column).
type FlavorDescription = Description<65_535>;

/// A flavor's id is a free string; clients send numbers too, and null for "make one".
fn flavor_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let id = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(id) => id,
        Value::Number(id) => id.to_string(),
        other => return Err(de::Error::custom(format!("{other} is not of type 'string', 'number', 'null'"))),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ' ' | '_' | '-');
    if id.is_empty() || id.len() > 255 || id.trim() != id || !id.chars().all(allowed) {
        return Err(de::Error::custom(
            "it must have 1 to 255 letters, digits, spaces, dots, dashes and underscores, and no space at either end",
        ));
    }
    // `auto` asks for a made id, as null does (novaclient).
    Ok(Some(id).filter(|id| id != "auto"))
}

/// Only 1 is taken, in digits too, which some clients always send: bandwidth is nothing that flavors divide here.
fn rxtx_factor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    let value = Value::deserialize(deserializer)?;
    let factor = match &value {
        Value::Number(number) => number.as_f64(),
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    };
    match factor {
        Some(1.0) => Ok(()),
        _ => Err(de::Error::custom("it can only be 1: servers' bandwidth is not limited by their flavors here")),
    }
}

/// Makes a flavor.
#[utoipa::path(
    post,
    path = "/flavors",
    tag = "flavors",
    request_body(content = NewFlavor, description = "Under the key `flavor`."),
    responses((status = 200, body = FlavorBody)),
)]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    body: JsonBody,
) -> Result<Response, ApiError> {
    policy::FLAVORS_CREATE.check_own(&caller.context)?;
    let object = body.envelope("flavor")?;
    CREATE.check("flavor", object, version)?;
    let new: NewFlavor = typed("flavor", &Value::Object(object.clone()))?;
    let flavor = Flavor {
        id: new.id.unwrap_or_else(|| Uuid::new_v4().to_string()),
        name: new.name.0,
        vcpus: new.vcpus.0,
        memory_mb: new.ram.0,
        disk_gb: new.disk.0,
        ephemeral_gb: new.ephemeral.map_or(0, |size| size.0),
        swap_mb: new.swap.map_or(0, |size| size.0),
        is_public: new.is_public.is_none_or(|flag| flag.0),
        description: new.description.map(|text| text.0),
        extra_specs: BTreeMap::new(),
    };
    let inserted = flavors::insert(&mut *api.database.write().await?, &flavor).await;
    match inserted {
        Err(error) if error.is_unique_violation() => {
            let taken = flavors::get(&mut *api.database.read().await?, &flavor.id).await?;
            return Err(ApiError::Conflict(match taken {
                Some(_) => format!("Flavor with ID {} already exists.", flavor.id),
                None => format!("Flavor with name {} already exists.", flavor.name),
            }));
        }
        other => other?,
    }
    Ok(View::new(version, &caller, &links).one(&flavor))
}

/// Changes a flavor's description.
#[utoipa::path(
    put,
    path = "/flavors/{flavor_id}",
    tag = "flavors",
    params(("flavor_id" = String, Path)),
    request_body(content = FlavorChange, description = "Under the key `flavor`."),
    responses((status = 200, body = FlavorBody)),
)]
pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    policy::FLAVORS_UPDATE.check_own(&caller.context)?;
    let object = body.envelope("flavor")?;
    UPDATE.check("flavor", object, version)?;
    let change: FlavorChange = typed("flavor", &Value::Object(object.clone()))?;
    let description = change.description.ok_or_else(|| {
        ApiError::bad_request("Invalid input for field/attribute flavor. 'description' is a required property")
    })?;
    flavors::set_description(&mut *api.database.write().await?, &id, description.as_ref().map(|text| text.0.as_str()))
        .await?;
    let flavor = super::find(&api, &caller, &id).await?;
    Ok(View::new(version, &caller, &links).one(&flavor))
}

/// Removes a flavor. Servers of it keep their size.
#[utoipa::path(
    delete,
    path = "/flavors/{flavor_id}",
    tag = "flavors",
    params(("flavor_id" = String, Path)),
    responses((status = 202)),
)]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    policy::FLAVORS_DELETE.check_own(&caller.context)?;
    if !flavors::delete(&mut *api.database.write().await?, &id).await? {
        return Err(ApiError::not_found(format!("Flavor {id} could not be found.")));
    }
    Ok(StatusCode::ACCEPTED)
}
