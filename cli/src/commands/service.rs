//! `novella service list`: who is there, in the form of `nova-manage service list`; `novella service replace`: which machine
//! is the host of a name.

use anyhow::{Result, bail};
use clap::Subcommand;
use novella_common::{
    db::{
        Database,
        host_identities::{self, RefusedHost},
        listening, services,
    },
    models::Binary,
};
use serde_json::json;

use crate::{
    GlobalOptions,
    config::{Config, Flags},
    output::{self, Format},
};

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// List the services, and whether they are up `:-)` or down `XXX`
    List {
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        format: Format,
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

pub(crate) async fn run(global: &GlobalOptions, command: ServiceCommand) -> Result<()> {
    let (config, _) = Config::load(global, &Flags::default())?;
    let database = Database::connect(&config.database).await?;
    database.check_schema().await?;
    let done = match command {
        ServiceCommand::List { format } => list(&database, &config, format).await,
        ServiceCommand::Replace { host, force } => replace(&database, &config, &host, force).await,
    };
    database.close().await;
    done
}

async fn replace(database: &Database, config: &Config, host: &str, force: bool) -> Result<()> {
    let mut transaction = database.begin().await?;
    let known = services::find(&mut transaction, Binary::Compute, host).await?;
    let fresh_since = listening::fresh_since(&mut transaction, config.service.service_down_time).await?;
    if !force && known.is_some_and(|service| service.is_up(&fresh_since)) {
        bail!(
            "host {host} is up: stop the machine that has the name and wait until `novella service list` shows it down, or \
             say --force if it is gone for good"
        );
    }
    if !host_identities::replace(&mut transaction, host).await? {
        bail!("no other machine has said hello under the name {host}: start the new one, and try again");
    }
    transaction.commit().await?;
    output::print(&format!("{host} is the new machine from its next hello on, within 10 s."))
}

async fn list(database: &Database, config: &Config, format: Format) -> Result<()> {
    let mut connection = database.read().await?;
    let services = services::list(&mut connection, None, None).await?;
    let fresh_since = listening::fresh_since(&mut connection, config.service.service_down_time).await?;
    let refused = host_identities::refused(&mut connection).await?;
    drop(connection);
    let status = |disabled| if disabled { "disabled" } else { "enabled" };
    let mut rows: Vec<_> = services
        .iter()
        .map(|service| {
            // The form of `nova-manage service list`; programs get the API's words.
            let state = match (format, service.is_up(&fresh_since)) {
                (Format::Table, true) => ":-)",
                (Format::Table, false) => "XXX",
                (_, true) => "up",
                (_, false) => "down",
            };
            let updated_at = match format {
                Format::Table => service.last_seen.strftime("%Y-%m-%d %H:%M:%S").to_string(),
                _ => service.last_seen.to_string(),
            };
            json!({
                "binary": service.binary.as_str(),
                "host": service.host,
                "zone": service.zone,
                "status": status(service.disabled),
                "state": state,
                "updated_at": updated_at,
            })
        })
        .collect();
    if format != Format::Table {
        rows.extend(refused.iter().map(|refused| {
            json!({
                "binary": Binary::Compute.as_str(),
                "host": refused.host,
                "state": "refused",
                "identity": refused.identity,
                "updated_at": refused.last_seen.to_string(),
            })
        }));
    }
    let columns = [
        ("Binary", "binary"),
        ("Host", "host"),
        ("Zone", "zone"),
        ("Status", "status"),
        ("State", "state"),
        ("Updated_At", "updated_at"),
    ];
    output::print_list(format, &columns, &rows)?;
    if format == Format::Table {
        for RefusedHost { host, identity, last_seen } in &refused {
            let identity = identity.map_or_else(|| "without a state folder".into(), |id| format!("identity {id}"));
            output::print(&format!(
                "\nRefused: another machine says hello as {host} ({identity}, last at {}).\nIf the host was replaced: \
                 novella service replace {host}",
                last_seen.strftime("%Y-%m-%d %H:%M:%S")
            ))?;
        }
    }
    Ok(())
}
