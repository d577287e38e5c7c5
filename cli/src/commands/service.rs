//! `novella service list`: who is there, in the form of `nova-manage service list`.

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use comfy_table::{Table, presets};
use jiff::Timestamp;
use novella_common::db::{Database, services};
use serde_json::json;

use crate::{
    GlobalOptions,
    config::{Config, Flags},
    output,
};

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// List the services, and whether they are up `:-)` or down `XXX`
    List {
        /// How to print
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

pub(crate) async fn run(global: &GlobalOptions, command: ServiceCommand) -> Result<()> {
    let ServiceCommand::List { format } = command;
    let (config, _) = Config::load(global, &Flags::default())?;
    let database = Database::connect(&config.database).await?;
    database.check_schema().await?;
    let services = services::list(&mut *database.read().await?, None, None).await?;
    database.close().await;

    let now = Timestamp::now();
    let is_up = |service: &novella_common::models::Service| service.is_up(now, config.service.service_down_time);
    let status = |disabled| if disabled { "disabled" } else { "enabled" };
    match format {
        Format::Table => {
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            table.set_header(["Binary", "Host", "Zone", "Status", "State", "Updated_At"]);
            for service in &services {
                table.add_row([
                    service.binary.as_str(),
                    &service.host,
                    &service.zone,
                    status(service.disabled),
                    if is_up(service) { ":-)" } else { "XXX" },
                    &service.last_seen.strftime("%Y-%m-%d %H:%M:%S").to_string(),
                ]);
            }
            output::print(&table.trim_fmt())
        }
        Format::Json => {
            let list: Vec<_> = services
                .iter()
                .map(|service| {
                    json!({
                        "binary": service.binary.as_str(),
                        "host": service.host,
                        "zone": service.zone,
                        "status": status(service.disabled),
                        "state": if is_up(service) { "up" } else { "down" },
                        "updated_at": service.last_seen.to_string(),
                    })
                })
                .collect();
            output::print(&serde_json::to_string_pretty(&list)?)
        }
    }
}
