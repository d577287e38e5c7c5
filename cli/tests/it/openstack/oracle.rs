//! The real Keystone beside Identity: recorded sequences of requests go to both, and both answer with the same status, the
//! same text of an error and the same keys. `tests/oracle/README.md` says what is in the files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use reqwest::Method;
use serde_json::{Map, Value};

use super::{Administrator, keystone};
use crate::support::identity::IdentityAlone;

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One of the two, with what it has answered so far.
struct Side {
    url: String,
    http: reqwest::Client,
    /// Saved values by their names; the administrator's token is `admin`.
    saved: BTreeMap<String, String>,
}

/// What is compared of an answer.
#[derive(Debug, PartialEq)]
struct Compared {
    status: u16,
    error: Option<String>,
    keys: BTreeSet<String>,
}

impl Side {
    async fn of(url: &str) -> Self {
        let admin = Administrator::of(url).await;
        Self { url: url.to_owned(), http: admin.http, saved: [("admin".to_owned(), admin.token)].into() }
    }

    /// A text with the saved values in their places. What was not answered stays as it is, so that both are asked the same.
    fn fill(&self, text: &str) -> String {
        self.saved.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }

    /// A text with names in the places of what is this side's alone.
    fn without_chance(&self, text: &str) -> String {
        let saved = self.saved.iter().filter(|(_, value)| value.len() >= 16);
        let text = saved.fold(text.to_owned(), |text, (name, value)| text.replace(value, &format!("<{name}>")));
        let is_id = |word: &str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let ids: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_id(word)).collect();
        ids.iter().fold(text.clone(), |text, id| text.replace(id, "<id>"))
    }

    async fn ask(&mut self, step: &Map<String, Value>) -> Compared {
        let (method, path) = METHODS.iter().find_map(|method| Some((*method, step.get(*method)?.as_str()?))).unwrap();
        let method: Method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{}", self.url, self.fill(path)));
        match step.get("as").map_or("admin", |name| name.as_str().unwrap()) {
            "nobody" => {}
            name => request = request.header("X-Auth-Token", &self.saved[name]),
        }
        if let Some(name) = step.get("subject") {
            request = request.header("X-Subject-Token", &self.saved[name.as_str().unwrap()]);
        }
        if let Some(body) = step.get("body") {
            let body = self.fill(&body.to_string());
            request = request.header("Content-Type", "application/json").body(body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        for (name, place) in step.get("save").and_then(Value::as_object).into_iter().flatten() {
            let place = place.as_str().unwrap();
            let value = match place.strip_prefix("header:") {
                Some(header) => headers.get(header).and_then(|value| value.to_str().ok()),
                None => body.pointer(&format!("/{}", place.replace('.', "/"))).and_then(Value::as_str),
            };
            if let Some(value) = value {
                self.saved.insert(name.clone(), value.to_owned());
            }
        }
        let mut keys = BTreeSet::new();
        collect_keys("", &body, &mut keys);
        let error = body["error"]["message"].as_str().map(|text| self.without_chance(text));
        let keys = keys.iter().map(|key| self.without_chance(key)).collect();
        Compared { status: status.as_u16(), error, keys }
    }
}

/// The keys of objects with their places; of the things in a list together.
fn collect_keys(place: &str, value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let place = format!("{place}.{name}");
                collect_keys(&place, value, keys);
                keys.insert(place);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_keys(&format!("{place}[]"), item, keys)),
        _ => {}
    }
}

/// Whether the table of what is answered otherwise has a row that begins so.
fn is_documented(what: &str) -> bool {
    let document = fs::read_to_string(root().join("docs/compatibility.md")).unwrap();
    document.lines().any(|line| line.starts_with(&format!("| {what} |")))
}

async fn identity_answers_as_keystone(identity: IdentityAlone) {
    let keystone = keystone().await;
    let mut files: Vec<PathBuf> =
        fs::read_dir(root().join("tests/oracle/identity")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    let mut differences = String::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let steps: Vec<Map<String, Value>> = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let (mut theirs, mut ours) = (Side::of(&keystone.url).await, Side::of(&identity.url).await);
        for (number, step) in steps.iter().enumerate() {
            let (their, our) = (theirs.ask(step).await, ours.ask(step).await);
            let otherwise = step.get("otherwise").map(|what| what.as_str().unwrap());
            let shown = Value::Object(step.clone());
            match otherwise {
                Some(what) if !is_documented(what) => {
                    writeln!(differences, "{name} {number}: docs/compatibility.md has no row {what:?}").unwrap();
                }
                Some(_) if their == our => {
                    writeln!(differences, "{name} {number}: both answer the same now: {shown}").unwrap();
                }
                None if their != our => {
                    let only = |one: &Compared, other: &Compared| -> Vec<String> {
                        one.keys.difference(&other.keys).cloned().collect()
                    };
                    writeln!(
                        differences,
                        "{name} {number}: {shown}\n  Keystone {} {:?} {:?}\n  here     {} {:?} {:?}",
                        their.status,
                        their.error,
                        only(&their, &our),
                        our.status,
                        our.error,
                        only(&our, &their)
                    )
                    .unwrap();
                }
                _ => {}
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn identity_answers_as_keystone() {
        super::identity_answers_as_keystone(IdentityAlone::on_sqlite().await).await;
    }
}

mod on_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn identity_answers_as_keystone() {
        super::identity_answers_as_keystone(IdentityAlone::on_postgres().await).await;
    }
}
