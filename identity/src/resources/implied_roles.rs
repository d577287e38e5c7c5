//! `/roles/{role_id}/implies`: who has a role has those too that it implies.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use novella_common::{
    db::{
        Connection, DbError,
        list::{Condition, List},
    },
    sql,
};
use novella_rest::{ApiError, Links, Operation, Path, delete, get, head, policy::ADMIN, put};
use serde_json::{Value, json};

use super::roles::existing;
use crate::{Request, db::Role, policy};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/roles/{role_id}/implies/{implied_role_id}";
    vec![
        get("/roles/{role_id}/implies", policy::LIST_IMPLIED_ROLES, index),
        put(ONE, policy::CREATE_IMPLIED_ROLE, create).status(201),
        get(ONE, policy::GET_IMPLIED_ROLE, show),
        head(ONE, policy::CHECK_IMPLIED_ROLE, check).status(204),
        delete(ONE, policy::DELETE_IMPLIED_ROLE, remove).status(204),
        get("/role_inferences", policy::LIST_ROLE_INFERENCE_RULES, inferences),
    ]
}

fn view(role: &Role, links: &Links) -> Value {
    json!({"id": role.id, "name": role.name, "links": {"self": links.to(&format!("roles/{}", role.id))}})
}

fn inference(request: &Request, prior: &Role, implied: &Role) -> Response {
    let own = request.links.to(&format!("roles/{}/implies/{}", prior.id, implied.id));
    let inference = json!({"prior_role": view(prior, &request.links), "implies": view(implied, &request.links)});
    Json(json!({"role_inference": inference, "links": {"self": own}})).into_response()
}

/// The two roles of a path.
async fn both(connection: &mut Connection, prior: &str, implied: &str) -> Result<(Role, Role), ApiError> {
    Ok((existing(connection, prior).await?, existing(connection, implied).await?))
}

async fn implies(connection: &mut Connection, prior: &str, implied: &str) -> Result<(), ApiError> {
    let found: Option<String> = sql!(
        "SELECT implied_role_id FROM implied_roles WHERE prior_role_id = " (prior) " AND implied_role_id = " (implied)
    )
    .fetch_optional(connection)
    .await?;
    found.map(|_| ()).ok_or_else(|| ApiError::not_found(format!("{prior} does not imply {implied}.")))
}

async fn rules(connection: &mut Connection, prior: Option<&str>) -> Result<Vec<(String, String)>, DbError> {
    let mut sql = sql!("SELECT prior_role_id, implied_role_id FROM implied_roles");
    if let Some(prior) = prior {
        sql.push(" WHERE prior_role_id = ").bind(prior);
    }
    sql.push(" ORDER BY prior_role_id, implied_role_id").fetch_all(connection).await
}

async fn roles(connection: &mut Connection, ids: impl Iterator<Item = &String>) -> Result<Vec<Role>, DbError> {
    let list = List::<Role>::all().filter(Condition::is_in("id", ids));
    Ok(list.page(connection).await?.unwrap_or_default())
}

async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let prior = existing(&mut connection, &id).await?;
    let rules = rules(&mut connection, Some(&id)).await?;
    let found = roles(&mut connection, rules.iter().map(|(_, implied)| implied)).await?;
    let implied: Vec<Value> = found.iter().map(|role| view(role, &request.links)).collect();
    let own = request.links.to(&format!("roles/{id}/implies"));
    let inference = json!({"prior_role": view(&prior, &request.links), "implies": implied});
    Ok(Json(json!({"role_inference": inference, "links": {"self": own}})).into_response())
}

async fn create(request: Request, Path((prior, implied)): Path<(String, String)>) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let (prior, implied) = both(&mut transaction, &prior, &implied).await?;
    // An administrator is made by an assignment alone; and what is in tokens can't depend on what is not.
    if implied.name == ADMIN || (prior.domain_id.is_none() && implied.domain_id.is_some()) {
        return Err(ApiError::Forbidden(format!("{} cannot be an implied roles.", implied.id)));
    }
    sql!(
        "INSERT INTO implied_roles (prior_role_id, implied_role_id) VALUES (" (prior.id) ", " (implied.id)
        ") ON CONFLICT DO NOTHING"
    )
    .execute(&mut transaction)
    .await?;
    request.state.commit(transaction).await?;
    Ok((StatusCode::CREATED, inference(&request, &prior, &implied)).into_response())
}

async fn show(request: Request, Path((prior, implied)): Path<(String, String)>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let (prior, implied) = both(&mut connection, &prior, &implied).await?;
    implies(&mut connection, &prior.id, &implied.id).await?;
    Ok(inference(&request, &prior, &implied))
}

async fn check(request: Request, Path((prior, implied)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut connection = request.state.database.read().await?;
    both(&mut connection, &prior, &implied).await?;
    implies(&mut connection, &prior, &implied).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(request: Request, Path((prior, implied)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    implies(&mut transaction, &prior, &implied).await?;
    sql!("DELETE FROM implied_roles WHERE prior_role_id = " (prior) " AND implied_role_id = " (implied))
        .execute(&mut transaction)
        .await?;
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn inferences(request: Request) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let rules = rules(&mut connection, None).await?;
    let found = roles(&mut connection, rules.iter().flat_map(|(prior, implied)| [prior, implied])).await?;
    let named = |id: &str| found.iter().find(|role| role.id == id).map(|role| view(role, &request.links));
    let mut inferences: Vec<Value> = Vec::new();
    for group in rules.chunk_by(|one, next| one.0 == next.0) {
        let implied: Vec<Value> = group.iter().filter_map(|(_, implied)| named(implied)).collect();
        inferences.push(json!({"prior_role": named(&group[0].0), "implies": implied}));
    }
    Ok(request.plain("role_inferences", inferences))
}
