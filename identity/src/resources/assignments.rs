//! `/role_assignments`: who has which role where; as they were given, or, `effective`, what that comes to.

use std::collections::{BTreeMap, HashMap, HashSet};

use axum::response::Response;
use novella_common::{
    db::{
        Connection, DbError, Sql,
        list::{Condition, List},
    },
    sql,
};
use novella_rest::{ApiError, FieldTable, Links, Operation, field, get, policy::Target};
use serde_json::{Value, json};

use super::{domains, projects::existing_project};
use crate::{
    Request,
    db::{
        Group, Project, Role, User,
        roles::{self, Actor, Scope},
    },
    inputs::query_flag,
    policy,
    resource::{check_list, collection},
};

const QUERY: FieldTable = FieldTable(&[
    field("user.id"),
    field("group.id"),
    field("role.id"),
    field("scope.project.id"),
    field("scope.domain.id"),
    field("scope.system"),
    field("scope.OS-INHERIT:inherited_to"),
    field("effective"),
    field("include_names"),
    field("include_subtree"),
]);

/// The operations.
pub(super) fn operations() -> Vec<Operation<crate::Identity>> {
    vec![get("/role_assignments", policy::LIST_ROLE_ASSIGNMENTS, index).query(QUERY, u16::MAX)]
}

/// One assignment, with what it came from where it was not given so.
#[derive(Clone, Debug)]
struct Assignment {
    actor: Actor,
    scope: Scope,
    role: String,
    inherited: bool,
    /// The group by which a user has it.
    by_group: Option<String>,
    /// The project or domain from which it is inherited.
    from: Option<Scope>,
    /// The role that implies it.
    prior_role: Option<String>,
}

/// What the query asks for.
struct Wanted<'q> {
    user: Option<&'q str>,
    group: Option<&'q str>,
    role: Option<&'q str>,
    project: Option<&'q str>,
    domain: Option<&'q str>,
    system: bool,
    inherited: Option<bool>,
    effective: bool,
    subtree: bool,
}

impl<'q> Wanted<'q> {
    fn of(request: &'q Request) -> Result<Self, ApiError> {
        let given = |name: &str| request.query.get(name).filter(|value| !value.is_empty());
        let flag = |name: &str| request.query.get(name).map_or(Ok(false), |value| query_flag(name, value));
        let wanted = Self {
            user: given("user.id"),
            group: given("group.id"),
            role: given("role.id"),
            project: given("scope.project.id"),
            domain: given("scope.domain.id"),
            system: given("scope.system").is_some(),
            inherited: given("scope.OS-INHERIT:inherited_to").map(|to| to == "projects"),
            effective: flag("effective")?,
            subtree: flag("include_subtree")?,
        };
        let refused = [
            (wanted.domain.is_some() && wanted.project.is_some(), "Specify a domain or project, not both"),
            (wanted.domain.is_some() && wanted.system, "Specify system or domain, not both"),
            (wanted.project.is_some() && wanted.system, "Specify system or project, not both"),
            (wanted.user.is_some() && wanted.group.is_some(), "Specify a user or group, not both"),
            (
                wanted.effective && wanted.group.is_some(),
                "Combining effective and group filter will always result in an empty list.",
            ),
            (
                wanted.effective && wanted.inherited == Some(true) && wanted.domain.is_some(),
                "Combining effective, domain and inherited filters will always result in an empty list.",
            ),
            (
                wanted.subtree && wanted.project.is_none(),
                "scope.project.id must be specified if include_subtree is also specified",
            ),
        ];
        match refused.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, text)) => Err(ApiError::bad_request(text)),
            None => Ok(wanted),
        }
    }
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let own_domain = request.token.as_ref().and_then(|token| token.domain.as_ref()).map(|domain| domain.id.clone());
    let wanted = Wanted::of(&request)?;
    if let (true, Some(project)) = (wanted.subtree, wanted.project) {
        let project = existing_project(&mut connection, project).await?;
        let target = Target::of_domain(Some(project.domain()));
        request.check_rule(policy::LIST_ROLE_ASSIGNMENTS_FOR_TREE, &target)?;
    }
    check_list(&request)?;
    let mut found = match wanted.effective {
        true => effective(&mut connection, &wanted).await?,
        false => given(&mut connection, &wanted).await?,
    };
    if let Some(domain) = &own_domain {
        let inside: Vec<String> =
            sql!("SELECT id FROM projects WHERE domain_id = "(domain)).fetch_all(&mut connection).await?;
        let inside: HashSet<String> = inside.into_iter().chain([domain.clone()]).collect();
        found.retain(|one| one.scope.project_id().is_some_and(|id| inside.contains(id)));
    }
    let names = match request.query.get("include_names") {
        Some(value) if query_flag("include_names", value)? => Some(Names::of(&mut connection, &found).await?),
        _ => None,
    };
    let views = found.iter().map(|one| view(one, names.as_ref(), &request.links)).collect();
    Ok(collection(&request, "role_assignments", views, "role_assignments"))
}

