//! Servers: made, shown, listed, changed, deleted.

use novella_api::ApiConfig;
use novella_common::lifecycle::{TaskState, VmState};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Cloud, IMAGE, On, create};

const SERVERS: &str = "/compute/v2.1/servers";

on_both! {
    async fn a_create_writes_the_row_and_casts_before_it_answers(cloud: Cloud) {
        let demo = cloud.demo().await;
        let answer = demo.post(SERVERS, &create("s1")).await;
        assert_eq!(answer.status, 202);
        let id = answer.body["server"]["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), Some(format!("http://cloud.test/compute/v2.1/servers/{id}").as_str()));
        assert_eq!(answer.body["server"]["adminPass"].as_str().unwrap().len(), 12);

        let casts = cloud.casts(1).await;
        assert_eq!((casts[0].to.as_str(), casts[0].method.as_str()), ("scheduler", "build_instance"));
        assert_eq!(casts[0].arguments, json!({"instance": id}));
        let instance = cloud.instance(id.parse().unwrap()).await.unwrap();
        assert_eq!((instance.vm_state, instance.task_state), (VmState::Building, Some(TaskState::Scheduling)));
        assert_eq!(instance.task_request_id.as_deref(), answer.header("x-openstack-request-id"));
    }

    async fn a_new_server_is_shown_as_the_version_has_it(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (net, _) = demo.network(json!({"name": "public"}), "10.0.0.0/24").await;
        let uuid = cloud.new_server_with(&demo, "s1", &json!([{"uuid": net, "fixed_ip": "10.0.0.2"}])).await;
        cloud.allocate(uuid, "host-1").await;
        cloud.place(uuid, "host-1", "active", 1).await;
        let path = format!("{SERVERS}/{uuid}");
        for (who, client, version) in [
            ("demo", &demo, "2.1"),
            ("admin", &admin, "2.3"),
            ("admin", &admin, "2.19"),
            ("demo", &demo, "2.47"),
            ("demo", &demo, "2.100"),
            ("admin", &admin, "2.100"),
        ] {
            let answer = client.at(version).get(&path).await;
            assert_eq!(answer.header("openstack-api-version"), Some(format!("compute {version}").as_str()));
            insta::assert_json_snapshot!(format!("server_for_{who}_at_{version}"), answer.body, {
                ".server.id" => "[id]", ".server.hostId" => "[hostId]", ".server.user_id" => "[id]",
                ".server.tenant_id" => "[id]", ".server.created" => "[time]", ".server.updated" => "[time]",
                ".server[\"OS-SRV-USG:launched_at\"]" => "[time]", ".server.links[].href" => "[href]",
                ".server[\"OS-EXT-SRV-ATTR:reservation_id\"]" => "[r]",
                ".server[\"OS-EXT-SRV-ATTR:instance_name\"]" => "[name]",
                ".server.addresses.public[][\"OS-EXT-IPS-MAC:mac_addr\"]" => "[mac]",
            });
        }
    }

    async fn many_servers_are_made_by_one_request(cloud: Cloud) {
        let demo = cloud.demo().await;
        let mut body = create("web");
        body["server"]["min_count"] = json!(2);
        body["server"]["max_count"] = json!("3");
        body["server"]["return_reservation_id"] = json!(true);
        let answer = demo.post(SERVERS, &body).await;
        assert_eq!(answer.status, 202);
        assert_eq!(cloud.casts(3).await.len(), 3);
        let list = demo.get(&format!("{SERVERS}?sort_key=display_name&sort_dir=asc")).await;
        let names: Vec<_> = list.body["servers"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
        assert_eq!(names, ["web-1", "web-2", "web-3"]);
        let admin = cloud.admin().await;
        let reservation = answer.body["reservation_id"].as_str().unwrap();
        let same = admin.get(&format!("{SERVERS}?all_tenants=1&reservation_id={reservation}")).await;
        assert_eq!(same.body["servers"].as_array().unwrap().len(), 3);
    }

    async fn servers_of_one_name_get_host_names_that_tell_them_apart(cloud: Cloud) {
        let demo = cloud.demo().await.at("2.90");
        let long = "a".repeat(70);
        for (name, count, expected) in [
            ("My Web.", 1, vec!["my-web".to_owned()]),
            ("My Web.", 2, vec!["my-web-1".to_owned(), "my-web-2".to_owned()]),
            (long.as_str(), 2, vec![format!("{}-1", "a".repeat(61)), format!("{}-2", "a".repeat(61))]),
            ("ü", 2, vec![]),
        ] {
            let mut body = create(name);
            (body["server"]["min_count"], body["server"]["networks"]) = (json!(count), json!("none"));
            body["server"]["return_reservation_id"] = json!(true);
            let answer = demo.post(SERVERS, &body).await;
            assert_eq!(answer.status, 202, "{:?}", answer.body);
            let reservation = answer.body["reservation_id"].as_str().unwrap();
            let path = format!("{SERVERS}/detail?reservation_id={reservation}&sort_key=launch_index&sort_dir=asc");
            let servers = demo.get(&path).await.body["servers"].as_array().unwrap().clone();
            assert_eq!(servers.len(), count);
            for (index, server) in servers.iter().enumerate() {
                let fallback = format!("Server-{}", server["id"].as_str().unwrap());
                assert_eq!(server["OS-EXT-SRV-ATTR:hostname"], *expected.get(index).unwrap_or(&fallback), "{name}");
            }
        }
    }

    async fn a_list_is_walked_page_by_page_without_gaps_or_repetitions(cloud: Cloud) {
        let demo = cloud.demo().await;
        for name in ["a", "b", "c", "d", "e"] {
            cloud.new_server(&demo, name).await;
        }
        for query in ["limit=2", "limit=2&sort_key=display_name&sort_dir=asc&sort_key=created_at&sort_dir=desc",
            "limit=2&sort_key=launched_at", "limit=2&sort_key=vm_state&sort_dir=asc&sort_key=uuid&sort_dir=desc"] {
            let mut seen = Vec::new();
            let mut next = Some(format!("{SERVERS}/detail?{query}"));
            while let Some(path) = next {
                let page = demo.get(&path).await;
                assert_eq!(page.status, 200, "{:?}", page.body);
                seen.extend(page.body["servers"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()));
                next = page.body["servers_links"][0]["href"].as_str().map(|link| link.replace("http://cloud.test", ""));
            }
            let all = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!((all, seen.len()), (5, 5), "{query}");
        }
        assert_eq!(demo.get(&format!("{SERVERS}?limit=0")).await.body, json!({"servers": []}));
    }

    async fn a_regular_expression_is_walked_page_by_page_too(cloud: Cloud) {
        let demo = cloud.demo().await;
        let mut body = create("vm");
        body["server"]["min_count"] = json!(150);
        assert_eq!(demo.post(SERVERS, &body).await.status, 202);
        // Every tenth, so that a page is not filled by one part of the list.
        let (mut seen, mut next, mut pages) = (Vec::new(), Some(format!("{SERVERS}?name=-[0-9]*0$&limit=4")), 0);
        while let Some(path) = next {
            let page = demo.get(&path).await;
            let names: Vec<_> = page.body["servers"].as_array().unwrap().iter().map(|s| s["name"].to_string()).collect();
            assert!(names.len() == 4 || pages == 3, "{names:?}");
            seen.extend(names);
            pages += 1;
            next = page.body["servers_links"][0]["href"].as_str().map(|link| link.replace("http://cloud.test", ""));
        }
        seen.sort_unstable();
        let mut expected: Vec<_> = (1..=15).map(|tens| format!("\"vm-{}\"", tens * 10)).collect();
        expected.sort_unstable();
        assert_eq!((seen, pages), (expected, 4));
    }

    async fn filters_find_what_they_say(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let web = cloud.active_server(&demo, "web-1", "host-1").await;
        cloud.active_server(&demo, "db-1", "host-2").await;
        cloud.new_server(&demo, "web-2").await;
        cloud.new_server(&admin, "admins").await;
        let names = async |client: &Client<'_>, query: &str| {
            let answer = client.get(&format!("{SERVERS}?sort_key=display_name&sort_dir=asc&{query}")).await;
            assert_eq!(answer.status, 200, "{query}: {:?}", answer.body);
            let names: Vec<String> = answer.body["servers"]
                .as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect();
            names.join(" ")
        };
        // Nova takes no empty expression.
        assert_eq!(demo.get(&format!("{SERVERS}?flavor=")).await.status, 400);
        for (query, expected) in [
            ("", "db-1 web-1 web-2"),
            ("name=web", "web-1 web-2"),
            ("name=^web-1$", "web-1"),
            ("name=WEB", ""),
            ("name=a.*-", ""),
            ("name=^w.b-[0-9]%2B$", "web-1 web-2"),
            ("name=b.1$", "db-1 web-1"),
            ("name=(?i)WEB|D", "db-1 web-1 web-2"),
            ("name=^(web|db)-1$&sort_key=created_at", "db-1 web-1"),
            ("name=%5Cd", "db-1 web-1 web-2"),
            ("name=^[^w]", "db-1"),
            ("status=ACTIVE", "db-1 web-1"),
            ("status=BUILD", "web-2"),
            ("status=ACTIVE&status=build", "db-1 web-1 web-2"),
            ("status=nonsense", ""),
            ("flavor=1", "db-1 web-1 web-2"),
            ("flavor=2", ""),
            ("image=c1227000-0000-4000-8000-000000000001", "db-1 web-1 web-2"),
            ("deleted=False", "db-1 web-1 web-2"),
            // Not for those who are no administrators, and ignored where they say it.
            ("host=host-1", "db-1 web-1 web-2"),
            ("deleted=True", "db-1 web-1 web-2"),
            ("changes-since=2020-01-01T00:00:00Z", "db-1 web-1 web-2"),
            ("changes-since=2999-01-01T00:00:00", ""),
            ("ip=10.0.0.1", ""),
            ("foo=bar", "db-1 web-1 web-2"),
        ] {
            assert_eq!(names(&demo, query).await, expected, "{query}");
        }
        for (query, expected) in [
            ("", "admins"),
            ("all_tenants", "admins db-1 web-1 web-2"),
            ("all_tenants=True&host=host-1", "web-1"),
            ("all_tenants=1&vm_state=building", "admins web-2"),
            ("all_tenants=1&task_state=scheduling", "admins web-2"),
            ("all_tenants=1&availability_zone=nova", "db-1 web-1"),
            ("all_tenants=1&power_state=1", "db-1 web-1"),
            ("all_tenants=1&power_state=[01]", "admins db-1 web-1 web-2"),
            ("all_tenants=1&node=host-[2-9]", "db-1"),
            ("all_tenants=1&created_at=^2...-", "admins db-1 web-1 web-2"),
            ("all_tenants=1&launched_at=1999", ""),
            ("all_tenants=1&kernel_id=^$&root_device_name=vd[ab]&progress=0", "admins db-1 web-1 web-2"),
            ("all_tenants=1&ramdisk_id=.%2B", ""),
            ("all_tenants=1&reservation_id=^r-[0-9a-z]{8}$", "admins db-1 web-1 web-2"),
            ("all_tenants=1&auto_disk_config=true", ""),
        ] {
            assert_eq!(names(&admin, query).await, expected, "{query}");
        }
        assert_eq!(names(&admin, &format!("all_tenants=1&uuid={web}")).await, "web-1");
        // Everybody sees host names from 2.90 on, and may ask for them.
        for (version, expected) in [("2.89", "db-1 web-1 web-2"), ("2.90", "web-1")] {
            assert_eq!(names(&demo.at(version), "hostname=^web-1$").await, expected, "{version}");
        }
        assert_eq!(demo.get(&format!("{SERVERS}?all_tenants=1")).await.status, 403);
        // A direction alone is that of the time of creation; the first is that of all keys without their own.
        let first = async |query: &str| demo.get(&format!("{SERVERS}?limit=1&{query}")).await.body["servers"][0]["name"].clone();
        assert_eq!((first("sort_dir=asc").await, first("sort_dir=desc").await), (json!("web-1"), json!("web-2")));
        assert_eq!(first("sort_key=user_id&sort_key=display_name&sort_dir=asc").await, "db-1");
        for query in ["limit=x", "limit=-1", "marker=x", "sort_key=nothing", "sort_key=uuid&sort_dir=up", "sort_dir=up",
            "sort_key=uuid&sort_dir=asc&sort_dir=desc", "_x=1",
            "metadata=1", "all_tenants=maybe", "changes-since=yesterday", "name=a[0-9", "name=%5Cw{1000}", "name=(a)%5C1"] {
            assert_eq!(demo.get(&format!("{SERVERS}?{query}")).await.status, 400, "{query}");
        }
    }

    async fn another_projects_server_does_not_exist(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let admins = cloud.active_server(&admin, "admins", "host-1").await;
        let path = format!("{SERVERS}/{admins}");
        assert_eq!(demo.get(&path).await.body, json!({"itemNotFound": {
            "code": 404, "message": format!("Instance {admins} could not be found."),
        }}));
        assert_eq!(demo.delete(&path).await.status, 404);
        assert_eq!(demo.put(&path, &json!({"server": {"name": "mine"}})).await.status, 404);
        assert_eq!(demo.action(admins, &json!({"os-stop": null})).await.status, 404);
        assert_eq!(demo.get(&format!("{SERVERS}/admins")).await.status, 404);
    }

    async fn a_name_and_a_description_can_be_changed(cloud: Cloud) {
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "before", "host-1").await;
        let path = format!("{SERVERS}/{uuid}");
        let answer = demo.at("2.19").put(&path, &json!({"server": {"name": "after", "description": "why"}})).await;
        assert_eq!((answer.status, &answer.body["server"]["name"]), (200, &json!("after")));
        assert_eq!(answer.body["server"]["description"], "why");
        // Before 2.75 this answer lacks much of what a show has.
        assert_eq!(answer.body["server"].get("OS-EXT-STS:vm_state"), None);
        let answer = demo.at("2.19").put(&path, &json!({"server": {"description": null}})).await;
        assert_eq!(answer.body["server"]["description"], Value::Null);
        assert_eq!(answer.body["server"]["name"], "after");
        for (version, body) in [
            ("2.18", json!({"server": {"description": "too early"}})),
            ("2.19", json!({"server": {"name": ""}})),
            ("2.19", json!({"server": {"nmae": "x"}})),
            ("2.19", json!({"name": "x"})),
        ] {
            assert_eq!(demo.at(version).put(&path, &body).await.status, 400, "{body}");
        }
    }

    async fn an_answer_to_a_change_has_what_its_version_has(cloud: Cloud) {
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let path = format!("{SERVERS}/{uuid}");
        let change = json!({"server": {"hostname": "web-1"}});
        assert_eq!(demo.at("2.89").put(&path, &change).await.status, 400);
        let changed = demo.at("2.90").put(&path, &change).await;
        assert_eq!(changed.body["server"]["OS-EXT-SRV-ATTR:hostname"], "web-1");
        // From 2.75 on it is what a show has.
        let shown = demo.at("2.90").get(&path).await;
        assert_eq!(changed.body, shown.body);
    }

    async fn every_version_lists_and_shows(cloud: Cloud) {
        let admin = cloud.admin().await;
        cloud.start_host("host-1").await;
        let uuid = cloud.active_server(&admin, "s", "host-1").await;
        for minor in 1.. {
            let version = format!("2.{minor}");
            let client = admin.at(&version);
            if client.get(SERVERS).await.status == 406 {
                assert!(minor > 25, "{version}");
                break;
            }
            let detail = client.get(&format!("{SERVERS}/detail")).await.body["servers"][0].clone();
            let mut shown = client.get(&format!("{SERVERS}/{uuid}")).await.body["server"].clone();
            shown.as_object_mut().unwrap().remove("server_groups");
            assert_eq!(detail, shown, "{version}");
            for path in ["flavors/detail", "os-migrations", "os-services", "os-hypervisors/detail", "limits",
                "os-availability-zone", "os-aggregates", "extensions"] {
                let answer = client.get(&format!("/compute/v2.1/{path}")).await;
                assert_eq!((answer.status, answer.header("x-openstack-nova-api-version")), (200, Some(version.as_str())));
            }
        }
    }

    async fn a_delete_tells_the_host_once(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let path = format!("{SERVERS}/{uuid}");
        assert_eq!(demo.delete(&path).await.status, 204);
        assert_eq!(demo.delete(&path).await.status, 204);
        let casts = cloud.casts(2).await;
        assert_eq!((casts[1].to.as_str(), casts[1].method.as_str()), ("compute.host-1", "terminate_instance"));
        assert_eq!(casts.len(), 2);
        let instance = cloud.instance(uuid).await.unwrap();
        assert_eq!(instance.task_state, Some(TaskState::Deleting));
        assert_eq!(casts[1].arguments["operation"]["task_id"], json!(instance.task_id));
        assert_eq!(demo.get(&path).await.body["server"]["OS-EXT-STS:task_state"], "deleting");
    }

    async fn a_server_without_a_host_or_on_a_dead_one_is_deleted_at_once(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let waiting = cloud.new_server(&demo, "waiting").await;
        let stranded = cloud.active_server(&demo, "stranded", "host-1").await;
        cloud.force_down("host-1").await;
        for uuid in [waiting, stranded] {
            assert_eq!(demo.delete(&format!("{SERVERS}/{uuid}")).await.status, 204);
            assert_eq!(demo.get(&format!("{SERVERS}/{uuid}")).await.status, 404);
            let instance = cloud.instance(uuid).await.unwrap();
            assert_eq!((instance.vm_state, instance.task_state), (VmState::Deleted, None));
            assert!(instance.deleted_at.is_some());
        }
        assert_eq!(demo.delete(&format!("{SERVERS}/{waiting}")).await.status, 404);
        let admin = cloud.admin().await;
        let gone = admin.get(&format!("{SERVERS}/detail?all_tenants=1&deleted=True")).await;
        let statuses: Vec<_> = gone.body["servers"].as_array().unwrap().iter().map(|s| s["status"].clone()).collect();
        assert_eq!(statuses, ["DELETED", "DELETED"]);
    }

    async fn what_can_not_be_made_is_refused_before_anything_is_written(cloud: Cloud) {
        let demo = cloud.demo().await;
        let with = |field: &str, value: Value| {
            let mut body = create("s");
            body["server"][field] = value;
            body
        };
        for (status, body, text) in [
            (400, json!({}), "'server' is a required property"),
            (400, json!({"server": {"imageRef": IMAGE, "flavorRef": "1"}}), "'name' is a required property"),
            (400, with("flavorRef", json!("none")), "Flavor none could not be found."),
            (400, with("imageRef", json!("00000000-0000-4000-8000-000000000000")), "Can not find requested image"),
            (400, with("imageRef", json!("cirros")), "is not a 'uuid'"),
            (400, with("imageRef", json!("")), "Invalid imageRef provided."),
            (400, with("key_name", json!("k")), "Invalid key_name provided."),
            (400, with("availability_zone", json!("mars")), "The requested availability zone is not available"),
            (403, with("availability_zone", json!("nova:host-1")), "os_compute_api:servers:create:forced_host"),
            (400, with("nonsense", json!(1)), "('nonsense' was unexpected)"),
            (400, with("name", json!(1)), "server.name"),
            (400, with("metadata", json!({"a": 1})), "server.metadata.a"),
            (400, with("min_count", json!(0)), "server.min_count"),
            (400, with("min_count", json!(null)), "not be null"),
            (400, with("security_groups", json!([["default"]])), "is not of type 'object'"),
            (400, with("block_device_mapping_v2", json!([{"uuid": IMAGE, "boot_index": 0, "source_type": "image",
                "destination_type": "local", "delete_on_termination": null}])), "delete_on_termination"),
        ] {
            let answer = demo.post(SERVERS, &body).await;
            assert_eq!((answer.status, answer.message().contains(text)), (status, true), "{body}: {:?}", answer.body);
        }
        assert_eq!(demo.get(SERVERS).await.body, json!({"servers": []}));
        assert!(cloud.taken.lock().unwrap().is_empty());
    }

    async fn an_administrator_may_name_a_host_that_is_there(cloud: Cloud) {
        cloud.write_host("host-1", "nova").await;
        let admin = cloud.admin().await;
        let mut body = create("s");
        body["server"]["availability_zone"] = json!("nova:host-9");
        let unknown = admin.post(SERVERS, &body).await;
        assert_eq!((unknown.status, unknown.message()), (400, "Compute host host-9 could not be found."));
        body["server"]["availability_zone"] = json!("nova:host-1");
        let answer = admin.post(SERVERS, &body).await;
        assert_eq!(answer.status, 202);
        let spec = async |answer: &Answer| {
            let uuid = answer.body["server"]["id"].as_str().unwrap().parse().unwrap();
            let mut connection = cloud.database.read().await.unwrap();
            let spec = novella_common::db::instances::request_spec(&mut connection, uuid).await.unwrap().unwrap();
            (spec.availability_zone, spec.requested_host)
        };
        assert_eq!(spec(&answer).await, (Some("nova".into()), Some("host-1".into())));
        // A zone that is not the host's own counts for nothing, there or not.
        cloud.write_host("host-2", "west").await;
        for zone in ["west", "mars"] {
            body["server"]["availability_zone"] = json!(format!("{zone}:host-1"));
            let answer = admin.post(SERVERS, &body).await;
            assert_eq!(answer.status, 202, "{:?}", answer.body);
            assert_eq!(spec(&answer).await, (None, Some("host-1".into())), "{zone}");
        }
    }
}

macro_rules! without_a_scheduler {
    ($($on:ident in $module:ident;)*) => { $(
        mod $module {
            use super::*;
            #[tokio::test(flavor = "multi_thread")]
            async fn a_server_that_can_not_be_handed_over_waits_for_a_conductor_to_do_it() {
                let cloud = Cloud::without_services(On::$on, ApiConfig::default()).await;
                let demo = cloud.demo().await;
                assert_eq!(demo.post(SERVERS, &create("unroutable")).await.status, 202);
                cloud.transport.close().await;
                assert_eq!(demo.post(SERVERS, &create("closed")).await.status, 202);
                let list = demo.get(&format!("{SERVERS}/detail")).await.body;
                let servers = list["servers"].as_array().unwrap();
                assert!(servers.len() == 2 && servers.iter().all(|server| server["status"] == "BUILD"), "{list}");
            }
        }
    )* };
}
mod broken_bus {
    use super::*;
    without_a_scheduler! { Sqlite in on_sqlite; Postgres in on_postgres; }
}
