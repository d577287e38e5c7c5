//! `novella identity`: Identity alone in this process, for a Compute elsewhere, Novella's or Nova.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use clap::Args;
use novella_common::{
    db::Database,
    service::{Readiness, Shutdown, serve_management},
    telemetry,
};

use crate::{
    GlobalOptions,
    clouds::make_files_private,
    config::{Config, Flags, is_default},
    run::{figures, listener, policies, rest, signals::StopSignals},
};

/// Where Keystone is.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);
/// Where its health is served, beside that of the other services.
const MANAGEMENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8785);

#[derive(Debug, Args)]
pub(crate) struct IdentityOptions {
    /// Where Identity listens [default: api.listen if that is set, else 127.0.0.1:5000]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where /healthz, /readyz and /metrics are served [default: 127.0.0.1:8785]
    #[arg(long, value_name = "ADDR:PORT")]
    management: Option<SocketAddr>,
}

pub(crate) async fn run(global: &GlobalOptions, options: IdentityOptions) -> Result<()> {
    let mut signals = StopSignals::listen()?;
    let flags = Flags::default().set("api.listen", options.listen)?.set("management.listen", options.management)?;
    let (mut config, figment) = Config::load(global, &flags)?;
    if options.listen.is_none() && is_default(&figment, "api.listen") {
        config.api.listen = LISTEN;
    }
    if config.api.identity_url.is_some() {
        bail!("api.identity_url names an Identity elsewhere, and this process is to be one: unset it here");
    }
    telemetry::init_logging(&config.log)?;
    figures::collect()?;
    make_files_private();
    let mut policies = policies::load(&config)?;
    policies.retain(|of| of.service.kind == novella_identity::IDENTITY.kind);
    let listener = listener::open(&config).await?;
    let database = Database::connect(&config.database).await?;
    database.check_schema().await?;

    let shutdown = Shutdown::new();
    listener::reload_on_hangup(listener.tls.as_ref(), &shutdown)?;
    let address = listener.listener.local_addr()?;
    listener.serve("api", rest::identity_router(&config, &database, policies, &shutdown), &shutdown);
    let management_shutdown = Shutdown::new();
    let wanted = config.management.listen.unwrap_or(MANAGEMENT);
    let management = serve_management(wanted, Readiness::new().database(&database), &management_shutdown)
        .await
        .with_context(|| format!("can't listen on {wanted}; choose another address with --management"))?;
    tracing::info!(%address, %management, "started");

    signals.next().await;
    let grace = config.service.graceful_shutdown_timeout;
    let stop = async {
        shutdown.request();
        shutdown.finished(grace).await;
        database.close().await;
        management_shutdown.request();
        management_shutdown.finished(grace).await;
    };
    signals.finish(stop, grace).await
}
