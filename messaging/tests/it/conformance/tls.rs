//! `amqps://`: who is trusted, and what the error says about who is not.

use novella_messaging::{MessagingError, Transport, TransportOptions};
use novella_testing::{Broker, free_port};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::conformance::support::*;

/// An authority, and a broker with a certificate for `localhost` by it.
struct Secured {
    broker: Broker,
    port: u16,
    folder: TempDir,
}

impl Secured {
    /// With these lines added to the broker's configuration.
    async fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (trusted, another) = (authority("trusted"), authority("another"));
        let file = |name: &str, content: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        // Into two files, NAME.pem and NAME.key.
        let certify = |name: &str, host: &str, issuer: &CertifiedIssuer<'static, KeyPair>| {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
            (file(&format!("{name}.pem"), certificate.pem()), file(&format!("{name}.key"), key.serialize_pem()))
        };
        let port = free_port();
        let (certificate, key) = certify("server", "localhost", &trusted);
        let configuration = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.certfile = {certificate}\n\
             ssl_options.keyfile = {key}\n\
             {configuration}",
            file("ca.pem", trusted.pem())
        );
        file("other.pem", another.pem());
        certify("client", "client", &trusted);
        certify("stranger", "client", &another);
        Self { broker: Broker::start(&configuration).await, port, folder }
    }

    /// Connects to it by this name, trusting the authority in that file.
    async fn connect(&self, host: &str, trusted: Option<&str>) -> Result<Transport, MessagingError> {
        self.connect_as(None, host, trusted).await
    }

    /// The same with the certificate of this name.
    async fn connect_as(
        &self,
        client: Option<&str>,
        host: &str,
        trusted: Option<&str>,
    ) -> Result<Transport, MessagingError> {
        let path = |name: &str| self.folder.path().join(name);
        let options = TransportOptions {
            ssl_ca_file: trusted.map(path),
            ssl_cert_file: client.map(|name| path(&format!("{name}.pem"))),
            ssl_key_file: client.map(|name| path(&format!("{name}.key"))),
            ..TransportOptions::default()
        };
        Transport::connect(&self.broker.tls_url(host, self.port), options).await
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub async fn a_broker_is_reached_by_tls_and_one_with_a_wrong_certificate_is_not() {
    let secured = Secured::start("").await;
    let (transport, workers) = (secured.connect("localhost", Some("ca.pem")).await.unwrap(), Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    assert_eq!(WorkClient::new(&transport).echo(&context(), "secret".into()).await.unwrap().1, "secret");

    for (host, trusted) in [("localhost", None), ("localhost", Some("other.pem")), ("127.0.0.1", Some("ca.pem"))] {
        let error = within(secured.connect(host, trusted)).await.unwrap_err();
        let MessagingError::ConnectionFailed { address, reason } = &error else { panic!("{error:?}") };
        assert_eq!(*address, format!("{host}:{}", secured.port));
        assert!(reason.contains("certificate") && reason.contains("ssl_ca_file"), "{host} {trusted:?}: {reason}");
    }
    let error = secured.connect("localhost", Some("missing.pem")).await.unwrap_err();
    assert!(matches!(&error, MessagingError::InvalidOption { option, .. } if option == "ssl_ca_file"), "{error:?}");
}

pub async fn a_broker_that_asks_for_a_certificate_is_reached_with_one_and_not_without() {
    let secured = Secured::start("ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n").await;
    let transport = secured.connect_as(Some("client"), "localhost", Some("ca.pem")).await.unwrap();
    let workers = Workers::new();
    let _server = workers.serve(&transport, "host-1").await;
    assert_eq!(WorkClient::new(&transport).echo(&context(), "secret".into()).await.unwrap().1, "secret");

    // One by an authority that the broker does not know is as good as none.
    for client in [None, Some("stranger")] {
        let error = within(secured.connect_as(client, "localhost", Some("ca.pem"))).await.unwrap_err();
        let MessagingError::ConnectionFailed { address, reason } = &error else { panic!("{error:?}") };
        assert_eq!(*address, format!("localhost:{}", secured.port));
        assert!(reason.contains("certificate") && reason.contains("ssl_cert_file"), "{client:?}: {reason}");
    }
}
