//! What hangs on a server: nothing by itself; and what its hypervisor says of it.

use serde_json::{Value, json};

use crate::support::Cloud;

const SERVERS: &str = "/compute/v2.1/servers";

on_both! {
    async fn nothing_is_attached_to_a_server_that_asks_for_nothing(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let admins = cloud.active_server(&admin, "admins", "host-1").await;
        for (path, body) in [
            ("os-security-groups", json!({"security_groups": []})),
            ("os-interface", json!({"interfaceAttachments": []})),
            ("os-volume_attachments", json!({"volumeAttachments": []})),
            ("shares", json!({"shares": []})),
        ] {
            let answer = demo.at("2.103").get(&format!("{SERVERS}/{uuid}/{path}")).await;
            assert_eq!((answer.status, answer.body), (200, body), "{path}");
            let others = demo.at("2.103").get(&format!("{SERVERS}/{admins}/{path}")).await;
            assert_eq!(others.message(), format!("Instance {admins} could not be found."));
        }
        for path in ["os-interface/p-1", "os-volume_attachments/v-1", "shares/s-1"] {
            let path = format!("{SERVERS}/{uuid}/{path}");
            assert_eq!((demo.at("2.97").get(&path).await.status, demo.at("2.97").delete(&path).await.status), (404, 404), "{path}");
        }
        let volume = json!({"volumeAttachment": {"volumeId": uuid}});
        let answer = demo.post(&format!("{SERVERS}/{uuid}/os-volume_attachments"), &volume).await;
        assert_eq!((answer.status, answer.message().contains("no volume service")), (404, true), "{:?}", answer.body);
    }

    async fn diagnostics_are_the_hosts(cloud: Cloud) {
        cloud.write_host("host-1", "nova").await;
        let said = json!({"power_state": 1, "hypervisor": "fake", "uptime_seconds": 7,
            "cpu_time_ns": [5, 6], "memory_mb": 512, "disks": 1, "nics": 0});
        cloud.record("compute", Some("host-1"), said).await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let path = format!("{SERVERS}/{uuid}/diagnostics");
        assert_eq!(demo.get(&path).await.status, 403);
        let old = json!({"cpu0_time": 5, "cpu1_time": 6, "memory": 524_288});
        assert_eq!(admin.at("2.47").get(&path).await.body, old);
        let new = admin.at("2.48").get(&path).await.body;
        assert_eq!((&new["state"], &new["uptime"], &new["num_cpus"]), (&json!("running"), &json!(7), &json!(2)));
        assert_eq!(new["cpu_details"][1], json!({"id": 1, "time": 6, "utilisation": null}));
        assert_eq!(new["memory_details"], json!({"maximum": 512, "used": null}));
        let disk = json!({"read_bytes": null, "read_requests": null, "write_bytes": null, "write_requests": null,
            "errors_count": null});
        assert_eq!((&new["disk_details"], &new["nic_details"], &new["hypervisor_os"]), (&json!([disk]), &json!([]), &Value::Null));
        let building = cloud.new_server(&admin, "new").await;
        assert_eq!(admin.get(&format!("{SERVERS}/{building}/diagnostics")).await.status, 409);
        cloud.force_down("host-1").await;
        assert_eq!(admin.get(&path).await.status, 503);
    }
}
