//! `novella down`: stops a cloud, and removes it if that is asked for.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    GlobalOptions,
    clouds::{self, CloudFolder, State},
    output,
};

#[derive(Debug, Args)]
pub(crate) struct DownOptions {
    /// Seconds to wait for what is under way to end, before the process is killed
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
    /// Remove the cloud's data too, for good
    #[arg(long)]
    remove: bool,
}

pub(crate) async fn run(global: &GlobalOptions, options: DownOptions) -> Result<()> {
    let cloud = CloudFolder::find(global)?;
    match cloud.state()? {
        State::Running(record) => {
            let pid = i32::try_from(record.pid).ok().and_then(Pid::from_raw).context("cloud.json names no process")?;
            stop(&cloud, pid, Duration::from_secs(options.timeout)).await?;
            output::print(&format!("The cloud '{}' has stopped.", cloud.name))?;
        }
        State::Changing => bail!("the cloud '{}' is just starting or stopping: try again in a moment", cloud.name),
        State::Stopped if !cloud.exists() => bail!("there is no cloud in {}", cloud.path().display()),
        State::Stopped => output::print(&format!("The cloud '{}' does not run.", cloud.name))?,
    }
    // A cloud that was killed did not.
    if let Some(path) = cloud.record()?.and_then(|record| record.merged_into) {
        clouds::unmerge(&path, &cloud.name)?;
    }
    cloud.remove_record()?;
    if options.remove {
        let lock = cloud.lock(global).await?;
        cloud.remove()?;
        drop(lock);
        output::print(&format!("Its data in {} is removed.", cloud.path().display()))?;
    }
    Ok(())
}

/// Asks the process to stop, and kills it if it takes too long. Its lock tells when it has ended.
async fn stop(cloud: &CloudFolder, pid: Pid, timeout: Duration) -> Result<()> {
    kill_process(pid, Signal::TERM).with_context(|| format!("can't stop process {}", pid.as_raw_nonzero()))?;
    let (ended, stopped) = tokio::sync::oneshot::channel();
    let waiting = cloud.clone();
    // No task of the runtime, which would wait for it at the end.
    std::thread::spawn(move || ended.send(waiting.wait_until_stopped()));
    tokio::pin!(stopped);
    if let Ok(stopped) = tokio::time::timeout(timeout, &mut stopped).await {
        return stopped.context("nobody waits")?;
    }
    output::print(&format!("It has not stopped after {} s and is killed.", timeout.as_secs()))?;
    kill_process(pid, Signal::KILL).with_context(|| format!("can't kill process {}", pid.as_raw_nonzero()))?;
    stopped.await.context("nobody waits")?
}
