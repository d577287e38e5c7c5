//! `/projects`: a tree, of which the domains are the roots.

use std::collections::HashMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use novella_common::db::{
    Connection, DbError, Sql,
    list::{Condition, Direction, List, SortKey},
};
use novella_rest::{
    ApiError, Links, Nullable, Operation, Path, delete, get,
    list::{self, ListDescription, Listing, PAGED, own},
    open_body, patch,
    policy::Target,
    post,
};
use serde_json::{Map, Value, json};

use crate::{
    Request,
    db::{self, Project, roles},
    inputs::{Flag, IMMUTABLE, Name, Object, check_immutable, immutable, is_immutable, query_flag},
    policy,
    resource::{self, Resource, conflict, find, listing, locked, no_marker, page, with_extra},
};

/// How deep the tree may be below a domain: Keystone's default.
const DEEPEST: usize = 5;

static PROJECTS: ListDescription = ListDescription {
    filters: &[
        list::text("domain_id", "domain_id"),
        list::text("name", "name"),
        list::text("parent_id", "parent_id"),
        own("enabled"),
        own("is_domain"),
        own("tags"),
        own("tags-any"),
        own("not-tags"),
        own("not-tags-any"),
    ],
    sort_keys: &[],
    default_sort: &[(SortKey::text("name"), Direction::Ascending)],
    paging: &PAGED,
    marker: |_| None,
    no_marker,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    const ONE: &str = "/projects/{project_id}";
    vec![
        get("/projects", policy::LIST_PROJECTS, index).list(&PROJECTS, u16::MAX),
        post("/projects", policy::CREATE_PROJECT, create).status(201),
        get(ONE, policy::GET_PROJECT, show),
        patch(ONE, policy::UPDATE_PROJECT, update),
        delete(ONE, policy::DELETE_PROJECT, resource::remove::<Project>).status(204),
        get("/users/{user_id}/projects", policy::LIST_USER_PROJECTS, of_user).list(&PROJECTS, u16::MAX),
    ]
}

open_body! {
    /// `POST /projects`.
    struct NewProject in "project" {
        name: Name<64> = "name",
        domain_id: Option<String> = "domain_id",
        parent_id: Option<String> = "parent_id",
        is_domain: Option<Flag> = "is_domain",
        description: Option<String> = "description",
        enabled: Option<Flag> = "enabled",
        tags: Option<Vec<String>> = "tags",
        options: Option<Object> = "options",
    }
}

open_body! {
    /// `PATCH /projects/{project_id}`, and of a domain.
    pub(super) struct ProjectChange in "project" {
        id: Option<String> = "id",
        name: Option<Name<64>> = "name",
        domain_id: Nullable<String> = "domain_id",
        parent_id: Nullable<String> = "parent_id",
        is_domain: Option<Flag> = "is_domain",
        description: Nullable<String> = "description",
        enabled: Option<Flag> = "enabled",
        tags: Option<Vec<String>> = "tags",
        options: Option<Object> = "options",
    }
}

impl Resource for Project {
    const ONE: &'static str = "project";
    const MANY: &'static str = "projects";
    const LIST: &'static ListDescription = &PROJECTS;

    fn id(&self) -> &str {
        &self.id
    }

    fn taken(&self) -> ApiError {
        let details = if self.is_domain {
            format!("it is not permitted to have two projects acting as domains with the same name: {}", self.name)
        } else {
            format!(
                "it is not permitted to have two projects with either the same name or same id in the same domain: name is \
                 {}, project id {}",
                self.name, self.id
            )
        };
        conflict("project", &details)
    }

    fn fields(&self, _: &Links) -> Map<String, Value> {
        let fields = json!({
            "id": self.id, "name": self.name, "description": self.description, "enabled": self.enabled,
            "domain_id": self.domain_id, "parent_id": self.parent_id, "is_domain": self.is_domain,
            "tags": self.tags, "options": self.options,
        });
        with_extra(fields, &self.extra)
    }

