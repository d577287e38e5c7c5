//! Text for a terminal, which obeys some of the characters that it is sent.
//!
//! What users, hosts and the bus say may hold such characters: a name could clear the screen, or look like another line
//! of a log. So wherever a terminal may be written to (logs, tables, errors) they are written as JSON writes them,
//! `\u001b`: readable, and the same text in a table and in JSON.

use std::{
    fmt::{self, Write as _},
    io,
};

/// How line breaks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// As they are: the text may have several lines.
    Kept,
    /// `\n`: it stays one line, whatever it holds.
    Joined,
}

/// Whether a terminal would obey it: the control characters of ASCII and of Unicode. A tab does no harm.
fn is_obeyed(character: char) -> bool {
    character.is_control() && character != '\t'
}

/// Writes what a terminal obeys as an escape, and all else as it is.
#[derive(Debug)]
pub struct Printable<W> {
    to: W,
    lines: Lines,
}

impl<W: fmt::Write> Printable<W> {
    /// Writes to `to`.
    pub fn new(to: W, lines: Lines) -> Self {
        Self { to, lines }
    }
}

impl<W: fmt::Write> fmt::Write for Printable<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_obeyed) {
            let (before, from) = rest.split_at(at);
            self.to.write_str(before)?;
            let mut characters = from.chars();
            match (characters.next(), self.lines) {
                (Some('\n'), Lines::Kept) => self.to.write_char('\n')?,
                (Some('\n'), Lines::Joined) => self.to.write_str("\\n")?,
                (Some(obeyed), _) => write!(self.to, "\\u{:04x}", u32::from(obeyed))?,
                (None, _) => {}
            }
            rest = characters.as_str();
        }
        self.to.write_str(rest)
    }
}

/// The text with what a terminal obeys as escapes.
#[must_use]
pub fn printable(text: &str, lines: Lines) -> String {
    let mut printed = String::with_capacity(text.len());
    // Writing to a String can't fail.
    let _ = Printable::new(&mut printed, lines).write_str(text);
    printed
}

/// The same for bytes that are written piece by piece: a log, of which only lines and tabs are obeyed.
#[derive(Debug)]
pub struct PrintableBytes<W> {
    to: W,
    /// The first byte of a character that the last piece ended in: those of Unicode's control characters begin with it.
    begun: bool,
}

/// What the characters U+0080 to U+00BF begin with in UTF-8.
const FIRST_OF_TWO: u8 = 0xc2;

impl<W: io::Write> PrintableBytes<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Self {
        Self { to, begun: false }
    }
}

impl<W: io::Write> io::Write for PrintableBytes<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut plain = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            let begun = std::mem::take(&mut self.begun);
            match byte {
                0x80..=0x9f if begun => plain.extend(format!("\\u{byte:04x}").bytes()),
                FIRST_OF_TWO => {
                    plain.extend(begun.then_some(FIRST_OF_TWO));
                    self.begun = true;
                }
                byte => {
                    plain.extend(begun.then_some(FIRST_OF_TWO));
                    match byte {
                        b'\n' | b'\t' | 0x20..=0x7e | 0x80.. => plain.push(byte),
                        obeyed => plain.extend(format!("\\u{obeyed:04x}").bytes()),
                    }
                }
            }
        }
        self.to.write_all(&plain)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_as_in_json() {
        let text = "a\u{1b}[2J\u{9b}2J\r\u{7f}\0b\tü\nc";
        assert_eq!(printable(text, Lines::Kept), "a\\u001b[2J\\u009b2J\\u000d\\u007f\\u0000b\tü\nc");
        assert!(printable(text, Lines::Joined).ends_with("ü\\nc"));
    }

    proptest! {
        #[test]
        fn text_and_bytes_come_to_the_same_however_they_are_cut(text in "\\PC{0,6}[\u{0}-\u{ff}]{0,12}", at in 0usize..40) {
            let bytes = text.as_bytes();
            let (one, other) = bytes.split_at(at.min(bytes.len()));
            let mut written = Vec::new();
            let mut to = PrintableBytes::new(&mut written);
            to.write_all(one).unwrap();
            to.write_all(other).unwrap();
            let expected = printable(&text, Lines::Kept);
            prop_assert_eq!(String::from_utf8(written).unwrap(), expected.clone());
            prop_assert!(!expected.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
        }
    }
}
