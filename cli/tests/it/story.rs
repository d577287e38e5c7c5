//! The log as the story of a request: each line that belongs to one has its id, whichever service wrote it.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{
    cloud::{Cloud, Settings, wait_for},
    process::novella,
};

fn settings(filter: &str) -> Settings {
    Settings {
        environment: vec![
            ("NOVELLA_LOG__FORMAT", "json".into()),
            ("NOVELLA_LOG__FILTER", filter.into()),
            ("NOVELLA_COMPUTE__FAKE__BANDWIDTH_MIB", "2000".into()),
        ],
        ..Settings::default()
    }
}

/// All lines of Novella's own that the cloud has logged so far, in the order of their times.
fn lines(cloud: &mut Cloud) -> Vec<Value> {
    let logs: Vec<String> = cloud.processes().iter().map(|process| process.log()).collect();
    let mut lines: Vec<Value> = logs
        .iter()
        .flat_map(|log| log.lines())
        // The embedded cloud prints where it is found, too.
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["target"].as_str().is_some_and(|target| target.starts_with("novella")))
        .collect();
    lines.sort_by_key(|line| line["timestamp"].as_str().unwrap().to_owned());
    lines
}

/// The ids of the requests that a line says it belongs to.
fn requests(line: &Value) -> HashSet<&str> {
    let spans = line["spans"].as_array().into_iter().flatten();
    spans.chain([line]).filter_map(|fields| fields["request_id"].as_str()).collect()
}

/// Whether a line is of this crate and has these fields.
fn is(line: &Value, target: &str, fields: &Value) -> bool {
    line["target"].as_str().unwrap().starts_with(target)
        && fields.as_object().unwrap().iter().all(|(name, value)| line[name] == *value)
}

/// Fails unless each part of the story is in the lines of the request.
fn assert_told(lines: &[Value], request: &str, story: &[(&str, Value)]) {
    let own: Vec<&Value> = lines.iter().filter(|line| requests(line).contains(request)).collect();
    for (target, fields) in story {
        assert!(
            own.iter().any(|line| is(line, target, fields)),
            "no line of {target} with {fields} has the id {request}: {:#?}",
            lines.iter().filter(|line| is(line, target, fields)).collect::<Vec<_>>()
        );
    }
    for line in own {
        assert_eq!(requests(line).len(), 1, "{line} belongs to several requests");
    }
}

