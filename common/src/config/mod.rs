//! Configuration: the sections that several services share, and how they are put together.
//!
//! Sources, each overriding the one before: defaults, a TOML file, variables `NOVELLA_SECTION__KEY`, flags. Each
//! service's own section lives in its own crate; the command line puts all of them into one struct.

mod error;
pub mod seconds;
mod secret;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Env, Format, Serialized},
    value::{Dict, Map},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use error::ConfigError;
pub use secret::{Secret, SecretUrl};

/// The format of the configuration file.
struct Toml;

impl Format for Toml {
    type Error = toml::de::Error;

    const NAME: &'static str = "TOML";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Self::Error> {
        toml::from_str(text)
    }
}

/// The sources of a configuration of type `T`, lowest first. Flags are joined on top by the caller.
#[must_use]
pub fn sources<T: Serialize + Default>(file: Option<&Path>) -> Figment {
    let mut figment = Figment::from(Serialized::defaults(T::default()));
    if let Some(path) = file {
        // `file_exact`: a file that was named and is not there is an error, not a default.
        figment = figment.merge(Toml::file_exact(path));
    }
    // Without `__` there are few names, and others may begin so by chance: Kubernetes sets NOVELLA_SERVICE_HOST and its
    // like where there is a Service `novella`.
    let top_level = top_level_keys::<T>();
    let is_key = move |name: &figment::value::UncasedStr| {
        name.as_str().contains("__") || top_level.iter().any(|key| name == key.as_str())
    };
    let rust_log = Env::raw().only(&[RUST_LOG]).map(|_| "log.filter".into());
    figment.merge(Env::prefixed("NOVELLA_").filter(is_key).split("__")).merge(Named(RUST_LOG, rust_log))
}

/// The variable that sets `log.filter`, as it does in other programs. It overrides `NOVELLA_LOG__FILTER`.
pub const RUST_LOG: &str = "RUST_LOG";

/// The variable that sets `key`.
#[must_use]
pub fn variable(key: &str) -> String {
    format!("NOVELLA_{}", key.to_uppercase().replace('.', "__"))
}

/// Keys that are in no section.
fn top_level_keys<T: Serialize + Default>() -> Vec<String> {
    all_keys::<T>().into_iter().filter(|key| !key.contains('.')).collect()
}

/// A source with a name of its own, by which an error or `novella config` tells it.
struct Named<P>(&'static str, P);

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.1.data()
    }
}

/// The configuration that `figment` amounts to.
///
/// # Errors
/// The first key that is unknown or has a value of the wrong type.
pub fn extract<T: DeserializeOwned + Serialize + Default>(figment: &Figment) -> Result<T, ConfigError> {
    figment.extract().map_err(|error| ConfigError::new(&error, &all_keys::<T>()))
}

/// Variables that are probably meant to set a key and don't: each with the one that would.
#[must_use]
pub fn misspelt_variables<T: Serialize + Default>() -> Vec<(String, String)> {
    let keys = all_keys::<T>();
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unused = names.filter(|name| name.starts_with("NOVELLA_") && !name.contains("__"));
    let misspelt = unused.filter_map(|name| {
        let key = name.trim_start_matches("NOVELLA_").to_lowercase();
        let meant = error::nearest(&key.replace('_', "."), &keys).or_else(|| error::nearest(&key, &keys))?;
        (key != meant).then(|| (name, variable(meant)))
    });
    misspelt.collect()
}

/// Every key, with the names of its sections.
fn all_keys<T: Serialize + Default>() -> Vec<String> {
    fn walk(prefix: &str, value: &serde_json::Value, keys: &mut Vec<String>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if value.as_object().is_some_and(|entries| !entries.is_empty()) {
                walk(&key, value, keys);
            } else {
                keys.push(key);
            }
        }
    }
    let mut keys = Vec::new();
    walk("", &serde_json::to_value(T::default()).unwrap_or_default(), &mut keys);
    keys
}

