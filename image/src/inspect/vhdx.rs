//! Hyper-V's format (MS-VHDX): a table of regions at 192 KiB, of which one holds a table of metadata, of which one entry is
//! the size of the disk.

use super::{
    Found, Safety,
    region::{Region, little_u32, little_u64, part},
};

const TABLE_AT: u64 = 192 * 1024;
const TABLE: usize = 64 * 1024;
/// Both tables have entries of 32 bytes, and at most 2047 of them.
const ENTRY: usize = 32;
const MOST_ENTRIES: usize = 2047;

/// GUIDs as they are written: the first three groups backwards.
const METADATA_REGION: [u8; 16] =
    [0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e];
const VIRTUAL_DISK_SIZE: [u8; 16] =
    [0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8];

#[derive(Debug)]
pub(super) struct Vhdx {
    identity: Region,
    table: Region,
    metadata: Option<Region>,
    size: Option<Region>,
    broken: bool,
}

impl Vhdx {
    pub(super) const fn new() -> Self {
        Self {
            identity: Region::new(0, 32),
            table: Region::new(TABLE_AT, TABLE),
            metadata: None,
            size: None,
            broken: false,
        }
    }

    fn is_one(&self) -> bool {
        self.identity.bytes().starts_with(b"vhdxfile")
    }

    pub(super) fn look(&mut self, bytes: &[u8], at: u64) {
        self.identity.take(bytes, at);
        if self.broken || self.identity.is_complete() && !self.is_one() {
            return;
        }
        self.table.take(bytes, at);
        if self.table.is_complete() && self.metadata.is_none() {
            self.find_metadata();
        }
        if let Some(metadata) = &mut self.metadata
            && self.size.is_none()
        {
            metadata.take(bytes, at);
            self.find_size();
        }
        if let Some(size) = &mut self.size {
            size.take(bytes, at);
        }
    }

    fn find_metadata(&mut self) {
        let table = self.table.bytes();
        let count = little_u32(table, 8) as usize;
        if !table.starts_with(b"regi") || count > MOST_ENTRIES {
            self.broken = true;
            return;
        }
        let entry = (0..count).map(|index| 16 + index * ENTRY).find(|at| part(table, *at) == Some(METADATA_REGION));
        if let Some(at) = entry {
            self.metadata = Some(Region::new(little_u64(table, at + 16), (MOST_ENTRIES + 1) * ENTRY));
        }
    }

    fn find_size(&mut self) {
        let Some(metadata) = &self.metadata else { return };
        let table = metadata.bytes();
        if table.len() < ENTRY {
            return;
        }
        let count = part(table, 10).map_or(0, u16::from_le_bytes) as usize;
        if !table.starts_with(b"metadata") || count > MOST_ENTRIES {
            self.broken = true;
            return;
        }
        if table.len() < (count + 1) * ENTRY {
            return;
        }
        let entry = (1..=count).map(|index| index * ENTRY).find(|at| part(table, *at) == Some(VIRTUAL_DISK_SIZE));
        if let Some(at) = entry {
            let offset = u64::from(little_u32(table, at + 16));
            let length = (little_u32(table, at + 20) as usize).min(8);
            self.size = Some(Region::new(metadata.offset().saturating_add(offset), length));
        }
    }

    pub(super) fn found(&self) -> Option<Found> {
        if !self.is_one() {
            return None;
        }
        let complete = self.table.is_complete() && self.size.as_ref().is_none_or(Region::is_complete);
        let virtual_size = self.size.as_ref().filter(|size| size.is_complete());
        Some(Found {
            format: "vhdx",
            virtual_size: virtual_size.map_or(0, |size| little_u64(size.bytes(), 0)),
            safety: Safety::of(complete && !self.broken, None),
        })
    }
}
