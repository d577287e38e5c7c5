//! Connections between hosts: plain TCP, or TLS in which each end shows a certificate of the authority that both trust.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use novella_common::tls::{TlsError, read_certificates, read_key};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        self, ClientConfig, RootCertStore, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
        server::WebPkiClientVerifier,
    },
};

use crate::config::MigrationTlsConfig;

/// How long a connection may take to come about.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection is.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection to another host.
pub(super) type Connection = Box<dyn Stream>;

/// How hosts reach each other.
#[derive(Clone, Debug)]
pub(crate) enum Peers {
    /// By TCP, which anybody on the way can read and change.
    Plain,
    /// By TLS.
    Tls(TlsFiles),
}

/// Where certificates are. Read for each connection: one that was replaced is taken from the next migration on.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    authority: PathBuf,
}

/// What is in them.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl Peers {
    /// As the configuration says.
    ///
    /// # Errors
    /// Only some of the files are named, or they can't be used; the text names key and file.
    pub(crate) fn of(config: &MigrationTlsConfig) -> Result<Self, String> {
        match config {
            MigrationTlsConfig { certificate: None, key: None, authority: None } => Ok(Self::Plain),
            MigrationTlsConfig { certificate: Some(certificate), key: Some(key), authority: Some(authority) } => {
                let (certificate, key, authority) = (certificate.clone(), key.clone(), authority.clone());
                let files = TlsFiles { certificate, key, authority };
                // Better now than at the first migration.
                files.acceptor().and_then(|_| files.connector()).map_err(|error| error.to_string())?;
                Ok(Self::Tls(files))
            }
            _ => Err("migration_tls needs certificate, key and authority, or none of them".into()),
        }
    }

    /// Connects to a host at `name:port`.
    pub(super) async fn connect(&self, address: &str) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let Self::Tls(files) = self else { return Ok(Box::new(stream)) };
        let connector = files.connector().map_err(io::Error::other)?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(connector.connect(name, stream).await?))
    }

    /// Takes a connection in.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        let Self::Tls(files) = self else { return Ok(Box::new(stream)) };
        let acceptor = files.acceptor().map_err(io::Error::other)?;
        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
        Ok(Box::new(shaken.map_err(|_| io::ErrorKind::TimedOut)??))
    }
}

impl TlsFiles {
    fn read(&self) -> Result<Identity, TlsError> {
        let mut authorities = RootCertStore::empty();
        for authority in read_certificates(&self.authority)? {
            authorities.add(authority).map_err(|cause| self.unusable(cause))?;
        }
        Ok(Identity {
            chain: read_certificates(&self.certificate)?,
            key: read_key(&self.key)?,
            authorities: Arc::new(authorities),
            provider: Arc::new(ring::default_provider()),
        })
    }

    fn unusable(&self, cause: rustls::Error) -> TlsError {
        TlsError::Unusable { certificate: self.certificate.clone(), key: self.key.clone(), cause }
    }

    fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let Identity { chain, key, authorities, provider } = self.read()?;
        let verifier = WebPkiClientVerifier::builder_with_provider(authorities, Arc::clone(&provider)).build();
        let verifier = verifier.map_err(|error| self.unusable(rustls::Error::General(error.to_string())))?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_client_cert_verifier(verifier).with_single_cert(chain, key));
        Ok(TlsAcceptor::from(Arc::new(config.map_err(|cause| self.unusable(cause))?)))
    }

    fn connector(&self) -> Result<TlsConnector, TlsError> {
        let Identity { chain, key, authorities, provider } = self.read()?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_root_certificates(authorities).with_client_auth_cert(chain, key));
        Ok(TlsConnector::from(Arc::new(config.map_err(|cause| self.unusable(cause))?)))
    }
}
