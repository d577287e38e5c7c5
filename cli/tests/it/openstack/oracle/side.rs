//! One of the two services, and what is compared of its answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use reqwest::{Method, header::HeaderMap};
use serde_json::{Map, Value};

use crate::support::cloud::LIMIT;

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// Fields that are another's in each cloud, whatever is asked.
const BY_CHANCE: [&str; 12] = [
    "id",
    "mac_address",
    "revision_number",
    "provider:segmentation_id",
    "segmentation_id",
    "self",
    "file",
    "href",
    "links",
    "request_id",
    "stores",
    "backend",
];

/// What one of the two alone has, by the row of docs/compatibility.md that says so.
pub(super) const ONE_ALONE_HAS: [(&str, &[&str]); 5] = [
    (
        "`resource_request` of ports, `segment_id` of subnets, `numa_affinity_policy`, `ip_availability_details`, ranges of ports that \
         are forwarded",
        &[
            ".resource_request",
            ".segment_id",
            ".numa_affinity_policy",
            ".ip_availability_details",
            ".external_port_range",
            ".internal_port_range",
        ],
    ),
    (
        "rules within a security group",
        &[
            ".security_group.security_group_rules[].tags",
            ".security_group.security_group_rules[].standard_attr_id",
            ".security_groups[].security_group_rules[].tags",
            ".security_groups[].security_group_rules[].standard_attr_id",
            ".security_group.security_group_rules[].description",
            ".security_groups[].security_group_rules[].description",
            ".security_groups[].security_group_rules[].belongs_to_default_sg",
        ],
    ),
    (
        "`shared` and `standard_attr_id` of an address group",
        &[".address_group.shared", ".address_groups[].shared", ".address_group.standard_attr_id"],
    ),
    ("`availability_zones` of networks and routers", &[".availability_zones"]),
    // Until the last moment of the task.
    ("import by `glance-direct`", &[".os_glance_import_task"]),
];

/// The row by which the text that refuses a body ends with its reason.
pub(super) const SCHEMAS: &str = "a body that does not match a schema";

/// A step of a sequence, as its file has it.
pub(super) type Step = Map<String, Value>;

/// One of the two, with what it has answered so far.
pub(super) struct Side {
    pub(super) url: String,
    pub(super) http: reqwest::Client,
    /// Saved values by their names; the administrator's token is `admin`.
    pub(super) saved: BTreeMap<String, String>,
    /// Whether values are compared, and not only where there are some.
    pub(super) values: bool,
}

/// What is compared of an answer.
#[derive(Debug, PartialEq)]
pub(super) struct Compared {
    pub(super) status: u16,
    pub(super) error: Option<String>,
    /// Places in the answer; with the values that are there, if these are compared.
    pub(super) keys: BTreeSet<String>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
    body: Value,
}

impl Side {
    /// A text with the saved values in their places. What was not answered stays as it is, so that both are asked the same.
    fn fill(&self, text: &str) -> String {
        self.saved.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }

