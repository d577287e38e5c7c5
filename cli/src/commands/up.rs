//! `novella up`: a whole cloud with one command.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use novella_common::{
    config::{Secret, SecretUrl},
    telemetry,
};
use novella_messaging::Transport;

use crate::{
    GlobalOptions,
    bus::AdminSocket,
    client::clouds_yaml,
    config::{Config, Flags, data_folder, is_default, sqlite_url},
    output,
    run::{cloud, signals::StopSignals},
};

#[derive(Debug, Args)]
pub(crate) struct UpOptions {
    /// Where the API listens [default: 127.0.0.1:8774]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// How many compute hosts to start
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20_000))]
    hosts: u16,
    /// Keep nothing: all data is in a temporary folder that goes when the cloud stops
    #[arg(long, conflicts_with = "data")]
    ephemeral: bool,
    /// The administrator's password; better set NOVELLA_ADMIN_PASSWORD, which `ps` does not show [default: generated]
    #[arg(long, value_name = "PASSWORD")]
    admin_password: Option<String>,
    /// Print nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) async fn run(global: &GlobalOptions, options: UpOptions) -> Result<()> {
    let mut signals = StopSignals::listen()?;
    let flags = Flags::default()
        .set("api.listen", options.listen)?
        .set("admin_password", options.admin_password)?
        .set("log.filter", options.quiet.then_some("error,lapin=off"))?;
    let (mut config, figment) = Config::load(global, &flags)?;
    // A person looks at this terminal: without a word from them, only what needs attention is logged.
    if !options.quiet && is_default(&figment, "log.filter") {
        config.log.filter = "warn,lapin=off".to_owned();
    }
    telemetry::init_logging(&config.log)?;
    telemetry::init_metrics()?;

    let folder = DataFolder::open(global, options.ephemeral)?;
    config.database.url = SecretUrl::new(sqlite_url(folder.path())?);
    let password = folder.admin_password(config.admin_password.take())?;
    config.admin_password = Some(password.clone());
    let state = folder.path().join("hosts");
    make_private_folder(&state)?;

    let cloud = cloud::start(&config, options.hosts, (!options.ephemeral).then_some(&state)).await?;

    let admin = serve_bus(folder.path(), cloud.transport());

    let endpoint = format!("http://{}", cloud.address);
    let clouds = folder.path().join("clouds.yaml");
    write_private(&clouds, &clouds_yaml(&endpoint, password.expose()))?;
    if !options.quiet {
        print_welcome(&endpoint, &clouds, &password, options.hosts)?;
    }
    signals.next().await;
    drop(admin);
    signals.finish(cloud.stop(), config.service.graceful_shutdown_timeout).await
}

/// Lets `novella rpc` and `novella bus` reach a bus that is in this process alone. The cloud does without, if it must.
fn serve_bus(folder: &Path, transport: &Transport) -> Option<AdminSocket> {
    if !transport.is_in_process() {
        return None;
    }
    AdminSocket::serve(folder, transport.clone()).inspect_err(|error| tracing::warn!("{error:#}")).ok()
}

/// Where the cloud's data is. A temporary one goes when this is dropped.
enum DataFolder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl DataFolder {
    fn open(global: &GlobalOptions, ephemeral: bool) -> Result<Self> {
        if ephemeral {
            let folder = tempfile::TempDir::with_prefix("novella-").context("can't make a temporary folder")?;
            return Ok(Self::Temporary(folder));
        }
        let folder = data_folder(global)?;
        make_private_folder(&folder)?;
        Ok(Self::Kept(folder))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// The administrator's password: the one given now, else the one of the last start, else a new one. Kept in a file
    /// that only its owner can read, so that the next start prints the same.
    fn admin_password(&self, given: Option<Secret>) -> Result<Secret> {
        let path = self.path().join("admin-password");
        let password = match given {
            Some(password) if password.expose().is_empty() => bail!("the administrator's password is empty"),
            Some(password) => password,
            None => match fs::read_to_string(&path) {
                Ok(kept) if !kept.trim().is_empty() => Secret::new(kept.trim()),
                Ok(_) => generate_password(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => generate_password(),
                Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
            },
        };
        write_private(&path, password.expose())?;
        Ok(password)
    }
}

/// 20 letters and digits: 119 bits, and nothing that a shell or YAML would take for its own.
fn generate_password() -> Secret {
    use rand::distr::{Alphanumeric, SampleString};
    Secret::new(Alphanumeric.sample_string(&mut rand::rng(), 20))
}

fn make_private_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("can't make the folder {}; choose another with --data DIR", path.display()))
}

/// Writes a file that only its owner can read; whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("can't write {}", path.display()))
}

fn print_welcome(endpoint: &str, clouds: &Path, password: &Secret, hosts: u16) -> Result<()> {
    let hosts = if hosts == 1 { "host-1".to_owned() } else { format!("host-1 to host-{hosts}") };
    let clouds = clouds.display();
    let password = password.expose();
    output::print(&format!(
        r#"Novella is up.

  endpoint     {endpoint}
  user         admin      (project admin, domain Default)
  password     {password}
  clouds.yaml  {clouds}
  hosts        {hosts}

Try, in another terminal:

  TOKEN=$(curl -si {endpoint}/identity/v3/auth/tokens -H 'Content-Type: application/json' -d '{{"auth": {{"identity": {{"methods": ["password"], "password": {{"user": {{"name": "admin", "domain": {{"id": "default"}}, "password": "{password}"}}}}}}, "scope": {{"project": {{"name": "admin", "domain": {{"id": "default"}}}}}}}}}}' | tr -d '\r' | sed -n 's/^x-subject-token: //pi')
  curl -s {endpoint}/compute/v2.1/flavors -H "X-Auth-Token: $TOKEN"
  export OS_CLIENT_CONFIG_FILE={clouds} OS_CLOUD=novella     # for `openstack server create ...` and `novella watch`
  novella watch

Ctrl-C stops it."#
    ))
}
