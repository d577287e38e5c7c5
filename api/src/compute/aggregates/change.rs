//! `PUT /os-aggregates/{id}`, and what is done to one: hosts, metadata.

use std::collections::BTreeMap;

use axum::response::Response;
use jiff::Timestamp;
use novella_common::{
    db::{Transaction, aggregates, services, table},
    models::{Aggregate, Binary},
};
use novella_rest::{ApiError, Nullable, Path, body, inputs::SpacedName, wrong};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::{
    ZoneName, begin, find, shown, taken,
    zones::{self, Act},
};
use crate::Request;

body! {
    /// `PUT /os-aggregates/{id}`.
    pub(super) struct Change in "aggregate" {
        name: Option<SpacedName> = "name",
        availability_zone: Nullable<ZoneName> = "availability_zone".nullable(),
    }
}

body! {
    /// `add_host`.
    pub(super) struct AddHost in "add_host" {
        host: HostName = "host",
    }
}

body! {
    /// `remove_host`.
    pub(super) struct RemoveHost in "remove_host" {
        host: HostName = "host",
    }
}

body! {
    /// `set_metadata`: null takes a key away.
    pub(super) struct SetMetadata in "set_metadata" {
        metadata: BTreeMap<String, Option<String>> = "metadata",
    }
}

/// A host's name, as Nova's schema has it.
#[derive(Debug)]
struct HostName(String);

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        match super::super::services::is_host(&name) {
            true => Ok(Self(name)),
            false => Err(de::Error::custom("it must have 1 to 255 letters, digits, dots, dashes and underscores")),
        }
    }
}

novella_rest::documented_as! {
    HostName => String;
}

/// Changes an aggregate's name or zone.
pub(super) async fn update(request: Request, Path(id): Path<String>, change: Change) -> Result<Response, ApiError> {
    if change.name.is_none() && change.availability_zone == Nullable::Missing {
        return Err(ApiError::bad_request(
            "Invalid input for field/attribute aggregate. 'name' or 'availability_zone' is a required property",
        ));
    }
    let mut transaction = begin(&request).await?;
    let mut aggregate = find(&mut transaction, &id).await?;
    if let Some(SpacedName(name)) = change.name {
        aggregate.name = name;
    }
    if let Some(zone) = change.availability_zone.change() {
        let zone = zone.map(|zone| zone.0);
        zones::check_change(&mut transaction, Act::Update, &aggregate, zone.as_deref()).await?;
        aggregate.metadata.extend(zone.map(|zone| (Aggregate::ZONE.to_owned(), zone)));
    }
    write(request, transaction, aggregate).await
}

/// Changes an aggregate's metadata.
pub(super) async fn set_metadata(
    request: Request,
    Path(id): Path<String>,
    SetMetadata { metadata }: SetMetadata,
) -> Result<Response, ApiError> {
    check_metadata(&metadata)?;
    let mut transaction = begin(&request).await?;
    let mut aggregate = find(&mut transaction, &id).await?;
    if let Some(zone) = metadata.get(Aggregate::ZONE) {
        zones::check_change(&mut transaction, Act::UpdateMetadata, &aggregate, zone.as_deref()).await?;
    }
    for (key, value) in metadata {
        match value {
            Some(value) => drop(aggregate.metadata.insert(key, value)),
            None => drop(aggregate.metadata.remove(&key)),
        }
    }
    write(request, transaction, aggregate).await
}

fn check_metadata(metadata: &BTreeMap<String, Option<String>>) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.' | ' ');
    for (key, value) in metadata {
        if !(1..=255).contains(&key.len()) || !key.chars().all(allowed) {
            return Err(wrong(
                "set_metadata.metadata",
                &Value::from(key.as_str()),
                "A key must have 1 to 255 letters, digits, dashes, underscores, colons, dots and spaces.",
            ));
        }
        if let Some(value) = value.as_ref().filter(|value| value.chars().count() > 255) {
            let place = format!("set_metadata.metadata.{key}");
            return Err(wrong(&place, &Value::from(value.as_str()), "it is longer than 255 characters"));
        }
    }
    Ok(())
}

/// Writes a changed aggregate, with the zones that follow.
async fn write(request: Request, mut transaction: Transaction, mut aggregate: Aggregate) -> Result<Response, ApiError> {
    aggregate.updated_at = Some(Timestamp::now());
    let written = table::update(&mut transaction, &aggregate.id, &aggregate).await;
    written.map_err(|error| taken(error, &aggregate.name))?;
    let hosts = aggregates::hosts(&mut transaction, [aggregate.id]).await?.remove(&aggregate.id).unwrap_or_default();
    aggregates::write_zones(&mut transaction, &hosts).await?;
    let answer = shown(&request, &mut transaction, &aggregate).await?;
    transaction.commit().await?;
    Ok(answer)
}

/// Puts a host into an aggregate.
pub(super) async fn add_host(
    request: Request,
    Path(id): Path<String>,
    AddHost { host: HostName(host) }: AddHost,
) -> Result<Response, ApiError> {
    let mut transaction = begin(&request).await?;
    let aggregate = find(&mut transaction, &id).await?;
    let service = services::find(&mut transaction, Binary::Compute, &host).await?;
    let service = service.ok_or_else(|| ApiError::not_found(format!("Compute host {host} could not be found.")))?;
    zones::check_arrival(&mut transaction, &aggregate, &host, &service.zone).await?;
    match aggregates::add_host(&mut transaction, aggregate.id, &host).await {
        Err(error) if error.is_unique_violation() => {
            return Err(ApiError::Conflict(format!("Aggregate {id} already has host {host}.")));
        }
        added => added?,
    }
    host_changed(request, transaction, aggregate, host).await
}

/// Takes a host out of an aggregate.
pub(super) async fn remove_host(
    request: Request,
    Path(id): Path<String>,
    RemoveHost { host: HostName(host) }: RemoveHost,
) -> Result<Response, ApiError> {
    let mut transaction = begin(&request).await?;
    let aggregate = find(&mut transaction, &id).await?;
    zones::check_departure(&mut transaction, &aggregate, &host).await?;
    if !aggregates::remove_host(&mut transaction, aggregate.id, &host).await? {
        return Err(ApiError::not_found(format!("Cannot remove host {host} in aggregate {id}")));
    }
    host_changed(request, transaction, aggregate, host).await
}

async fn host_changed(
    request: Request,
    mut transaction: Transaction,
    mut aggregate: Aggregate,
    host: String,
) -> Result<Response, ApiError> {
    aggregate.updated_at = Some(Timestamp::now());
    table::update(&mut transaction, &aggregate.id, &aggregate).await?;
    aggregates::write_zones(&mut transaction, &[host]).await?;
    let answer = shown(&request, &mut transaction, &aggregate).await?;
    transaction.commit().await?;
    Ok(answer)
}
