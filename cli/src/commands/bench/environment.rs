//! Where a run's cloud keeps its state: for services apart, a database and a virtual host of the run's own, on the
//! servers that the configuration names.
//!
//! A run that shared them with the one before would be measured with its hosts, which count as up for some seconds, its
//! queues and its rows.

use anyhow::{Context, Result, bail};
use novella_common::config::SecretUrl;
use reqwest::Url;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{bus::Management, config::Config};

/// How a cloud's services are laid out, and on which servers.
pub(super) enum Shape {
    /// All in one process.
    Embedded,
    /// Each in its own, on a broker and a database.
    Apart(Box<Servers>),
}

/// The broker and the database server on which runs have their own virtual host and database.
pub(super) struct Servers {
    bus: Url,
    management: Management,
    database: Url,
}

impl Shape {
    /// Services apart on the servers that the configuration names; `None` if it names none.
    pub(super) fn apart(config: &Config) -> Result<Option<Self>> {
        let (bus, database) = (&config.bus.url, &config.database.url);
        if !(bus.expose().starts_with("amqp") && database.expose().starts_with("postgres")) {
            return Ok(None);
        }
        let Some(management) = &config.bus.management_url else {
            bail!(
                "set NOVELLA_BUS__MANAGEMENT_URL=http://user:password@host:15672 as well: each run has a virtual host of \
                 its own, which RabbitMQ's management API creates (or measure with --embedded)"
            );
        };
        Ok(Some(Self::Apart(Box::new(Servers {
            bus: parse(bus, "bus.url")?,
            management: Management::new(management, bus)?,
            database: parse(database, "database.url")?,
        }))))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded (SQLite, in-process bus)",
            Self::Apart(_) => "services apart (PostgreSQL, RabbitMQ)",
        }
    }
}

fn parse(url: &SecretUrl, key: &str) -> Result<Url> {
    // The error would be shown with the password.
    url.expose().parse().ok().with_context(|| format!("{key} {url} is no URL of one server"))
}

/// A run's own database and virtual host. To be dropped with [`RunServers::remove`].
pub(super) struct RunServers {
    pub(super) bus: String,
    pub(super) database: String,
    name: String,
}

impl RunServers {
    /// Creates both, empty.
    pub(super) async fn create(servers: &Servers) -> Result<Self> {
        let name = format!("novella_bench_{}", uuid::Uuid::new_v4().simple());
        let mut admin = connect(servers).await?;
        admin
            .execute(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .await
            .context("creating a database for the run; the user needs the right CREATEDB")?;
        let (mut bus, mut database) = (servers.bus.clone(), servers.database.clone());
        bus.set_path(&name);
        database.set_path(&name);
        let created = Self { bus: bus.into(), database: database.into(), name };
        if let Err(error) = servers.management.create_vhost(&created.name).await {
            created.remove(servers).await?;
            return Err(error.context("creating a virtual host for the run"));
        }
        Ok(created)
    }

    /// Deletes both, with all that is in them.
    pub(super) async fn remove(self, servers: &Servers) -> Result<()> {
        let vhost = servers.management.delete_vhost(&self.name).await;
        let mut admin = connect(servers).await?;
        admin.execute(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name))).await?;
        vhost.with_context(|| format!("deleting the virtual host {}", self.name))
    }
}

async fn connect(servers: &Servers) -> Result<PgConnection> {
    PgConnection::connect(servers.database.as_str()).await.context("can't connect to the database server")
}
