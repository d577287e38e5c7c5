//! `novella watch`: servers, hosts and long tasks as they happen: on a terminal as a full-screen program, elsewhere a line for
//! each change.
//!
//! Both follow the stream of events, as any client could: they read the lists once, and then what changes. A stream that
//! breaks is taken up again from its last event.

mod bars;
mod full_screen;
mod lines;

use std::{
    io::{IsTerminal, stdin, stdout},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    GlobalOptions,
    client::{Client, Credentials},
};

/// How often an API that does not answer is asked again.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a script waits for an API that does not answer any more. A person waits for as long as they like.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct WatchOptions {
    /// A server's id or name: its changes alone, a line for each
    server: Option<String>,
    /// End when nothing is under way: with exit status 1 if a server or a migration has ended in ERROR. A line for each
    /// change
    #[arg(long)]
    until_idle: bool,
    /// Print a line for each change, as where there is no terminal, instead of filling the screen
    #[arg(long)]
    lines: bool,
}

impl WatchOptions {
    /// Whether somebody looks at a screen that can be filled.
    fn fills_the_screen(&self) -> bool {
        let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal.is_empty() || terminal == "dumb");
        let asked_for_lines = self.lines || self.until_idle || self.server.is_some();
        !asked_for_lines && !dumb && stdin().is_terminal() && stdout().is_terminal()
    }
}

pub(crate) async fn run(global: &GlobalOptions, options: WatchOptions) -> Result<()> {
    if options.fills_the_screen() {
        return full_screen::watch(global).await;
    }
    let interrupted = tokio::signal::ctrl_c();
    tokio::select! {
        _ = interrupted => Ok(()),
        ended = lines::watch(global, &options) => ended,
    }
}

/// Signs in again: the token may have expired, or the cloud was started anew, maybe under another password.
async fn reconnect(global: &GlobalOptions, bounded: bool) -> Result<Client> {
    let begun = Instant::now();
    loop {
        // At first as well: a cloud that lets in and then refuses is not asked again and again.
        tokio::time::sleep(RECONNECT_INTERVAL).await;
        let credentials = Credentials::find(global);
        let attempt = async { Client::connect(&credentials?).await };
        match attempt.await {
            Ok(client) => return Ok(client),
            Err(error) if bounded && begun.elapsed() > RECONNECT_TIMEOUT => {
                return Err(error).context(format!("no answer for {} s", RECONNECT_TIMEOUT.as_secs()));
            }
            Err(_) => {}
        }
    }
}

/// Whether a migration goes on no more by itself. One that is `finished` waits for a person.
fn has_ended(status: &str) -> bool {
    matches!(status, "completed" | "cancelled" | "error" | "failed" | "finished" | "confirmed" | "reverted")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
