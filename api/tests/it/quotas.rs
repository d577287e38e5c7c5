//! Quotas: shown, set, and held, however many requests come at once.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use novella_api::QuotaConfig;
use novella_common::db::quotas::servers_in_use;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Cloud, On, create};

const SETS: &str = "/compute/v2.1/os-quota-sets";
const CLASS: &str = "/compute/v2.1/os-quota-class-sets/default";
const SERVERS: &str = "/compute/v2.1/servers";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio me@host";

async fn project(client: &Client<'_>) -> String {
    let projects = client.get("/identity/v3/auth/projects").await.body;
    projects["projects"][0]["id"].as_str().unwrap().to_owned()
}

fn quota(limits: &Value) -> Value {
    json!({ "quota_set": limits })
}

/// A create at the newest version.
fn servers(name: &str, least: u32, most: u32) -> Value {
    let mut body = create(name);
    body["server"]["min_count"] = json!(least);
    body["server"]["max_count"] = json!(most);
    body
}

fn refused(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.message())
}

/// How often each status came.
fn statuses(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.status).or_default() += 1;
    }
    counts
}

/// The same request, so often at once.
async fn at_once<'c>(client: &Client<'c>, count: usize, path: &str, body: impl Fn(usize) -> Value) -> Vec<Answer> {
    let bodies: Vec<Value> = (0..count).map(body).collect();
    join_all(bodies.iter().map(|body| client.post(path, body))).await
}

macro_rules! with_defaults {
    ($(async fn $name:ident($cloud:ident: Cloud) $body:block)*) => {
        $(async fn $name($cloud: Cloud) $body)*
        mod on_sqlite {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(Cloud::with_quota(On::Sqlite, QuotaConfig::default()).await).await;
            })*
        }
        mod on_postgres {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(Cloud::with_quota(On::Postgres, QuotaConfig::default()).await).await;
            })*

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_project_that_is_counted_holds_up_no_other() {
                let cloud = Cloud::with_quota(On::Postgres, QuotaConfig::default()).await;
                super::a_project_that_is_counted_holds_up_no_other(cloud).await;
            }
        }
    };
}

