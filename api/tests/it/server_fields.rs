//! What users say of a server and a simulated guest knows nothing of: taken, kept and shown, as by Nova.

use serde_json::{Value, json};

use crate::support::{Client, Cloud, IMAGE, create};

const SERVERS: &str = "/compute/v2.1/servers";

fn with(fields: Value) -> Value {
    let mut body = create("s");
    body["server"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// Makes a server of these fields, and shows it.
async fn made(client: &Client<'_>, fields: Value) -> Value {
    let answer = client.post(SERVERS, &with(fields)).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    let id = answer.body["server"]["id"].as_str().unwrap();
    client.get(&format!("{SERVERS}/{id}")).await.body["server"].clone()
}

on_both! {
    async fn a_server_is_pinned_to_its_zone_and_unpinned_from_2_104_on(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let path = format!("/compute/v2.1/servers/{uuid}");
        let pin = async |zone: serde_json::Value| demo.at("2.104").put(&path, &json!({"server": {"pinned_availability_zone": zone}})).await;
        let early = demo.at("2.103").put(&path, &json!({"server": {"pinned_availability_zone": null}})).await;
        assert_eq!(early.status, 400, "{:?}", early.body);
        let elsewhere = pin(json!("west")).await;
        let text = "Server can only be pinned to its current availability zone 'nova', but 'west' was requested.";
        assert_eq!((elsewhere.status, elsewhere.message()), (409, text));
        let spec = async || {
            let mut connection = cloud.database.read().await.unwrap();
            novella_common::db::instances::request_spec(&mut connection, uuid).await.unwrap().unwrap().availability_zone
        };
        for zone in [json!("nova"), json!("nova"), json!(null), json!(null)] {
            let pinned = pin(zone.clone()).await;
            assert_eq!((pinned.status, &pinned.body["server"]["pinned_availability_zone"]), (200, &zone));
            assert_eq!(json!(spec().await), zone);
        }
        assert_eq!(pin(json!("nova")).await.status, 200);
        assert!(pin(json!("west")).await.message().contains("Unpin first"));
    }

    async fn fields_that_mean_nothing_to_a_simulated_guest_are_kept_and_shown(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let old = made(&admin.at("2.3"), json!({
            "accessIPv4": "203.0.113.7", "accessIPv6": "2001:DB8::7", "OS-DCF:diskConfig": "AUTO",
            "personality": [{"path": "/etc/motd", "contents": "aGVsbG8K"}],
            "user_data": "IyEvYmluL3NoCg==", "config_drive": "true", "security_groups": [{"name": "default"}, {}],
            "block_device_mapping_v2": [
                {"uuid": IMAGE, "source_type": "image", "destination_type": "local", "boot_index": 0, "disk_bus": "virtio"},
                {"source_type": "blank", "destination_type": "local", "boot_index": -1},
            ],
        })).await;
        assert_eq!((&old["accessIPv4"], &old["accessIPv6"]), (&json!("203.0.113.7"), &json!("2001:db8::7")));
        assert_eq!((&old["OS-DCF:diskConfig"], &old["config_drive"]), (&json!("AUTO"), &json!("True")));
        assert_eq!(old["OS-EXT-SRV-ATTR:user_data"], "IyEvYmluL3NoCg==");
        let new = made(&demo.at("2.103"), json!({
            "networks": "none", "tags": ["b", "a"], "description": "d", "hostname": "web.example.org",
            "trusted_image_certificates": ["c-1", "c-2"],
        })).await;
        assert_eq!((&new["tags"], &new["description"]), (&json!(["a", "b"]), &json!("d")));
        assert_eq!((&new["OS-EXT-SRV-ATTR:hostname"], &new["OS-DCF:diskConfig"]), (&json!("web.example.org"), &json!("MANUAL")));
        assert_eq!(new["trusted_image_certificates"], json!(["c-1", "c-2"]));
        let plain = made(&demo.at("2.103"), json!({"networks": "none", "trusted_image_certificates": null})).await;
        assert_eq!((&plain["accessIPv4"], &plain["trusted_image_certificates"]), (&json!(""), &Value::Null));
    }

    async fn addresses_and_the_disk_configuration_can_be_changed(cloud: Cloud) {
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let path = format!("{SERVERS}/{uuid}");
        let change = json!({"server": {"accessIPv4": "192.0.2.1", "accessIPv6": "::1", "OS-DCF:diskConfig": "AUTO"}});
        let answer = demo.put(&path, &change).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let shown = demo.get(&path).await.body["server"].clone();
        for server in [&answer.body["server"], &shown] {
            assert_eq!((&server["accessIPv4"], &server["accessIPv6"]), (&json!("192.0.2.1"), &json!("::1")));
            assert_eq!((&server["OS-DCF:diskConfig"], &server["name"]), (&json!("AUTO"), &json!("s")));
        }
        for wrong in [json!({"accessIPv4": "x"}), json!({"accessIPv6": null}), json!({"OS-DCF:diskConfig": "auto"})] {
            assert_eq!(demo.put(&path, &json!({"server": wrong})).await.status, 400, "{wrong}");
        }
    }

    async fn each_hint_is_shown_as_a_list(cloud: Cloud) {
        let demo = cloud.demo().await.at("2.100");
        let mut body = with(json!({"networks": "none"}));
        body["os:scheduler_hints"] = json!({"of_the_operator": "x", "several": ["a", "b"], "more": {"k": 1}});
        let answer = demo.post(SERVERS, &body).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        let id = answer.body["server"]["id"].as_str().unwrap();
        let shown = demo.get(&format!("{SERVERS}/{id}")).await.body["server"]["scheduler_hints"].clone();
        assert_eq!(shown, json!({"of_the_operator": ["x"], "several": ["a", "b"], "more": [{"k": 1}]}));
    }

    async fn a_field_is_taken_at_the_versions_that_nova_takes_it_at(cloud: Cloud) {
        let demo = cloud.demo().await;
        for (field, value, first, last) in [
            ("personality", json!([]), 1, Some(56)),
            ("description", json!(null), 19, None),
            ("tags", json!(["a"]), 52, None),
            ("trusted_image_certificates", json!(["a"]), 63, None),
            ("hostname", json!("web"), 90, None),
        ] {
            let status = async |minor: u16| {
                let mut body = with(json!({ field: value }));
                if minor >= 37 {
                    body["server"]["networks"] = json!("none");
                }
                demo.at(&format!("2.{minor}")).post(SERVERS, &body).await.status
            };
            assert_eq!(status(first).await, 202, "{field}");
            if first > 1 {
                assert_eq!(status(first - 1).await, 400, "{field}");
            }
            assert_eq!(status(103).await, if last.is_some() { 400 } else { 202 }, "{field}");
            if let Some(last) = last {
                assert_eq!((status(last).await, status(last + 1).await), (202, 400), "{field}");
            }
        }
    }

    async fn what_nova_refuses_is_refused_in_its_words(cloud: Cloud) {
        let demo = cloud.demo().await;
        let file = json!({"path": "/x", "contents": "eA=="});
        for (status, fields, text) in [
            (403, json!({"personality": vec![file; 6]}), "Personality file limit exceeded"),
            (400, json!({"personality": [{"contents": "eA=="}]}), "Bad personality format: missing 'path'"),
            (400, json!({"block_device_mapping_v2": [
                {"source_type": "blank", "destination_type": "local", "volume_size": 1},
            ]}), "Ephemeral disks requested are larger"),
        ] {
            let answer = demo.post(SERVERS, &with(fields)).await;
            assert_eq!((answer.status, answer.message().contains(text)), (status, true), "{:?}", answer.body);
        }
        let several = with(json!({"networks": "none", "hostname": "web", "min_count": 2}));
        let answer = demo.at("2.90").post(SERVERS, &several).await;
        assert_eq!(answer.message(), "Unable to allocate a single hostname to multiple instances");
        // Whoever has no disk of a size takes as much as the image has: that is for administrators.
        let admin = cloud.admin().await;
        let flavor = json!({"flavor": {"name": "diskless", "id": "diskless", "ram": 64, "vcpus": 1, "disk": 0}});
        assert_eq!(admin.post("/compute/v2.1/flavors", &flavor).await.status, 200);
        let diskless = with(json!({"flavorRef": "diskless"}));
        let refused = demo.post(SERVERS, &diskless).await;
        let text = "Only volume-backed servers are allowed for flavors with zero disk.";
        assert_eq!((refused.status, refused.message()), (403, text));
        assert_eq!(admin.post(SERVERS, &diskless).await.status, 202);
        cloud.execute(novella_common::sql!("UPDATE images SET min_disk_gb = 2")).await;
        let answer = demo.post(SERVERS, &with(json!({}))).await;
        let text = "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is 1073741824 \
            bytes, minimum size is 2147483648 bytes.";
        assert_eq!((answer.status, answer.message()), (400, text));
        cloud.execute(novella_common::sql!("UPDATE images SET min_disk_gb = 0")).await;
        cloud
            .execute(novella_common::sql!("UPDATE images SET properties = '{\"auto_disk_config\": \"Disabled\"}'"))
            .await;
        let answer = demo.post(SERVERS, &with(json!({"OS-DCF:diskConfig": "AUTO"}))).await;
        assert!(answer.message().contains("automatic disk resize disabled"), "{:?}", answer.body);
        assert_eq!(demo.get(SERVERS).await.body, json!({"servers": []}));
    }
}
