//! What a server's host name may be (microversions 2.90 and 2.94).

use novella_rest::{ApiError, Microversion, wrong};

/// Checks a host name that a request gives: one label, or from 2.94 on a fully qualified name.
///
/// # Errors
/// 400 if it is none.
pub(super) fn checked(name: String, version: Microversion) -> Result<String, ApiError> {
    let (qualified, shortest, longest) = if version.at_least(94) { (true, 1, 255) } else { (false, 2, 63) };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || (qualified && matches!(c, '.' | '_'));
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let fits = (shortest..=longest).contains(&name.len())
        && name.chars().all(plain)
        && (qualified || (ends(name.chars().next()) && ends(name.chars().last())));
    if fits {
        return Ok(name);
    }
    Err(wrong("server.hostname", &name.into(), "It is no host name."))
}

/// Checks a host's own name, which may be fully qualified.
///
/// # Errors
/// 400 that names the field if it can be none.
pub(super) fn qualified(field: &str, name: &str) -> Result<(), ApiError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if (1..=255).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(wrong(field, &name.into(), "It is no host name."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_allowed_from_2_94_on() {
        let takes = |minor, name: &str| checked(name.to_owned(), Microversion::new(2, minor)).is_ok();
        assert!(takes(90, "web-1") && takes(94, "web-1"));
        assert!(!takes(90, "web.example.org") && takes(94, "web.example.org"));
        for name in ["", "a", "-a", "a-", "a b", "ä1"] {
            assert!(!takes(90, name), "{name}");
        }
    }
}
