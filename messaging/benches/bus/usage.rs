//! What a process has used, by Linux's word.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// CPU seconds so far, and resident memory in KiB.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) cpu: f64,
    pub(crate) rss: u64,
}

/// Clock ticks in a second, which Linux fixes at 100 for what it tells programs.
const TICKS: f64 = 100.0;

pub(crate) fn of_this_process() -> Result<Usage> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field, the program's name in brackets, may hold spaces. utime and stime are the fields 14 and 15.
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/self/stat")?;
    let ticks = |field: usize| -> Result<f64> {
        Ok(fields.split_whitespace().nth(field - 3).context("too few fields in /proc/self/stat")?.parse()?)
    };
    let status = std::fs::read_to_string("/proc/self/status")?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    Ok(Usage { cpu: (ticks(14)? + ticks(15)?) / TICKS, rss: rss.context("no VmRSS in /proc/self/status")? })
}

/// CLOCK_MONOTONIC in nanoseconds, which all processes of a machine share.
pub(crate) fn monotonic() -> Result<u64> {
    // std's Instant is that clock but does not tell its value; the uptime is it in hundredths of a second, too coarse.
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Ok(u64::try_from(time.tv_sec)? * 1_000_000_000 + u64::try_from(time.tv_nsec)?)
}
