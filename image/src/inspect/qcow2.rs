//! QEMU's own format (qemu, docs/interop/qcow2.rst).

use super::{Found, Safety, region::part};

/// Bytes that are looked at.
const HEADER: usize = 512;
/// Incompatible features up to this one are known.
const KNOWN_FEATURES: u64 = (1 << 4) - 1;
/// The guest's data is in another file.
const EXTERNAL_DATA_FILE: u64 = 1 << 2;

pub(super) fn find(head: &[u8]) -> Option<Found> {
    let header = head.get(..HEADER)?;
    if !header.starts_with(b"QFI\xfb") {
        return None;
    }
    let number = |at| part(header, at).map_or(0, u64::from_be_bytes);
    let version = part(header, 4).map_or(0, u32::from_be_bytes);
    let (backing_file, features) = (number(8), number(72));
    let reason = match version {
        _ if backing_file != 0 => Some("backing_file"),
        3 if features & EXTERNAL_DATA_FILE != 0 => Some("data_file"),
        3 if features & !KNOWN_FEATURES != 0 => Some("unknown_features"),
        2 | 3 => None,
        _ => Some("version"),
    };
    Some(Found { format: "qcow2", virtual_size: number(24), safety: Safety::of(true, reason) })
}
