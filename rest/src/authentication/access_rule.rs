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

/// Whether a path is of this pattern (keystonemiddleware/auth_token, `_path_matches`). Kept are the places in the path
/// that can have been reached: so its cost does not grow with the number of stars.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, path) = (pattern.as_bytes(), path.as_bytes());
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    while let Some((piece, rest)) = next(pattern) {
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
        (reached, pattern) = (then, rest);
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

fn next(pattern: &[u8]) -> Option<(Piece, &[u8])> {
    match pattern {
        [] => None,
        [b'*', b'*', rest @ ..] => Some((Piece::Anything, rest)),
        [b'*', rest @ ..] => Some((Piece::Part, rest)),
        [b'{', inner @ ..] if inner.contains(&b'}') => {
            let end = inner.iter().position(|byte| *byte == b'}')?;
            Some((Piece::Part, &inner[end + 1..]))
        }
        [byte, rest @ ..] => Some((Piece::Byte(*byte), rest)),
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
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
    }
}
