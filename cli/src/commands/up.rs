//! `novella up`: a whole cloud with one command.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use novella_common::{
    config::{Secret, SecretUrl},
    service::{Grace, Shutdown, serve_management},
    telemetry,
};
use novella_messaging::Transport;

use super::detach;
use crate::{
    GlobalOptions,
    bus::AdminSocket,
    client::Credentials,
    clouds::{self, Access, CloudFolder, Logins, Record, RunLock, write_private},
    config::{Config, Flags, is_default, source, sqlite_url},
    output,
    run::{
        cloud, figures,
        seed::{self, SeedFile},
        signals::StopSignals,
        traces,
    },
};

/// Where the management address is, if nobody says, and nobody has it.
const MANAGEMENT: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 8780));

#[derive(Debug, Args)]
pub(crate) struct UpOptions {
    /// Where the API listens [default: 127.0.0.1:8774]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where /healthz, /readyz and /metrics are served [default: 127.0.0.1:8780, or another port if that is taken]
    #[arg(long, value_name = "ADDR:PORT")]
    management: Option<SocketAddr>,
    /// How many compute hosts to start
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20_000))]
    hosts: u16,
    /// Keep nothing: all data goes when the cloud stops
    #[arg(long, conflicts_with = "data")]
    pub(super) ephemeral: bool,
    /// The administrator's password; better set NOVELLA_ADMIN_PASSWORD, which `ps` does not show [default: generated]
    #[arg(long, value_name = "PASSWORD")]
    admin_password: Option<String>,
    /// Go on in the background; `novella ls`, `status`, `logs` and `down` look after it
    #[arg(long, short)]
    pub(super) detach: bool,
    /// Like --detach, and return when the cloud is ready
    #[arg(long)]
    pub(super) wait: bool,
    /// Put these users, projects, flavors, images and servers into the cloud, if they are not there (YAML, as in docs/ci.md)
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Begin with the cloud that `novella save` has written
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,
    /// Put the cloud into your own ~/.config/openstack/clouds.yaml, until it stops
    #[arg(long)]
    merge: bool,
    /// Let `novella fault` make operations and requests fail
    #[arg(long)]
    faults: bool,
    /// Print nothing but one line when the cloud is ready, and errors
    #[arg(long, short)]
    quiet: bool,
    /// This is the process in the background
    #[arg(long, hide = true)]
    pub(super) detached: bool,
}

