//! Who may do what: every operation of every service, from its row, asked by everybody. Each gets what the rule says, and
//! nothing changes when it says no.

use axum::body::Body;
use http::Method;
use novella_api::COMPUTE;
use novella_common::sql;
use novella_identity::IDENTITY;
use novella_rest::{
    Operation,
    policy::{Rule, Who},
};
use serde_json::{Value, json};

use crate::support::{Client, Cloud, PASSWORD};

/// Whom a rule of this name is granted to that a file changes: whoever holds these roles, `None` with a token for no project.
type Changed = (&'static str, fn(Option<&[&str]>) -> bool);

/// An operation, as somebody asks for it.
struct Row {
    method: Method,
    path: String,
    version: Option<String>,
    body: Option<Value>,
    rule: Option<Rule>,
}

fn rows<S>(base: &str, microversions: bool, operations: &[Operation<S>], ids: &[(&str, &str)]) -> Vec<Row> {
    let row = |operation: &Operation<S>| {
        let (method, path) = operation.route();
        let parts: Vec<&str> = path
            .split('/')
            .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) => ids.iter().find(|(known, _)| *known == name).map_or("0123456789abcdef", |(_, id)| id),
                None => part,
            })
            .collect();
        Row {
            method: method.clone(),
            path: format!("{base}{}", parts.join("/")),
            version: microversions.then(|| format!("2.{}", operation.last_version().unwrap_or(103))),
            body: match (operation.action_key(), method) {
                (Some(key), _) => Some(json!({ key: null })),
                (None, &Method::POST | &Method::PUT | &Method::PATCH) => Some(json!({})),
                _ => None,
            },
            rule: operation.rule(),
        }
    };
    operations.iter().map(row).collect()
}

impl Row {
    async fn asked_by(&self, client: &Client<'_>) -> (u16, String) {
        let body = self.body.as_ref().map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = match &self.version {
            Some(version) => client.at(version).send(self.method.clone(), &self.path, body).await,
            None => client.send(self.method.clone(), &self.path, body).await,
        };
        // No host answers here.
        assert!(answer.status < 500 || answer.status == 503, "{} {}: {:?}", self.method, self.path, answer.body);
        (answer.status, answer.body.to_string())
    }

    /// Whether somebody with these roles in a project of its own (`None`: with a token for no project) may; `None`: that
    /// depends on the thing.
    fn may(&self, roles: Option<&[&str]>, changed: &[Changed]) -> Option<bool> {
        let Some(rule) = self.rule else { return Some(true) };
        if let Some((_, may)) = changed.iter().find(|(name, _)| *name == rule.name) {
            return Some(may(roles));
        }
        let roles_held = roles.unwrap_or_default();
        if roles_held.contains(&"admin") {
            return Some(true);
        }
        match rule.who {
            Who::Anyone | Who::Owner => Some(true),
            Who::Admin => Some(false),
            Who::Role(role) => Some(roles.is_some() && roles_held.contains(&role)),
            Who::AnyOf(_) | Who::Check(_) => None,
        }
    }

    fn is_denied(&self, (status, body): &(u16, String)) -> bool {
        // Not by a rule whose name only begins so. An answer to HEAD says nothing more.
        let names = |rule: Rule| [' ', '.', '"'].iter().any(|end| body.contains(&format!("{}{end}", rule.name)));
        *status == 403 && self.rule.is_some_and(|rule| self.method == Method::HEAD || names(rule))
    }
}

/// All that an administrator sees.
async fn state(admin: &Client<'_>) -> Vec<Value> {
    let mut all = Vec::new();
    for path in [
        "/compute/v2.1/servers/detail?all_tenants=1",
        "/compute/v2.1/flavors/detail?is_public=None",
        "/compute/v2.1/os-server-groups?all_projects=1",
        "/compute/v2.1/os-services",
        "/compute/v2.1/os-migrations",
        "/compute/v2.1/os-quota-class-sets/default",
        "/identity/v3/users",
        "/identity/v3/projects",
        "/identity/v3/roles",
        "/identity/v3/role_assignments",
        "/identity/v3/endpoints",
        "/identity/v3/credentials",
        "/image/v2/images",
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        all.push(answer.body);
    }
    all
}

