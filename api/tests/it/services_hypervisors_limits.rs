//! What operators see and change of services and hypervisors, and what limits tell users.

use novella_common::{
    db::{allocations, services},
    ids::{Incarnation, InstanceUuid},
    models::{Binary, Resources},
};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Cloud};

const SERVICES: &str = "/compute/v2.1/os-services";
const HYPERVISORS: &str = "/compute/v2.1/os-hypervisors";
const LIMITS: &str = "/compute/v2.1/limits";

/// A service that is not a compute host, with a heartbeat of now.
async fn write_service(cloud: &Cloud, binary: Binary, host: &str) {
    let mut connection = cloud.database.write().await.unwrap();
    let zone = Binary::INTERNAL_ZONE;
    services::heartbeat(&mut connection, binary, host, zone, Incarnation::random()).await.unwrap();
}

/// Claims as a scheduler would.
async fn claim(cloud: &Cloud, uuid: InstanceUuid, host: &str) {
    let size = Resources { vcpus: 1, memory_mb: 512, disk_gb: 1 };
    let mut connection = cloud.database.write().await.unwrap();
    assert!(allocations::claim(&mut connection, uuid, host, size).await.unwrap());
}

async fn services(client: &Client<'_>, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("{SERVICES}{query}")).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.body["services"].as_array().unwrap().clone()
}

async fn service(client: &Client<'_>, host: &str) -> Value {
    services(client, &format!("?host={host}")).await.remove(0)
}

/// The values of one field of each entry.
fn all<'v>(list: &'v [Value], field: &str) -> Vec<&'v str> {
    list.iter().map(|entry| entry[field].as_str().unwrap()).collect()
}

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn refused(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.message())
}

