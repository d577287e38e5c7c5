//! What a disk image really is, found out while its bytes pass.
//!
//! A hypervisor that opens a file goes by what is in it: a `qcow2` may name a backing file, a `vmdk` its extents, and what
//! was said to be `raw` may be either. So images are held against the format that they are said to have, and refused if they
//! lead anywhere else, as by OpenStack since CVE-2024-32498. Source: oslo.utils 10.2, `imageutils/format_inspector.py`, for
//! what is recognised and what is unsafe; glance 33, `location.py`, for what follows.
//!
//! Of the bytes only those are kept that say something: the first 34 KiB, and up to a mebibyte of a `vmdk`'s description.

mod disks;
mod qcow2;
mod region;
mod vhdx;
mod vmdk;

use region::Region;
use vhdx::Vhdx;
use vmdk::Vmdk;

/// An ISO 9660 file says what it is behind 32 KiB.
const HEAD: usize = 34 * 1024;

/// The formats that are recognised, by their names in `disk_format` where they are any.
const FORMATS: [&str; 10] = ["raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "qed", "iso", "gpt", "luks"];

/// What a format's reader says of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    format: &'static str,
    /// Bytes of the disk; 0: not known.
    virtual_size: u64,
    safety: Safety,
}

/// Whether an image may be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Safety {
    Safe,
    /// It ends before that can be said.
    Incomplete,
    /// It leads elsewhere, or can't be understood.
    Unsafe(&'static str),
}

impl Safety {
    /// Safe if there is no reason why not.
    fn of(complete: bool, reason: Option<&'static str>) -> Self {
        match (complete, reason) {
            (false, _) => Self::Incomplete,
            (true, Some(reason)) => Self::Unsafe(reason),
            (true, None) => Self::Safe,
        }
    }
}

/// The bytes of an image, as they pass.
#[derive(Debug)]
pub(crate) struct Inspection {
    total: u64,
    head: Region,
    vmdk: Vmdk,
    vhdx: Vhdx,
}

/// What an inspection comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Bytes of the disk, if that could be found out.
    pub(crate) virtual_size: Option<u64>,
    /// Why the bytes can't be an image's.
    pub(crate) refusal: Option<String>,
}

impl Inspection {
    pub(crate) fn new() -> Self {
        Self { total: 0, head: Region::new(0, HEAD), vmdk: Vmdk::new(), vhdx: Vhdx::new() }
    }

    /// Looks at the next bytes.
    pub(crate) fn look(&mut self, bytes: &[u8]) {
        let at = self.total;
        self.head.take(bytes, at);
        self.vmdk.look(bytes, at);
        self.vhdx.look(bytes, at);
        self.total += bytes.len() as u64;
    }

    /// What was recognised. An image may look like several at once, which none does by chance.
    fn found(&self) -> Vec<Found> {
        let head = self.head.bytes();
        let mut found = disks::find(head, self.total);
        found.extend(qcow2::find(head));
        found.extend(self.vhdx.found());
        found.extend(self.vmdk.found(self.total));
        found.sort_by_key(|found| FORMATS.iter().position(|known| *known == found.format));
        found
    }

    /// Holds what was found against what the image is said to be. `strict`: a format that does not match is refused, not only
    /// one that is unsafe.
    pub(crate) fn findings(&self, disk_format: &str, strict: bool) -> Findings {
        let mut found = self.found();
        let names: Vec<&str> = found.iter().map(|found| found.format).collect();
        // A disk that can be written on a stick has a boot record in front of its ISO.
        if names == ["iso", "gpt"] {
            found.truncate(1);
        }
        let lenient = |text: String| Findings { refusal: strict.then_some(text), virtual_size: None };
        let only = match found.as_slice() {
            [] => Found { format: "raw", virtual_size: self.total, safety: Safety::Safe },
            [only] => only.clone(),
            _ => return lenient(format!("Multiple formats detected: {}", names.join(","))),
        };
        let virtual_size = if only.format == disk_format {
            only.virtual_size
        } else if only.format == "raw" && !FORMATS.contains(&disk_format) {
            0
        } else if disk_format == "raw" {
            self.total
        } else {
            let found = only.format;
            return lenient(format!("Image disk_format {disk_format} does not match stream data {found}"));
        };
        let known = Some(virtual_size).filter(|size| *size > 0);
        match only.safety {
            Safety::Safe => Findings { virtual_size: known, refusal: None },
            Safety::Incomplete => {
                Findings { virtual_size: known, ..lenient("Incomplete file cannot be safety checked".into()) }
            }
            // Kernels and their first disks are no disks, and may look like a boot record.
            Safety::Unsafe(_) if only.format == "gpt" && matches!(disk_format, "aki" | "ari") => {
                Findings { virtual_size: known, refusal: None }
            }
            Safety::Unsafe(reason) => {
                tracing::warn!(format = only.format, reason, "an image was refused");
                Findings { virtual_size: None, refusal: Some("Image failed safety checks".into()) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
