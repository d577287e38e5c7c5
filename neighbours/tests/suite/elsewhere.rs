//! A Networking that is asked over HTTP, by a user of Compute's own.

use std::{sync::Arc, time::Duration};

use novella_common::{config::Secret, networks::Networks};
use novella_neighbours::NetworksElsewhere;
use novella_rest::keystone::{Keystone, KeystoneConfig};
use novella_testing::rest::Client;
use serde_json::{Value, json};

/// Makes the user, at the Identity of this URL, and asks Networking as him.
pub async fn elsewhere(identity: &str, networking: &str, admin_password: &str) -> Arc<dyn Networks> {
    let keystone = keystone(identity, admin_password).await;
    Arc::new(NetworksElsewhere::new(Some(networking), None, keystone).unwrap())
}

/// Makes the user, at the Identity of this URL, and asks it as him.
pub async fn keystone(identity: &str, admin_password: &str) -> Arc<Keystone> {
    make_user(identity, admin_password).await;
    let keystone = Keystone::new(KeystoneConfig {
        url: identity.to_owned(),
        user: "nova".into(),
        user_domain: "Default".into(),
        password: Secret::new("nova's"),
        project: "service".into(),
        project_domain: "Default".into(),
        authority: None,
        cache_time: Duration::from_secs(10),
    });
    Arc::new(keystone.unwrap())
}

/// As Nova's user is: with the roles `admin` and `service` in the project `service`.
async fn make_user(identity: &str, admin_password: &str) {
    let admin = Client::login(identity, identity, ("admin", admin_password), "admin").await;
    let send = async |method: &str, path: &str, body: Value| {
        let answer = admin.send(method.parse().unwrap(), path, Some(&body), &[]).await;
        assert!(answer.status < 300, "{path}: {answer:?}");
        answer.body
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
