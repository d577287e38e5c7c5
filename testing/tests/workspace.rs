//! The shape of the workspace, as CONTRIBUTING.md describes it: which crate uses which, and how long a file is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What every component stands on, and what each component consists of. A crate uses those of its own row that stand after
/// it, and of the first row; never those of another component.
const SHARED: &[&str] = &["novella-rest", "novella-common", "novella-messaging", "novella-messaging-macros"];
const COMPONENTS: &[(&str, &[&str])] = &[
    ("Compute", &["novella-api", "novella-conductor", "novella-scheduler", "novella-compute"]),
    ("Identity", &["novella-identity"]),
    ("Image", &["novella-image"]),
];
/// The program, in which the components meet.
const PROGRAM: &str = "novella";
/// Crates of others of which only the interface is needed.
const REPLACED: &[&str] = &["p12-keystore"];
/// Never part of the program.
const FOR_TESTS: &[&str] = &["novella-testing", "novella-contract-tests"];

const LONGEST_FILE: usize = 600;

#[test]
fn crates_use_those_after_them_and_never_another_component() {
    let mut wrong = Vec::new();
    for (package, dependencies) in dependencies() {
        for dependency in dependencies {
            if !may_use(&package, &dependency) {
                wrong.push(format!("{package} uses {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_has_its_place() {
    let known: BTreeSet<&str> = [PROGRAM]
        .into_iter()
        .chain(SHARED.iter().chain(REPLACED).chain(FOR_TESTS).copied())
        .chain(COMPONENTS.iter().flat_map(|(_, crates)| crates.iter().copied()))
        .collect();
    let unknown: Vec<_> = dependencies().into_keys().filter(|package| !known.contains(package.as_str())).collect();
    assert!(unknown.is_empty(), "say in {} where these belong: {unknown:?}", file!());
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = sources(&root())
        .into_iter()
        .map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .collect();
    assert!(long.is_empty(), "of more than {LONGEST_FILE} lines: {long:?}");
}

/// Whether the rows above permit it.
fn may_use(package: &str, dependency: &str) -> bool {
    let after = |row: &[&str]| {
        let place = |name| row.iter().position(|other| *other == name);
        place(package).zip(place(dependency)).is_some_and(|(user, used)| user < used)
    };
    if FOR_TESTS.contains(&dependency) {
        return FOR_TESTS.contains(&package);
    }
    package == PROGRAM
        || FOR_TESTS.contains(&package)
        || after(SHARED)
        || (!SHARED.contains(&package) && SHARED.contains(&dependency))
        || COMPONENTS.iter().any(|(_, row)| after(row))
}

/// Each crate of the workspace with those of the workspace that it uses, tests aside.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let of_workspace = dependencies
                .filter(|dependency| dependency["kind"] != "dev" && !dependency["path"].is_null())
                .map(name)
                .collect();
            (name(package), of_workspace)
        })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files with code below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(sources(&path));
            }
        } else if ["rs", "py", "sh", "sql"].iter().any(|extension| name.ends_with(&format!(".{extension}"))) {
            found.push(path);
        }
    }
    found
}
