//! Documents that are made from the program itself. `NOVELLA_WRITE_DOCUMENTS=1` writes them anew.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use syn::{Attribute, Expr, Field, Fields, Item, ItemStruct, Lit, Meta, Type};

use crate::support::{
    cloud::{Cloud, Settings},
    process::novella,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Holds what is between the file's two marks against `made`, or replaces it.
fn holds(document: &str, made: &str) {
    const BEGIN: &str = "<!-- begin: made by cli/tests/it/documents.rs -->\n";
    const END: &str = "<!-- end -->\n";
    let path = root().join("docs").join(document);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (present, after) = rest.split_once(END).unwrap();
    if std::env::var_os("NOVELLA_WRITE_DOCUMENTS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}\n{made}\n{END}{after}")).unwrap();
        return;
    }
    assert!(
        present.trim() == made.trim(),
        "docs/{document} is not what the program says now; NOVELLA_WRITE_DOCUMENTS=1 cargo test -p novella documents \
         writes it"
    );
}

/// Every struct of the sources, by its name.
fn structs() -> HashMap<String, ItemStruct> {
    let mut found = HashMap::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path().join("src"))
        .filter(|folder| folder.is_dir())
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
                found.extend(file.items.into_iter().filter_map(|item| match item {
                    Item::Struct(item) if matches!(item.fields, Fields::Named(_)) => {
                        Some((item.ident.to_string(), item))
                    }
                    _ => None,
                }));
            }
        }
    }
    found
}

/// The text of doc comments, in one line.
fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// The name of a field's type; of an optional one, of what it may be.
fn type_name(kind: &Type) -> String {
    let Type::Path(path) = kind else { return String::new() };
    let segment = path.path.segments.last().unwrap();
    match &segment.arguments {
        syn::PathArguments::AngleBracketed(inner) if segment.ident == "Option" => match inner.args.first() {
            Some(syn::GenericArgument::Type(kind)) => type_name(kind),
            _ => String::new(),
        },
        _ => segment.ident.to_string(),
    }
}

fn unit(field: &Field, name: &str) -> &'static str {
    let is_seconds = field.attrs.iter().any(|attribute| {
        attribute.path().is_ident("serde")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string().contains("seconds"))
    });
    match name {
        _ if is_seconds => "s",
        _ if name.ends_with("_bytes") => "bytes",
        _ if name.ends_with("_mb") || name == "disk_used_mib" => "MiB",
        _ if name.ends_with("_gb") => "GiB",
        _ if name.ends_with("_mib") => "MiB/s",
        _ => "",
    }
}

fn section(
    prefix: &str,
    item: &ItemStruct,
    structs: &HashMap<String, ItemStruct>,
    defaults: &BTreeMap<String, Value>,
    text: &mut String,
) {
    let title = if prefix.is_empty() { "Keys without a section".to_owned() } else { format!("`[{prefix}]`") };
    let about = doc(&item.attrs);
    // The heading says it already.
    let about = about.strip_prefix(&format!("`[{prefix}]`: ")).unwrap_or(&about);
    write!(text, "\n## {title}\n\n{about}\n\n| key | default | unit | meaning |\n| --- | --- | --- | --- |\n").unwrap();
    let mut sections = Vec::new();
    for field in &item.fields {
        let name = field.ident.as_ref().unwrap().to_string();
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match structs.get(&type_name(&field.ty)) {
            Some(inner) if !defaults.contains_key(&key) => sections.push((key, inner)),
            _ => {
                let default = match defaults.get(&key) {
                    None | Some(Value::Null) => String::new(),
                    Some(value) => format!("`{value}`"),
                };
                let (unit, meaning) = (unit(field, &name), doc(&field.attrs));
                writeln!(text, "| `{name}` | {default} | {unit} | {meaning} |").unwrap();
            }
        }
    }
    for (key, inner) in sections {
        section(&key, inner, structs, defaults, text);
    }
}

