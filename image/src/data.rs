//! `GET /image/v2/images/{id}/file`: the bytes of an image.
//!
//! The images of a new cloud are described and not kept anywhere, since no simulated guest reads them. Their bytes follow
//! from the description: an empty disk of the format and the size that are shown.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::{StatusCode, header};
use novella_rest::{ApiError, Path};

use crate::{Request, db::Image, visible_image};

/// Bytes that are sent at once.
const CHUNK: usize = 64 * 1024;
static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Sends an image's bytes; 204 where it has none yet.
pub(crate) async fn download(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let image = visible_image(&request, &id).await?;
    match (image.status.as_str(), image.size) {
        ("deactivated", _) => Err(ApiError::Forbidden(
            "The requested image has been deactivated. Image data download is forbidden.".into(),
        )),
        ("active", Some(size)) => {
            let size = usize::try_from(size).unwrap_or(0);
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (header::CONTENT_LENGTH, size.to_string()),
            ];
            Ok((headers, Body::from_stream(stream::iter(chunks(&image, size).map(Ok::<_, Infallible>))))
                .into_response())
        }
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// All of an image, piece by piece.
fn chunks(image: &Image, size: usize) -> impl Iterator<Item = Bytes> + Send + use<> {
    let mut beginning = match image.disk_format.as_deref() {
        Some("qcow2") => empty_qcow2(image.min_disk_gb),
        _ => Vec::new(),
    };
    beginning.truncate(size);
    let rest = size - beginning.len();
    let zeros = Bytes::from_static(&ZEROS);
    let whole = std::iter::repeat_n(zeros.clone(), rest / CHUNK);
    std::iter::once(Bytes::from(beginning)).chain(whole).chain(std::iter::once(zeros.slice(..rest % CHUNK)))
}

/// The header of an empty disk (qemu, docs/interop/qcow2.rst, version 2), to be followed by zeros: its tables, in which
/// nothing is allocated, are in the second and the third cluster.
fn empty_qcow2(min_disk_gb: i64) -> Vec<u8> {
    const CLUSTER_BITS: u32 = 16;
    const CLUSTER: u64 = 1 << CLUSTER_BITS;
    /// Bytes of the disk that one entry of the first table is for: a cluster of 8-byte entries, each for a cluster.
    const ENTRY: u64 = CLUSTER / 8 * CLUSTER;
    let disk = u64::try_from(min_disk_gb.max(1)).unwrap_or(1).saturating_mul(1 << 30);
    let mut header = Vec::with_capacity(72);
    header.extend(*b"QFI\xfb");
    header.extend(2u32.to_be_bytes());
    // No backing file.
    header.extend([0; 12]);
    header.extend(CLUSTER_BITS.to_be_bytes());
    header.extend(disk.to_be_bytes());
    // Not encrypted.
    header.extend(0u32.to_be_bytes());
    header.extend(u32::try_from(disk.div_ceil(ENTRY)).unwrap_or(u32::MAX).to_be_bytes());
    header.extend((2 * CLUSTER).to_be_bytes());
    header.extend(CLUSTER.to_be_bytes());
    header.extend(1u32.to_be_bytes());
    // No snapshots.
    header.extend([0; 12]);
    header
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;

    fn bytes(disk_format: &str, size: usize) -> Vec<u8> {
        let image = Image {
            id: "i".into(),
            name: "i".into(),
            status: "active".into(),
            visibility: "public".into(),
            owner: None,
            size: None,
            min_disk_gb: 0,
            min_ram_mb: 0,
            disk_format: Some(disk_format.into()),
            container_format: None,
            properties: BTreeMap::new(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        chunks(&image, size).flatten().collect()
    }

    #[test]
    fn an_image_has_as_many_bytes_as_it_says_and_is_of_its_format() {
        for size in [0, 10, 72, CHUNK, CHUNK + 73, 3 * CHUNK] {
            assert_eq!((bytes("raw", size).len(), bytes("qcow2", size).len()), (size, size));
        }
        let disk = bytes("qcow2", 200_000);
        assert_eq!((&disk[..8], disk.iter().skip(72).all(|byte| *byte == 0)), (&b"QFI\xfb\0\0\0\x02"[..], true));
        assert_eq!(u64::from_be_bytes(disk[24..32].try_into().unwrap()), 1 << 30);
    }
}
