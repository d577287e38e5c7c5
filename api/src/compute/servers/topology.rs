//! `/servers/{id}/topology`: NUMA cells, which no server has here: no driver places guests on some.

use axum::Json;
use novella_rest::{ApiError, Operation, Path, get};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![get("/servers/{server_id}/topology", policy::SERVER_TOPOLOGY, show).since(78).answers::<Topology>("")]
}

#[derive(Serialize, ToSchema)]
struct Topology {
    #[schema(value_type = Vec<Object>)]
    nodes: [(); 0],
    pagesize_kb: Option<i64>,
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Json<Topology>, ApiError> {
    super::find(&request, &id).await?;
    Ok(Json(Topology { nodes: [], pagesize_kb: None }))
}
