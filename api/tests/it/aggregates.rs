//! Host aggregates, and the availability zones that they make.

use novella_common::{db::services, ids::Incarnation, models::Binary, sql};
use serde_json::{Value, json};

use crate::support::{Client, Cloud, IMAGE};

const AGGREGATES: &str = "/compute/v2.1/os-aggregates";

async fn made(admin: &Client<'_>, name: &str, zone: Option<&str>) -> String {
    let body = json!({"aggregate": {"name": name, "availability_zone": zone}});
    let answer = admin.post(AGGREGATES, &body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.body["aggregate"]["id"].to_string()
}

/// The zones that users see.
async fn zones(client: &Client<'_>) -> Vec<String> {
    let answer = client.get("/compute/v2.1/os-availability-zone").await;
    let zones = answer.body["availabilityZoneInfo"].as_array().unwrap().clone();
    zones.iter().map(|zone| zone["zoneName"].as_str().unwrap().to_owned()).collect()
}

on_both! {
    async fn an_aggregate_is_made_changed_and_removed(cloud: Cloud) {
        let admin = cloud.admin().await;
        cloud.write_host("host-1", "nova").await;
        let body = json!({"aggregate": {"name": "fast", "availability_zone": null}});
        let answer = admin.at("2.40").post(AGGREGATES, &body).await;
        let new = &answer.body["aggregate"];
        assert_eq!((answer.status, &new["name"], &new["availability_zone"]), (200, &json!("fast"), &Value::Null));
        assert!(new.get("uuid").is_none() && new.get("hosts").is_none() && new.get("metadata").is_none(), "{new}");
        let one = format!("{AGGREGATES}/{}", new["id"]);
        assert_eq!(admin.post(AGGREGATES, &body).await.message(), "Aggregate fast already exists.");

        let shown = admin.at("2.41").get(&one).await.body["aggregate"].clone();
        assert_eq!((&shown["hosts"], &shown["metadata"], &shown["deleted"]), (&json!([]), &json!({}), &json!(false)));
        assert!(shown["uuid"].is_string() && shown["updated_at"].is_null(), "{shown}");

        let act = async |body: Value| admin.post(&format!("{one}/action"), &body).await;
        let added = act(json!({"add_host": {"host": "host-1"}})).await;
        assert_eq!((added.status, &added.body["aggregate"]["hosts"]), (200, &json!(["host-1"])));
        let again = act(json!({"add_host": {"host": "host-1"}})).await;
        assert!(again.status == 409 && again.message().contains("already has host host-1"), "{:?}", again.body);
        assert_eq!(act(json!({"add_host": {"host": "host-9"}})).await.status, 404);
        assert_eq!(act(json!({"add_host": {"host": "not a host!"}})).await.status, 400);
        assert_eq!(act(json!({"explode": {}})).await.status, 400);

        let set = act(json!({"set_metadata": {"metadata": {"ssd": "true", "gone": "soon"}}})).await;
        assert_eq!(set.body["aggregate"]["metadata"], json!({"ssd": "true", "gone": "soon"}));
        let set = act(json!({"set_metadata": {"metadata": {"gone": null}}})).await;
        assert_eq!(set.body["aggregate"]["metadata"], json!({"ssd": "true"}));
        assert_eq!(act(json!({"set_metadata": {"metadata": {"ä": "x"}}})).await.status, 400);

        let renamed = admin.put(&one, &json!({"aggregate": {"name": "faster"}})).await;
        assert_eq!((renamed.status, &renamed.body["aggregate"]["name"]), (200, &json!("faster")));
        assert!(!renamed.body["aggregate"]["updated_at"].is_null());
        assert_eq!(admin.put(&one, &json!({"aggregate": {}})).await.status, 400);
        made(&admin, "other", None).await;
        assert_eq!(admin.put(&one, &json!({"aggregate": {"name": "other"}})).await.status, 409);
        let listed = admin.get(AGGREGATES).await.body["aggregates"].clone();
        let names: Vec<_> = listed.as_array().unwrap().iter().map(|aggregate| aggregate["name"].clone()).collect();
        assert_eq!(names, ["faster", "other"]);

        assert!(admin.delete(&one).await.message().contains("not empty"));
        assert_eq!(act(json!({"remove_host": {"host": "host-1"}})).await.status, 200);
        let absent = act(json!({"remove_host": {"host": "host-1"}})).await;
        assert_eq!(absent.status, 404, "{:?}", absent.body);
        let removed = admin.delete(&one).await;
        assert_eq!((removed.status, removed.body), (200, Value::Null));
        assert_eq!(admin.get(&one).await.status, 404);
        assert_eq!(admin.get(&format!("{AGGREGATES}/x")).await.status, 400);
        for client in [cloud.demo().await] {
            assert_eq!(client.get(AGGREGATES).await.status, 403);
        }
    }

    async fn an_aggregate_makes_a_zone_of_its_hosts(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        for host in ["host-1", "host-2"] {
            cloud.write_host(host, "nova").await;
        }
        let id = made(&admin, "west", Some("west")).await;
        // A zone is one as soon as a host is in it.
        assert_eq!(zones(&demo).await, ["nova"]);
        let act = async |body: Value| admin.post(&format!("{AGGREGATES}/{id}/action"), &body).await;
        assert_eq!(act(json!({"add_host": {"host": "host-1"}})).await.status, 200);
        assert_eq!(zones(&demo).await, ["nova", "west"]);
        let zone_of = async |host: &str| {
            let services = admin.get(&format!("/compute/v2.1/os-services?host={host}")).await.body;
            services["services"][0]["zone"].as_str().unwrap().to_owned()
        };
        assert_eq!((zone_of("host-1").await, zone_of("host-2").await), ("west".into(), "nova".into()));
        // A heartbeat takes nothing back.
        let beat = async || {
            let mut connection = cloud.database.write().await.unwrap();
            services::heartbeat(&mut connection, Binary::Compute, "host-1", "nova", Incarnation::random()).await.unwrap();
            services::hello(&mut connection, "host-1", "nova", Incarnation::random()).await.unwrap();
        };
        beat().await;
        assert_eq!(zone_of("host-1").await, "west");

        let server = |zone: &str| json!({"server": {"name": "s", "imageRef": IMAGE, "flavorRef": "1", "availability_zone": zone}});
        assert_eq!(demo.post("/compute/v2.1/servers", &server("west")).await.status, 202);
        let nowhere = demo.post("/compute/v2.1/servers", &server("east")).await;
        assert_eq!(nowhere.message(), "The requested availability zone is not available: east");

        // Renamed, by either way.
        let renamed = admin.put(&format!("{AGGREGATES}/{id}"), &json!({"aggregate": {"availability_zone": "east"}})).await;
        assert_eq!(renamed.body["aggregate"]["metadata"], json!({"availability_zone": "east"}));
        assert_eq!(zone_of("host-1").await, "east");
        assert_eq!(act(json!({"set_metadata": {"metadata": {"availability_zone": "south"}}})).await.status, 200);
        assert_eq!(zones(&demo).await, ["nova", "south"]);
        for none in [json!(null), json!("")] {
            let refused = act(json!({"set_metadata": {"metadata": {"availability_zone": none}}})).await;
            assert!(refused.status == 400 && refused.message().contains("empty named"), "{:?}", refused.body);
        }
        assert_eq!(admin.put(&format!("{AGGREGATES}/{id}"), &json!({"aggregate": {"availability_zone": "a:b"}})).await.status, 400);

        // No host is in two.
        let other = made(&admin, "other", Some("other")).await;
        let both = admin.post(&format!("{AGGREGATES}/{other}/action"), &json!({"add_host": {"host": "host-1"}})).await;
        assert!(both.status == 409 && both.message().contains("already in availability zone(s) south"), "{:?}", both.body);
        // What says nothing of zones may have any host.
        let plain = made(&admin, "plain", None).await;
        let plain = format!("{AGGREGATES}/{plain}/action");
        assert_eq!(admin.post(&plain, &json!({"add_host": {"host": "host-1"}})).await.status, 200);
        assert_eq!(zone_of("host-1").await, "south");

        assert_eq!(act(json!({"remove_host": {"host": "host-1"}})).await.status, 200);
        assert_eq!((zone_of("host-1").await, zones(&demo).await), ("nova".into(), vec!["nova".to_owned()]));
        beat().await;
        assert_eq!(zone_of("host-1").await, "nova");
    }

    async fn zones_in_which_all_is_disabled_come_last_and_show_no_hosts(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        for (host, zone) in [("host-1", "alpha"), ("host-2", "beta"), ("host-3", "beta")] {
            cloud.write_host(host, zone).await;
        }
        for binary in [Binary::Api, Binary::Scheduler] {
            let mut connection = cloud.database.write().await.unwrap();
            let zone = Binary::INTERNAL_ZONE;
            services::heartbeat(&mut connection, binary, "control-1", zone, Incarnation::random()).await.unwrap();
        }
        for host in ["host-1", "host-3"] {
            let body = json!({"host": host, "binary": "nova-compute"});
            assert_eq!(admin.put("/compute/v2.1/os-services/disable", &body).await.status, 200);
        }
        assert_eq!(zones(&demo).await, ["beta", "alpha"]);
        let detail = admin.get("/compute/v2.1/os-availability-zone/detail").await.body["availabilityZoneInfo"].clone();
        let mut shown = Vec::new();
        for zone in detail.as_array().unwrap() {
            let mut services = Vec::new();
            for (host, of_host) in zone["hosts"].as_object().into_iter().flatten() {
                services.extend(of_host.as_object().unwrap().keys().map(|binary| format!("{binary} on {host}")));
            }
            let name = zone["zoneName"].as_str().unwrap();
            shown.push((name, zone["zoneState"]["available"] == true, services.join(", ")));
        }
        assert_eq!(shown, [
            ("beta", true, "nova-compute on host-2".to_owned()),
            ("internal", true, "nova-scheduler on control-1".to_owned()),
            ("alpha", false, String::new()),
        ]);
        assert_eq!(detail[2]["hosts"], Value::Null);
    }

    async fn servers_never_change_their_zone(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        cloud.write_host("host-1", "nova").await;
        cloud.write_host("host-2", "nova").await;
        let west = made(&admin, "west", Some("west")).await;
        let west = format!("{AGGREGATES}/{west}");
        let act = async |body: Value| admin.post(&format!("{west}/action"), &body).await;
        assert_eq!(act(json!({"add_host": {"host": "host-2"}})).await.status, 200);
        for host in ["host-1", "host-2"] {
            cloud.active_server(&demo, "s", host).await;
        }
        let refused = act(json!({"add_host": {"host": "host-1"}})).await;
        assert!(refused.status == 409 && refused.message().contains("would change from 'nova' to 'west'"), "{:?}", refused.body);
        let refused = act(json!({"remove_host": {"host": "host-2"}})).await;
        assert!(refused.status == 409 && refused.message().contains("would change from 'west' to 'nova'"), "{:?}", refused.body);
        for refused in [
            admin.put(&west, &json!({"aggregate": {"availability_zone": "east"}})).await,
            act(json!({"set_metadata": {"metadata": {"availability_zone": "east"}}})).await,
        ] {
            assert!(refused.status == 400 && refused.message().contains("contain instances"), "{:?}", refused.body);
        }
        // All else may change.
        assert_eq!(admin.put(&west, &json!({"aggregate": {"name": "w", "availability_zone": "west"}})).await.status, 200);
        assert_eq!(act(json!({"set_metadata": {"metadata": {"ssd": "true"}}})).await.status, 200);
        cloud.execute(sql!("UPDATE instances SET deleted_at = updated_at")).await;
        assert_eq!(act(json!({"add_host": {"host": "host-1"}})).await.status, 200);
    }

    async fn of_two_zones_at_once_one_gets_the_host(cloud: Cloud) {
        let admin = cloud.admin().await;
        cloud.write_host("host-1", "nova").await;
        let (a, b) = (made(&admin, "a", Some("a")).await, made(&admin, "b", Some("b")).await);
        let body = json!({"add_host": {"host": "host-1"}});
        let (a, b) = (format!("{AGGREGATES}/{a}/action"), format!("{AGGREGATES}/{b}/action"));
        let (first, second) = tokio::join!(admin.post(&a, &body), admin.post(&b, &body));
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
    }

    async fn a_host_that_is_deleted_leaves_its_aggregates(cloud: Cloud) {
        let admin = cloud.admin().await;
        cloud.write_host("host-1", "nova").await;
        let id = made(&admin, "a", Some("a")).await;
        let one = format!("{AGGREGATES}/{id}");
        assert_eq!(admin.post(&format!("{one}/action"), &json!({"add_host": {"host": "host-1"}})).await.status, 200);
        let service = admin.get("/compute/v2.1/os-services?binary=nova-compute").await.body["services"][0]["id"].clone();
        assert_eq!(admin.delete(&format!("/compute/v2.1/os-services/{service}")).await.status, 204);
        assert_eq!(admin.get(&one).await.body["aggregate"]["hosts"], json!([]));
        cloud.write_host("host-1", "nova").await;
        assert_eq!(zones(&admin).await, ["nova"]);
        assert_eq!(admin.delete(&one).await.status, 200);
    }

    async fn images_are_taken_for_the_hosts_of_an_aggregate(cloud: Cloud) {
        let admin = cloud.admin().await;
        let id = made(&admin, "a", None).await;
        let path = format!("{AGGREGATES}/{id}/images");
        let body = |ids: &[&str]| json!({"cache": ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()});
        let unknown = "00000000-0000-4000-8000-000000000000";
        assert_eq!(admin.at("2.80").post(&path, &body(&[IMAGE])).await.status, 404);
        assert_eq!(admin.at("2.81").post(&path, &body(&[IMAGE])).await.status, 202);
        for wrong in [body(&[]), body(&[IMAGE, IMAGE]), body(&[unknown]), body(&["x"]), json!({})] {
            assert_eq!(admin.at("2.81").post(&path, &wrong).await.status, 400, "{wrong}");
        }
        assert_eq!(admin.at("2.81").post(&format!("{AGGREGATES}/99/images"), &body(&[IMAGE])).await.status, 404);
    }
}
