//! Images of each format, made by hand, and what becomes of them.

use proptest::prelude::*;

use super::*;

/// Looks at bytes in pieces of this size.
fn findings_in(pieces: usize, bytes: &[u8], disk_format: &str, strict: bool) -> Findings {
    let mut inspection = Inspection::new();
    bytes.chunks(pieces).for_each(|piece| inspection.look(piece));
    inspection.findings(disk_format, strict)
}

fn findings(bytes: &[u8], disk_format: &str) -> Findings {
    let whole = findings_in(usize::MAX, bytes, disk_format, true);
    assert_eq!(findings_in(61, bytes, disk_format, true), whole, "{disk_format}");
    whole
}

fn refusal(bytes: &[u8], disk_format: &str) -> String {
    findings(bytes, disk_format).refusal.unwrap_or_default()
}

fn accepted(virtual_size: u64) -> Findings {
    Findings { virtual_size: Some(virtual_size), refusal: None }
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}

pub(super) fn qcow2(version: u32, backing_file: u64, features: u64) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    put(&mut bytes, 0, b"QFI\xfb");
    put(&mut bytes, 4, &version.to_be_bytes());
    put(&mut bytes, 8, &backing_file.to_be_bytes());
    put(&mut bytes, 24, &(1u64 << 30).to_be_bytes());
    put(&mut bytes, 72, &features.to_be_bytes());
    bytes
}

fn vmdk(description: &str) -> Vec<u8> {
    let mut bytes = vec![0; 512 * 21];
    put(&mut bytes, 0, b"KDMV");
    put(&mut bytes, 4, &1u32.to_le_bytes());
    put(&mut bytes, 12, &2048u64.to_le_bytes());
    put(&mut bytes, 28, &1u64.to_le_bytes());
    put(&mut bytes, 36, &20u64.to_le_bytes());
    put(&mut bytes, 512, description.as_bytes());
    bytes
}

const SPARSE: &str = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\ncreateType=\"monolithicSparse\"\n\nRW 2048 SPARSE \"a.vmdk\"\nddb.uuid = \"x\"\n";

fn vhdx() -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    put(&mut bytes, 0, b"vhdxfile");
    let table = 192 * 1024;
    put(&mut bytes, table, b"regi");
    put(&mut bytes, table + 8, &1u32.to_le_bytes());
    let region = 0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886eu128;
    put(&mut bytes, table + 16, &uuid::Uuid::from_u128(region).to_bytes_le());
    let metadata = 512 * 1024;
    put(&mut bytes, table + 32, &(metadata as u64).to_le_bytes());
    put(&mut bytes, metadata, b"metadata");
    put(&mut bytes, metadata + 10, &1u16.to_le_bytes());
    let size = 0x2fa5_4224_cd1b_4876_b211_5dbe_d83b_f4b8u128;
    put(&mut bytes, metadata + 32, &uuid::Uuid::from_u128(size).to_bytes_le());
    put(&mut bytes, metadata + 48, &(64u32 * 1024).to_le_bytes());
    put(&mut bytes, metadata + 52, &8u32.to_le_bytes());
    put(&mut bytes, metadata + 64 * 1024, &(3u64 << 30).to_le_bytes());
    bytes
}

fn boot_record(kind: u8) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    put(&mut bytes, 446, &[0, 0, 2, 0, kind, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0]);
    put(&mut bytes, 510, &[0x55, 0xaa]);
    bytes
}

fn iso() -> Vec<u8> {
    let mut bytes = vec![0; 40 * 1024];
    put(&mut bytes, 32 * 1024, b"\x01CD001");
    put(&mut bytes, 32 * 1024 + 80, &20u32.to_le_bytes());
    put(&mut bytes, 32 * 1024 + 128, &2048u16.to_le_bytes());
    bytes
}

#[test]
fn an_image_of_the_format_that_it_says_is_taken_with_the_size_of_its_disk() {
    assert_eq!(findings(&qcow2(3, 0, 0), "qcow2"), accepted(1 << 30));
    assert_eq!(findings(&qcow2(2, 0, 0), "qcow2"), accepted(1 << 30));
    assert_eq!(findings(&vmdk(SPARSE), "vmdk"), accepted(1 << 20));
    assert_eq!(findings(&vhdx(), "vhdx"), accepted(3 << 30));
    assert_eq!(findings(&iso(), "iso"), accepted(40 * 1024));
    let mut vhd = vec![0; 512];
    put(&mut vhd, 0, b"conectix");
    put(&mut vhd, 40, &77u64.to_be_bytes());
    assert_eq!(findings(&vhd, "vhd"), accepted(77));
    let mut vdi = vec![0; 512];
    put(&mut vdi, 0x40, &0xbeda_107fu32.to_le_bytes());
    put(&mut vdi, 0x170, &88u64.to_le_bytes());
    assert_eq!(findings(&vdi, "vdi"), accepted(88));
    assert_eq!(findings(&[7; 1000], "raw"), accepted(1000));
    assert_eq!(findings(&boot_record(0x83), "raw"), accepted(4096));
    assert_eq!(findings(b"", "raw"), Findings::default());
    assert_eq!(findings(b"kernel", "aki"), Findings::default());
}