    fn target(&self) -> Target<'_> {
        Target { project: Some(&self.id), domain: self.domain_id.as_deref(), ..Target::default() }
    }

    async fn before_removal(&self, transaction: &mut Connection) -> Result<(), ApiError> {
        if self.is_domain && self.enabled {
            return Err(ApiError::Forbidden("Cannot delete a domain that is enabled, please disable it first.".into()));
        }
        if is_immutable(&self.options) {
            return Err(immutable("delete", kind(self), &self.id));
        }
        if !self.is_domain && !roles::descendants(transaction, &self.id).await?.is_empty() {
            return Err(ApiError::Forbidden(format!(
                "Cannot delete the project {} since it is not a leaf in the hierarchy. Use the cascade option if you \
                 want to delete a whole subtree.",
                self.id
            )));
        }
        Ok(())
    }
}

/// What it is called: a domain is one, too.
fn kind(project: &Project) -> &'static str {
    if project.is_domain { "domain" } else { "project" }
}

/// The domain that something new is in, if its request does not say it: that of the token.
pub(crate) fn domain_of_caller(request: &Request) -> String {
    let token = request.token.as_ref();
    let domain = token.and_then(|token| token.domain.as_ref().or(token.project_domain.as_ref()));
    domain.map_or_else(|| db::DEFAULT_DOMAIN_ID.to_owned(), |domain| domain.id.clone())
}

/// The condition that a token for a domain sees what is in it alone.
pub(crate) fn own_domain(request: &Request, column: &'static str) -> Option<Condition> {
    let domain = request.token.as_ref()?.domain.as_ref()?;
    // An administrator with a token for a domain does, too, as in Keystone.
    Some(Condition::equal(column, &domain.id))
}

async fn index(request: Request) -> Result<Response, ApiError> {
    resource::check_list(&request)?;
    let mut listing = listing::<Project>(&request)?;
    if request.query.get("is_domain").is_none() {
        listing = listing.filter(Condition::equal("is_domain", &false));
    }
    let listing = tagged(listing, &request).filter_by(own_domain(&request, "domain_id"));
    page(&request, listing, "projects").await
}

/// The filters by tags.
pub(super) fn tagged(mut listing: Listing<Project>, request: &Request) -> Listing<Project> {
    for (name, all, wanted) in
        [("tags", true, true), ("tags-any", false, true), ("not-tags", true, false), ("not-tags-any", false, false)]
    {
        let Some(tags) = request.query.get(name).filter(|tags| !tags.is_empty()) else { continue };
        let mut sql = Sql::new(if wanted { "(" } else { "NOT (" });
        for (index, tag) in tags.split(',').enumerate() {
            if index > 0 {
                sql.push(if all { " AND " } else { " OR " });
            }
            sql.push_for("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ", "tags @> to_jsonb(").bind(tag);
            sql.push_for(")", "::text)");
        }
        sql.push(")");
        listing = listing.filter(Condition::raw(sql));
    }
    listing
}

async fn of_user(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    resource::authorized::<db::User>(&request, &mut *request.state.database.read().await?, &id).await?;
    let listing = listing::<Project>(&request)?
        .visible(Condition::raw(roles::has_role(&id)))
        .filter(Condition::equal("is_domain", &false));
    page(&request, listing, &format!("users/{id}/projects")).await
}

async fn create(request: Request, new: NewProject) -> Result<Response, ApiError> {
    let is_domain = new.is_domain.is_some_and(|flag| flag.0);
    let domain_id =
        if is_domain { None } else { Some(new.domain_id.clone().unwrap_or_else(|| domain_of_caller(&request))) };
    request.check_target(&Target::of_domain(new.domain_id.as_deref()))?;
    let mut project = Project {
        name: new.name.0,
        // A domain is in none, and refused below if its request names one: the manager of that one may make projects
        // in it, but no domains.
        parent_id: new.parent_id.or(new.domain_id).or_else(|| domain_id.clone()),
        domain_id,
        is_domain,
        description: Some(new.description.unwrap_or_default()),
        enabled: new.enabled.is_none_or(|flag| flag.0),
        tags: super::tags::checked(new.tags.unwrap_or_default())?,
        extra: new.extra,
        ..Project::new("", "")
    };
    IMMUTABLE.merge(&mut project.options, new.options)?;
    let mut transaction = request.state.database.begin().await?;
    check_place(&mut transaction, &project).await?;
    resource::store(&request, transaction, &project).await?;
    Ok(resource::created(&request, &project))
}

