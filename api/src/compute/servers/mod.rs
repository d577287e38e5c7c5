//! `/servers`: instances, as users see them.

mod actions;
mod create;
mod delete;
mod filters;
mod hostname;
mod hosts;
mod instance_actions;
mod ips;
mod list;
mod metadata;
mod metadata_rules;
mod migrations;
mod operation;
mod show;
mod update;
mod view;

use novella_common::{db::instances, ids::InstanceUuid, models::Instance, policy::Rule};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::strict_query::WithoutQueryExt;
use crate::{authentication::Caller, error::ApiError, state::Api};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::index))
        .routes(routes!(list::detail))
        .routes(routes!(create::create))
        .routes(routes!(show::show).without_query())
        .routes(routes!(update::update))
        .routes(routes!(delete::delete))
        .routes(routes!(actions::act))
        .routes(routes!(ips::index).without_query())
        .routes(routes!(ips::show).without_query())
        .merge(metadata::router())
        .merge(instance_actions::router())
        .merge(migrations::router())
}

/// 404 for a server, in Nova's words.
fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("Instance {id} could not be found."))
}

/// The server of this id, if the caller may know of it and `rule` is granted.
///
/// # Errors
/// 404 if there is none, or it is another project's; 403 if the rule is not granted.
async fn find(api: &Api, caller: &Caller, id: &str, rule: Rule) -> Result<Instance, ApiError> {
    // What is no UUID is the name of no server: clients ask so before they list.
    let uuid: InstanceUuid = id.parse().map_err(|_| not_found(id))?;
    let instance = instances::get(&mut *api.database.read().await?, uuid).await?;
    let instance = instance.filter(|instance| knows(caller, instance)).ok_or_else(|| not_found(id))?;
    rule.check(&caller.context, Some(&instance.project_id))?;
    Ok(instance)
}

/// Whether a caller may know that an instance exists.
fn knows(caller: &Caller, instance: &Instance) -> bool {
    caller.context.is_admin || caller.context.project_id.as_ref() == Some(&instance.project_id)
}
