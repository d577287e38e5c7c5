//! TLS on the address of the services: a certificate and its key, read again when an operator has replaced them.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use novella_common::service::Handshake;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
    },
    server::TlsStream,
};

/// Why there is no TLS. The text names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("can't read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A file has something else in it.
    #[error("{} holds no {what} in PEM form: {cause}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// Certificate and key can't be used together.
    #[error("the certificate {} and the key {}: {cause}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        cause: rustls::Error,
    },
}

/// TLS with the certificate that was read last. Clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    certificate: PathBuf,
    key: PathBuf,
    /// Taken by each new connection; those that there are keep theirs.
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads a certificate with its chain, and its key.
    ///
    /// # Errors
    /// They can't be read, or do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = RwLock::new(Arc::new(read(certificate, key)?));
        Ok(Self(Arc::new(Shared { certificate: certificate.to_owned(), key: key.to_owned(), config })))
    }

    /// Reads both again, for connections that come from now on.
    ///
    /// # Errors
    /// As [`Tls::read`]; then everything stays as it is.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(read(&self.0.certificate, &self.0.key)?);
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }
}

impl Handshake for Tls {
    type Io = TlsStream<TcpStream>;

    async fn shake(&self, stream: TcpStream) -> io::Result<Self::Io> {
        let config = Arc::clone(&self.0.config.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { certificate, key, .. } = &*self.0;
        f.debug_struct("Tls").field("certificate", certificate).field("key", key).finish_non_exhaustive()
    }
}

fn read(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let unusable = |cause| TlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), cause };
    let chain = read_pem(certificate, "certificate", |bytes| {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(bytes).collect::<Result<_, _>>()?;
        if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) }
    })?;
    let key = read_pem(key, "private key", PrivateKeyDer::from_pem_slice)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn read_pem<T>(
    path: &Path,
    what: &'static str,
    parse: impl FnOnce(&[u8]) -> Result<T, pem::Error>,
) -> Result<T, TlsError> {
    let bytes = std::fs::read(path).map_err(|cause| TlsError::Unreadable { path: path.to_owned(), cause })?;
    parse(&bytes).map_err(|cause| TlsError::Malformed { path: path.to_owned(), what, cause: cause.to_string() })
}
