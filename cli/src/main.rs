//! `novella`: the one binary. It starts any of the services, or all of them in one process, and looks after them.

mod bus;
mod client;
mod clouds;
mod commands;
mod config;
mod output;
mod run;
mod screen;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use clouds::CloudName;
use run::rest::Component;

/// Messages and rows are many small pieces, made by one thread and freed by another. With the C library's allocator the bus
/// within the process carries a third less.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A compute cloud that speaks the OpenStack Compute API.
///
/// `novella up` starts a whole cloud in one process. The other services are for several hosts, on RabbitMQ and
/// PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "novella", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
struct GlobalOptions {
    /// A TOML file with the configuration; `novella config` shows every key
    #[arg(long, global = true, value_name = "FILE", env = "NOVELLA_CONFIG")]
    config: Option<PathBuf>,
    /// Which of this machine's clouds: several run side by side under different names [default: novella]
    #[arg(long, global = true, value_name = "NAME", env = "NOVELLA_NAME")]
    name: Option<CloudName>,
    /// Where `novella up` keeps its data, if not among the clouds that `novella ls` lists
    #[arg(long, global = true, value_name = "DIR", env = "NOVELLA_DATA")]
    data: Option<PathBuf>,
    /// Believe the API's certificate whoever has signed it, where it speaks TLS
    #[arg(long, global = true, env = "OS_INSECURE", value_parser = clap::builder::FalseyValueParser::new())]
    insecure: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a whole cloud in this process: api, scheduler, conductor and compute hosts
    Up(commands::up::UpOptions),
    /// List the clouds of this machine that `novella up` keeps
    Ls(commands::ls::LsOptions),
    /// Show how a cloud is; exit status 3 if it does not run
    Status(commands::status::StatusOptions),
    /// Print the log of a cloud in the background
    Logs(commands::logs::LogsOptions),
    /// Print the variables by which OpenStack's clients find a cloud: eval "$(novella env)"
    Env(commands::env::EnvOptions),
    /// Stop a cloud
    Down(commands::down::DownOptions),
    /// Write a stopped cloud into a file, for `novella up --load`
    Save(commands::save::SaveOptions),
    /// Start a REST API
    Api(commands::services::ApiOptions),
    /// Start Identity alone, for a Compute elsewhere
    Identity(commands::component::ComponentOptions),
    /// Start Image alone
    Image(commands::component::ComponentOptions),
    /// Start Networking alone
    Network(commands::component::ComponentOptions),
    /// Start a scheduler
    Scheduler(commands::services::ServiceOptions),
    /// Start a conductor
    Conductor(commands::services::ServiceOptions),
    /// Start a compute host
    Compute(commands::services::ComputeOptions),
    /// Look after the database
    #[command(subcommand)]
    Db(commands::db::DbCommand),
    /// Look at the services
    #[command(subcommand)]
    Service(commands::service::ServiceCommand),
    /// Look at the compute hosts, and say which may come in
    #[command(subcommand)]
    Host(commands::host::HostCommand),
    /// Look at the bus: queues, bindings, and the messages that were set aside
    Bus(commands::bus::BusOptions),
    /// Call a method of a service over the bus, by hand
    #[command(subcommand)]
    Rpc(commands::rpc::RpcCommand),
    /// Let operations and requests fail on purpose, at run time
    #[command(subcommand)]
    Fault(commands::fault::FaultCommand),
    /// Tell the story of a request: who did what of it, from when to when
    Trace(commands::trace::TraceOptions),
    /// Watch servers, hosts and long tasks as they happen, on the whole terminal
    Watch(commands::watch::WatchOptions),
    /// Measure this program on this machine
    Bench(commands::bench::BenchOptions),
    /// Say who may do what: the rules in force, and whether somebody may
    #[command(subcommand)]
    Policy(commands::policy::PolicyCommand),
    /// Print the configuration in force, and where each value comes from
    Config(commands::show_config::ConfigOptions),
    /// Print a shell's completions: source <(novella completions bash)
    Completions(commands::manual::CompletionsOptions),
    /// Print the manual page, or write those of all commands into a folder
    Man(commands::manual::ManOptions),
    /// Ask a URL for a sign of life: exit status 0 if it answers with 2xx
    Healthcheck(commands::healthcheck::HealthcheckOptions),
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(say_panic));
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let global = cli.global;
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Up(options) => commands::up::run(&global, options).await,
            Command::Ls(options) => commands::ls::run(&options),
            Command::Status(options) => return commands::status::run(&global, options).await,
            Command::Logs(options) => commands::logs::run(&global, options).await,
            Command::Env(options) => commands::env::run(&global, &options),
            Command::Down(options) => commands::down::run(&global, options).await,
            Command::Save(options) => commands::save::run(&global, options).await,
            Command::Api(options) => commands::services::api(&global, options).await,
            Command::Identity(options) => commands::component::run(&global, Component::Identity, options).await,
            Command::Image(options) => commands::component::run(&global, Component::Image, options).await,
            Command::Network(options) => commands::component::run(&global, Component::Network, options).await,
            Command::Scheduler(options) => commands::services::scheduler(&global, options).await,
            Command::Conductor(options) => commands::services::conductor(&global, options).await,
            Command::Compute(options) => commands::services::compute(&global, options).await,
            Command::Db(command) => commands::db::run(&global, command).await,
            Command::Service(command) => commands::service::run(&global, command).await,
            Command::Host(command) => commands::host::run(&global, command).await,
            Command::Bus(options) => commands::bus::run(&global, options).await,
            Command::Rpc(command) => commands::rpc::run(&global, command).await,
            Command::Fault(command) => commands::fault::run(&global, command).await,
            Command::Trace(options) => commands::trace::run(&global, options).await,
            Command::Watch(options) => commands::watch::run(&global, options).await,
            Command::Bench(options) => commands::bench::run(&global, options).await,
            Command::Policy(command) => return commands::policy::run(&global, command).await,
            Command::Config(options) => commands::show_config::run(&global, &options),
            Command::Completions(options) => commands::manual::completions(&options),
            Command::Man(options) => commands::manual::man(&options),
            Command::Healthcheck(options) => commands::healthcheck::run(&global, &options).await,
        }
        .map(|()| ExitCode::SUCCESS)
    });
    match outcome {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// As the standard library says it; the text may quote what a user or the bus has said.
fn say_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let (name, trace) = (thread.name().unwrap_or("<unnamed>"), std::backtrace::Backtrace::capture());
    output::say_aside(&format!("thread '{name}' {panic}\nstack backtrace: {trace}"));
}

/// Says what went wrong, with each cause on a line of its own.
fn fail(error: &anyhow::Error) -> ExitCode {
    let mut said = error.to_string();
    output::say_aside(&format!("novella: {said}"));
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some say their cause themselves.
        if !said.contains(&cause) {
            output::say_aside(&format!("  because: {cause}"));
            said = cause;
        }
    }
    ExitCode::FAILURE
}
