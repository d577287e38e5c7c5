//! Text that a database can't hold is refused where it is parsed, by every operation alike. The operations, their parameters
//! and their bodies come from the document that is made from their rows.

use axum::body::Body;
use http::Method;
use serde_json::{Map, Value, json};

use crate::support::{Client, Cloud};

const METHODS: [(&str, Method); 6] = [
    ("get", Method::GET),
    ("head", Method::HEAD),
    ("post", Method::POST),
    ("put", Method::PUT),
    ("patch", Method::PATCH),
    ("delete", Method::DELETE),
];

/// An operation, or one of several actions, as the document has it.
struct Described {
    method: Method,
    path: String,
    /// A microversion that has it.
    version: String,
    query: Vec<String>,
    body: Option<Value>,
}

impl Described {
    fn all(document: &Value) -> Vec<Self> {
        let mut all = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (name, method) in METHODS {
                let Some(operation) = item.get(name) else { continue };
                let range = &operation["x-openstack"];
                let version = range["max-ver"].as_str().or(range["min-ver"].as_str()).unwrap_or("2.103");
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let query = parameters.filter(|parameter| parameter["in"] == "query");
                let query = query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
                let described = |body| Self {
                    method: method.clone(),
                    path: path.clone(),
                    version: version.to_owned(),
                    query: Vec::clone(&query),
                    body,
                };
                match operation.pointer("/requestBody/content/application~1json/schema") {
                    None => all.push(described(None)),
                    Some(schema) => match schema["oneOf"].as_array() {
                        Some(choices) => all.extend(choices.iter().map(|choice| described(Some(sample(choice))))),
                        None => all.push(described(Some(sample(schema)))),
                    },
                }
            }
        }
        all
    }

    /// The path with something in place of each parameter.
    fn path_with(&self, id: &str) -> String {
        let parts: Vec<_> = self.path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect();
        parts.join("/")
    }

    async fn is_refused(&self, client: &Client<'_>, path: &str, body: Option<&Value>) {
        let sent = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = client.at(&self.version).send(self.method.clone(), path, sent).await;
        let says_why = self.method == Method::HEAD || answer.body.to_string().contains("U+0000");
        assert_eq!(
            (answer.status, says_why),
            (400, true),
            "{} {path} at {} with {body:?}: {:?}",
            self.method,
            self.version,
            answer.body
        );
    }
}

/// A value of this schema, with a text or a number in each place.
fn sample(schema: &Value) -> Value {
    if let Some(properties) = schema["properties"].as_object() {
        return properties.iter().map(|(name, schema)| (name.clone(), sample(schema))).collect::<Map<_, _>>().into();
    }
    let kind = schema["type"].as_array().map_or(&schema["type"], |kinds| &kinds[0]);
    match kind.as_str() {
        Some("array") => json!([sample(&schema["items"])]),
        Some("object") => json!({"key": "value"}),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        _ => json!("text"),
    }
}

/// The value with NUL in it: once for each place that has a text, and once for each object, in a new key.
fn with_nul(value: &Value) -> Vec<Value> {
    match value {
        Value::String(_) => vec![json!("a\0b")],
        Value::Array(items) => items.iter().flat_map(with_nul).map(|item| json!([item])).collect(),
        Value::Object(entries) => {
            let mut all = Vec::new();
            for (key, value) in entries {
                for changed in with_nul(value) {
                    let mut entries = entries.clone();
                    entries.insert(key.clone(), changed);
                    all.push(entries.into());
                }
            }
            let mut more = entries.clone();
            more.insert("a\0b".into(), json!("text"));
            all.push(more.into());
            all
        }
        _ => Vec::new(),
    }
}

on_both! {
    async fn text_that_a_database_cannot_hold_is_refused_by_every_operation_wherever_it_stands(cloud: Cloud) {
        let admin = cloud.admin().await;
        let server = cloud.active_server(&cloud.demo().await, "s", "host-1").await.to_string();
        let operations = Described::all(&cloud.anonymous().get("/openapi.json").await.body);
        let (mut paths, mut queries, mut bodies) = (0, 0, 0);
        for operation in &operations {
            let plain = operation.path_with(&server);
            // An action is found by its body, which is read first.
            let is_action = operation.path.ends_with("/action");
            if operation.path.contains('{') && !is_action {
                for id in ["%00", "a%00b"] {
                    operation.is_refused(&admin, &operation.path_with(id), operation.body.as_ref()).await;
                }
                paths += 1;
            }
            if !is_action {
                for name in operation.query.iter().map(String::as_str).chain(["nothing", "a%00b"]) {
                    let path = format!("{plain}?{name}=a%00b");
                    operation.is_refused(&admin, &path, operation.body.as_ref()).await;
                    queries += 1;
                }
            }
            for body in operation.body.iter().flat_map(with_nul) {
                operation.is_refused(&admin, &plain, Some(&body)).await;
                bodies += 1;
            }
        }
        assert!(paths > 50 && queries > 200 && bodies > 80, "{paths} {queries} {bodies}");
        // Who may not ask at all learns nothing of it.
        assert_eq!(cloud.anonymous().get("/compute/v2.1/servers/%00").await.status, 401);
        let unknown = super::support::password("a\0b", "x", "demo");
        assert_eq!(cloud.anonymous().post("/identity/v3/auth/tokens", &unknown).await.status, 400);
    }

    async fn a_time_that_a_database_cannot_hold_is_refused_by_every_list(cloud: Cloud) {
        let admin = cloud.admin().await;
        for path in ["/servers?changes-since", "/servers?changes-before", "/os-migrations?changes-since"] {
            let path = format!("/compute/v2.1{path}=-005000-01-01T00:00:00Z");
            assert_eq!(admin.at("2.66").get(&path).await.status, 400, "{path}");
        }
    }
}
