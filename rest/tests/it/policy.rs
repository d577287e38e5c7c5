//! oslo.policy's language: what is printed is read back, and what is granted is what the real oslo.policy grants.

use std::{collections::HashMap, fs, path::Path, process::Command};

use novella_rest::policy::{
    Check,
    check::{Attribute, Facts},
    parse::{parse, parse_lists},
};
use novella_testing::python;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

/// Attributes of the thing, and values, which are few so that some are the same.
const ATTRIBUTES: [&str; 4] = ["user_id", "project_id", "target.user.id", "none"];
const CREDENTIALS: [&str; 6] = ["user_id", "project_id", "system_scope", "is_admin", "roles", "unknown"];
const VALUES: [&str; 7] = ["u1", "p1", "admin", "Member", "all", "True", "10%"];

/// What stands behind a colon.
fn with() -> impl Strategy<Value = String> {
    let value = || prop::sample::select(&VALUES[..]).prop_map(|value| value.replace('%', "%%"));
    let attribute = || prop::sample::select(&ATTRIBUTES[..]).prop_map(|name| format!("%({name})s"));
    prop_oneof![4 => value(), 4 => attribute(), 1 => (value(), attribute()).prop_map(|(a, b)| format!("{a}{b}")),
        1 => (attribute(), value()).prop_map(|(a, b)| format!("{a}:{b}"))]
}

/// A check by itself. A rule names only those with a greater number.
fn single(rule: usize) -> impl Strategy<Value = String> {
    let literal = prop::sample::select(&["'u1'", "\"admin\"", "True", "None", "5", "-1", "''"][..]);
    prop_oneof![
        1 => Just("@".to_owned()),
        1 => Just("!".to_owned()),
        4 => with().prop_map(|name| format!("role:{name}")),
        2 => (rule + 1..rule + 4).prop_map(|other| format!("rule:r{other}")),
        4 => (prop::sample::select(&CREDENTIALS[..]), with()).prop_map(|(name, with)| format!("{name}:{with}")),
        // Quotes at both ends would be a text.
        1 => (literal, with()).prop_map(|(literal, with)| format!("{literal}:{with}")),
    ]
}

/// A rule in the language, written in every way.
fn text(rule: usize) -> impl Strategy<Value = String> {
    let join = |words: &'static [&'static str]| {
        move |(checks, word): (Vec<String>, usize)| checks.join(&format!(" {} ", words[word % words.len()]))
    };
    single(rule).prop_recursive(4, 24, 4, move |inner| {
        let parenthesised = prop_oneof![
            3 => inner.clone().prop_map(|text| format!("({text})")),
            1 => inner.clone().prop_map(|text| format!("( {text}  )")),
        ];
        prop_oneof![
            (prop::collection::vec(inner.clone(), 2..4), 0..3_usize).prop_map(join(&["and", "AND", "  And"])),
            (prop::collection::vec(inner.clone(), 2..4), 0..3_usize).prop_map(join(&["or", "OR", "\tor"])),
            inner.prop_map(|text| format!("not {text}")),
            parenthesised,
        ]
    })
}

/// A rule, as a file has it.
fn rule(number: usize) -> impl Strategy<Value = Value> {
    let lists = prop::collection::vec(prop::collection::vec(single(number), 0..3), 0..3);
    prop_oneof![8 => text(number).prop_map(Value::from), 1 => Just(json!("")), 2 => lists.prop_map(Value::from)]
}

#[derive(Clone, Debug)]
struct Case {
    rules: Vec<Value>,
    roles: Vec<String>,
    credentials: HashMap<String, String>,
    target: HashMap<String, String>,
}

fn case() -> impl Strategy<Value = Case> {
    let values = || prop::sample::select(&VALUES[..]).prop_map(ToOwned::to_owned);
    let some = |names: &'static [&'static str]| {
        prop::collection::hash_map(prop::sample::select(names).prop_map(ToOwned::to_owned), values(), 0..names.len())
    };
    let roles = prop::collection::vec(prop::sample::select(&["admin", "MEMBER", "u1", "p1"][..]), 0..3);
    ((rule(0), rule(1), rule(2), rule(3)), roles, some(&CREDENTIALS[..4]), some(&ATTRIBUTES[..3])).prop_map(
        |(rules, roles, credentials, target)| Case {
            rules: vec![rules.0, rules.1, rules.2, rules.3],
            roles: roles.into_iter().map(ToOwned::to_owned).collect(),
            credentials,
            target,
        },
    )
}

