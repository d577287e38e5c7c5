//! Projects, domains, users, groups: made, found, changed and deleted, with Keystone's texts.

use jiff::Timestamp;
use novella_common::sql;
use novella_identity::IdentityConfig;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Cloud, On, PASSWORD, identity_config, password};

const V3: &str = "/identity/v3";

/// Makes something and returns what it is.
pub async fn make(client: &Client<'_>, many: &str, one: &str, body: Value) -> Value {
    let answer = client.post(&format!("{V3}/{many}"), &json!({ one: body })).await;
    assert_eq!(answer.status, 201, "{many}: {:?}", answer.body);
    answer.body[one].clone()
}

pub fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

/// The id of the role of this name.
pub async fn role(client: &Client<'_>, name: &str) -> String {
    id(&client.get(&format!("{V3}/roles?name={name}")).await.body["roles"][0]).to_owned()
}

fn names(answer: &Answer, many: &str) -> Vec<String> {
    let items = answer.body[many].as_array().unwrap_or_else(|| panic!("{:?}", answer.body));
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

fn message(answer: &Answer) -> &str {
    answer.body["error"]["message"].as_str().unwrap_or_default()
}

on_both! {
    async fn projects_are_a_tree_with_rules(cloud: Cloud) {
        let admin = cloud.admin().await;
        let top = make(&admin, "projects", "project", json!({"name": "top", "colour": "red"})).await;
        assert_eq!((&top["parent_id"], &top["is_domain"], &top["colour"]), (&json!("default"), &json!(false), &json!("red")));
        assert!(id(&top).len() == 32 && id(&top).bytes().all(|digit| digit.is_ascii_hexdigit()));
        let below = make(&admin, "projects", "project", json!({"name": "below", "parent_id": top["id"]})).await;
        let (top_path, below_path) = (format!("{V3}/projects/{}", id(&top)), format!("{V3}/projects/{}", id(&below)));

        let shown = admin.get(&format!("{below_path}?parents_as_ids")).await.body;
        assert_eq!(shown["project"]["parents"], json!({ id(&top): {"default": null} }));
        let shown = admin.get(&format!("{top_path}?subtree_as_ids")).await.body;
        assert_eq!(shown["project"]["subtree"], json!({ id(&below): null }));
        assert_eq!(names(&admin.get(&format!("{V3}/projects?parent_id={}", id(&top))).await, "projects"), ["below"]);

        let off = json!({"project": {"enabled": false}});
        for (answer, status, text) in [
            (admin.delete(&top_path).await, 403, "it is not a leaf in the hierarchy"),
            (admin.patch(&top_path, &off).await, 403, "its subtree contains enabled projects"),
            (admin.patch(&below_path, &json!({"project": {"parent_id": "x"}})).await, 403, "Update of `parent_id` is not allowed."),
            (admin.patch(&below_path, &json!({"project": {"domain_id": "x"}})).await, 400, "Cannot change Domain ID"),
            (admin.post(&format!("{V3}/projects"), &json!({"project": {"name": "top"}})).await, 409, "it is not permitted to have two projects with either the same name or same id in the same domain: name is top, project id "),
            (admin.post(&format!("{V3}/projects"), &json!({"project": {"name": ""}})).await, 400, "'' should be non-empty"),
            (admin.post(&format!("{V3}/projects"), &json!({"project": {"name": "x".repeat(65)}})).await, 400, "is too long"),
            (admin.post(&format!("{V3}/projects"), &json!({"project": {"name": "n", "parent_id": "no"}})).await, 400, "Could not find project: no."),
            (admin.get(&format!("{V3}/projects/no")).await, 404, "Could not find project: no."),
        ] {
            assert_eq!(answer.status, status, "{:?}", answer.body);
            assert!(message(&answer).contains(text), "{}", message(&answer));
        }
        let locked = json!({"project": {"options": {"immutable": true}}});
        assert_eq!(admin.patch(&below_path, &locked).await.status, 200);
        let refused = admin.delete(&below_path).await;
        assert_eq!(
            (refused.status, message(&refused).to_owned()),
            (403, format!("Unable to delete immutable project resource: `{}. Set resource option \"immutable\" to false first.", id(&below)))
        );
        assert_eq!(admin.patch(&below_path, &off).await.status, 403);
        assert_eq!(admin.patch(&below_path, &json!({"project": {"options": {"immutable": null}}})).await.status, 200);
        assert_eq!((admin.delete(&below_path).await.status, admin.delete(&top_path).await.status), (204, 204));
        assert_eq!(admin.get(&top_path).await.status, 404);
    }

    async fn projects_are_found_by_tags_and_parts_of_names_and_come_in_pages(cloud: Cloud) {
        let admin = cloud.admin().await;
        for (name, tags) in [("Alpha-1", json!(["a", "b"])), ("alpha-2", json!(["a"])), ("beta", json!([]))] {
            make(&admin, "projects", "project", json!({"name": name, "tags": tags})).await;
        }
        let found = async |query: &str| names(&admin.get(&format!("{V3}/projects?{query}")).await, "projects");
        assert_eq!(found("name__startswith=alpha").await, ["alpha-2"]);
        assert_eq!(found("name__istartswith=ALPHA").await, ["Alpha-1", "alpha-2"]);
        assert_eq!(found("name__contains=et").await, ["beta"]);
        assert_eq!(found("name__iendswith=-1").await, ["Alpha-1"]);
        assert_eq!(found("tags=a,b").await, ["Alpha-1"]);
        assert_eq!(found("tags-any=b,c").await, ["Alpha-1"]);
        assert_eq!(found("not-tags=a,b&name__icontains=a-").await, ["alpha-2"]);
        assert_eq!(found("not-tags-any=a,b&name__contains=beta").await, ["beta"]);
        assert_eq!(found("is_domain=true").await, ["Default"]);
        assert_eq!(found("unknown=1&name=beta").await, ["beta"]);

        let mut path = format!("{V3}/projects?limit=2");
        let mut seen = Vec::new();
        loop {
            let page = admin.get(&path).await;
            seen.extend(names(&page, "projects"));
            let Some(next) = page.body["links"]["next"].as_str() else { break };
            assert_eq!(page.body["truncated"], true);
            path = next.strip_prefix("http://cloud.test").unwrap().to_owned();
        }
        assert_eq!(seen, ["Alpha-1", "admin", "alpha-2", "beta", "demo"]);
        let refused = admin.get(&format!("{V3}/projects?marker=no")).await;
        assert_eq!((refused.status, message(&refused)), (404, "Marker no could not be found."));

        let project = format!("{V3}/projects/{}", id(&admin.get(&format!("{V3}/projects?name=beta")).await.body["projects"][0]));
        assert_eq!(admin.put(&format!("{project}/tags/new"), &json!(null)).await.status, 201);
        assert_eq!(admin.get(&format!("{project}/tags")).await.body["tags"], json!(["new"]));
        assert_eq!(admin.get(&format!("{project}/tags/new")).await.status, 204);
        assert_eq!(admin.put(&format!("{project}/tags"), &json!({"tags": ["x", "y"]})).await.status, 200);
        assert_eq!(admin.put(&format!("{project}/tags"), &json!({"tags": ["x", "x"]})).await.status, 400);
        assert_eq!((admin.delete(&format!("{project}/tags/x")).await.status, admin.get(&format!("{project}/tags/x")).await.status), (204, 404));
    }

    async fn a_domain_takes_what_is_in_it_along(cloud: Cloud) {
        let admin = cloud.admin().await;
        let domain = make(&admin, "domains", "domain", json!({"name": "other"})).await;
        let path = format!("{V3}/domains/{}", id(&domain));
        let inside = json!({"name": "same", "domain_id": domain["id"]});
        let user = make(&admin, "users", "user", inside.clone()).await;
        let group = make(&admin, "groups", "group", inside.clone()).await;
        let project = make(&admin, "projects", "project", inside.clone()).await;
        let child = make(&admin, "projects", "project", json!({"name": "child", "domain_id": domain["id"], "parent_id": project["id"]})).await;
        // The same names in another domain.
        make(&admin, "users", "user", json!({"name": "same"})).await;
        make(&admin, "groups", "group", json!({"name": "same"})).await;
        assert_eq!(names(&admin.get(&format!("{V3}/users?domain_id={}", id(&domain))).await, "users"), ["same"]);
        let refused = admin.post(&format!("{V3}/domains"), &json!({"domain": {"name": "other"}})).await;
        assert_eq!((refused.status, message(&refused)), (409, "Conflict occurred attempting to store project - it is not permitted to have two projects acting as domains with the same name: other."));
        let refused = admin.delete(&path).await;
        assert_eq!((refused.status, message(&refused)), (403, "Cannot delete a domain that is enabled, please disable it first."));
        assert_eq!(admin.patch(&path, &json!({"domain": {"enabled": false}})).await.status, 200);
        assert_eq!(admin.delete(&path).await.status, 204);
        for (many, one) in [("users", &user), ("groups", &group), ("projects", &project), ("projects", &child), ("domains", &domain)] {
            assert_eq!(admin.get(&format!("{V3}/{many}/{}", id(one))).await.status, 404, "{many}");
        }
        let made = make(&admin, "domains", "domain", json!({"name": "given", "explicit_domain_id": "0123456789abcdef0123456789abcdef"})).await;
        assert_eq!(id(&made), "0123456789abcdef0123456789abcdef");
    }

    async fn a_user_changes_his_own_password_and_an_administrator_anybodys(cloud: Cloud) {
        let admin = cloud.admin().await;
        let new = json!({"name": "bob", "password": "first", "email": "b@example.org", "description": null, "default_project_id": "x"});
        let user = make(&admin, "users", "user", new).await;
        assert_eq!((&user["email"], &user["description"], &user["enabled"], &user["options"]), (&json!("b@example.org"), &Value::Null, &json!(true), &json!({})));
        assert!(user.get("password").is_none() && user["password_expires_at"].is_null());
        let path = format!("{V3}/users/{}", id(&user));
        let log_in = |password: &str| json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": user["id"], "password": password}}}}});
        let (token, _) = cloud.token(&log_in("first")).await.unwrap();
        let bob = cloud.anonymous().with_token(&token);
        assert_eq!(bob.get(&path).await.body["user"]["name"], "bob");
        assert_eq!(bob.patch(&path, &json!({"user": {"name": "x"}})).await.status, 403);

        let change = |old: &str, new: &str| json!({"user": {"original_password": old, "password": new}});
        assert_eq!(bob.post(&format!("{path}/password"), &change("wrong", "second")).await.status, 401);
        // Without a token: whoever's password has expired gets none.
        assert_eq!(cloud.anonymous().post(&format!("{path}/password"), &change("first", "second")).await.status, 204);
        assert_eq!(bob.get(&path).await.status, 401);
        assert_eq!((cloud.token(&log_in("first")).await.unwrap_err(), cloud.token(&log_in("second")).await.is_ok()), (401, true));
        assert_eq!(admin.patch(&path, &json!({"user": {"password": "third", "options": {"lock_password": true}}})).await.status, 200);
        assert!(cloud.token(&log_in("third")).await.is_ok());
        assert_eq!(bob.post(&format!("{path}/password"), &change("third", "fourth")).await.status, 400);
        for (body, status, text) in [
            (json!({"user": {"domain_id": "x"}}), 400, "Cannot change Domain ID"),
            (json!({"user": {"id": "x"}}), 400, "Cannot change ID"),
            (json!({"user": {"options": {"nope": 1}}}), 400, "Additional properties are not allowed ('nope' was unexpected)"),
            (json!({"user": {"enabled": "foo"}}), 400, "'foo' is not one of [True"),
            (json!({"user": {"name": "admin"}}), 409, "Duplicate entry found with name admin at domain ID default."),
        ] {
            let refused = admin.patch(&path, &body).await;
            assert!(refused.status == status && message(&refused).contains(text), "{:?}", refused.body);
        }
        assert_eq!((admin.delete(&path).await.status, admin.get(&path).await.status), (204, 404));
    }

    async fn groups_have_members(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let group = make(&admin, "groups", "group", json!({"name": "g", "description": "d"})).await;
        let user = make(&admin, "users", "user", json!({"name": "u"})).await;
        let member = format!("{V3}/groups/{}/users/{}", id(&group), id(&user));
        assert_eq!(admin.get(&member).await.status, 404);
        assert_eq!((admin.put(&member, &json!(null)).await.status, admin.put(&member, &json!(null)).await.status), (204, 204));
        assert_eq!(admin.get(&member).await.status, 204);
        assert_eq!(names(&admin.get(&format!("{V3}/groups/{}/users", id(&group))).await, "users"), ["u"]);
        assert_eq!(names(&admin.get(&format!("{V3}/users/{}/groups", id(&user))).await, "groups"), ["g"]);
        assert_eq!(demo.get(&format!("{V3}/users/{}/groups", id(&user))).await.status, 403);
        assert_eq!((admin.delete(&member).await.status, admin.delete(&member).await.status), (204, 404));
        let refused = admin.post(&format!("{V3}/groups"), &json!({"group": {"name": "g"}})).await;
        assert_eq!(refused.status, 409);
        assert_eq!(cloud.token(&password("demo", PASSWORD, "demo")).await.map(|(_, token)| token["project"]["name"].clone()), Ok(json!("demo")));
    }
}

/// By what operators may set, off by default: passwords that expire, and that are not taken again; hashes of another cost.
async fn passwords_follow_the_rules(on: On) {
    let config = IdentityConfig {
        password_expires_days: Some(1),
        unique_last_password_count: 2,
        password_hash_iterations: 2,
        ..identity_config()
    };
    let cloud = Cloud::with_identity(on, config).await;
    let hashes = async || -> Vec<String> {
        let mut connection = cloud.database.read().await.unwrap();
        sql!("SELECT password_hash FROM users WHERE name = 'admin'").fetch_all(&mut connection).await.unwrap()
    };
    // Made with the cost of before, and made anew when the password was there to make it with.
    assert!(hashes().await[0].contains("t=1,"));
    let admin = cloud.admin().await;
    assert!(hashes().await[0].contains("t=2,"));
    assert_eq!(admin.get(&format!("{V3}/users")).await.status, 200);

    let user = make(&admin, "users", "user", json!({"name": "u", "password": "one"})).await;
    assert!(user["password_expires_at"].is_string());
    let path = format!("{V3}/users/{}/password", id(&user));
    let change = |old: &str, new: &str| json!({"user": {"original_password": old, "password": new}});
    let refused = cloud.anonymous().post(&path, &change("one", "one")).await;
    assert!(
        refused.status == 400 && message(&refused).contains("cannot be identical to a previous password"),
        "{:?}",
        refused.body
    );
    assert_eq!(cloud.anonymous().post(&path, &change("one", "two")).await.status, 204);
    assert_eq!(cloud.anonymous().post(&path, &change("two", "one")).await.status, 400);
    assert_eq!(cloud.anonymous().post(&path, &change("two", "three")).await.status, 204);
    assert_eq!(cloud.anonymous().post(&path, &change("three", "one")).await.status, 204);

    cloud.execute(sql!("UPDATE users SET password_expires_at = " (Timestamp::UNIX_EPOCH) " WHERE name = 'u'")).await;
    let log_in = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": user["id"], "password": "one"}}}}});
    let refused = cloud.anonymous().post(&format!("{V3}/auth/tokens"), &log_in).await;
    let text = format!("The password is expired and needs to be changed for user: {}.", id(&user));
    assert_eq!((refused.status, message(&refused)), (401, text.as_str()));
    assert_eq!(cloud.anonymous().post(&path, &change("one", "four")).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_expire_and_are_not_taken_again_where_the_configuration_says_so() {
    passwords_follow_the_rules(On::Sqlite).await;
}

mod on_postgres_with_rules {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn passwords_expire_and_are_not_taken_again_where_the_configuration_says_so() {
        passwords_follow_the_rules(On::Postgres).await;
    }
}
