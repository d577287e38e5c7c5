//! `/quotas`.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::Cloud;

on_both! {
    async fn of_many_at_once_no_more_are_made_than_a_project_may_have(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let path = format!("/quotas/{}", demo.project());
        let set = admin.put(&path, &json!({"quota": {"network": 3}})).await;
        assert_eq!((set.status, &set.body["quota"]["network"]), (200, &json!(3)));
        let body = json!({"network": {}});
        let answers = join_all((0..12).map(|_| demo.post("/networks", &body))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 3);
        let over = answers.iter().find(|answer| answer.status != 201).unwrap();
        assert_eq!((over.status, over.kind()), (409, "OverQuota"));
        assert_eq!(over.message(), "Quota exceeded for resources: ['network'].");
        let details = demo.get(&format!("{path}/details.json")).await.body;
        assert_eq!(details["quota"]["network"], json!({"limit": 3, "used": 3, "reserved": 0}));
        assert_eq!(admin.put(&path, &json!({"quota": {"network": 1}})).await.status, 400);
        assert_eq!(admin.put(&path, &json!({"quota": {"network": 1, "force": true}})).await.status, 200);
        assert_eq!(admin.delete(&path).await.status, 204);
        assert_eq!(admin.delete(&path).await.kind(), "TenantQuotaNotFound");
        assert_eq!(demo.post("/networks", &body).await.status, 201);
    }

    async fn everybody_sees_his_own_limits_and_administrators_all(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        assert_eq!(demo.get(&format!("/quotas/{}", demo.project())).await.body["quota"]["port"], 500);
        assert_eq!(demo.get(&format!("/quotas/{}", admin.project())).await.status, 403);
        assert_eq!(demo.get("/quotas").await.status, 403);
        let own = json!({"quota": {"port": 5}});
        assert_eq!(demo.put(&format!("/quotas/{}", demo.project()), &own).await.status, 403);
        assert_eq!(admin.put("/quotas/some", &own).await.status, 200);
        assert_eq!(admin.get("/quotas").await.body["quotas"][0]["project_id"], "some");
        for (quota, text) in [
            (json!({"bogus": 1}), "Unrecognized attribute(s) 'bogus'"),
            (json!({"port": -2}), "Invalid input for port. Reason: '-2' is too small - must be at least '-1'."),
            (json!({"port": "x"}), "Invalid input for operation: 'x' is not an integer."),
        ] {
            assert_eq!(admin.put("/quotas/some", &json!({"quota": quota})).await.message(), text);
        }
    }
}