/// The projects that are asked for.
async fn tree(connection: &mut Connection, wanted: &Wanted<'_>) -> Result<Option<Vec<String>>, DbError> {
    let Some(project) = wanted.project else { return Ok(None) };
    let mut projects = vec![project.to_owned()];
    if wanted.subtree {
        projects.extend(roles::descendants(connection, project).await?);
    }
    Ok(Some(projects))
}

type Columns = (Option<String>, Option<String>, Option<String>, Option<bool>, String, bool);

/// Reads assignments under a condition.
async fn read(connection: &mut Connection, condition: Sql) -> Result<Vec<Assignment>, DbError> {
    let mut sql = sql!(
        "SELECT a.user_id, a.group_id, a.project_id, p.is_domain, a.role_id, a.inherited FROM role_assignments a \
         LEFT JOIN projects p ON p.id = a.project_id LEFT JOIN users u ON u.id = a.user_id \
         LEFT JOIN user_groups g ON g.id = a.group_id JOIN roles r ON r.id = a.role_id WHERE 1 = 1"
    );
    sql.append(condition).push(
        " ORDER BY COALESCE(u.name, ''), COALESCE(g.name, ''), a.project_id IS NULL, \
         COALESCE(p.name, ''), a.inherited, r.name",
    );
    let rows: Vec<Columns> = sql.fetch_all(connection).await?;
    let assignment = |(user, group, project, is_domain, role, inherited): Columns| {
        let actor = match (user, group) {
            (Some(user), _) => Actor::User(user),
            (None, group) => Actor::Group(group.unwrap_or_default()),
        };
        let scope = match project {
            Some(id) if is_domain == Some(true) => Scope::Domain(id),
            Some(id) => Scope::Project(id),
            None => Scope::System,
        };
        Assignment { actor, scope, role, inherited, by_group: None, from: None, prior_role: None }
    };
    Ok(rows.into_iter().map(assignment).collect())
}

/// The assignments as they were given.
async fn given(connection: &mut Connection, wanted: &Wanted<'_>) -> Result<Vec<Assignment>, DbError> {
    let mut sql = Sql::default();
    for (column, value) in
        [(" AND a.user_id = ", wanted.user), (" AND a.group_id = ", wanted.group), (" AND a.role_id = ", wanted.role)]
    {
        if let Some(value) = value {
            sql.push(column).bind(value);
        }
    }
    if let Some(projects) = tree(connection, wanted).await? {
        sql.push(" AND NOT p.is_domain AND a.project_id").is_in(projects);
    }
    if let Some(domain) = wanted.domain {
        sql.push(" AND p.is_domain AND a.project_id = ").bind(domain);
    }
    if wanted.system {
        sql.push(" AND a.project_id IS NULL");
    }
    if let Some(inherited) = wanted.inherited {
        sql.push(" AND a.inherited = ").bind(&inherited);
    }
    read(connection, sql).await
}

