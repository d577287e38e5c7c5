//! `novella rpc`: reach any method of any service by hand, as the services reach each other.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use novella_common::{RequestContext, faults::rpcapi::FaultControlClient};
use novella_compute::rpcapi::{ComputeClient, ComputeControlClient};
use novella_conductor::rpcapi::ConductorClient;
use novella_messaging::Version;
use novella_scheduler::rpcapi::SchedulerClient;
use serde_json::{Map, Value, json};

use crate::{
    GlobalOptions,
    bus::{Bus, Kind, Rpc},
    config::{Config, Flags},
    output,
};

/// What is spoken to the services of this program unless told otherwise.
const CONTRACTS: [(&str, Version); 5] = [
    (ComputeClient::TOPIC, ComputeClient::VERSION),
    (ComputeControlClient::TOPIC, ComputeControlClient::VERSION),
    (ConductorClient::TOPIC, ConductorClient::VERSION),
    (SchedulerClient::TOPIC, SchedulerClient::VERSION),
    (FaultControlClient::TOPIC, FaultControlClient::VERSION),
];

/// The topics of the services' contracts.
pub(crate) fn topics() -> impl Iterator<Item = &'static str> {
    CONTRACTS.into_iter().map(|(topic, _)| topic)
}

#[derive(Debug, Subcommand)]
pub(crate) enum RpcCommand {
    /// Call a method and print its result as JSON
    ///
    /// For instance: novella rpc call compute.host-1 get_host_uptime
    Call(CallOptions),
    /// Hand a method to one server, and don't wait for it; prints the request id under which logs show it
    Cast(MessageOptions),
    /// Hand a method to every server of a topic that is up
    Fanout(MessageOptions),
    /// Ask a server whether it answers at all; prints how long that took
    Ping(PingOptions),
}

