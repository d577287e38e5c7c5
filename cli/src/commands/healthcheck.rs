//! `novella healthcheck`: for container health checks, where no other HTTP client is at hand.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct HealthcheckOptions {
    /// Such as http://127.0.0.1:8774/readyz
    url: String,
    /// Seconds to wait for the answer
    #[arg(long, default_value_t = 5)]
    timeout: u64,
}

pub(crate) async fn run(options: &HealthcheckOptions) -> Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(options.timeout)).build()?;
    let response = client.get(&options.url).send().await.with_context(|| format!("no answer from {}", options.url))?;
    let status = response.status();
    if !status.is_success() {
        bail!("{} answers {status}: {}", options.url, response.text().await.unwrap_or_default());
    }
    Ok(())
}
