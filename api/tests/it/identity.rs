//! Tokens: given out, shown, refused, ended.

use axum::body::Body;
use http::Method;
use jiff::Timestamp;
use novella_common::sql;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Cloud, PASSWORD, password};

const TOKENS: &str = "/identity/v3/auth/tokens";

on_both! {
    async fn a_password_gets_a_token_with_roles_and_a_catalog(cloud: Cloud) {
        let answer = cloud.anonymous().post(TOKENS, &password("admin", PASSWORD, "admin")).await;
        assert_eq!(answer.status, 201);
        assert!(answer.header("x-subject-token").unwrap().len() >= 43);
        insta::assert_json_snapshot!("token", answer.body, {
            ".token.audit_ids" => "[audit_ids]",
            ".token.*.id" => "[id]",
            ".token.roles[].id" => "[id]",
            ".token.catalog[].id" => "[id]",
            ".token.catalog[].endpoints[].id" => "[id]",
            ".token.issued_at" => "[time]",
            ".token.expires_at" => "[time]",
        });
    }

    async fn a_wrong_password_an_unknown_user_and_a_project_without_a_role_look_the_same(cloud: Cloud) {
        for body in [
            password("admin", "wrong", "admin"),
            password("nobody", PASSWORD, "admin"),
            password("demo", PASSWORD, "admin"),
            password("admin", PASSWORD, "nowhere"),
        ] {
            let answer = cloud.anonymous().post(TOKENS, &body).await;
            assert_eq!(answer.status, 401);
            assert_eq!(answer.body, json!({"error": {
                "code": 401, "title": "Unauthorized",
                "message": "The request you have made requires authentication.",
            }}));
        }
    }

    async fn a_domain_is_no_project_to_work_in(cloud: Cloud) {
        let admin = cloud.admin().await;
        let (_, body) = cloud.token(&password("admin", PASSWORD, "admin")).await.unwrap();
        let roles = admin.get("/identity/v3/roles?name=member").await.body;
        let user = body["user"]["id"].as_str().unwrap();
        let grant = format!("/identity/v3/domains/default/users/{user}/roles/{}", roles["roles"][0]["id"].as_str().unwrap());
        assert_eq!(admin.put(&grant, &json!(null)).await.status, 204);
        for (scope, status) in [("project", 401), ("domain", 201)] {
            let mut wanted = password("admin", PASSWORD, "");
            wanted["auth"]["scope"] = json!({scope: {"id": "default"}});
            assert_eq!(cloud.anonymous().post(TOKENS, &wanted).await.status, status, "{scope}");
        }
    }

    async fn a_token_for_the_system_is_exchanged_for_none_for_less(cloud: Cloud) {
        let mut wanted = password("admin", PASSWORD, "");
        wanted["auth"]["scope"] = json!({"system": {"all": true}});
        let (token, _) = cloud.token(&wanted).await.unwrap();
        for (scope, status) in [
            (json!({"project": {"name": "admin", "domain": {"id": "default"}}}), 403),
            (json!({"domain": {"id": "default"}}), 403),
            (json!({"system": {"all": true}}), 201),
        ] {
            let identity = json!({"methods": ["token"], "token": {"id": token}});
            let answer = cloud.anonymous().post(TOKENS, &json!({"auth": {"identity": identity, "scope": scope}})).await;
            assert_eq!(answer.status, status, "{scope}");
        }
    }

    async fn without_a_scope_the_default_project_counts_and_without_one_none(cloud: Cloud) {
        let unscoped = |user: &str| {
            let mut body = password(user, PASSWORD, "");
            body["auth"].as_object_mut().unwrap().remove("scope");
            body
        };
        let (_, demo) = cloud.token(&unscoped("demo")).await.unwrap();
        assert_eq!(demo["project"], Value::Null);
        let (user, project) = (demo["user"]["id"].as_str().unwrap(), cloud.demo().await.get("/identity/v3/auth/projects").await);
        let change = json!({"user": {"default_project_id": project.body["projects"][0]["id"]}});
        assert_eq!(cloud.admin().await.patch(&format!("/identity/v3/users/{user}"), &change).await.status, 200);
        assert_eq!(cloud.token(&unscoped("demo")).await.unwrap().1["project"]["name"], "demo");
        let admin = cloud.anonymous().post(TOKENS, &unscoped("admin")).await;
        assert_eq!((admin.status, &admin.body["token"]["project"]), (201, &Value::Null));
        assert_eq!(admin.body["token"]["catalog"], Value::Null);
        // What it is good for: finding out which projects there are, and getting a scoped one.
        let token = admin.header("x-subject-token").unwrap();
        let mut client = cloud.anonymous();
        client.token = Some(token.to_owned());
        let projects = client.get("/identity/v3/auth/projects").await;
        let names: Vec<_> = projects.body["projects"].as_array().unwrap().iter().map(|p| p["name"].clone()).collect();
        assert_eq!(names, ["admin", "demo"]);
        assert_eq!(client.get("/compute/v2.1/servers").await.status, 403);
        let scoped = json!({"auth": {
            "identity": {"methods": ["token"], "token": {"id": token}},
            "scope": {"project": {"name": "demo", "domain": {"name": "Default"}}},
        }});
        let scoped = cloud.anonymous().post(TOKENS, &scoped).await;
        assert_eq!((scoped.status, &scoped.body["token"]["project"]["name"]), (201, &json!("demo")));
        // No longer than the one it was got with.
        assert_eq!(scoped.body["token"]["expires_at"], admin.body["token"]["expires_at"]);
    }

    async fn a_token_is_shown_to_its_owner_and_to_administrators_only(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let show = async |client: &Client<'_>, subject: &str| {
            client.send_with(Method::GET, TOKENS, Body::empty(), &[("x-subject-token", subject)]).await
        };
        let (admins, demos) = (admin.token.clone().unwrap(), demo.token.clone().unwrap());
        let own = show(&demo, &demos).await;
        assert_eq!((own.status, own.header("x-subject-token")), (200, Some(demos.as_str())));
        assert_eq!(show(&admin, &demos).await.body["token"]["user"]["name"], "demo");
        assert_eq!(show(&demo, &admins).await.status, 403);
        assert_eq!(show(&admin, "nonsense").await.status, 404);
        assert_eq!(show(&cloud.anonymous(), &demos).await.status, 401);
    }

    async fn a_token_that_was_ended_is_refused_at_once(cloud: Cloud) {
        let demo = cloud.demo().await;
        assert_eq!(demo.get("/compute/v2.1/servers").await.status, 200);
        let token = demo.token.clone().unwrap();
        let ended = demo.send_with(Method::DELETE, TOKENS, Body::empty(), &[("x-subject-token", &token)]).await;
        assert_eq!(ended.status, 204);
        let refused = demo.get("/compute/v2.1/servers").await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.header("www-authenticate"), Some("Keystone uri=\"http://cloud.test/identity\""));
    }

    async fn an_expired_token_is_refused(cloud: Cloud) {
        let demo = cloud.demo().await;
        cloud.execute(sql!("UPDATE tokens SET expires_at = " (Timestamp::UNIX_EPOCH))).await;
        assert_eq!(demo.get("/compute/v2.1/servers").await.status, 401);
    }

    async fn a_token_is_not_in_the_database(cloud: Cloud) {
        let token = cloud.demo().await.token.unwrap();
        let mut connection = cloud.database.read().await.unwrap();
        let kept: Vec<String> = sql!("SELECT token_hash FROM tokens").fetch_all(&mut connection).await.unwrap();
        assert_eq!(kept.len(), 1);
        assert!(!kept[0].contains(&token));
    }

    async fn what_is_no_request_for_a_token_is_refused_by_name(cloud: Cloud) {
        for (body, field) in [
            (json!({}), "Expecting to find auth in request body."),
            (json!({"auth": {}}), "'identity' is a required property"),
            (json!({"auth": {"identity": {"methods": ["totp"]}}}), "Expecting to find totp in identity."),
            (json!({"auth": {"identity": {"methods": ["password"]}}}), "Expecting to find password in identity."),
            (json!({"auth": {"identity": {"methods": "password"}}}), "'password' is not of type 'array'"),
            (json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "a", "password": "b"}}}}}),
             "domain"),
        ] {
            let answer = cloud.anonymous().post(TOKENS, &body).await;
            assert_eq!(answer.status, 400, "{body}");
            let message = answer.body["error"]["message"].as_str().unwrap();
            assert!(message.contains(field), "{message}");
        }
    }

    async fn who_and_what_there_is(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let names = |answer: &Answer, key: &str| -> Vec<String> {
            answer.body[key].as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&admin.get("/identity/v3/projects").await, "projects"), ["admin", "demo"]);
        assert_eq!(names(&admin.get("/identity/v3/projects?name=demo").await, "projects"), ["demo"]);
        assert_eq!(names(&admin.get("/identity/v3/users").await, "users"), ["admin", "demo"]);
        assert_eq!(demo.get("/identity/v3/users").await.status, 403);
        assert_eq!(names(&admin.get("/identity/v3/roles").await, "roles"), ["admin", "manager", "member", "reader", "service"]);
        assert_eq!(admin.get("/identity/v3/projects/nothing").await.status, 404);
        assert_eq!(admin.get("/identity/v3/nothing").await.body["error"]["code"], 404);
    }

    async fn a_member_sees_his_own_project_and_its_domain(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let own = demo.get("/identity/v3/auth/projects").await.body["projects"][0].clone();
        let ids = admin.get("/identity/v3/projects?name=admin").await.body;
        let (own_id, admins) = (own["id"].as_str().unwrap(), ids["projects"][0]["id"].as_str().unwrap());
        assert_eq!(demo.get(&format!("/identity/v3/projects/{own_id}")).await.body["project"], own);
        assert_eq!(demo.get("/identity/v3/domains/default").await.body["domain"]["name"], "Default");
        for path in ["projects", &format!("projects/{admins}"), "projects/nothing", "domains", "domains/nothing"] {
            let answer = demo.get(&format!("/identity/v3/{path}")).await;
            assert_eq!((answer.status, &answer.body["error"]["title"]), (403, &json!("Forbidden")), "{path}");
        }
        assert_eq!(admin.get("/identity/v3/domains/nothing").await.status, 404);
        // With a token for no project there is none whose domain it could be.
        let unscoped = json!({"auth": {"identity": {"methods": ["token"], "token": {"id": demo.token}}, "scope": "unscoped"}});
        let answer = cloud.anonymous().post(TOKENS, &unscoped).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        let token = answer.header("x-subject-token").unwrap().to_owned();
        let mut nobody = demo.clone();
        nobody.token = Some(token);
        assert_eq!(nobody.get("/identity/v3/domains/default").await.status, 403);
    }

    async fn a_user_lists_the_projects_he_has_a_role_in(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let users = admin.get("/identity/v3/users").await.body;
        let id = |index: usize| users["users"][index]["id"].as_str().unwrap();
        let path = |id: &str| format!("/identity/v3/users/{id}/projects");
        let names = async |client: &Client<'_>, path: &str| -> Vec<String> {
            let body = client.get(path).await.body;
            body["projects"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&demo, &path(id(1))).await, ["demo"]);
        assert_eq!(names(&admin, &path(id(0))).await, ["admin", "demo"]);
        let first = admin.get(&format!("{}?limit=1", path(id(0)))).await.body;
        let next = first["links"]["next"].as_str().unwrap().strip_prefix("http://cloud.test").unwrap().to_owned();
        assert_eq!(names(&admin, &next).await, ["demo"]);
        assert_eq!(demo.get(&path(id(0))).await.status, 403);
        assert_eq!((demo.get(&path("nobody")).await.status, admin.get(&path("nobody")).await.status), (403, 404));
    }

    async fn versions_are_found_without_a_token(cloud: Cloud) {
        let anybody = cloud.anonymous();
        assert_eq!(anybody.get("/identity").await.status, 300);
        assert_eq!(anybody.get("/identity/v3/").await.body["version"]["id"], "v3.14");
        assert_eq!(anybody.get("/image").await.status, 300);
        let compute = anybody.get("/compute").await;
        // No version is promised that is not served.
        assert_eq!((compute.status, &compute.body["versions"][0]["id"]), (200, &json!("v2.1")));
        for version in compute.body["versions"].as_array().unwrap() {
            let link = version["links"][0]["href"].as_str().unwrap().strip_prefix("http://cloud.test").unwrap();
            assert_eq!(anybody.get(link).await.body["version"]["id"], version["id"]);
        }
    }
}
