//! The same load on clouds of different sizes: what the number of hosts costs, and of servers that are there already.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use super::{
    BenchOptions,
    deployment::{Deployment, on_new_cloud},
    environment::Shape,
    load,
    memory::Memory,
    report::Column,
};

/// How many servers the list holds that is timed: the longest page that the API gives.
const LISTED: usize = 1000;

/// What was measured of one cloud.
struct Scale {
    /// Such as `100 hosts, 0 servers before`.
    size: String,
    up_after: Duration,
    booted: (usize, Duration),
    decision: Histogram<u64>,
    active: Histogram<u64>,
    list: Histogram<u64>,
    booted_with_ports: (usize, Duration),
    ports: Histogram<u64>,
    memory: Vec<Memory>,
}

#[allow(clippy::print_stderr, reason = "progress of a long command")]
pub(super) async fn measure(shape: &Shape, options: &BenchOptions, column: &mut Column) -> Result<()> {
    let mut measured = Vec::new();
    for before in &options.servers_before {
        for hosts in &options.hosts {
            let size = format!("{hosts} hosts, {before} servers before");
            eprintln!("{}: {size}", shape.name());
            measured.push(on_new_cloud(shape, *hosts, 1, async |cloud| of(cloud, size, *before, options).await).await?);
        }
    }
    // By what is measured, so that one sees how it grows.
    for scale in &measured {
        column.duration(&format!("process start to all hosts up, {}", scale.size), scale.up_after);
    }
    for scale in &measured {
        let (servers, took) = scale.booted;
        column.rate(&format!("boots per second, {} clients, {}", options.clients, scale.size), servers, took);
    }
    for scale in &measured {
        let (servers, took) = scale.booted_with_ports;
        let size = format!("with one port each, {} clients, {}", options.clients, scale.size);
        column.rate(&format!("boots per second {size}"), servers, took);
    }
    for scale in &measured {
        column.percentiles(&format!("POST /servers to its host decided, {}", scale.size), &scale.decision);
    }
    for scale in &measured {
        column.percentiles(&format!("POST /servers to ACTIVE, {}", scale.size), &scale.active);
    }
    for scale in &measured {
        column.percentiles(&format!("GET /servers/detail, a page of {LISTED}, {}", scale.size), &scale.list);
    }
    for scale in &measured {
        let listed = options.servers.min(LISTED);
        column.percentiles(&format!("GET /v2.0/ports, {listed} ports, {}", scale.size), &scale.ports);
    }
    for scale in &measured {
        column.memory(&format!("memory, {}: private / resident", scale.size), &scale.memory);
    }
    Ok(())
}

async fn of(cloud: &Deployment, size: String, before: usize, options: &BenchOptions) -> Result<Scale> {
    let client = cloud.client().await?;
    let template = load::Template::find(&client).await?;
    if before > 0 {
        load::boot_many(&client, &template, before, options.clients).await?;
    }
    let samples = load::boot_sequentially(&client, &template, options.samples).await?;
    let (ids, took) = load::boot_many(&client, &template, options.servers, options.clients).await?;
    let list = load::time_list(&client, LISTED, 50).await?;
    let template = template.with_port();
    let (with_ports, took_with_ports) = load::boot_many(&client, &template, options.servers, options.clients).await?;
    let ports = load::time_ports(&client, with_ports.len().min(LISTED), 50).await?;
    Ok(Scale {
        size,
        up_after: cloud.up_after,
        booted: (ids.len(), took),
        decision: samples.decided,
        active: samples.active,
        list,
        booted_with_ports: (with_ports.len(), took_with_ports),
        ports,
        memory: cloud.memory()?,
    })
}