#[test]
fn the_configuration_is_documented_as_the_structs_have_it() {
    let output = novella().args(["config", "--format", "json"]).env_remove("RUST_LOG").output().unwrap();
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let mut defaults: BTreeMap<String, Value> =
        listed.iter().map(|row| (row["key"].as_str().unwrap().to_owned(), row["value"].clone())).collect();
    // Depends on the home of whoever asks.
    defaults.insert("database.url".into(), Value::Null);
    let structs = structs();
    let mut text = String::new();
    section("", &structs["Config"], &structs, &defaults, &mut text);
    let documented = text.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(documented, defaults.len(), "keys in the document and keys that `novella config` shows");
    holds("configuration.md", &text);
}

/// The keys below this one whose values are secrets.
fn secrets(prefix: &str, item: &ItemStruct, structs: &HashMap<String, ItemStruct>) -> Vec<String> {
    let keys = item.fields.iter().flat_map(|field| {
        let name = field.ident.as_ref().unwrap();
        let key = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        match (type_name(&field.ty).as_str(), structs.get(&type_name(&field.ty))) {
            ("Secret", _) => vec![key],
            (_, Some(inner)) => secrets(&key, inner, structs),
            _ => Vec::new(),
        }
    });
    keys.collect()
}

#[test]
fn the_configuration_shows_no_secret_wherever_it_stands() {
    let structs = structs();
    let keys = secrets("", &structs["Config"], &structs);
    assert!(keys.iter().any(|key| key == "admin_password") && keys.iter().any(|key| key == "image.s3_secret_key"));
    for format in ["table", "json", "toml"] {
        let mut command = novella();
        command.args(["config", "--format", format]);
        for key in &keys {
            command.env(format!("NOVELLA_{}", key.to_uppercase().replace('.', "__")), "hunter2");
        }
        let stores = r#"[{id="far",url="s3://bucket",s3_access_key="hunter2",s3_secret_key="hunter2"}]"#;
        let output = command.env("NOVELLA_IMAGE__STORES", stores).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("s3://bucket") && text.contains("***"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// A service of OpenStack whose operations are held against those that are served here.
struct Original {
    name: &'static str,
    /// Where its operations are here.
    prefix: &'static str,
    /// Each of its operations, a line.
    operations: &'static str,
    /// What is served in part only, and what is missing.
    partly: &'static [(&'static str, &'static str)],
}

const ORIGINALS: [Original; 3] = [
    Original {
        name: "Keystone",
        prefix: "/identity/v3",
        operations: include_str!("documents/keystone.txt"),
        partly: &[
            ("POST /auth/tokens", "by password, token and application credential; not by TOTP, OAuth or federation"),
            ("GET /auth/tokens", "without `allow_expired`"),
            (
                "PUT /domains/{domain_id}/config",
                "kept and shown; users come from this cloud's database whatever it says",
            ),
            ("POST /OS-OAUTH1/consumers", "kept and shown; access by OAuth 1 is not given"),
            ("POST /policies", "kept and shown; associations with endpoints are not"),
            (
                "POST /ec2tokens",
                "signatures of the versions 2 and 4; the versions 0 and 1 protect nothing and are refused",
            ),
        ],
    },
    Original {
        name: "Glance",
        prefix: "/image/v2",
        operations: include_str!("documents/glance.txt"),
        partly: &[
            (
                "POST /images/{image_id}/import",
                "`glance-direct`, `web-download` where hosts are named, `copy-image` where there are several stores; not \
                 `glance-download`",
            ),
            ("POST /images/{image_id}/locations", "no bytes are elsewhere than in the stores: always refused"),
            ("POST /tasks", "tasks are made by imports of images; those that are asked for here are refused or fail"),
            ("GET /cache/nodes/{image_id}", "each process has its own cache and knows of no other: 409"),
        ],
    },
    Original {
        name: "Neutron",
        prefix: "/networking/v2.0",
        operations: include_str!("documents/neutron.txt"),
        partly: &[
            ("POST /qos/policies", "kept and shown; nothing is limited by them"),
            ("POST /metering/metering-labels", "kept and shown; nothing is counted"),
            ("POST /subnets", "without `segment_id`, and without prefix delegation"),
            ("POST /routers", "without `flavor_id`"),
            (
                "GET /agents",
                "what this component does is shown as two agents, and each host with ports as one; none is a process",
            ),
        ],
    },
];

/// Of Nova's operations, what is served in part only, and what is missing.
const NOVA_PARTLY: &[(&str, &str)] = &[
    ("POST /servers", "volumes can't be booted from"),
    ("GET /servers/{server_id}/os-volume_attachments", "empty: there is no volume service"),
    ("GET /os-volumes", "empty: there is no volume service"),
    ("GET /os-volumes/detail", "empty: there is no volume service"),
    ("GET /os-snapshots", "empty: there is no volume service"),
    ("GET /os-snapshots/detail", "empty: there is no volume service"),
    ("GET /os-baremetal-nodes", "empty: there is no bare metal service"),
    ("GET /servers/{server_id}/shares", "empty: there is no service of shared file systems"),
    ("GET /servers/{server_id}/topology", "no server is on NUMA cells: no driver places guests on some"),
    (
        "GET /servers/{server_id}/os-server-password",
        "empty: guests tell it to the metadata service, which there is not",
    ),
    ("POST /os-server-external-events", "taken, and no build waits for one"),
    ("POST /os-aggregates/{id}/images", "taken, and nothing to do: simulated hosts read no images"),
    ("GET /os-instance_usage_audit_log", "no host reports usage"),
    ("GET /os-instance_usage_audit_log/{id}", "no host reports usage"),
    ("PUT /os-hosts/{id}", "`status`, and not `maintenance_mode`"),
];

/// Nova's operations: which are served, in part, refused for the lack of something, gone from Nova itself, and which not.
fn novas_operations(text: &mut String) {
    let plain = |operation: &str| -> String {
        let part = |part: &str| match part.split_once(' ') {
            Some((_, action)) if part.starts_with('{') => format!("{{}} {action}"),
            None if part.starts_with('{') => "{}".to_owned(),
            _ => part.to_owned(),
        };
        operation.split('/').map(part).collect::<Vec<_>>().join("/")
    };
    // The documents of the versions are no operations.
    let mut served: HashMap<String, u16> = HashMap::from([("GET /".to_owned(), 200)]);
    served.extend(novella_api::compute::operations().iter().map(|operation| {
        let (method, path) = operation.route();
        let action = operation.action_key().map(|action| format!(" {action}")).unwrap_or_default();
        (plain(&format!("{method} {path}{action}")), operation.answer_status())
    }));
    let all: Vec<&str> = include_str!("documents/nova.txt").lines().filter(|line| !line.starts_with('#')).collect();
    let known: std::collections::HashSet<String> = all.iter().map(|operation| plain(operation)).collect();
    for operation in served.keys() {
        assert!(known.contains(operation), "{operation} is not one of Nova's");
    }
    let status = |operation: &str| served.get(&plain(operation)).copied();
    for (operation, _) in NOVA_PARTLY {
        assert!(all.contains(operation) && status(operation).is_some_and(|status| status < 400), "{operation}");
    }
    let with = |wanted: fn(Option<u16>) -> bool| -> Vec<&str> {
        all.iter().copied().filter(|operation| wanted(status(operation))).collect()
    };
    let (here, gone) = (with(|status| status.is_some_and(|status| status < 400)), with(|status| status == Some(410)));
    let refused = with(|status| status.is_some_and(|status| (400..500).contains(&status) && status != 410));
    let missing = with(|status| status.is_none());
    write!(
        text,
        "\n### Nova's {} operations: {} are served, {} of them partly; {} are refused for what this cloud lacks; {} are gone \
         from Nova itself, and answer so; {} are not served\n\n| partly | what is missing |\n| --- | --- |\n",
        all.len(),
        here.len(),
        NOVA_PARTLY.len(),
        refused.len(),
        gone.len(),
        missing.len()
    )
    .unwrap();
    for (operation, what) in NOVA_PARTLY {
        writeln!(text, "| `{operation}` | {what} |").unwrap();
    }
    for (title, operations) in [("refused", refused), ("gone", gone), ("not served", missing)] {
        by_resource(title, &operations, text);
    }
}

/// Operations by what comes first in their paths.
fn by_resource(title: &str, operations: &[&str], text: &mut String) {
    let mut resources: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for operation in operations {
        let path = operation.split_once(" /").unwrap().1;
        resources.entry(path.split('/').next().unwrap()).or_default().push(format!("`{operation}`"));
    }
    write!(text, "\n| resource | {title} |\n| --- | --- |\n").unwrap();
    for (resource, operations) in resources {
        writeln!(text, "| {resource} | {} |", operations.join(", ")).unwrap();
    }
}

/// The operations of a service of OpenStack: which are served, which in part, which not.
fn originals_operations(original: &Original, document: &Value, text: &mut String) {
    // A parameter has the same place in both, whatever its name.
    let plain = |path: &str| -> String {
        let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
        path.split('/').map(part).collect::<Vec<_>>().join("/")
    };
    let paths = document["paths"].as_object().unwrap();
    let served: Vec<String> = paths
        .iter()
        .filter_map(|(path, item)| Some((path.strip_prefix(original.prefix)?, item.as_object()?)))
        .flat_map(|(path, item)| {
            let path = plain(path);
            item.keys().map(move |method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
        })
        .collect();
    let all: Vec<&str> = original.operations.lines().filter(|line| !line.starts_with('#')).collect();
    // What has a parameter here may be several operations there.
    let covers = |served: &String, asked: &str| {
        let (served, asked): (Vec<&str>, Vec<&str>) = (served.split('/').collect(), asked.split('/').collect());
        served.len() == asked.len()
            && served.iter().zip(asked).all(|(served, asked)| *served == asked || *served == "{}")
    };
    let is_served = |operation: &str| served.iter().any(|served| covers(served, &plain(operation)));
    for (operation, _) in original.partly {
        assert!(all.contains(operation) && is_served(operation), "{operation} is not served at all");
    }
    let (here, missing): (Vec<&str>, Vec<&str>) = all.iter().partition(|operation| is_served(operation));
    write!(
        text,
        "\n### {}'s {} operations: {} are served, {} of them partly; {} are not\n\n| partly | what is missing |\n\
         | --- | --- |\n",
        original.name,
        all.len(),
        here.len(),
        original.partly.len(),
        missing.len()
    )
    .unwrap();
    for (operation, what) in original.partly {
        writeln!(text, "| `{operation}` | {what} |").unwrap();
    }
    if !missing.is_empty() {
        by_resource("not served", &missing, text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operations_that_are_served_are_listed() {
    let cloud = Cloud::embedded(Settings::default()).await;
    let document: Value = reqwest::get(format!("{}/openapi.json", cloud.endpoint)).await.unwrap().json().await.unwrap();
    // By service and by what comes first in the path.
    let mut services: BTreeMap<&str, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        let (Some(service), Some(_version), Some(rest)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let resource = rest.split('/').next().unwrap();
        for method in ["get", "post", "put", "patch", "delete", "head"] {
            if !item[method].is_null() {
                let operation = format!("`{} /{rest}`", method.to_uppercase());
                services.entry(service).or_default().entry(resource).or_default().push(operation);
            }
        }
    }
    let mut text = String::new();
    for (service, resources) in services {
        let count: usize = resources.values().map(Vec::len).sum();
        write!(text, "\n### `/{service}`: {count} operations\n\n| resource | operations |\n| --- | --- |\n").unwrap();
        for (resource, operations) in resources {
            writeln!(text, "| {resource} | {} |", operations.join(", ")).unwrap();
        }
    }
    assert!(text.contains("`POST /servers`"), "{text}");
    novas_operations(&mut text);
    for original in &ORIGINALS {
        originals_operations(original, &document, &mut text);
    }
    holds("compatibility.md", &text);
}