/// A user with one role in a project of this name; logged in there.
async fn member<'c>(cloud: &'c Cloud, admin: &Client<'_>, name: &str, role: &str, project: &str) -> Client<'c> {
    let project_id =
        admin.get(&format!("/identity/v3/projects?name={project}")).await.body["projects"][0]["id"].clone();
    let role_id = admin.get(&format!("/identity/v3/roles?name={role}")).await.body["roles"][0]["id"].clone();
    let user = admin.post("/identity/v3/users", &json!({"user": {"name": name, "password": PASSWORD}})).await;
    assert_eq!(user.status, 201, "{:?}", user.body);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (project_id, role_id, user_id) = (text(&project_id), text(&role_id), text(&user.body["user"]["id"]));
    let grant = format!("/identity/v3/projects/{project_id}/users/{user_id}/roles/{role_id}");
    assert_eq!(admin.send(Method::PUT, &grant, Body::empty()).await.status, 204);
    cloud.login(name, project).await
}

/// Rules that are changed in each direction: to more, to fewer, to others, to nobody.
const COMPUTE_FILE: &str = "
os_compute_api:servers:delete: \"!\"
os_compute_api:servers:show: \"rule:boss and project_id:%(project_id)s\"
boss: \"role:manager\"
os_compute_api:servers:index: \"(role:member and not role:manager) or rule:context_is_admin\"
os_compute_api:flavors: [[\"role:reader\", \"role:auditor\"], [\"rule:context_is_admin\"]]
os_compute_api:os-services:list: \"role:reader\"
os_compute_api:os-hypervisors:list: \"@\"
os_compute_api:os-keypairs:index: \"role:member and user_id:%(user_id)s\"
";
const IDENTITY_FILE: &str = "
identity:list_regions: \"!\"
identity:create_region: \"role:manager\"
identity:list_services: \"\"
";
const CHANGED: &[Changed] = &[
    ("os_compute_api:servers:delete", |_| false),
    ("os_compute_api:servers:show", |roles| holds(roles, "manager")),
    ("os_compute_api:servers:index", |roles| holds(roles, "member") && !holds(roles, "manager")),
    ("os_compute_api:flavors", |_| false),
    ("os_compute_api:os-services:list", |roles| holds(roles, "reader")),
    ("os_compute_api:os-hypervisors:list", |_| true),
    ("os_compute_api:os-keypairs:index", |roles| holds(roles, "member")),
    ("identity:list_regions", |_| false),
    ("identity:create_region", |roles| holds(roles, "manager")),
    ("identity:list_services", |_| true),
];

fn holds(roles: Option<&[&str]>, role: &str) -> bool {
    roles.is_some_and(|roles| roles.contains(&role))
}

on_both! {
    async fn everybody_gets_what_the_rules_say_and_nothing_changes_when_they_say_no(cloud: Cloud) {
        everybody_asks_for_everything(cloud, &[]).await;
    }

    async fn everybody_gets_what_a_policy_file_says(cloud: Cloud) {
        let files = [(&COMPUTE, COMPUTE_FILE), (&IDENTITY, IDENTITY_FILE)];
        everybody_asks_for_everything(cloud.with_policies(&files), CHANGED).await;
    }
}

async fn everybody_asks_for_everything(cloud: Cloud, changed: &[Changed]) {
    cloud.start_host("host-1").await;
    let admin = cloud.admin().await;
    let server = cloud.active_server(&cloud.demo().await, "s", "host-1").await.to_string();
    let other = admin.post("/identity/v3/projects", &json!({"project": {"name": "other"}})).await;
    assert_eq!(other.status, 201, "{:?}", other.body);
    let users = admin.get("/identity/v3/users?name=demo").await.body["users"][0]["id"].as_str().unwrap().to_owned();
    let project =
        admin.get("/identity/v3/projects?name=demo").await.body["projects"][0]["id"].as_str().unwrap().to_owned();
    let ids = [
        ("server_id", server.as_str()),
        ("user_id", users.as_str()),
        ("project_id", project.as_str()),
        ("flavor_id", "1"),
    ];
    let all: Vec<Row> = [
        rows("/compute/v2.1", true, &novella_api::compute::operations(), &ids),
        rows("/identity/v3", false, &novella_identity::operations(), &ids),
        rows("/image/v2", false, &novella_image::operations(), &ids),
        rows("/cloud/v1", false, &novella_api::cloud::operations(), &ids),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(all.len() > 250, "{}", all.len());

    let reader = member(&cloud, &admin, "the-reader", "reader", "demo").await;
    let member_of = member(&cloud, &admin, "the-member", "member", "demo").await;
    let manager = member(&cloud, &admin, "the-manager", "manager", "demo").await;
    let stranger = member(&cloud, &admin, "the-stranger", "member", "other").await;
    let expired = cloud.login("the-member", "demo").await;
    let hash = novella_identity::db::token_hash(expired.token.as_deref().unwrap());
    cloud
        .execute(sql!("UPDATE tokens SET expires_at = "(jiff::Timestamp::UNIX_EPOCH)" WHERE token_hash = "(hash)))
        .await;
    let mut unknown = cloud.anonymous();
    unknown.token = Some("0123456789abcdef0123456789abcdef".into());
    let nobody = cloud.anonymous();
    let unscoped = {
        let body = json!({"auth": {"scope": "unscoped", "identity": {"methods": ["password"], "password": {"user": {
            "name": "demo", "domain": {"id": "default"}, "password": PASSWORD}}}}});
        let mut client = cloud.anonymous();
        client.token = Some(cloud.token(&body).await.unwrap().0);
        client
    };
    let everybody: [(&str, &Client<'_>, Option<&[&str]>); 5] = [
        ("unscoped", &unscoped, None),
        ("reader", &reader, Some(&["reader"])),
        ("member", &member_of, Some(&["member", "reader"])),
        ("manager", &manager, Some(&["manager", "member", "reader"])),
        ("stranger", &stranger, Some(&["member", "reader"])),
    ];

    let before = state(&admin).await;
    for row in &all {
        for (who, client) in [("nobody", &nobody), ("unknown", &unknown), ("expired", &expired)] {
            let (status, body) = row.asked_by(client).await;
            assert_eq!(
                status == 401,
                row.rule.is_some() || status == 401,
                "{who}: {} {}: {body}",
                row.method,
                row.path
            );
        }
        for (who, client, roles) in everybody {
            if row.may(roles, changed) == Some(false) {
                let answer = row.asked_by(client).await;
                assert!(row.is_denied(&answer), "{who}: {} {}: {answer:?}", row.method, row.path);
            }
        }
    }
    assert_eq!(state(&admin).await, before);

    for row in &all {
        for (who, client, roles) in everybody {
            // What names a project is not the stranger's to see, whatever its role.
            let foreign = who == "stranger" && row.path.contains(&project);
            if row.may(roles, changed) == Some(true) && !foreign {
                let answer = row.asked_by(client).await;
                assert!(answer.0 != 401 || row.rule.is_none(), "{who}: {} {}: {answer:?}", row.method, row.path);
                let own = row.rule.is_some_and(|rule| rule.who == Who::Owner);
                assert!(own || !row.is_denied(&answer), "{who}: {} {}: {answer:?}", row.method, row.path);
            }
        }
    }
    // Last, since administrators may take away what the others ask about.
    let held: Option<&[&str]> = Some(&["admin", "manager", "member", "reader"]);
    let is_changed = |row: &Row| changed.iter().any(|(name, _)| row.rule.is_some_and(|rule| rule.name == *name));
    for row in all.iter().filter(|row| !is_changed(row)) {
        let answer = row.asked_by(&admin).await;
        match row.may(held, changed) {
            Some(false) => assert!(row.is_denied(&answer), "admin: {} {}: {answer:?}", row.method, row.path),
            _ => assert!(!row.is_denied(&answer), "admin: {} {}: {answer:?}", row.method, row.path),
        }
    }
}
