//! The bytes of the images of a new cloud, which are described and not kept anywhere, since no simulated guest reads them:
//! an empty disk of the format and the size that are shown.

use std::{convert::Infallible, ops::Range};

use bytes::Bytes;
use futures_util::{Stream, stream};

use crate::db::Image;

/// Bytes that are sent at once.
const CHUNK: usize = 64 * 1024;
static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// A part of an image of this size, piece by piece.
pub(super) fn bytes(
    image: &Image,
    size: u64,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let header = match image.disk_format.as_deref() {
        Some("qcow2") => empty_qcow2(image.min_disk_gb),
        _ => Vec::new(),
    };
    stream::iter(chunks(header, size, range).map(Ok))
}

fn chunks(mut header: Vec<u8>, size: u64, range: Range<u64>) -> impl Iterator<Item = Bytes> + Send {
    header.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let header = Bytes::from(header);
    let mut at = range.start;
    std::iter::from_fn(move || {
        let left = range.end.saturating_sub(at);
        let in_header = usize::try_from(at).ok().filter(|at| *at < header.len()).map(|at| header.slice(at..));
        let next = in_header.unwrap_or_else(|| Bytes::from_static(&ZEROS));
        let length = usize::try_from(left).unwrap_or(CHUNK).min(next.len());
        at += length as u64;
        (length > 0).then(|| next.slice(..length))
    })
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
    use super::*;

    fn part(size: u64, range: Range<u64>) -> Vec<u8> {
        chunks(empty_qcow2(0), size, range).flatten().collect()
    }

    #[test]
    fn an_image_has_as_many_bytes_as_it_says_and_is_of_its_format() {
        for size in [0, 10, 72, CHUNK as u64, CHUNK as u64 + 73, 3 * CHUNK as u64] {
            assert_eq!(part(size, 0..size).len() as u64, size);
        }
        let disk = part(200_000, 0..200_000);
        assert_eq!((&disk[..8], disk.iter().skip(72).all(|byte| *byte == 0)), (&b"QFI\xfb\0\0\0\x02"[..], true));
        assert_eq!(u64::from_be_bytes(disk[24..32].try_into().unwrap()), 1 << 30);
        for range in [0..5, 3..80, 72..100, 150_000..200_000] {
            let (first, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
            assert_eq!(part(200_000, range), disk[first..end]);
        }
    }
}
