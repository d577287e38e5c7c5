//! What can be done to a server: each is one compare-and-swap and one message.

use novella_common::{
    ids::InstanceUuid,
    lifecycle::{PowerState, TaskState, VmState},
    sql,
};
use serde_json::{Value, json};

use crate::support::Cloud;

const SERVERS: &str = "/compute/v2.1/servers";

on_both! {
    async fn each_action_sets_its_task_and_tells_the_host(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        for (from, body, task, method) in [
            ("active", json!({"os-stop": null}), TaskState::PoweringOff, "stop_instance"),
            ("stopped", json!({"os-start": null}), TaskState::PoweringOn, "start_instance"),
            ("active", json!({"reboot": {"type": "SOFT"}}), TaskState::Rebooting, "reboot_instance"),
            ("stopped", json!({"reboot": {"type": "Hard"}}), TaskState::RebootingHard, "reboot_instance"),
            ("active", json!({"pause": null}), TaskState::Pausing, "pause_instance"),
            ("paused", json!({"unpause": null}), TaskState::Unpausing, "unpause_instance"),
            ("active", json!({"suspend": null}), TaskState::Suspending, "suspend_instance"),
            ("suspended", json!({"resume": null}), TaskState::Resuming, "resume_instance"),
            ("active", json!({"trigger_crash_dump": null}), TaskState::TriggeringCrashDump, "trigger_crash_dump"),
        ] {
            cloud.place(uuid, "host-1", from, 1).await;
            let before = cloud.taken.lock().unwrap().len();
            let answer = demo.at("2.17").action(uuid, &body).await;
            assert_eq!((answer.status, &answer.body), (202, &Value::Null), "{body}");
            let casts = cloud.casts(before + 1).await;
            assert_eq!((casts[before].to.as_str(), casts[before].method.as_str()), ("compute.host-1", method));
            let instance = cloud.instance(uuid).await.unwrap();
            assert_eq!(instance.task_state, Some(task), "{body}");
            assert_eq!(casts[before].arguments["operation"]["task_id"], json!(instance.task_id));
            assert_eq!(instance.task_request_id.as_deref(), answer.header("x-openstack-request-id"));
        }
    }

    async fn a_wrong_state_is_a_conflict_that_says_which(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        cloud.place(uuid, "host-1", "stopped", 4).await;
        let answer = demo.action(uuid, &json!({"os-stop": null})).await;
        assert_eq!(answer.body, json!({"conflictingRequest": {
            "code": 409, "message": format!("Cannot 'stop' instance {uuid} while it is in vm_state stopped"),
        }}));
        cloud.place(uuid, "host-1", "active", 1).await;
        assert_eq!(demo.action(uuid, &json!({"pause": null})).await.status, 202);
        let busy = demo.action(uuid, &json!({"os-stop": null})).await;
        assert_eq!(busy.message(), format!("Cannot 'stop' instance {uuid} while it is in task_state pausing"));
        let building = cloud.new_server(&demo, "new").await;
        assert_eq!(demo.action(building, &json!({"os-stop": null})).await.status, 409);
    }

    async fn a_crash_dump_is_triggered_from_2_17_on_and_shows_no_task(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        assert_eq!(demo.at("2.16").action(uuid, &json!({"trigger_crash_dump": null})).await.status, 404);
        assert_eq!(demo.at("2.17").action(uuid, &json!({"trigger_crash_dump": {}})).await.status, 400);
        assert_eq!(demo.at("2.17").action(uuid, &json!({"trigger_crash_dump": null})).await.status, 202);
        let shown = demo.get(&format!("{SERVERS}/{uuid}")).await.body;
        assert_eq!(shown["server"]["OS-EXT-STS:task_state"], Value::Null);
        assert_eq!(shown["server"]["status"], "ACTIVE");
    }

    async fn a_cold_migration_is_written_down_and_ended_once(cloud: Cloud) {
        cloud.start_host("host-1").await;
        cloud.write_host("host-2", "nova").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        assert_eq!(demo.action(uuid, &json!({"migrate": null})).await.status, 403);
        for (host, text) in [("host-1", "where the server exists"), ("host-9", "could not be found")] {
            let refused = admin.at("2.56").action(uuid, &json!({"migrate": {"host": host}})).await;
            assert_eq!((refused.status, refused.message().contains(text)), (400, true), "{:?}", refused.body);
        }
        assert_eq!(admin.at("2.56").action(uuid, &json!({"migrate": {"hosts": 1}})).await.status, 400);
        let early = demo.action(uuid, &json!({"confirmResize": null})).await;
        assert_eq!(early.message(), format!("Cannot 'confirmResize' instance {uuid} while it is in vm_state active"));
        let answer = admin.at("2.56").action(uuid, &json!({"migrate": {"host": "host-2"}})).await;
        assert_eq!((answer.status, &answer.body), (202, &Value::Null));
        let casts = cloud.casts(2).await;
        assert_eq!((casts[1].to.as_str(), casts[1].method.as_str()), ("conductor", "migrate_server"));
        assert_eq!(demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"]["status"], "RESIZE");
        let listed = admin.at("2.23").get("/compute/v2.1/os-migrations").await.body["migrations"][0].clone();
        assert_eq!((&listed["migration_type"], &listed["status"]), (&json!("migration"), &json!("accepted")));

        // As a conductor leaves it.
        cloud.place(uuid, "host-2", "resized", 1).await;
        let missing = demo.action(uuid, &json!({"revertResize": null})).await;
        assert_eq!((missing.status, missing.message()), (400, "Instance has not been resized."));
        cloud.execute(sql!("UPDATE migrations SET status = 'finished'")).await;
        let shown = demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"].clone();
        assert_eq!((&shown["status"], &shown["progress"]), (&json!("VERIFY_RESIZE"), &json!(0)));
        let (confirm, revert) = (json!({"confirmResize": null}), json!({"revertResize": null}));
        let (a, b) = tokio::join!(demo.action(uuid, &confirm), demo.action(uuid, &revert));
        assert!(matches!((a.status, b.status), (204, 400 | 409) | (400 | 409, 202)), "{} {}", a.status, b.status);
        let casts = cloud.casts(3).await;
        assert!(matches!(casts[2].method.as_str(), "confirm_resize" | "revert_resize"));
    }

    async fn of_two_at_once_one_wins(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let (stop, pause) = (json!({"os-stop": null}), json!({"pause": null}));
        let (a, b) = tokio::join!(demo.action(uuid, &stop), demo.action(uuid, &pause));
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 409]);
        assert_eq!(cloud.casts(2).await.len(), 2);
    }

    async fn what_can_not_be_handed_over_is_written_down_and_so_accepted(cloud: Cloud) {
        // A host that is up by its rows and never listened on this bus.
        cloud.write_host("host-1", "nova").await;
        let demo = cloud.demo().await;
        for (body, task) in [
            (json!({"os-stop": null}), TaskState::PoweringOff),
            (json!({"suspend": null}), TaskState::Suspending),
            (json!({"reboot": {"type": "HARD"}}), TaskState::RebootingHard),
        ] {
            let uuid = cloud.active_server(&demo, "s", "host-1").await;
            assert_eq!(demo.action(uuid, &body).await.status, 202, "{body}");
            assert_eq!(cloud.states(uuid).await.1, Some(task));
        }
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        assert_eq!(demo.delete(&format!("{SERVERS}/{uuid}")).await.status, 204);
        assert_eq!(cloud.states(uuid).await.1, Some(TaskState::Deleting));
    }

    async fn what_is_overtaken_says_by_whom(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let history = async |uuid: InstanceUuid, index: usize| {
            let path = format!("{SERVERS}/{uuid}/os-instance-actions");
            let list = admin.at("2.84").get(&path).await.body;
            let request = list["instanceActions"][index]["request_id"].as_str().unwrap().to_owned();
            admin.at("2.84").get(&format!("{path}/{request}")).await.body["instanceAction"].clone()
        };
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        assert_eq!(demo.action(uuid, &json!({"suspend": null})).await.status, 202);
        let reboot = demo.action(uuid, &json!({"reboot": {"type": "HARD"}})).await;
        let suspended = history(uuid, 1).await;
        let by = format!("Overtaken by 'reboot' ({}).", reboot.header("x-openstack-request-id").unwrap());
        let event = &suspended["events"][0];
        assert_eq!((&event["event"], &event["result"]), (&json!("compute_suspend_instance"), &json!("Error")));
        assert_eq!((&event["details"], &suspended["message"]), (&json!(by), &json!("Error")));
        assert!(!event["finish_time"].is_null());
        assert_eq!(admin.action(uuid, &json!({"os-resetState": {"state": "active"}})).await.status, 202);
        assert!(history(uuid, 1).await["events"][0]["details"].as_str().unwrap().contains("'resetState'"));
        assert_eq!(history(uuid, 0).await["events"][0]["result"], "Success");

        // A create that nobody has begun yet, and its deletion, which no host has a part in.
        let new = cloud.new_server(&demo, "new").await;
        assert_eq!(demo.delete(&format!("{SERVERS}/{new}")).await.status, 204);
        assert!(history(new, 1).await["events"][0]["details"].as_str().unwrap().contains("'delete'"));
        assert_eq!(history(new, 0).await["events"][0]["event"], "api_local_delete");
    }

    async fn what_is_no_action_is_refused(cloud: Cloud) {
        let (demo, admin) = (cloud.demo().await, cloud.admin().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        for (body, text) in [
            (json!({"explode": null}), "There is no such action: explode"),
            (json!({}), "one action is expected"),
            (json!({"os-stop": null, "os-start": null}), "one action is expected"),
            (json!([]), "a JSON object is expected"),
            (json!({"reboot": null}), "reboot"),
            (json!({"reboot": {"type": "SLOW"}}), "reboot.type"),
            (json!({"reboot": {"type": "SOFT", "x": 1}}), "('x' was unexpected)"),
            (json!({"os-resetState": {"state": "stopped"}}), "os-resetState.state"),
            (json!({"os-getConsoleOutput": {"length": -7}}), "length"),
            (json!({"os-getConsoleOutput": null}), "is not of type 'object'"),
            (json!({"reboot": ["SOFT"]}), "is not of type 'object'"),
            (json!({"os-resetState": ["active"]}), "is not of type 'object'"),
        ] {
            // Who may not do it at all is told that first.
            let client = if body.get("os-resetState").is_some() { &admin } else { &demo };
            let answer = client.action(uuid, &body).await;
            assert_eq!((answer.status, answer.message().contains(text)), (400, true), "{body}: {:?}", answer.body);
        }
        let refused = demo.action(uuid, &json!({"os-resetState": {"state": "stopped"}})).await;
        assert_eq!(refused.status, 403);
    }

    async fn the_console_is_asked_of_the_host(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let answer = demo.action(uuid, &json!({"os-getConsoleOutput": {"length": "5"}})).await;
        assert_eq!((answer.status, answer.body), (200, json!({"output": "console text\n"})));
        let casts = cloud.casts(2).await;
        assert_eq!(casts[1].arguments, json!({"instance": uuid, "tail_length": 5}));
        let building = cloud.new_server(&demo, "new").await;
        assert_eq!(demo.action(building, &json!({"os-getConsoleOutput": {}})).await.status, 409);
        cloud.force_down("host-1").await;
        assert_eq!(demo.action(uuid, &json!({"os-getConsoleOutput": {}})).await.status, 503);
    }

    async fn an_administrator_may_set_the_state_by_hand(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let body = json!({"os-resetState": {"state": "error"}});
        let denied = demo.action(uuid, &body).await;
        assert_eq!(denied.body, json!({"forbidden": {"code": 403,
            "message": "Policy doesn't allow os_compute_api:os-admin-actions:reset_state to be performed."}}));
        assert_eq!(demo.action(uuid, &json!({"os-stop": null})).await.status, 202);
        assert_eq!(admin.action(uuid, &body).await.status, 202);
        assert_eq!(cloud.states(uuid).await, (VmState::Error, None, PowerState::Running));
        assert_eq!(admin.action(uuid, &json!({"os-resetState": {"state": "active"}})).await.status, 202);
        assert_eq!(cloud.states(uuid).await.0, VmState::Active);
    }

    async fn the_history_of_a_server_outlives_it(cloud: Cloud) {
        let demo = cloud.demo().await;
        let uuid = cloud.new_server(&demo, "s").await;
        let path = format!("{SERVERS}/{uuid}/os-instance-actions");
        let list = demo.get(&path).await;
        assert_eq!(list.body["instanceActions"][0]["action"], "create");
        let request = list.body["instanceActions"][0]["request_id"].as_str().unwrap().to_owned();
        // Events are not for those who are no administrators, until 2.51.
        let one = demo.get(&format!("{path}/{request}")).await;
        assert_eq!(one.body["instanceAction"].get("events"), None);
        let admin = cloud.admin().await;
        assert_eq!(admin.get(&format!("{path}/{request}")).await.body["instanceAction"]["events"], json!([]));
        assert_eq!(demo.get(&format!("{path}/req-nothing")).await.status, 404);

        assert_eq!(demo.delete(&format!("{SERVERS}/{uuid}")).await.status, 204);
        assert_eq!(demo.at("2.20").get(&path).await.status, 404);
        let list = demo.at("2.21").get(&path).await;
        let names: Vec<_> = list.body["instanceActions"].as_array().unwrap().iter().map(|a| a["action"].clone()).collect();
        assert_eq!(names, ["delete", "create"]);
    }

    async fn metadata_is_kept_with_a_server(cloud: Cloud) {
        let demo = cloud.demo().await;
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let path = format!("{SERVERS}/{uuid}/metadata");
        let add = demo.post(&path, &json!({"metadata": {"a": "1", "b": "2"}})).await;
        assert_eq!((add.status, add.body), (200, json!({"metadata": {"a": "1", "b": "2"}})));
        let set = demo.put(&format!("{path}/a"), &json!({"meta": {"a": "3"}})).await;
        assert_eq!((set.status, set.body), (200, json!({"meta": {"a": "3"}})));
        assert_eq!(demo.delete(&format!("{path}/b")).await.status, 204);
        assert_eq!(demo.get(&path).await.body, json!({"metadata": {"a": "3"}}));
        assert_eq!(demo.get(&format!("{path}/a")).await.body, json!({"meta": {"a": "3"}}));
        assert_eq!(demo.get(&format!("{path}/b")).await.status, 404);
        assert_eq!(demo.put(&path, &json!({"metadata": {}})).await.body, json!({"metadata": {}}));
        for (path, body) in [
            (path.clone(), json!({"metadata": {"a": null}})),
            (path.clone(), json!({"metadata": {"ä": "1"}})),
            (path.clone(), json!({"meta": {"a": "1"}})),
            (format!("{path}/a"), json!({"meta": {"b": "1"}})),
            (format!("{path}/a"), json!({"meta": {"a": "1", "b": "2"}})),
        ] {
            assert_eq!(demo.put(&path, &body).await.status, 400, "{body}");
        }
        let building = cloud.new_server(&demo, "new").await;
        let path = format!("{SERVERS}/{building}/metadata");
        let early = demo.post(&path, &json!({"metadata": {"a": "1"}})).await;
        let text = |verb: &str| format!("Cannot '{verb} metadata' instance {building} while it is in vm_state building");
        assert_eq!((early.status, early.message()), (409, text("update").as_str()));
        let early = demo.delete(&format!("{path}/a")).await;
        assert_eq!((early.status, early.message()), (409, text("delete").as_str()));
    }

    async fn metadata_beyond_the_quota_can_be_taken_away_one_by_one(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let path = format!("{SERVERS}/{uuid}/metadata");
        let three = json!({"metadata": {"a": "1", "b": "2", "c": "3"}});
        assert_eq!(demo.post(&path, &three).await.status, 200);
        let project = cloud.instance(uuid).await.unwrap().project_id;
        let quota = json!({"quota_set": {"metadata_items": 1}});
        assert_eq!(admin.put(&format!("/compute/v2.1/os-quota-sets/{project}"), &quota).await.status, 200);
        let refused = demo.put(&format!("{path}/a"), &json!({"meta": {"a": "4"}})).await;
        assert_eq!((refused.status, refused.message()), (403, "Maximum number of metadata items exceeds 1"));
        for key in ["a", "b"] {
            assert_eq!(demo.delete(&format!("{path}/{key}")).await.status, 204);
        }
        assert_eq!(demo.get(&path).await.body, json!({"metadata": {"c": "3"}}));
    }
}
