//! What is btrfs' own: its superblock, a copy's fsid, growing.
//!
//! A copy gets its fsid by writing the superblocks ourselves. `btrfstune -m` would commit a
//! transaction, and with it the log tree is lost: all that was fsynced since the last commit. The format
//! has a field for exactly this (`metadata_uuid`, since Linux 5.0): the fsid is in the superblock only,
//! and the blocks go on carrying the old one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::device::size_of;
use crate::error::{MountError, Result};
use crate::sys;
use crate::uuid::Uuid;

/// Bytes of a superblock.
const SIZE: usize = 4096;
/// Where its copies stand: the last is written first.
const COPIES: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];
/// `BTRFS_FEATURE_INCOMPAT_METADATA_UUID`
const METADATA_UUID: u64 = 0x400;

const CHECKSUM: usize = 32;
const FSID: std::ops::Range<usize> = 32..48;
const PLACE: usize = 48;
const MAGIC: std::ops::Range<usize> = 64..72;
const TOTAL_BYTES: usize = 112;
const INCOMPATIBLE: usize = 188;
const CHECKSUM_TYPE: std::ops::Range<usize> = 196..198;
const METADATA: std::ops::Range<usize> = 571..587;

/// One copy of the superblock (`struct btrfs_super_block`).
#[derive(Clone, PartialEq, Eq)]
struct Superblock(Vec<u8>);

impl Superblock {
    /// None unless it is whole: magic, place and checksum (crc32c, which our `mkfs` asks for).
    fn parse(bytes: Vec<u8>, place: u64) -> Option<Self> {
        let whole = bytes.len() == SIZE
            && &bytes[MAGIC] == b"_BHRfS_M"
            && bytes[PLACE..PLACE + 8] == place.to_le_bytes()
            && bytes[CHECKSUM_TYPE] == [0, 0]
            && bytes[..4] == crc32c(&bytes[CHECKSUM..]).to_le_bytes();
        whole.then_some(Self(bytes))
    }

    fn u64_at(&self, at: usize) -> u64 {
        self.0[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
    }

    /// The same file system under another fsid.
    fn with_fsid(&self, uuid: Uuid) -> Self {
        let mut bytes = self.0.clone();
        let flags = self.u64_at(INCOMPATIBLE);
        if flags & METADATA_UUID == 0 {
            bytes.copy_within(FSID, METADATA.start);
            bytes[INCOMPATIBLE..INCOMPATIBLE + 8]
                .copy_from_slice(&(flags | METADATA_UUID).to_le_bytes());
        }
        bytes[FSID].copy_from_slice(&uuid.0);
        let checksum = crc32c(&bytes[CHECKSUM..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        Self(bytes)
    }
}

/// Bytes of the file system by its superblock, which stands at 64 KiB.
pub(crate) fn size_in(bytes: Vec<u8>) -> Option<u64> {
    Superblock::parse(bytes, COPIES[0]).map(|superblock| superblock.u64_at(TOTAL_BYTES))
}

/// Gives a file system that is not mounted another fsid. Each copy is one write of 4 KiB; interrupted
/// between two, doing it again is right: the kernel reads the first, which is written last.
pub(crate) fn set_uuid(device: &Path, uuid: Uuid) -> Result<()> {
    let work = || -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(device)?;
        let size = size_of(&file)?;
        let read = |place: u64| -> io::Result<Option<Superblock>> {
            let mut bytes = vec![0; SIZE];
            file.read_exact_at(&mut bytes, place)?;
            Ok(Superblock::parse(bytes, place))
        };
        if read(COPIES[0])?.is_none() {
            return Err(io::Error::other(
                "its superblock is damaged or has another checksum than crc32c",
            ));
        }
        for place in COPIES
            .into_iter()
            .rev()
            .filter(|place| place + SIZE as u64 <= size)
        {
            if let Some(superblock) = read(place)? {
                file.write_all_at(&superblock.with_fsid(uuid).0, place)?;
                file.sync_all()?;
            }
        }
        Ok(())
    };
    work().map_err(MountError::io(
        "give a UUID of its own to the btrfs on",
        device,
    ))
}

/// Grows to the device's size by the kernel (`BTRFS_IOC_RESIZE` with `1:max`), as `btrfs filesystem
/// resize` does.
pub(crate) fn grow(mounted: &File, device: &Path) -> Result<()> {
    sys::btrfs_grow(mounted).map_err(MountError::io("grow btrfs on", device))
}

/// CRC-32C (Castagnoli), as RFC 3720 has it.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 0 {
                crc >> 1
            } else {
                (crc >> 1) ^ 0x82f6_3b78
            }
        })
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        // RFC 3720, B.4
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        bolero::check!().for_each(|bytes| drop(Superblock::parse(bytes.to_vec(), COPIES[0])));
    }
}
