//! TLS on the API's own address.

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use crate::support::{
    cloud::{PASSWORD, free_address, wait_for},
    process::{Process, novella},
};

/// An authority, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of the tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this machine, and its key.
    fn sign(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// The files of a folder, as the API is told of them.
fn environment(folder: &Path) -> BTreeMap<String, String> {
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    [
        ("NOVELLA_ADMIN_PASSWORD", PASSWORD.to_owned()),
        ("NOVELLA_LOG__FILTER", "info".to_owned()),
        ("NOVELLA_API__TLS__CERTIFICATE", file("certificate.pem")),
        ("NOVELLA_API__TLS__KEY", file("key.pem")),
        ("NOVELLA_API__TLS__AUTHORITY", file("authority.pem")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn write(folder: &Path, authority: &Authority) {
    let (certificate, key) = authority.sign();
    for (name, text) in [("certificate.pem", certificate), ("key.pem", key), ("authority.pem", authority.pem())] {
        fs::write(folder.join(name), text).unwrap();
    }
}

/// A connection that trusts this authority and no other.
async fn connect(address: &str, authority: &Authority) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

/// The answer to a request on a connection that stays.
async fn get(connection: &mut TlsStream<TcpStream>, address: &str, path: &str) -> io::Result<String> {
    connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    loop {
        let mut part = [0; 4096];
        let read = connection.read(&mut part).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.push_str(std::str::from_utf8(&part[..read]).unwrap());
        let length = text.split_once("content-length: ").and_then(|(_, rest)| rest.split_once("\r\n"));
        let length = length.map(|(length, _)| length.parse::<usize>().unwrap());
        if let (Some(length), Some((_, body))) = (length, text.split_once("\r\n\r\n"))
            && body.len() >= length
        {
            return Ok(text);
        }
    }
}

/// Whether a cloud is there for who trusts this authority.
async fn is_up(address: &str, authority: &Authority) -> bool {
    let Ok(mut connection) = connect(address, authority).await else { return false };
    get(&mut connection, address, "/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_speaks_tls_and_takes_a_new_certificate_without_a_restart() {
    let folder = TempDir::with_prefix("novella-test-").unwrap();
    let (first, second) = (Authority::new(), Authority::new());
    write(folder.path(), &first);
    let (address, data) = (free_address(), folder.path().join("data"));
    let data = data.to_str().unwrap();
    let arguments = ["up", "--listen", &address, "--data", data];
    let process = Process::start("up", &arguments, &environment(folder.path()), None, folder.path());
    wait_for("the cloud to be ready", async || is_up(&address, &first).await).await;
    assert!(!is_up(&address, &second).await);
    assert!(reqwest::get(format!("http://{address}/readyz")).await.is_err());
    // Its links say how it was reached.
    let mut kept = connect(&address, &first).await.unwrap();
    let root = get(&mut kept, &address, "/").await.unwrap();
    assert!(root.contains(&format!("https://{address}/compute/v2.1")), "{root}");

    // What others are told knows the authority.
    wait_for("the cloud's own files", async || folder.path().join("data/cloud.json").exists()).await;
    let env = novella().args(["env", "--data", data]).output().unwrap();
    let env = String::from_utf8(env.stdout).unwrap();
    assert!(env.contains("export OS_CACERT=/") && env.contains(&format!("https://{address}")), "{env}");

    // What can't be used is said, and changes nothing.
    let certificate = folder.path().join("certificate.pem");
    fs::write(&certificate, "nonsense").unwrap();
    process.hang_up();
    let said = "certificate.pem holds no certificate in PEM form";
    wait_for("a line of the log", async || process.log().contains(said)).await;
    assert!(is_up(&address, &first).await);

    write(folder.path(), &second);
    process.hang_up();
    wait_for("the new certificate", async || is_up(&address, &second).await).await;
    // A new connection gets the new one, and the one that there is goes on.
    assert!(!is_up(&address, &first).await);
    assert!(get(&mut kept, &address, "/readyz").await.unwrap().starts_with("HTTP/1.1 200"));
}

/// What a command says, and whether all was well.
fn said(arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
    let output = novella().args(arguments).envs(environment.iter().copied()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.success(), said.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_speaks_tls_and_believes_whom_it_is_told_to() {
    let folder = TempDir::with_prefix("novella-test-").unwrap();
    write(folder.path(), &Authority::new());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("other.pem"), Authority::new().pem()).unwrap();
    // The seed's server is made by requests, over TLS.
    let server = "servers: [{name: first, image: cirros, flavor: m1.tiny, project: admin}]";
    fs::write(path("seed.yaml"), server).unwrap();
    let (address, data, seed) = (free_address(), path("data"), path("seed.yaml"));
    let arguments = ["up", "--listen", &address, "--data", &data, "--seed", &seed];
    let _process = Process::start("up", &arguments, &environment(folder.path()), None, folder.path());
    wait_for("the cloud's own files", async || folder.path().join("data/cloud.json").exists()).await;

    // By the `clouds.yaml` in the cloud's folder, which names the authority.
    let (well, status) = said(&["status", "--data", &data], &[]);
    assert!(well && status.contains("3 up of 3") && status.contains("1 ACTIVE"), "{status}");
    let watch = ["watch", "--until-idle"];
    let (well, watched) = said(&[&watch[..], &["--data", &data]].concat(), &[]);
    assert!(well && watched.contains("first"), "{watched}");

    // By variables.
    let auth_url = format!("https://{address}/identity/v3");
    let variables = [("OS_AUTH_URL", auth_url.as_str()), ("OS_USERNAME", "admin"), ("OS_PASSWORD", PASSWORD)];
    let with = |name, value| [&variables[..], &[(name, value)]].concat();
    let (authority, other, missing) = (path("authority.pem"), path("other.pem"), path("missing.pem"));
    assert!(said(&watch, &with("OS_CACERT", &authority)).0);
    assert!(said(&watch, &with("OS_INSECURE", "1")).0);
    assert!(said(&[&watch[..], &["--insecure"]].concat(), &with("OS_CACERT", &other)).0);
    for unknown in [variables.to_vec(), with("OS_CACERT", &other)] {
        let (well, refusal) = said(&watch, &unknown);
        let helps = ["certificate", "`cacert` in clouds.yaml", "OS_CACERT", "--insecure"];
        assert!(!well && helps.iter().all(|help| refusal.contains(help)), "{refusal}");
    }
    let (well, refusal) = said(&watch, &with("OS_CACERT", &missing));
    assert!(!well && refusal.contains("missing.pem"), "{refusal}");

    // By a `clouds.yaml` of one's own.
    let entry = format!("{{auth_url: {auth_url}, username: admin, password: {PASSWORD}, project_name: admin}}");
    let clouds = path("clouds.yaml");
    let told = |more: &str, variables: &[(&str, &str)]| {
        fs::write(&clouds, format!("clouds: {{novella: {{auth: {entry}{more}}}}}")).unwrap();
        said(&watch, &[&[("OS_CLIENT_CONFIG_FILE", clouds.as_str())], variables].concat())
    };
    assert!(told(&format!(", cacert: {authority}"), &[]).0);
    assert!(told(", verify: false", &[]).0);
    assert!(told("", &[("OS_CACERT", &authority)]).0);
    assert!(!told("", &[]).0);

    let url = format!("https://{address}/readyz");
    assert!(said(&["healthcheck", &url], &[("OS_CACERT", &authority)]).0);
    let (well, refusal) = said(&["healthcheck", &url], &[]);
    assert!(!well && refusal.contains("OS_CACERT"), "{refusal}");
}

#[test]
fn an_api_that_can_not_speak_tls_as_it_is_told_says_why_and_does_not_start() {
    let folder = TempDir::with_prefix("novella-test-").unwrap();
    let (authority, data) = (Authority::new(), folder.path().join("data"));
    let refusal = || {
        let arguments = ["up", "--listen", &free_address(), "--data", data.to_str().unwrap()];
        let output = novella().args(arguments).envs(environment(folder.path())).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let path = |name: &str| folder.path().join(name);
    let refused = refusal();
    assert!(refused.contains("certificate.pem: No such file"), "{refused}");
    write(folder.path(), &authority);
    fs::write(path("key.pem"), authority.pem()).unwrap();
    let refused = refusal();
    assert!(refused.contains("key.pem holds no private key"), "{refused}");
    fs::write(path("key.pem"), authority.sign().1).unwrap();
    let refused = refusal();
    assert!(
        refused.contains("certificate.pem and the key") && refused.contains("keys may not be consistent"),
        "{refused}"
    );
    let alone = novella()
        .args(["up", "--listen", &free_address(), "--data", data.to_str().unwrap()])
        .env("NOVELLA_API__TLS__KEY", path("key.pem"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&alone.stderr).contains("api.tls.certificate is not"), "{alone:?}");
}

mod on_rabbitmq_and_postgres {
    use super::*;
    use crate::support::cloud::{Cloud, HOSTS, Settings};

    const FILES: [(&str, &str); 3] = [
        ("NOVELLA_COMPUTE__MIGRATION_TLS__CERTIFICATE", "certificate.pem"),
        ("NOVELLA_COMPUTE__MIGRATION_TLS__KEY", "key.pem"),
        ("NOVELLA_COMPUTE__MIGRATION_TLS__AUTHORITY", "authority.pem"),
    ];

    fn named(folder: &TempDir) -> Vec<(&'static str, String)> {
        FILES.map(|(variable, name)| (variable, folder.path().join(name).to_str().unwrap().to_owned())).into()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_guest_moves_between_hosts_of_one_authority_and_to_no_other() {
        let (ours, theirs) =
            (TempDir::with_prefix("novella-test-").unwrap(), TempDir::with_prefix("novella-test-").unwrap());
        write(ours.path(), &Authority::new());
        write(theirs.path(), &Authority::new());
        let mut cloud = Cloud::apart(Settings { environment: named(&ours), ..Settings::default() }).await;
        let client = cloud.client().await;
        let id = client.create("s", serde_json::json!({})).await;
        client.wait_for_status(&id, "ACTIVE").await;
        let source = client.host_of(&id).await;
        let others: Vec<&str> = HOSTS.into_iter().filter(|host| *host != source).collect();
        client.live_migrate(&id, Some(others[0])).await;
        assert_eq!(client.wait_until_settled(&id).await["status"], "ACTIVE");
        assert_eq!(client.host_of(&id).await, others[0]);

        let stranger = cloud.process(others[1]);
        assert!(stranger.terminate().success());
        for (variable, path) in named(&theirs) {
            stranger.set(variable, &path);
        }
        stranger.restart();
        wait_for("the stranger to be up", async || {
            let list = client.get(&format!("/os-services?binary=nova-compute&host={}", others[1])).await;
            list["services"][0]["state"] == "up"
        })
        .await;
        client.live_migrate(&id, Some(others[1])).await;
        assert_eq!(client.wait_until_settled(&id).await["status"], "ACTIVE");
        assert_eq!(client.host_of(&id).await, others[0]);
        assert_eq!(client.get("/os-migrations").await["migrations"][0]["status"], "error");
        cloud.assert_claims_add_up().await;
    }
}

#[test]
fn a_host_that_can_not_speak_tls_as_it_is_told_says_why_and_does_not_start() {
    let folder = TempDir::with_prefix("novella-test-").unwrap();
    write(folder.path(), &Authority::new());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(file("nonsense.pem"), "nonsense").unwrap();
    for (authority, reason) in [
        (None, "migration_tls needs certificate, key and authority"),
        (Some(file("nonsense.pem")), "nonsense.pem holds no certificate in PEM form"),
        (Some(file("missing.pem")), "missing.pem"),
    ] {
        let mut command = novella();
        command.args(["up", "--ephemeral", "--quiet", "--listen", &free_address(), "--management", &free_address()]);
        command.env("NOVELLA_COMPUTE__MIGRATION_TLS__CERTIFICATE", file("certificate.pem"));
        command.env("NOVELLA_COMPUTE__MIGRATION_TLS__KEY", file("key.pem"));
        if let Some(authority) = authority {
            command.env("NOVELLA_COMPUTE__MIGRATION_TLS__AUTHORITY", authority);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(reason), "{text}");
    }
}
