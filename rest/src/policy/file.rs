//! A policy file: YAML, in the form in which oslo.policy has it. A name of a rule and its check in each line; JSON is YAML
//! too.
//!
//! ```yaml
//! "os_compute_api:servers:create": "role:member and project_id:%(project_id)s"
//! "os_compute_api:os-services:list": [["role:admin"], ["role:auditor", "system_scope:all"]]
//! ```

use std::collections::HashMap;

use yaml_rust2::{
    Event,
    parser::Parser,
    scanner::{Marker, TScalarStyle},
};

use super::{
    check::Check,
    parse::{parse, parse_lists},
};

/// A rule as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) check: Check,
}

/// Something that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) line: usize,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(line: usize, text: impl Into<String>) -> Self {
        Self { line, text: text.into() }
    }
}

/// Reads a file: its rules, and all that is wrong. A rule whose check is not understood is there, as nobody's.
pub(super) fn read(text: &str) -> (Vec<Entry>, Vec<Problem>) {
    let mut events = Events { parser: Parser::new_from_str(text) };
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    // After an error of YAML's nothing can be said of the rest.
    if let Err(problem) = events.document(&mut entries, &mut problems) {
        problems.push(problem);
    }
    let mut lines: HashMap<&str, usize> = HashMap::new();
    for entry in &entries {
        if let Some(first) = lines.insert(&entry.name, entry.line) {
            let text = format!("rule '{}' is there a second time; the first is in line {first}", entry.name);
            problems.push(Problem::new(entry.line, text));
        }
    }
    (entries, problems)
}

struct Events<'t> {
    parser: Parser<std::str::Chars<'t>>,
}

impl Events<'_> {
    fn next(&mut self) -> Result<(Event, usize), Problem> {
        let (event, mark) = self.parser.next_token().map_err(|error| {
            let text = format!("this is no YAML: {}", error.info());
            Problem::new(error.marker().line(), text)
        })?;
        Ok((event, line(&mark)))
    }

    fn document(&mut self, entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) -> Result<(), Problem> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::StreamStart | Event::DocumentStart | Event::DocumentEnd, _) => {}
                // An empty file, or one of comments.
                (Event::Scalar(text, TScalarStyle::Plain, ..), _) if text.is_empty() => {}
                (Event::MappingStart(..), _) => self.rules(entries, problems)?,
                (_, line) => {
                    return Err(Problem::new(line, "names of rules with their checks are expected: NAME: \"CHECK\""));
                }
            }
        }
    }

    fn rules(&mut self, entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) -> Result<(), Problem> {
        loop {
            let (name, line) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(()),
                (Event::Scalar(name, ..), line) => (name, line),
                (_, line) => return Err(Problem::new(line, "the name of a rule is expected")),
            };
            let check = match self.next()? {
                (Event::Scalar(text, style, _, tag), _) => match text_of(&text, style, tag.is_some()) {
                    Ok(()) => parse(&text).map_err(|error| error.0),
                    Err(wrong) => Err(wrong.to_owned()),
                },
                (Event::SequenceStart(..), _) => self.lists()?.and_then(|lists| parse_lists(&lists).map_err(|e| e.0)),
                (_, line) => {
                    return Err(Problem::new(line, format!("rule '{name}': a check is expected: a text, or a list")));
                }
            };
            let check = check.unwrap_or_else(|text| {
                problems.push(Problem::new(line, format!("rule '{name}': {text}")));
                Check::Nobody
            });
            entries.push(Entry { name, line, check });
        }
    }

    /// The older form. Within it is an error of this rule alone.
    fn lists(&mut self) -> Result<Result<Vec<Vec<String>>, String>, Problem> {
        let mut lists = Vec::new();
        let mut inner: Option<Vec<String>> = None;
        let mut wrong = None;
        loop {
            match self.next()? {
                (Event::Scalar(text, style, _, tag), _) => {
                    if let Err(text) = text_of(&text, style, tag.is_some()) {
                        wrong = Some(text.to_owned());
                    }
                    match &mut inner {
                        Some(inner) => inner.push(text),
                        // As an inner list of one; an empty one counts as none.
                        None if text.is_empty() => {}
                        None => lists.push(vec![text]),
                    }
                }
                (Event::SequenceStart(..), line) if inner.is_some() => {
                    return Err(Problem::new(line, "a list in a list in a list is no check"));
                }
                (Event::SequenceStart(..), _) => inner = Some(Vec::new()),
                (Event::SequenceEnd, _) => match inner.take() {
                    Some(inner) => lists.push(inner),
                    None => return Ok(wrong.map_or(Ok(lists), Err)),
                },
                (_, line) => return Err(Problem::new(line, "in a list texts and lists of texts are expected")),
            }
        }
    }
}

/// Whether a scalar is a text, and meant as one. `key:` without a value, and `key: !`, which is no `"!"`, are the empty
/// text to oslo.policy, and so granted to everybody.
fn text_of(text: &str, style: TScalarStyle, tagged: bool) -> Result<(), &'static str> {
    if tagged {
        return Err("'!' begins something else in YAML: write \"!\", in quotes");
    }
    let plain = style == TScalarStyle::Plain;
    match text.to_ascii_lowercase().as_str() {
        "" | "~" | "null" if plain => {
            Err("there is no check; write \"\" or \"@\" to grant it to everybody, \"!\" to nobody")
        }
        "true" | "false" | "yes" | "no" | "on" | "off" if plain => {
            Err("a check is a text or a list; write \"@\" to grant it to everybody, \"!\" to nobody")
        }
        _ => Ok(()),
    }
}

fn line(mark: &Marker) -> usize {
    mark.line()
}
