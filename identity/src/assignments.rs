//! `/v3/role_assignments`: who has which role where.

use axum::Json;
use novella_rest::{ApiError, FieldTable, Links, field};
use serde_json::{Value, json};

use crate::{
    Request,
    db::{self, DEFAULT_DOMAIN_ID, DEFAULT_DOMAIN_NAME, Project, User},
    directory::collection,
};

pub(crate) const QUERY: FieldTable = FieldTable(&[
    field("user.id"),
    field("group.id"),
    field("scope.project.id"),
    field("scope.domain.id"),
    field("scope.system"),
    field("role.id"),
    field("include_names"),
]);

/// Lists role assignments: of a user, in a project, of a role, as the query says.
pub(crate) async fn list(request: Request) -> Result<Json<Value>, ApiError> {
    let (query, links) = (&request.query, &request.links);
    // Keystone takes the parameter alone for true as well.
    let names = match query.get("include_names") {
        Some("") => true,
        _ => query.boolean("include_names").transpose()?.unwrap_or(false),
    };
    let is = |name: &str, id: &str| query.get(name).is_none_or(|wanted| wanted == id);
    // Groups, domains and the system have no roles here.
    let elsewhere = ["group.id", "scope.domain.id", "scope.system"].into_iter().any(|name| query.get(name).is_some());
    let mut found = Vec::new();
    let mut connection = request.state.database.read().await?;
    for user in db::users(&mut connection).await?.iter().filter(|user| !elsewhere && is("user.id", &user.id)) {
        for project in db::projects_of_user(&mut connection, &user.id).await? {
            if !is("scope.project.id", &project.id) {
                continue;
            }
            let roles = db::roles(&mut connection, &user.id, &project.id).await?;
            let roles = roles.iter().filter(|role| is("role.id", role));
            found.extend(roles.map(|role| view(user, &project, role, names, links)));
        }
    }
    Ok(collection("role_assignments", found, links))
}

fn view(user: &User, project: &Project, role: &str, names: bool, links: &Links) -> Value {
    let path = format!("projects/{}/users/{}/roles/{role}", project.id, user.id);
    let mut view = json!({
        "user": {"id": user.id},
        "scope": {"project": {"id": project.id}},
        "role": {"id": role},
        "links": {"assignment": links.to(&path)},
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
