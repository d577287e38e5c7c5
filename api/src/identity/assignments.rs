//! `/v3/role_assignments`: who has which role where.

use axum::{Json, extract::State};
use novella_common::db::identity::{self, DEFAULT_DOMAIN_ID, DEFAULT_DOMAIN_NAME, Project, User};
use serde_json::{Value, json};

use super::directory::{administrators_only, collection};
use crate::{authentication::Caller, error::ApiError, links::Links, query::Parameters, state::Api};

/// Lists role assignments: of a user, in a project, of a role, as the query says.
#[utoipa::path(
    get,
    path = "/v3/role_assignments",
    tag = "identity",
    params(
        ("user.id" = Option<String>, Query), ("scope.project.id" = Option<String>, Query),
        ("role.id" = Option<String>, Query), ("include_names" = Option<bool>, Query),
    ),
    responses((status = 200)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    links: Links,
    query: Parameters,
) -> Result<Json<Value>, ApiError> {
    administrators_only(&caller, "identity:list_role_assignments")?;
    // Keystone takes the parameter alone for true as well.
    let names = match query.get("include_names") {
        Some("") => true,
        _ => query.boolean("include_names").transpose()?.unwrap_or(false),
    };
    let is = |name: &str, id: &str| query.get(name).is_none_or(|wanted| wanted == id);
    // Groups, domains and the system have no roles here.
    let elsewhere = ["group.id", "scope.domain.id", "scope.system"].into_iter().any(|name| query.get(name).is_some());
    let mut found = Vec::new();
    let mut connection = api.database.read().await?;
    for user in identity::users(&mut connection).await?.iter().filter(|user| !elsewhere && is("user.id", &user.id)) {
        for project in identity::projects_of_user(&mut connection, &user.id).await? {
            if !is("scope.project.id", &project.id) {
                continue;
            }
            let roles = identity::roles(&mut connection, &user.id, &project.id).await?;
            let roles = roles.iter().filter(|role| is("role.id", role));
            found.extend(roles.map(|role| view(user, &project, role, names, &links)));
        }
    }
    Ok(collection("role_assignments", found, &links))
}

fn view(user: &User, project: &Project, role: &str, names: bool, links: &Links) -> Value {
    let path = format!("projects/{}/users/{}/roles/{role}", project.id, user.id);
    let mut view = json!({
        "user": {"id": user.id},
        "scope": {"project": {"id": project.id}},
        "role": {"id": role},
        "links": {"assignment": links.identity(&path)},
    });
    if names {
        let domain = json!({"id": DEFAULT_DOMAIN_ID, "name": DEFAULT_DOMAIN_NAME});
        view["user"]["name"] = user.name.clone().into();
        view["user"]["domain"] = domain.clone();
        view["scope"]["project"]["name"] = project.name.clone().into();
        view["scope"]["project"]["domain"] = domain;
        // A role's id is its name.
        view["role"]["name"] = role.into();
    }
    view
}
