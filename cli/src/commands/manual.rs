//! `novella completions` and `novella man`: what a shell and `man` want to know of this program.

use std::{io::stdout, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{Cli, output};

#[derive(Debug, Args)]
pub(crate) struct CompletionsOptions {
    /// For which shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManOptions {
    /// Write the page of each command into this folder, such as ~/.local/share/man/man1; without it, print that of all
    folder: Option<PathBuf>,
}

/// Prints the script that a shell reads: `source <(novella completions bash)`.
pub(crate) fn completions(options: &CompletionsOptions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "novella", &mut script);
    output::print_exactly(&String::from_utf8(script).context("the script is no text")?)
}

/// Prints the page of the program, or writes those of all its commands.
pub(crate) fn man(options: &ManOptions) -> Result<()> {
    match &options.folder {
        None => clap_mangen::Man::new(Cli::command()).render(&mut stdout().lock()).context("printing the page"),
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
            clap_mangen::generate_to(Cli::command(), folder)
                .with_context(|| format!("can't write to {}", folder.display()))
        }
    }
}
