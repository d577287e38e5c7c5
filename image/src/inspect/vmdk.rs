//! VMware's format: a header and a description in text, which names the files in which the disk is. Only the two kinds that
//! consist of one file are taken.

use super::{
    Found, Safety,
    region::{Region, little_u32, little_u64},
};

const SECTOR: u64 = 512;
/// Where the description is, and how long it may be: as in QEMU.
const DESCRIPTION_AT: usize = 512;
const LONGEST_DESCRIPTION: usize = (1 << 20) - 1;
/// The least of a header by which it can be told.
const LEAST_HEADER: usize = 64;
/// In place of an address: it is in a footer.
const AT_END: u64 = u64::MAX;
/// A marker, the footer and the marker of the end.
const FOOTER: usize = 3 * SECTOR as usize;

#[derive(Debug)]
pub(super) struct Vmdk {
    /// From the beginning to the description's end.
    beginning: Region,
    /// The last bytes so far, if it has a footer.
    end: Vec<u8>,
    /// Whether it is none, so that nothing need be kept.
    no: bool,
}

impl Vmdk {
    pub(super) const fn new() -> Self {
        Self { beginning: Region::new(0, DESCRIPTION_AT + LONGEST_DESCRIPTION), end: Vec::new(), no: false }
    }

    pub(super) fn look(&mut self, bytes: &[u8], at: u64) {
        if self.no {
            return;
        }
        self.beginning.take(bytes, at);
        let beginning = self.beginning.bytes();
        if beginning.len() >= LEAST_HEADER && !is_sparse(beginning) && !is_text(beginning) {
            *self = Self { no: true, ..Self::new() };
            return;
        }
        if is_sparse(beginning) {
            // All of a short piece, and the end of a long one.
            self.end.extend_from_slice(&bytes[bytes.len().saturating_sub(FOOTER)..]);
            let surplus = self.end.len().saturating_sub(FOOTER);
            self.end.drain(..surplus);
        }
    }

    pub(super) fn found(&self, total: u64) -> Option<Found> {
        let beginning = self.beginning.bytes();
        if self.no || beginning.len() < LEAST_HEADER {
            return None;
        }
        if !is_sparse(beginning) {
            // A description alone, whose disk is in other files.
            kind(description(beginning)?)?;
            return Some(Found { format: "vmdk", virtual_size: 0, safety: Safety::Unsafe("descriptor") });
        }
        let version = little_u32(beginning, 4);
        let (place, sectors) = (little_u64(beginning, 28), little_u64(beginning, 36));
        let length = usize::try_from(sectors.saturating_mul(SECTOR)).unwrap_or(usize::MAX).min(LONGEST_DESCRIPTION);
        let footer = little_u64(beginning, 56) == AT_END;
        if !(1..=3).contains(&version) || place.saturating_mul(SECTOR) != DESCRIPTION_AT as u64 {
            return Some(Found { format: "vmdk", virtual_size: 0, safety: Safety::Unsafe("descriptor") });
        }
        let complete = total >= (DESCRIPTION_AT + length) as u64 && (!footer || self.end.len() == FOOTER);
        let text = beginning.get(DESCRIPTION_AT..DESCRIPTION_AT + length).and_then(description);
        let reason = match &text {
            Some(text) if fits(text) => {
                if footer && !footer_fits(beginning, &self.end) {
                    Some("footer")
                } else {
                    None
                }
            }
            _ => Some("descriptor"),
        };
        let virtual_size = if reason.is_none() { little_u64(beginning, 12).saturating_mul(SECTOR) } else { 0 };
        Some(Found { format: "vmdk", virtual_size, safety: Safety::of(complete, reason) })
    }
}

fn is_sparse(beginning: &[u8]) -> bool {
    beginning.starts_with(b"KDMV")
}

fn is_text(beginning: &[u8]) -> bool {
    let first = &beginning[..beginning.len().min(DESCRIPTION_AT)];
    first.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace() || *byte == 0x0b)
}

/// The text up to its padding, in lower case: the format does not tell cases apart.
fn description(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = &bytes[..end];
    (text.is_ascii() && !text.is_empty()).then(|| String::from_utf8_lossy(text).to_ascii_lowercase())
}

/// Which kind it says it is.
fn kind(text: impl AsRef<str>) -> Option<String> {
    let (_, rest) = text.as_ref().split_once("createtype=\"")?;
    let (kind, _) = rest.split_once('"')?;
    (kind.len() < 64).then(|| kind.to_owned())
}

/// Whether every line of a description is understood, and none leads elsewhere.
fn fits(text: &str) -> bool {
    if !matches!(kind(text).as_deref(), Some("monolithicsparse" | "streamoptimized")) {
        return false;
    }
    let mut extents = 0;
    for line in text.lines().map(str::trim) {
        let first = line.split(' ').next().unwrap_or_default();
        let header = line.split_once('=').is_some_and(|(name, _)| !name.contains(' '));
        if line.is_empty() || line.starts_with('#') || line.starts_with("ddb") || header {
            continue;
        }
        if !matches!(first, "rw" | "rdonly" | "noaccess") || line.contains('/') {
            return false;
        }
        extents += 1;
    }
    extents > 0
}

/// Whether the footer, which counts before the header, says the same.
fn footer_fits(header: &[u8], end: &[u8]) -> bool {
    let (Some(marker), Some(footer), Some(last)) = (end.get(..512), end.get(512..1024), end.get(1024..)) else {
        return false;
    };
    let empty = |sector: &[u8]| sector[16..].iter().all(|byte| *byte == 0);
    let same = header.get(..8) == footer.get(..8) && header.get(28..44) == footer.get(28..44);
    let marks = little_u32(marker, 8) == 0 && little_u32(marker, 12) == 3 && empty(marker);
    let ends = little_u64(last, 0) == 0 && little_u64(last, 8) == 0 && empty(last);
    same && marks && ends && little_u64(footer, 56) != AT_END
}
