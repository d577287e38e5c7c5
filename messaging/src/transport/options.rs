//! How a transport behaves.

use std::path::PathBuf;
use std::time::Duration;

/// How a transport behaves. `TransportOptions::default()` suits most.
///
/// What oslo.messaging has an option for goes by oslo's name, so that an operator's configuration can be read across.
/// Where the default is another one, the option says so.
///
/// ```
/// use novella_messaging::TransportOptions;
///
/// // To join a control plane whose services use oslo.messaging as it comes:
/// let options = TransportOptions {
///     control_exchange: "nova".into(),
///     amqp_durable_queues: false,
///     ..TransportOptions::default()
/// };
/// # assert!(!options.rabbit_quorum_queue);
/// ```
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// The exchange of targets that name none. Default `novella`; oslo's is `openstack`, Nova's `nova`.
    pub control_exchange: String,
    /// What the broker shows as the connection's name. Default: the program's name and process id.
    pub connection_name: String,
    /// How long a call waits for its answer unless told otherwise. Default 60 s.
    pub rpc_response_timeout: Duration,
    /// How long a publish may wait for a connection and for the broker's confirm; that of an answer as long as
    /// `rpc_response_timeout`, if that is longer. Default 10 s.
    pub publish_timeout: Duration,
    /// A connection on which nothing came for this time is dead. An even number of seconds, at least 2; others are rounded
    /// up. Default 16 s; oslo's is 60 s.
    pub heartbeat_timeout_threshold: Duration,
    /// Whether the control exchange and the topics' queues survive the broker's restart. All peers of a virtual host
    /// must agree. Default true; oslo's is false.
    pub amqp_durable_queues: bool,
    /// Whether the control exchange and the topics' queues go with their last user: then nothing waits there for a
    /// service that is down. All peers must agree. Default false.
    pub amqp_auto_delete: bool,
    /// Whether the topics' queues are quorum queues, which several nodes of a cluster hold together. Implies
    /// `amqp_durable_queues`. All peers must agree. Default false.
    pub rabbit_quorum_queue: bool,
    /// With quorum queues: how often the *broker* delivers a message before it drops it (`x-delivery-limit`); 0 leaves
    /// it to the broker's own limit: none up to RabbitMQ 3.13, 20 from 4.0 on. `max_deliveries`, which keeps the message, comes
    /// first if it is lower; notifications that are given back on purpose know no other limit than this. Default 0.
    pub rabbit_quorum_delivery_limit: u32,
    /// Whether reply and fanout queues are quorum queues too. All peers must agree. Default false.
    pub rabbit_transient_quorum_queue: bool,
    /// How long fanout and reply queues outlive their owner, so that it finds them again after a break; zero until
    /// somebody deletes them.
    /// Default 30 minutes.
    pub rabbit_transient_queues_ttl: Duration,
    /// The longest pause between two attempts to reconnect; they grow up to it. Default 5 s; oslo's is 30 s.
    pub rabbit_interval_max: Duration,
    /// How often a subscription declares its queues, exchanges and bindings again, in case somebody has deleted one: of an
    /// exchange and of a binding the broker tells nobody. It costs a broker about a millisecond each time, so a process with
    /// hundreds of subscriptions does it less often. Default 30 s; oslo.messaging never does.
    pub redeclare_interval: Duration,
    /// Whether servers answer [`RpcClient::ping`](crate::RpcClient::ping). Default true; oslo's is false.
    pub rpc_ping_enabled: bool,
    /// With TLS (`amqps://` or `?ssl=1`): the certificates (PEM) of the authorities to trust besides the system's. Default none.
    pub ssl_ca_file: Option<PathBuf>,
    /// With TLS: this client's certificate (PEM), for a broker that asks for one. Default none.
    pub ssl_cert_file: Option<PathBuf>,
    /// The private key (PEM, PKCS#8) of `ssl_cert_file`.
    pub ssl_key_file: Option<PathBuf>,
    /// A message is dead-lettered after it was delivered this often in vain. What failed with a
    /// [temporary](crate::RpcError::is_temporary) error does not count. Default 5.
    pub max_deliveries: u32,
    /// The most bytes of a message, sent or received. A larger one is not sent; one that is received is not read, but set
    /// aside, of which the beginning is kept. In process nothing has bytes. Default 16 MiB.
    pub max_message_bytes: usize,
    /// In process: a queue that holds this many messages takes no more until some are consumed. Of those who share a
    /// named bus, the first decides. Default 100 000.
    pub memory_queue_limit: usize,
}

impl Default for TransportOptions {
    fn default() -> Self {
        let program = std::env::args_os().next().map(PathBuf::from);
        let program =
            program.as_deref().and_then(|path| path.file_name()).and_then(|name| name.to_str()).unwrap_or("novella");
        Self {
            control_exchange: "novella".into(),
            connection_name: format!("{program}:{}", std::process::id()),
            rpc_response_timeout: Duration::from_secs(60),
            publish_timeout: Duration::from_secs(10),
            heartbeat_timeout_threshold: Duration::from_secs(16),
            amqp_durable_queues: true,
            amqp_auto_delete: false,
            rabbit_quorum_queue: false,
            rabbit_quorum_delivery_limit: 0,
            rabbit_transient_quorum_queue: false,
            rabbit_transient_queues_ttl: Duration::from_secs(30 * 60),
            rabbit_interval_max: Duration::from_secs(5),
            redeclare_interval: Duration::from_secs(30),
            rpc_ping_enabled: true,
            ssl_ca_file: None,
            ssl_cert_file: None,
            ssl_key_file: None,
            max_deliveries: 5,
            max_message_bytes: 16 * 1024 * 1024,
            memory_queue_limit: 100_000,
        }
    }
}