/// Whether a new project can be where it is to be.
async fn check_place(connection: &mut Connection, project: &Project) -> Result<(), ApiError> {
    let (Some(domain), false) = (&project.domain_id, project.is_domain) else {
        return match project.parent_id {
            Some(_) => Err(ApiError::bad_request("only root projects are allowed to act as domains.")),
            None => Ok(()),
        };
    };
    let parent = project.parent_id.as_deref().unwrap_or(domain);
    // In the body, so it is the request that is wrong.
    let missing = |what: &str, id: &str| ApiError::bad_request(format!("Could not find {what}: {id}."));
    let found = db::domain(connection, Some(domain), None).await?;
    found.ok_or_else(|| missing("domain", domain))?;
    let above: Option<Project> = resource::look_up(connection, parent).await?;
    let above = above.ok_or_else(|| missing("project", parent))?;
    if above.is_domain && above.id != *domain {
        return Err(ApiError::bad_request(format!(
            "Cannot create project, the parent ({parent}) is acting as a domain, but this project's domain id \
             ({domain}) does not match the parent's id."
        )));
    }
    if above.domain() != domain {
        return Err(ApiError::bad_request(format!(
            "Cannot create project, since it specifies its domain_id {domain}, but specifies a parent in a different \
             domain ({}).",
            above.domain()
        )));
    }
    let ids = roles::ancestors(connection, parent).await?;
    let mut all = projects(connection, &ids).await?;
    all.push(above);
    if let Some(disabled) = all.iter().find(|project| !project.enabled) {
        return Err(ApiError::bad_request(format!(
            "cannot create a project in a branch containing a disabled project: {}",
            disabled.id
        )));
    }
    if all.len() > DEEPEST {
        return Err(ApiError::Forbidden(format!("Max hierarchy depth reached for {parent} branch.")));
    }
    Ok(())
}

/// These projects, in the order of their ids here.
async fn projects(connection: &mut Connection, ids: &[String]) -> Result<Vec<Project>, DbError> {
    let found = List::<Project>::all().filter(Condition::is_in("id", ids)).page(connection).await?.unwrap_or_default();
    let mut found: HashMap<String, Project> = found.into_iter().map(|project| (project.id.clone(), project)).collect();
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let project = resource::authorized::<Project>(&request, &mut connection, &id).await?;
    let mut view = resource::view(&project, &request.links);
    let wants = |name: &str| match request.query.get(name) {
        Some(value) => query_flag(name, value),
        None => Ok(false),
    };
    for (list, ids) in [("parents_as_list", "parents_as_ids"), ("subtree_as_list", "subtree_as_ids")] {
        if wants(list)? && wants(ids)? {
            return Err(ApiError::bad_request(format!("Cannot use {list} and {ids} query params at the same time.")));
        }
    }
    // Of the others, those that the caller has a role in; their ids, all.
    let own = async |connection: &mut Connection, ids: &[String]| -> Result<Vec<Value>, ApiError> {
        let list = List::<Project>::all().filter(Condition::is_in("id", ids));
        let list = list.filter(Condition::raw(roles::has_role(request.user())));
        let found = list.filter(Condition::equal("is_domain", &false)).page(connection).await?.unwrap_or_default();
        Ok(found.iter().map(|project| json!({"project": resource::view(project, &request.links)})).collect())
    };
    if wants("parents_as_list")? {
        let ids = roles::ancestors(&mut connection, &id).await?;
        view["parents"] = own(&mut connection, &ids).await?.into();
    } else if wants("parents_as_ids")? {
        let ids = roles::ancestors(&mut connection, &id).await?;
        view["parents"] = ids.into_iter().rev().fold(Value::Null, |inner, id| json!({ id: inner }));
    }
    if wants("subtree_as_list")? {
        let ids = roles::descendants(&mut connection, &id).await?;
        view["subtree"] = own(&mut connection, &ids).await?.into();
    } else if wants("subtree_as_ids")? {
        let ids = roles::descendants(&mut connection, &id).await?;
        view["subtree"] = nested(&projects(&mut connection, &ids).await?, &id);
    }
    Ok(Json(json!({"project": view})).into_response())
}

