//! `novella bench`: what this program does on this machine, measured from outside as a client sees it.
//!
//! Starts clouds of its own (real processes of this same binary), loads them through the REST API, and prints one
//! table. Always the embedded cloud; also services apart on a broker and a database server, where both are named by
//! `NOVELLA_BUS__URL` (with `NOVELLA_BUS__MANAGEMENT_URL`) and `NOVELLA_DATABASE__URL`. Each cloud has a virtual host and
//! a database of its own there, created before it and deleted after it.

mod deployment;
mod environment;
mod hostile;
mod images;
mod latency;
mod load;
mod memory;
mod report;
mod scale;
mod streams;
mod tokens;

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    GlobalOptions,
    config::{Config, Flags},
    output,
};
use environment::Shape;
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
    /// With how many compute hosts to measure throughput, lists and memory
    #[arg(long, value_delimiter = ',', default_values_t = [3, 100], value_name = "N,...")]
    hosts: Vec<usize>,
    /// How many servers there are already when that is measured
    #[arg(long, value_delimiter = ',', default_values_t = [0], value_name = "N,...")]
    servers_before: Vec<usize>,
    /// Leave out the latencies and live migrations of a small cloud: measure only what --hosts and --servers-before say
    #[arg(long)]
    scale_only: bool,
    /// Measure healthy clients beside clients that try to stop the cloud, and nothing else
    #[arg(long, conflicts_with = "scale_only")]
    hostile: bool,
    /// Measure the upload and the download of an image of so many MiB beside a copy through a socket, and nothing else
    #[arg(long, value_name = "MIB", num_args = 0..=1, default_missing_value = "4096", conflicts_with_all = ["scale_only", "hostile"])]
    images: Option<usize>,
    /// Measure creates while so many follow the stream of events, as browsers do, beside creates that nobody follows, and
    /// nothing else
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "500",
          value_parser = clap::value_parser!(u16).range(1..=512), conflicts_with_all = ["scale_only", "hostile", "images"])]
    streams: Option<u16>,
    /// Measure only the embedded cloud, also where a broker and a database are named
    #[arg(long, conflicts_with = "apart")]
    embedded: bool,
    /// Measure only services apart
    #[arg(long)]
    apart: bool,
}

const HOW_TO_NAME_SERVERS: &str = "Set NOVELLA_BUS__URL=amqp://..., NOVELLA_BUS__MANAGEMENT_URL=http://... and \
     NOVELLA_DATABASE__URL=postgres://... to measure services apart.";

#[allow(clippy::print_stderr, reason = "progress of a long command")]
pub(crate) async fn run(global: &GlobalOptions, options: BenchOptions) -> Result<()> {
    let (config, _) = Config::load(global, &Flags::default())?;
    let mut shapes = Vec::new();
    if !options.apart {
        shapes.push(Shape::Embedded);
    }
    if !options.embedded {
        match Shape::apart(&config)? {
            Some(apart) => shapes.push(apart),
            None if options.apart => bail!("{HOW_TO_NAME_SERVERS}"),
            None => eprintln!("{HOW_TO_NAME_SERVERS}"),
        }
    }
    let mut columns = Vec::new();
    for shape in &shapes {
        let mut column = Column::new(shape.name());
        if options.hostile {
            hostile::measure(shape, &mut column).await?;
        } else if let Some(mib) = options.images {
            images::measure(shape, mib, &mut column).await?;
        } else if let Some(streams) = options.streams {
            streams::measure(shape, usize::from(streams), &options, &mut column).await?;
        } else {
            if !options.scale_only {
                latency::measure(shape, &options, &mut column).await?;
            }
            scale::measure(shape, &options, &mut column).await?;
        }
        if column.is_empty() {
            bail!("nothing was measured");
        }
        columns.push(column);
    }
    output::print(&format!("{}\n{}", report::machine()?, report::table(&columns)))
}
