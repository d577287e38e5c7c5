//! Identity by itself, and a Compute that takes its tokens.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{
    client::Client,
    cloud::{Cloud, PASSWORD, Settings, wait_for},
    identity::IdentityAlone,
    process::novella,
};

fn users_of(identity: &IdentityAlone) -> Settings {
    Settings { identity: Some(identity.url.clone()), ..Settings::default() }
}

async fn compute_takes_the_tokens_of_an_identity_elsewhere(mut identity: IdentityAlone, cloud: Cloud) {
    let http = reqwest::Client::new();
    let admin = cloud.client().await;
    let demo = cloud.client_of("demo", "demo").await;
    let id = demo.create("theirs", json!({})).await;
    demo.wait_for_status(&id, "ACTIVE").await;
    let create = json!({"server": {"name": "s", "flavorRef": "1", "imageRef": "", "networks": "none"}});
    assert_eq!(admin.get(&format!("/servers/{id}")).await["server"]["name"], "theirs");
    assert_eq!(demo.request(Method::GET, "/os-hypervisors", None).await.0, StatusCode::FORBIDDEN);

    // No Identity is served there, and who is refused is told where one is.
    let none = http.get(format!("{}/identity/v3/users", cloud.endpoint)).header("X-Auth-Token", demo.secret()).send();
    assert_eq!(none.await.unwrap().status(), StatusCode::NOT_FOUND);
    let refused = admin.with_token("0123456789abcdef").send(Method::GET, "/servers", None).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let said = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert_eq!(said, format!("Keystone uri=\"{}\"", identity.url));

    // Quotas are those of projects that there are.
    let quotas = json!({"quota_set": {"instances": 7}});
    let (status, body) = admin.request(Method::PUT, "/os-quota-sets/0123456789abcdef", Some(&quotas)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");

    // A token that is revoked there is refused here.
    let gone = cloud.client_of("demo", "demo").await;
    assert_eq!(gone.request(Method::GET, "/servers", None).await.0, StatusCode::OK);
    let url = format!("{}/auth/tokens", identity.url);
    let ended = http.delete(&url).header("X-Auth-Token", gone.secret()).header("X-Subject-Token", gone.secret()).send();
    assert_eq!(ended.await.unwrap().status(), StatusCode::NO_CONTENT);
    wait_for("the end of a token", async || {
        gone.request(Method::GET, "/servers", None).await.0 == StatusCode::UNAUTHORIZED
    })
    .await;

    // Without Identity nobody is let in whom it has not named, and nobody is told that his token is wrong.
    let later = cloud.client_of("demo", "demo").await;
    identity.process.kill();
    for client in [&later, &later.with_token("0123456789abcdef")] {
        let (status, body) = client.request(Method::POST, "/servers", Some(&create)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        let said = body["serviceUnavailable"]["message"].as_str().unwrap();
        assert!(said.contains("The Identity service can't be asked at present"), "{said}");
    }
    identity.process.restart();
    wait_for("Identity again", async || later.request(Method::GET, "/servers", None).await.0 == StatusCode::OK).await;
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn compute_takes_the_tokens_of_an_identity_elsewhere() {
        let identity = IdentityAlone::on_sqlite().await;
        let cloud = Cloud::embedded(users_of(&identity)).await;
        assert!(!cloud.data_folder().join("clouds.yaml").exists(), "nobody can log in there");
        super::compute_takes_the_tokens_of_an_identity_elsewhere(identity, cloud).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn identity_alone_is_what_it_is_in_a_cloud() {
        super::identity_alone_is_what_it_is_in_a_cloud(IdentityAlone::on_sqlite().await).await;
    }
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn compute_takes_the_tokens_of_an_identity_elsewhere() {
        let identity = IdentityAlone::on_postgres().await;
        let cloud = Cloud::apart(users_of(&identity)).await;
        super::compute_takes_the_tokens_of_an_identity_elsewhere(identity, cloud).await;
    }
}

mod on_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn identity_alone_is_what_it_is_in_a_cloud() {
        super::identity_alone_is_what_it_is_in_a_cloud(IdentityAlone::on_postgres().await).await;
    }
}

async fn identity_alone_is_what_it_is_in_a_cloud(mut identity: IdentityAlone) {
    let root = identity.url.trim_end_matches("/identity/v3").to_owned();
    let admin = Client::connect_by(&identity.url, &root, "admin", PASSWORD, "admin").await;
    let http = reqwest::Client::new();
    let get = async |path: &str| {
        http.get(format!("{root}{path}")).header("X-Auth-Token", admin.secret()).send().await.unwrap()
    };
    assert_eq!(get("/identity/v3/users").await.status(), StatusCode::OK);
    assert_eq!(get("/compute/v2.1/servers").await.status(), StatusCode::NOT_FOUND);
    let versions: serde_json::Value = get("/").await.json().await.unwrap();
    assert_eq!(versions["versions"]["values"][0]["id"], "v3.14", "{versions}");
    assert!(identity.process.terminate().success());
}

#[test]
fn an_identity_elsewhere_needs_a_user_and_is_none_for_identity_itself() {
    let folder = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = novella()
            .args(arguments)
            .args(["--data", folder.path().to_str().unwrap()])
            .envs(variables.iter().copied())
            .output();
        let output = output.unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let url = ("NOVELLA_API__IDENTITY_URL", "http://127.0.0.1:1/v3");
    let without = said(&["up", "--listen", &crate::support::cloud::free_address()], &[url]);
    assert!(without.contains("api.identity_password is not"), "{without}");
    let merged = said(&["up", "--merge"], &[url]);
    assert!(merged.contains("unset api.identity_url"), "{merged}");
    let itself = said(&["identity"], &[url]);
    assert!(itself.contains("this process is to be one"), "{itself}");
    let malformed = [("NOVELLA_API__IDENTITY_URL", "keystone:5000"), ("NOVELLA_API__IDENTITY_PASSWORD", "x")];
    let malformed = said(&["up", "--listen", &crate::support::cloud::free_address()], &malformed);
    assert!(malformed.contains("is no URL of a service"), "{malformed}");
}
