//! `--streams`: what creates cost while many follow the stream of events, as browsers do, and what they cost in memory.
//!
//! One in ten does not read what it is sent. The others read it and do not understand it, so that they take as little as can
//! be of the machine that is measured. Without streams, with them, and without again: what differs between the first and the
//! last is the measurement's own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::task::JoinSet;

use super::{
    BenchOptions,
    deployment::{Deployment, on_new_cloud},
    environment::Shape,
    load,
    report::Column,
};
use crate::run::listener::raise_file_limit;

const HOSTS: usize = 3;

/// Of so many streams one does not read.
const ONE_SLOW_IN: usize = 10;

/// How long the cloud rests before each part.
const REST: Duration = Duration::from_secs(2);

#[allow(clippy::print_stderr, reason = "progress of a long command")]
pub(super) async fn measure(shape: &Shape, streams: usize, options: &BenchOptions, column: &mut Column) -> Result<()> {
    raise_file_limit();
    on_new_cloud(shape, HOSTS, 1, async |cloud| {
        for (followed, when) in
            [(0, "before".to_owned()), (streams, format!("{streams} streams")), (0, "after".to_owned())]
        {
            eprintln!("{}: creates, {when}", shape.name());
            part(cloud, followed, &when, options, column).await?;
        }
        Ok(())
    })
    .await
}

async fn part(
    cloud: &Deployment,
    streams: usize,
    when: &str,
    options: &BenchOptions,
    column: &mut Column,
) -> Result<()> {
    tokio::time::sleep(REST).await;
    let client = cloud.client().await?;
    let told = Arc::new(AtomicU64::new(0));
    // They end with this.
    let (mut readers, mut slow) = (JoinSet::new(), Vec::new());
    for number in 0..streams {
        // Each on a connection of its own, as browsers are.
        let mut stream = client.events(None).await?;
        if number.is_multiple_of(ONE_SLOW_IN) {
            slow.push(stream);
            continue;
        }
        let told = Arc::clone(&told);
        readers.spawn(async move {
            while let Ok(bytes) = stream.read_on().await {
                told.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
    }
    let template = load::Template::find(&client).await?;
    let begun = Instant::now();
    let samples = load::boot_sequentially(&client, &template, options.samples).await?;
    column.percentiles(&format!("POST /servers to 202, {when}"), &samples.accepted);
    column.percentiles(&format!("POST /servers to ACTIVE, {when}"), &samples.active);
    let (ids, took) = load::boot_many(&client, &template, options.servers, options.clients).await?;
    column.rate(&format!("boots per second, {} clients, {when}", options.clients), ids.len(), took);
    column.memory(&format!("memory, {when}: private / resident"), &cloud.memory()?);
    if streams > 0 {
        let each = told.load(Ordering::Relaxed) / u64::try_from(readers.len().max(1)).unwrap_or(1);
        let seconds = begun.elapsed().as_secs();
        column.count(
            &format!("streams that go on after {seconds} s, each told {} KiB", each / 1024),
            readers.len() + slow.len(),
            streams,
        );
    }
    readers.shutdown().await;
    drop(slow);
    load::delete_all(&client, &[samples.ids, ids].concat()).await
}
