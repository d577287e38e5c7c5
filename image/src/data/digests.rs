//! MD5 and SHA-512 of bytes that pass, each in a thread of its own: together they take longer than anything else does with
//! the bytes.

use bytes::Bytes;
use md5::Md5;
use sha2::{Digest, Sha512};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// Both, so far.
pub(crate) struct Digests {
    md5: Running<Md5>,
    sha512: Running<Sha512>,
}

/// One, while it works on the last piece.
struct Running<D>(JoinHandle<D>);

impl<D: Digest + Send + 'static> Running<D> {
    fn new() -> Self {
        Self(spawn_blocking(D::new))
    }

    /// Waits for the piece before, so that one is in memory and not many.
    async fn add(&mut self, piece: Bytes) -> Result<(), JoinError> {
        let mut digest = (&mut self.0).await?;
        self.0 = spawn_blocking(move || {
            digest.update(&piece);
            digest
        });
        Ok(())
    }

    async fn finish(self) -> Result<String, JoinError> {
        let digest = self.0.await?.finalize();
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Digests {
    pub(crate) fn new() -> Self {
        Self { md5: Running::new(), sha512: Running::new() }
    }

    pub(crate) async fn add(&mut self, piece: &Bytes) -> Result<(), JoinError> {
        self.md5.add(piece.clone()).await?;
        self.sha512.add(piece.clone()).await
    }

    /// In hexadecimal digits: MD5, then SHA-512.
    pub(crate) async fn finish(self) -> Result<(String, String), JoinError> {
        Ok((self.md5.finish().await?, self.sha512.finish().await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pieces_make_the_digests_of_the_whole() {
        let mut digests = Digests::new();
        for piece in ["a", "", "bc"] {
            digests.add(&Bytes::from_static(piece.as_bytes())).await.unwrap();
        }
        let (md5, sha512) = digests.finish().await.unwrap();
        assert_eq!(md5, "900150983cd24fb0d6963f7d28e17f72");
        assert!(sha512.starts_with("ddaf35a193617abacc417349ae204131") && sha512.len() == 128);
    }
}
