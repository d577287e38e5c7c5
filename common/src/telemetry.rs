//! Logs and figures.
//!
//! Each line that belongs to a request is inside a span with its `request_id`: the API opens one for an HTTP request,
//! the bus library one for each message it dispatches, and whoever goes on with a request's work in a task of its own
//! [`request_span`]. They are of the level `error`, so that no filter that lets a line through leaves out its span.
//!
//! An event is one line, and no line has a character that a terminal obeys, whatever it tells of (see [`crate::printable`]).

mod fields;

use std::{
    io::{IsTerminal, stderr},
    sync::OnceLock,
    time::Duration,
};

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use metrics_util::layers::{Layer, PrefixLayer};
use tracing::Span;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use self::fields::PrintableFields;
use crate::{
    config::{LogConfig, LogFormat},
    printable::PrintableBytes,
};

/// Why logging or figures could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.filter` does not parse.
    #[error("log.filter '{filter}' is not a filter such as 'info' or 'info,novella_messaging=debug': {source}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another subscriber is already set in this process.
    #[error("logging is already set up: {0}")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
    /// Another recorder was installed first.
    #[error("figures are already collected in this process")]
    RecorderSet,
    /// The recorder for figures could not be made.
    #[error("metrics: {0}")]
    Metrics(#[from] BuildError),
}

/// Sends log lines to standard error, once for the process; with colours where that is a terminal.
///
/// # Errors
/// A filter that does not parse, or logging that is already set up.
pub fn init_logging(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|source| TelemetryError::Filter { filter: config.filter.clone(), source })?;
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        LogFormat::Text => {
            // https://no-color.org
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let colours = !plain && stderr().is_terminal();
            let lines = fmt::layer().fmt_fields(PrintableFields).with_writer(stderr).with_ansi(colours);
            registry.with(lines).try_init()?;
        }
        LogFormat::Json => {
            // JSON escapes control characters, but not all of Unicode's.
            let writer = || PrintableBytes::new(stderr());
            registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()?;
        }
    }
    Ok(())
}

/// The span for work on a request outside of its message's handler: in a task of its own, or found in the database. It
/// is nobody's child: what surrounds it may be another request's. Without an id there is none.
#[must_use]
pub fn request_span(request_id: Option<&str>) -> Span {
    match request_id {
        Some(request_id) => tracing::error_span!(parent: None, "request", request_id),
        None => Span::none(),
    }
}

static PROMETHEUS: OnceLock<PrometheusHandle> = OnceLock::new();

/// What the names of all figures begin with.
const PREFIX: &str = "novella";

/// How often what was recorded is summed up, so that it takes no memory when nobody asks for it.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Collects the process's figures, once; what is collected is shown at `/metrics`. To be called inside a runtime.
///
/// # Errors
/// Another recorder was installed first.
pub fn init_metrics() -> Result<(), TelemetryError> {
    if PROMETHEUS.get().is_some() {
        return Ok(());
    }
    let builder = PrometheusBuilder::new().set_buckets(&[
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    ])?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(PrefixLayer::new(PREFIX).layer(recorder)).map_err(|_| TelemetryError::RecorderSet)?;
    // Two threads that set up at once: the second has failed above already.
    let handle = PROMETHEUS.get_or_init(|| handle);
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            interval.tick().await;
            handle.run_upkeep();
        }
    });
    Ok(())
}

/// The process's figures in Prometheus' text form; empty if they are not collected.
#[must_use]
pub fn render_metrics() -> String {
    PROMETHEUS
        .get()
        .map(|handle| {
            handle.run_upkeep();
            handle.render()
        })
        .unwrap_or_default()
}
