//! `novella logs`: what a cloud in the background says.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use novella_common::printable::PrintableBytes;

use crate::{
    GlobalOptions,
    clouds::{CloudFolder, State, selector},
    output,
};

/// How often the file is looked at for more.
const INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct LogsOptions {
    /// Go on with what comes, until the cloud stops
    #[arg(long, short)]
    follow: bool,
    /// Only so many lines at the end
    #[arg(long, short = 'n', value_name = "N")]
    lines: Option<usize>,
}

pub(crate) async fn run(global: &GlobalOptions, options: LogsOptions) -> Result<()> {
    let cloud = CloudFolder::find(global)?;
    let path = cloud.log();
    if let State::Running(record) = cloud.state()?
        && record.log.is_none()
    {
        bail!("the cloud '{}' logs to the terminal in which `novella up` runs (process {})", cloud.name, record.pid);
    }
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("the cloud '{}' has no log; `novella up --detach{}` writes one", cloud.name, selector(global))
        }
        Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
    };
    if let Some(lines) = options.lines {
        // What is written from now on begins where this ends.
        let tail = tail(&mut file, lines).with_context(|| format!("can't read {}", path.display()))?;
        if !tail.is_empty() {
            output::print(&tail)?;
        }
    }
    loop {
        // Asked before the file is read: what a cloud wrote before it stopped is shown.
        let stopped = matches!(cloud.state()?, State::Stopped);
        copy(&mut file)?;
        if !options.follow || stopped {
            return Ok(());
        }
        // Started again, it writes another file.
        if std::fs::metadata(&path).is_ok_and(|now| file.metadata().is_ok_and(|then| now.ino() != then.ino())) {
            copy(&mut file)?;
            file = File::open(&path).with_context(|| format!("can't read {}", path.display()))?;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Whatever is in the log, a panic's text too, is shown and not obeyed.
fn copy(file: &mut File) -> Result<()> {
    let copied = std::io::copy(file, &mut PrintableBytes::new(std::io::stdout().lock()));
    match copied {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        copied => copied.map(|_| ()).context("printing the log"),
    }
}

/// The last lines of the file at `path`.
pub(super) fn last_lines(path: &Path, lines: usize) -> Result<String> {
    let read = || tail(&mut File::open(path)?, lines);
    read().with_context(|| format!("can't read {}", path.display()))
}

/// The last lines of a file, of which no more is read than they can take. The file stands where they end.
fn tail(file: &mut File, lines: usize) -> std::io::Result<String> {
    const BLOCK: u64 = 64 * 1024;
    let end = file.seek(SeekFrom::End(0))?;
    let mut begin = end;
    let mut tail = Vec::new();
    while begin > 0 && tail.iter().filter(|byte| **byte == b'\n').count() <= lines {
        let size = begin.min(BLOCK);
        begin -= size;
        file.seek(SeekFrom::Start(begin))?;
        let mut block = vec![0; usize::try_from(size).unwrap_or_default()];
        file.read_exact(&mut block)?;
        block.append(&mut tail);
        tail = block;
    }
    file.seek(SeekFrom::Start(end))?;
    let text = String::from_utf8_lossy(&tail);
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    Ok(all[all.len().saturating_sub(lines)..].concat())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_last_lines_of_a_long_log_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let lines: Vec<String> = (0..20_000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&path, lines.concat()).unwrap();
        assert_eq!(last_lines(&path, 2).unwrap(), "line 19998\nline 19999\n");
        assert_eq!(last_lines(&path, 15_000).unwrap(), lines[5_000..].concat());
        assert_eq!(last_lines(&path, 99_999).unwrap(), lines.concat());
    }

    #[test]
    fn what_is_written_after_the_last_lines_were_read_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let mut file = File::open(&path).unwrap();
        assert_eq!(tail(&mut file, 1).unwrap(), "two\n");
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"three\n").unwrap();
        let mut next = String::new();
        file.read_to_string(&mut next).unwrap();
        assert_eq!(next, "three\n");
    }
}