#[derive(Debug, Args)]
pub(crate) struct CallOptions {
    #[command(flatten)]
    message: MessageOptions,
    /// How long to wait for the answer [default: bus.rpc_response_timeout]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<f64>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct MessageOptions {
    /// A topic, for any of its servers (`scheduler`), or topic.server, for that one (`compute.host-1`)
    target: String,
    /// The method's name
    method: String,
    /// An argument; the value is JSON (`tail_length=5`, `names='["a"]'`), or else a string (`instance=5c1e...`)
    #[arg(value_name = "KEY=VALUE")]
    args: Vec<String>,
    /// Arguments as one JSON object, besides those above
    #[arg(long, value_name = "OBJECT")]
    json: Option<String>,
    /// The version of the contract that the message speaks [default: the one this program knows for the topic, or 1.0]
    #[arg(long, value_name = "MAJOR.MINOR")]
    rpc_version: Option<Version>,
    /// The namespace of the method
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// The exchange of the servers [default: bus.control_exchange]
    #[arg(long, value_name = "NAME")]
    exchange: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PingOptions {
    /// A topic, for any of its servers, or topic.server
    target: String,
    /// How long to wait for the answer [default: bus.rpc_response_timeout]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<f64>,
    /// The exchange of the servers [default: bus.control_exchange]
    #[arg(long, value_name = "NAME")]
    exchange: Option<String>,
}

pub(crate) async fn run(global: &GlobalOptions, command: RpcCommand) -> Result<()> {
    let (kind, message, timeout) = match command {
        RpcCommand::Call(options) => (Kind::Call, options.message, options.timeout),
        RpcCommand::Cast(message) => (Kind::Cast, message, None),
        RpcCommand::Fanout(message) => (Kind::Fanout, message, None),
        RpcCommand::Ping(PingOptions { target, timeout, exchange }) => {
            (Kind::Ping, MessageOptions { target, exchange, ..MessageOptions::default() }, timeout)
        }
    };
    let context = RequestContext::internal();
    let request_id = context.request_id.clone();
    let target = message.target.clone();
    let rpc = read(kind, message, timeout, &context)?;

    let (config, _) = Config::load(global, &Flags::default())?;
    let call = async |bus: &Bus| bus.rpc(rpc).await.with_context(|| format!("{target}, request {request_id}"));
    let answer = Bus::with(global, &config, call).await?;
    let shown = match (kind, answer) {
        (Kind::Call, answer) => answer,
        (Kind::Cast | Kind::Fanout, _) => json!({ "request_id": request_id }),
        (Kind::Ping, seconds) => json!({ "target": target, "seconds": seconds }),
    };
    output::print(&serde_json::to_string_pretty(&shown)?)
}

fn read(kind: Kind, message: MessageOptions, timeout_seconds: Option<f64>, context: &RequestContext) -> Result<Rpc> {
    let (topic, server) = match message.target.split_once('.') {
        Some((topic, server)) => (topic, Some(server)),
        None => (message.target.as_str(), None),
    };
    if topic.is_empty() || server.is_some_and(str::is_empty) {
        bail!("the target `{}` is neither a topic (scheduler) nor topic.server (compute.host-1)", message.target);
    }
    if kind == Kind::Fanout && server.is_some() {
        bail!("a fanout reaches every server of a topic: name the topic alone, `{topic}`, or use `novella rpc cast`");
    }
    let known = CONTRACTS.iter().find(|(known, _)| *known == topic).map(|(_, version)| *version);
    Ok(Rpc {
        kind,
        topic: topic.to_owned(),
        server: server.map(str::to_owned),
        exchange: message.exchange,
        namespace: message.namespace,
        version: message.rpc_version.or(known).unwrap_or_default().to_string(),
        args: arguments(&message.args, message.json.as_deref())?,
        method: message.method,
        context: serde_json::to_value(context)?,
        timeout_seconds,
    })
}

/// The arguments of the command line by name.
fn arguments(pairs: &[String], object: Option<&str>) -> Result<Map<String, Value>> {
    let mut arguments = match object {
        Some(text) => serde_json::from_str(text)
            .with_context(|| format!("--json is not a JSON object, such as '{{\"key\": 1}}': {text}"))?,
        None => Map::new(),
    };
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            bail!("the argument `{pair}` is not of the form key=value");
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        if arguments.insert(key.to_owned(), value).is_some() {
            bail!("the argument `{key}` is given twice");
        }
    }
    Ok(arguments)
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && std::time::Duration::try_from_secs_f64(seconds).is_ok() => Ok(seconds),
        _ => Err("expected a number of seconds above 0".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(target: &str) -> MessageOptions {
        MessageOptions { target: target.into(), method: "m".into(), ..MessageOptions::default() }
    }

    #[test]
    fn a_value_is_json_if_it_can_be_and_a_string_otherwise() {
        let pairs = ["a=1", "b=null", "c=host-1", r#"d={"x": [true]}"#, "e=a=b", "f=", r#"g="1""#].map(str::to_owned);
        let read = Value::Object(arguments(&pairs, Some(r#"{"h": 2}"#)).unwrap());
        let wanted = json!({
            "a": 1, "b": null, "c": "host-1", "d": { "x": [true] }, "e": "a=b", "f": "", "g": "1", "h": 2
        });
        assert_eq!(read, wanted);
    }

    #[test]
    fn arguments_that_cannot_be_meant_are_refused() {
        for (pair, object) in [("novalue", "{}"), ("=1", "{}"), ("a=1", r#"{"a": 2}"#), ("a=1", "[1]")] {
            assert!(arguments(&[pair.to_owned()], Some(object)).is_err(), "{pair} {object}");
        }
    }

    #[test]
    fn a_servers_name_may_hold_dots() {
        let context = RequestContext::internal();
        let rpc = read(Kind::Call, message("compute.node.example.org"), None, &context).unwrap();
        assert_eq!((rpc.topic.as_str(), rpc.server.as_deref()), ("compute", Some("node.example.org")));
        for (kind, target) in [(Kind::Call, ".host"), (Kind::Call, "compute."), (Kind::Fanout, "compute.host-1")] {
            assert!(read(kind, message(target), None, &context).is_err(), "{target}");
        }
    }
}
