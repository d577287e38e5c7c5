//! `GET /servers`, `GET /servers/detail`.

use axum::{extract::State, response::Response};
use novella_common::{
    db::{Connection, instances},
    ids::InstanceUuid,
    models::Instance,
    policy::{self, Rule},
};

use super::{
    super::microversion::Microversion,
    filters,
    view::{BriefServersBody, Occasion, ServersBody, View, brief_list},
};
use crate::{
    authentication::Caller,
    error::ApiError,
    links::Links,
    paging::{Next, Page},
    query::Parameters,
    state::Api,
};

/// Lists servers in brief.
#[utoipa::path(
    get,
    path = "/servers",
    tag = "servers",
    params(
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query), ("name" = Option<String>, Query),
        ("status" = Option<String>, Query), ("all_tenants" = Option<String>, Query),
        ("sort_key" = Option<String>, Query), ("sort_dir" = Option<String>, Query),
    ),
    responses((status = 200, body = BriefServersBody)),
)]
pub(super) async fn index(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    query: Parameters,
) -> Result<Response, ApiError> {
    policy::SERVERS_INDEX.check_own(&caller.context)?;
    let asked = Asked { caller: &caller, version, links: &links, query: &query };
    let mut connection = api.database.read().await?;
    let (found, next) = asked.page(&api, &mut connection, "servers", policy::SERVERS_INDEX_ALL).await?;
    Ok(brief_list(&found, &links, next))
}

/// Lists servers.
#[utoipa::path(
    get,
    path = "/servers/detail",
    tag = "servers",
    params(
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query), ("name" = Option<String>, Query),
        ("status" = Option<String>, Query), ("all_tenants" = Option<String>, Query),
        ("sort_key" = Option<String>, Query), ("sort_dir" = Option<String>, Query),
    ),
    responses((status = 200, body = ServersBody)),
)]
pub(super) async fn detail(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    query: Parameters,
) -> Result<Response, ApiError> {
    policy::SERVERS_DETAIL.check_own(&caller.context)?;
    let asked = Asked { caller: &caller, version, links: &links, query: &query };
    let mut connection = api.database.read().await?;
    let (found, next) = asked.page(&api, &mut connection, "servers/detail", policy::SERVERS_DETAIL_ALL).await?;
    let view = View::load(&api, &mut connection, &caller, version, &links, Occasion::List, &found).await?;
    Ok(view.list(&found, next))
}

struct Asked<'a> {
    caller: &'a Caller,
    version: Microversion,
    links: &'a Links,
    query: &'a Parameters,
}

impl Asked<'_> {
    async fn page(
        &self,
        api: &Api,
        connection: &mut Connection,
        collection: &str,
        all_projects: Rule,
    ) -> Result<(Vec<Instance>, Option<[Next; 1]>), ApiError> {
        let page = Page::from_query(self.query, api.config.max_limit)?;
        let Some(mut wanted) = filters::read(self.query, self.caller, self.version, all_projects)? else {
            return Ok((Vec::new(), None));
        };
        wanted.limit = Some(page.limit);
        if let Some(marker) = &page.marker {
            let after = match marker.parse::<InstanceUuid>() {
                Ok(uuid) => instances::get_with_deleted(connection, uuid).await?,
                Err(_) => None,
            };
            let after = after.filter(|instance| super::knows(self.caller, instance));
            let after = after.ok_or_else(|| ApiError::bad_request(format!("marker [{marker}] not found")))?;
            wanted.after = Some(Box::new(after));
        }
        let found = instances::list::list(connection, &wanted).await?;
        let last = found.last().map(|instance| instance.uuid.to_string());
        let next = page.collection_links(self.query, self.links, collection, found.len(), last.as_deref());
        Ok((found, next))
    }
}
