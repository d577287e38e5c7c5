//! `novella db`: the schema, and what a new cloud begins with.

use anyhow::Result;
use clap::Subcommand;
use novella_common::db::Database;
use novella_identity::seed::SeededUser;

use crate::{
    GlobalOptions,
    clouds::make_files_private,
    config::{Config, Flags},
    output,
    run::seed::{self, SeedFile},
};

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Bring the database to this program's schema, and put in the first flavors, images and the administrator
    ///
    /// The administrator's password is read from NOVELLA_ADMIN_PASSWORD. Safe to run again, and by several at once.
    Sync,
}

pub(crate) async fn run(global: &GlobalOptions, command: DbCommand) -> Result<()> {
    let DbCommand::Sync = command;
    let (config, _) = Config::load(global, &Flags::default())?;
    make_files_private();
    let database = Database::connect(&config.database).await?;
    database.migrate().await?;
    output::print(&format!("schema up to date: {}", config.database.url))?;
    let seeded = seed::run(&database, &config, &SeedFile::default()).await?;
    output::print(match seeded.admin {
        SeededUser::Created => "user admin made",
        SeededUser::PasswordSet => "user admin has the given password now",
        SeededUser::Unchanged => "user admin is as it was",
        SeededUser::Missing => "user admin is not there: set NOVELLA_ADMIN_PASSWORD and run this again",
    })?;
    database.close().await;
    Ok(())
}
