//! `--images`: how fast an image comes and goes, beside a plain copy through a socket of the same machine, and how much
//! memory the processes hold meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    deployment::{Deployment, on_new_cloud},
    environment::Shape,
    report::Column,
};

const MIB: usize = 1 << 20;

#[allow(clippy::print_stderr, reason = "progress of a long command")]
pub(super) async fn measure(shape: &Shape, mib: usize, column: &mut Column) -> Result<()> {
    on_new_cloud(shape, 1, 1, async |cloud| {
        let client = cloud.client().await?;
        column.memory("memory before (private / resident)", &cloud.memory()?);
        eprintln!("{}: {mib} MiB through a socket, up and down", shape.name());
        column.rate("MiB/s, copied through a socket", mib, socket(mib).await?);
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
        column.rate("MiB/s, PUT /images/ID/file", mib, send(cloud, &upload, mib, "204").await?);
        column.memory("memory after it (private / resident)", &cloud.memory()?);
        column.rate("MiB/s, GET /images/ID/file", mib, send(cloud, &head("GET", ""), 0, "200").await?);
        column.memory("memory after that (private / resident)", &cloud.memory()?);
        Ok(())
    })
    .await
}

/// How long it takes to write so much to a socket whose other end reads it.
async fn socket(mib: usize) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let reader = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        drain(&mut stream).await
    });
    let mut stream = TcpStream::connect(address).await?;
    let piece = vec![7; MIB];
    let begun = Instant::now();
    for _ in 0..mib {
        stream.write_all(&piece).await?;
    }
    stream.shutdown().await?;
    reader.await??;
    Ok(begun.elapsed())
}

/// Reads to the end. The first bytes.
async fn drain(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let (mut piece, mut first) = (vec![0; MIB], Vec::new());
    loop {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(first);
        }
        if first.is_empty() {
            first.extend_from_slice(&piece[..read.min(64)]);
        }
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
    let answer = String::from_utf8_lossy(&drain(&mut stream).await?).into_owned();
    if !answer.starts_with(&format!("HTTP/1.1 {status}")) {
        bail!("an image was answered with {}", answer.lines().next().unwrap_or_default());
    }
    Ok(begun.elapsed())
}
