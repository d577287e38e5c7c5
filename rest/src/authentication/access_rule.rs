//! What an application credential may be used for, if it says so: kinds of requests.

use axum::http::request::Parts;

use crate::Service;

/// One kind of request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// Its id.
    pub id: String,
    /// The type of the service: `compute`.
    pub service: String,
    /// The method: `GET`.
    pub method: String,
    /// The path, in which `*` and `{name}` stand for a part and `**` for any number of them.
    pub path: String,
}

impl AccessRule {
    /// Whether this request is one of that kind. Its path may be said from the service's root on, or whole.
    pub(crate) fn covers(&self, service: &Service, parts: &Parts) -> bool {
        let below = parts.uri.path();
        self.service == service.kind
            && self.method.eq_ignore_ascii_case(parts.method.as_str())
            && (fits(&self.path, below) || fits(&self.path, &format!("{}{below}", service.root)))
    }
}

/// The longest path that a rule can allow, which is longer than any of an API: who asks says how much there is to compare.
const LONGEST_PATH: usize = 4096;

/// Whether a path is of this pattern (keystonemiddleware/auth_token, `_path_matches`). Kept are the places in the path
/// that can have been reached: so its cost does not grow with the number of stars. Most patterns are done with at the
/// first piece that is nowhere in the path.
fn fits(pattern: &str, path: &str) -> bool {
    let path = path.as_bytes();
    if path.len() > LONGEST_PATH {
        return false;
    }
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for piece in Pieces::of(pattern) {
        let mut then = vec![false; path.len() + 1];
        for at in 0..path.len() {
            match piece {
                Piece::Anything => {
                    then[at] |= reached[at];
                    then[at + 1] |= then[at];
                }
                Piece::Part => then[at + 1] |= path[at] != b'/' && (reached[at] || then[at]),
                Piece::Byte(byte) => then[at + 1] |= reached[at] && path[at] == byte,
            }
        }
        if let Piece::Anything = piece {
            then[path.len()] |= reached[path.len()];
        }
        if !then.contains(&true) {
            return false;
        }
        reached = then;
    }
    reached[path.len()]
}

enum Piece {
    /// `**`.
    Anything,
    /// `*` or `{name}`: something without a slash.
    Part,
    Byte(u8),
}

/// The pieces of a pattern, each byte of which is looked at once.
struct Pieces<'p> {
    left: &'p [u8],
    /// How long the pattern is from its last `}` on: what is left must be longer for a `{` to have its end.
    last_end: Option<usize>,
}

impl<'p> Pieces<'p> {
    fn of(pattern: &'p str) -> Self {
        let left = pattern.as_bytes();
        Self { left, last_end: left.iter().rposition(|byte| *byte == b'}').map(|at| left.len() - at) }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let left = self.left;
        let (piece, rest) = match left {
            [] => return None,
            [b'*', b'*', rest @ ..] => (Piece::Anything, rest),
            [b'*', rest @ ..] => (Piece::Part, rest),
            [b'{', inner @ ..] if self.last_end.is_some_and(|last_end| inner.len() >= last_end) => {
                let end = inner.iter().position(|byte| *byte == b'}')?;
                (Piece::Part, &inner[end + 1..])
            }
            [byte, rest @ ..] => (Piece::Byte(*byte), rest),
        };
        self.left = rest;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_is_a_part_and_two_are_any_number() {
        for (pattern, path, expected) in [
            ("/v2.1/servers", "/v2.1/servers", true),
            ("/v2.1/servers", "/v2.1/servers/a", false),
            ("/v2.1/servers/*", "/v2.1/servers/a", true),
            ("/v2.1/servers/*", "/v2.1/servers/", false),
            ("/v2.1/servers/{id}/ips", "/v2.1/servers/a/ips", true),
            ("/v2.1/servers/*", "/v2.1/servers/a/ips", false),
            ("/v2.1/**", "/v2.1/servers/a/ips", true),
            ("**", "/anything", true),
            ("/v2.1/**/ips", "/v2.1/servers/a/tags", false),
            ("/v2.1/{a}/{b", "/v2.1/servers/{b", true),
            ("/v2.1/{a}/{b", "/v2.1/servers/b", false),
            ("/{a}", "/{a}", true),
            ("/a}", "/a}", true),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_that_fits_nowhere_costs_no_more_than_its_beginning() {
        let path = format!("/{}", "a".repeat(4_000));
        for pattern in [format!("/b{}", "{".repeat(100_000)), format!("/{}", "{".repeat(100_000))] {
            assert!(!fits(&pattern, &path));
        }
        assert!(fits(&"{".repeat(2_000), &"{".repeat(2_000)));
        // Nor is a path compared that is longer than any there is.
        assert!(fits("/**", &path) && !fits("/**", &path.repeat(2)));
    }
}
