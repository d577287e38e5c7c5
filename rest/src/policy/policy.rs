//! The policy of one component: all its rules, with what a file changes of them.

use std::{
    collections::HashMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{
    Rule,
    check::{Check, DEEPEST, Facts},
    facts::CREDENTIALS,
    file::{self, Entry, Problem},
    parse::parse,
};

/// What a component says of all its rules.
#[derive(Clone, Copy, Debug)]
pub struct PolicyDescription {
    /// The rule that says who is an administrator: who may do everything, in every project.
    pub admin: &'static str,
    /// The check for who holds a role in the project that the thing belongs to, and for administrators.
    pub in_project: fn(&str) -> String,
    /// The attributes of things that its rules may name: `project_id`.
    pub attributes: &'static [&'static str],
    /// The text of a 403 for the rule of this name.
    pub denied: fn(&str) -> String,
}

impl PolicyDescription {
    /// As most of OpenStack's services have it, with Nova's text.
    pub const DEFAULT: Self = Self {
        admin: "context_is_admin",
        in_project: |role| format!("rule:context_is_admin or (role:{role} and project_id:%(project_id)s)"),
        attributes: &["project_id"],
        denied: |rule| format!("Policy doesn't allow {rule} to be performed."),
    };
}

/// The rules of a component in force. The default has none, and grants nothing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// By their numbers; those of the description first, in its order.
    checks: Vec<Check<usize>>,
    numbers: HashMap<String, usize>,
    rules: Vec<InForce>,
    admin: usize,
}

/// A rule in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// Its name.
    pub name: String,
    /// Who it is granted to.
    pub check: Check,
    /// Who it is granted to without a file; `None`: there is no such rule without the file.
    pub default: Option<Check>,
    /// What it permits, in a sentence; empty for what a file adds.
    pub permits: &'static str,
    /// The line of the file that says so; `None`: none does.
    pub line: Option<usize>,
}

/// Why a policy can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file can't be read.
    #[error("the policy file {} can't be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says what can't be.
    #[error("{}", said(path, problems))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Lines of it, with what is wrong there.
        problems: Vec<(usize, String)>,
    },
}

fn said(path: &Path, problems: &[(usize, String)]) -> String {
    let mut text = format!("the policy file {} can't be used:", path.display());
    for (line, problem) in problems {
        let _ = write!(text, "\n  {}:{line}: {problem}", path.display());
    }
    text
}

impl Policy {
    /// The rules as they are described.
    ///
    /// # Errors
    /// The description is at odds with itself.
    pub fn of(rules: &[Rule]) -> Result<Self, PolicyError> {
        Self::with(rules, Path::new("(default)"), (Vec::new(), Vec::new()))
    }