#[test]
fn an_image_of_another_format_is_refused_and_raw_takes_anything_that_is_safe() {
    assert_eq!(refusal(&[7; 1000], "qcow2"), "Image disk_format qcow2 does not match stream data raw");
    assert_eq!(refusal(&qcow2(3, 0, 0), "vmdk"), "Image disk_format vmdk does not match stream data qcow2");
    assert_eq!(refusal(&boot_record(0x83), "qcow2"), "Image disk_format qcow2 does not match stream data gpt");
    assert_eq!(findings(&qcow2(3, 0, 0), "raw"), accepted(1024));
    assert_eq!(findings_in(100, &[7; 1000], "qcow2", false).refusal, None);
    let mut both = qcow2(3, 0, 0);
    put(&mut both, 510, &[0x55, 0xaa]);
    assert_eq!(refusal(&both, "qcow2"), "Multiple formats detected: qcow2,gpt");
}

#[test]
fn an_image_that_leads_elsewhere_is_refused_whatever_it_says() {
    const UNSAFE: &str = "Image failed safety checks";
    let extents = SPARSE.replace("a.vmdk", "/etc/shadow");
    let flat = SPARSE.replace("monolithicSparse", "monolithicFlat");
    let other = SPARSE.replace("ddb.uuid = \"x\"", "parent hint");
    let alone = format!("{flat}{}", " ".repeat(100));
    for (what, bytes, own) in [
        ("backing file", qcow2(3, 512, 0), "qcow2"),
        ("backing file of an old one", qcow2(2, 512, 0), "qcow2"),
        ("data file", qcow2(3, 0, 1 << 2), "qcow2"),
        ("unknown feature", qcow2(3, 0, 1 << 4), "qcow2"),
        ("unknown feature far up", qcow2(3, 0, 1 << 63), "qcow2"),
        ("unknown version", qcow2(1, 0, 0), "qcow2"),
        ("extent with a path", vmdk(&extents), "vmdk"),
        ("kind of several files", vmdk(&flat), "vmdk"),
        ("line that is not understood", vmdk(&other), "vmdk"),
        ("no extent", vmdk("createType=\"monolithicSparse\"\n"), "vmdk"),
        ("description alone", alone.into_bytes(), "vmdk"),
    ] {
        for disk_format in [own, "raw"] {
            assert_eq!(refusal(&bytes, disk_format), UNSAFE, "{what} as {disk_format}");
            assert_eq!(findings_in(100, &bytes, disk_format, false).refusal.as_deref(), Some(UNSAFE), "{what}");
        }
    }
    assert_eq!(refusal(&boot_record(0), "raw"), UNSAFE);
    let mut guids = boot_record(0xee);
    assert_eq!(findings(&guids, "raw"), accepted(4096));
    put(&mut guids, 466, &[0x83]);
    assert_eq!(refusal(&guids, "raw"), UNSAFE);
    assert_eq!(refusal(&boot_record(0), "aki"), "Image disk_format aki does not match stream data gpt");
}

#[test]
fn a_footer_must_say_what_the_header_says() {
    let with_footer = |descriptor: u64| {
        let mut bytes = vmdk(&SPARSE.replace("monolithicSparse", "streamOptimized"));
        put(&mut bytes, 56, &u64::MAX.to_le_bytes());
        let mut end = vec![0; 1536];
        put(&mut end, 12, &3u32.to_le_bytes());
        let header = bytes[..512].to_vec();
        put(&mut end, 512, &header);
        put(&mut end, 512 + 28, &descriptor.to_le_bytes());
        put(&mut end, 512 + 56, &21u64.to_le_bytes());
        bytes.extend(end);
        bytes
    };
    assert_eq!(findings(&with_footer(1), "vmdk"), accepted(1 << 20));
    assert_eq!(refusal(&with_footer(2), "vmdk"), "Image failed safety checks");
}

#[test]
fn a_disk_for_sticks_is_an_iso_with_a_boot_record() {
    let mut bytes = iso();
    put(&mut bytes, 446, &boot_record(0x83)[446..512]);
    assert_eq!(findings(&bytes, "iso"), accepted(40 * 1024));
}

#[test]
fn a_file_that_ends_too_early_is_refused() {
    assert_eq!(refusal(&vhdx()[..300 * 1024], "vhdx"), "");
    assert_eq!(refusal(&vhdx()[..100 * 1024], "vhdx"), "Incomplete file cannot be safety checked");
    assert_eq!(refusal(&vmdk(SPARSE)[..1024], "vmdk"), "Incomplete file cannot be safety checked");
}

proptest! {
    /// Whatever comes, in whatever pieces, it says the same and never panics.
    #[test]
    fn the_pieces_do_not_matter(
        which in 0usize..6, at in 0usize..2048, bytes in proptest::collection::vec(any::<u8>(), 1..64),
        pieces in 1usize..5000, cut in 0usize..300_000,
    ) {
        let mut image = match which {
            0 => qcow2(3, 0, 0),
            1 => vmdk(SPARSE),
            2 => vhdx(),
            3 => iso(),
            4 => boot_record(0x83),
            _ => SPARSE.repeat(20).into_bytes(),
        };
        let at = at.min(image.len() - bytes.len().min(image.len()));
        let end = (at + bytes.len()).min(image.len());
        image[at..end].copy_from_slice(&bytes[..end - at]);
        image.truncate(cut.max(1));
        for disk_format in ["raw", "qcow2", "vmdk"] {
            let whole = findings_in(usize::MAX, &image, disk_format, true);
            prop_assert_eq!(findings_in(pieces, &image, disk_format, true), whole);
        }
    }
}
