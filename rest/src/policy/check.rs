//! A check in oslo.policy's language: what it consists of, how it is written, and whether it is granted.
//!
//! All of it is plain functions on plain data. [`parse`](super::parse) makes checks from text; a [`Policy`](super::Policy)
//! puts numbers in place of the names of other rules, so that asking looks nothing up and allocates nothing.
//!
//! Source: oslo_policy/_checks.py (oslo.policy 6.0.1), whose answers are compared with these by `rest/tests/it/policy.rs`.

use std::fmt::{self, Write as _};

/// A check. `R` says how it names another rule: by its name as it is written, by a number once that is known to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check<R = String> {
    /// `@`, and the empty text: granted to everybody.
    Everybody,
    /// `!`: granted to nobody.
    Nobody,
    /// `role:NAME`: to whoever holds the role. Capital letters make no difference.
    Role(Template),
    /// `rule:NAME`: to whom another rule is granted.
    Rule(R),
    /// `LEFT:RIGHT`: where both are the same.
    Equal(Operand, Template),
    /// `not CHECK`.
    Not(Box<Self>),
    /// `CHECK and CHECK`.
    All(Vec<Self>),
    /// `CHECK or CHECK`.
    Any(Vec<Self>),
}

/// What stands before the colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Something that is known of who asks: `project_id`.
    Credential(String),
    /// A value, as Python writes it: `'member'`, `True`, `5`.
    Literal {
        /// As it is written.
        written: String,
        /// What it is compared as.
        value: String,
    },
}

/// What stands behind the colon: text, with attributes of the thing in it that is asked about: `%(project_id)s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub(super) Vec<Piece>);

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Attribute(String),
}

/// An attribute of the thing that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute<'f> {
    /// It has this value.
    Is(&'f str),
    /// The thing has no such attribute: no check that names it is granted.
    Absent,
    /// It is not known yet which thing is asked about.
    Unknown,
}

/// Whom and what a check is held against.
pub trait Facts {
    /// Whether who asks holds a role that fulfils `is`.
    fn any_role(&self, is: &dyn Fn(&str) -> bool) -> bool;

    /// Whether this is known of who asks and fulfils `is`; of several values, one.
    fn credential(&self, name: &str, is: &dyn Fn(&str) -> bool) -> bool;

    /// An attribute of the thing.
    fn attribute(&self, name: &str) -> Attribute<'_>;
}

/// How oslo.policy compares what is known to be nothing: a token for no project has the `project_id` `None`.
pub(super) const NONE: &str = "None";

/// How deep checks may stand in each other, and how many rules may name one another in a row. It bounds the stack.
pub(super) const DEEPEST: usize = 100;

impl Check<usize> {
    /// Whether it is granted. `rules` are those that it names by their numbers. As long as the thing is not known,
    /// `possible` says what a comparison with it counts as: with `true` the answer is "for some thing, perhaps".
    pub fn granted(&self, rules: &[Self], facts: &dyn Facts, possible: bool) -> bool {
        match self {
            Self::Everybody => true,
            Self::Nobody => false,
            Self::Role(name) => match name.state(facts) {
                State::Absent => false,
                State::Unknown => possible,
                State::Known => facts.any_role(&|held| name.is_lower_case_of(held, facts)),
            },
            Self::Rule(number) => rules.get(*number).is_some_and(|rule| rule.granted(rules, facts, possible)),
            Self::Equal(operand, with) => match (with.state(facts), operand) {
                (State::Absent, _) => false,
                (State::Unknown, Operand::Literal { .. }) => possible,
                // What is not known of who asks is the same as nothing's.
                (State::Unknown, Operand::Credential(name)) => {
                    possible && facts.credential(name, &|value| value != NONE)
                }
                (State::Known, Operand::Literal { value, .. }) => with.is(value, facts),
                (State::Known, Operand::Credential(name)) => facts.credential(name, &|value| with.is(value, facts)),
            },
            Self::Not(inner) => !inner.granted(rules, facts, !possible),
            Self::All(checks) => checks.iter().all(|check| check.granted(rules, facts, possible)),
            Self::Any(checks) => checks.iter().any(|check| check.granted(rules, facts, possible)),
        }
    }
}

