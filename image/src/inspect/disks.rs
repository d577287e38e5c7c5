//! Formats that are told by a few bytes, and lead nowhere.

use super::{
    Found, Safety,
    region::{little_u32, little_u64, part},
};

/// What the first bytes are those of. `total`: how many there are in all.
pub(super) fn find(head: &[u8], total: u64) -> Vec<Found> {
    [vhd(head), vdi(head), qed(head), iso(head), gpt(head, total), luks(head, total)].into_iter().flatten().collect()
}

/// Connectix' and Microsoft's, of which a copy of the footer is in front.
fn vhd(head: &[u8]) -> Option<Found> {
    let size = part(head, 40).map_or(0, u64::from_be_bytes);
    head.starts_with(b"conectix").then(|| Found {
        format: "vhd",
        virtual_size: size,
        safety: Safety::of(head.len() >= 512, None),
    })
}

/// VirtualBox'.
fn vdi(head: &[u8]) -> Option<Found> {
    let is_one = head.len() >= 512 && little_u32(head, 0x40) == 0xbeda_107f;
    is_one.then(|| Found { format: "vdi", virtual_size: little_u64(head, 0x170), safety: Safety::Safe })
}

/// An old one of QEMU's, which nobody should have any more.
fn qed(head: &[u8]) -> Option<Found> {
    let is_one = head.len() >= 512 && head.starts_with(b"QED\0");
    is_one.then_some(Found { format: "qed", virtual_size: 0, safety: Safety::Unsafe("banned") })
}

/// ISO 9660 and UDF.
fn iso(head: &[u8]) -> Option<Found> {
    let descriptor = head.get(32 * 1024..34 * 1024)?;
    if !matches!(&descriptor[1..6], b"CD001" | b"NSR02" | b"NSR03") {
        return None;
    }
    let block = part(descriptor, 128).map_or(0, u16::from_le_bytes);
    let blocks = little_u32(descriptor, 80);
    let virtual_size = if descriptor[0] == 1 { u64::from(block) * u64::from(blocks) } else { 0 };
    Some(Found { format: "iso", virtual_size, safety: Safety::Safe })
}

/// A disk as it is, with a boot record: of a table of partitions, or in front of one of GUIDs.
fn gpt(head: &[u8], total: u64) -> Option<Found> {
    let record = head.get(..512)?;
    // A file system of the kind FAT begins almost alike.
    let is_fat = record[0x10] == 2 && record[0x15] == 0xf8;
    if record[510..] != [0x55, 0xaa] || is_fat {
        return None;
    }
    let safety = Safety::of(true, (!partitions_fit(record)).then_some("mbr"));
    Some(Found { format: "gpt", virtual_size: total, safety })
}

fn partitions_fit(record: &[u8]) -> bool {
    let mut used = Vec::new();
    let mut guids = false;
    for (index, entry) in record[446..510].chunks_exact(16).enumerate() {
        if !matches!(entry[0], 0 | 0x80) {
            return false;
        }
        if entry[4] != 0 {
            used.push(index);
        }
        if entry[4] == 0xee {
            guids = true;
            if entry[1..4] != [0, 2, 0] || little_u32(entry, 8) != 1 {
                return false;
            }
        }
    }
    if guids { used == [0] } else { !used.is_empty() }
}

/// An encrypted disk.
fn luks(head: &[u8], total: u64) -> Option<Found> {
    if !head.starts_with(b"LUKS\xba\xbe") {
        return None;
    }
    let version = part(head, 6).map_or(0, u16::from_be_bytes);
    let payload = u64::from(part(head, 104).map_or(0, u32::from_be_bytes)) * 512;
    let safety = Safety::of(head.len() >= 592, (version != 1).then_some("version"));
    Some(Found { format: "luks", virtual_size: total.saturating_sub(payload), safety })
}
