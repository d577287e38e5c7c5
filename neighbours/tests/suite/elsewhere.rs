//! A Networking that is asked over HTTP, by a user of Compute's own.

use std::{sync::Arc, time::Duration};

use novella_common::{config::Secret, networks::Networks};
use novella_neighbours::NetworksElsewhere;
use novella_rest::keystone::{Keystone, KeystoneConfig};
use serde_json::{Value, json};

/// Makes the user, at the Identity of this base URL, and asks Networking at `url` as him.
pub async fn elsewhere(base: &str, url: &str, admin_password: &str) -> Arc<dyn Networks> {
    make_user(base, admin_password).await;
    let keystone = Keystone::new(KeystoneConfig {
        url: format!("{base}/identity/v3"),
        user: "nova".into(),
        user_domain: "Default".into(),
        password: Secret::new("nova's"),
        project: "service".into(),
        project_domain: "Default".into(),
        authority: None,
        cache_time: Duration::from_secs(10),
    });
    Arc::new(NetworksElsewhere::new(Some(url), None, Arc::new(keystone.unwrap())).unwrap())
}

/// As Nova's user is: with the roles `admin` and `service` in the project `service`.
async fn make_user(base: &str, admin_password: &str) {
    let http = reqwest::Client::new();
    let identity = format!("{base}/identity/v3");
    let domain = json!({"id": "default"});
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": {
            "user": {"name": "admin", "domain": domain, "password": admin_password},
        }},
        "scope": {"project": {"name": "admin", "domain": domain}},
    }});
    let answer = http.post(format!("{identity}/auth/tokens")).json(&body).send().await.unwrap();
    let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
    let send = async |method: &str, path: &str, body: Value| {
        let request = http.request(method.parse().unwrap(), format!("{identity}{path}"));
        let answer = request.header("x-auth-token", &token).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let text = answer.text().await.unwrap();
        serde_json::from_str::<Value>(&text).unwrap_or_default()
    };
    let project = send("POST", "/projects", json!({"project": {"name": "service", "domain_id": "default"}})).await;
    let user = json!({"user": {"name": "nova", "domain_id": "default", "password": "nova's"}});
    let user = send("POST", "/users", user).await;
    let [project, user] = [&project["project"]["id"], &user["user"]["id"]].map(|id| id.as_str().unwrap());
    for name in ["admin", "service"] {
        let roles = send("GET", &format!("/roles?name={name}"), Value::Null).await;
        let role = roles["roles"][0]["id"].as_str().unwrap();
        send("PUT", &format!("/projects/{project}/users/{user}/roles/{role}"), Value::Null).await;
    }
}