impl<R> Check<R> {
    /// The same with other names of rules.
    ///
    /// # Errors
    /// The first name that has none.
    pub fn link<N>(&self, number: &impl Fn(&R) -> Option<N>) -> Result<Check<N>, R>
    where
        R: Clone,
    {
        let all = |checks: &[Self]| checks.iter().map(|check| check.link(number)).collect::<Result<Vec<_>, R>>();
        Ok(match self {
            Self::Everybody => Check::Everybody,
            Self::Nobody => Check::Nobody,
            Self::Role(name) => Check::Role(name.clone()),
            Self::Rule(name) => Check::Rule(number(name).ok_or_else(|| name.clone())?),
            Self::Equal(operand, with) => Check::Equal(operand.clone(), with.clone()),
            Self::Not(inner) => Check::Not(Box::new(inner.link(number)?)),
            Self::All(checks) => Check::All(all(checks)?),
            Self::Any(checks) => Check::Any(all(checks)?),
        })
    }

    /// Calls these for each rule, credential and attribute that it names.
    pub fn visit(&self, rule: &mut dyn FnMut(&R), credential: &mut dyn FnMut(&str), attribute: &mut dyn FnMut(&str)) {
        match self {
            Self::Everybody | Self::Nobody => {}
            Self::Rule(name) => rule(name),
            Self::Role(template) => template.attributes().for_each(attribute),
            Self::Equal(operand, template) => {
                if let Operand::Credential(name) = operand {
                    credential(name);
                }
                template.attributes().for_each(attribute);
            }
            Self::Not(inner) => inner.visit(rule, credential, attribute),
            Self::All(checks) | Self::Any(checks) => {
                checks.iter().for_each(|check| check.visit(rule, credential, attribute));
            }
        }
    }

    fn is_joined(&self) -> bool {
        matches!(self, Self::All(_) | Self::Any(_))
    }
}

/// What is known of the attributes in a template.
enum State {
    Known,
    Absent,
    Unknown,
}

impl Template {
    fn attributes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Attribute(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    fn state(&self, facts: &dyn Facts) -> State {
        let mut state = State::Known;
        for name in self.attributes() {
            match facts.attribute(name) {
                Attribute::Is(_) => {}
                Attribute::Absent => return State::Absent,
                Attribute::Unknown => state = State::Unknown,
            }
        }
        state
    }

    /// The texts of its pieces. To be asked for when all are known.
    fn texts<'t>(&'t self, facts: &'t dyn Facts) -> impl Iterator<Item = &'t str> {
        self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Attribute(name) => match facts.attribute(name) {
                Attribute::Is(value) => value,
                Attribute::Absent | Attribute::Unknown => "",
            },
        })
    }

    fn is(&self, value: &str, facts: &dyn Facts) -> bool {
        self.texts(facts).try_fold(value, |rest, text| rest.strip_prefix(text)).is_some_and(str::is_empty)
    }

    fn is_lower_case_of(&self, value: &str, facts: &dyn Facts) -> bool {
        let own = self.texts(facts).flat_map(str::chars).flat_map(char::to_lowercase);
        own.eq(value.chars().flat_map(char::to_lowercase))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(&text.replace('%', "%%")),
            Piece::Attribute(name) => write!(f, "%({name})s"),
        })
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => f.write_str(name),
            Self::Literal { written, .. } => f.write_str(written),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, checks: &[Self], word: &str| {
            checks.iter().enumerate().try_for_each(|(place, check)| {
                if place > 0 {
                    write!(f, " {word} ")?;
                }
                within(f, check)
            })
        };
        match self {
            Self::Everybody => f.write_char('@'),
            Self::Nobody => f.write_char('!'),
            Self::Role(name) => write!(f, "role:{name}"),
            Self::Rule(name) => write!(f, "rule:{name}"),
            Self::Equal(operand, with) => write!(f, "{operand}:{with}"),
            Self::Not(inner) => {
                f.write_str("not ")?;
                within(f, inner)
            }
            Self::All(checks) => joined(f, checks, "and"),
            Self::Any(checks) => joined(f, checks, "or"),
        }
    }
}

/// Writes a check that is part of another one.
fn within(f: &mut fmt::Formatter<'_>, check: &Check) -> fmt::Result {
    if check.is_joined() { write!(f, "({check})") } else { write!(f, "{check}") }
}
