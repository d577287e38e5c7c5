//! How fast a bus is: this library beside bare AMQP, oslo.messaging, and RPC without a broker, in one run on one
//! machine, as one table.
//!
//! ```sh
//! cargo bench -p novella-messaging --bench bus -- --url amqp://guest:guest@localhost/
//! ```
//!
//! Each subject is two processes, a server and a client, which say what they measured as one JSON object. The floor is
//! what a program can do with lapin by hand that sends, confirms and acknowledges the same messages.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

mod floor;
mod library;
mod machine;
mod measure;
mod report;
mod subjects;
mod usage;

/// As the `novella` binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Measures RPC over a bus, beside its floor and its peers")]
struct Options {
    #[command(subcommand)]
    role: Option<Role>,
    /// The broker; its virtual host had better be empty. Without one, only the bus in process is measured
    #[arg(long, env = "NOVELLA_TEST_AMQP_URL")]
    url: Option<String>,
    #[command(flatten)]
    amounts: Amounts,
    /// How often all is measured, in turn; the tables show medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// Leave out the Python peers
    #[arg(long)]
    rust_only: bool,
    /// The interpreter for the Python peers
    #[arg(long, default_value = "python3")]
    python: String,
    /// `cargo bench` says so
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Role {
    /// Serves until its input ends
    #[command(hide = true)]
    Serve {
        subject: Subject,
        #[arg(long)]
        url: String,
        #[arg(long, default_value_t = 1)]
        servers: usize,
    },
    /// Measures a server that runs
    #[command(hide = true)]
    Measure {
        subject: Subject,
        #[arg(long)]
        url: String,
        #[command(flatten)]
        amounts: Amounts,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    Floor,
    Library,
}

/// How much of everything is done.
#[derive(Clone, Args)]
struct Amounts {
    /// Calls one after the other
    #[arg(long, default_value_t = 2000)]
    calls: usize,
    /// Numbers of calls in flight
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    in_flight: Vec<usize>,
    /// Seconds for each of them
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Casts
    #[arg(long, default_value_t = 10_000)]
    casts: usize,
    /// Rounds of fanout
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Servers that hear a fanout. All else is measured of one server
    #[arg(long, value_delimiter = ',', default_value = "10,100")]
    servers: Vec<usize>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    match options.role {
        Some(Role::Serve { subject: Subject::Floor, url, servers }) => runtime.block_on(floor::serve(&url, servers)),
        Some(Role::Serve { subject: Subject::Library, url, servers }) => {
            runtime.block_on(library::serve(&url, servers))
        }
        // In a task, as a service's handlers are: the thread that blocks on the runtime is none of its workers.
        Some(Role::Measure { subject: Subject::Floor, url, amounts }) => {
            runtime.block_on(runtime.spawn(async move {
                measure::print(&measure::all(&floor::Client::connect(&url).await?, &amounts).await?)
            }))?
        }
        Some(Role::Measure { subject: Subject::Library, url, amounts }) => {
            runtime.block_on(runtime.spawn(async move {
                let servers = amounts.servers.first().copied().unwrap_or(1);
                measure::print(&measure::all(&library::Client::connect(&url, servers).await?, &amounts).await?)
            }))?
        }
        None => {
            let runs = options.runs.into();
            subjects::compare(options.url.as_deref(), &options.amounts, runs, options.rust_only, &options.python)
        }
    }
}
