//! `GET /servers`, `GET /servers/detail`.

use axum::response::Response;
use novella_common::{
    db::{
        Connection,
        instances::{self, list::InstanceQuery},
    },
    ids::InstanceUuid,
};
use novella_rest::{ApiError, paging::Page, policy::Rule};

use super::{
    filters,
    view::{Occasion, View, brief_list},
};
use crate::{Request, policy};

/// Lists servers in brief.
pub(super) async fn index(request: Request) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let Some((page, wanted)) = read(&request, &mut connection, policy::SERVERS_INDEX_ALL).await? else {
        return Ok(brief_list(&request, &[], None));
    };
    let found = instances::list::names(&mut connection, &wanted).await?;
    let last = found.last().map(|(uuid, _)| uuid.to_string());
    let next = page.next_link(&request.query, &request.links, "servers", found.len(), last.as_deref());
    Ok(brief_list(&request, &found, next))
}

/// Lists servers.
pub(super) async fn detail(request: Request) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let (found, next) = match read(&request, &mut connection, policy::SERVERS_DETAIL_ALL).await? {
        None => (Vec::new(), None),
        Some((page, wanted)) => {
            let found = instances::list::list(&mut connection, &wanted).await?;
            let last = found.last().map(|instance| instance.uuid.to_string());
            let next = page.next_link(&request.query, &request.links, "servers/detail", found.len(), last.as_deref());
            (found, next)
        }
    };
    let view = View::load(&request, &mut connection, Occasion::List, &found).await?;
    Ok(view.list(&found, next))
}

/// Which page of what is asked for; `None`: of what nothing can fit.
async fn read(
    request: &Request,
    connection: &mut Connection,
    all_projects: Rule,
) -> Result<Option<(Page, InstanceQuery)>, ApiError> {
    let page = Page::from_query(&request.query, request.config.max_limit)?;
    let Some(mut wanted) = filters::read(request, all_projects)? else {
        return Ok(None);
    };
    wanted.limit = Some(page.limit);
    if let Some(marker) = &page.marker {
        let after = match marker.parse::<InstanceUuid>() {
            Ok(uuid) => instances::get_with_deleted(connection, uuid).await?,
            Err(_) => None,
        };
        let after = after.filter(|instance| super::knows(request, instance));
        let after = after.ok_or_else(|| ApiError::bad_request(format!("marker [{marker}] not found")))?;
        wanted.after = Some(Box::new(after));
    }
    Ok(Some((page, wanted)))
}
