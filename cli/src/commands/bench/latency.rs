//! A small cloud: how long things take, live migrations, and memory.

use std::time::Duration;

use anyhow::Result;

use super::{BenchOptions, deployment::on_new_cloud, environment::Shape, load, report::Column, tokens};

const HOSTS: usize = 3;
/// The number of compute processes whose memory at rest is measured.
const MEMORY_PROCESSES: usize = 8;
/// How long after the start a cloud is at rest.
const REST: Duration = Duration::from_secs(5);
/// How many servers the list holds that is timed.
const LISTED: usize = 1000;

#[allow(clippy::print_stderr, reason = "progress of a long command")]
pub(super) async fn measure(shape: &Shape, options: &BenchOptions, column: &mut Column) -> Result<()> {
    eprintln!("{}: start, latencies, live migrations with {HOSTS} hosts", shape.name());
    on_new_cloud(shape, HOSTS, 1, async |cloud| {
        column.duration("process start to API ready", cloud.ready_after);
        let client = cloud.client().await?;
        let template = load::Template::find(&client).await?;
        let first = load::boot_one(&client, &template).await?;
        column.duration("process start to first server ACTIVE", cloud.started.elapsed());
        load::delete_all(&client, &[first.id]).await?;

        tokens::measure(cloud, client.token(), column).await?;
        let samples = load::boot_sequentially(&client, &template, options.samples).await?;
        column.percentiles("POST /servers to 202", &samples.accepted);
        column.percentiles("POST /servers to ACTIVE", &samples.active);
        load::delete_all(&client, &samples.ids).await?;

        let (ids, _) = load::boot_many(&client, &template, options.servers, options.clients).await?;
        let listed = LISTED.min(ids.len());
        let detail = load::time_list(&client, listed, 50).await?;
        column.percentiles(&format!("GET /servers/detail, {listed} servers"), &detail);
        let detail = load::time_list(&client, 200.min(ids.len()), 100).await?;
        column.percentiles("GET /servers/detail, 200 servers", &detail);
        let (requests, took) = load::list_rate(&client, listed, 8, Duration::from_secs(3)).await?;
        column.rate(&format!("GET /servers/detail per second, {listed} servers, 8 clients"), requests, took);

        let moving = &ids[..options.migrations.min(ids.len())];
        let took = load::migrate_all(&client, moving).await?;
        column.rate(&format!("live migrations per second, {} at once", moving.len()), moving.len(), took);
        load::delete_all(&client, &ids).await?;
        column.memory(&format!("memory, {HOSTS} hosts, after the load: private / resident"), &cloud.memory()?);
        Ok(())
    })
    .await?;

    eprintln!("{}: memory at rest", shape.name());
    let processes = if matches!(shape, Shape::Embedded) { HOSTS } else { MEMORY_PROCESSES };
    on_new_cloud(shape, processes, processes, async |cloud| {
        // What the start has needed goes back to the system a second after it was freed.
        tokio::time::sleep(REST).await;
        column.memory(&format!("memory at rest, {processes} hosts: private / resident"), &cloud.memory()?);
        Ok(())
    })
    .await
}
