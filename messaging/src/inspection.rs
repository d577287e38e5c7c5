//! What is on a bus: exchanges, queues and bindings, for an operator to look at.
//!
//! The bus within the process knows all of itself. AMQP lets a client ask for a queue by its name and for nothing else,
//! so on a broker the report is of the queues asked for; the rest is known to the broker's management API alone.

use serde::{Deserialize, Serialize};

use crate::error::MessagingError;
use crate::transport::Transport;

/// What a bus says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusReport {
    /// The exchanges, by name, without the default one; empty where the bus cannot list them.
    pub exchanges: Vec<ExchangeReport>,
    /// The queues, by name.
    pub queues: Vec<QueueReport>,
    /// What is routed where; empty where the bus cannot list it. That every queue gets what is sent to its name by the
    /// default exchange goes without saying.
    pub bindings: Vec<BindingReport>,
    /// Whether this is all there is. If not, there may be more queues, and exchanges and bindings are not known.
    pub complete: bool,
}

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExchangeReport {
    /// Its name.
    pub name: String,
    /// AMQP's word for how it routes: `topic`, `fanout`, `direct`, `headers`.
    pub kind: String,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueReport {
    /// Its name.
    pub name: String,
    /// How many messages wait for a consumer.
    pub ready: u64,
    /// How many are delivered and not settled yet; `None` where the bus does not tell.
    pub unacked: Option<u64>,
    /// How many consume it.
    pub consumers: u64,
}

/// What leads from an exchange to a queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BindingReport {
    /// The exchange.
    pub exchange: String,
    /// The routing key; without meaning for a fanout exchange.
    pub routing_key: String,
    /// The queue.
    pub queue: String,
}

impl Transport {
    /// Looks at the bus, without changing anything on it.
    ///
    /// In process the report is complete and `queues` is not needed. On a broker it is of those of `queues` that
    /// exist, with what AMQP tells of them.
    ///
    /// ```
    /// # use novella_messaging::{Notifier, Transport, TransportOptions};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let transport = Transport::connect("memory://", TransportOptions::default()).await?;
    /// let report = transport.inspect(&["compute", "dead_letters"]).await?;
    /// assert!(report.complete && report.queues.iter().all(|queue| queue.ready == 0));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the bus cannot be reached, or the user may not look.
    pub async fn inspect<N: AsRef<str>>(&self, queues: &[N]) -> Result<BusReport, MessagingError> {
        let names: Vec<&str> = queues.iter().map(AsRef::as_ref).collect();
        self.look_at(&names).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;
    use crate::{Outcome, Request, RpcClient, RpcServer, Target, TransportOptions, Version};

    struct Idle;

    impl crate::Endpoint for Idle {
        fn version(&self) -> Version {
            Version::default()
        }

        fn dispatch(&self, _: Request) -> futures_util::future::BoxFuture<'_, Outcome> {
            Box::pin(std::future::pending())
        }
    }

    fn queue<'a>(report: &'a BusReport, name: &str) -> &'a QueueReport {
        report.queues.iter().find(|queue| queue.name == name).unwrap()
    }

    #[tokio::test]
    async fn the_bus_in_process_shows_queues_bindings_and_what_is_in_hand() {
        let transport = Transport::connect("memory://", TransportOptions::default()).await.unwrap();
        let target = Target::new("compute").server("host-1");
        let server =
            RpcServer::builder(&transport, target.clone()).endpoint(Idle).concurrency(1).start().await.unwrap();
        let client = RpcClient::new(&transport, target);
        for _ in 0..3 {
            client.cast(Value::Null, "work", Map::new()).await.unwrap();
        }
        let report = transport.inspect::<&str>(&[]).await.unwrap();
        assert!(report.complete);
        let host = queue(&report, "compute.host-1");
        assert_eq!((host.ready, host.unacked, host.consumers), (2, Some(1), 1));
        assert_eq!(queue(&report, "compute").consumers, 1);
        let exchanges: Vec<_> = report.exchanges.iter().map(|it| (it.name.as_str(), it.kind.as_str())).collect();
        assert_eq!(exchanges, [("compute_fanout", "fanout"), ("novella", "topic")]);
        let bound = BindingReport {
            exchange: "novella".into(),
            routing_key: "compute.host-1".into(),
            queue: "compute.host-1".into(),
        };
        assert!(report.bindings.contains(&bound), "{report:?}");
        server.stop(std::time::Duration::ZERO).await;
    }
}
