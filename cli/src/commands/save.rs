//! `novella save`: a stopped cloud into a file, from which `novella up --load` begins.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    GlobalOptions,
    clouds::{CloudFolder, State, selector},
    output,
};

#[derive(Debug, Args)]
pub(crate) struct SaveOptions {
    /// Where to: a tar archive
    file: PathBuf,
}

pub(crate) async fn run(global: &GlobalOptions, options: SaveOptions) -> Result<()> {
    let cloud = CloudFolder::find(global)?;
    if !matches!(cloud.state()?, State::Stopped) {
        bail!("the cloud '{}' runs: stop it first with `novella down{}`", cloud.name, selector(global));
    }
    if !cloud.exists() {
        bail!("there is no cloud in {}", cloud.path().display());
    }
    let lock = cloud.lock(global).await?;
    cloud.save(&options.file)?;
    drop(lock);
    output::print(&format!(
        "The cloud '{}' is in {}; `novella up --load {}` begins with it.",
        cloud.name,
        options.file.display(),
        options.file.display()
    ))
}
