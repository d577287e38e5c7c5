//! `novella identity`, `novella image`, `novella network`: one component alone in this process, on the database of a cloud,
//! for a Compute elsewhere, Novella's or Nova. It needs no bus.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use clap::Args;
use novella_common::{
    db::Database,
    service::{Grace, Readiness, Shutdown, serve_management},
    telemetry,
};

use crate::{
    GlobalOptions,
    clouds::{CloudFolder, make_files_private},
    config::{Config, Flags, is_default},
    run::{
        figures, listener, policies,
        rest::{self, Component},
        signals::StopSignals,
    },
};

#[derive(Debug, Args)]
pub(crate) struct ComponentOptions {
    /// Where the API listens [default: api.listen if that is set, else 127.0.0.1, port 5000 for Identity, 9292 for Image,
    /// 9696 for Networking]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where /healthz, /readyz and /metrics are served [default: 127.0.0.1, port 8785 for Identity, 8786 for Image, 8787
    /// for Networking]
    #[arg(long, value_name = "ADDR:PORT")]
    management: Option<SocketAddr>,
}

/// Where OpenStack has it, and where its health is served beside that of the other services.
fn ports(component: Component) -> (u16, u16) {
    match component {
        Component::Identity => (5000, 8785),
        Component::Image => (9292, 8786),
        Component::Network => (9696, 8787),
    }
}

pub(crate) async fn run(global: &GlobalOptions, component: Component, options: ComponentOptions) -> Result<()> {
    let mut signals = StopSignals::listen()?;
    let flags = Flags::default().set("api.listen", options.listen)?.set("management.listen", options.management)?;
    let (mut config, figment) = Config::load(global, &flags)?;
    let (port, management_port) = ports(component);
    let here = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    if options.listen.is_none() && is_default(&figment, "api.listen") {
        config.api.listen = here(port);
    }
    if matches!(component, Component::Identity) && config.api.identity_url.is_some() {
        bail!("api.identity_url names an Identity elsewhere, and this process is to be one: unset it here");
    }
    telemetry::init_logging(&config.log)?;
    figures::collect()?;
    make_files_private();
    let mut policies = policies::load(&config)?;
    policies.retain(|of| of.service.kind == component.service().kind);
    let listener = listener::open(&config).await?;
    let database = Database::connect(&config.database).await?;
    database.check_schema().await?;

    let shutdown = Shutdown::new();
    listener::reload_on_hangup(listener.tls.as_ref(), &shutdown)?;
    let address = listener.listener.local_addr()?;
    let images = CloudFolder::find(global)?.images();
    let router = rest::router_of(component, &config, &database, &images, policies, &shutdown)?;
    listener.serve("api", router, &shutdown);
    let management_shutdown = Shutdown::new();
    let wanted = config.management.listen.unwrap_or(here(management_port));
    let management = serve_management(wanted, Readiness::new().database(&database), &management_shutdown)
        .await
        .with_context(|| format!("can't listen on {wanted}; choose another address with --management"))?;
    tracing::info!(%address, %management, "started");

    signals.next().await;
    let grace = config.service.graceful_shutdown_timeout;
    let shared = Grace::begin(grace);
    let stop = async {
        shutdown.request();
        shutdown.finished(shared.left()).await;
        database.close().await;
        management_shutdown.request();
        management_shutdown.finished(shared.left()).await;
    };
    signals.finish(stop, grace).await
}
