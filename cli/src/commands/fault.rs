//! `novella fault`: what is to fail, be late or be refused, set in a running cloud.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use novella_common::{
    RequestContext,
    faults::{
        Fault, HostOperation, HostRule, HttpEffect, HttpRule, ListedFault, Rule,
        rpcapi::{FaultControlClient, Listing, Reached},
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{
    GlobalOptions,
    bus::{Bus, Kind, Rpc},
    config::{Config, Flags},
    output::{self, Format},
};

#[derive(Debug, Subcommand)]
pub(crate) enum FaultCommand {
    /// List the faults in force, and how often each has fired
    List {
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Set a fault; prints its id when it is in force everywhere
    #[command(subcommand)]
    Add(AddCommand),
    /// Clear faults: back to normal
    Clear(ClearOptions),
}

#[derive(Debug, Subcommand)]
pub(crate) enum AddCommand {
    /// For operations of simulated hosts
    ///
    /// For instance, the next build on each host fails: novella fault add host --operation build --fail --times 1
    Host(HostOptions),
    /// For HTTP requests
    ///
    /// For instance, the next two creates of a server: novella fault add http --method POST --path
    /// /compute/v2.1/servers --status 429 --retry-after 1 --times 2
    Http(HttpOptions),
}

#[derive(Debug, Args)]
pub(crate) struct HostOptions {
    /// Only on this host
    #[arg(long, value_name = "NAME")]
    on: Option<String>,
    /// Only for servers of this flavor
    #[arg(long, value_name = "NAME")]
    flavor: Option<String>,
    /// Only for servers of this project
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Only for this operation
    #[arg(long, value_parser = operation_parser())]
    operation: Option<HostOperation>,
    /// The operation fails, with this text if one is given
    #[arg(long, value_name = "TEXT", num_args = 0..=1)]
    #[allow(clippy::option_option, reason = "clap's form of a flag with an optional value")]
    fail: Option<Option<String>>,
    #[command(flatten)]
    when: When,
}

#[derive(Debug, Args)]
pub(crate) struct HttpOptions {
    /// Only for requests with this method
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Only for requests with this path; `*` stands for anything within a segment, `**` for anything
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Only for requests with a token for this project
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Answer with this error
    #[arg(long, value_name = "400..599", conflicts_with = "drop")]
    status: Option<u16>,
    /// With the header Retry-After
    #[arg(long, value_name = "SECONDS", requires = "status")]
    retry_after: Option<u64>,
    /// With this text
    #[arg(long, value_name = "TEXT", requires = "status")]
    message: Option<String>,
    /// Close the connection without an answer
    #[arg(long)]
    drop: bool,
    #[command(flatten)]
    when: When,
}

#[derive(Debug, Args)]
struct When {
    /// It takes so much longer; without another effect, it goes on then
    #[arg(long, value_name = "SECONDS", value_parser = delay)]
    delay: Option<Duration>,
    /// So often, on each host or in each API [default: until it is cleared]
    #[arg(long, value_name = "N")]
    times: Option<u64>,
    /// With this probability, such as 0.1 [default: each time]
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct ClearOptions {
    /// Which, as `novella fault list` shows them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

fn operation_parser() -> impl clap::builder::TypedValueParser<Value = HostOperation> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    // Each value that may be given is the name of one.
    PossibleValuesParser::new(HostOperation::ALL.map(HostOperation::as_str)).map(|name| {
        HostOperation::ALL.into_iter().find(|operation| operation.as_str() == name).unwrap_or(HostOperation::Build)
    })
}

fn delay(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "expected a number of seconds".to_owned())
}

pub(crate) async fn run(global: &GlobalOptions, command: FaultCommand) -> Result<()> {
    // What makes no sense is refused without a cloud.
    let command = match command {
        FaultCommand::List { format } => Asked::List(format),
        FaultCommand::Add(add) => Asked::Add(add.fault()?),
        FaultCommand::Clear(ClearOptions { ids, all }) => Asked::Clear((!all).then_some(ids)),
    };
    let (config, _) = Config::load(global, &Flags::default())?;
    Bus::with(global, &config, async |bus: &Bus| command.perform(bus).await).await
}

enum Asked {
    List(Format),
    Add(Fault),
    Clear(Option<Vec<String>>),
}

impl Asked {
    async fn perform(self, bus: &Bus) -> Result<()> {
        if !enabled(bus).await? {
            bail!(
                "faults are not enabled in this cloud: start it with `novella up --faults`, or each API and compute \
                 process with NOVELLA_FAULTS__ENABLED=true (faults.enabled)"
            );
        }
        match self {
            Self::List(format) => print(format, &list(bus).await?),
            Self::Add(fault) => {
                let reached: Reached = call(bus, "add", json!({ "fault": fault })).await?;
                warn_of_missing(&reached.missing);
                output::print(&reached.ids.join("\n"))
            }
            Self::Clear(ids) => {
                let reached: Reached = call(bus, "clear", json!({ "ids": ids })).await?;
                warn_of_missing(&reached.missing);
                match reached.ids.len() {
                    0 => output::print("There are no faults."),
                    1 => output::print("1 fault cleared"),
                    count => output::print(&format!("{count} faults cleared")),
                }
            }
        }
    }
}

/// On standard error: what is printed is for scripts.
fn warn_of_missing(missing: &[String]) {
    for process in missing {
        output::say_aside(&format!(
            "novella: warning: {process} does not answer; if it is back, it hears of this within ten seconds"
        ));
    }
}

/// Whether a process listens for faults.
async fn enabled(bus: &Bus) -> Result<bool> {
    Ok(bus.consumers(FaultControlClient::TOPIC).await? > 0)
}

/// The faults in force; none where faults are not enabled.
pub(crate) async fn in_force(bus: &Bus) -> Result<Vec<ListedFault>> {
    if enabled(bus).await? { list(bus).await } else { Ok(Vec::new()) }
}

async fn list(bus: &Bus) -> Result<Vec<ListedFault>> {
    let Listing { faults, missing, .. } = call(bus, "list", json!({})).await?;
    warn_of_missing(&missing);
    Ok(faults)
}

async fn call<T: DeserializeOwned>(bus: &Bus, method: &str, args: Value) -> Result<T> {
    let args = match args {
        Value::Object(args) => args,
        _ => Map::new(),
    };
    let rpc = Rpc {
        kind: Kind::Call,
        topic: FaultControlClient::TOPIC.to_owned(),
        server: None,
        exchange: None,
        namespace: None,
        version: FaultControlClient::VERSION.to_string(),
        method: method.to_owned(),
        args,
        context: serde_json::to_value(RequestContext::internal())?,
        timeout_seconds: Some(20.0),
    };
    let answer = bus.rpc(rpc).await?;
    serde_json::from_value(answer).context("the answer is not of the form expected; is the cloud of another version?")
}

impl AddCommand {
    fn fault(self) -> Result<Fault> {
        let (rule, when) = match self {
            Self::Host(HostOptions { on, flavor, project, operation, fail, when }) => {
                let (fail, message) = (fail.is_some(), fail.flatten());
                (Rule::Host(HostRule { host: on, flavor, project, operation, fail, message }), when)
            }
            Self::Http(HttpOptions { method, path, project, status, retry_after, message, drop, when }) => {
                let answer = status.map(|status| HttpEffect::Answer { status, retry_after, message });
                let effect = if drop { Some(HttpEffect::Drop) } else { answer };
                (Rule::Http(HttpRule { method, path, project, effect }), when)
            }
        };
        let When { delay, times, rate } = when;
        let fault = Fault { rule, delay: delay.unwrap_or_default(), times, rate };
        fault.check().map_err(anyhow::Error::msg)?;
        Ok(fault)
    }
}

fn print(format: Format, faults: &[ListedFault]) -> Result<()> {
    if faults.is_empty() && format == Format::Table {
        return output::print("There are no faults.");
    }
    let columns = [
        ("ID", "id"),
        ("For", "for"),
        ("Effect", "effect"),
        ("When", "when"),
        ("Fired", "fired"),
        ("Since", "added_at"),
    ];
    let rows = faults.iter().map(|fault| row(fault, format)).collect::<Result<Vec<_>>>()?;
    output::print_list(format, &columns, &rows)
}

fn row(listed: &ListedFault, format: Format) -> Result<Value> {
    let mut row = serde_json::to_value(listed)?;
    if format != Format::Table {
        return Ok(row);
    }
    let fault = &listed.fault;
    let (target, mut effect) = match &fault.rule {
        Rule::Host(rule) => {
            let operation = rule.operation.map_or("any operation", HostOperation::as_str);
            let target = condition(operation.to_owned(), "host", rule.host.as_deref());
            let failure =
                rule.fail.then(|| rule.message.as_ref().map_or("fails".to_owned(), |text| format!("fails: {text}")));
            let target = condition(target, "flavor", rule.flavor.as_deref());
            (condition(target, "project", rule.project.as_deref()), failure)
        }
        Rule::Http(rule) => {
            let (method, path) = (rule.method.as_deref().unwrap_or("any"), rule.path.as_deref().unwrap_or("request"));
            let effect = rule.effect.as_ref().map(|effect| match effect {
                HttpEffect::Answer { status, retry_after: Some(seconds), .. } => {
                    format!("{status}, Retry-After: {seconds}")
                }
                HttpEffect::Answer { status, .. } => status.to_string(),
                HttpEffect::Drop => "connection dropped".to_owned(),
            });
            (condition(format!("{method} {path}"), "project", rule.project.as_deref()), effect)
        }
    };
    if !fault.delay.is_zero() {
        let late = format!("{} s late", fault.delay.as_secs_f64());
        effect = Some(effect.map_or_else(|| late.clone(), |effect| format!("{late}, {effect}")));
    }
    let each = if matches!(fault.rule, Rule::Host(_)) { "on each host" } else { "in each API" };
    let times = fault.times.map(|times| match times {
        1 => format!("once {each}"),
        times => format!("{times} times {each}"),
    });
    let when = match (times, fault.rate) {
        (None, None) => "always".to_owned(),
        (Some(times), None) => times,
        (None, Some(rate)) => format!("rate {rate}"),
        (Some(times), Some(rate)) => format!("rate {rate}, {times}"),
    };
    row["for"] = json!(target);
    row["effect"] = json!(effect);
    row["when"] = json!(when);
    row["added_at"] = json!(listed.added_at.strftime("%Y-%m-%d %H:%M:%S").to_string());
    Ok(row)
}

fn condition(text: String, name: &str, value: Option<&str>) -> String {
    value.map_or(text.clone(), |value| format!("{text}, {name} {value}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::Cli;

    #[test]
    fn the_document_on_faults_names_every_option_and_none_that_is_not_there() {
        const DOCUMENT: &str = include_str!("../../../docs/faults.md");
        let program = Cli::command();
        let add = program.find_subcommand("fault").and_then(|fault| fault.find_subcommand("add")).unwrap();
        let about = DOCUMENT.split("### Hosts: `novella fault add host`").nth(1).unwrap();
        let (host, http) = about.split_once("### Requests: `novella fault add http`").unwrap();
        let (http, both) = http.split_once("### How often").unwrap();
        for (name, text) in [("host", host), ("http", http)] {
            let options: Vec<String> = add
                .find_subcommand(name)
                .unwrap()
                .get_arguments()
                .filter_map(|argument| argument.get_long())
                .map(|long| format!("`--{long}"))
                .collect();
            for option in &options {
                assert!(
                    text.contains(option) || both.contains(option),
                    "docs/faults.md does not name {option} of {name}"
                );
            }
            let rows = text.lines().filter(|line| line.starts_with("| `--"));
            for named in rows.flat_map(|row| row.split(' ')).filter(|word| word.starts_with("`--")) {
                let named = named.trim_end_matches(['`', ',']);
                assert!(options.iter().any(|option| option == named), "{named} is no option of {name}");
            }
        }
    }
}
