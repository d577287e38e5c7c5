//! The shape of the workspace, as CONTRIBUTING.md describes it: which crate uses which, how long a file is, and that what
//! a service is asked for has one name.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use syn::{Expr, ImplItem, Item, Stmt, TraitItem};

/// What every component stands on, and what each component consists of. A crate uses those of its own row that stand after
/// it, and of the first row; never those of another component.
const SHARED: &[&str] = &["novella-rest", "novella-common", "novella-messaging", "novella-messaging-macros"];
const COMPONENTS: &[(&str, &[&str])] = &[
    ("Compute", &["novella-api", "novella-conductor", "novella-scheduler", "novella-compute"]),
    ("Identity", &["novella-identity"]),
    ("Image", &["novella-image"]),
    ("Page", &["novella-web"]),
    ("Networking", &["novella-network"]),
];
/// The crate that answers what one component asks of others, and so knows what each offers; of Compute, what is shared.
const BRIDGE: &str = "novella-neighbours";
/// What it knows of others.
const BRIDGED: &[&str] = &["novella-identity", "novella-image", "novella-network"];
/// The program, in which the components meet.
const PROGRAM: &str = "novella";
/// Crates of others of which only the interface is needed.
const REPLACED: &[&str] = &["p12-keystore"];
/// Never part of the program.
const FOR_TESTS: &[&str] = &["novella-testing", "novella-contract-tests", "novella-fakes"];

const LONGEST_FILE: usize = 600;

/// What docs/benchmarks.md says that one more of something costs: at most so many lines of code in these files.
const SIZES: &[(&str, usize, &[&str])] = &[
    ("address scopes", 85, &["network/src/resources/address_scopes.rs"]),
    ("policies", 95, &["identity/src/resources/policies.rs"]),
    ("groups", 110, &["identity/src/resources/groups.rs"]),
    ("tags of servers", 155, &["api/src/compute/servers/tags.rs"]),
    ("server groups", 235, &["api/src/compute/server_groups.rs"]),
    ("key pairs", 285, &["api/src/compute/keypairs/mod.rs", "api/src/compute/keypairs/keys.rs"]),
    ("lock and unlock", 60, &["api/src/compute/servers/actions/lock.rs"]),
];
/// And an action that one host does alone, the crash dump: on so many lines in so many files it has a name, beside the
/// driver's own work.
const ACTION_NAMES: &[&str] =
    &["TriggerCrashDump", "trigger_crash_dump", "TriggeringCrashDump", "SERVERS_TRIGGER_CRASH_DUMP"];
const ACTION_SIZE: (usize, usize) = (12, 7);

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
    let known: BTreeSet<&str> = [PROGRAM, BRIDGE]
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

#[test]
fn one_more_of_each_kind_costs_what_the_documents_say() {
    let root = root();
    for (what, most, files) in SIZES {
        let lines: usize = files.iter().map(|file| code(&root.join(file)).len()).sum();
        assert!(lines <= *most && lines + 10 > *most, "{what}: {lines} lines of code; {most} are said");
    }

    let of_services =
        ["api", "common", "compute", "conductor", "scheduler", "rest"].map(|folder| root.join(folder).join("src"));
    // The driver's work, and what makes it fail for tests.
    let besides = ["compute/src/virt/fake", "common/src/faults"].map(|folder| root.join(folder));
    let files = rust_sources(&root)
        .filter(|path| of_services.iter().any(|folder| path.starts_with(folder)))
        .filter(|path| !besides.iter().any(|folder| path.starts_with(folder)));
    let named: Vec<_> = files
        .map(|path| {
            let lines = code(&path).into_iter().filter(|line| ACTION_NAMES.iter().any(|name| line.contains(name)));
            (lines.count(), path)
        })
        .filter(|(lines, _)| *lines > 0)
        .collect();
    let size = (named.iter().map(|(lines, _)| lines).sum(), named.len());
    assert_eq!(size, ACTION_SIZE, "{named:?}");
}

/// The lines of a file that are code: no comments, no empty lines, no tests.
fn code(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.map(str::to_owned).collect()
}

