//! `novella host`: which compute hosts there are, which machine is the host of a name, and who waits to be let in.

use anyhow::{Result, bail};
use clap::Subcommand;
use novella_common::{
    db::{
        Database, compute_nodes,
        host_admission::{self, Approval, Refusal, RefusedHost},
        listening, services,
    },
    models::{Binary, Resources},
};
use serde_json::{Value, json};

use crate::{
    GlobalOptions,
    config::{Config, Flags},
    output::{self, Format},
};

#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// List the compute hosts, and the machines that wait for one of the other commands
    List {
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Let a new compute host in, or let a known one have as much as it says that it has now
    ///
    /// Until then a new host gets no work, and a known one no more than it had. With NOVELLA_CONDUCTOR__AUTO_APPROVE=true
    /// all hosts are approved by themselves, as those of `novella up` are.
    Approve {
        /// The host's name
        host: String,
    },
    /// Give a host's name to the machine that was refused under it, because the one that had it was replaced
    ///
    /// A host is known by its name and by an identity that is kept in its state folder (`compute_id`). Another machine, or
    /// another state folder, under the same name is refused until this command. What was on the old one is gone then: its
    /// servers come into ERROR, and a hard reboot makes their guests anew from their images.
    Replace {
        /// The host's name
        host: String,
        /// Also while the host that has the name is up. It must be stopped first or at once
        #[arg(long)]
        force: bool,
    },
}

pub(crate) async fn run(global: &GlobalOptions, command: HostCommand) -> Result<()> {
    let (config, _) = Config::load(global, &Flags::default())?;
    let database = Database::connect(&config.database).await?;
    database.check_schema().await?;
    let done = match command {
        HostCommand::List { format } => list(&database, &config, format).await,
        HostCommand::Approve { host } => approve(&database, &host).await,
        HostCommand::Replace { host, force } => replace(&database, &config, &host, force).await,
    };
    database.close().await;
    done
}

async fn approve(database: &Database, host: &str) -> Result<()> {
    let mut transaction = database.begin().await?;
    let Resources { vcpus, memory_mb, disk_gb } = match host_admission::approve(&mut transaction, host).await? {
        Approval::Approved(capacity) => capacity,
        Approval::NobodyWaits => {
            bail!("no host waits under the name {host}: start it, or look at `novella host list`")
        }
        Approval::AnotherMachine => bail!(
            "{host} is the name of another machine. If that one was replaced: novella host replace {host}; otherwise give \
             this one a name of its own (NOVELLA_HOST)"
        ),
    };
    transaction.commit().await?;
    output::print(&format!(
        "{host} is approved with {vcpus} vCPUs, {memory_mb} MiB of memory and {disk_gb} GiB of disk to give, and takes work \
         from its next hello on, within 10 s."
    ))
}

async fn replace(database: &Database, config: &Config, host: &str, force: bool) -> Result<()> {
    let mut transaction = database.begin().await?;
    let known = services::find(&mut transaction, Binary::Compute, host).await?;
    let fresh_since = listening::fresh_since(&mut transaction, config.service.service_down_time).await?;
    if !force && known.is_some_and(|service| service.is_up(&fresh_since)) {
        bail!(
            "host {host} is up: stop the machine that has the name and wait until `novella host list` shows it down, or say \
             --force if it is gone for good"
        );
    }
    if !host_admission::replace(&mut transaction, host).await? {
        bail!("no other machine has said hello under the name {host}: start the new one, and try again");
    }
    transaction.commit().await?;
    output::print(&format!("{host} is the new machine from its next hello on, within 10 s."))
}

async fn list(database: &Database, config: &Config, format: Format) -> Result<()> {
    let mut connection = database.read().await?;
    let nodes = compute_nodes::list(&mut connection).await?;
    let services = services::list(&mut connection, Some(Binary::Compute.as_str()), None).await?;
    let fresh_since = listening::fresh_since(&mut connection, config.service.service_down_time).await?;
    let refused = host_admission::refused(&mut connection).await?;
    drop(connection);
    let row = |host: &str, state: &str, capacity: Option<Resources>, used: Option<Resources>| {
        let mut row = json!({"host": host, "state": state});
        for (name, of) in [
            ("vcpus", (|it| it.vcpus) as fn(Resources) -> i64),
            ("memory_mb", |it| it.memory_mb),
            ("disk_gb", |it| it.disk_gb),
        ] {
            row[name] = capacity.map(of).into();
            row[format!("{name}_used")] = used.map(of).into();
        }
        row
    };
    let mut rows: Vec<Value> = nodes
        .iter()
        .map(|node| {
            let service = services.iter().find(|service| service.host == node.host);
            let state = match service {
                Some(service) if service.is_up(&fresh_since) => "up",
                _ => "down",
            };
            let mut row = row(&node.host, state, Some(node.capacity), Some(node.used));
            row["instances"] = node.instances.into();
            row
        })
        .collect();
    rows.extend(refused.iter().map(|refused| {
        let capacity = refused.inventory.as_ref().map(novella_common::models::Inventory::capacity);
        let mut row = row(&refused.host, state_of(refused.reason), capacity, None);
        row["identity"] = json!(refused.identity);
        row["last_seen"] = refused.last_seen.to_string().into();
        row
    }));
    let columns = [
        ("Host", "host"),
        ("State", "state"),
        ("vCPUs", "vcpus"),
        ("Used", "vcpus_used"),
        ("Memory_MiB", "memory_mb"),
        ("Used", "memory_mb_used"),
        ("Disk_GiB", "disk_gb"),
        ("Used", "disk_gb_used"),
        ("Servers", "instances"),
    ];
    output::print_list(format, &columns, &rows)?;
    if format == Format::Table {
        refused.iter().try_for_each(|refused| output::print(&explain(refused)))?;
    }
    Ok(())
}

/// The word for who waits.
pub(super) fn state_of(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Identity => "refused",
        Refusal::New => "waits",
        Refusal::Capacity => "asks for more",
    }
}

/// Who waits, and the command that ends it.
pub(super) fn explain(refused: &RefusedHost) -> String {
    let RefusedHost { host, identity, reason, last_seen, .. } = refused;
    let identity = identity.map_or_else(|| "without a state folder".into(), |id| format!("identity {id}"));
    let last_seen = last_seen.strftime("%Y-%m-%d %H:%M:%S");
    match reason {
        Refusal::Identity => format!(
            "\nRefused: another machine says hello as {host} ({identity}, last at {last_seen}).\nIf the host was replaced: \
             novella host replace {host}"
        ),
        Refusal::New => format!(
            "\nWaits: the new host {host} ({identity}, last at {last_seen}).\nTo let it in: novella host approve {host}"
        ),
        Refusal::Capacity => format!(
            "\nAsks for more: {host} says that it has more than before (last at {last_seen}).\nTo give it: novella host \
             approve {host}"
        ),
    }
}
