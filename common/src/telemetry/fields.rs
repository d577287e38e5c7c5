//! The fields of events and spans in log lines for people. The library's own way of writing them escapes the message and
//! the texts, and passes on what is written by `Display`: errors, which quote what users and the bus have said.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

use crate::printable::{Lines, Printable};

/// Writes `name=value` for each field and the message by itself, with everything a terminal obeys as an escape.
pub(super) struct PrintableFields;

impl<'w> FormatFields<'w> for PrintableFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer, empty: true, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    empty: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
        if !std::mem::take(&mut self.empty) {
            self.writer.write_char(' ')?;
        }
        let name = field.name();
        if name != "message" {
            // Italic and dimmed, as the library has them.
            match self.writer.has_ansi_escapes() {
                true => write!(self.writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?,
                false => write!(self.writer, "{name}=")?,
            }
        }
        write!(Printable::new(self.writer.by_ref(), Lines::Joined), "{value:?}")
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Where a line of a library that logs by other means comes from is in the line already.
        if self.result.is_ok() && !field.name().starts_with("log.") {
            self.result = self.write(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(colours: bool) -> String {
        let written = Written::default();
        let to = written.clone();
        let layer = fmt::layer().fmt_fields(PrintableFields).with_writer(move || to.clone()).with_ansi(colours);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let hostile = "\u{1b}[2J\u{9b}2J\n2026 INFO all is well\r";
            let _inside = tracing::info_span!("request", shown = %hostile, quoted = hostile).entered();
            tracing::info!(error = %hostile, text = hostile, number = 7, "{hostile}");
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_value_reaches_the_terminal_as_it_is_and_an_event_is_one_line() {
        let line = logged(false);
        let controls: Vec<char> = line.chars().filter(|c| c.is_control()).collect();
        assert_eq!(controls, ['\n'], "{line:?}");
        assert!(line.contains(r"shown=\u001b[2J\u009b2J\n2026 INFO all is well\u000d"), "{line}");
        assert!(line.contains(r#"error=\u001b[2J"#) && line.contains("number=7"), "{line}");
        // With colours the escapes are those of the formatter alone.
        let coloured = logged(true);
        assert!(!coloured.contains("\u{1b}[2J") && coloured.contains("\u{1b}[3merror\u{1b}[0m"), "{coloured:?}");
        assert_eq!(coloured.matches('\n').count(), 1, "{coloured:?}");
    }
}
