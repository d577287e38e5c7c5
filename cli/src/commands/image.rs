//! `novella image`: the Image API alone, on the database and the store of a cloud. It needs no bus.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use clap::Args;
use novella_api::ApiListener;
use novella_common::{
    db::Database,
    service::{Plain, Readiness, Shutdown, serve_http, serve_management},
    telemetry,
};
use novella_image::Store;

use crate::{
    GlobalOptions,
    clouds::{CloudFolder, make_files_private},
    config::{Config, Flags, is_default},
    run::{figures, listener, rest, signals::StopSignals},
};

/// Where it listens if nobody says: Glance's port.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9292);
/// Where its management address is if nobody says.
const MANAGEMENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8785);

#[derive(Debug, Args)]
pub(crate) struct ImageOptions {
    /// Where the API listens [default: 127.0.0.1:9292]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where /healthz, /readyz and /metrics are served [default: 127.0.0.1:8785]
    #[arg(long, value_name = "ADDR:PORT")]
    management: Option<SocketAddr>,
}

pub(crate) async fn run(global: &GlobalOptions, options: ImageOptions) -> Result<()> {
    let mut signals = StopSignals::listen()?;
    let flags = Flags::default().set("api.listen", options.listen)?.set("management.listen", options.management)?;
    let (mut config, figment) = Config::load(global, &flags)?;
    if options.listen.is_none() && is_default(&figment, "api.listen") {
        config.api.listen = LISTEN;
    }
    telemetry::init_logging(&config.log)?;
    figures::collect()?;
    make_files_private();
    let ApiListener { listener, limits, tls } = listener::open(&config).await?;
    let shutdown = Shutdown::new();
    listener::reload_on_hangup(tls.as_ref(), &shutdown)?;
    let database = Database::connect(&config.database).await?;
    database.check_schema().await?;
    let store = Store::open(&config.image, &CloudFolder::find(global)?.images())?;
    let router = rest::image_alone(&config, &database, store, &shutdown);
    let address = listener.local_addr()?;
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        match tls {
            Some(tls) => serve_http("api", listener, router, tls, limits, &stop).await,
            None => serve_http("api", listener, router, Plain, limits, &stop).await,
        }
    });
    let management_shutdown = Shutdown::new();
    let wanted = config.management.listen.unwrap_or(MANAGEMENT);
    let readiness = Readiness::new().database(&database);
    let management = serve_management(wanted, readiness, &management_shutdown)
        .await
        .with_context(|| format!("can't listen on {wanted}; choose another address with --management"))?;
    tracing::info!(%address, %management, "the Image API answers");
    signals.next().await;
    let grace = config.service.graceful_shutdown_timeout;
    let stop_all = async {
        shutdown.request();
        shutdown.finished(grace).await;
        database.close().await;
        management_shutdown.request();
        management_shutdown.finished(grace).await;
    };
    signals.finish(stop_all, grace).await
}