/// What the assignments come to: groups are their members, inherited ones are those of the projects below, and roles
/// bring those that they imply. Roles of domains are not among them.
async fn effective(connection: &mut Connection, wanted: &Wanted<'_>) -> Result<Vec<Assignment>, DbError> {
    let tree = tree(connection, wanted).await?;
    let mut sql = Sql::default();
    if let Some(user) = wanted.user {
        sql.push(" AND (a.user_id = ").bind(user);
        sql.push(" OR a.group_id IN (SELECT group_id FROM group_members WHERE user_id = ").bind(user).push("))");
    }
    if let (Some(tree), Some(root)) = (&tree, wanted.project) {
        // What is inherited comes from above, or from within the tree.
        let mut above = roles::ancestors(connection, root).await?;
        above.extend(tree.iter().cloned());
        // In this form the first list is found by an index, also where it is long.
        sql.push(" AND a.project_id").is_in(above).push(" AND (a.inherited OR a.project_id").is_in(tree).push(")");
    }
    if let Some(domain) = wanted.domain {
        sql.push(" AND NOT a.inherited AND a.project_id = ").bind(domain);
    }
    if wanted.system {
        sql.push(" AND a.project_id IS NULL");
    }
    let mut found = read(connection, sql).await?;
    found = members(connection, found, wanted.user).await?;
    found = inherited(connection, found, tree.as_deref()).await?;
    if let Some(inherited) = wanted.inherited {
        found.retain(|one| one.from.is_some() == inherited);
    }
    // What was given directly counts before what comes by a group or from above.
    found.sort_by_key(|one| (one.from.is_some(), one.by_group.is_some()));
    found = implied(connection, found).await?;
    if let Some(role) = wanted.role {
        found.retain(|one| one.role == role);
    }
    Ok(found)
}

/// Groups become their members.
async fn members(
    connection: &mut Connection,
    found: Vec<Assignment>,
    only: Option<&str>,
) -> Result<Vec<Assignment>, DbError> {
    let groups: HashSet<&str> = found
        .iter()
        .filter_map(|one| match &one.actor {
            Actor::Group(id) => Some(id.as_str()),
            Actor::User(_) => None,
        })
        .collect();
    let mut sql = sql!("SELECT group_id, user_id FROM group_members WHERE group_id");
    sql.is_in(groups);
    if let Some(user) = only {
        sql.push(" AND user_id = ").bind(user);
    }
    let rows: Vec<(String, String)> = sql.push(" ORDER BY group_id, user_id").fetch_all(connection).await?;
    let mut by_group: HashMap<String, Vec<String>> = HashMap::new();
    for (group, user) in rows {
        by_group.entry(group).or_default().push(user);
    }
    let mut all = Vec::new();
    for one in found {
        let Actor::Group(group) = &one.actor else {
            all.push(one);
            continue;
        };
        let users = by_group.get(group).into_iter().flatten();
        all.extend(users.map(|user| Assignment {
            actor: Actor::User(user.clone()),
            by_group: Some(group.clone()),
            ..one.clone()
        }));
    }
    Ok(all)
}

/// Inherited assignments become those of the projects below.
async fn inherited(
    connection: &mut Connection,
    found: Vec<Assignment>,
    tree: Option<&[String]>,
) -> Result<Vec<Assignment>, DbError> {
    let mut below: HashMap<String, Vec<String>> = HashMap::new();
    let mut all = Vec::new();
    for one in found {
        let (true, Some(from)) = (one.inherited, one.scope.project_id()) else {
            all.push(one);
            continue;
        };
        if !below.contains_key(from) {
            let mut projects = roles::descendants(connection, from).await?;
            projects.retain(|project| tree.is_none_or(|tree| tree.contains(project)));
            below.insert(from.to_owned(), projects);
        }
        let projects = below.get(from).into_iter().flatten();
        all.extend(projects.map(|project| Assignment {
            scope: Scope::Project(project.clone()),
            from: Some(one.scope.clone()),
            ..one.clone()
        }));
    }
    Ok(all)
}

/// Roles bring those that they imply, each once.
async fn implied(connection: &mut Connection, found: Vec<Assignment>) -> Result<Vec<Assignment>, DbError> {
    let rules: Vec<(String, String)> =
        sql!("SELECT prior_role_id, implied_role_id FROM implied_roles").fetch_all(connection).await?;
    let of_domains: Vec<String> =
        sql!("SELECT id FROM roles WHERE domain_id IS NOT NULL").fetch_all(connection).await?;
    let mut all: Vec<Assignment> = Vec::new();
    let mut seen: HashSet<(String, Option<String>, String)> = HashSet::new();
    let mut waiting: std::collections::VecDeque<Assignment> = found.into();
    while let Some(one) = waiting.pop_front() {
        let key = (one.actor.id().to_owned(), one.scope.project_id().map(ToOwned::to_owned), one.role.clone());
        if !seen.insert(key) {
            continue;
        }
        for (prior, role) in rules.iter().filter(|(prior, _)| *prior == one.role) {
            waiting.push_back(Assignment { role: role.clone(), prior_role: Some(prior.clone()), ..one.clone() });
        }
        if !of_domains.contains(&one.role) {
            all.push(one);
        }
    }
    Ok(all)
}

