//! What belongs to a server beside itself: consoles, passwords, topology, events, and what it can't be asked for yet.

use novella_common::lifecycle::TaskState;
use serde_json::json;

use crate::support::Cloud;

const SERVERS: &str = "/compute/v2.1/servers";

on_both! {
    async fn a_new_password_goes_to_the_host_and_nowhere_else(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let body = json!({"changePassword": {"adminPass": "n3w"}});
        assert_eq!(demo.action(uuid, &body).await.status, 202);
        let cast = cloud.casts(2).await[1].clone();
        assert_eq!((cast.to.as_str(), cast.method.as_str()), ("compute.host-1", "set_admin_password"));
        assert_eq!(cast.arguments["arguments"], json!({"admin_password": "n3w"}));
        assert_eq!(cloud.states(uuid).await.1, Some(TaskState::UpdatingPassword));
        let shown = demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"].clone();
        assert_eq!((&shown["status"], &shown["OS-EXT-STS:task_state"]), (&json!("PASSWORD"), &json!("updating_password")));
        assert!(!shown.to_string().contains("n3w"));
        for wrong in [json!({"changePassword": {}}), json!({"changePassword": {"adminPass": 7}}), json!({"changePassword": null})] {
            assert_eq!(demo.action(uuid, &wrong).await.status, 400, "{wrong}");
        }
        cloud.place(uuid, "host-1", "stopped", 4).await;
        assert_eq!(demo.action(uuid, &body).await.status, 409);
    }

    async fn no_guest_has_told_a_password_and_none_is_on_numa_cells(cloud: Cloud) {
        let demo = cloud.demo().await;
        let uuid = cloud.new_server(&demo, "s").await;
        let path = format!("{SERVERS}/{uuid}/os-server-password");
        assert_eq!(demo.get(&path).await.body, json!({"password": ""}));
        assert_eq!(demo.delete(&path).await.status, 204);
        let path = format!("{SERVERS}/{uuid}/topology");
        assert_eq!(demo.at("2.77").get(&path).await.status, 404);
        assert_eq!(demo.at("2.78").get(&path).await.body, json!({"nodes": [], "pagesize_kb": null}));
        for path in ["os-server-password", "topology"] {
            assert_eq!(demo.at("2.78").get(&format!("{SERVERS}/nothing/{path}")).await.status, 404);
        }
    }

    async fn a_hypervisor_without_remote_consoles_says_so(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        for (action, kind) in [
            ("os-getVNCConsole", "novnc"), ("os-getSPICEConsole", "spice-html5"), ("os-getSerialConsole", "serial"),
            ("os-getRDPConsole", "rdp-html5"),
        ] {
            let answer = demo.action(uuid, &json!({ action: {"type": kind} })).await;
            assert_eq!((answer.status, answer.message()), (400, format!("Unavailable console type {kind}.").as_str()));
            assert_eq!(demo.action(uuid, &json!({ action: {"type": "telepathy"} })).await.status, 400);
            assert_eq!(demo.at("2.6").action(uuid, &json!({ action: {"type": kind} })).await.status, 404);
        }
        let path = format!("{SERVERS}/{uuid}/remote-consoles");
        let console = |protocol: &str, kind: &str| json!({"remote_console": {"protocol": protocol, "type": kind}});
        assert_eq!(demo.at("2.5").post(&path, &console("vnc", "novnc")).await.status, 404);
        for (version, protocol, kind, text) in [
            ("2.6", "vnc", "novnc", "Unavailable console type novnc."),
            ("2.7", "mks", "webmks", "remote_console.protocol"),
            ("2.8", "mks", "webmks", "Unavailable console type webmks."),
            ("2.98", "spice", "spice-direct", "remote_console.type"),
            ("2.99", "spice", "spice-direct", "Unavailable console type spice-direct."),
            ("2.6", "telepathy", "novnc", "remote_console.protocol"),
        ] {
            let answer = demo.at(version).post(&path, &console(protocol, kind)).await;
            assert!(answer.status == 400 && answer.message().contains(text), "{version} {kind}: {:?}", answer.body);
        }
        let building = cloud.new_server(&demo, "new").await;
        let path = format!("{SERVERS}/{building}/remote-consoles");
        assert_eq!(demo.at("2.6").post(&path, &console("vnc", "novnc")).await.status, 409);
        const TOKEN: &str = "/compute/v2.1/os-console-auth-tokens/token";
        assert_eq!(admin.at("2.30").get(TOKEN).await.status, 400);
        assert_eq!(admin.at("2.31").get(TOKEN).await.message(), "Token not found");
        assert_eq!(demo.at("2.31").get(TOKEN).await.status, 403);
    }

    async fn what_this_cloud_can_not_do_with_servers_yet_is_said(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        for action in ["rebuild", "resize", "createImage", "createBackup", "rescue", "unrescue", "shelve", "unshelve"] {
            let answer = demo.action(uuid, &json!({ action: {} })).await;
            let text = format!("This cloud does not have the action '{action}' yet.");
            assert_eq!((answer.status, answer.message()), (400, text.as_str()));
        }
        for action in ["evacuate", "shelveOffload"] {
            assert_eq!(demo.action(uuid, &json!({ action: {} })).await.status, 403);
            assert_eq!(admin.action(uuid, &json!({ action: {} })).await.status, 400);
        }
        let group = json!({"addSecurityGroup": {"name": "web"}});
        assert!(demo.action(uuid, &group).await.message().starts_with("Security group web is not found for project"));
        assert_eq!(demo.action(uuid, &json!({"removeSecurityGroup": {"name": ""}})).await.status, 400);
        let address = json!({"addFloatingIp": {"address": "192.0.2.1"}});
        assert_eq!(demo.at("2.43").action(uuid, &address).await.message(), "Instance network is not ready yet");
        assert_eq!(demo.at("2.43").action(uuid, &json!({"addFloatingIp": {"address": "x"}})).await.status, 400);
        let late = demo.at("2.44").action(uuid, &address).await;
        assert!(late.status == 404 && late.message().contains("last there in microversion 2.43"), "{:?}", late.body);
        assert_eq!(admin.action(uuid, &json!({"injectNetworkInfo": null})).await.status, 202);
        assert_eq!(demo.action(uuid, &json!({"injectNetworkInfo": null})).await.status, 403);
        // None of this has changed anything.
        assert_eq!(demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"]["status"], "ACTIVE");
    }

    async fn events_of_other_services_are_taken_for_servers_on_hosts(cloud: Cloud) {
        const EVENTS: &str = "/compute/v2.1/os-server-external-events";
        cloud.start_host("host-1").await;
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let (active, building) = (cloud.active_server(&demo, "s", "host-1").await, cloud.new_server(&demo, "new").await);
        let event = |server: &str| json!({"name": "network-vif-plugged", "server_uuid": server, "tag": "port"});
        let taken = admin.post(EVENTS, &json!({"events": [event(&active.to_string())]})).await;
        assert_eq!((taken.status, taken.body), (200, json!({"events": [{"name": "network-vif-plugged", "server_uuid": active,
            "tag": "port", "status": "completed", "code": 200}]})));
        let unknown = "00000000-0000-4000-8000-000000000000";
        let events = json!({"events": [event(&active.to_string()), event(&building.to_string()), event(unknown)]});
        let some = admin.post(EVENTS, &events).await;
        let codes: Vec<_> = some.body["events"].as_array().unwrap().iter().map(|event| event["code"].clone()).collect();
        assert_eq!((some.status, codes), (207, vec![json!(200), json!(422), json!(404)]));
        let extended = json!({"events": [{"name": "volume-extended", "server_uuid": active}]});
        assert_eq!(admin.at("2.50").post(EVENTS, &extended).await.status, 400);
        let untagged = admin.at("2.51").post(EVENTS, &extended).await;
        assert_eq!((untagged.status, &untagged.body["events"][0]["code"]), (207, &json!(400)));
        for wrong in [json!({"events": []}), json!({"events": [{"name": "network-changed"}]}), json!({}), json!({"events": [[]]})] {
            assert_eq!(admin.post(EVENTS, &wrong).await.status, 400, "{wrong}");
        }
        assert_eq!(demo.post(EVENTS, &events).await.status, 403);
    }

    async fn there_is_no_volume_to_make_a_snapshot_of(cloud: Cloud) {
        const SNAPSHOTS: &str = "/compute/v2.1/os-assisted-volume-snapshots";
        let admin = cloud.admin().await;
        let volume = "00000000-0000-4000-8000-000000000000";
        let body = json!({"snapshot": {"volume_id": volume, "create_info": {"snapshot_id": "s", "type": "qcow2", "new_file": "f"}}});
        let refused = admin.post(SNAPSHOTS, &body).await;
        assert!(refused.status == 400 && refused.message().contains("no volume service"), "{:?}", refused.body);
        assert_eq!(admin.post(SNAPSHOTS, &json!({"snapshot": {}})).await.status, 400);
        let info = format!("{SNAPSHOTS}/s?delete_info=%7B%22volume_id%22:%22{volume}%22%7D");
        assert!(admin.delete(&info).await.message().contains("no volume service"));
        assert_eq!(admin.delete(&format!("{SNAPSHOTS}/s")).await.status, 400);
        assert_eq!(cloud.demo().await.post(SNAPSHOTS, &body).await.status, 403);
    }
}
