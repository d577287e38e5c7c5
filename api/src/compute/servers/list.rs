//! `GET /servers`, `GET /servers/detail`.

use axum::{extract::State, response::Response};
use novella_common::{
    db::{
        Connection,
        instances::{self, list::InstanceQuery},
    },
    ids::InstanceUuid,
    policy::{self, Rule},
};

use super::{
    super::microversion::Microversion,
    filters,
    view::{BriefServersBody, Occasion, ServersBody, View, brief_list},
};
use crate::{authentication::Caller, error::ApiError, links::Links, paging::Page, query::Parameters, state::Api};

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
    let asked = Asked { caller: &caller, version, query: &query };
    let mut connection = api.database.read().await?;
    let Some((page, wanted)) = asked.read(&api, &mut connection, policy::SERVERS_INDEX_ALL).await? else {
        return Ok(brief_list(&[], &links, None));
    };
    let found = instances::list::names(&mut connection, &wanted).await?;
    let last = found.last().map(|(uuid, _)| uuid.to_string());
    let next = page.collection_links(&query, &links, "servers", found.len(), last.as_deref());
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
    let asked = Asked { caller: &caller, version, query: &query };
    let mut connection = api.database.read().await?;
    let (found, next) = match asked.read(&api, &mut connection, policy::SERVERS_DETAIL_ALL).await? {
        None => (Vec::new(), None),
        Some((page, wanted)) => {
            let found = instances::list::list(&mut connection, &wanted).await?;
            let last = found.last().map(|instance| instance.uuid.to_string());
            let next = page.collection_links(&query, &links, "servers/detail", found.len(), last.as_deref());
            (found, next)
        }
    };
    let view = View::load(&api, &mut connection, &caller, version, &links, Occasion::List, &found).await?;
    Ok(view.list(&found, next))
}

/// A list that is asked for.
struct Asked<'a> {
    caller: &'a Caller,
    version: Microversion,
    query: &'a Parameters,
}

impl Asked<'_> {
    /// Which page of what; `None`: of what nothing can fit.
    async fn read(
        &self,
        api: &Api,
        connection: &mut Connection,
        all_projects: Rule,
    ) -> Result<Option<(Page, InstanceQuery)>, ApiError> {
        let page = Page::from_query(self.query, api.config.max_limit)?;
        let Some(mut wanted) = filters::read(self.query, self.caller, self.version, all_projects)? else {
            return Ok(None);
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
        Ok(Some((page, wanted)))
    }
}
