//! The memory of processes, as Linux counts it.

use anyhow::{Context, Result};

/// The memory of one process, in KiB.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) process: String,
    /// The resident set: all pages that are in memory, those shared with other processes included.
    pub(super) rss: u64,
    /// The unique set without the binary: the pages that the process has written and no other has.
    pub(super) private: u64,
}

impl Memory {
    /// That of the process `pid` at this moment.
    pub(super) fn of(process: &str, pid: u32) -> Result<Self> {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let kib = |name: &str| -> Result<u64> {
            let value =
                rollup.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok());
            value.with_context(|| format!("no {name} in /proc/{pid}/smaps_rollup"))
        };
        Ok(Self { process: process.to_owned(), rss: kib("Rss:")?, private: kib("Private_Dirty:")? })
    }
}

/// Lets the highest resident set of the process `pid` be the present one.
pub(super) fn forget_peak(pid: u32) -> Result<()> {
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// The highest resident set of the process `pid`, in KiB.
pub(super) fn peak(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    line.with_context(|| format!("no VmHWM in /proc/{pid}/status"))
}