on_both! {
    async fn services_are_listed_without_the_api_itself(cloud: Cloud) {
        cloud.write_host("host-1", "nova").await;
        write_service(&cloud, Binary::Scheduler, "control-1").await;
        write_service(&cloud, Binary::Conductor, "control-1").await;
        write_service(&cloud, Binary::Api, "control-1").await;
        let admin = cloud.admin().await;
        let found = services(&admin, "").await;
        assert_eq!(all(&found, "binary"), ["nova-compute", "nova-scheduler", "nova-conductor"]);
        assert_eq!(all(&found, "zone"), ["nova", "internal", "internal"]);
        assert_eq!(all(&services(&admin, "?binary=nova-compute").await, "host"), ["host-1"]);
        assert_eq!(services(&admin, "?host=control-1").await.len(), 2);
        assert_eq!(services(&admin, "?host=control-1&binary=nova-api").await.len(), 0);
        assert_eq!(services(&admin, "?binary=&host=").await.len(), 3);
        let denied = cloud.demo().await.get(SERVICES).await;
        assert_eq!(refused(&denied), (403, "Policy doesn't allow os_compute_api:os-services:list to be performed."));
    }

    async fn a_service_is_shown_as_the_version_has_it(cloud: Cloud) {
        cloud.write_host("host-1", "nova").await;
        let admin = cloud.admin().await;
        let mut shown = service(&admin, "host-1").await;
        assert!(shown["id"].is_i64());
        let time = shown["updated_at"].as_str().unwrap();
        assert_eq!((time.len(), &time[10..11]), ("2026-01-31T12:00:00.000000".len(), "T"));
        (shown["id"], shown["updated_at"]) = (Value::Null, Value::Null);
        assert_eq!(shown, json!({
            "id": null, "binary": "nova-compute", "host": "host-1", "zone": "nova", "status": "enabled", "state": "up",
            "updated_at": null, "disabled_reason": null,
        }));
        assert_eq!(service(&admin.at("2.10"), "host-1").await.get("forced_down"), None);
        assert_eq!(service(&admin.at("2.11"), "host-1").await["forced_down"], false);
    }

    async fn a_compute_host_is_taken_out_of_scheduling_and_put_back(cloud: Cloud) {
        cloud.write_host("host-1", "nova").await;
        let admin = cloud.admin().await;
        let host = json!({"host": "host-1", "binary": "nova-compute"});
        let answer = admin.put(&format!("{SERVICES}/disable"), &host).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, json!({"service": {
            "host": "host-1", "binary": "nova-compute", "status": "disabled",
        }}));
        assert_eq!(service(&admin, "host-1").await["status"], "disabled");

        let with_reason = json!({"host": "host-1", "binary": "nova-compute", "disabled_reason": "disk"});
        let answer = admin.put(&format!("{SERVICES}/disable-log-reason"), &with_reason).await;
        assert_eq!(answer.body, json!({"service": {
            "host": "host-1", "binary": "nova-compute", "status": "disabled", "disabled_reason": "disk",
        }}));
        assert_eq!(service(&admin, "host-1").await["disabled_reason"], "disk");

        for _ in 0..2 {
            let answer = admin.put(&format!("{SERVICES}/enable"), &host).await;
            assert_eq!(answer.body, json!({"service": {
                "host": "host-1", "binary": "nova-compute", "status": "enabled",
            }}));
        }
        let shown = service(&admin, "host-1").await;
        assert_eq!((&shown["status"], &shown["disabled_reason"]), (&json!("enabled"), &Value::Null));
    }

    async fn a_host_that_is_forced_down_is_down_until_it_is_let_up(cloud: Cloud) {
        cloud.write_host("host-1", "nova").await;
        let admin = cloud.admin().await.at("2.11");
        let path = format!("{SERVICES}/force-down");
        let with = |down: Value| json!({"host": "host-1", "binary": "nova-compute", "forced_down": down});
        let answer = admin.put(&path, &with(json!("True"))).await;
        assert_eq!(answer.body, json!({"service": {
            "host": "host-1", "binary": "nova-compute", "forced_down": true,
        }}));
        let shown = service(&admin, "host-1").await;
        assert_eq!((&shown["state"], &shown["status"], &shown["forced_down"]), (&json!("down"), &json!("enabled"), &json!(true)));
        assert_eq!(admin.put(&path, &with(json!(false))).await.status, 200);
        assert_eq!(service(&admin, "host-1").await["state"], "up");
    }

    async fn a_change_of_a_service_that_makes_no_sense_is_refused(cloud: Cloud) {
        cloud.write_host("host-1", "nova").await;
        write_service(&cloud, Binary::Scheduler, "control-1").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let host = json!({"host": "host-1", "binary": "nova-compute"});
        let with = |field: &str, value: Value| {
            let mut body = host.clone();
            body[field] = value;
            body
        };
        for (version, what, body, status, text) in [
            ("2.1", "destroy", host.clone(), 404, "Unknown action"),
            ("2.10", "force-down", host.clone(), 404, "Unknown action"),
            ("2.11", "force-down", host.clone(), 400, "Missing forced_down field"),
            ("2.10", "enable", with("forced_down", json!(true)), 400, "'forced_down' was unexpected"),
            ("2.11", "force-down", with("forced_down", json!("perhaps")), 400, "forced_down"),
            ("2.1", "disable-log-reason", host.clone(), 400, "Missing disabled reason field"),
            ("2.1", "disable-log-reason", with("disabled_reason", json!("")), 400, "disabled_reason"),
            ("2.1", "disable-log-reason", with("disabled_reason", json!("x".repeat(256))), 400, "disabled_reason"),
            ("2.1", "disable", json!({"host": "host-1"}), 400, "'binary' is a required property"),
            ("2.1", "disable", with("host", json!("host/1")), 400, "host"),
            ("2.1", "disable", with("nonsense", json!(1)), 400, "'nonsense' was unexpected"),
            ("2.1", "disable", with("host", json!("host-9")), 404, "Could not find binary nova-compute on host host-9."),
            ("2.1", "disable", json!({"host": "control-1", "binary": "nova-scheduler"}), 400,
                "Updating a nova-scheduler service is not supported. Only nova-compute services can be updated."),
        ] {
            let answer = admin.at(version).put(&format!("{SERVICES}/{what}"), &body).await;
            assert_eq!((answer.status, answer.message().contains(text)), (status, true), "{what} {body}: {:?}", answer.body);
        }
        let denied = demo.put(&format!("{SERVICES}/disable"), &host).await;
        assert_eq!(refused(&denied), (403, "Policy doesn't allow os_compute_api:os-services:update to be performed."));
        assert_eq!(service(&admin, "host-1").await["status"], "enabled");
    }

    async fn a_compute_host_can_be_deleted_once_nothing_is_on_it(cloud: Cloud) {
        cloud.write_host("host-1", "nova").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let id = service(&admin, "host-1").await["id"].as_i64().unwrap();
        let path = format!("{SERVICES}/{id}");
        assert_eq!(demo.delete(&path).await.status, 403);

        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        claim(&cloud, uuid, "host-1").await;
        assert_eq!(refused(&admin.delete(&path).await), (409,
            "Unable to delete compute service that is hosting instances. Migrate or delete the instances first."));

        // On its way here: only the claim says so.
        cloud.place(uuid, "host-2", "active", 1).await;
        assert_eq!(refused(&admin.delete(&path).await), (409,
            "Unable to delete compute service that has in-progress migrations. Complete the migrations or delete the \
             instances first."));
        assert_eq!(services(&admin, "").await.len(), 1);

        allocations::release(&mut cloud.database.write().await.unwrap(), uuid, "host-1").await.unwrap();
        let answer = admin.delete(&path).await;
        assert_eq!((answer.status, answer.body), (204, Value::Null));
        assert_eq!(services(&admin, "").await.len(), 0);
        assert_eq!(admin.get(HYPERVISORS).await.body, json!({"hypervisors": []}));
        assert_eq!(refused(&admin.delete(&path).await), (404, format!("Service {id} not found.").as_str()));
        assert_eq!(admin.delete(&format!("{SERVICES}/host-1")).await.status, 400);
        // A claim that comes later finds no host.
        let mut connection = cloud.database.write().await.unwrap();
        let size = Resources { vcpus: 1, memory_mb: 1, disk_gb: 1 };
        assert!(!allocations::claim(&mut connection, uuid, "host-1", size).await.unwrap());
    }

    async fn another_service_can_be_deleted_at_any_time(cloud: Cloud) {
        write_service(&cloud, Binary::Conductor, "control-1").await;
        let admin = cloud.admin().await;
        let id = service(&admin, "control-1").await["id"].as_i64().unwrap();
        assert_eq!(admin.delete(&format!("{SERVICES}/{id}")).await.status, 204);
        assert_eq!(services(&admin, "").await.len(), 0);
    }

    async fn a_hypervisor_is_shown_in_brief_and_in_detail(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        claim(&cloud, uuid, "host-1").await;
        let mut brief = admin.get(HYPERVISORS).await.body;
        let id = brief["hypervisors"][0]["id"].take().as_i64().unwrap();
        assert_eq!(brief, json!({"hypervisors": [
            {"id": null, "hypervisor_hostname": "host-1", "state": "up", "status": "enabled"},
        ]}));
        let list = admin.get(&format!("{HYPERVISORS}/detail")).await.body;
        let one = admin.get(&format!("{HYPERVISORS}/{id}")).await.body;
        assert_eq!(list["hypervisors"], json!([one["hypervisor"]]));
        insta::assert_json_snapshot!("hypervisor", one, {".hypervisor.id" => 1, ".hypervisor.service.id" => 1});
        for (id, status) in [("999999", 404), ("host-1", 404), ("x", 404)] {
            let answer = admin.get(&format!("{HYPERVISORS}/{id}")).await;
            let text = format!("Hypervisor with ID '{id}' could not be found.");
            assert_eq!(refused(&answer), (status, text.as_str()));
        }
        for path in ["", "/detail", "/statistics", "/1", "/1/uptime", "/host/search", "/host/servers"] {
            assert_eq!(demo.get(&format!("{HYPERVISORS}{path}")).await.status, 403, "{path}");
        }
    }

    async fn hypervisors_are_found_by_a_part_of_their_names(cloud: Cloud) {
        for host in ["rack1-a", "rack1-b", "rack2-a"] {
            cloud.write_host(host, "nova").await;
        }
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "rack1-b").await;
        let found = admin.get(&format!("{HYPERVISORS}/rack1/search")).await.body;
        assert_eq!(all(found["hypervisors"].as_array().unwrap(), "hypervisor_hostname"), ["rack1-a", "rack1-b"]);
        assert_eq!(keys(&found["hypervisors"][0]), ["hypervisor_hostname", "id", "state", "status"]);
        let found = admin.get(&format!("{HYPERVISORS}/rack1/servers")).await.body;
        assert_eq!(found["hypervisors"][0].get("servers"), None);
        assert_eq!(found["hypervisors"][1]["servers"], json!([{"name": "s", "uuid": uuid}]));
        for what in ["search", "servers"] {
            let answer = admin.get(&format!("{HYPERVISORS}/mars/{what}")).await;
            assert_eq!(refused(&answer), (404, "No hypervisor matching 'mars' could be found."));
        }
    }

    async fn a_host_says_how_long_it_has_been_up_unless_it_is_down(cloud: Cloud) {
        cloud.write_host("host-1", "nova").await;
        cloud.record("compute", Some("host-1"), json!("up 3 days")).await;
        let admin = cloud.admin().await;
        let id = admin.get(HYPERVISORS).await.body["hypervisors"][0]["id"].as_i64().unwrap();
        let path = format!("{HYPERVISORS}/{id}/uptime");
        let answer = admin.get(&path).await;
        assert_eq!(answer.body, json!({"hypervisor": {
            "id": id, "hypervisor_hostname": "host-1", "state": "up", "status": "enabled", "uptime": "up 3 days",
        }}));
        cloud.force_down("host-1").await;
        let answer = admin.get(&path).await;
        assert_eq!(refused(&answer), (400, "Compute service of host-1 is unavailable at this time."));
        assert_eq!(admin.get(&format!("{HYPERVISORS}/999999/uptime")).await.status, 404);
    }

    async fn limits_say_what_a_project_uses(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        for name in ["a", "b"] {
            cloud.new_server(&demo, name).await;
        }
        let gone = cloud.new_server(&demo, "gone").await;
        assert_eq!(demo.delete(&format!("/compute/v2.1/servers/{gone}")).await.status, 204);
        let flavor = demo.get("/compute/v2.1/flavors/1").await.body["flavor"].clone();
        let answer = demo.get(&format!("{LIMITS}?reserved=False")).await;
        assert_eq!((answer.status, &answer.body["limits"]["rate"]), (200, &json!([])));
        let absolute = &answer.body["limits"]["absolute"];
        assert_eq!(absolute["totalInstancesUsed"], 2);
        assert_eq!(absolute["totalCoresUsed"], flavor["vcpus"].as_i64().unwrap() * 2);
        assert_eq!(absolute["totalRAMUsed"], flavor["ram"].as_i64().unwrap() * 2);
        assert_eq!(keys(absolute), [
            "maxImageMeta", "maxPersonality", "maxPersonalitySize", "maxSecurityGroupRules", "maxSecurityGroups",
            "maxServerGroupMembers", "maxServerGroups", "maxServerMeta", "maxTotalCores", "maxTotalFloatingIps",
            "maxTotalInstances", "maxTotalKeypairs", "maxTotalRAMSize", "totalCoresUsed", "totalFloatingIpsUsed",
            "totalInstancesUsed", "totalRAMUsed", "totalSecurityGroupsUsed", "totalServerGroupsUsed",
        ]);
        assert_eq!(admin.get(LIMITS).await.body["limits"]["absolute"]["totalInstancesUsed"], 0);
        let token = admin.get("/compute/v2.1/servers/detail?all_tenants=1").await;
        let project = token.body["servers"][0]["tenant_id"].as_str().unwrap().to_owned();
        let others = admin.get(&format!("{LIMITS}?tenant_id={project}")).await;
        assert_eq!(others.body["limits"]["absolute"]["totalInstancesUsed"], 2);
        let denied = demo.get(&format!("{LIMITS}?tenant_id=other")).await;
        assert_eq!(refused(&denied), (403, "Policy doesn't allow os_compute_api:limits:other_project to be performed."));
    }

    async fn extensions_are_listed_for_clients_of_old(cloud: Cloud) {
        let demo = cloud.demo().await;
        let all = demo.get("/compute/v2.1/extensions").await.body["extensions"].clone();
        let hosts = all.as_array().unwrap().iter().find(|extension| extension["alias"] == "os-hosts").unwrap();
        assert_eq!((&hosts["name"], &hosts["links"]), (&json!("Hosts"), &json!([])));
        assert_eq!(demo.get("/compute/v2.1/extensions/os-hosts").await.body["extension"], *hosts);
        assert_eq!(demo.get("/compute/v2.1/extensions/os-nothing").await.status, 404);
    }
}
