//! `GET /flavors`, `GET /flavors/detail`.

use axum::{extract::State, response::Response};
use novella_common::{
    db::flavors::{self, FlavorQuery, FlavorSort},
    models::Flavor,
};

use super::{
    super::{
        microversion::{FieldTable, Microversion, field},
        strict_query,
    },
    view::{BriefFlavorsBody, FlavorsBody, View},
};
use crate::{
    authentication::Caller,
    error::ApiError,
    links::Links,
    paging::{Next, Page},
    query::{Parameters, truth},
    state::Api,
};

const QUERY: FieldTable = FieldTable(&[
    field("limit"),
    field("marker"),
    field("is_public"),
    field("minRam"),
    field("minDisk"),
    field("sort_key"),
    field("sort_dir"),
    field("name").since(102),
]);

/// Lists flavors in brief.
#[utoipa::path(
    get,
    path = "/flavors",
    tag = "flavors",
    params(
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query), ("is_public" = Option<String>, Query),
        ("minRam" = Option<i64>, Query), ("minDisk" = Option<i64>, Query),
        ("sort_key" = Option<String>, Query), ("sort_dir" = Option<String>, Query),
    ),
    responses((status = 200, body = BriefFlavorsBody)),
)]
pub(super) async fn index(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    query: Parameters,
) -> Result<Response, ApiError> {
    let (flavors, next) = page(&api, &caller, version, &links, &query, "flavors").await?;
    Ok(View::new(version, &caller, &links).brief_list(&flavors, next))
}

/// Lists flavors.
#[utoipa::path(
    get,
    path = "/flavors/detail",
    tag = "flavors",
    params(
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query), ("is_public" = Option<String>, Query),
        ("minRam" = Option<i64>, Query), ("minDisk" = Option<i64>, Query),
        ("sort_key" = Option<String>, Query), ("sort_dir" = Option<String>, Query),
    ),
    responses((status = 200, body = FlavorsBody)),
)]
pub(super) async fn detail(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    query: Parameters,
) -> Result<Response, ApiError> {
    let (flavors, next) = page(&api, &caller, version, &links, &query, "flavors/detail").await?;
    Ok(View::new(version, &caller, &links).list(&flavors, next))
}

async fn page(
    api: &Api,
    caller: &Caller,
    version: Microversion,
    links: &Links,
    query: &Parameters,
    collection: &str,
) -> Result<(Vec<Flavor>, Option<[Next; 1]>), ApiError> {
    strict_query::check(query, &QUERY, version, strict_query::LISTS)?;
    let page = Page::from_query(query, api.config.max_limit)?;
    let mut wanted = FlavorQuery {
        is_public: visibility(query, caller)?,
        min_disk_gb: number(query, "minDisk")?,
        min_ram_mb: number(query, "minRam")?,
        name: query.get("name").filter(|_| version >= Microversion::v2(102)).map(ToOwned::to_owned),
        sort: sort_key(query)?,
        descending: descending(query)?,
        after: None,
        limit: Some(page.limit),
    };
    let mut connection = api.database.read().await?;
    if let Some(marker) = &page.marker {
        let after = flavors::get(&mut connection, marker).await?;
        let after = after.filter(|flavor| super::visible(flavor, caller));
        wanted.after = Some(after.ok_or_else(|| ApiError::bad_request(format!("marker [{marker}] not found")))?);
    }
    let found = flavors::list(&mut connection, &wanted).await?;
    let last = found.last().map(|flavor| flavor.id.as_str());
    let next = page.collection_links(query, links, collection, found.len(), last);
    Ok((found, next))
}

/// Only administrators see private flavors, and only if they ask.
fn visibility(query: &Parameters, caller: &Caller) -> Result<Option<bool>, ApiError> {
    match query.get("is_public") {
        _ if !caller.context.is_admin => Ok(Some(true)),
        None => Ok(Some(true)),
        Some(text) if text.eq_ignore_ascii_case("none") => Ok(None),
        Some(text) => match truth(text) {
            Some(public) => Ok(Some(public)),
            None => Err(ApiError::bad_request(format!("Invalid is_public filter [{text}]"))),
        },
    }
}

fn number(query: &Parameters, name: &str) -> Result<Option<i64>, ApiError> {
    query
        .get(name)
        .map(|text| text.parse().map_err(|_| ApiError::bad_request(format!("Invalid {name} filter [{text}]"))))
        .transpose()
}

/// Nova's sort keys. What is the same for all flavors here, or not kept, sorts by id.
fn sort_key(query: &Parameters) -> Result<FlavorSort, ApiError> {
    match query.get("sort_key") {
        None => Ok(FlavorSort::Id),
        Some("name") => Ok(FlavorSort::Name),
        Some("memory_mb") => Ok(FlavorSort::Memory),
        Some("root_gb") => Ok(FlavorSort::Disk),
        Some("vcpus") => Ok(FlavorSort::Vcpus),
        Some(
            "flavorid" | "id" | "created_at" | "updated_at" | "description" | "disabled" | "ephemeral_gb" | "is_public"
            | "rxtx_factor" | "swap" | "vcpu_weight",
        ) => Ok(FlavorSort::Id),
        Some(other) => {
            Err(ApiError::bad_request(format!("Invalid input for query parameters sort_key. Value: {other}.")))
        }
    }
}

fn descending(query: &Parameters) -> Result<bool, ApiError> {
    match query.get("sort_dir") {
        None | Some("asc") => Ok(false),
        Some("desc") => Ok(true),
        Some(other) => Err(ApiError::bad_request(format!(
            "Invalid input for query parameters sort_dir. Value: {other}. It must be asc or desc."
        ))),
    }
}
