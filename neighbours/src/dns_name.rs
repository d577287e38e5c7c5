//! The name that an instance's ports have in the DNS.

/// The longest label.
const LONGEST: usize = 63;

/// What an instance's name comes to as one label: letters, digits and hyphens. Empty if nothing is left of it.
///
/// Source: `sanitize_hostname` in nova/utils.py (34.0.0).
pub(crate) fn dns_name(hostname: &str) -> String {
    let label: String = hostname
        .chars()
        .filter_map(|c| match c {
            ' ' | '_' | '.' => Some('-'),
            c if c.is_ascii_alphanumeric() || c == '-' => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    let label: String = label.trim_matches('-').chars().take(LONGEST).collect();
    label.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_one_label_and_one_without_any_letter_becomes_none() {
        assert_eq!(dns_name("Web_1 test.example"), "web-1-test-example");
        assert_eq!(dns_name("-.ä-"), "");
        assert_eq!(dns_name(&format!("{}-b", "a".repeat(62))), "a".repeat(62));
    }
}
