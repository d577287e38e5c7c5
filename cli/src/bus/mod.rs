//! The bus as an operator reaches it: RabbitMQ directly, or the bus inside a running `novella up` through its socket.
//!
//! ```text
//!   novella rpc, novella bus ──▶ Bus ──▶ Direct ──────────── AMQP ───────────────────▶ RabbitMQ
//!                                 │         └─────────────── HTTP ───────────────────▶ its management API
//!                                 └────▶ Socket ── a Request as JSON, on bus.sock ───▶ novella up
//! ```
//!
//! Both ways do the same [`Request`]s, by the same function.

mod grants;
mod management;
mod request;
mod socket;

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use novella_common::{config::BusConfig, reports};
use novella_compute::rpcapi::ComputeControlClient;
use novella_messaging::{BusReport, DeadLetter, DeadLetterAction, Transport};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use grants::{Grantee, as_commands, dead_letters_policy};
pub(crate) use management::{Management, first_broker};
pub(crate) use request::{Chosen, Disposal, Disposed, Kind, Request, Rpc};
pub(crate) use socket::AdminSocket;

use crate::{GlobalOptions, clouds::CloudFolder, commands::rpc::topics, config::Config, run::signals::StopSignals};

/// The queues that the services' contracts and reports name. Hosts' queues have names that only the hosts know, and of the
/// control of hosts there are no others.
pub(crate) fn known_queues() -> Vec<String> {
    let topics = topics().filter(|topic| *topic != ComputeControlClient::TOPIC).map(str::to_owned);
    topics.chain([format!("{}.info", reports::TOPIC), DeadLetter::QUEUE.to_owned()]).collect()
}

/// A way to the bus.
pub(crate) enum Bus {
    /// This process is connected to the broker.
    Direct { transport: Transport, management: Option<management::Management> },
    /// The bus is inside another process, which listens on a socket.
    Socket(socket::Client),
}

/// What is on the bus, as far as it could be found out.
pub(crate) struct Overview {
    pub report: BusReport,
    /// What is not in the report, and how to get it.
    pub missing: Option<String>,
}

impl Bus {
    /// Opens the bus, does `work`, and leaves in good order, also if a person breaks it off: a connection that just ends
    /// leaves its reply queue for as long as one that may come back.
    pub(crate) async fn with<T>(
        global: &GlobalOptions,
        config: &Config,
        work: impl AsyncFnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let mut signals = StopSignals::listen()?;
        let bus = Self::open(global, config).await?;
        let outcome = tokio::select! {
            outcome = work(&bus) => outcome,
            () = signals.next() => Err(anyhow!("broken off; what was sent may be done nevertheless")),
        };
        bus.close().await;
        outcome
    }

    /// Connects to the bus of the configuration; `memory://` is the one inside the `novella up` of the data folder.
    async fn open(global: &GlobalOptions, config: &Config) -> Result<Self> {
        let bus = &config.bus;
        if bus.url.expose().starts_with("memory:") {
            return Self::of_cloud(CloudFolder::find(global)?.path()).await;
        }
        let management =
            bus.management_url.as_ref().map(|url| management::Management::new(url, &bus.url)).transpose()?;
        let transport = Transport::connect(bus.url.expose(), bus.transport_options("novella-command"))
            .await
            .with_context(|| format!("can't connect to the bus {}; is NOVELLA_BUS__URL right?", bus.url))?;
        Ok(Self::Direct { transport, management })
    }

    /// The bus that this process is on itself. A management API that can't be used is done without: why is logged.
    pub(crate) fn of_process(transport: &Transport, config: &BusConfig) -> Self {
        let management = config.management_url.as_ref().map(|url| management::Management::new(url, &config.url));
        let management = management.transpose().unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "the bus is shown as far as AMQP tells of it");
            None
        });
        Self::Direct { transport: transport.clone(), management }
    }

    /// The bus inside the `novella up` of this folder.
    pub(crate) async fn of_cloud(folder: &Path) -> Result<Self> {
        Ok(Self::Socket(socket::Client::connect(folder).await?))
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let answer = match self {
            Self::Direct { transport, .. } => request.perform(transport).await.map_err(|text| anyhow!(text))?,
            Self::Socket(client) => client.ask(&request).await?,
        };
        serde_json::from_value(answer).context("the answer is not of the form expected; is it of another version?")
    }

    /// Calls, casts or fans out a method; the result of a call, else null.
    pub(crate) async fn rpc(&self, rpc: Rpc) -> Result<Value> {
        self.ask(Request::Rpc(rpc)).await
    }

    /// The exchanges, queues and bindings; of the queues at least `known`, if they exist.
    pub(crate) async fn overview(&self, known: &[String]) -> Result<Overview> {
        let inspect = async |queues: Vec<String>| self.ask::<BusReport>(Request::Inspect { queues }).await;
        let Self::Direct { management, transport } = self else {
            return Ok(Overview { report: inspect(known.to_vec()).await?, missing: None });
        };
        if transport.is_in_process() {
            return Ok(Overview { report: inspect(Vec::new()).await?, missing: None });
        }
        let listed = match management {
            Some(management) => management.list().await.map_err(|error| format!("{error:#}")),
            None => Err("set bus.management_url (NOVELLA_BUS__MANAGEMENT_URL=http://user:password@host:15672)".into()),
        };
        match listed {
            Ok(listed) => {
                // The broker's own counts are older than what it says when asked for a queue by name.
                let exact = inspect(listed.queues.iter().map(|queue| queue.name.clone()).collect()).await?;
                Ok(Overview { report: management::joined(listed, exact), missing: None })
            }
            Err(remedy) => Ok(Overview {
                report: inspect(known.to_vec()).await?,
                missing: Some(format!(
                    "Not shown, since AMQP does not tell: exchanges, bindings, unacknowledged messages, further queues \
                     (name them with --queue). To see them: {remedy}"
                )),
            }),
        }
    }

    /// How many servers listen on a queue; none if there is no such queue.
    pub(crate) async fn consumers(&self, queue: &str) -> Result<u64> {
        let report: BusReport = self.ask(Request::Inspect { queues: vec![queue.to_owned()] }).await?;
        Ok(report.queues.iter().find(|found| found.name == queue).map_or(0, |found| found.consumers))
    }

    /// The oldest dead letters, at most `max`.
    pub(crate) async fn dead_letters(&self, max: usize) -> Result<Vec<DeadLetter>> {
        self.ask(Request::DeadLetters { max }).await
    }

    /// Sends dead letters again, or deletes them.
    pub(crate) async fn dispose(
        &self,
        chosen: Option<Vec<Chosen>>,
        action: DeadLetterAction,
        max: usize,
    ) -> Result<Disposed> {
        let disposed: Disposed = self.ask(Request::Dispose(Disposal { chosen, action, max })).await?;
        if disposed.count == 0 && disposed.failed.is_empty() {
            bail!("there is no such dead letter any more; `novella bus dead-letters` lists those there are");
        }
        Ok(disposed)
    }

    /// Leaves in good order.
    async fn close(self) {
        if let Self::Direct { transport, .. } = self {
            transport.close().await;
        }
    }
}