fn view(one: &Assignment, names: Option<&Names>, links: &Links) -> Value {
    let thing = |id: &str| names.and_then(|names| names.0.get(id).cloned()).unwrap_or_else(|| json!({"id": id}));
    let mut scope = match &one.scope {
        Scope::Project(id) => json!({"project": thing(id)}),
        Scope::Domain(id) => json!({"domain": thing(id)}),
        Scope::System => json!({"system": {"all": true}}),
    };
    let mut path = match one.from.as_ref().unwrap_or(&one.scope) {
        Scope::Project(id) => format!("projects/{id}"),
        Scope::Domain(id) => format!("domains/{id}"),
        Scope::System => "system".to_owned(),
    };
    path += &match (&one.actor, &one.by_group) {
        (_, Some(group)) => format!("/groups/{group}"),
        (Actor::User(id), None) => format!("/users/{id}"),
        (Actor::Group(id), None) => format!("/groups/{id}"),
    };
    path += &format!("/roles/{}", one.prior_role.as_ref().unwrap_or(&one.role));
    if one.inherited {
        scope["OS-INHERIT:inherited_to"] = "projects".into();
        path = format!("OS-INHERIT/{path}/inherited_to_projects");
    }
    let mut view = json!({"scope": scope, "role": thing(&one.role), "links": {"assignment": links.to(&path)}});
    match &one.actor {
        Actor::User(id) => view["user"] = thing(id),
        Actor::Group(id) => view["group"] = thing(id),
    }
    if let Some(prior) = &one.prior_role {
        view["links"]["prior_role"] = links.to(&format!("prior_role/{prior}/implies/{}", one.role)).into();
    }
    if let Some(group) = &one.by_group {
        view["links"]["membership"] = links.to(&format!("groups/{group}/users/{}", one.actor.id())).into();
    }
    view
}

/// What `include_names` says of each thing, by its id.
struct Names(BTreeMap<String, Value>);

impl Names {
    async fn of(connection: &mut Connection, found: &[Assignment]) -> Result<Self, DbError> {
        let of = |id: fn(&Assignment) -> Option<&str>| -> HashSet<&str> { found.iter().filter_map(id).collect() };
        let by = |ids: HashSet<&str>| Condition::is_in("id", ids);
        let users = List::<User>::all().filter(by(of(|one| match &one.actor {
            Actor::User(id) => Some(id),
            Actor::Group(_) => None,
        })));
        let users = users.page(connection).await?.unwrap_or_default();
        let groups = List::<Group>::all().filter(by(of(|one| match &one.actor {
            Actor::Group(id) => Some(id),
            Actor::User(_) => None,
        })));
        let groups = groups.page(connection).await?.unwrap_or_default();
        let roles =
            List::<Role>::all().filter(by(of(|one| Some(&one.role)))).page(connection).await?.unwrap_or_default();
        let projects = List::<Project>::all().filter(by(of(|one| one.scope.project_id()))).page(connection).await?;
        let projects = projects.unwrap_or_default();
        let all = List::<Project>::all().filter(Condition::equal("is_domain", &true)).page(connection).await?;
        let domains: HashMap<String, Value> = all
            .unwrap_or_default()
            .iter()
            .map(|domain| (domain.id.clone(), Value::Object(domains::named(domain))))
            .collect();
        let named = |id: &str, name: &str, domain: Option<&String>| {
            let mut view = json!({"id": id, "name": name});
            if let Some(domain) = domain.and_then(|domain| domains.get(domain)) {
                view["domain"] = domain.clone();
            }
            (id.to_owned(), view)
        };
        let mut names = BTreeMap::new();
        names.extend(users.iter().map(|user| named(&user.id, &user.name, Some(&user.domain_id))));
        names.extend(groups.iter().map(|group| named(&group.id, &group.name, Some(&group.domain_id))));
        names.extend(roles.iter().map(|role| named(&role.id, &role.name, role.domain_id.as_ref())));
        names.extend(projects.iter().map(|project| named(&project.id, &project.name, project.domain_id.as_ref())));
        Ok(Self(names))
    }
}
