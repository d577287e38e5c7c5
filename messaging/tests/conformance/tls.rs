//! `amqps://`: who is trusted, and what the error says about who is not.

use novella_messaging::{MessagingError, Transport, TransportOptions};
use novella_testing::{Broker, free_ports};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::support::*;

/// An authority, and a broker with a certificate for `localhost` by it.
struct Secured {
    broker: Broker,
    port: u16,
    folder: TempDir,
}

impl Secured {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = authority("trusted");
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let file = |name: &str, content: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        let [port] = free_ports();
        let configuration = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n",
            file("ca.pem", issuer.pem()),
            file("server.pem", certificate.pem()),
            file("server.key", key.serialize_pem())
        );
        file("other.pem", authority("another").pem());
        Self { broker: Broker::start(&configuration).await, port, folder }
    }

    /// Connects to it by this name, trusting the authority in that file.
    async fn connect(&self, host: &str, trusted: Option<&str>) -> Result<Transport, MessagingError> {
        let options = TransportOptions {
            ssl_ca_file: trusted.map(|name| self.folder.path().join(name)),
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
    let secured = Secured::start().await;
    let (transport, crew) = (secured.connect("localhost", Some("ca.pem")).await.unwrap(), Crew::new());
    let _server = crew.serve(&transport, "host-1").await;
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
