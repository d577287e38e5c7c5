//! Whose certificates are believed.

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use novella_common::tls::read_certificates;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::HttpClientError;

/// Whose certificates are believed: what OpenStack's clients call `verify` and `cacert`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Those that somebody has signed whom the system trusts.
    #[default]
    System,
    /// Those that somebody in this file has signed (PEM).
    Authority(PathBuf),
    /// Anybody's: whoever is on the way reads and changes what passes.
    Nothing,
}

/// Whom the system trusts. Reading them takes milliseconds, so it is done once.
static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // Where there are none, https is refused and http is not.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
});

impl Verify {
    /// How TLS is spoken. `needed`: whether it will be, as far as one knows.
    pub(super) fn config(&self, needed: bool) -> Result<ClientConfig, HttpClientError> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let roots = match self {
            Self::Nothing => {
                let anybody = Arc::new(Anybody(provider));
                let builder = builder.dangerous().with_custom_certificate_verifier(anybody);
                return Ok(builder.with_no_client_auth());
            }
            Self::Authority(file) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(read_certificates(file)?);
                Arc::new(roots)
            }
            Self::System if needed => Arc::clone(&SYSTEM),
            Self::System => Arc::new(RootCertStore::empty()),
        };
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// Believes any certificate, as long as whoever shows it has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
