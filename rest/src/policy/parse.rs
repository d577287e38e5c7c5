//! From text to a [`Check`]: oslo.policy's language, and the older form of lists in lists.
//!
//! ```text
//! rule  = "" | or                       or  = and { "or" and }          and = not { "and" not }
//! not   = "not" not | "(" or ")" | check
//! check = "@" | "!" | "role:" TEXT | "rule:" NAME | NAME ":" TEXT | LITERAL ":" TEXT
//! ```
//!
//! Words are told apart by spaces, and by parentheses at their ends only, since `%(name)s` has some within. What
//! oslo.policy does not understand it logs, and grants to nobody; here it is an error, so that it is not found out by
//! those who are refused.
//!
//! Source: oslo_policy/_parser.py (oslo.policy 6.0.1).

use super::check::{Check, DEEPEST, Operand, Piece, Template};

/// Why a text is no check: a sentence without its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub String);

fn wrong<T>(text: impl Into<String>) -> Result<T, ParseError> {
    Err(ParseError(text.into()))
}

/// Reads a rule in the language.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Check, ParseError> {
    if text.is_empty() {
        return Ok(Check::Everybody);
    }
    let mut reader = Reader { tokens: tokens(text)?, at: 0, depth: 0 };
    let check = reader.or()?;
    match reader.next() {
        None => Ok(check),
        Some(token) => wrong(format!("'and' or 'or' is expected before {}", token.called())),
    }
}

/// Reads a rule in the form of lists: one of the outer list is enough, of an inner list all are needed.
///
/// # Errors
/// What is wrong with it.
pub fn parse_lists(lists: &[Vec<String>]) -> Result<Check, ParseError> {
    if lists.is_empty() {
        return Ok(Check::Everybody);
    }
    let inner = lists.iter().filter(|inner| !inner.is_empty());
    let inner =
        inner.map(|inner| Ok(one_or(inner.iter().map(|text| check(text)).collect::<Result<_, _>>()?, Check::All)));
    let all = inner.collect::<Result<Vec<_>, ParseError>>()?;
    Ok(if all.is_empty() { Check::Nobody } else { one_or(all, Check::Any) })
}