/// `[bus]`: the message bus.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// `amqp://user:password@host:port/vhost`, or `amqps://...`; for a cluster, several `user:password@host:port` with
    /// commas between them; or `memory://` for services in one process. A `transport_url` of oslo.messaging will do.
    pub url: SecretUrl,
    /// RabbitMQ's management API, `http://user:password@host:15672`, from which `novella bus` learns what AMQP does not
    /// tell. Without a user in it, that of `url` is taken. The services do not need it.
    pub management_url: Option<SecretUrl>,
    /// The exchange through which the services reach each other.
    pub control_exchange: String,
    /// Seconds that a call waits for its answer, unless the contract says otherwise.
    #[serde(with = "seconds")]
    pub rpc_response_timeout: Duration,
    /// Seconds that a sender waits for the broker to take a message; an answer waits for `rpc_response_timeout`.
    #[serde(with = "seconds")]
    pub publish_timeout: Duration,
    /// Seconds without a sign of life after which a connection counts as dead; an even number.
    #[serde(with = "seconds")]
    pub heartbeat_timeout_threshold: Duration,
    /// The most seconds between two attempts to reconnect.
    #[serde(with = "seconds")]
    pub rabbit_interval_max: Duration,
    /// Whether queues survive the broker's restart. All services of a virtual host must agree on this and the next four.
    pub amqp_durable_queues: bool,
    /// Whether queues go with their last user: then nothing waits for a service that is down.
    pub amqp_auto_delete: bool,
    /// Whether the services' queues are quorum queues, which several nodes of a RabbitMQ cluster hold together.
    pub rabbit_quorum_queue: bool,
    /// With quorum queues: after how many deliveries the broker drops a message. 0 is the broker's own limit, which is 20
    /// with RabbitMQ 4.0 to 4.2.
    pub rabbit_quorum_delivery_limit: u32,
    /// Whether reply and fanout queues are quorum queues too.
    pub rabbit_transient_quorum_queue: bool,
    /// Seconds that reply and fanout queues outlive their owner, so that it finds them again after a break.
    #[serde(with = "seconds")]
    pub rabbit_transient_queues_ttl: Duration,
    /// Whether servers answer pings (`novella rpc ping`).
    pub rpc_ping_enabled: bool,
    /// With TLS: the certificates (PEM file) of the authorities to trust besides the system's.
    pub ssl_ca_file: Option<PathBuf>,
    /// With TLS: this service's certificate (PEM file), for a broker that asks for one.
    pub ssl_cert_file: Option<PathBuf>,
    /// The private key (PEM file, PKCS#8) of `ssl_cert_file`.
    pub ssl_key_file: Option<PathBuf>,
    /// How often a message is delivered before it is set aside.
    pub max_deliveries: u32,
    /// The most bytes of a message. A larger one is not sent; one that comes is set aside unread, of which the beginning is
    /// kept. Reports of hosts have a limit of their own, `conductor.max_report_bytes`.
    pub max_message_bytes: usize,
}

impl Default for BusConfig {
    fn default() -> Self {
        let library = novella_messaging::TransportOptions::default();
        Self {
            url: SecretUrl::new("memory://"),
            management_url: None,
            control_exchange: "novella".into(),
            rpc_response_timeout: Duration::from_secs(60),
            publish_timeout: Duration::from_secs(5),
            heartbeat_timeout_threshold: Duration::from_secs(20),
            rabbit_interval_max: library.rabbit_interval_max,
            amqp_durable_queues: library.amqp_durable_queues,
            amqp_auto_delete: library.amqp_auto_delete,
            rabbit_quorum_queue: library.rabbit_quorum_queue,
            rabbit_quorum_delivery_limit: library.rabbit_quorum_delivery_limit,
            rabbit_transient_quorum_queue: library.rabbit_transient_quorum_queue,
            rabbit_transient_queues_ttl: library.rabbit_transient_queues_ttl,
            rpc_ping_enabled: library.rpc_ping_enabled,
            ssl_ca_file: None,
            ssl_cert_file: None,
            ssl_key_file: None,
            max_deliveries: library.max_deliveries,
            max_message_bytes: library.max_message_bytes,
        }
    }
}

