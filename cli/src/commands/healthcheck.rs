//! `novella healthcheck`: for container health checks, where no other HTTP client is at hand.

use std::time::Duration;

use anyhow::{Result, bail};
use axum::http::Method;
use clap::Args;
use novella_common::config::SecretUrl;
use novella_rest::HttpClient;

use crate::{
    GlobalOptions,
    client::{explained, uri, verify_here},
};

#[derive(Debug, Args)]
pub(crate) struct HealthcheckOptions {
    /// Such as http://127.0.0.1:8774/readyz; with https, OS_CACERT or --insecure says whom to believe
    url: String,
    /// Seconds to wait for the answer
    #[arg(long, default_value_t = 5)]
    timeout: u64,
}

pub(crate) async fn run(global: &GlobalOptions, options: &HealthcheckOptions) -> Result<()> {
    let shown = SecretUrl::new(&options.url);
    let client = HttpClient::new(&options.url, &verify_here(global), Duration::from_secs(options.timeout))?;
    let answer = client.send(Method::GET, uri(&options.url)?, Vec::new(), None).await;
    let answer = answer.map_err(|error| explained(&shown, error, format!("no answer from {shown}")))?;
    if !answer.status.is_success() {
        bail!("{shown} answers {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}
