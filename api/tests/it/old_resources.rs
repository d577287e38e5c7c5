//! What Nova has no more, what it passes on to services that are not here, and hosts as they were shown of old.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use crate::support::Cloud;

const V2_1: &str = "/compute/v2.1";

on_both! {
    async fn what_nova_has_removed_is_gone_at_every_version(cloud: Cloud) {
        let demo = cloud.demo().await;
        let server = cloud.new_server(&demo, "s").await;
        let mut asked = 0;
        for (method, path) in [
            (Method::GET, "/os-agents"), (Method::POST, "/os-agents"), (Method::DELETE, "/os-agents/1"),
            (Method::GET, "/os-cells"), (Method::GET, "/os-cells/detail"), (Method::GET, "/os-cells/info"),
            (Method::GET, "/os-cells/x"), (Method::GET, "/os-cells/x/capacities"), (Method::POST, "/os-cells/sync_instances"),
            (Method::POST, "/os-certificates"), (Method::GET, "/os-certificates/root"), (Method::GET, "/os-cloudpipe"),
            (Method::GET, "/os-fixed-ips/10.0.0.1"), (Method::GET, "/os-floating-ip-dns"),
            (Method::DELETE, "/os-floating-ip-dns/d/entries/e"), (Method::GET, "/os-floating-ips-bulk"), (Method::GET, "/os-fping"),
            (Method::POST, "/os-networks"), (Method::POST, "/os-networks/add"), (Method::DELETE, "/os-networks/1"),
            (Method::GET, "/os-security-group-default-rules"), (Method::POST, "/os-tenant-networks"),
            (Method::GET, "/servers/{}/consoles"), (Method::GET, "/servers/{}/os-virtual-interfaces"),
        ] {
            for version in ["2.1", "2.43", "2.103"] {
                let path = format!("{V2_1}{}", path.replace("{}", &server.to_string()));
                let answer = demo.at(version).send(method.clone(), &path, Body::from("{}")).await;
                assert_eq!((answer.status, answer.body["computeFault"]["code"].clone()), (410, json!(410)), "{method} {path}");
                asked += 1;
            }
            assert_eq!(cloud.anonymous().send(method.clone(), &format!("{V2_1}{path}"), Body::empty()).await.status, 401);
        }
        assert_eq!(asked, 72);
        for (path, action) in [
            (format!("/servers/{server}/action"), "resetNetwork"),
            ("/os-networks/1/action".into(), "associate_host"),
            ("/os-fixed-ips/10.0.0.1/action".into(), "reserve"),
        ] {
            assert_eq!(demo.post(&format!("{V2_1}{path}"), &json!({ action: null })).await.status, 410, "{action}");
        }
    }

    async fn what_services_that_are_not_here_would_have_is_not_there_until_2_35_and_not_asked_for_after(cloud: Cloud) {
        let admin = cloud.admin().await;
        let at = |version: &str| admin.at(version);
        for (path, key) in [
            ("os-volumes", "volumes"), ("os-volumes/detail", "volumes"), ("os-snapshots", "snapshots"),
            ("os-snapshots/detail", "snapshots"), ("os-baremetal-nodes", "nodes"),
        ] {
            let answer = at("2.35").get(&format!("{V2_1}/{path}")).await;
            assert_eq!((answer.status, answer.body), (200, json!({ key: [] })), "{path}");
            assert_eq!(at("2.36").get(&format!("{V2_1}/{path}")).await.status, 404, "{path}");
        }
        for (path, text) in [
            ("os-volumes/v", "Volume v could not be found."),
            ("os-snapshots/s", "Snapshot s could not be found."),
        ] {
            let answer = admin.get(&format!("{V2_1}/{path}")).await;
            assert_eq!((answer.status, answer.message()), (404, text));
        }
        let answer = admin.post(&format!("{V2_1}/os-volumes"), &json!({})).await;
        assert_eq!((answer.status, answer.message()), (404, "This cloud has no volume service."));
    }

    async fn hosts_are_shown_and_switched_until_2_42(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        cloud.write_host("host-1", "nova").await;
        cloud.active_server(&demo, "s", "host-1").await;
        let hosts = format!("{V2_1}/os-hosts");
        let listed = admin.at("2.42").get(&hosts).await;
        assert_eq!(listed.body, json!({"hosts": [{"host_name": "host-1", "service": "compute", "zone": "nova"}]}));
        assert_eq!(admin.get(&format!("{hosts}?zone=elsewhere")).await.body, json!({"hosts": []}));
        assert_eq!(admin.at("2.43").get(&hosts).await.status, 404);
        assert_eq!(demo.get(&hosts).await.status, 403);

        let one = format!("{hosts}/host-1");
        let shown = admin.get(&one).await.body["host"].clone();
        let of = |project: &str| {
            let entries = shown.as_array().unwrap();
            entries.iter().find(|entry| entry["resource"]["project"] == project).unwrap()["resource"].clone()
        };
        assert_eq!(of("(total)"), json!({"host": "host-1", "project": "(total)", "cpu": 8, "memory_mb": 16384, "disk_gb": 100}));
        assert_eq!((&of("(used_max)")["memory_mb"], shown.as_array().unwrap().len()), (&json!(512), 4));
        for path in [format!("{hosts}/host-9"), format!("{hosts}/host-9/reboot")] {
            assert_eq!(admin.get(&path).await.status, 404, "{path}");
        }
        for what in ["startup", "shutdown", "reboot"] {
            let refused = admin.get(&format!("{one}/{what}")).await;
            assert!(refused.status == 400 && refused.message().contains("not supported"), "{:?}", refused.body);
        }
        let disabled = admin.put(&one, &json!({"status": "disable"})).await;
        assert_eq!((disabled.status, disabled.body), (200, json!({"host": "host-1", "status": "disabled"})));
        assert_eq!(admin.get(&hosts).await.body, json!({"hosts": []}));
        assert_eq!(admin.put(&one, &json!({"status": "Enable"})).await.body["status"], "enabled");
        for wrong in [json!({}), json!({"status": "maybe"}), json!({"maintenance_mode": "enable"}), json!({"x": 1})] {
            assert_eq!(admin.put(&one, &wrong).await.status, 400, "{wrong}");
        }
        assert_eq!(admin.put(&format!("{hosts}/host-9"), &json!({"status": "enable"})).await.status, 404);
    }

    async fn the_version_is_shown_by_its_name(cloud: Cloud) {
        let version = cloud.demo().await.get(&format!("{V2_1}/versions/v2.1")).await;
        assert_eq!((version.status, &version.body["version"]["version"]), (200, &json!("2.104")));
        assert_eq!(cloud.demo().await.get(&format!("{V2_1}/versions/v3")).await.status, 404);
    }

    async fn servers_booted_from_volumes_were_servers_under_another_name(cloud: Cloud) {
        let demo = cloud.demo().await;
        let server = cloud.new_server(&demo, "s").await;
        let listed = demo.at("2.102").get(&format!("{V2_1}/os-volumes_boot")).await;
        assert_eq!(listed.body["servers"][0]["id"], json!(server));
        assert_eq!(demo.at("2.102").get(&format!("{V2_1}/os-volumes_boot/{server}")).await.body["server"]["name"], "s");
        assert_eq!(demo.at("2.103").get(&format!("{V2_1}/os-volumes_boot")).await.status, 404);
        let refused = demo.at("2.102").post(&format!("{V2_1}/os-volumes_boot/{server}/action"), &json!({"os-stop": null})).await;
        assert_eq!(refused.status, 409, "{:?}", refused.body);
        let answer = demo.at("2.102").delete(&format!("{V2_1}/os-volumes_boot/{server}")).await;
        assert_eq!((answer.status, answer.body), (204, Value::Null));
    }
}