pub(crate) async fn run(global: &GlobalOptions, options: UpOptions) -> Result<()> {
    if (options.detach || options.wait) && !options.detached {
        return detach::start(global, &options).await;
    }
    let mut signals = if options.detached { StopSignals::listen_in_background()? } else { StopSignals::listen()? };
    let flags = Flags::default()
        .set("api.listen", options.listen)?
        .set("management.listen", options.management)?
        .set("faults.enabled", options.faults.then_some(true))?
        .set("admin_password", options.admin_password.clone())?
        .set("log.filter", (options.quiet && !options.detached).then_some("error,lapin=off"))?;
    let (mut config, figment) = Config::load(global, &flags)?;
    for key in ["bus.url", "database.url"] {
        if !is_default(&figment, key) {
            bail!(
                "`novella up` is a cloud by itself, with its own bus and database, but {key} is set ({}): unset it, or \
                 start `novella api`, `scheduler`, `conductor` and `compute` on that bus and that database",
                source(&figment, key)
            );
        }
    }
    if config.api.identity_url.is_some() && (options.merge || options.seed.is_some()) {
        bail!(
            "users are in another Identity here ({}), so that --merge and --seed can't log in: unset api.identity_url, or \
             leave them out",
            source(&figment, "api.identity_url")
        );
    }
    // A person looks at this terminal: without a word from them, only what needs attention is logged.
    if !options.quiet && !options.detached && is_default(&figment, "log.filter") {
        config.log.filter = "warn,lapin=off".to_owned();
    }
    telemetry::init_logging(&config.log)?;
    figures::collect()?;
    traces::begin(&config.telemetry)?;
    clouds::make_files_private();

    let seed = options.seed.as_deref().map(SeedFile::read).transpose()?.unwrap_or_default();
    let folder = &DataFolder::open(global, &options).await?;
    if let Some(file) = &options.load {
        folder.cloud.load(file)?;
    }
    config.database.url = SecretUrl::new(sqlite_url(&folder.cloud)?);
    let password = kept_password(folder.path(), "admin", config.admin_password.take())?;
    config.admin_password = Some(password.clone());
    let demo_password = kept_password(folder.path(), "demo", config.demo_password.take())?;
    config.demo_password = Some(demo_password.clone());
    let state = folder.cloud.hosts()?;

    // A cloud that was loaded has guests in its hosts' files.
    let state = (!options.ephemeral || options.load.is_some()).then_some(&*state);
    let cloud = cloud::start(&config, options.hosts, state, &folder.cloud.images(), &seed).await?;
    let management_shutdown = Shutdown::new();
    let management = management(config.management.listen, &cloud, &management_shutdown).await?;
    let admin = serve_bus(folder.path(), cloud.transport());

    let tls = &config.api.tls;
    let scheme = if tls.certificate.is_some() { "https" } else { "http" };
    let endpoint = format!("{scheme}://{}", cloud.address);
    let cacert = tls.authority.as_deref().map(std::path::absolute).transpose()?;
    let access = Access { endpoint: &endpoint, password: password.expose(), cacert: cacert.as_deref() };
    let logins = Logins { access, demo_password: demo_password.expose() };
    let name = &folder.cloud.name;
    // Whoever logs in elsewhere knows how, and what an earlier start has left would lead nowhere.
    if config.api.identity_url.is_some() {
        for name in ["clouds.yaml", "openrc"] {
            match std::fs::remove_file(folder.path().join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("can't remove {name} from {}", folder.path().display()));
                }
                _ => {}
            }
        }
    } else {
        write_private(&folder.path().join("clouds.yaml"), &clouds::clouds_yaml(name, &logins))?;
        write_private(&folder.path().join("openrc"), &clouds::openrc(&access))?;
        let credentials = Credentials::of_folder(folder.path(), name.as_str())?.insecure(global);
        seed::create(&seed, &credentials).await?;
    }
    let merged_into = options.merge.then(clouds::users_clouds_yaml).transpose()?;
    if let Some(path) = &merged_into {
        clouds::merge(path, name, &logins)?;
    }
    let record = Record {
        name: name.to_string(),
        pid: std::process::id(),
        endpoint,
        cacert,
        management: format!("http://{management}"),
        hosts: options.hosts,
        started_at: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ephemeral: options.ephemeral,
        log: options.detached.then(|| folder.cloud.log()),
        merged_into,
    };
    folder.cloud.set_record(&record)?;
    if options.quiet {
        output::print(&format!("Novella is up: {}", record.endpoint))?;
    } else if let Some(url) = &config.api.identity_url {
        output::print(&format!(
            "Novella is up, with the users of {url}.\n\nThat it is found by its catalog:\n\n  openstack endpoint create \
             --region RegionOne compute public {}/compute/v2.1",
            record.endpoint
        ))?;
    } else {
        output::print(&welcome(global, folder, &record, &password))?;
    }
    if options.detached {
        detach::release_starter()?;
    }
    signals.next().await;
    folder.cloud.remove_record()?;
    // Said when the cloud has stopped, which it is to do even if its user's file is not as it was left.
    let unmerged = record.merged_into.as_ref().map_or(Ok(()), |path| clouds::unmerge(path, name));
    drop(admin);
    let grace = config.service.graceful_shutdown_timeout;
    let shared = Grace::begin(grace);
    let stop = async {
        cloud.stop().await;
        management_shutdown.request();
        management_shutdown.finished(shared.left()).await;
    };
    signals.finish(stop, grace).await?;
    unmerged
}

/// Serves `/healthz`, `/readyz` and `/metrics` of the whole cloud.
async fn management(listen: Option<SocketAddr>, cloud: &cloud::Cloud, shutdown: &Shutdown) -> Result<SocketAddr> {
    let wanted = listen.unwrap_or(MANAGEMENT);
    match serve_management(wanted, cloud.readiness(), shutdown).await {
        // Another cloud of this machine has the usual port, and nobody has asked for it.
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && listen.is_none() => {
            serve_management(SocketAddr::new(wanted.ip(), 0), cloud.readiness(), shutdown).await
        }
        served => served,
    }
    .with_context(|| format!("can't listen on {wanted}; choose another address with --management"))
}

