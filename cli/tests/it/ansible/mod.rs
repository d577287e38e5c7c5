//! Ansible's collection `openstack.cloud`, as PyPI's package `ansible` has it: a playbook that makes a network with
//! servers on it, the same once more, and one that takes it down.

use std::path::{Path, PathBuf};

use novella_testing::python;
use serde_json::json;

use crate::{
    support::{
        cloud::{Cloud, Settings},
        openstackclient::{OpenStack, clouds_file, program, run},
    },
    terraform::PUBLIC_KEY,
};

/// The program that runs playbooks, and what the collection's modules run on: its last version asks the SDK for what newer
/// ones do not have (`openstack.version`).
const PACKAGES: [&str; 2] = ["ansible-core==2.19.14", "openstacksdk==4.8.0"];
/// The package is that program with 90 collections, 21,000 files of 210 MB in all. This one is 1.3 MB of them.
const COLLECTIONS: &str = "ansible==12.3.0";
const COLLECTION: &str = "ansible_collections/openstack";

struct Ansible {
    programs: PathBuf,
    collections: PathBuf,
    clouds: PathBuf,
    /// Where it keeps its own files, and what it uploads.
    folder: tempfile::TempDir,
}

impl Ansible {
    async fn of(cloud: &Cloud) -> Self {
        let install = || {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
            let programs = python::environment(folder, &PACKAGES).join("bin");
            let collections = python::part_of_package(folder, &programs.join("python"), COLLECTIONS, COLLECTION);
            (programs, collections)
        };
        let (programs, collections) = tokio::task::spawn_blocking(install).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("image"), vec![7_u8; 1 << 20]).unwrap();
        Self { programs, collections, clouds: clouds_file(cloud), folder }
    }

    /// Runs a playbook, and returns what its last line counts under these names.
    async fn play<const N: usize>(&self, name: &str, counted: [&str; N]) -> [u32; N] {
        let mut command = program(&self.programs.join("ansible-playbook"));
        let variables = json!({
            "ansible_python_interpreter": self.programs.join("python"),
            "image_file": self.folder.path().join("image"),
            "public_key": PUBLIC_KEY,
        });
        command
            .args(["--inventory", "localhost,", "--extra-vars", &variables.to_string()])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/ansible").join(name))
            .env("ANSIBLE_COLLECTIONS_PATH", &self.collections)
            .env("ANSIBLE_HOME", self.folder.path())
            .env("ANSIBLE_NOCOLOR", "1")
            // It refuses a locale that is not of UTF-8.
            .env("LC_ALL", "C.UTF-8")
            .env("OS_CLIENT_CONFIG_FILE", &self.clouds);
        let said = run(command).await;
        let recap = said.lines().rfind(|line| line.starts_with("localhost ")).unwrap_or_else(|| panic!("{said}"));
        counted.map(|name| {
            let count = recap.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            count.unwrap_or_else(|| panic!("{recap}")).parse().unwrap()
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_makes_a_topology_changes_nothing_when_it_is_run_again_and_takes_it_down() {
    let cloud = Cloud::embedded(Settings::default()).await;
    let ansible = Ansible::of(&cloud).await;
    let demo = OpenStack::of(&cloud).await.as_demo();
    assert_eq!(ansible.play("make.yaml", ["changed", "ok"]).await, [13, 16]);
    // Each task again, and each finds what it asks for.
    assert_eq!(ansible.play("make.yaml", ["changed", "ok"]).await, [0, 16]);
    assert_eq!(ansible.play("remove.yaml", ["changed", "ok"]).await, [10, 11]);
    for (list, column, left) in [
        ("server", "Name", vec![]),
        ("port", "Name", vec![]),
        ("floating ip", "ID", vec![]),
        ("router", "Name", vec![]),
        ("network", "Name", vec!["private", "public"]),
        ("security group", "Name", vec!["default"]),
        ("image", "Name", vec!["cirros", "cirros-alt", "debian-12"]),
        ("keypair", "Name", vec![]),
    ] {
        let command: Vec<&str> = list.split(' ').chain(["list"]).collect();
        let listed = demo.json(&command).await;
        let mut names: Vec<&str> = listed.as_array().unwrap().iter().map(|one| one[column].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, left, "{list}");
    }
    cloud.assert_claims_add_up().await;
    cloud.assert_ports_add_up().await;
}