impl BusConfig {
    /// The same, as the bus library wants it; `connection_name` is what the broker shows of the connection.
    #[must_use]
    pub fn transport_options(&self, connection_name: &str) -> novella_messaging::TransportOptions {
        novella_messaging::TransportOptions {
            control_exchange: self.control_exchange.clone(),
            connection_name: connection_name.to_owned(),
            rpc_response_timeout: self.rpc_response_timeout,
            publish_timeout: self.publish_timeout,
            heartbeat_timeout_threshold: self.heartbeat_timeout_threshold,
            rabbit_interval_max: self.rabbit_interval_max,
            amqp_durable_queues: self.amqp_durable_queues,
            amqp_auto_delete: self.amqp_auto_delete,
            rabbit_quorum_queue: self.rabbit_quorum_queue,
            rabbit_quorum_delivery_limit: self.rabbit_quorum_delivery_limit,
            rabbit_transient_quorum_queue: self.rabbit_transient_quorum_queue,
            rabbit_transient_queues_ttl: self.rabbit_transient_queues_ttl,
            rpc_ping_enabled: self.rpc_ping_enabled,
            ssl_ca_file: self.ssl_ca_file.clone(),
            ssl_cert_file: self.ssl_cert_file.clone(),
            ssl_key_file: self.ssl_key_file.clone(),
            max_deliveries: self.max_deliveries,
            max_message_bytes: self.max_message_bytes,
            ..Default::default()
        }
    }
}

/// `[database]`: where the state of the cloud lives.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite:///path/to/file` or `postgres://user:password@host:port/database`.
    pub url: SecretUrl,
    /// The most connections that one process opens.
    pub max_connections: u32,
    /// Seconds that a query waits for a connection before it fails.
    #[serde(with = "seconds")]
    pub acquire_timeout: Duration,
    /// PostgreSQL: seconds after which the server ends a transaction whose process says nothing any more, and with it its
    /// locks: a frozen process must not hold up the others. It begins again when it wakes. 0: never.
    #[serde(with = "seconds")]
    pub idle_in_transaction_session_timeout: Duration,
    /// PostgreSQL: seconds that a statement waits for another transaction's lock before it fails and is tried again. Longer
    /// than `idle_in_transaction_session_timeout`, so that who waits for a frozen process outlasts it. 0: for ever.
    #[serde(with = "seconds")]
    pub lock_timeout: Duration,
    /// PostgreSQL: seconds that a statement may take in all. Longer than `lock_timeout`. 0: for ever. Migrations
    /// (`novella db sync`) are exempt from this and the other two.
    #[serde(with = "seconds")]
    pub statement_timeout: Duration,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: SecretUrl::new(""),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            idle_in_transaction_session_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(8),
            statement_timeout: Duration::from_secs(10),
        }
    }
}

/// `[management]`: `/healthz`, `/readyz` and `/metrics` of a process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ManagementConfig {
    /// Where to listen. Unset: each service's own port on the loopback address (see `novella SERVICE --help`).
    pub listen: Option<SocketAddr>,
}

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A filter such as `info` or `info,novella_messaging=debug`.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        // lapin logs as errors what the bus library handles and reports itself.
        Self { filter: "info,lapin=off".into(), format: LogFormat::Text }
    }
}

/// `[service]`: heartbeats, and how a service stops.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// Seconds between two heartbeats of a service.
    #[serde(with = "seconds")]
    pub report_interval: Duration,
    /// Seconds without a heartbeat after which a service counts as down.
    #[serde(with = "seconds")]
    pub service_down_time: Duration,
    /// Seconds that a stopping service gives to what it is doing.
    #[serde(with = "seconds")]
    pub graceful_shutdown_timeout: Duration,
    /// Seconds that a deleted server is kept, powered off, and can be brought back (`restore`); 0: it is deleted at once.
    /// Nova's name and default. To be the same for the api and the conductors.
    #[serde(with = "seconds")]
    pub reclaim_instance_interval: Duration,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            report_interval: Duration::from_secs(10),
            service_down_time: Duration::from_secs(60),
            graceful_shutdown_timeout: Duration::from_secs(30),
            reclaim_instance_interval: Duration::ZERO,
        }
    }
}
