//! `novella bench`: what this program does on this machine, measured from outside as a client sees it.
//!
//! Starts clouds of its own (real processes of this same binary), loads them through the REST API, and prints one
//! table. Always the embedded cloud; also services apart on a broker and a database, where both are named by
//! `NOVELLA_BUS__URL` and `NOVELLA_DATABASE__URL` (an empty database: the benchmark fills it).

mod deployment;
mod load;
mod report;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    GlobalOptions,
    config::{Config, Flags},
    output,
};
use deployment::{Deployment, Shape};
use report::Column;

#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// How many servers to boot in each throughput run
    #[arg(long, default_value_t = 1000, value_name = "N")]
    servers: usize,
    /// How many clients boot at once
    #[arg(long, default_value_t = 64, value_name = "N")]
    clients: usize,
    /// How many servers to boot one after the other for the latencies
    #[arg(long, default_value_t = 200, value_name = "N")]
    samples: usize,
    /// How many servers to migrate at once
    #[arg(long, default_value_t = 100, value_name = "N")]
    migrations: usize,
    /// Measure only the embedded cloud, also where a broker and a database are named
    #[arg(long)]
    embedded: bool,
}

/// The numbers of compute hosts with which throughput is measured.
const FEW_HOSTS: usize = 3;
const MANY_HOSTS: usize = 100;
/// The number of compute processes whose memory is measured.
const MEMORY_HOSTS: usize = 8;
/// How many servers the list holds that is timed.
const LISTED: usize = 1000;

#[allow(clippy::print_stderr, reason = "progress of a long command")]
pub(crate) async fn run(global: &GlobalOptions, options: BenchOptions) -> Result<()> {
    let (config, _) = Config::load(global, &Flags::default())?;
    let mut columns = vec![measure(&Shape::Embedded, &options).await?];
    let bus = config.bus.url.expose();
    let database = config.database.url.expose();
    if bus.starts_with("amqp") && database.starts_with("postgres") && !options.embedded {
        let apart = Shape::Apart { bus: bus.to_owned(), database: database.to_owned() };
        columns.push(measure(&apart, &options).await?);
    } else if !options.embedded {
        eprintln!(
            "Set NOVELLA_BUS__URL=amqp://... and NOVELLA_DATABASE__URL=postgres://... (an empty database) to measure \
             services apart as well."
        );
    }
    output::print(&format!("{}\n{}", report::machine()?, report::table(&columns)))
}

#[allow(clippy::print_stderr, reason = "progress of a long command")]
async fn measure(shape: &Shape, options: &BenchOptions) -> Result<Column> {
    let mut column = Column::new(shape.name());
    eprintln!("{}: start, latencies, throughput with {FEW_HOSTS} hosts", shape.name());
    let mut cloud = Deployment::start(shape, FEW_HOSTS).await?;
    column.duration("process start to API ready", cloud.ready_after);
    let flavor = load::FLAVOR;
    let client = cloud.client().await?;
    let image = load::image(&client).await?;
    let first = load::boot_one(&client, &image, flavor).await?;
    column.duration("process start to first server ACTIVE", cloud.started.elapsed());
    load::delete_all(&client, &[first.id]).await?;

    let samples = load::boot_sequentially(&client, &image, flavor, options.samples).await?;
    column.percentiles("POST /servers to 202", &samples.accepted);
    column.percentiles("POST /servers to ACTIVE", &samples.active);
    load::delete_all(&client, &samples.ids).await?;

    let (ids, took) = load::boot_many(&client, &image, flavor, options.servers, options.clients).await?;
    column.rate(&format!("boots per second, {} clients, {FEW_HOSTS} hosts", options.clients), ids.len(), took);

    let detail = load::time_list(&client, LISTED.min(ids.len()), 50).await?;
    column.percentiles(&format!("GET /servers/detail, {} servers", LISTED.min(ids.len())), &detail);
    let detail = load::time_list(&client, 200.min(ids.len()), 100).await?;
    column.percentiles("GET /servers/detail, 200 servers", &detail);
    let (requests, took) = load::list_rate(&client, LISTED.min(ids.len()), 8, Duration::from_secs(3)).await?;
    column.rate(
        &format!("GET /servers/detail per second, {} servers, 8 clients", LISTED.min(ids.len())),
        requests,
        took,
    );

    let moving = &ids[..options.migrations.min(ids.len())];
    let took = load::migrate_all(&client, moving).await?;
    column.rate(&format!("live migrations per second, {} at once", moving.len()), moving.len(), took);
    load::delete_all(&client, &ids).await?;
    column.memory(&format!("resident memory, {FEW_HOSTS} hosts, after the load"), &cloud.memory()?);
    cloud.stop().await?;

    eprintln!("{}: throughput with {MANY_HOSTS} hosts", shape.name());
    let mut cloud = Deployment::start(shape, MANY_HOSTS).await?;
    let client = cloud.client().await?;
    let image = load::image(&client).await?;
    let (ids, took) = load::boot_many(&client, &image, flavor, options.servers, options.clients).await?;
    column.rate(&format!("boots per second, {} clients, {MANY_HOSTS} hosts", options.clients), ids.len(), took);
    load::delete_all(&client, &ids).await?;
    cloud.stop().await?;

    eprintln!("{}: memory at rest", shape.name());
    let hosts = if matches!(shape, Shape::Embedded) { FEW_HOSTS } else { MEMORY_HOSTS };
    let mut cloud = Deployment::start_with_processes(shape, hosts, hosts).await?;
    column.memory(&format!("resident memory at rest, {hosts} hosts"), &cloud.memory()?);
    cloud.stop().await?;
    if column.is_empty() {
        bail!("nothing was measured");
    }
    Ok(column)
}
