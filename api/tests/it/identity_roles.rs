//! Roles: given, implied, inherited, by groups; what tokens make of them, and who may do what with them.

use serde_json::{Value, json};

use crate::{
    identity_resources::{id, make, role},
    support::{Client, Cloud},
};

const V3: &str = "/identity/v3";

async fn put(client: &Client<'_>, path: &str) {
    let answer = client.put(&format!("{V3}/{path}"), &json!(null)).await;
    assert!(answer.status == 204 || answer.status == 201, "{path}: {:?}", answer.body);
}

/// The body that asks for a token by an id.
fn log_in(user: &Value, scope: Value) -> Value {
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {"id": user["id"], "password": "pw"}}},
        "scope": scope,
    }})
}

fn roles(token: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        token["roles"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

on_both! {
    async fn a_token_has_what_is_given_to_the_user_and_his_groups_there_and_above_with_all_that_is_implied(cloud: Cloud) {
        let admin = cloud.admin().await;
        let user = make(&admin, "users", "user", json!({"name": "u", "password": "pw"})).await;
        let group = make(&admin, "groups", "group", json!({"name": "g"})).await;
        put(&admin, &format!("groups/{}/users/{}", id(&group), id(&user))).await;
        let top = make(&admin, "projects", "project", json!({"name": "top"})).await;
        let below = make(&admin, "projects", "project", json!({"name": "below", "parent_id": top["id"]})).await;
        let (member, manager) = (role(&admin, "member").await, role(&admin, "manager").await);
        let own = make(&admin, "roles", "role", json!({"name": "own"})).await;
        let of_domain = make(&admin, "roles", "role", json!({"name": "of-domain", "domain_id": "default"})).await;
        put(&admin, &format!("roles/{}/implies/{}", id(&of_domain), id(&own))).await;

        let project = |project: &Value| json!({"project": {"id": project["id"]}});
        assert_eq!(cloud.token(&log_in(&user, project(&top))).await, Err(401));
        // Inherited from the project: below it, not in it.
        put(&admin, &format!("OS-INHERIT/projects/{}/users/{}/roles/{member}/inherited_to_projects", id(&top), id(&user))).await;
        assert_eq!(cloud.token(&log_in(&user, project(&top))).await, Err(401));
        let (_, token) = cloud.token(&log_in(&user, project(&below))).await.unwrap();
        assert_eq!(roles(&token), ["member", "reader"]);
        // By a group, and of a domain: no more than what it implies.
        put(&admin, &format!("projects/{}/groups/{}/roles/{}", id(&top), id(&group), id(&of_domain))).await;
        let (_, token) = cloud.token(&log_in(&user, project(&top))).await.unwrap();
        assert_eq!(roles(&token), ["own"]);
        // In the domain itself, and in the system.
        put(&admin, &format!("domains/default/groups/{}/roles/{manager}", id(&group))).await;
        let (_, token) = cloud.token(&log_in(&user, json!({"domain": {"name": "Default"}}))).await.unwrap();
        assert_eq!((roles(&token), &token["domain"]["id"]), (vec!["manager", "member", "reader"], &json!("default")));
        assert_eq!(cloud.token(&log_in(&user, json!({"system": {"all": true}}))).await, Err(401));
        let reader = role(&admin, "reader").await;
        put(&admin, &format!("system/users/{}/roles/{reader}", id(&user))).await;
        let (token, body) = cloud.token(&log_in(&user, json!({"system": {"all": true}}))).await.unwrap();
        assert_eq!((roles(&body), &body["system"]), (vec!["reader"], &json!({"all": true})));
        // A reader of the system reads everything and changes nothing.
        let reader = cloud.anonymous().with_token(&token);
        assert_eq!(reader.get(&format!("{V3}/users")).await.status, 200);
        assert_eq!(reader.get(&format!("{V3}/auth/system")).await.body["system"], json!([{"all": true}]));
        assert_eq!(reader.post(&format!("{V3}/users"), &json!({"user": {"name": "x"}})).await.status, 403);
        let projects = reader.get(&format!("{V3}/auth/projects")).await.body;
        let names: Vec<_> = projects["projects"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["below", "top"]);
        assert_eq!(reader.get(&format!("{V3}/auth/domains")).await.body["domains"][0]["id"], "default");

        // What all that comes to.
        let effective = async |query: &str| -> Vec<(String, String)> {
            let path = format!("{V3}/role_assignments?effective&include_names&user.id={}&{query}", id(&user));
            let body = admin.get(&path).await.body;
            let text = |value: &Value| value["name"].as_str().unwrap_or("system").to_owned();
            let scope = |one: &Value| {
                let scope = &one["scope"];
                if scope["project"].is_null() { text(&scope["domain"]) } else { text(&scope["project"]) }
            };
            let list = body["role_assignments"].as_array().unwrap();
            let mut found: Vec<_> = list.iter().map(|one| (scope(one), text(&one["role"]))).collect();
            found.sort();
            found
        };
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(scope, role)| ((*scope).to_owned(), (*role).to_owned())).collect()
        };
        assert_eq!(
            effective("").await,
            pairs(&[("Default", "manager"), ("Default", "member"), ("Default", "reader"), ("below", "member"),
                ("below", "reader"), ("system", "reader"), ("top", "own")])
        );
        assert_eq!(effective(&format!("scope.project.id={}", id(&below))).await, pairs(&[("below", "member"), ("below", "reader")]));
        let tree = format!("scope.project.id={}&include_subtree", id(&top));
        assert_eq!(effective(&tree).await, pairs(&[("below", "member"), ("below", "reader"), ("top", "own")]));
        let refused = admin.get(&format!("{V3}/role_assignments?effective&group.id={}", id(&group))).await;
        assert_eq!(refused.status, 400);
        let given = admin.get(&format!("{V3}/role_assignments?group.id={}", id(&group))).await.body;
        assert_eq!(given["role_assignments"].as_array().unwrap().len(), 2);
    }

    async fn grants_are_checked_listed_and_taken_away(cloud: Cloud) {
        let admin = cloud.admin().await;
        let user = make(&admin, "users", "user", json!({"name": "u"})).await;
        let project = make(&admin, "projects", "project", json!({"name": "p"})).await;
        let member = role(&admin, "member").await;
        for place in [format!("projects/{}", id(&project)), "domains/default".to_owned(), "system".to_owned()] {
            let all = format!("{V3}/{place}/users/{}/roles", id(&user));
            let one = format!("{all}/{member}");
            assert_eq!(admin.get(&one).await.status, 404, "{place}");
            assert_eq!((admin.put(&one, &json!(null)).await.status, admin.put(&one, &json!(null)).await.status), (204, 204));
            assert_eq!(admin.get(&one).await.status, 204);
            assert_eq!(admin.get(&all).await.body["roles"][0]["name"], "member");
            assert_eq!((admin.delete(&one).await.status, admin.delete(&one).await.status), (204, 404));
        }
        let missing = admin.get(&format!("{V3}/projects/{}/users/{}/roles/{member}", id(&project), id(&user))).await;
        let text = format!("Could not find role assignment with role: {member}, user or group: {}, project, domain, or system: {}.", id(&user), id(&project));
        assert_eq!(missing.body["error"]["message"], text);
    }

    async fn roles_imply_roles_and_none_implies_the_administrators(cloud: Cloud) {
        let admin = cloud.admin().await;
        let own = make(&admin, "roles", "role", json!({"name": "own"})).await;
        let (reader, administrator) = (role(&admin, "reader").await, role(&admin, "admin").await);
        let rule = format!("{V3}/roles/{}/implies/{reader}", id(&own));
        assert_eq!(admin.get(&rule).await.status, 404);
        assert_eq!(admin.put(&rule, &json!(null)).await.status, 201);
        assert_eq!(admin.get(&rule).await.body["role_inference"]["implies"]["name"], "reader");
        assert_eq!(admin.send(http::Method::HEAD, &rule, axum::body::Body::empty()).await.status, 204);
        let refused = admin.put(&format!("{V3}/roles/{}/implies/{administrator}", id(&own)), &json!(null)).await;
        assert_eq!((refused.status, refused.body["error"]["message"].as_str().unwrap()), (403, format!("{administrator} cannot be an implied roles.").as_str()));
        let rules = admin.get(&format!("{V3}/role_inferences")).await.body;
        assert_eq!(rules["role_inferences"].as_array().unwrap().len(), 4);
        assert_eq!((admin.delete(&rule).await.status, admin.delete(&rule).await.status), (204, 404));
        let refused = admin.delete(&format!("{V3}/roles/{reader}")).await;
        assert!(refused.status == 403 && refused.body["error"]["message"].as_str().unwrap().contains("immutable role resource"));
        let of_domain = make(&admin, "roles", "role", json!({"name": "own", "domain_id": "default"})).await;
        let names = |body: Value| body["roles"].as_array().unwrap().len();
        assert_eq!(names(admin.get(&format!("{V3}/roles?domain_id=default")).await.body), 1);
        assert_eq!(names(admin.get(&format!("{V3}/roles?name=own")).await.body), 1);
        assert_eq!(admin.delete(&format!("{V3}/roles/{}", id(&of_domain))).await.status, 204);
    }

    async fn the_manager_of_a_domain_manages_what_is_in_it_and_nothing_else(cloud: Cloud) {
        let admin = cloud.admin().await;
        let domain = make(&admin, "domains", "domain", json!({"name": "d"})).await;
        let within = |name: &str| json!({"name": name, "domain_id": domain["id"], "password": "pw"});
        let user = make(&admin, "users", "user", within("m")).await;
        let (manager, administrator) = (role(&admin, "manager").await, role(&admin, "admin").await);
        put(&admin, &format!("domains/{}/users/{}/roles/{manager}", id(&domain), id(&user))).await;
        let (token, _) = cloud.token(&log_in(&user, json!({"domain": {"id": domain["id"]}}))).await.unwrap();
        let managing = cloud.anonymous().with_token(&token);

        let other = make(&managing, "users", "user", within("other")).await;
        let project = make(&managing, "projects", "project", json!({"name": "p", "domain_id": domain["id"]})).await;
        put(&managing, &format!("projects/{}/users/{}/roles/{manager}", id(&project), id(&other))).await;
        let list = managing.get(&format!("{V3}/users")).await.body;
        assert_eq!(list["users"].as_array().unwrap().len(), 2);
        let demo = id(&admin.get(&format!("{V3}/users?name=demo")).await.body["users"][0]).to_owned();
        let grant = format!("{V3}/projects/{}/users", id(&project));
        for (answer, what) in [
            (managing.get(&format!("{V3}/users/{demo}")).await, "another domain's user"),
            (managing.post(&format!("{V3}/users"), &json!({"user": {"name": "x", "domain_id": "default"}})).await, "a user elsewhere"),
            (managing.put(&format!("{grant}/{}/roles/{administrator}", id(&other)), &json!(null)).await, "the administrators' role"),
            (managing.put(&format!("{grant}/{demo}/roles/{manager}"), &json!(null)).await, "a role for a stranger"),
            (managing.post(&format!("{V3}/domains"), &json!({"domain": {"name": "x"}})).await, "a domain"),
            (managing.get(&format!("{V3}/services")).await, "the catalog"),
            (managing.post(&format!("{V3}/projects"), &json!({"project": {"name": "x", "is_domain": true}})).await, "a domain as a project"),
        ] {
            assert_eq!(answer.status, 403, "{what}");
        }
        let within = json!({"project": {"name": "x", "is_domain": true, "domain_id": domain["id"]}});
        assert_eq!(managing.post(&format!("{V3}/projects"), &within).await.status, 400);
        assert_eq!(managing.delete(&format!("{V3}/users/{}", id(&other))).await.status, 204);
    }
}
