//! Standard output of the commands: what was asked for, and nothing else.

use std::io::{ErrorKind, Write, stdout};

use anyhow::{Context, Result};

/// Prints lines. A reader that has gone (`novella config | head`) has had enough: that is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    match writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}
