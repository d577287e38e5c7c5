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

/// What is served in part only, and what is missing.
const PARTLY: &[(&str, &str)] = &[
    ("POST /auth/tokens", "by password, token and application credential; not by TOTP, OAuth or federation"),
    ("GET /auth/tokens", "without `allow_expired`"),
    ("PUT /domains/{domain_id}/config", "kept and shown; users come from this cloud's database whatever it says"),
    ("POST /OS-OAUTH1/consumers", "kept and shown; access by OAuth 1 is not given"),
    ("POST /policies", "kept and shown; associations with endpoints are not"),
    ("POST /users/{user_id}/credentials/OS-EC2", "kept and shown; `POST /ec2tokens` is not served"),
];

/// The same of Glance's.
const PARTLY_OF_GLANCE: &[(&str, &str)] = &[
    (
        "POST /images/{image_id}/import",
        "`glance-direct`, and `web-download` where hosts are named; not `copy-image`, not `glance-download`",
    ),
    (
        "DELETE /stores/{store_id}/{image_id}",
        "there is one store, and what is in no store is not there: always refused",
    ),
    ("POST /images/{image_id}/locations", "no bytes are elsewhere than in the store: always refused"),
    ("POST /tasks", "tasks are made by imports of images; those that are asked for here are refused or fail"),
    ("GET /cache", "as of a Glance without a cache: 404"),
    ("DELETE /cache", "as of a Glance without a cache: 404"),
    ("DELETE /cache/{image_id}", "as of a Glance without a cache: 404"),
    ("PUT /cache/{image_id}", "as of a Glance without a cache: 404"),
    ("GET /cache/nodes/{image_id}", "as of a Glance without a cache: 404"),
    ("POST /cache/clean", "as of a Glance without a cache: 404"),
    ("POST /cache/prune", "as of a Glance without a cache: 404"),
];

/// The operations of one of OpenStack's own services: which are served, which in part, which not.
fn operations_of(
    (name, root, all): (&str, &str, &'static str),
    partly: &[(&str, &str)],
    document: &Value,
    text: &mut String,
) {
    // A parameter has the same place in both, whatever its name.
    let plain = |path: &str| -> String {
        let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
        path.split('/').map(part).collect::<Vec<_>>().join("/")
    };
    let paths = document["paths"].as_object().unwrap();
    let served: Vec<String> = paths
        .iter()
        .filter_map(|(path, item)| Some((path.strip_prefix(root)?, item.as_object()?)))
        .flat_map(|(path, item)| {
            let path = plain(path);
            item.keys().map(move |method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
        })
        .collect();
    let all: Vec<&str> = all.lines().filter(|line| !line.starts_with('#')).collect();
    // What has a parameter here may be several operations there.
    let covers = |served: &String, asked: &str| {
        let (served, asked): (Vec<&str>, Vec<&str>) = (served.split('/').collect(), asked.split('/').collect());
        served.len() == asked.len()
            && served.iter().zip(asked).all(|(served, asked)| *served == asked || *served == "{}")
    };
    let is_served = |operation: &str| served.iter().any(|served| covers(served, &plain(operation)));
    for (operation, _) in partly {
        assert!(all.contains(operation) && is_served(operation), "{operation} is not served at all");
    }
    let (here, missing): (Vec<&str>, Vec<&str>) = all.iter().partition(|operation| is_served(operation));
    write!(
        text,
        "\n### {name}'s {} operations: {} are served, {} of them partly; {} are not\n\n| partly | what is missing |\n\
         | --- | --- |\n",
        all.len(),
        here.len(),
        partly.len(),
        missing.len()
    )
    .unwrap();
    for (operation, what) in partly {
        writeln!(text, "| `{operation}` | {what} |").unwrap();
    }
    let mut by_resource: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for operation in missing {
        let path = operation.split_once(" /").unwrap().1;
        by_resource.entry(path.split('/').next().unwrap()).or_default().push(format!("`{operation}`"));
    }
    if by_resource.is_empty() {
        return;
    }
    text.push_str("\n| resource | not served |\n| --- | --- |\n");
    for (resource, operations) in by_resource {
        writeln!(text, "| {resource} | {} |", operations.join(", ")).unwrap();
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
    let keystone = ("Keystone", "/identity/v3", include_str!("documents/keystone.txt"));
    operations_of(keystone, PARTLY, &document, &mut text);
    let glance = ("Glance", "/image/v2", include_str!("documents/glance.txt"));
    operations_of(glance, PARTLY_OF_GLANCE, &document, &mut text);
    holds("compatibility.md", &text);
}
