//! What a peer has written, fit for a line of a log.

use std::fmt::{self, Write};

/// So many characters are shown.
const SHOWN: usize = 200;

/// Shows the beginning of a text, with everything escaped that a terminal or a reader of lines takes for more than a
/// letter.
#[derive(Debug, Clone, Copy)]
pub struct Excerpt<'a>(pub &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() <= SHOWN && self.0.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return f.write_str(self.0);
        }
        let mut rest = self.0.chars();
        for character in rest.by_ref().take(SHOWN) {
            if is_harmless(character) {
                f.write_char(character)?;
            } else {
                write!(f, "{}", character.escape_unicode())?;
            }
        }
        match rest.as_str().len() {
            0 => Ok(()),
            left => write!(f, "… ({left} bytes more)"),
        }
    }
}

/// Neither a control character nor one that changes the direction of what follows.
fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_wrote_is_cut_and_escaped() {
        assert_eq!(Excerpt("Grüße").to_string(), "Grüße");
        assert_eq!(Excerpt("a\n\x1b[31mb\u{202e}").to_string(), r"a\u{a}\u{1b}[31mb\u{202e}");
        let long = Excerpt(&"ü".repeat(10_000)).to_string();
        assert!(long.len() < 500 && long.ends_with("… (19600 bytes more)"), "{long}");
    }
}
