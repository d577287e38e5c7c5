//! `novella service list`: who is there, in the form of `nova-manage service list`.

use anyhow::Result;
use clap::Subcommand;
use novella_common::{
    db::{Database, host_admission, listening, services},
    models::Binary,
};
use serde_json::json;

use super::host;
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
}

pub(crate) async fn run(global: &GlobalOptions, command: ServiceCommand) -> Result<()> {
    let (config, _) = Config::load(global, &Flags::default())?;
    let database = Database::connect(&config.database).await?;
    database.check_schema().await?;
    let done = match command {
        ServiceCommand::List { format } => list(&database, &config, format).await,
    };
    database.close().await;
    done
}

async fn list(database: &Database, config: &Config, format: Format) -> Result<()> {
    let mut connection = database.read().await?;
    let services = services::list(&mut connection, None, None).await?;
    let fresh_since = listening::fresh_since(&mut connection, config.service.service_down_time).await?;
    let refused = host_admission::refused(&mut connection).await?;
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
                "state": host::state_of(refused.reason),
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
        refused.iter().try_for_each(|refused| output::print(&host::explain(refused)))?;
    }
    Ok(())
}