/// Lets `novella rpc` and `novella bus` reach a bus that is in this process alone. The cloud does without, if it must.
fn serve_bus(folder: &Path, transport: &Transport) -> Option<AdminSocket> {
    AdminSocket::serve(folder, transport.clone()).inspect_err(|error| tracing::warn!("{error:#}")).ok()
}

/// Where the cloud's data is, held by this process.
struct DataFolder {
    cloud: CloudFolder,
    ends: End,
    // Given back after the data is gone.
    _lock: RunLock,
}

/// What becomes of the data when the cloud has stopped.
enum End {
    Kept,
    Removed,
    /// Removed, and the folder with it.
    Temporary {
        _folder: tempfile::TempDir,
    },
}

impl DataFolder {
    async fn open(global: &GlobalOptions, options: &UpOptions) -> Result<Self> {
        // Without a name nobody looks for it later.
        if options.ephemeral && global.name.is_none() && !options.detached {
            let folder = tempfile::TempDir::with_prefix("novella-").context("can't make a temporary folder")?;
            let here = GlobalOptions { data: Some(folder.path().to_owned()), ..global.clone() };
            let cloud = CloudFolder::find(&here)?;
            let lock = cloud.lock(global).await?;
            return Ok(Self { cloud, ends: End::Temporary { _folder: folder }, _lock: lock });
        }
        let cloud = CloudFolder::find(global)?;
        cloud.make()?;
        let lock = cloud.lock(global).await?;
        if options.ephemeral {
            cloud.begin_ephemeral()?;
        }
        Ok(Self { cloud, ends: if options.ephemeral { End::Removed } else { End::Kept }, _lock: lock })
    }

    fn path(&self) -> &Path {
        self.cloud.path()
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if matches!(self.ends, End::Removed)
            && let Err(error) = self.cloud.remove()
        {
            tracing::error!("{error:#}");
        }
    }
}

/// The password of a user: the one given now, else the one of the last start, else a new one. Kept in a file that only
/// its owner can read, so that the next start has the same.
fn kept_password(folder: &Path, user: &str, given: Option<Secret>) -> Result<Secret> {
    let path = folder.join(format!("{user}-password"));
    let password = match given {
        Some(password) if password.expose().is_empty() => bail!("the password of the user {user} is empty"),
        Some(password) => password,
        None => match std::fs::read_to_string(&path) {
            Ok(kept) if !kept.trim().is_empty() => Secret::new(kept.trim()),
            Ok(_) => generate_password(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => generate_password(),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        },
    };
    write_private(&path, password.expose())?;
    Ok(password)
}

/// 20 letters and digits: 119 bits, and nothing that a shell or YAML would take for its own.
fn generate_password() -> Secret {
    use rand::distr::{Alphanumeric, SampleString};
    Secret::new(Alphanumeric.sample_string(&mut rand::rng(), 20))
}

fn welcome(global: &GlobalOptions, folder: &DataFolder, record: &Record, password: &Secret) -> String {
    let hosts = if record.hosts == 1 { "host-1".to_owned() } else { format!("host-1 to host-{}", record.hosts) };
    // A temporary folder has no name to find it by.
    let selector = match folder.ends {
        End::Temporary { .. } => format!(" --data {}", folder.path().display()),
        End::Kept | End::Removed => clouds::selector(global),
    };
    let stop = if record.log.is_some() { format!("`novella down{selector}`") } else { "Ctrl-C".to_owned() };
    let (endpoint, management, name) = (&record.endpoint, &record.management, &record.name);
    let (clouds, password) = (folder.path().join("clouds.yaml"), password.expose());
    let client = match &record.merged_into {
        Some(path) => format!("openstack --os-cloud {name} server list     # from {}", path.display()),
        None => format!("eval \"$(novella env{selector})\"     # for openstack and all of its like"),
    };
    format!(
        r#"Novella is up.

  endpoint     {endpoint}
  user         admin      (project admin, domain Default)
  password     {password}
  clouds.yaml  {}     (cloud {name}; {name}-demo for the user demo)
  management   {management}      (/readyz, /metrics)
  hosts        {hosts}

Try, in another terminal:

  {client}
  openstack server create --flavor m1.tiny --image cirros first
  novella watch{selector}

{stop} stops it."#,
        clouds.display()
    )
}
