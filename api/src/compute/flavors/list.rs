//! `GET /flavors`, `GET /flavors/detail`.

use axum::response::Response;
use novella_common::{
    db::flavors::{self, FlavorQuery, FlavorSort},
    models::Flavor,
};
use novella_rest::{
    ApiError, FieldTable, Parameters, field,
    paging::{NextLink, Page},
    truth,
};

use super::view;
use crate::Request;

pub(super) const QUERY: FieldTable = FieldTable(&[
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
pub(super) async fn index(request: Request) -> Result<Response, ApiError> {
    let (flavors, next) = page(&request, "flavors").await?;
    Ok(view::brief_list(&request, &flavors, next))
}

/// Lists flavors.
pub(super) async fn detail(request: Request) -> Result<Response, ApiError> {
    let (flavors, next) = page(&request, "flavors/detail").await?;
    Ok(view::list(&request, &flavors, next))
}

async fn page(request: &Request, collection: &str) -> Result<(Vec<Flavor>, Option<NextLink>), ApiError> {
    let query = &request.query;
    let page = Page::from_query(query, request.config.max_limit)?;
    let mut wanted = FlavorQuery {
        is_public: visibility(request)?,
        min_disk_gb: number(query, "minDisk")?,
        min_ram_mb: number(query, "minRam")?,
        name: query.get("name").filter(|_| request.version.at_least(102)).map(ToOwned::to_owned),
        sort: sort_key(query)?,
        descending: descending(query)?,
        after: None,
        limit: Some(page.limit),
    };
    let mut connection = request.state.database.read().await?;
    if let Some(marker) = &page.marker {
        let after = flavors::get(&mut connection, marker).await?;
        let after = after.filter(|flavor| super::visible(flavor, request));
        wanted.after = Some(after.ok_or_else(|| ApiError::bad_request(format!("marker [{marker}] not found")))?);
    }
    let found = flavors::list(&mut connection, &wanted).await?;
    let last = found.last().map(|flavor| flavor.id.as_str());
    let next = page.next_link(query, &request.links, collection, found.len(), last);
    Ok((found, next))
}

/// Only administrators see private flavors, and only if they ask.
fn visibility(request: &Request) -> Result<Option<bool>, ApiError> {
    match request.query.get("is_public") {
        _ if !request.context.is_admin => Ok(Some(true)),
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
