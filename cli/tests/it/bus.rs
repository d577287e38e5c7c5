//! The bus from the command line: methods called by hand, queues looked at, dead letters seen to.

use std::{
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    cloud::{Cloud, Settings, wait_for},
    process::novella,
};

/// What a command printed, and how it ended.
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        assert!(self.success, "{}", self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}

/// `novella ARGUMENTS` for this cloud: the embedded one by its data folder, the other by the broker's URL.
pub(crate) async fn run(cloud: &Cloud, arguments: &[&str]) -> Ended {
    run_with(cloud, arguments, true).await
}

async fn run_with(cloud: &Cloud, arguments: &[&str], management: bool) -> Ended {
    let mut command = command(cloud, arguments, management);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    Ended {
        success: output.status.success(),
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn command(cloud: &Cloud, arguments: &[&str], management: bool) -> Command {
    let mut command = novella();
    command.args(arguments);
    if cloud.is_embedded() {
        command.env("NOVELLA_DATA", cloud.data_folder());
    } else {
        command.env("NOVELLA_BUS__URL", cloud.vhost().url());
        if management {
            command.env("NOVELLA_BUS__MANAGEMENT_URL", std::env::var("NOVELLA_TEST_RABBITMQ_API").unwrap());
        }
    }
    command
}

/// Waits until the hosts listen: they are up before that, and take work only once a conductor has told them what they
/// ought to hold.
pub(crate) async fn listening(cloud: Cloud) -> Cloud {
    wait_for("three hosts that listen", async || {
        let shown = run(&cloud, &["bus", "--format", "json"]).await.json();
        let queues = shown["queues"].as_array().unwrap();
        let consumed = |prefix: &str| {
            let theirs =
                |queue: &&Value| queue["name"].as_str().unwrap().starts_with(prefix) && queue["consumers"] == 1;
            queues.iter().filter(theirs).count() == 3
        };
        consumed("compute.") && consumed("compute_fanout_") && consumed("compute-control.")
    })
    .await;
    cloud
}

async fn dead_letters(cloud: &Cloud) -> Vec<Value> {
    run(cloud, &["bus", "dead-letters", "--format", "json"]).await.json().as_array().unwrap().clone()
}

/// Casts what no host can do, and waits until it is set aside.
async fn a_dead_letter(cloud: &Cloud, method: &str) -> Value {
    let cast = run(cloud, &["rpc", "cast", "compute.host-1", method, "speed=11"]).await.json();
    let mut found = Value::Null;
    wait_for("a cast in vain to be set aside", async || {
        let letters = dead_letters(cloud).await;
        found = letters.into_iter().find(|it| it["request_id"] == cast["request_id"]).unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

async fn a_method_is_called_and_its_result_is_json(cloud: Cloud) {
    let cloud = listening(cloud).await;
    let uptime = run(&cloud, &["rpc", "call", "compute.host-1", "get_host_uptime"]).await.json();
    assert!(uptime.as_str().unwrap().contains(" up "), "{uptime}");

    // Arguments of both kinds arrive by name.
    let instance = "6a9a59f5-2b44-4c8a-b1a5-7e9d7a0a4c11";
    let by_pair = format!("instance={instance}");
    let by_json = json!({ "tail_length": 5 }).to_string();
    let asked = ["rpc", "call", "compute.host-1", "get_console_output", &by_pair, "--json", &by_json];
    let refused = run(&cloud, &asked).await;
    assert!(refused.code == Some(1) && refused.err.contains(instance), "{}", refused.err);
}

async fn what_goes_wrong_is_said_with_the_next_step(cloud: Cloud) {
    let cloud = listening(cloud).await;
    let call = async |arguments: &[&str]| {
        let ended = run(&cloud, &[&["rpc", "call"], arguments].concat()).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{}", ended.err);
        ended.err
    };
    let error = call(&["compute.host-1", "get_host_downtime"]).await;
    assert!(error.contains("has no RPC method `get_host_downtime`") && error.contains("contract"), "{error}");
    let error = call(&["compute.host-9", "get_host_uptime"]).await;
    assert!(error.contains("`compute.host-9`") && error.contains("`novella bus` lists the queues"), "{error}");
    let error = call(&["compute.host-1", "get_host_uptime", "--rpc-version", "7.0"]).await;
    assert!(error.contains("7.0") && error.contains("--rpc-version"), "{error}");
    let error = call(&["compute.host-1", "get_console_output", "instance=7"]).await;
    assert!(error.contains("`instance` is not valid") && error.contains("key=value"), "{error}");
    let error = call(&["compute.host-1", "get_host_uptime", "nothing"]).await;
    assert!(error.contains("key=value"), "{error}");
}

async fn a_server_answers_a_ping(cloud: Cloud) {
    let cloud = listening(cloud).await;
    for target in ["compute.host-2", "scheduler", "conductor", "compute"] {
        let pong = run(&cloud, &["rpc", "ping", target]).await.json();
        assert_eq!(pong["target"], target);
        assert!(pong["seconds"].as_f64().unwrap() > 0.0, "{pong}");
    }
    let fanout = run(&cloud, &["rpc", "fanout", "compute", "stop_everything"]).await.json();
    assert!(fanout["request_id"].as_str().unwrap().starts_with("req-"));
}

async fn the_bus_is_shown_with_its_queues_consumers_and_bindings(cloud: Cloud) {
    let cloud = listening(cloud).await;
    let shown = run(&cloud, &["bus", "--format", "json"]).await.json();
    assert_eq!((&shown["complete"], &shown["missing"]), (&json!(true), &Value::Null));
    let queue = |wanted: &str| {
        let queues = shown["queues"].as_array().unwrap();
        // There a host's identity stands behind its name.
        let is_it = |queue: &&Value| {
            let name = queue["name"].as_str().unwrap();
            name == wanted || (wanted.starts_with("compute-control.") && name.starts_with(&format!("{wanted}.")))
        };
        queues.iter().find(is_it).unwrap_or_else(|| panic!("{wanted}: {queues:?}")).clone()
    };
    assert_eq!(queue("compute")["consumers"], 3);
    for name in ["compute.host-1", "compute.host-2", "compute.host-3", "compute-control.host-1"] {
        let queue = queue(name);
        assert!(queue["consumers"] == 1 && queue["ready"].is_u64() && queue["unacked"].is_u64(), "{queue}");
    }
    let has = |list: &str, wanted: Value| shown[list].as_array().unwrap().contains(&wanted);
    assert!(has("exchanges", json!({ "name": "novella", "kind": "topic" })), "{shown}");
    assert!(has("exchanges", json!({ "name": "compute_fanout", "kind": "fanout" })), "{shown}");
    let binding = json!({ "exchange": "novella", "routing_key": "compute.host-1", "queue": "compute.host-1" });
    assert!(has("bindings", binding), "{shown}");

    let table = run(&cloud, &["bus", "show"]).await;
    assert!(table.success, "{}", table.err);
    let line = table.out.lines().find(|line| line.trim_start().starts_with("compute.host-1 ")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>()[1..], ["0", "0", "1"], "{}", table.out);
    assert!(table.out.contains("Dead letters: 0"), "{}", table.out);
}

async fn a_dead_letter_is_listed_retried_and_dropped(cloud: Cloud) {
    let cloud = listening(cloud).await;
    let letter = a_dead_letter(&cloud, "go_faster").await;
    assert_eq!((&letter["queue"], &letter["method"]), (&json!("compute.host-1"), &json!("go_faster")));
    assert!(letter["reason"].as_str().unwrap().contains("does not support RPC method go_faster"), "{letter}");
    let id = letter["id"].as_str().unwrap();

    let table = run(&cloud, &["bus", "dead-letters"]).await.out;
    let line = table.lines().nth(1).unwrap();
    assert!(
        line.trim_start().starts_with('1') && line.contains(&id[..8]) && line.contains("compute.host-1"),
        "{table}"
    );
    let shown = run(&cloud, &["bus"]).await.out;
    assert!(shown.contains("Dead letters: 1"), "{shown}");

    // The host still can't do it: it comes back as the same message, later.
    let retried = run(&cloud, &["bus", "retry", &id[..8]]).await;
    assert!(retried.out.contains("1 dead letter sent again"), "{}{}", retried.out, retried.err);
    wait_for("the letter to come back", async || {
        dead_letters(&cloud).await.iter().any(|again| again["id"] == id && again["time"] != letter["time"])
    })
    .await;

    let other = a_dead_letter(&cloud, "go_slower").await;
    let dropped = run(&cloud, &["bus", "drop", "1"]).await;
    assert!(dropped.out.contains("1 dead letter deleted"), "{}{}", dropped.out, dropped.err);
    let left = dead_letters(&cloud).await;
    assert_eq!(left.iter().map(|letter| &letter["id"]).collect::<Vec<_>>(), [&other["id"]]);
    let unknown = run(&cloud, &["bus", "drop", "2"]).await;
    assert!(unknown.code == Some(1) && unknown.err.contains("novella bus dead-letters"), "{}", unknown.err);

    assert!(run(&cloud, &["bus", "drop", "--all"]).await.success);
    assert_eq!(run(&cloud, &["bus", "dead-letters"]).await.out, "There are no dead letters.\n");
}

mod everywhere {
    use super::*;

    behaviours! {
        Settings::default();
        a_method_is_called_and_its_result_is_json,
        what_goes_wrong_is_said_with_the_next_step,
        a_server_answers_a_ping,
        the_bus_is_shown_with_its_queues_consumers_and_bindings,
        a_dead_letter_is_listed_retried_and_dropped,
    }
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_socket_is_private_replaces_a_stale_one_and_goes_with_the_cloud() {
        let mut cloud = Cloud::embedded(Settings::default()).await;
        let socket = cloud.data_folder().join("bus.sock");
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

        cloud.process("up").kill();
        assert!(socket.exists());
        let nobody = run(&cloud, &["bus"]).await;
        assert!(nobody.code == Some(1) && nobody.err.contains("no `novella up` runs"), "{}", nobody.err);

        cloud.process("up").restart();
        cloud.wait_until_ready().await;
        let mut cloud = listening(cloud).await;
        assert!(run(&cloud, &["rpc", "ping", "compute.host-1"]).await.success);
        assert!(cloud.process("up").terminate().success());
        assert!(!socket.exists());
    }
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn each_dead_letter_that_cannot_be_sent_again_is_reported_and_the_others_are_sent() {
        let mut cloud = listening(Cloud::apart(Settings::default()).await).await;
        assert!(run(&cloud, &["rpc", "fanout", "compute", "go_faster"]).await.success);
        wait_for("a letter of each host", async || dead_letters(&cloud).await.len() == 3).await;
        let before = dead_letters(&cloud).await;
        // Its share of the fanout goes with it.
        assert!(cloud.process("host-2").terminate().success());
        let queues = cloud.vhost().queues().await;
        let gone = before.iter().find(|letter| !queues.iter().any(|queue| letter["queue"] == **queue)).unwrap();

        let retried = run(&cloud, &["bus", "retry", "--all"]).await;
        assert_eq!((retried.code, &*retried.out), (Some(1), "2 dead letters sent again\n"), "{}", retried.err);
        let queue = gone["queue"].as_str().unwrap();
        for said in ["1 dead letter could not be sent again", queue, "its queue is gone", "drop the letter"] {
            assert!(retried.err.contains(said), "{said}: {}", retried.err);
        }
        // The others fail once more; that one has not moved.
        wait_for("the others to come back", async || {
            let now = dead_letters(&cloud).await;
            now.len() == 3 && now.iter().filter(|letter| before.contains(letter)).eq([gone])
        })
        .await;
        assert!(run(&cloud, &["bus", "drop", "--all"]).await.success);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_command_leaves_no_reply_queue_behind_nor_does_a_service_that_stops() {
        let mut cloud = listening(Cloud::apart(Settings::default()).await).await;
        let shown = async |cloud: &Cloud| run(cloud, &["bus", "--format", "json"]).await.json()["queues"].clone();
        let abandoned = async |cloud: &Cloud| {
            let queues = shown(cloud).await;
            let queues = queues.as_array().unwrap().clone();
            let is_abandoned =
                |queue: &Value| queue["name"].as_str().unwrap().starts_with("reply_") && queue["consumers"] == 0;
            queues.into_iter().filter(is_abandoned).collect::<Vec<_>>()
        };
        assert!(run(&cloud, &["rpc", "ping", "scheduler"]).await.success);
        assert!(!run(&cloud, &["rpc", "call", "compute.host-1", "go_faster"]).await.success);
        assert_eq!(abandoned(&cloud).await, Vec::<Value>::new());

        // A call that nobody answers, and a person who has waited long enough.
        assert!(cloud.process("host-3").terminate().success());
        let call = command(&cloud, &["rpc", "call", "compute.host-3", "get_host_uptime", "--timeout", "60"], true)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for("the call to wait for its host", async || {
            let queues = shown(&cloud).await;
            queues.as_array().unwrap().iter().any(|queue| queue["name"] == "compute.host-3" && queue["ready"] == 1)
        })
        .await;
        assert!(Command::new("kill").args(["-INT", &call.id().to_string()]).status().unwrap().success());
        let ended = tokio::task::spawn_blocking(move || call.wait_with_output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(1) && said.contains("broken off"), "{said}");
        assert_eq!(abandoned(&cloud).await, Vec::<Value>::new());

        for process in cloud.processes() {
            if process.name != "host-3" {
                assert!(process.terminate().success(), "{}", process.log());
            }
        }
        let left = cloud.vhost().queues().await;
        let passing = |queue: &&String| queue.starts_with("reply_") || queue.contains("_fanout_");
        assert_eq!(left.iter().filter(passing).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_the_management_api_amqp_says_what_it_can_and_what_is_missing_is_told() {
        let cloud = listening(Cloud::apart(Settings::default()).await).await;
        let shown = run_with(&cloud, &["bus", "--format", "json", "--queue", "compute.host-1"], false).await.json();
        assert_eq!(shown["complete"], false);
        assert!(shown["missing"].as_str().unwrap().contains("bus.management_url"), "{shown}");
        let queues = shown["queues"].as_array().unwrap();
        let names: Vec<_> = queues.iter().map(|queue| queue["name"].as_str().unwrap()).collect();
        let consumed = ["compute", "compute.host-1", "conductor", "reports.info", "scheduler"];
        let mut all = [&consumed[..], &["dead_letters"]].concat();
        all.sort_unstable();
        assert_eq!(names, all);
        let is_consumed = |queue: &&Value| queue["consumers"].as_u64() > Some(0);
        assert_eq!(queues.iter().filter(is_consumed).count(), consumed.len(), "{shown}");
    }
}