async fn at_debug_a_create_and_a_live_migration_can_be_followed_by_their_request_ids(mut cloud: Cloud) {
    let client = cloud.client().await;
    let id = client.create("followed", json!({})).await;
    client.wait_for_status(&id, "ACTIVE").await;
    client.live_migrate(&id, None).await;
    client.wait_until_settled(&id).await;
    wait_for("the end of the migration in the log", async || {
        lines(&mut cloud).iter().any(|line| is(line, "novella_conductor", &json!({ "message": "migration ended" })))
    })
    .await;
    let actions = client.get(&format!("/servers/{id}/os-instance-actions")).await;
    let request = |action: &str| {
        let actions = actions["instanceActions"].as_array().unwrap();
        let found = actions.iter().find(|found| found["action"] == action).unwrap_or_else(|| panic!("{actions:?}"));
        found["request_id"].as_str().unwrap().to_owned()
    };
    let lines = lines(&mut cloud);

    let sent = |method: &str| ("novella_messaging", json!({ "message": "a request is sent", "method": method }));
    let step = |name: &str| ("novella_compute", json!({ "message": "step", "instance": id, "step": name }));
    let create = [
        ("novella_api", json!({ "message": "written down: it waits for a host", "instance": id })),
        sent("build_instance"),
        ("novella_scheduler", json!({ "message": "host chosen and claimed", "instance": id })),
        sent("build_and_run_instance"),
        step("networking"),
        step("block_device_mapping"),
        step("spawning"),
        ("novella_compute", json!({ "message": "operation ended", "instance": id, "result": "success" })),
        ("novella_scheduler", json!({ "message": "build handed over", "instance": id })),
        ("novella_conductor", json!({ "message": "report written down", "instance": id, "vm_state": "active" })),
        ("novella_rest", json!({ "message": "answered", "status": 202 })),
    ];
    assert_told(&lines, &request("create"), &create);

    let steps = [
        "select_destinations",
        "check_can_live_migrate_destination",
        "check_can_live_migrate_source",
        "add_port_bindings",
        "pre_live_migration",
        "live_migration",
        "move_port_bindings",
        "post_live_migration_at_destination",
        "post_live_migration",
        "complete",
    ];
    let migrate = [
        ("novella_api", json!({ "message": "migration accepted", "instance": id })),
        ("novella_api", json!({ "message": "operation begun", "instance": id })),
        sent("live_migrate_instance"),
        sent("select_destinations"),
        ("novella_scheduler", json!({ "message": "destinations selected", "instance": id })),
        ("novella_conductor", json!({ "message": "migration let in" })),
        sent("check_can_live_migrate_destination"),
        sent("pre_live_migration"),
        sent("live_migration"),
        ("novella_compute", json!({ "message": "copying begins", "instance": id })),
        ("novella_compute", json!({ "message": "copying ended", "instance": id, "outcome": "Switched" })),
        ("novella_conductor", json!({ "message": "report written down", "instance": id, "outcome": "Switched" })),
        sent("post_live_migration_at_destination"),
        sent("post_live_migration"),
        ("novella_conductor", json!({ "message": "migration ended", "instance": id, "status": "completed" })),
    ];
    let migration = request("live-migration");
    assert_told(&lines, &migration, &migrate);
    let step_of_the_task = json!({ "message": "step", "instance": id });
    let mut done: Vec<&str> = lines
        .iter()
        .filter(|line| is(line, "novella_conductor", &step_of_the_task) && requests(line).contains(&*migration))
        .map(|line| line["step"].as_str().unwrap())
        .collect();
    done.dedup();
    assert_eq!(done, steps);

    // Whoever speaks of the server or of its migration, says for which request.
    let begun = lines.iter().find(|line| is(line, "novella_api", &migrate[0].1)).unwrap();
    let uuid = begun["migration"].as_str().unwrap();
    for line in &lines {
        let text = line.to_string();
        assert!(!(text.contains(&id) || text.contains(uuid)) || !requests(line).is_empty(), "of no request: {text}");
    }
}

async fn with_a_filter_that_lets_only_warnings_through_they_have_their_request_id_too(cloud: Cloud) {
    let mut cloud = crate::bus::listening(cloud).await;
    let mut command = novella();
    command.args(["rpc", "cast", "compute.host-1", "go_faster"]);
    if cloud.is_embedded() {
        command.env("NOVELLA_DATA", cloud.data_folder());
    } else {
        command.env("NOVELLA_BUS__URL", cloud.vhost().url());
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cast: Value = serde_json::from_slice(&output.stdout).unwrap();
    let request = cast["request_id"].as_str().unwrap();
    let moved = json!({ "message": "a message is moved to `dead_letters`" });
    wait_for("the cast to be set aside", async || {
        lines(&mut cloud).iter().any(|line| is(line, "novella_messaging", &moved))
    })
    .await;
    let failed = json!({ "message": "a cast failed", "level": "WARN", "method": "go_faster" });
    assert_told(&lines(&mut cloud), request, &[("novella_messaging", failed), ("novella_messaging", moved)]);
}

mod everywhere {
    use super::*;

    behaviours! {
        settings("debug,lapin=off,sqlx=info,h2=info,hyper=info");
        at_debug_a_create_and_a_live_migration_can_be_followed_by_their_request_ids,
    }
}

mod with_warnings_only {
    use super::*;

    behaviours! {
        settings("warn");
        with_a_filter_that_lets_only_warnings_through_they_have_their_request_id_too,
    }
}
