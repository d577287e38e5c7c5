//! A part of a stream that is kept.

/// So many bytes from an offset on.
#[derive(Clone, Debug)]
pub(super) struct Region {
    offset: u64,
    length: usize,
    bytes: Vec<u8>,
}

impl Region {
    pub(super) const fn new(offset: u64, length: usize) -> Self {
        Self { offset, length, bytes: Vec::new() }
    }

    /// Keeps what is in it of the next bytes, which begin at `at`. What has passed before it was asked for is lost, and the
    /// region then never complete.
    pub(super) fn take(&mut self, bytes: &[u8], at: u64) {
        let next = self.offset + self.bytes.len() as u64;
        if self.is_complete() || next < at {
            return;
        }
        let Ok(skip) = usize::try_from(next - at) else { return };
        let missing = self.length - self.bytes.len();
        if let Some(rest) = bytes.get(skip..) {
            self.bytes.extend_from_slice(&rest[..rest.len().min(missing)]);
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.bytes.len() == self.length
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The bytes from `at` on, if they are there.
pub(super) fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A number of eight bytes, the lowest first; 0 if it is not there.
pub(super) fn little_u64(bytes: &[u8], at: usize) -> u64 {
    part(bytes, at).map_or(0, u64::from_le_bytes)
}

/// A number of four bytes, the lowest first; 0 if it is not there.
pub(super) fn little_u32(bytes: &[u8], at: usize) -> u32 {
    part(bytes, at).map_or(0, u32::from_le_bytes)
}
