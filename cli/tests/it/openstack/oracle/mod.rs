//! The real Keystone, Neutron and Glance beside Identity, Networking and Image: recorded sequences of requests go to both,
//! and both answer with the same status, the same error, the same keys, and but for Identity the same values.
//! `tests/oracle/README.md` says what is in the files.

mod side;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use self::side::{Compared, ONE_ALONE_HAS, SCHEMAS, Side, Step};
use super::{Administrator, glance, keystone, neutron::neutron};
use crate::support::{client::Client, cloud::PASSWORD, component::ComponentAlone, identity::IdentityAlone};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether the table of what is answered otherwise has a row that begins so.
fn is_documented(what: &str) -> bool {
    let document = fs::read_to_string(root().join("docs/compatibility.md")).unwrap();
    document.lines().any(|line| line.starts_with(&format!("| {what} |")))
}

/// The sequences of a service, by the names of their files. `NOVELLA_ORACLE` names one of them that is wanted alone.
fn sequences(service: &str) -> Vec<(String, Vec<Step>)> {
    let folder = root().join("tests/oracle").join(service);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    let only = std::env::var("NOVELLA_ORACLE").unwrap_or_default();
    let read = |file: PathBuf| {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let steps = serde_json::from_str(&fs::read_to_string(&file).unwrap());
        let steps = steps.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (only.is_empty() || only == name).then_some((name, steps))
    };
    files.into_iter().filter_map(read).collect()
}

/// What is wrong about a step's two answers; empty: nothing.
fn difference(step: &Step, their: &Compared, our: &Compared) -> String {
    let otherwise = step.get("otherwise").map(|what| what.as_str().unwrap());
    let shown = Value::Object(step.clone());
    match otherwise {
        Some(what) if !is_documented(what) => format!("docs/compatibility.md has no row {what:?}\n"),
        Some(_) if their == our => format!("both answer the same now: {shown}\n"),
        None if their != our => {
            let only = |one: &Compared, other: &Compared| -> Vec<String> {
                one.keys.difference(&other.keys).cloned().collect()
            };
            format!(
                "{shown}\n  theirs {} {:?} {:?}\n  ours   {} {:?} {:?}\n",
                their.status,
                their.error,
                only(their, our),
                our.status,
                our.error,
                only(our, their)
            )
        }
        _ => String::new(),
    }
}

/// Sends every sequence of a service to both sides, each time made anew.
async fn both_answer_the_same(service: &str, sides: impl AsyncFn() -> (Side, Side)) {
    let mut differences = String::new();
    for row in ONE_ALONE_HAS.iter().map(|(row, _)| *row).chain([SCHEMAS]) {
        assert!(is_documented(row), "{row}");
    }
    for (name, steps) in sequences(service) {
        let (mut theirs, mut ours) = sides().await;
        for (number, step) in steps.iter().enumerate() {
            let (their, our) = (theirs.ask(step).await, ours.ask(step).await);
            let difference = difference(step, &their, &our);
            if !difference.is_empty() {
                write!(differences, "{name} {number}: {difference}").unwrap();
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

async fn identity_answers_as_keystone(identity: IdentityAlone) {
    let keystone = keystone().await;
    let side = async |url: &str| {
        let admin = Administrator::of(url).await;
        let saved = [("admin".to_owned(), admin.token)].into();
        Side { url: url.to_owned(), http: admin.http, saved, values: false }
    };
    both_answer_the_same("identity", async || (side(&keystone.url).await, side(&identity.url).await)).await;
}

/// A service with the users of this Identity: its administrator and two members of other projects, one of whom may only read.
async fn side(identity: &IdentityAlone, url: &str) -> Side {
    let mut saved = std::collections::BTreeMap::new();
    let admin = Administrator::of(&identity.url).await;
    for (user, project) in [("admin", "admin"), ("demo", "demo"), ("other", "other"), ("reader", "demo")] {
        let client = Client::connect_by(&identity.url, &identity.url, user, PASSWORD, project).await;
        saved.insert(user.to_owned(), client.secret().to_owned());
        let found = admin.find_or_make("project", serde_json::json!({"name": project})).await;
        saved.insert(format!("project_{project}"), found);
    }
    Side { url: url.to_owned(), http: admin.http, saved, values: true }
}

async fn users(identity: &IdentityAlone) {
    let admin = Administrator::of(&identity.url).await;
    admin.user("other", "member", "other").await;
    admin.user("reader", "reader", "demo").await;
}

async fn networking_answers_as_neutron(identity: IdentityAlone, networking: ComponentAlone) {
    users(&identity).await;
    let neutron = neutron(&identity).await;
    let theirs = format!("{}/v2.0", neutron.url);
    let ours = format!("{}/networking/v2.0", networking.url);
    both_answer_the_same("network", async || (side(&identity, &theirs).await, side(&identity, &ours).await)).await;
}

async fn image_answers_as_glance(identity: IdentityAlone, images: ComponentAlone) {
    users(&identity).await;
    let glance = glance(&identity).await;
    let theirs = format!("{}/v2", glance.url);
    let ours = format!("{}/image/v2", images.url);
    both_answer_the_same("image", async || (side(&identity, &theirs).await, side(&identity, &ours).await)).await;
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn identity_answers_as_keystone() {
        super::identity_answers_as_keystone(IdentityAlone::on_sqlite().await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn networking_answers_as_neutron() {
        let identity = IdentityAlone::on_sqlite().await;
        let networking = ComponentAlone::on_sqlite("network", &identity).await;
        super::networking_answers_as_neutron(identity, networking).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn image_answers_as_glance() {
        let identity = IdentityAlone::on_sqlite().await;
        let images = ComponentAlone::on_sqlite("image", &identity).await;
        super::image_answers_as_glance(identity, images).await;
    }
}

mod on_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn identity_answers_as_keystone() {
        super::identity_answers_as_keystone(IdentityAlone::on_postgres().await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn networking_answers_as_neutron() {
        let identity = IdentityAlone::on_postgres().await;
        let networking = ComponentAlone::on_postgres("network", &identity).await;
        super::networking_answers_as_neutron(identity, networking).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn image_answers_as_glance() {
        let identity = IdentityAlone::on_postgres().await;
        let images = ComponentAlone::on_postgres("image", &identity).await;
        super::image_answers_as_glance(identity, images).await;
    }
}