impl Facts for Case {
    fn any_role(&self, is: &dyn Fn(&str) -> bool) -> bool {
        self.roles.iter().any(|role| is(role))
    }

    fn credential(&self, name: &str, is: &dyn Fn(&str) -> bool) -> bool {
        if name == "roles" { self.any_role(is) } else { self.credentials.get(name).is_some_and(|value| is(value)) }
    }

    fn attribute(&self, name: &str) -> Attribute<'_> {
        self.target.get(name).map_or(Attribute::Absent, |value| Attribute::Is(value))
    }
}

fn read(rule: &Value) -> Check {
    match rule {
        Value::String(text) => parse(text).unwrap_or_else(|error| panic!("{text}: {error}")),
        lists => parse_lists(&serde_json::from_value::<Vec<Vec<String>>>(lists.clone()).unwrap()).unwrap(),
    }
}

impl Case {
    fn is_granted(&self) -> bool {
        // A rule that there is not is granted to nobody.
        let nobody = self.rules.len();
        let number = |name: &String| Some(name[1..].parse::<usize>().unwrap().min(nobody));
        let mut checks: Vec<Check<usize>> = self.rules.iter().map(|rule| read(rule).link(&number).unwrap()).collect();
        checks.push(Check::Nobody);
        checks[0].granted(&checks, self, false)
    }

    fn question(&self) -> Value {
        let rules: serde_json::Map<String, Value> =
            self.rules.iter().enumerate().map(|(number, rule)| (format!("r{number}"), rule.clone())).collect();
        let mut credentials = json!(self.credentials);
        credentials["roles"] = json!(self.roles);
        json!({"rules": rules, "ask": "r0", "target": self.target, "credentials": credentials})
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back_as_the_same(text in text(0)) {
        let check = parse(&text).unwrap();
        let printed = check.to_string();
        prop_assert_eq!(parse(&printed), Ok(check), "{} printed as {}", text, printed);
    }

    #[test]
    fn nothing_that_is_read_breaks_the_reader(text in "[()a-z:%'@! ]{0,40}") {
        if let Ok(check) = parse(&text) {
            prop_assert_eq!(parse(&check.to_string()), Ok(check));
        }
    }
}

/// Parts of rules in any order, of which few make a rule.
fn soup() -> impl Strategy<Value = String> {
    let parts = ["(", ")", "and", "or", "not", "role:a", "@", "!", "user_id:u1"];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 1..8).prop_map(|parts| parts.join(" "))
}

fn samples<S: Strategy>(runner: &mut TestRunner, strategy: S, count: usize) -> Vec<S::Value> {
    (0..count).map(|_| strategy.new_tree(runner).unwrap().current()).collect()
}

#[test]
fn the_real_oslo_policy_grants_the_same_and_understands_the_same() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        prop::test_runner::TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha),
    );
    let cases = samples(&mut runner, case(), 6000);
    let texts = samples(&mut runner, soup(), 6000);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = python::environment(folder, &["oslo.policy==6.0.1"]).join("bin/python");
    let file = folder.join("oslo-policy-cases.jsonl");
    let questions = cases.iter().map(Case::question).chain(texts.iter().map(|text| json!({ "text": text })));
    fs::write(&file, questions.map(|question| format!("{question}\n")).collect::<String>()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/ask_oslo.py");
    let printed = python::run(Command::new(python).arg(script).arg(&file));
    let answers: Vec<bool> = printed.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(answers.len(), cases.len() + texts.len());

    let (granted, understood) = answers.split_at(cases.len());
    for (case, granted) in cases.iter().zip(granted) {
        assert_eq!(case.is_granted(), *granted, "{case:#?}");
    }
    for (text, understood) in texts.iter().zip(understood) {
        let read = parse(text);
        assert_eq!(read.is_ok(), *understood, "{text}: {read:?}");
    }
    // Both sides of each were tried.
    let share = |answers: &[bool]| answers.iter().filter(|answer| **answer).count() * 100 / answers.len();
    assert!((10..90).contains(&share(granted)) && (5..90).contains(&share(understood)));
}
