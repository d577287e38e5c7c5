//! `novella up --detach`: the cloud in a process of its own, which outlives the terminal.

use std::{
    fs::OpenOptions,
    io::Read,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{logs::last_lines, up::UpOptions};
use crate::{
    GlobalOptions,
    clouds::{CloudFolder, State, selector},
    output,
};

/// How much of the log is shown of a cloud that did not start.
const LINES: usize = 20;

/// Starts this command again in the background, and waits for it to be ready if that is asked for.
pub(super) async fn start(global: &GlobalOptions, options: &UpOptions) -> Result<()> {
    let folder = CloudFolder::find(global)?;
    let selector = selector(global);
    match folder.state()? {
        State::Stopped => folder.make()?,
        State::Running(record) => bail!(
            "the cloud '{}' is up already: {}; `novella down{selector}` stops it, another --name starts a second",
            folder.name,
            record.endpoint
        ),
        State::Changing => {
            bail!("the cloud '{}' is just starting or stopping: see `novella status{selector}`", folder.name)
        }
    }
    let program = std::env::current_exe().context("can't find this program's own file")?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(if options.wait { Stdio::piped() } else { Stdio::null() })
        .stderr(folder.begin_log()?)
        .spawn()
        .context("can't start a process in the background")?;
    let Some(mut from_child) = child.stdout.take() else {
        return output::print(&format!(
            "Novella starts in the background, as process {}. `novella status{selector}` tells how it is, `novella \
             logs{selector}` what it says, `novella down{selector}` stops it.",
            child.id()
        ));
    };
    // It says that it is ready, and closes its end; or it ends.
    let said = tokio::task::spawn_blocking(move || -> Result<String> {
        let mut said = String::new();
        from_child.read_to_string(&mut said).context("can't hear the process in the background")?;
        if said.is_empty() {
            let status = child.wait().context("waiting for the process in the background")?;
            bail!("the cloud did not start ({status})");
        }
        Ok(said)
    });
    match said.await? {
        Ok(said) => output::print(&said),
        Err(error) => {
            let log = folder.log();
            bail!("{error}; its log, {}, ends so:\n{}", log.display(), last_lines(&log, LINES)?.trim_end())
        }
    }
}

/// In the background: lets go of whoever started this process and waits for it to be ready.
pub(super) fn release_starter() -> Result<()> {
    let nowhere = OpenOptions::new().write(true).open("/dev/null").context("can't open /dev/null")?;
    rustix::stdio::dup2_stdout(nowhere).context("can't close standard output")
}
