//! In place of the crate of this name, by `[patch]` in the workspace's `Cargo.toml`.
//!
//! lapin's TLS takes a client's certificate as PEM or as PKCS#12, and compiles the reader of the second whether it is
//! used or not: 40 crates, most of them ciphers that nobody should use. Novella gives PEM only (`ssl_cert_file`), so
//! this reader has the functions that are called, and refuses.

use std::convert::Infallible;
use std::io;

/// A keystore, of which there is none.
#[derive(Debug)]
pub struct KeyStore(Infallible);

impl KeyStore {
    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn from_pkcs12(_der: &[u8], _password: &str) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "PKCS#12 is not read here: give certificate and key as PEM"))
    }

    /// Its first key.
    pub fn private_key_chain(&self) -> Option<(&str, &PrivateKeyChain)> {
        match self.0 {}
    }
}

/// A key with its certificates.
#[derive(Debug)]
pub struct PrivateKeyChain(Infallible);

impl PrivateKeyChain {
    /// The certificates.
    pub fn chain(&self) -> &[Certificate] {
        match self.0 {}
    }

    /// The key, as PKCS#8.
    pub fn key(&self) -> &[u8] {
        match self.0 {}
    }
}

/// A certificate.
#[derive(Debug)]
pub struct Certificate(Infallible);

impl Certificate {
    /// As DER.
    pub fn as_der(&self) -> &[u8] {
        match self.0 {}
    }
}
