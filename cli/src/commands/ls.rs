//! `novella ls`: the clouds of this machine.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    clouds::{self, CloudFolder, State},
    output::{self, Format},
};

#[derive(Debug, Args)]
pub(crate) struct LsOptions {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(options: &LsOptions) -> Result<()> {
    let row = |cloud: &CloudFolder| Ok(json_of(cloud, &cloud.state()?));
    let rows = clouds::all()?.iter().map(row).collect::<Result<Vec<_>>>()?;
    if rows.is_empty() && options.format == Format::Table {
        return output::print("There are no clouds; `novella up` makes one.");
    }
    let columns =
        [("Name", "name"), ("State", "state"), ("Endpoint", "endpoint"), ("Hosts", "hosts"), ("Folder", "folder")];
    output::print_list(options.format, &columns, &rows)
}

/// What is known of a cloud without asking it.
pub(super) fn json_of(cloud: &CloudFolder, state: &State) -> Value {
    let mut row = json!({ "name": cloud.name.as_str(), "folder": cloud.path() });
    match state {
        State::Stopped => row["state"] = json!("stopped"),
        State::Changing => row["state"] = json!("starting or stopping"),
        State::Running(record) => {
            row["state"] = json!("running");
            row["endpoint"] = json!(record.endpoint);
            row["management"] = json!(record.management);
            row["hosts"] = json!(record.hosts);
            row["pid"] = json!(record.pid);
            row["started_at"] = json!(record.started_at);
            row["version"] = json!(record.version);
            row["ephemeral"] = json!(record.ephemeral);
            row["log"] = json!(record.log);
        }
    }
    row
}
