//! `POST`, `PUT` and `DELETE` of flavors, for administrators.

use std::collections::BTreeMap;

use axum::{http::StatusCode, response::Response};
use novella_common::{
    db::flavors,
    models::{Flavor, RxtxFactor},
};
use novella_rest::{
    ApiError, Nullable, Path, body,
    inputs::{Description, Flag, Integer, Name},
};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use uuid::Uuid;

use super::view;
use crate::Request;

body! {
    /// `POST /flavors`.
    pub(super) struct NewFlavor in "flavor" {
        name: Name = "name",
        id: Option<FlavorId> = "id".nullable(),
        ram: Integer<1> = "ram",
        vcpus: Integer<1> = "vcpus",
        disk: Integer<0> = "disk",
        ephemeral: Option<Integer<0>> = "OS-FLV-EXT-DATA:ephemeral",
        swap: Option<Integer<0>> = "swap",
        rxtx_factor: Option<Factor> = "rxtx_factor".until(101),
        is_public: Option<Flag> = "os-flavor-access:is_public",
        description: Option<FlavorDescription> = "description".since(55).nullable(),
    }
}

body! {
    /// `PUT /flavors/{id}`.
    pub(super) struct FlavorChange in "flavor" {
        description: Nullable<FlavorDescription> = "description".nullable(),
    }
}

/// Longer than others (nova's column).
type FlavorDescription = Description<65_535>;

/// A flavor's id is a free string; clients send numbers too. `None`: `auto`, which asks for a made id as null does
/// (novaclient).
#[derive(Debug)]
struct FlavorId(Option<String>);

impl<'de> Deserialize<'de> for FlavorId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = match Value::deserialize(deserializer)? {
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
        Ok(Self(Some(id).filter(|id| id != "auto")))
    }
}

/// A factor, in digits too.
#[derive(Debug)]
struct Factor(RxtxFactor);

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = match Value::deserialize(deserializer)? {
            Value::Number(number) => number.to_string(),
            Value::String(digits) if digits.chars().all(|c| c.is_ascii_digit() || c == '.') => digits,
            _ => String::new(),
        };
        let factor = digits.parse().ok().and_then(RxtxFactor::new);
        factor.map(Self).ok_or_else(|| de::Error::custom("it must be a number greater than 0"))
    }
}

novella_rest::documented_as! {
    FlavorId => String;
    Factor => Number;
}

/// Makes a flavor.
pub(super) async fn create(request: Request, new: NewFlavor) -> Result<Response, ApiError> {
    let flavor = Flavor {
        id: new.id.and_then(|id| id.0).unwrap_or_else(|| Uuid::new_v4().to_string()),
        name: new.name.0,
        vcpus: new.vcpus.0,
        memory_mb: new.ram.0,
        disk_gb: new.disk.0,
        ephemeral_gb: new.ephemeral.map_or(0, |size| size.0),
        swap_mb: new.swap.map_or(0, |size| size.0),
        is_public: new.is_public.is_none_or(|flag| flag.0),
        description: new.description.map(|text| text.0),
        extra_specs: BTreeMap::new(),
        rxtx_factor: new.rxtx_factor.map_or_else(RxtxFactor::default, |factor| factor.0),
    };
    let database = &request.state.database;
    match flavors::insert(&mut *database.write().await?, &flavor).await {
        Err(error) if error.is_unique_violation() => {
            let taken = flavors::get(&mut *database.read().await?, &flavor.id).await?;
            return Err(ApiError::Conflict(match taken {
                Some(_) => format!("Flavor with ID {} already exists.", flavor.id),
                None => format!("Flavor with name {} already exists.", flavor.name),
            }));
        }
        other => other?,
    }
    Ok(view::one(&request, &flavor))
}

/// Changes a flavor's description.
pub(super) async fn update(
    request: Request,
    Path(id): Path<String>,
    FlavorChange { description }: FlavorChange,
) -> Result<Response, ApiError> {
    let description = description.change().ok_or_else(|| {
        ApiError::bad_request("Invalid input for field/attribute flavor. 'description' is a required property")
    })?;
    let description = description.as_ref().map(|text| text.0.as_str());
    flavors::set_description(&mut *request.state.database.write().await?, &id, description).await?;
    let flavor = super::find(&request, &id).await?;
    Ok(view::one(&request, &flavor))
}

/// Removes a flavor. Servers of it keep their size.
pub(super) async fn delete(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    if !flavors::delete(&mut transaction, &id).await? {
        return Err(super::not_found(&id));
    }
    transaction.commit().await?;
    Ok(StatusCode::ACCEPTED)
}