    /// The same with what a file changes.
    ///
    /// # Errors
    /// The file can't be read, or something in it is no rule or no check: all that is, with its line.
    pub fn load(rules: &[Rule], path: &Path) -> Result<Self, PolicyError> {
        let unreadable = |source| PolicyError::Unreadable { path: path.to_owned(), source };
        Self::read(rules, path, &std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// The same with the text of a file, which errors name by `path`.
    ///
    /// # Errors
    /// As [`Policy::load`].
    pub fn read(rules: &[Rule], path: &Path, text: &str) -> Result<Self, PolicyError> {
        Self::with(rules, path, file::read(text))
    }

    fn with(
        described: &[Rule],
        path: &Path,
        (entries, mut problems): (Vec<Entry>, Vec<Problem>),
    ) -> Result<Self, PolicyError> {
        let description = described.first().map_or(&PolicyDescription::DEFAULT, |rule| rule.policy);
        let mut rules: Vec<InForce> = Vec::new();
        for rule in described {
            match parse(&rule.who.text(description)) {
                Ok(check) => rules.push(InForce {
                    name: rule.name.to_owned(),
                    default: Some(check.clone()),
                    check,
                    permits: rule.permits,
                    line: None,
                }),
                Err(error) => problems.push(Problem::new(0, format!("rule '{}': {error}", rule.name))),
            }
        }
        let mut numbers: HashMap<String, usize> =
            rules.iter().enumerate().map(|(number, rule)| (rule.name.clone(), number)).collect();
        for Entry { name, line, check } in entries {
            if let Some(rule) = numbers.get(&name).and_then(|number| rules.get_mut(*number)) {
                (rule.check, rule.line) = (check, Some(line));
            } else {
                numbers.insert(name.clone(), rules.len());
                rules.push(InForce { name, check, default: None, permits: "", line: Some(line) });
            }
        }
        problems.extend(unknown(description, &rules, &numbers));
        let links = rules.iter().map(|rule| rule.check.link(&|name: &String| numbers.get(name).copied()).ok());
        let Some(checks) = links.collect::<Option<Vec<_>>>().filter(|_| problems.is_empty()) else {
            return Err(wrong(path, problems));
        };
        problems.extend(too_deep(&rules, &checks));
        let Some(admin) = numbers.get(description.admin).copied().filter(|_| problems.is_empty()) else {
            return Err(wrong(path, problems));
        };
        Ok(Self { checks, numbers, rules, admin })
    }

    /// Whether a rule is granted; with `possible` whether it could be for some thing, where that is not known yet. One
    /// that there is not is granted to nobody.
    pub(super) fn grants(&self, rule: &str, facts: &dyn Facts, possible: bool) -> bool {
        let check = self.numbers.get(rule).and_then(|number| self.checks.get(*number));
        check.is_some_and(|check| check.granted(&self.checks, facts, possible))
    }

    /// Whether somebody is an administrator.
    pub(super) fn is_admin(&self, facts: &dyn Facts) -> bool {
        self.checks.get(self.admin).is_some_and(|check| check.granted(&self.checks, facts, false))
    }

    /// Every rule in force: those that are described in their order, then those that a file adds.
    #[must_use]
    pub fn rules(&self) -> &[InForce] {
        &self.rules
    }

    /// The rule of this name.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&InForce> {
        self.rules.get(*self.numbers.get(name)?)
    }
}

fn wrong(path: &Path, mut problems: Vec<Problem>) -> PolicyError {
    problems.sort_by_key(|problem| problem.line);
    let problems = problems.into_iter().map(|problem| (problem.line, problem.text)).collect();
    PolicyError::Wrong { path: path.to_owned(), problems }
}

/// Names that lead nowhere. A rule that no operation has is one of its own only if another one names it.
fn unknown(description: &PolicyDescription, rules: &[InForce], numbers: &HashMap<String, usize>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut named: Vec<&str> = Vec::new();
    for rule in rules {
        let mut say = |text: String| {
            problems.push(Problem::new(rule.line.unwrap_or_default(), format!("rule '{}': {text}", rule.name)));
        };
        let (mut others, mut credentials, mut attributes) = (Vec::new(), Vec::new(), Vec::new());
        rule.check.visit(
            &mut |name| others.push(name.clone()),
            &mut |name| credentials.push(name.to_owned()),
            &mut |name| attributes.push(name.to_owned()),
        );
        for name in others.iter().filter(|name| !numbers.contains_key(*name)) {
            say(format!("there is no rule '{name}'{}", meant(name, numbers.keys().map(String::as_str))));
        }
        named.extend(
            others.iter().filter(|name| **name != rule.name).filter_map(|name| {
                numbers.get(name).and_then(|number| rules.get(*number)).map(|rule| rule.name.as_str())
            }),
        );
        for name in credentials.iter().filter(|name| !CREDENTIALS.contains(&name.as_str())) {
            say(format!("nothing called '{name}' is known of who asks; there are {}", CREDENTIALS.join(", ")));
        }
        for name in attributes.iter().filter(|name| !description.attributes.contains(&name.as_str())) {
            let there = description.attributes.join(", ");
            say(format!("'%({name})s' names nothing that is known of what is asked about; there are {there}"));
        }
    }
    for rule in rules.iter().filter(|rule| rule.default.is_none() && !named.contains(&rule.name.as_str())) {
        let known = rules.iter().filter(|rule| rule.default.is_some()).map(|rule| rule.name.as_str());
        let text = format!("there is no rule '{}', and no other names it{}", rule.name, meant(&rule.name, known));
        problems.push(Problem::new(rule.line.unwrap_or_default(), text));
    }
    problems
}

/// What was meant, if something is alike.
fn meant<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    const LIKE: f64 = 0.85;
    let ranked = known.filter(|known| *known != name).map(|known| (strsim::normalized_levenshtein(name, known), known));
    let best = ranked.filter(|(likeness, _)| *likeness >= LIKE).max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.map(|(_, known)| format!("; was '{known}' meant?")).unwrap_or_default()
}

/// Rules that name themselves, by way of others perhaps, and rows of rules that are too long.
fn too_deep(rules: &[InForce], checks: &[Check<usize>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut walk = Walk { checks, depths: vec![None; checks.len()], path: Vec::new() };
    for (number, rule) in rules.iter().enumerate() {
        let Err(end) = walk.depth(number) else { continue };
        let names: Vec<&str> =
            end.iter().filter_map(|number| rules.get(*number)).map(|rule| rule.name.as_str()).collect();
        let of_file = |number: &usize| rules.get(*number).and_then(|rule| rule.line);
        let line = rule.line.or_else(|| end.iter().find_map(of_file)).unwrap_or_default();
        problems.push(Problem::new(
            line,
            match names.first() {
                Some(first) if names.len() > 1 => format!("rule '{first}' names itself: {}", names.join(" > ")),
                _ => format!("more than {DEEPEST} rules name one another in a row, from '{}' on", rule.name),
            },
        ));
        // The others on the way end in the same.
        break;
    }
    problems
}

struct Walk<'c> {
    checks: &'c [Check<usize>],
    depths: Vec<Option<usize>>,
    path: Vec<usize>,
}

impl Walk<'_> {
    /// How many rules follow; or the row of rules that has no end, or none near enough.
    fn depth(&mut self, number: usize) -> Result<usize, Vec<usize>> {
        if let Some(depth) = self.depths.get(number).copied().flatten() {
            return Ok(depth);
        }
        let before = self.path.iter().position(|other| *other == number);
        self.path.push(number);
        if let Some(before) = before {
            return Err(self.path.split_off(before));
        }
        if self.path.len() > 2 * DEEPEST {
            return Err(vec![number]);
        }
        let mut named = Vec::new();
        if let Some(check) = self.checks.get(number) {
            check.visit(&mut |other| named.push(*other), &mut |_| {}, &mut |_| {});
        }
        let mut depth = 0;
        for other in named {
            depth = depth.max(1 + self.depth(other)?);
        }
        self.path.pop();
        if depth > DEEPEST {
            return Err(vec![number]);
        }
        if let Some(kept) = self.depths.get_mut(number) {
            *kept = Some(depth);
        }
        Ok(depth)
    }
}