with_defaults! {
    async fn the_defaults_are_novas_and_each_version_has_its_own(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let id = project(&demo).await;
        let since_57 = json!({"id": id, "cores": 20, "instances": 10, "key_pairs": 100, "metadata_items": 128,
            "ram": 51200, "server_group_members": 10, "server_groups": 10});
        let mut since_36 = since_57.clone();
        for (name, limit) in [("injected_files", 5), ("injected_file_content_bytes", 10240), ("injected_file_path_bytes", 255)] {
            since_36[name] = json!(limit);
        }
        let mut first = since_36.clone();
        for name in ["fixed_ips", "floating_ips", "security_groups", "security_group_rules"] {
            first[name] = json!(-1);
        }
        for (version, set) in [("2.1", &first), ("2.35", &first), ("2.36", &since_36), ("2.56", &since_36), ("2.57", &since_57)] {
            for path in [format!("{SETS}/{id}"), format!("{SETS}/{id}/defaults")] {
                assert_eq!(demo.at(version).get(&path).await.body["quota_set"], *set, "{path} {version}");
            }
            let detail = demo.at(version).get(&format!("{SETS}/{id}/detail")).await.body["quota_set"].clone();
            let keys = |set: &Value| set.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&detail), keys(set), "{version}");
            assert_eq!(detail["cores"], json!({"limit": 20, "in_use": 0, "reserved": 0}));
        }
        let class = async |version: &str| admin.at(version).get(CLASS).await.body["quota_class_set"].clone();
        let mut old = first.clone();
        old["id"] = json!("default");
        old.as_object_mut().unwrap().retain(|name, _| !name.starts_with("server_group"));
        assert_eq!(class("2.1").await, old);
        let mut with_groups = since_36.clone();
        with_groups["id"] = json!("default");
        assert_eq!(class("2.50").await, with_groups);
        assert!(class("2.57").await.get("injected_files").is_none());
    }

    async fn limits_are_set_shown_and_put_back(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let id = project(&demo).await;
        let path = format!("{SETS}/{id}");
        let set = admin.at("2.57").put(&path, &quota(&json!({"instances": 7, "cores": "-1", "force": true}))).await;
        assert_eq!(set.status, 200, "{}", set.body);
        assert_eq!((&set.body["quota_set"]["instances"], &set.body["quota_set"]["cores"]), (&json!(7), &json!(-1)));
        assert_eq!(set.body["quota_set"].get("id"), None);
        assert_eq!(demo.get(&path).await.body["quota_set"]["instances"], 7);
        assert_eq!(demo.get(&format!("{path}/defaults")).await.body["quota_set"]["instances"], 10);
        // The class default holds where the project has none of its own.
        let class = admin.at("2.57").put(CLASS, &json!({"quota_class_set": {"instances": 5, "ram": 9}})).await;
        assert_eq!((class.status, &class.body["quota_class_set"]["ram"]), (200, &json!(9)), "{}", class.body);
        let shown = demo.get(&path).await.body["quota_set"].clone();
        assert_eq!((&shown["instances"], &shown["ram"]), (&json!(7), &json!(9)));
        assert_eq!(demo.get("/compute/v2.1/limits").await.body["limits"]["absolute"]["maxTotalInstances"], 7);
        assert_eq!(admin.delete(&path).await.status, 202);
        assert_eq!(demo.get(&path).await.body["quota_set"]["instances"], 5);

        for (version, body, text) in [
            ("2.57", json!({"instances": -2}), "instances"),
            ("2.57", json!({"instances": 2147483648i64}), "instances"),
            ("2.57", json!({"instances": "ten"}), "instances"),
            ("2.57", json!({"injected_files": 1}), "('injected_files' was unexpected)"),
            ("2.36", json!({"floating_ips": 1}), "('floating_ips' was unexpected)"),
            ("2.1", json!({"volumes": 1}), "('volumes' was unexpected)"),
        ] {
            let answer = admin.at(version).put(&path, &quota(&body)).await;
            assert_eq!((answer.status, answer.message().contains(text)), (400, true), "{body}: {}", answer.body);
        }
        let unknown = admin.get(&format!("{SETS}/nobody")).await;
        assert_eq!(refused(&unknown), (400, "Project ID nobody is not a valid project."));
        assert_eq!(admin.at("2.75").get(&format!("{path}?nothing=1")).await.status, 400);
    }

    async fn members_see_their_own_quotas_and_change_none(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (own, other) = (project(&demo).await, project(&admin).await);
        assert_eq!(demo.get(&format!("{SETS}/{own}")).await.status, 200);
        for path in [format!("{SETS}/{other}"), format!("{SETS}/{other}/detail"), CLASS.to_owned()] {
            let denied = demo.get(&path).await;
            assert_eq!((denied.status, denied.message().starts_with("Policy doesn't allow")), (403, true), "{path}");
        }
        assert_eq!(demo.put(&format!("{SETS}/{own}"), &quota(&json!({"instances": -1}))).await.status, 403);
        assert_eq!(demo.put(CLASS, &json!({"quota_class_set": {"instances": -1}})).await.status, 403);
        assert_eq!(demo.delete(&format!("{SETS}/{own}")).await.status, 403);
        assert_eq!(demo.get(&format!("{SETS}/{own}")).await.body["quota_set"]["instances"], 10);
    }

    async fn a_project_gets_what_it_may_have_and_is_told_what_it_has(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let path = format!("{SETS}/{}", project(&demo).await);
        let limits = json!({"instances": 4, "cores": 3, "ram": 40960});
        assert_eq!(admin.put(&path, &quota(&limits)).await.status, 200);
        assert_eq!(demo.post(SERVERS, &servers("one", 1, 1)).await.status, 202);
        // Each has one virtual CPU and 512 MiB.
        let many = demo.post(SERVERS, &servers("many", 3, 9)).await;
        assert_eq!(refused(&many), (403, "Quota exceeded for cores, instances: Requested 9, 3-9, but already used 1, 1 of \
            3, 4 cores, instances"));
        // As many as there may be, from the least on.
        assert_eq!(demo.post(SERVERS, &servers("some", 1, 9)).await.status, 202);
        let detail = demo.get(&format!("{path}/detail")).await.body["quota_set"].clone();
        assert_eq!(detail["cores"], json!({"limit": 3, "in_use": 3, "reserved": 0}));
        assert_eq!((&detail["instances"]["in_use"], &detail["ram"]["in_use"]), (&json!(3), &json!(3 * 512)));
        let full = demo.post(SERVERS, &servers("full", 1, 1)).await;
        assert_eq!(refused(&full), (403, "Quota exceeded for cores: Requested 1, but already used 3 of 3 cores"));
        let less = admin.put(&path, &quota(&json!({"cores": 2}))).await;
        assert_eq!(refused(&less), (400, "Quota limit 2 for cores must be greater than or equal to already used and reserved 3."));
        assert_eq!(admin.put(&path, &quota(&json!({"cores": 2, "force": "True"}))).await.status, 200);

        // What is deleted makes room.
        let list = demo.get(SERVERS).await.body["servers"].as_array().unwrap().clone();
        for server in list.iter().take(2) {
            assert_eq!(demo.delete(&format!("{SERVERS}/{}", server["id"].as_str().unwrap())).await.status, 204);
        }
        assert_eq!(demo.post(SERVERS, &servers("room", 1, 1)).await.status, 202);
    }

    async fn a_user_may_have_less_than_the_project(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let id = project(&demo).await;
        let servers_of = async |client: &Client<'_>| client.at("2.1").get(&format!("{SERVERS}/detail")).await.body["servers"].clone();
        assert_eq!(demo.post(SERVERS, &servers("first", 1, 1)).await.status, 202);
        let user = servers_of(&demo).await[0]["user_id"].as_str().unwrap().to_owned();
        let of_user = format!("{SETS}/{id}?user_id={user}");
        let too_much = admin.put(&of_user, &quota(&json!({"instances": 11}))).await;
        assert_eq!(refused(&too_much), (400, "Quota limit 11 for instances must be less than or equal to 10."));
        assert_eq!(admin.put(&of_user, &quota(&json!({"instances": 2}))).await.status, 200);
        assert_eq!(demo.get(&of_user).await.body["quota_set"]["instances"], 2);
        assert_eq!(demo.get(&format!("{SETS}/{id}")).await.body["quota_set"]["instances"], 10);
        assert_eq!(demo.post(SERVERS, &servers("second", 1, 1)).await.status, 202);
        let third = demo.post(SERVERS, &servers("third", 1, 1)).await;
        assert_eq!(refused(&third), (403, "Quota exceeded for instances: Requested 1, but already used 2 of 2 instances"));
        // Another user of the project has the rest.
        let other = cloud.login("admin", "demo").await;
        assert_eq!(other.post(SERVERS, &servers("other", 1, 1)).await.status, 202);
        let detail = demo.get(&format!("{SETS}/{id}/detail?user_id={user}")).await.body["quota_set"]["instances"].clone();
        assert_eq!(detail, json!({"limit": 2, "in_use": 2, "reserved": 0}));
        // What users were given, the project must have.
        let less = admin.put(&format!("{SETS}/{id}"), &quota(&json!({"instances": 1}))).await;
        assert_eq!(less.status, 400);
        assert_eq!(admin.delete(&of_user).await.status, 202);
        assert_eq!(demo.post(SERVERS, &servers("third", 1, 1)).await.status, 202);
    }

    async fn of_many_creates_at_once_there_is_never_one_too_many(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let id = project(&demo).await;
        // Not as many as there are connections to the database, of which each could count on its own.
        let limits = quota(&json!({"instances": 13}));
        assert_eq!(admin.put(&format!("{SETS}/{id}"), &limits).await.status, 200);
        let answers = at_once(&demo, 40, SERVERS, |index| servers(&format!("s{index}"), 1, 1)).await;
        assert_eq!(statuses(&answers), BTreeMap::from([(202, 13), (403, 27)]));
        for answer in answers.iter().filter(|answer| answer.status == 403) {
            let text = "Quota exceeded for instances: Requested 1, but already used 13 of 13 instances";
            assert_eq!(answer.message(), text);
        }
        let used = async || {
            let (used, _) = servers_in_use(&mut cloud.database.read().await.unwrap(), &id, "").await.unwrap();
            (used.instances, used.cores, used.ram)
        };
        assert_eq!(used().await, (13, 13, 13 * 512));

        // Those of a project without limits come at the same moment, and lose nothing by it.
        let unlimited = quota(&json!({"instances": -1, "cores": -1, "ram": -1}));
        assert_eq!(admin.put(&format!("{SETS}/{}", project(&admin).await), &unlimited).await.status, 200);
        let (refused, made) = tokio::join!(
            at_once(&demo, 20, SERVERS, |index| servers(&format!("u{index}"), 1, 1)),
            at_once(&admin, 20, SERVERS, |index| servers(&format!("v{index}"), 1, 2)),
        );
        assert_eq!((statuses(&refused), statuses(&made)), (BTreeMap::from([(403, 20)]), BTreeMap::from([(202, 20)])));
        assert_eq!(admin.get(SERVERS).await.body["servers"].as_array().unwrap().len(), 40);

        // Several of several each, by another limit; nothing of a refused one is there.
        let limits = quota(&json!({"instances": -1, "cores": 26, "ram": -1}));
        assert_eq!(admin.put(&format!("{SETS}/{id}"), &limits).await.status, 200);
        let answers = at_once(&demo, 12, SERVERS, |index| servers(&format!("t{index}"), 3, 3)).await;
        assert_eq!(statuses(&answers), BTreeMap::from([(202, 4), (403, 8)]));
        assert_eq!(used().await, (25, 25, 25 * 512));
    }

    async fn of_key_pairs_and_groups_at_once_there_is_never_one_too_many(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let path = format!("{SETS}/{}", project(&demo).await);
        let limits = json!({"key_pairs": 3, "server_groups": 4, "metadata_items": 1, "server_group_members": 2});
        assert_eq!(admin.put(&path, &quota(&limits)).await.status, 200);
        let body = |index: usize| json!({"keypair": {"name": format!("k{index}"), "public_key": KEY}});
        let answers = at_once(&demo, 12, "/compute/v2.1/os-keypairs", body).await;
        assert_eq!(statuses(&answers), BTreeMap::from([(200, 3), (403, 9)]));
        let body = |index: usize| json!({"server_group": {"name": format!("g{index}"), "policies": ["affinity"]}});
        let answers = at_once(&demo, 12, "/compute/v2.1/os-server-groups", body).await;
        assert_eq!(statuses(&answers), BTreeMap::from([(200, 4), (403, 8)]));
        let group = demo.get("/compute/v2.1/os-server-groups").await.body["server_groups"][0]["id"].clone();
        let body = |index: usize| {
            let mut body = servers(&format!("s{index}"), 1, 1);
            body["os:scheduler_hints"] = json!({"group": group});
            body
        };
        let answers = at_once(&demo, 8, SERVERS, body).await;
        assert_eq!(statuses(&answers), BTreeMap::from([(202, 2), (403, 6)]));
        let text = answers.iter().find(|answer| answer.status == 403).unwrap().message();
        assert_eq!(text, "Quota exceeded, too many servers in group");

        let mut two = servers("two", 1, 1);
        two["server"]["metadata"] = json!({"a": "1", "b": "2"});
        let refusal = demo.post(SERVERS, &two).await;
        assert_eq!(refused(&refusal), (403, "Maximum number of metadata items exceeds 1"));
    }

    async fn files_are_held_against_the_quotas(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let with = |count: usize, path: &str, contents: &str| {
            let mut body = create("s");
            body["server"]["personality"] = json!(vec![json!({"path": path, "contents": contents}); count]);
            body
        };
        for (body, text) in [
            (with(6, "/etc/motd", "aGFs"), "Personality file limit exceeded"),
            (with(1, &"/".repeat(256), "aGFs"), "Personality file path exceeds maximum 255"),
            (with(1, "/etc/motd", &"aGFs".repeat(4096)), "Personality file content exceeds maximum 10240"),
        ] {
            assert_eq!(refused(&demo.post(SERVERS, &body).await), (403, text));
        }
        let path = format!("{SETS}/{}", project(&demo).await);
        assert_eq!(admin.put(&path, &quota(&json!({"injected_files": -1}))).await.status, 200);
        assert_eq!(demo.post(SERVERS, &with(6, "/etc/motd", "aGFs")).await.status, 202);
    }
}

/// Only PostgreSQL has writers beside each other.
async fn a_project_that_is_counted_holds_up_no_other(cloud: Cloud) {
    let (admin, demo) = (cloud.admin().await, cloud.demo().await);
    let id = project(&demo).await;
    // As if a create of the project's stood still just before its commit.
    let mut standing = cloud.database.begin().await.unwrap();
    novella_common::db::quotas::lock(&mut standing, &format!("servers of {id}")).await.unwrap();
    let body = servers("waits", 1, 1);
    let mut waiting = Box::pin(demo.post(SERVERS, &body));
    let other = admin.post(SERVERS, &body);
    let status = tokio::select! {
        _ = &mut waiting => panic!("counted without the lock"),
        answer = other => answer.status,
    };
    assert_eq!(status, 202);
    standing.commit().await.unwrap();
    assert_eq!(waiting.await.status, 202);
}