#[test]
fn what_a_contract_calls_a_method_its_manager_calls_it_too() {
    let files: Vec<(PathBuf, Vec<Item>)> = rust_sources(&root())
        .filter(|path| path.components().any(|part| part.as_os_str() == "src"))
        .map(|path| {
            let file = syn::parse_file(&fs::read_to_string(&path).unwrap());
            let items = file.unwrap_or_else(|error| panic!("{}: {error}", path.display())).items;
            (path, items)
        })
        .collect();
    let contracts: BTreeMap<String, BTreeSet<String>> =
        files.iter().flat_map(|(_, items)| items).filter_map(contract).collect();
    assert!(contracts.contains_key("Compute"), "the contracts are not found: {contracts:?}");

    let mut wrong = Vec::new();
    for (path, items) in &files {
        for item in items {
            let Item::Impl(implementation) = item else { continue };
            let Some(methods) = implementation
                .trait_
                .as_ref()
                .and_then(|(_, path, _)| path.segments.last())
                .and_then(|name| contracts.get(&name.ident.to_string()))
            else {
                continue;
            };
            for method in &implementation.items {
                let ImplItem::Fn(method) = method else { continue };
                let name = method.sig.ident.to_string();
                if let Some(other) = handed_on_to(&method.block.stmts)
                    && methods.contains(&name)
                    && other != name
                {
                    wrong.push(format!("{}: {name} is called {other}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The texts that stand first in calls of these macros, in all sources.
fn first_texts(macros: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in sources(&root()) {
        let text = fs::read_to_string(&path).unwrap();
        for name in macros {
            for after in text.split(&format!("{name}!(")).skip(1) {
                if let Some(text) = after.trim_start().strip_prefix('"') {
                    found.insert(text.split('"').next().unwrap().to_owned());
                }
            }
        }
    }
    found
}

#[test]
fn every_figure_is_described_and_the_dashboard_shows_none_that_is_not() {
    let described = first_texts(&["describe_counter", "describe_gauge", "describe_histogram"]);
    let used = first_texts(&["counter", "gauge", "histogram"]);
    let used: BTreeSet<String> = used.difference(&described).cloned().collect();
    assert_eq!(used, BTreeSet::new(), "figures without a description");
    let dashboard = fs::read_to_string(root().join("deploy/grafana/novella.json")).unwrap();
    for name in dashboard.split("novella_").skip(1) {
        let name = name.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap();
        let name = name.trim_end_matches("_bucket").trim_end_matches("_count");
        assert!(described.contains(name), "the dashboard asks for novella_{name}");
    }
}

/// Whether the rows above permit it.
#[test]
fn every_link_of_the_documents_leads_to_something_that_is_there() {
    let listed = Command::new("git").args(["ls-files", "*.md"]).current_dir(root()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut dead = Vec::new();
    for document in listed.lines() {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let folder = root().join(document).parent().unwrap().to_owned();
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#', ' ', '\n']).next().unwrap();
            let elsewhere = target.contains(':') || target.starts_with("crate");
            if !target.is_empty() && !elsewhere && !folder.join(target).exists() {
                dead.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(listed.lines().count() > 10 && dead.is_empty(), "{}", dead.join("\n"));
}

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
        || (package == BRIDGE && BRIDGED.contains(&dependency))
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

/// Those of them in Rust.
fn rust_sources(folder: &Path) -> impl Iterator<Item = PathBuf> {
    sources(folder).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
}

/// A contract's name and those of its methods.
fn contract(item: &Item) -> Option<(String, BTreeSet<String>)> {
    let Item::Trait(item) = item else { return None };
    let is_contract = |attribute: &syn::Attribute| {
        attribute.path().segments.last().is_some_and(|segment| segment.ident == "contract")
    };
    if !item.attrs.iter().any(is_contract) {
        return None;
    }
    let methods = item.items.iter().filter_map(|item| match item {
        TraitItem::Fn(method) => Some(method.sig.ident.to_string()),
        _ => None,
    });
    Some((item.ident.to_string(), methods.collect()))
}

/// What a method calls that does nothing but hand itself on: `self.other(..)`, `other(self, ..)`.
fn handed_on_to(body: &[Stmt]) -> Option<String> {
    let [Stmt::Expr(only, _)] = body else { return None };
    let mut expression = only;
    loop {
        match expression {
            Expr::Await(inner) => expression = &inner.base,
            Expr::Try(inner) => expression = &inner.expr,
            Expr::Return(inner) => expression = inner.expr.as_ref()?,
            Expr::MethodCall(call) if is_self(&call.receiver) || call.args.iter().any(is_self) => {
                // Several methods may share one that is told which of them it is for: `self.other(Action::Stop, ..)`.
                return (!call.args.iter().any(is_case)).then(|| call.method.to_string());
            }
            Expr::MethodCall(call) if ["map", "map_err", "into"].iter().any(|name| call.method == name) => {
                expression = &call.receiver;
            }
            Expr::Call(call) if call.args.iter().any(is_self) => return last_segment(&call.func),
            // `Ok(..)` and its like.
            Expr::Call(call) if call.args.len() == 1 => expression = call.args.first()?,
            _ => return None,
        }
    }
}

/// `self`, `&self`, `self.0`, `self.clone()`.
fn is_self(expression: &Expr) -> bool {
    match expression {
        Expr::Path(path) => path.path.is_ident("self"),
        Expr::Reference(inner) => is_self(&inner.expr),
        Expr::Field(inner) => matches!(inner.member, syn::Member::Unnamed(_)) && is_self(&inner.base),
        Expr::MethodCall(call) => call.method == "clone" && is_self(&call.receiver),
        _ => false,
    }
}

/// `Action::Stop`.
fn is_case(expression: &Expr) -> bool {
    matches!(expression, Expr::Path(path) if path.path.segments.len() > 1)
}

fn last_segment(expression: &Expr) -> Option<String> {
    let Expr::Path(path) = expression else { return None };
    Some(path.path.segments.last()?.ident.to_string())
}

#[test]
fn a_method_that_only_hands_itself_on_is_seen_through() {
    let other = |body: &str| handed_on_to(&syn::parse_str::<syn::Block>(&format!("{{ {body} }}")).unwrap().stmts);
    for body in
        ["self.other(a).await", "Ok(self.other(a))", "self.0.other().await.map_err(Into::into)", "m::other(self, a)?"]
    {
        assert_eq!(other(body).as_deref(), Some("other"), "{body}");
    }
    for body in [
        "let a = 1; self.other(a)",
        "self.other(a, Action::Stop)",
        "self.driver().other()",
        "self.db.other().await",
        "1",
    ] {
        assert_eq!(other(body), None, "{body}");
    }
}