/// One by itself; several joined.
fn one_or(mut checks: Vec<Check>, join: fn(Vec<Check>) -> Check) -> Check {
    match checks.len() {
        1 => checks.remove(0),
        _ => join(checks),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(&'t str),
}

impl Token<'_> {
    fn called(self) -> String {
        match self {
            Self::Open => "'('".to_owned(),
            Self::Close => "')'".to_owned(),
            Self::And => "'and'".to_owned(),
            Self::Or => "'or'".to_owned(),
            Self::Not => "'not'".to_owned(),
            Self::Check(text) => format!("'{text}'"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, ParseError> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let inner = word.trim_start_matches('(');
        tokens.extend(std::iter::repeat_n(Token::Open, word.len() - inner.len()));
        let plain = inner.trim_end_matches(')');
        tokens.extend(match plain.to_lowercase().as_str() {
            "" => None,
            "and" => Some(Token::And),
            "or" => Some(Token::Or),
            "not" => Some(Token::Not),
            _ if is_quoted(plain) => return wrong(format!("{plain} is a text by itself, and no check")),
            _ => Some(Token::Check(plain)),
        });
        tokens.extend(std::iter::repeat_n(Token::Close, inner.len() - plain.len()));
    }
    Ok(tokens)
}

fn is_quoted(text: &str) -> bool {
    let mut chars = text.chars();
    matches!((chars.next(), chars.next_back()), (Some('\''), Some('\'')) | (Some('"'), Some('"')))
}

struct Reader<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Option<Token<'t>> {
        let token = self.tokens.get(self.at).copied();
        self.at += 1;
        token
    }

    fn take(&mut self, wanted: Token<'_>) -> bool {
        let found = self.tokens.get(self.at) == Some(&wanted);
        self.at += usize::from(found);
        found
    }

    fn or(&mut self) -> Result<Check, ParseError> {
        let mut checks = vec![self.and()?];
        while self.take(Token::Or) {
            checks.push(self.and()?);
        }
        Ok(one_or(checks, Check::Any))
    }

    fn and(&mut self) -> Result<Check, ParseError> {
        let mut checks = vec![self.not()?];
        while self.take(Token::And) {
            checks.push(self.not()?);
        }
        Ok(one_or(checks, Check::All))
    }

    fn not(&mut self) -> Result<Check, ParseError> {
        // Bounds the stack: the text may be anybody's.
        self.depth += 1;
        if self.depth > DEEPEST {
            return wrong(format!("more than {DEEPEST} checks stand in each other"));
        }
        let check = match self.next() {
            Some(Token::Not) => Check::Not(Box::new(self.not()?)),
            Some(Token::Open) => {
                let inner = self.or()?;
                match self.next() {
                    Some(Token::Close) => inner,
                    Some(token) => return wrong(format!("')' is expected before {}", token.called())),
                    None => return wrong("a ')' is missing at its end"),
                }
            }
            Some(Token::Check(text)) => check(text)?,
            Some(token) => return wrong(format!("a check is expected before {}", token.called())),
            None => return wrong("a check is expected at its end"),
        };
        self.depth -= 1;
        Ok(check)
    }
}

/// One check without the words that join some.
fn check(text: &str) -> Result<Check, ParseError> {
    match text {
        "@" => return Ok(Check::Everybody),
        "!" => return Ok(Check::Nobody),
        _ => {}
    }
    let Some((kind, with)) = text.split_once(':') else {
        return wrong(format!("'{text}' is no check: it has no ':', as role:{text} or rule:{text} have"));
    };
    Ok(match kind {
        "" => return wrong(format!("in '{text}' nothing stands before the ':'")),
        "role" => Check::Role(template(with)?),
        "rule" => Check::Rule(with.to_owned()),
        "http" | "https" => return wrong(format!("'{text}' asks another server, which is not done here")),
        _ => Check::Equal(operand(kind)?, template(with)?),
    })
}

fn operand(text: &str) -> Result<Operand, ParseError> {
    let literal = |value: &str| Operand::Literal { written: text.to_owned(), value: value.to_owned() };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if text.starts_with(['\'', '"']) {
        let inner = text.len().checked_sub(1).filter(|_| is_quoted(text)).and_then(|end| text.get(1..end));
        return match inner {
            Some(inner) if !inner.contains(['\\', '\'', '"']) => Ok(literal(inner)),
            _ => wrong(format!("{text} is no text in quotes")),
        };
    }
    Ok(match text {
        "True" | "False" | "None" => literal(text),
        // Python knows no others of them.
        _ if is_number && (digits == "0" || !digits.starts_with('0')) && text != "-0" => literal(text),
        _ if is_number => return wrong(format!("{text} is no number")),
        _ => Operand::Credential(text.to_owned()),
    })
}

/// Python's `%` for a dictionary: `%(name)s` and `%%`.
fn template(text: &str) -> Result<Template, ParseError> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        push(&mut pieces, before);
        if let Some(after) = after.strip_prefix('%') {
            push(&mut pieces, "%");
            rest = after;
            continue;
        }
        let named = after.strip_prefix('(').and_then(|inner| inner.split_once(")s"));
        let Some((name, after)) = named.filter(|(name, _)| !name.is_empty() && !name.contains(['(', ')', '%'])) else {
            return wrong(format!("in '{text}' a '%' is neither '%%' nor the beginning of '%(name)s'"));
        };
        pieces.push(Piece::Attribute(name.to_owned()));
        rest = after;
    }
    push(&mut pieces, rest);
    Ok(Template(pieces))
}

/// Adds text, to what is text already.
fn push(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(last)) => last.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}
