//! Key pairs: imported, made, listed, given to servers, removed.

use serde_json::{Value, json};

use crate::support::{Cloud, create};

const KEYPAIRS: &str = "/compute/v2.1/os-keypairs";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio me@host";

fn import(name: &str) -> Value {
    json!({"keypair": {"name": name, "public_key": KEY}})
}

on_both! {
    async fn a_public_key_is_imported_shown_and_removed(cloud: Cloud) {
        let demo = cloud.demo().await;
        let made = demo.post(KEYPAIRS, &import("mine")).await;
        assert_eq!(made.status, 200);
        let keypair = &made.body["keypair"];
        assert_eq!((&keypair["name"], &keypair["public_key"]), (&json!("mine"), &json!(KEY)));
        assert!(keypair.get("private_key").is_none() && keypair.get("type").is_none(), "{keypair}");
        let made = demo.at("2.92").post(KEYPAIRS, &import("me@host.org")).await;
        assert_eq!((made.status, &made.body["keypair"]["type"]), (201, &json!("ssh")));
        let shown = demo.get(&format!("{KEYPAIRS}/mine")).await;
        assert_eq!(shown.body["keypair"]["fingerprint"], keypair["fingerprint"]);
        assert_eq!(shown.body["keypair"]["deleted"], false);
        assert_eq!(demo.at("2.1").delete(&format!("{KEYPAIRS}/mine")).await.status, 202);
        assert_eq!(demo.at("2.2").delete(&format!("{KEYPAIRS}/me@host.org")).await.status, 204);
        let gone = demo.get(&format!("{KEYPAIRS}/mine")).await;
        assert_eq!(gone.status, 404);
        assert!(gone.message().contains("mine"), "{}", gone.message());
    }

    async fn a_pair_is_made_where_no_public_key_is_given_until_2_91(cloud: Cloud) {
        let demo = cloud.demo().await;
        let new = json!({"keypair": {"name": "new"}});
        let made = demo.at("2.91").post(KEYPAIRS, &new).await;
        assert!(made.body["keypair"]["private_key"].as_str().unwrap().contains("BEGIN OPENSSH PRIVATE KEY"));
        assert_eq!(demo.at("2.92").post(KEYPAIRS, &new).await.status, 400);
        assert_eq!(demo.post(KEYPAIRS, &new).await.status, 409);
        for wrong in [
            json!({"keypair": {"public_key": KEY}}),
            json!({"keypair": {"name": "a/b"}}),
            json!({"keypair": {"name": "x", "public_key": "no key"}}),
            json!({"keypair": {"name": "x", "type": "ssh"}}),
            json!({"keypair": {"name": "x", "other": 1}}),
        ] {
            assert_eq!(demo.post(KEYPAIRS, &wrong).await.status, 400, "{wrong}");
        }
    }

    async fn key_pairs_are_their_users_and_listed_in_pages(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        for name in ["b", "a", "c"] {
            demo.post(KEYPAIRS, &import(name)).await;
        }
        let page = demo.at("2.35").get(&format!("{KEYPAIRS}?limit=2")).await;
        let names: Vec<_> = page.body["keypairs"].as_array().unwrap().iter().map(|k| &k["keypair"]["name"]).collect();
        assert_eq!(names, ["a", "b"]);
        let next = page.body["keypairs_links"][0]["href"].as_str().unwrap().to_owned();
        let rest = demo.at("2.35").get(next.strip_prefix("http://cloud.test").unwrap()).await;
        assert_eq!(rest.body["keypairs"][0]["keypair"]["name"], "c");
        assert_eq!(demo.at("2.35").get(&format!("{KEYPAIRS}?marker=none")).await.status, 400);
        // Another user's do not exist, but for administrators who ask for them.
        assert_eq!(admin.get(KEYPAIRS).await.body["keypairs"], json!([]));
        let demo_id = demo.at("2.10").get(&format!("{KEYPAIRS}/a")).await.body["keypair"]["user_id"].clone();
        let of_demo = format!("{KEYPAIRS}?user_id={}", demo_id.as_str().unwrap());
        assert_eq!(admin.at("2.10").get(&of_demo).await.body["keypairs"].as_array().unwrap().len(), 3);
        assert_eq!(demo.at("2.10").get(&format!("{KEYPAIRS}?user_id=another")).await.status, 403);
    }

    async fn a_server_is_made_with_a_key_pair_that_is_there(cloud: Cloud) {
        let demo = cloud.demo().await;
        let mut body = create("s");
        body["server"]["key_name"] = json!("mine");
        let refused = demo.post("/compute/v2.1/servers", &body).await;
        assert_eq!((refused.status, refused.message()), (400, "Invalid key_name provided."));
        demo.post(KEYPAIRS, &import("mine")).await;
        let made = demo.post("/compute/v2.1/servers", &body).await;
        assert_eq!(made.status, 202);
        let path = format!("/compute/v2.1/servers/{}", made.body["server"]["id"].as_str().unwrap());
        assert_eq!(demo.get(&path).await.body["server"]["key_name"], "mine");
        let limits = demo.get("/compute/v2.1/limits").await;
        assert_eq!(limits.body["limits"]["absolute"]["maxTotalKeypairs"], 100);
    }
}
