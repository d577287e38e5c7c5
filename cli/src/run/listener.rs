//! Where the API is reached: its address, how many may connect, TLS.

use anyhow::{Context, Result, bail};
use novella_api::{ApiListener, TlsConfig};
use novella_common::service::Shutdown;
use novella_rest::Tls;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::config::Config;

/// The most connections if nobody says how many.
const DEFAULT_MOST: usize = 4096;

/// What counts as the limit of a system that has none.
const ENDLESS: u64 = 1 << 20;

/// Listens where the configuration says, until then without answering.
///
/// # Errors
/// The address is taken, a file of `api.tls` can't be used, or there are to be more connections than open files.
pub(crate) async fn open(config: &Config) -> Result<ApiListener> {
    let files = raise_file_limit();
    let max_connections = match config.api.max_connections {
        Some(wanted) if wanted >= files => bail!(
            "api.max_connections is {wanted}, but this process may open no more than {files} files: set it lower, or raise \
             the limit (`ulimit -n`, LimitNOFILE= of systemd)"
        ),
        Some(0) => bail!("api.max_connections is 0: nobody could connect"),
        Some(wanted) => wanted,
        None => (files / 4 * 3).min(DEFAULT_MOST),
    };
    let tls = tls(&config.api.tls)?;
    let listener = TcpListener::bind(config.api.listen)
        .await
        .with_context(|| format!("can't listen on {}; choose another address with --listen", config.api.listen))?;
    Ok(ApiListener { listener, limits: config.api.connection_limits(max_connections), tls })
}

fn tls(config: &TlsConfig) -> Result<Option<Tls>> {
    match (&config.certificate, &config.key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(Tls::read(certificate, key).context("api.tls")?)),
        (Some(_), None) => bail!("api.tls.certificate is set and api.tls.key is not: TLS needs both"),
        (None, Some(_)) => bail!("api.tls.key is set and api.tls.certificate is not: TLS needs both"),
    }
}

/// Reads certificate and key again whenever SIGHUP comes.
///
/// # Errors
/// The signal can't be listened to.
pub(crate) fn reload_on_hangup(tls: Option<&Tls>, shutdown: &Shutdown) -> Result<()> {
    let Some(tls) = tls.cloned() else { return Ok(()) };
    let mut hangups = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        loop {
            tokio::select! {
                () = stop.requested() => return,
                _ = hangups.recv() => match tls.reload() {
                    Ok(()) => tracing::info!("certificate and key of the API were read again"),
                    Err(error) => tracing::error!("certificate and key of the API stay as they were: api.tls: {error}"),
                },
            }
        }
    });
    Ok(())
}

/// Raises the limit of open files as far as this process may, and says how far that is. The usual one of 1,024 is there for
/// programs that use select(2), which this is not.
pub(crate) fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(ENDLESS);
    let soft = limit.current.unwrap_or(ENDLESS);
    let mut granted = soft;
    if soft < hard {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(hard), maximum: limit.maximum }) {
            Ok(()) => granted = hard,
            Err(error) => tracing::warn!(%error, soft, hard, "the limit of open files stays as it is"),
        }
    }
    usize::try_from(granted).unwrap_or(usize::MAX)
}