/// The ids below a project, each with those below it.
fn nested(projects: &[Project], above: &str) -> Value {
    let below = projects.iter().filter(|project| project.parent_id.as_deref() == Some(above));
    let below: Map<String, Value> = below.map(|child| (child.id.clone(), nested(projects, &child.id))).collect();
    if below.is_empty() { Value::Null } else { Value::Object(below) }
}

async fn update(request: Request, Path(id): Path<String>, change: ProjectChange) -> Result<Response, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let mut project = locked::<Project>(&request, &mut transaction, &id).await?;
    apply(&mut transaction, &mut project, change).await?;
    resource::change(&request, transaction, &project).await?;
    Ok(resource::shown_with_extra(&request, &project, &project.extra))
}

/// Takes over a change of a project or a domain.
///
/// # Errors
/// What can't be changed, or not now.
pub(super) async fn apply(
    transaction: &mut Connection,
    project: &mut Project,
    change: ProjectChange,
) -> Result<(), ApiError> {
    if change.id.is_some_and(|id| id != project.id) {
        return Err(ApiError::bad_request("Cannot change ID"));
    }
    if change.domain_id.change().is_some_and(|domain| domain != project.domain_id) {
        return Err(ApiError::bad_request("Cannot change Domain ID"));
    }
    let given = [
        change.name.is_some(),
        change.description != Nullable::Missing,
        change.enabled.is_some(),
        change.tags.is_some(),
        change.options.is_some(),
        !change.extra.is_empty(),
    ];
    let fields = given.into_iter().filter(|given| *given).count();
    check_immutable(kind(project), &project.id, &project.options, fields, change.options.as_ref())?;
    if change.parent_id.change().is_some_and(|parent| parent != project.parent_id) {
        return Err(ApiError::Forbidden("Update of `parent_id` is not allowed.".into()));
    }
    if change.is_domain.is_some_and(|flag| flag.0 != project.is_domain) {
        return Err(ApiError::bad_request("Update of `is_domain` is not allowed."));
    }
    match change.enabled {
        Some(Flag(true)) if !project.enabled => {
            let above = roles::ancestors(transaction, &project.id).await?;
            if projects(transaction, &above).await?.iter().any(|above| !above.enabled) {
                return Err(ApiError::Forbidden(format!(
                    "Cannot enable project {} since it has disabled parents",
                    project.id
                )));
            }
        }
        Some(Flag(false)) if project.enabled && !project.is_domain => {
            let below = roles::descendants(transaction, &project.id).await?;
            if projects(transaction, &below).await?.iter().any(|below| below.enabled) {
                return Err(ApiError::Forbidden(format!(
                    "Cannot disable project {} since its subtree contains enabled projects.",
                    project.id
                )));
            }
        }
        _ => {}
    }
    if let Some(Name(name)) = change.name {
        project.name = name;
    }
    if let Some(description) = change.description.change() {
        project.description = description;
    }
    if let Some(Flag(enabled)) = change.enabled {
        project.enabled = enabled;
    }
    if let Some(tags) = change.tags {
        project.tags = super::tags::checked(tags)?;
    }
    IMMUTABLE.merge(&mut project.options, change.options)?;
    project.extra.extend(change.extra);
    Ok(())
}

/// What clients see of a domain.
pub(crate) fn domain_view(domain: &Project, links: &Links) -> Value {
    super::domains::view(domain, links)
}

/// A domain that is named in a path or a body.
///
/// # Errors
/// 404.
pub(crate) async fn existing_domain(connection: &mut Connection, id: &str) -> Result<Project, ApiError> {
    let found = db::domain(connection, Some(id), None).await?;
    found.ok_or_else(|| resource::not_found("domain", id))
}

/// A project that is named in a path.
///
/// # Errors
/// 404.
pub(crate) async fn existing_project(connection: &mut Connection, id: &str) -> Result<Project, ApiError> {
    find::<Project>(connection, id).await
}