    /// A text with names in the places of what is this side's alone.
    fn without_chance(&self, text: &str) -> String {
        let mut saved: Vec<_> = self.saved.iter().filter(|(_, value)| value.len() >= 16).collect();
        saved.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let mut text = text.replace(&self.url, "<url>");
        for (name, value) in saved {
            text = text.replace(value, &format!("<{name}>"));
        }
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| is_id(word));
        let ids: Vec<String> = words.map(ToOwned::to_owned).collect();
        ids.iter().fold(text, |text, id| text.replace(id, "<id>"))
    }

    /// Asks, and again until the answer has what is waited for.
    pub(super) async fn ask(&mut self, step: &Step) -> Compared {
        let begun = Instant::now();
        let answer = loop {
            let answer = self.send(step).await;
            let holds = |[place, value]: [&str; 2]| find(&answer.body, place).is_some_and(|found| found == value);
            let wanted = step.get("until").and_then(Value::as_array);
            let wanted = wanted.map(|until| [until[0].as_str().unwrap(), until[1].as_str().unwrap()]);
            if wanted.is_none_or(holds) || begun.elapsed() > LIMIT {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        for (name, place) in step.get("save").and_then(Value::as_object).into_iter().flatten() {
            let place = place.as_str().unwrap();
            let value = match place.strip_prefix("header:") {
                Some(header) => answer.headers.get(header).and_then(|value| value.to_str().ok()),
                None => find(&answer.body, place).and_then(Value::as_str),
            };
            if let Some(value) = value {
                self.saved.insert(name.clone(), value.to_owned());
            }
        }
        let error = (answer.status >= 400).then(|| said(&answer)).flatten().map(|text| self.without_chance(&text));
        let mut keys = BTreeSet::new();
        let by_chance = step.get("by_chance").and_then(Value::as_array).into_iter().flatten();
        let by_chance: Vec<&str> = by_chance.filter_map(Value::as_str).collect();
        self.collect("", &answer.body, &by_chance, answer.status < 400, &mut keys);
        let keys = keys.iter().map(|key| self.without_chance(key)).collect();
        Compared { status: answer.status, error, keys }
    }

    async fn send(&self, step: &Step) -> Answer {
        let (method, path) = METHODS.iter().find_map(|method| Some((*method, step.get(*method)?.as_str()?))).unwrap();
        let method: Method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{}", self.url, self.fill(path)));
        request = request.header("Accept", "application/json");
        match step.get("as").map_or("admin", |name| name.as_str().unwrap()) {
            "nobody" => {}
            name => request = request.header("X-Auth-Token", &self.saved[name]),
        }
        if let Some(name) = step.get("subject") {
            request = request.header("X-Subject-Token", &self.saved[name.as_str().unwrap()]);
        }
        for (name, value) in step.get("headers").and_then(Value::as_object).into_iter().flatten() {
            request = request.header(name, self.fill(value.as_str().unwrap()));
        }
        let kind = step.get("type").map_or("application/json", |kind| kind.as_str().unwrap());
        let body = step.get("body").map(ToString::to_string);
        let text = step.get("text").map(|text| text.as_str().unwrap().to_owned());
        if let Some(body) = body.or(text) {
            request = request.header("Content-Type", kind).body(self.fill(&body));
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { status, headers, text, body }
    }

    /// The keys of objects with their places; of the things in a list together, with how many they are.
    fn collect(&self, place: &str, value: &Value, by_chance: &[&str], values: bool, keys: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let place = format!("{place}.{name}");
                    if ONE_ALONE_HAS.iter().any(|(_, names)| names.iter().any(|name| place.ends_with(name))) {
                        continue;
                    }
                    let chance = BY_CHANCE.contains(&&**name) || by_chance.contains(&&**name);
                    self.collect(&place, value, by_chance, values && !chance, keys);
                    keys.insert(place);
                }
            }
            Value::Array(items) => {
                items.iter().for_each(|item| self.collect(&format!("{place}[]"), item, by_chance, values, keys));
                if self.values && values {
                    keys.insert(format!("{place}: {} of them", items.len()));
                }
            }
            Value::String(text) if is_time(text) => {}
            value if self.values && values && !place.is_empty() => {
                keys.insert(format!("{place} = {value}"));
            }
            _ => {}
        }
    }
}

/// What stands in an answer at `project.id`, `tasks.0.status`.
fn find<'v>(body: &'v Value, place: &str) -> Option<&'v Value> {
    body.pointer(&format!("/{}", place.replace('.', "/")))
}

/// A UUID, or one without its hyphens.
fn is_id(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_hexdigit).count();
    digits == 32 && (word.len() == 32 || uuid::Uuid::try_parse(word).is_ok())
}

fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok() || (text.contains('T') && text.parse::<jiff::civil::DateTime>().is_ok())
}

/// What an answer says of why it refuses: with the error's type, if it has one.
fn said(answer: &Answer) -> Option<String> {
    let body = &answer.body;
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let neutron = &body["NeutronError"];
    if let Some(kind) = neutron["type"].as_str() {
        return Some(format!("{kind}: {}", neutron["message"].as_str().unwrap_or_default()));
    }
    let message = text(neutron).or_else(|| text(&body["error"]["message"])).or_else(|| text(&body["message"]));
    let message = message.unwrap_or_else(|| answer.text.clone());
    let message = message.split("\n\nFailed validating").next()?;
    // A sentence for the status stands before it, and breaks of HTML behind.
    let last = message.split("<br /><br />").map(str::trim).filter(|part| !part.is_empty()).last();
    last.map(ToOwned::to_owned)
}
