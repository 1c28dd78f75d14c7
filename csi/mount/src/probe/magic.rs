//! Where signatures stand that need no more reading than a comparison.

/// A signature: its bytes at one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Magic {
    pub(super) name: &'static str,
    pub(super) offset: u64,
    pub(super) bytes: &'static [u8],
}

const fn magic(name: &'static str, offset: u64, bytes: &'static [u8]) -> Magic {
    Magic {
        name,
        offset,
        bytes,
    }
}

/// Kinds whose signature is not among the first 4 KiB (where any byte counts), or that deserve their name.
pub(super) const OTHERS: &[Magic] = &[
    magic("integrity", 0, b"integrt\0"),
    magic("BitLocker", 3, b"-FVE-FS-"),
    magic("NTFS", 3, b"NTFS    "),
    magic("exFAT", 3, b"EXFAT   "),
    magic("FAT", 54, b"FAT1"),
    magic("FAT32", 82, b"FAT32   "),
    magic("squashfs", 0, b"hsqs"),
    magic("bluestore", 0, b"bluestore block device"),
    magic("VDO", 0, b"dmvdo001"),
    magic("LVM copy-on-write store", 0, b"SnAp"),
    magic("thin pool metadata", 32, &27_022_010_u64.to_le_bytes()),
    magic("cache metadata", 32, &6_142_003_u64.to_le_bytes()),
    magic("f2fs", 1024, &0xF2F5_2010_u32.to_le_bytes()),
    magic("erofs", 1024, &0xE0F5_E1E2_u32.to_le_bytes()),
    magic("HFS+", 1024, b"H+\0\x04"),
    magic(
        "bcache",
        4096 + 24,
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
    ),
    magic(
        "bcachefs",
        4096 + 24,
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
    ),
    magic("stratis", 512 + 4, b"!Stra0tis\x86\xff\x02^\x41rh"),
    magic("JFS", 32_768, b"JFS1"),
    magic("ISO 9660", 32_769, b"CD001"),
    magic("UDF", 32_769, b"BEA01"),
    magic("GFS2", 65_536, &0x0116_1970_u32.to_be_bytes()),
    magic("reiserfs", 65_536 + 52, b"ReIsEr"),
    magic("ZFS", 131_072, &0x00ba_b10c_u64.to_le_bytes()),
    magic("ZFS", 135_168, &0x00ba_b10c_u64.to_le_bytes()),
];

/// Ends of pages (of any size that an architecture has) where swap and hibernation sign.
pub(super) const SWAP_PAGES: [u64; 5] = [4096, 8192, 16_384, 32_768, 65_536];
/// The ten bytes there.
pub(super) const SWAP: [&[u8]; 5] = [
    b"SWAPSPACE2",
    b"SWAP-SPACE",
    b"S1SUSPEND\0",
    b"S2SUSPEND\0",
    b"ULSUSPEND\0",
];

/// Where LUKS2 keeps the second copy of its header, by the size of the first.
pub(super) const LUKS2_SECOND: [u64; 9] = [
    0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000,
];

/// `MD_SB_MAGIC`.
pub(super) const MD: u32 = 0xa92b_4efc;
