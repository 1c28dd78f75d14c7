//! What is XFS' own: its superblock, growing, and how long it retries failed writes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::device::DeviceNumber;
use crate::error::{MountError, Result};
use crate::sys::{self, XfsGrowData};

/// How long XFS retries a metadata write that fails (for EIO, and for ENOSPC of a full thin pool), in
/// seconds. By default it retries for ever, and an unmount hangs with it.
pub const XFS_RETRY_SECONDS: u32 = 20;

/// Bytes of the file system by its superblock (`struct xfs_dsb`, first 512 bytes of the device).
pub(crate) fn size_in(bytes: &[u8]) -> Option<u64> {
    if bytes.get(..4)? != b"XFSB" {
        return None;
    }
    let block_size = u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?);
    let blocks = u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?);
    blocks.checked_mul(u64::from(block_size))
}

/// Grows to the device's size by the kernel: all that `xfs_growfs` does, without reading its words.
pub(crate) fn grow(mounted: &File, size: u64, device: &Path) -> Result<()> {
    let work = || -> io::Result<()> {
        let geometry = sys::xfs_geometry(mounted)?;
        let new_blocks = size / u64::from(geometry.block_size.max(1));
        if new_blocks <= geometry.data_blocks {
            return Ok(());
        }
        let inode_maximum_percent = geometry.inode_maximum_percent;
        sys::xfs_grow(
            mounted,
            &XfsGrowData {
                new_blocks,
                inode_maximum_percent,
            },
        )
    };
    work().map_err(MountError::io("grow xfs on", device))
}

/// Sets the retry limits of a mounted XFS: a device that is gone fails at once, errors end after
/// [`XFS_RETRY_SECONDS`], and an unmount waits for neither.
pub(crate) fn limit_retries(device: DeviceNumber) -> Result<()> {
    let of = PathBuf::from(format!("/sys/dev/block/{device}"));
    let name = fs::canonicalize(&of).map_err(MountError::io("find the name of", of))?;
    let name = name.file_name().unwrap_or_default();
    let errors = Path::new("/sys/fs/xfs").join(name).join("error");
    let seconds = XFS_RETRY_SECONDS.to_string();
    let values = [
        ("fail_at_unmount", "1"),
        ("metadata/EIO/max_retries", "-1"),
        ("metadata/EIO/retry_timeout_seconds", &seconds),
        ("metadata/ENOSPC/max_retries", "-1"),
        ("metadata/ENOSPC/retry_timeout_seconds", &seconds),
        ("metadata/ENODEV/max_retries", "0"),
    ];
    for (file, value) in values {
        let file = errors.join(file);
        fs::write(&file, value).map_err(MountError::io("set the retry limit", file))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_make_the_parser_panic() {
        bolero::check!().for_each(|bytes| _ = size_in(bytes));
    }
}
