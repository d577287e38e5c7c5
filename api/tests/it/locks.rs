//! Locked servers: nobody but administrators changes them.

use serde_json::{Value, json};

use crate::support::Cloud;

on_both! {
    async fn a_locked_server_is_changed_by_administrators_only(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        cloud.start_host("host-1").await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let path = format!("/compute/v2.1/servers/{uuid}");
        let lock = json!({"lock": {"locked_reason": "in use"}});
        assert_eq!(demo.at("2.73").action(uuid, &lock).await.status, 202);
        let shown = demo.at("2.73").get(&path).await;
        let shown = &shown.body["server"];
        assert_eq!((&shown["locked"], &shown["locked_reason"]), (&json!(true), &json!("in use")));
        let refused = demo.action(uuid, &json!({"os-stop": null})).await;
        assert_eq!((refused.status, refused.message()), (409, format!("Instance {uuid} is locked").as_str()));
        assert_eq!(demo.delete(&path).await.status, 409);
        assert_eq!(demo.post(&format!("{path}/metadata"), &json!({"metadata": {"a": "b"}})).await.status, 409);
        assert_eq!(admin.action(uuid, &json!({"os-stop": null})).await.status, 202);
        assert_eq!(demo.action(uuid, &json!({"unlock": null})).await.status, 202);
        let shown = demo.at("2.73").get(&path).await;
        let shown = &shown.body["server"];
        assert_eq!((&shown["locked"], &shown["locked_reason"]), (&json!(false), &Value::Null));
    }

    async fn a_lock_is_in_the_servers_history_and_a_second_one_changes_nothing(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let path = format!("/compute/v2.1/servers/{uuid}");
        for (action, argument) in [("lock", json!({"locked_reason": "first"})), ("lock", json!({"locked_reason": "second"}))] {
            assert_eq!(demo.at("2.73").action(uuid, &json!({action: argument})).await.status, 202);
        }
        assert_eq!(demo.at("2.73").get(&path).await.body["server"]["locked_reason"], "first");
        assert_eq!(demo.action(uuid, &json!({"unlock": null})).await.status, 202);
        let history = admin.get(&format!("{path}/os-instance-actions")).await.body["instanceActions"].clone();
        let named = |name: &str| {
            let all = history.as_array().unwrap().iter().filter(|action| action["action"] == name).collect::<Vec<_>>();
            assert_eq!(all.len(), 1, "{name}: {history}");
            all[0]["request_id"].as_str().unwrap().to_owned()
        };
        for (action, event) in [("lock", "api_lock"), ("unlock", "api_unlock")] {
            let shown = admin.get(&format!("{path}/os-instance-actions/{}", named(action))).await.body;
            let events = &shown["instanceAction"]["events"];
            assert_eq!((&events[0]["event"], &events[0]["result"]), (&json!(event), &json!("Success")), "{shown}");
        }
    }

    async fn what_an_administrator_has_locked_its_user_cannot_unlock(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        assert_eq!(admin.action(uuid, &json!({"lock": null})).await.status, 202);
        assert_eq!(demo.action(uuid, &json!({"unlock": null})).await.status, 403);
        let locked = async |query: &str| {
            let found = demo.at("2.73").get(&format!("/compute/v2.1/servers?{query}")).await;
            found.body["servers"].as_array().unwrap().len()
        };
        assert_eq!((locked("locked=true").await, locked("locked=false").await), (1, 0));
        assert_eq!(admin.action(uuid, &json!({"unlock": null})).await.status, 202);
        assert_eq!((locked("locked=true").await, locked("locked=false").await), (0, 1));
    }

    async fn a_reason_is_taken_from_2_73_on(cloud: Cloud) {
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        for wrong in [json!({"locked_reason": ""}), json!({"locked_reason": 1}), json!({"why": "x"}), json!("x")] {
            assert_eq!(demo.at("2.73").action(uuid, &json!({"lock": wrong})).await.status, 400, "{wrong}");
        }
        assert_eq!(demo.at("2.72").action(uuid, &json!({"lock": {"locked_reason": ""}})).await.status, 202);
    }
}
