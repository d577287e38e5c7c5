//! `/os-aggregates`: hosts that have something in common, and the availability zones that they make.

mod change;
mod images;
mod zones;

use std::collections::{BTreeMap, HashMap};

use axum::response::Response;
use jiff::Timestamp;
use novella_common::{
    db::{
        Connection, Transaction, aggregates,
        list::{Direction, List, SortKey},
        table,
    },
    models::Aggregate,
    sql,
};
use novella_rest::{
    ApiError, FieldTable, Operation, Path, body, delete, field, get, inputs::Name, post, put, times::Micros,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Request, policy, state::Api};

const FIELDS: FieldTable = FieldTable(&[field("uuid").since(41)]);

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ONE: &str = "/os-aggregates/{aggregate_id}";
    const ACTION: &str = "/os-aggregates/{aggregate_id}/action";
    vec![
        get("/os-aggregates", policy::AGGREGATES_INDEX, index).answers_list::<View>("aggregates"),
        post("/os-aggregates", policy::AGGREGATES_CREATE, create).answers::<View>("aggregate"),
        get(ONE, policy::AGGREGATES_SHOW, show).answers::<View>("aggregate"),
        put(ONE, policy::AGGREGATES_UPDATE, change::update).answers::<View>("aggregate"),
        delete(ONE, policy::AGGREGATES_DELETE, remove),
        post(ACTION, policy::AGGREGATES_ADD_HOST, change::add_host).action("add_host").answers::<View>("aggregate"),
        post(ACTION, policy::AGGREGATES_REMOVE_HOST, change::remove_host)
            .action("remove_host")
            .answers::<View>("aggregate"),
        post(ACTION, policy::AGGREGATES_SET_METADATA, change::set_metadata)
            .action("set_metadata")
            .answers::<View>("aggregate"),
        post("/os-aggregates/{aggregate_id}/images", policy::AGGREGATES_IMAGES, images::cache).since(81).status(202),
    ]
}

body! {
    /// `POST /os-aggregates`.
    struct NewAggregate in "aggregate" {
        name: Name = "name",
        availability_zone: Option<ZoneName> = "availability_zone".nullable(),
    }
}

/// A zone's name: a name without a colon, which stands between a zone and a host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ZoneName(String);

impl<'de> Deserialize<'de> for ZoneName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Name::deserialize(deserializer)? {
            Name(name) if name.contains(':') => Err(de::Error::custom("it can not have a colon")),
            Name(name) => Ok(Self(name)),
        }
    }
}

novella_rest::documented_as! {
    ZoneName => String;
}

/// An aggregate. The answer to its making has neither hosts nor metadata.
#[derive(Serialize, ToSchema)]
struct View<'a> {
    id: i64,
    uuid: Uuid,
    name: &'a str,
    availability_zone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a BTreeMap<String, String>>,
    created_at: Micros,
    updated_at: Option<Micros>,
    deleted: bool,
    deleted_at: Option<Micros>,
}

fn brief(aggregate: &Aggregate) -> View<'_> {
    View {
        id: aggregate.id,
        uuid: aggregate.uuid,
        name: &aggregate.name,
        availability_zone: aggregate.zone(),
        hosts: None,
        metadata: None,
        created_at: Micros(aggregate.created_at),
        updated_at: aggregate.updated_at.map(Micros),
        deleted: false,
        deleted_at: None,
    }
}

fn view<'a>(aggregate: &'a Aggregate, hosts: &'a HashMap<i64, Vec<String>>) -> View<'a> {
    let hosts = hosts.get(&aggregate.id).map(Vec::as_slice).unwrap_or_default();
    View { hosts: Some(hosts), metadata: Some(&aggregate.metadata), ..brief(aggregate) }
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let all = List::<Aggregate>::all().sort(SortKey::int("id"), Direction::Ascending);
    let all = all.page(&mut connection).await?.unwrap_or_default();
    let hosts = aggregates::hosts(&mut connection, all.iter().map(|aggregate| aggregate.id)).await?;
    let views: Vec<_> = all.iter().map(|aggregate| view(aggregate, &hosts)).collect();
    Ok(request.answer(&FIELDS).list("aggregates", &views, None))
}

async fn create(request: Request, new: NewAggregate) -> Result<Response, ApiError> {
    let zone = new.availability_zone.map(|zone| (Aggregate::ZONE.to_owned(), zone.0));
    let aggregate = Aggregate {
        id: 0,
        uuid: Uuid::new_v4(),
        name: new.name.0,
        metadata: zone.into_iter().collect(),
        created_at: Timestamp::now(),
        updated_at: None,
    };
    let mut transaction = begin(&request).await?;
    table::insert(&mut transaction, &aggregate).await.map_err(|error| taken(error, &aggregate.name))?;
    let id: i64 = sql!("SELECT id FROM aggregates WHERE uuid = "(aggregate.uuid)).fetch_one(&mut transaction).await?;
    transaction.commit().await?;
    Ok(request.answer(&FIELDS).object("aggregate", brief(&Aggregate { id, ..aggregate })))
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let aggregate = find(&mut connection, &id).await?;
    shown(&request, &mut connection, &aggregate).await
}

async fn remove(request: Request, Path(id): Path<String>) -> Result<(), ApiError> {
    let mut transaction = begin(&request).await?;
    let aggregate = find(&mut transaction, &id).await?;
    if !aggregates::hosts(&mut transaction, [aggregate.id]).await?.is_empty() {
        return Err(ApiError::bad_request(format!(
            "Cannot remove host from aggregate {id}. Reason: Host aggregate is not empty."
        )));
    }
    sql!("DELETE FROM aggregates WHERE id = "(aggregate.id)).execute(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// A transaction in which nobody else changes aggregates.
async fn begin(request: &Request) -> Result<Transaction, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    aggregates::lock(&mut transaction).await?;
    Ok(transaction)
}

/// The aggregate of this id.
///
/// # Errors
/// 400 for what is no number; 404 if there is none.
async fn find(connection: &mut Connection, id: &str) -> Result<Aggregate, ApiError> {
    let number: i64 = id.parse().map_err(|_| ApiError::bad_request(format!("id must be an integer, and not {id}.")))?;
    let found = table::select::<Aggregate>().push(" WHERE id = ").bind(&number).fetch_optional(connection).await?;
    found.ok_or_else(|| ApiError::not_found(format!("Aggregate {id} could not be found.")))
}

async fn shown(request: &Request, connection: &mut Connection, aggregate: &Aggregate) -> Result<Response, ApiError> {
    let hosts = aggregates::hosts(connection, [aggregate.id]).await?;
    Ok(request.answer(&FIELDS).object("aggregate", view(aggregate, &hosts)))
}

fn taken(error: novella_common::db::DbError, name: &str) -> ApiError {
    match error {
        error if error.is_unique_violation() => ApiError::Conflict(format!("Aggregate {name} already exists.")),
        error => error.into(),
    }
}
