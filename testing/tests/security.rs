//! What docs/security.md promises about how Novella is shipped, and that each promise there has the test that it names.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use yaml_rust2::{Yaml, YamlLoader};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Yaml {
    YamlLoader::load_from_str(&text(path)).unwrap().remove(0)
}

/// A key of a map, or of those that it merges.
fn key<'y>(map: &'y Yaml, name: &str) -> &'y Yaml {
    match (&map[name], &map["<<"]) {
        (Yaml::BadValue, Yaml::BadValue) => &Yaml::BadValue,
        (Yaml::BadValue, merged) => key(merged, name),
        (own, _) => own,
    }
}

fn strings(list: &Yaml) -> Vec<&str> {
    list.as_vec().into_iter().flatten().filter_map(Yaml::as_str).collect()
}

#[test]
fn the_composition_has_no_password_of_its_own() {
    let composition = text("docker-compose.yml");
    for variable in ["NOVELLA_ADMIN_PASSWORD", "POSTGRES_PASSWORD", "RABBITMQ_PASSWORD"] {
        let uses = composition.matches(&format!("${{{variable}")).count();
        let required = composition.matches(&format!("${{{variable}:?cp deploy/demonstration.env .env")).count();
        assert!(
            uses > 0 && uses == required,
            "{variable}: {required} of {uses} refuse to start without it and say how"
        );
        assert!(text("deploy/demonstration.env").contains(&format!("\n{variable}=")), "{variable}");
    }
    assert!(text(".gitignore").lines().any(|line| line == "/.env"), "a file with passwords would be committed");
    assert!(text(".dockerignore").lines().any(|line| line == ".env"), "a file with passwords would be in the image");
}

#[test]
fn every_container_of_the_composition_is_hardened() {
    let composition = yaml("docker-compose.yml");
    let services = composition["services"].as_hash().unwrap();
    assert!(services.len() >= 12, "{}", services.len());
    for (name, service) in services {
        let name = name.as_str().unwrap();
        assert_eq!(key(service, "read_only").as_bool(), Some(true), "{name} writes to its own file system");
        assert_eq!(strings(key(service, "cap_drop")), ["ALL"], "{name}");
        assert!(strings(key(service, "security_opt")).contains(&"no-new-privileges:true"), "{name}");
        assert!(key(service, "mem_limit").as_str().is_some_and(|limit| limit.ends_with(['m', 'g'])), "{name}");
        for more in ["cap_add", "privileged", "devices", "pid", "network_mode"] {
            assert!(key(service, more).is_badvalue(), "{name} has {more}");
        }
        for port in strings(key(service, "ports")) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is published at {port}");
        }
        for volume in strings(key(service, "volumes")) {
            assert!(!volume.contains("docker.sock"), "{name} has {volume}");
            assert!(!volume.starts_with("./") || volume.ends_with(":ro"), "{name} can change {volume}");
        }
    }
}

/// What the steps of a workflow's jobs run.
fn runs(workflow: &Yaml) -> String {
    let jobs = workflow["jobs"].as_hash().unwrap().values();
    let steps = jobs.flat_map(|job| job["steps"].as_vec().unwrap());
    steps.filter_map(|step| step["run"].as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn dependencies_are_audited_every_day_and_a_release_says_what_is_in_it() {
    let audit = yaml(".github/workflows/audit.yml");
    let cron = audit["on"]["schedule"][0]["cron"].as_str().unwrap();
    assert!(cron.ends_with(" * * *"), "{cron}");
    let audited = runs(&audit);
    for lock in ["cargo audit\n", "cargo audit --file messaging/fuzz/Cargo.lock"] {
        assert!(format!("{audited}\n").contains(lock), "{lock}: {audited}");
    }
    let release = runs(&yaml(".github/workflows/release.yml"));
    assert!(release.contains("cargo cyclonedx ") && release.contains("\"package/novella-"), "{release}");
    assert!(release.contains("gh release create") && release.contains("package/*"), "{release}");
}

/// The promises of docs/security.md: each with its tests, a name and a file.
fn promises() -> Vec<(String, Vec<(String, String)>)> {
    let document = text("docs/security.md");
    let (mut found, mut inside) = (Vec::new(), false);
    for line in document.lines() {
        match line {
            "| promise | test |" => inside = true,
            line if !line.starts_with('|') => inside = false,
            line if inside && !line.starts_with("| ---") => {
                let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
                let [promise, tests] = cells[..] else { panic!("{line}") };
                found.push((promise.to_owned(), named(tests)));
            }
            _ => {}
        }
    }
    found
}

/// "`one`, `two` in [file.rs](../path/file.rs); `three` in ..."
fn named(cell: &str) -> Vec<(String, String)> {
    let mut named = Vec::new();
    for part in cell.split("; ") {
        let Some((names, link)) = part.split_once(" in [") else { continue };
        let path = link.split_once("](../").and_then(|(_, path)| path.strip_suffix(')')).unwrap_or_default();
        named.extend(names.split(", ").map(|name| (name.trim_matches('`').to_owned(), path.to_owned())));
    }
    named
}

#[test]
fn every_promise_about_security_names_a_test_that_is_there() {
    let promises = promises();
    assert!(promises.len() > 25, "{}", promises.len());
    let mut wrong = Vec::new();
    for (promise, tests) in &promises {
        if tests.is_empty() {
            wrong.push(format!("no test is named: {promise}"));
        }
        for (name, path) in tests {
            let file = fs::read_to_string(root().join(path)).unwrap_or_default();
            if !file.contains(&format!("fn {name}(")) {
                wrong.push(format!("'{path}' has no {name}: {promise}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(text("SECURITY.md").contains("docs/security.md"));
}
