//! What is ext4's own: its superblock, `e2fsck -p`, a copy's UUID, growing.

use std::fs::File;
use std::path::Path;

use crate::error::{MountError, Result};
use crate::exec::Tools;
use crate::sys;
use crate::uuid::Uuid;

const SEED: u32 = 0x2000;
const METADATA_CHECKSUMS: u32 = 0x400;

/// What the superblock says (`struct ext4_super_block`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// Blocks of the file system.
    pub(crate) blocks: u64,
    /// Bytes of a block.
    pub(crate) block_size: u64,
    /// Its UUID may change by one write: no checksum depends on it.
    pub(crate) free_uuid: bool,
}

impl Superblock {
    /// From the 1,024 bytes at offset 1,024.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if bytes.get(0x38..0x3a)? != [0x53, 0xef] {
            return None;
        }
        let (incompatible, read_only_compatible) = (u32_at(0x60)?, u32_at(0x64)?);
        // INCOMPAT_64BIT
        let high = if incompatible & 0x80 == 0 {
            0
        } else {
            u32_at(0x150)?
        };
        Some(Self {
            blocks: u64::from(high) << 32 | u64::from(u32_at(0x4)?),
            block_size: 1024_u64.checked_shl(u32_at(0x18)?.min(16))?,
            free_uuid: read_only_compatible & METADATA_CHECKSUMS == 0 || incompatible & SEED != 0,
        })
    }
}

/// `e2fsck -p`: replays the journal and repairs what is safe without a question.
///
/// 0 is clean, 1 repaired, 2 repaired and wants a reboot (of a root file system; a mount after it is
/// the same). 4 and more means that a person has to decide: the volume is not mounted.
pub(crate) fn check(tools: &Tools, device: &Path) -> Result<()> {
    let ended = tools.run("e2fsck", ["-p".as_ref(), device.as_os_str()], device, None)?;
    match ended.code() {
        Some(0..=2) => Ok(()),
        Some(4) => Err(MountError::Refused {
            device: device.to_owned(),
            why: format!(
                "e2fsck -p found damage that a person has to decide about (run e2fsck by hand on a \
                 snapshot of it first): {}",
                ended.stdout.trim()
            ),
        }),
        _ => Err(ended.failure()),
    }
}

/// Sets the UUID after [`check`] has replayed the journal. Without the seed of checksums every one of
/// them would be rewritten, which no crash may interrupt: then the UUID stays, and ext4 mounts anyway.
pub(crate) fn set_uuid(tools: &Tools, device: &Path, uuid: Uuid, free: bool) -> Result<()> {
    if !free {
        return Ok(());
    }
    let uuid = uuid.to_string();
    let arguments = ["-U".as_ref(), uuid.as_ref(), device.as_os_str()];
    tools
        .run("tune2fs", arguments, device, None)?
        .success()
        .map(drop)
}

/// Grows to the device's size by the kernel: `EXT4_IOC_RESIZE_FS` is all that `resize2fs` would do
/// online.
pub(crate) fn grow(mounted: &File, superblock: Superblock, size: u64, device: &Path) -> Result<()> {
    let blocks = size / superblock.block_size;
    sys::ext4_resize(mounted, blocks).map_err(MountError::io("grow ext4 on", device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_make_the_parser_panic() {
        bolero::check!().for_each(|bytes| _ = Superblock::parse(bytes));
    }
}
