//! `novella env`: the variables by which OpenStack's clients find a cloud.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::{
    GlobalOptions,
    client::Credentials,
    clouds::{self, Access, CloudFolder, State, selector},
    output,
};

#[derive(Debug, Args)]
pub(crate) struct EnvOptions {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// Lines `export NAME=VALUE` for `eval "$(novella env)"`
    #[default]
    Shell,
    /// Lines `NAME=VALUE`, for $GITHUB_ENV, GitLab's dotenv reports and `docker run --env-file`
    Dotenv,
    /// One object
    Json,
}

pub(crate) fn run(global: &GlobalOptions, options: &EnvOptions) -> Result<()> {
    let cloud = CloudFolder::find(global)?;
    let State::Running(record) = cloud.state()? else {
        bail!("the cloud '{}' does not run; `novella up --detach --wait{}` starts it", cloud.name, selector(global));
    };
    let credentials = Credentials::of_folder(cloud.path(), &record.name)?;
    let password = credentials.password.expose();
    let access = Access { endpoint: &record.endpoint, password, cacert: record.cacert.as_deref() };
    let variables = clouds::variables(&access);
    output::print_exactly(&match options.format {
        Format::Shell => clouds::openrc(&access),
        Format::Dotenv => {
            if password.contains('\n') {
                bail!("the password has a line break, which this format can't express");
            }
            variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
        }
        Format::Json => {
            let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
            serde_json::to_string_pretty(&variables.collect::<Map<_, _>>()).context("writing JSON")?
        }
    })
}
