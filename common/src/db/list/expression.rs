//! Regular expressions that rows are held against.
//!
//! Not by the databases: SQLite has none, and PostgreSQL's can be made to take any time and memory by whoever writes one.
//! Those of the crate `regex` take time in proportion to the text, and are bounded in size here. What is no more than a
//! text at the beginning, at the end or anywhere becomes a plain comparison, which the database makes.

use jiff::Timestamp;
use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Dot, Hir, HirKind, Look};

use super::Pattern;
use crate::db::Value;

/// Characters that an expression may have.
const LONGEST: usize = 512;
/// Bytes that its program may take, and its cache: `[0-9]{1000}` is beyond, what people search for far below.
const MAX_PROGRAM_BYTES: usize = 256 * 1024;
/// How deep its parentheses may be.
const MAX_DEPTH: u32 = 32;

/// A regular expression, with upper and lower case told apart.
#[derive(Clone, Debug)]
pub struct Expression {
    regex: Regex,
    plain: Option<Pattern>,
}

/// A text that is no regular expression, or none of a size that is served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoExpression(String);

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn parse(text: &str) -> Result<Self, NoExpression> {
        let refuse = |reason: &str| Err(NoExpression(reason.to_owned()));
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.chars().count() > LONGEST {
            return refuse("it is longer than 512 characters");
        }
        let regex = RegexBuilder::new(text)
            .size_limit(MAX_PROGRAM_BYTES)
            .dfa_size_limit(MAX_PROGRAM_BYTES)
            .nest_limit(MAX_DEPTH)
            .build();
        match regex {
            Ok(regex) => Ok(Self { regex, plain: plain(text) }),
            Err(regex::Error::CompiledTooBig(_)) => refuse("it is too large"),
            // The last line of several, which draw the place.
            Err(error) => {
                let text = error.to_string();
                refuse(text.lines().last().unwrap_or_default().trim_start_matches("error: "))
            }
        }
    }

    /// Whether it is found in a text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What it comes to where it is a plain text.
    pub(super) fn plain(&self) -> Option<&Pattern> {
        self.plain.as_ref()
    }

    /// Whether it is found in what a column holds, written as Nova's database writes it. Never in NULL.
    pub(super) fn matches(&self, value: &Value) -> bool {
        match value {
            Value::Null(_) => false,
            Value::Text(text) | Value::Json(text) => self.is_match(text),
            Value::Int(number) => self.is_match(&number.to_string()),
            Value::Bool(flag) => self.is_match(if *flag { "1" } else { "0" }),
            Value::Uuid(uuid) => self.is_match(&uuid.to_string()),
            Value::Time(micros) => Timestamp::from_microsecond(*micros)
                .is_ok_and(|time| self.is_match(&time.strftime("%Y-%m-%d %H:%M:%S").to_string())),
        }
    }
}

/// `^text`, `text$`, `^text$`, `text`, with `.*` at either end, as plain comparisons.
fn plain(text: &str) -> Option<Pattern> {
    let hir = regex_syntax::parse(text).ok()?;
    let mut parts: Vec<&Hir> = match hir.kind() {
        HirKind::Concat(parts) => parts.iter().collect(),
        _ => vec![&hir],
    };
    let dot = Hir::dot(Dot::AnyCharExceptLF);
    let anything = |part: &Hir| match part.kind() {
        HirKind::Repetition(repetition) => repetition.min == 0 && repetition.max.is_none() && *repetition.sub == dot,
        _ => false,
    };
    let is = |part: &Hir, look: Look| matches!(part.kind(), HirKind::Look(found) if *found == look);
    let start = parts.first().is_some_and(|part| is(part, Look::Start));
    parts.drain(..usize::from(start));
    let end = parts.last().is_some_and(|part| is(part, Look::End));
    parts.truncate(parts.len() - usize::from(end));
    let open_start = parts.first().is_some_and(|part| anything(part));
    parts.drain(..usize::from(open_start));
    let open_end = parts.last().is_some_and(|part| anything(part)) || (open_start && parts.is_empty());
    if open_end {
        parts.pop();
    }
    let literal = match parts.as_slice() {
        [] => String::new(),
        [part] => match part.kind() {
            HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok()?,
            HirKind::Empty => String::new(),
            _ => return None,
        },
        _ => return None,
    };
    Some(match (start && !open_start, end && !open_end) {
        (false, false) => Pattern::Contains(literal),
        (true, false) => Pattern::Prefix(literal),
        (false, true) => Pattern::Suffix(literal),
        (true, true) => Pattern::Exact(literal),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Pattern> {
        Expression::parse(text).unwrap().plain
    }

    #[test]
    fn a_plain_text_becomes_a_plain_comparison() {
        assert_eq!(read("web"), Some(Pattern::Contains("web".into())));
        assert_eq!(read("^web"), Some(Pattern::Prefix("web".into())));
        assert_eq!(read("web$"), Some(Pattern::Suffix("web".into())));
        assert_eq!(read("^web-1$"), Some(Pattern::Exact("web-1".into())));
        assert_eq!(read("^web.*$"), Some(Pattern::Prefix("web".into())));
        assert_eq!(read(".*web"), Some(Pattern::Contains("web".into())));
        assert_eq!(read("^.*web$"), Some(Pattern::Suffix("web".into())));
        for everything in [".*", "^.*$", "^.*", ".*.*"] {
            assert_eq!(read(everything), Some(Pattern::Contains(String::new())), "{everything}");
        }
        assert_eq!(read("^$"), Some(Pattern::Exact(String::new())));
        assert_eq!(read(r"^web\.1\$$"), Some(Pattern::Exact("web.1$".into())));
        for more in ["web.1", "web[0-9]", "a|b", "(?i)web", r"\bweb", ".+web"] {
            assert_eq!(read(more), None, "{more}");
        }
    }

    #[test]
    fn what_is_no_expression_or_too_large_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "empty"),
            ("web[", "unclosed"),
            ("(a", "unclosed group"),
            ("*", "repetition operator missing expression"),
            (r"(a)\1", "backreferences are not supported"),
            ("(?=a)", "look-ahead"),
            (r"\w{1000}", "too large"),
        ] {
            let refused = Expression::parse(text).unwrap_err().to_string();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
        assert!(Expression::parse(&"a".repeat(513)).is_err());
        assert!(Expression::parse(&format!("{}a{}", "(".repeat(100), ")".repeat(100))).is_err());
    }

    fn holds(pattern: &Pattern, text: &str) -> bool {
        match pattern {
            Pattern::Contains(part) => text.contains(part.as_str()),
            Pattern::Prefix(part) => text.starts_with(part.as_str()),
            Pattern::Suffix(part) => text.ends_with(part.as_str()),
            Pattern::Exact(whole) => text == whole,
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,20}") {
            let _ = Expression::parse(&text);
        }

        /// Whichever of the two is used, it says the same.
        #[test]
        fn a_plain_comparison_finds_what_the_expression_finds(
            text in r"\^?(\.\*)?[ab.\\]{0,4}(\.\*)?\$?", name in "[ab.]{0,6}",
        ) {
            if let Ok(expression) = Expression::parse(&text)
                && let Some(pattern) = expression.plain()
            {
                prop_assert_eq!(holds(pattern, &name), expression.is_match(&name), "{} {:?}", text, pattern);
            }
        }
    }
}
