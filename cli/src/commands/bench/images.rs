//! `--images`: how fast an image comes and goes, beside a plain copy of as many bytes through a socket into a file and out of
//! it, and how much more memory the API holds at its peak.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    deployment::{Deployment, on_new_cloud},
    environment::Shape,
    memory::{Memory, forget_peak, peak},
    report::Column,
};

const MIB: usize = 1 << 20;

#[allow(clippy::print_stderr, reason = "progress of a long command")]
pub(super) async fn measure(shape: &Shape, mib: usize, column: &mut Column) -> Result<()> {
    on_new_cloud(shape, 1, 1, async |cloud| {
        let client = cloud.client().await?;
        eprintln!("{}: {mib} MiB through a socket into a file and out of it, up and down", shape.name());
        let file = cloud.folder().join("plain");
        let floor = (into_file(&file, mib).await?, out_of_file(&file, mib).await?);
        tokio::fs::remove_file(&file).await?;
        column.rate("MiB/s, through a socket into a file", mib, floor.0);
        column.rate("MiB/s, out of the file through a socket", mib, floor.1);
        let image = new_image(cloud, client.token()).await?;
        let head = |method: &str, more: &str| {
            let (host, token) = (cloud.endpoint.trim_start_matches("http://"), client.token());
            format!(
                "{method} /image/v2/images/{image}/file HTTP/1.1\r\nHost: {host}\r\nX-Auth-Token: {token}\r\n{more}\
                 Connection: close\r\n\r\n"
            )
        };
        let form = "Content-Type: application/octet-stream\r\n";
        let upload = head("PUT", &format!("{form}Content-Length: {}\r\n", mib * MIB));
        let api = cloud.api()?;
        let began = Memory::of("api", api)?.rss;
        forget_peak(api)?;
        let took = send(cloud, &upload, mib, "204").await?;
        column.rate("MiB/s, PUT /images/ID/file", mib, took);
        column.share("upload, of the plain copy", took, floor.0);
        column.growth("resident memory of the API at its peak, beyond that before, upload", began, peak(api)?);
        let began = Memory::of("api", api)?.rss;
        forget_peak(api)?;
        let took = send(cloud, &head("GET", ""), 0, "200").await?;
        column.rate("MiB/s, GET /images/ID/file", mib, took);
        column.share("download, of the plain copy", took, floor.1);
        column.growth("resident memory of the API at its peak, beyond that before, download", began, peak(api)?);
        Ok(())
    })
    .await
}

/// Two ends of a connection on this machine.
async fn connection() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
    Ok((near?, far?.0))
}

/// How long it takes until so much that is written to a socket is in a file at its other end, and on the disk.
async fn into_file(path: &Path, mib: usize) -> Result<Duration> {
    let (mut near, mut far) = connection().await?;
    let mut file = File::create(path).await?;
    let begun = Instant::now();
    let reader = tokio::spawn(async move {
        file.set_max_buf_size(MIB);
        let mut piece = vec![0; MIB];
        loop {
            match far.read(&mut piece).await? {
                0 => break,
                read => file.write_all(&piece[..read]).await?,
            }
        }
        file.sync_all().await
    });
    let piece = vec![7; MIB];
    for _ in 0..mib {
        near.write_all(&piece).await?;
    }
    near.shutdown().await?;
    reader.await??;
    Ok(begun.elapsed())
}

/// How long it takes to read so much from a file through a socket.
async fn out_of_file(path: &Path, mib: usize) -> Result<Duration> {
    let (mut near, mut far) = connection().await?;
    let mut file = File::open(path).await?;
    let begun = Instant::now();
    let writer = tokio::spawn(async move {
        file.set_max_buf_size(MIB);
        let mut piece = vec![0; MIB];
        loop {
            match file.read(&mut piece).await? {
                0 => break,
                read => far.write_all(&piece[..read]).await?,
            }
        }
        far.shutdown().await
    });
    let (_, read) = drain(&mut near).await?;
    writer.await??;
    if read != mib * MIB {
        bail!("{read} bytes came out of a file of {mib} MiB");
    }
    Ok(begun.elapsed())
}

/// Reads to the end: the first bytes, and how many there were.
async fn drain(stream: &mut TcpStream) -> Result<(Vec<u8>, usize)> {
    let (mut piece, mut first, mut all) = (vec![0; MIB], Vec::new(), 0);
    loop {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok((first, all));
        }
        if first.is_empty() {
            first.extend_from_slice(&piece[..read.min(64)]);
        }
        all += read;
    }
}

/// A record without bytes.
async fn new_image(cloud: &Deployment, token: &str) -> Result<String> {
    let body = json!({"name": "bench", "disk_format": "raw", "container_format": "bare"});
    let request = reqwest::Client::new().post(format!("{}/image/v2/images", cloud.endpoint)).json(&body);
    let image: Value = request.header("X-Auth-Token", token).send().await?.error_for_status()?.json().await?;
    Ok(image["id"].as_str().context("an image without an id")?.to_owned())
}

/// Sends a head and so many MiB, and reads the answer to its end.
async fn send(cloud: &Deployment, head: &str, mib: usize, status: &str) -> Result<Duration> {
    let mut stream = TcpStream::connect(cloud.endpoint.trim_start_matches("http://")).await?;
    let piece = vec![7; MIB];
    let begun = Instant::now();
    stream.write_all(head.as_bytes()).await?;
    for _ in 0..mib {
        stream.write_all(&piece).await?;
    }
    let answer = String::from_utf8_lossy(&drain(&mut stream).await?.0).into_owned();
    if !answer.starts_with(&format!("HTTP/1.1 {status}")) {
        bail!("an image was answered with {}", answer.lines().next().unwrap_or_default());
    }
    Ok(begun.elapsed())
}
