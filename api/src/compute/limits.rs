//! `/limits`: how much a project may have, and has.
//!
//! There are no quotas: -1 says so, which is Nova's word for it. What can't be made here at all has the limit 0.

use axum::response::Response;
use novella_common::{db::instances, models::Flavor};
use novella_rest::{ApiError, FieldTable, Operation, Shaped, field, get};
use serde::Serialize;
use utoipa::ToSchema;

use super::{keypairs::MAX_KEYPAIRS, server_groups, servers::files};
use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![get("/limits", policy::LIMITS, show).query(QUERY, 75).answers::<LimitsView>("limits")]
}

const UNLIMITED: i64 = -1;

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What one server's metadata may have.
const METADATA_ITEMS: i64 = 128;

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
    let sizes = instances::list::sizes_in_use(&mut connection, project).await?;
    let groups = server_groups::of_project(&mut connection, project).await?;
    let total = |of: fn(&Flavor) -> i64| -> i64 { sizes.iter().map(|(flavor, count)| of(flavor) * count).sum() };
    let absolute = Absolute {
        max_image_meta: METADATA_ITEMS,
        max_personality: limit(files::MAX_FILES),
        max_personality_size: limit(files::MAX_CONTENT_BYTES),
        max_security_group_rules: 0,
        max_security_groups: 0,
        max_server_group_members: server_groups::MAX_SERVER_GROUP_MEMBERS,
        max_server_groups: server_groups::MAX_SERVER_GROUPS,
        max_server_meta: METADATA_ITEMS,
        max_total_cores: UNLIMITED,
        max_total_floating_ips: 0,
        max_total_instances: UNLIMITED,
        max_total_keypairs: MAX_KEYPAIRS,
        max_total_ram_size: UNLIMITED,
        total_cores_used: total(|flavor| flavor.vcpus),
        total_floating_ips_used: 0,
        total_instances_used: total(|_| 1),
        total_ram_used: total(|flavor| flavor.memory_mb),
        total_security_groups_used: 0,
        total_server_groups_used: groups,
    };
    let answer = request.answer(&FIELDS);
    Ok(request.plain("limits", LimitsView { rate: [], absolute: answer.shaped(absolute) }))
}
