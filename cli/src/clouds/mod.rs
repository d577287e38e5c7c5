//! The clouds that `novella up` keeps on this machine: a folder each.
//!
//! While a cloud runs, its process holds the lock of `cloud.lock`, and `cloud.json` says how to reach it. The lock goes
//! with the process, however that ends: so nobody is told of a cloud that runs when its process was killed.

mod archive;
mod environment;
mod folder;
mod merge;
mod private;
mod record;

use std::{fmt, str::FromStr};

use anyhow::{Context, Result};
use etcetera::BaseStrategy;

pub(crate) use environment::{Access, Logins, clouds_yaml, openrc, variables};
pub(crate) use folder::{CloudFolder, DATABASE, RunLock, State, write_private};
pub(crate) use merge::{merge, unmerge, users_clouds_yaml};
pub(crate) use private::make_files_private;
pub(crate) use record::Record;

use crate::GlobalOptions;

/// A cloud's name: part of a path, an entry of a `clouds.yaml`, a word of a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloudName(String);

impl CloudName {
    /// The cloud's where none is named.
    pub(crate) const DEFAULT: &'static str = "novella";

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_default(&self) -> bool {
        self.0 == Self::DEFAULT
    }
}

impl Default for CloudName {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl fmt::Display for CloudName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CloudName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits) {
            return Ok(Self(name.to_owned()));
        }
        Err("a name is of 1 to 64 letters, digits, '-', '_' and '.', and begins with a letter or a digit".to_owned())
    }
}

/// Every cloud that is kept where [`CloudFolder::find`] looks for it by its name, in the order of their names.
///
/// # Errors
/// There is no home directory, or the folder can't be read.
pub(crate) fn all() -> Result<Vec<CloudFolder>> {
    let root = root()?;
    let mut found = vec![CloudFolder::new(CloudName::default(), root.clone())];
    let named = root.join(folder::NAMED);
    match std::fs::read_dir(&named) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.with_context(|| format!("can't read {}", named.display()))?;
                if let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                    found.push(CloudFolder::new(name, entry.path()));
                }
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("can't read {}", named.display())),
    }
    found.retain(CloudFolder::exists);
    found.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    Ok(found)
}

/// The options that name this cloud to any other command, with a space before them; empty for the default one.
pub(crate) fn selector(global: &GlobalOptions) -> String {
    let mut selector = String::new();
    if let Some(name) = global.name.as_ref().filter(|name| !name.is_default()) {
        selector.push_str(&format!(" --name {name}"));
    }
    if let Some(data) = &global.data {
        selector.push_str(&format!(" --data {}", data.display()));
    }
    selector
}

/// The folder in which clouds are kept that have none of their own.
fn root() -> Result<std::path::PathBuf> {
    let strategy = etcetera::choose_base_strategy()
        .context("there is no home directory to keep data in: name a folder with --data DIR")?;
    Ok(strategy.data_dir().join("novella"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_path_and_in_a_shell() {
        for good in ["novella", "ci-1", "2.0_b"] {
            assert_eq!(good.parse::<CloudName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "-a", "a/b", "a b", "ü", &"a".repeat(65)] {
            assert!(bad.parse::<CloudName>().is_err(), "{bad}");
        }
    }
}
