//! Certificates and keys from files, for whatever speaks TLS.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio_rustls::rustls::{
    self,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
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

/// The certificates in a file: one with its chain, or authorities.
///
/// # Errors
/// It can't be read, or has none.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    read_pem(path, "certificate", |bytes| {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(bytes).collect::<Result<_, _>>()?;
        if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) }
    })
}

/// The private key in a file.
///
/// # Errors
/// It can't be read, or has none.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    read_pem(path, "private key", PrivateKeyDer::from_pem_slice)
}

fn read_pem<T>(
    path: &Path,
    what: &'static str,
    parse: impl FnOnce(&[u8]) -> Result<T, pem::Error>,
) -> Result<T, TlsError> {
    let bytes = std::fs::read(path).map_err(|cause| TlsError::Unreadable { path: path.to_owned(), cause })?;
    parse(&bytes).map_err(|cause| TlsError::Malformed { path: path.to_owned(), what, cause: cause.to_string() })
}
