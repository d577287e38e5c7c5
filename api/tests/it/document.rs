//! What the OpenAPI document says, held against what the services do.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Method;
use novella_common::{db::migrations, sql};
use serde_json::{Value, json};

use crate::support::{Cloud, IMAGE};

fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if let Some(operation) = item.get(method.as_str().to_ascii_lowercase()) {
                all.push((method, path.clone(), operation.clone()));
            }
        }
    }
    all
}

on_both! {
    async fn the_document_says_of_each_operation_whether_it_asks_for_a_token(cloud: Cloud) {
        let document = cloud.anonymous().get("/openapi.json").await.body;
        let scheme = &document["components"]["securitySchemes"]["token"];
        assert_eq!((&scheme["type"], &scheme["in"], &scheme["name"]), (&json!("apiKey"), &json!("header"), &json!("X-Auth-Token")));
        assert_eq!(document["security"], json!([{"token": []}]));
        let mut public = Vec::new();
        for (method, path, operation) in operations(&document) {
            let plain = path.replace(['{', '}'], "");
            let answer = cloud.anonymous().send(method.clone(), &plain, Body::empty()).await;
            match &operation["security"] {
                asked if *asked == json!([{"token": []}]) => assert_eq!(answer.status, 401, "{method} {path}"),
                asked if *asked == json!([]) => {
                    assert_ne!(answer.status, 401, "{method} {path}");
                    public.push(format!("{method} {path}"));
                }
                other => panic!("{method} {path}: {other}"),
            }
        }
        assert!(public.contains(&"POST /identity/v3/auth/tokens".to_owned()), "{public:?}");
    }

    async fn a_marker_of_another_project_is_refused_as_an_unknown_one_by_every_list(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let admin = cloud.admin().await;
        // All of these are the administrator's, and nothing of it is the user's to know.
        let server = cloud.active_server(&admin, "s", "host-1").await;
        assert_eq!(admin.at("2.34").action(server, &json!({"os-migrateLive": {"host": null, "block_migration": "auto"}})).await.status, 202);
        let migration = migrations::under_way(&mut cloud.database.read().await.unwrap(), None).await.unwrap()[0].uuid.to_string();
        assert_eq!(admin.post("/compute/v2.1/os-keypairs", &json!({"keypair": {"name": "theirs"}})).await.status, 200);
        let flavor = json!({"flavor": {"id": "theirs", "name": "theirs", "vcpus": 1, "ram": 1, "disk": 1, "os-flavor-access:is_public": false}});
        assert_eq!(admin.post("/compute/v2.1/flavors", &flavor).await.status, 200);
        let mine = cloud.active_server(&cloud.demo().await, "mine", "host-1").await.to_string();
        cloud.execute(sql!("UPDATE images SET visibility = 'private', owner = 'theirs' WHERE id = " (IMAGE))).await;
        cloud
            .execute(sql!(
                "UPDATE role_assignments SET role_id = (SELECT id FROM roles WHERE name = 'manager') \
                 WHERE role_id = (SELECT id FROM roles WHERE name = 'member')"
            ))
            .await;
        let demo = cloud.demo().await;
        let own = demo.get("/identity/v3/auth/projects").await.body["projects"][0]["id"].as_str().unwrap().to_owned();
        let theirs = admin.get("/identity/v3/auth/projects").await.body["projects"][0]["id"].as_str().unwrap().to_owned();
        let hypervisor = admin.at("2.53").get("/compute/v2.1/os-hypervisors").await.body["hypervisors"][0]["id"].as_str().unwrap().to_owned();
        let actions = admin.get(&format!("/compute/v2.1/servers/{server}/os-instance-actions")).await.body;
        let action = actions["instanceActions"][0]["request_id"].as_str().unwrap().to_owned();
        let user = admin.get("/identity/v3/users?name=admin").await.body["users"][0]["id"].as_str().unwrap().to_owned();
        let body = json!({"namespace": "theirs", "tags": [{"name": "a-tag"}], "objects": [{"name": "an-object"}]});
        assert_eq!(admin.post("/image/v2/metadefs/namespaces", &body).await.status, 201);
        let body = json!({"type": "api_image_import", "input": {}});
        let task = admin.post("/image/v2/tasks", &body).await.body["id"].as_str().unwrap().to_owned();
        let server = server.to_string();
        let (network, subnet) = admin.network(json!({"name": "theirs"}), "10.1.0.0/24").await;
        let port = admin.port(&network).await;
        let group = admin.make("security-groups", "security_group", json!({"name": "theirs"})).await;
        let markers = [
            ("/compute/v2.1/servers", "", &server),
            ("/compute/v2.1/servers/detail", "", &server),
            ("/compute/v2.1/os-volumes_boot", "", &server),
            ("/compute/v2.1/os-volumes_boot/detail", "", &server),
            ("/compute/v2.1/os-simple-tenant-usage", "", &server),
            ("/compute/v2.1/os-simple-tenant-usage/{project_id}", "", &server),
            ("/compute/v2.1/servers/{server_id}/os-instance-actions", "", &action),
            ("/compute/v2.1/os-keypairs", "", &"theirs".to_owned()),
            ("/compute/v2.1/os-migrations", &format!("&project_id={own}"), &migration),
            ("/compute/v2.1/os-hypervisors", "", &hypervisor),
            ("/compute/v2.1/os-hypervisors/detail", "", &hypervisor),
            ("/compute/v2.1/flavors", "", &"theirs".to_owned()),
            ("/compute/v2.1/flavors/detail", "", &"theirs".to_owned()),
            ("/compute/v2.1/images", "", &IMAGE.to_owned()),
            ("/compute/v2.1/images/detail", "", &IMAGE.to_owned()),
            ("/image/v2/images", "", &IMAGE.to_owned()),
            ("/image/v2/tasks", "", &task),
            ("/image/v2/metadefs/namespaces", "", &"theirs".to_owned()),
            ("/image/v2/metadefs/namespaces/{namespace}/objects", "", &"an-object".to_owned()),
            ("/image/v2/metadefs/namespaces/{namespace}/tags", "", &"a-tag".to_owned()),
            ("/networking/v2.0/networks", "", &network),
            ("/networking/v2.0/subnets", "", &subnet),
            ("/networking/v2.0/ports", "", &port),
            ("/networking/v2.0/security-groups", "", &group),
            ("/identity/v3/projects", "", &theirs),
            ("/identity/v3/users", "", &user),
            ("/identity/v3/users/{user_id}/projects", "", &theirs),
        ];
        let document = cloud.anonymous().get("/openapi.json").await.body;
        let with_pages: BTreeSet<String> = operations(&document)
            .into_iter()
            .filter(|(_, _, operation)| operation["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "marker")))
            .map(|(_, path, _)| path)
            .collect();
        let named: BTreeSet<String> = markers.iter().map(|(path, ..)| (*path).to_owned()).collect();
        // Of the others of Identity a user sees nothing, or what is nobody's secret. Networking's are all made by one function.
        let others: Vec<String> = with_pages.difference(&named).cloned().collect();
        assert!(named.is_subset(&with_pages), "{named:?}");
        let elsewhere = |path: &String| path.starts_with("/identity/") || path.starts_with("/networking/");
        assert!(others.iter().all(elsewhere), "say here what is another project's: {others:?}");

        let me = demo.get(&format!("/compute/v2.1/servers/{mine}")).await.body["server"]["user_id"].as_str().unwrap().to_owned();
        for (path, more, theirs) in markers {
            let path = path.replace("{server_id}", &mine).replace("{user_id}", &me).replace("{project_id}", &own);
            let path = path.replace("{namespace}", "theirs");
            let nobodys: String = theirs.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>() + "0";
            let nobodys = if theirs.len() == 36 { "00000000-0000-4000-8000-000000000009".to_owned() } else { nobodys };
            // The last that has them.
            let version = if path.starts_with("/compute/v2.1/images") { "2.35" } else { "2.90" };
            let asked = async |marker: &str| {
                let answer = demo.at(version).get(&format!("{path}?marker={marker}{more}")).await;
                (answer.status, answer.body.to_string().replace(marker, "MARKER"))
            };
            let (known, unknown) = (asked(theirs).await, asked(&nobodys).await);
            assert_eq!(known, unknown, "{path}");
            // In Networking an unknown marker is followed by nothing.
            let status = if path.starts_with("/networking/") { 200..=200 } else { 400..=404 };
            assert!(status.contains(&known.0), "{path}: {known:?}");
        }
    }
}
