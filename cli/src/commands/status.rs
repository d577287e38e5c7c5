//! `novella status`: how a cloud is.

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::{fault, ls::json_of};
use crate::{
    GlobalOptions,
    bus::Bus,
    client::{Client, Credentials},
    clouds::{CloudFolder, State},
    output::{self, Format},
};

/// What the Linux Standard Base has the status of a service that does not run be.
const NOT_RUNNING: u8 = 3;

#[derive(Debug, Args)]
pub(crate) struct StatusOptions {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) async fn run(global: &GlobalOptions, options: StatusOptions) -> Result<ExitCode> {
    let cloud = CloudFolder::find(global)?;
    let state = cloud.state()?;
    let mut status = json_of(&cloud, &state);
    let running = matches!(state, State::Running(_));
    let mut asked = Ok(());
    if running {
        asked = ask_api(global, &cloud, &mut status).await;
        match faults(cloud.path()).await {
            Ok(0) => {}
            Ok(count) => status["faults"] = json!(count),
            Err(error) => status["faults"] = json!(format!("unknown: {error:#}")),
        }
    }
    if options.format == Format::Table {
        let counts = status["servers"].as_object().map(|counts| {
            let counts: Vec<_> = counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
        });
        status["servers"] = json!(counts);
    }
    let columns = [
        ("name", "name"),
        ("state", "state"),
        ("process", "pid"),
        ("since", "started_at"),
        ("endpoint", "endpoint"),
        ("management", "management"),
        ("hosts", "hosts"),
        ("servers", "servers"),
        ("faults", "faults"),
        ("log", "log"),
        ("folder", "folder"),
    ];
    output::print_one(options.format, &columns, &status)?;
    // What is known was said first: it may be a fault that was set on purpose which keeps the API from answering.
    asked?;
    Ok(if running { ExitCode::SUCCESS } else { ExitCode::from(NOT_RUNNING) })
}

/// Adds what the API knows.
async fn ask_api(global: &GlobalOptions, cloud: &CloudFolder, status: &mut Value) -> Result<()> {
    let credentials = Credentials::of_folder(cloud.path(), cloud.name.as_str())?.insecure(global);
    let client = Client::connect(&credentials).await?;
    let (up, all) = hosts(&client).await?;
    status["hosts"] = json!(format!("{up} up of {all}"));
    status["servers"] = servers(&client).await?;
    Ok(())
}

/// How many compute hosts are up, of how many.
async fn hosts(client: &Client) -> Result<(usize, usize)> {
    let list = client.get("/os-services?binary=nova-compute").await?;
    let services = list["services"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok((services.iter().filter(|service| service["state"] == "up").count(), services.len()))
}

/// How many faults are set by `novella fault`.
async fn faults(folder: &Path) -> Result<usize> {
    let bus = Bus::of_cloud(folder).await?;
    Ok(fault::in_force(&bus).await?.len())
}

/// How many servers there are in each status.
async fn servers(client: &Client) -> Result<Value> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    client
        .each_server("all_tenants=1", &mut |server| {
            *counts.entry(server["status"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        })
        .await?;
    Ok(json!(counts))
}
