//! `/limits`: how much a project may have, and has.
//!
//! The limits are the project's quotas; -1 says that there is none.

use axum::response::Response;
use novella_common::db::quotas;
use novella_rest::{ApiError, FieldTable, Operation, Shaped, field, get};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    quotas::{Limits, Resource},
    server_groups,
};
use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![get("/limits", policy::LIMITS, show).query(QUERY, 75).answers::<LimitsView>("limits")]
}

const FIELDS: FieldTable = FieldTable(&[
    field("maxImageMeta").until(38),
    field("maxPersonality").until(56),
    field("maxPersonalitySize").until(56),
    field("maxSecurityGroups").until(35),
    field("maxSecurityGroupRules").until(35),
    field("maxTotalFloatingIps").until(35),
    field("totalFloatingIpsUsed").until(35),
    field("totalSecurityGroupsUsed").until(35),
]);

const QUERY: FieldTable = FieldTable(&[field("reserved").until(74), field("tenant_id")]);

#[derive(Serialize, ToSchema)]
struct LimitsView<'h> {
    rate: [String; 0],
    #[schema(value_type = Absolute)]
    absolute: Shaped<'h, Absolute>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Absolute {
    max_image_meta: i64,
    max_personality: i64,
    max_personality_size: i64,
    max_security_group_rules: i64,
    max_security_groups: i64,
    max_server_group_members: i64,
    max_server_groups: i64,
    max_server_meta: i64,
    max_total_cores: i64,
    #[serde(rename = "maxTotalFloatingIps")]
    max_total_floating_ips: i64,
    max_total_instances: i64,
    max_total_keypairs: i64,
    #[serde(rename = "maxTotalRAMSize")]
    max_total_ram_size: i64,
    total_cores_used: i64,
    #[serde(rename = "totalFloatingIpsUsed")]
    total_floating_ips_used: i64,
    total_instances_used: i64,
    #[serde(rename = "totalRAMUsed")]
    total_ram_used: i64,
    total_security_groups_used: i64,
    total_server_groups_used: i64,
}

/// Shows limits and use: one's own, or for administrators any project's.
async fn show(request: Request) -> Result<Response, ApiError> {
    let project = match request.query.get("tenant_id") {
        Some(other) if request.context.project_id.as_deref() != Some(other) => {
            policy::LIMITS_OTHER_PROJECT.check_own(&request.context)?;
            other
        }
        _ => request.project()?,
    };
    let mut connection = request.state.database.read().await?;
    let limits = Limits::of(&mut connection, &request.state.quota, project, None).await?.project;
    let (used, _) = quotas::servers_in_use(&mut connection, project, "").await?;
    let groups = server_groups::count(&mut connection, project, None).await?;
    let absolute = Absolute {
        max_image_meta: limits[Resource::MetadataItems],
        max_personality: limits[Resource::InjectedFiles],
        max_personality_size: limits[Resource::InjectedFileContentBytes],
        max_security_group_rules: limits[Resource::SecurityGroupRules],
        max_security_groups: limits[Resource::SecurityGroups],
        max_server_group_members: limits[Resource::ServerGroupMembers],
        max_server_groups: limits[Resource::ServerGroups],
        max_server_meta: limits[Resource::MetadataItems],
        max_total_cores: limits[Resource::Cores],
        max_total_floating_ips: limits[Resource::FloatingIps],
        max_total_instances: limits[Resource::Instances],
        max_total_keypairs: limits[Resource::KeyPairs],
        max_total_ram_size: limits[Resource::Ram],
        total_cores_used: used.cores,
        total_floating_ips_used: 0,
        total_instances_used: used.instances,
        total_ram_used: used.ram,
        total_security_groups_used: 0,
        total_server_groups_used: groups,
    };
    let answer = request.answer(&FIELDS);
    Ok(request.plain("limits", LimitsView { rate: [], absolute: answer.shaped(absolute) }))
}
