//! Follows a device that has grown, by the kernel's own calls: no program's words are read, and an
//! error is the kernel's.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::device::{device_number, device_size, open_error};
use crate::error::{MountError, Result};
use crate::exec::Tools;
use crate::fs_type::FsType;
use crate::luks::{Key, is_luks_open, luks_resize};
use crate::mountinfo::{MountEntry, Mounts};
use crate::{btrfs, ext4, xfs};

/// Grows what is on an LV that was extended: its LUKS mapping if that is open, then the file system if
/// it is mounted at `path` (a staging or a pod's path; a bound device node and none are raw block).
/// Returns the bytes of the device that its user sees. Repeating it is harmless.
pub fn grow(
    tools: &Tools,
    device: &Path,
    lv: &str,
    path: Option<&Path>,
    key: Option<&Key>,
) -> Result<u64> {
    let device = match is_luks_open(lv)? {
        Some(mapping) => {
            luks_resize(tools, lv, key)?;
            mapping
        }
        None => device.to_owned(),
    };
    let number = device_number(&device)?;
    let mounts = Mounts::read()?;
    let mounted: Option<&MountEntry> = path.and_then(|path| mounts.at(path));
    if let Some(entry) = mounted.filter(|entry| entry.is_of(number)) {
        let fs: FsType = entry.fs_type.parse()?;
        let place = writable(&mounts, entry, number);
        let root = File::open(&place.mount_point)
            .map_err(|source| open_error("open", &place.mount_point, source))?;
        grow_file_system(&device, fs, &root)?;
    }
    device_size(&device)
}

/// Another mount of the same file system that may be written through, as growing through a read-only
/// one is refused.
fn writable<'a>(
    mounts: &'a Mounts,
    entry: &'a MountEntry,
    number: crate::DeviceNumber,
) -> &'a MountEntry {
    if !entry.read_only() {
        return entry;
    }
    mounts
        .of_device(number)
        .find(|other| !other.read_only())
        .unwrap_or(entry)
}

/// Grows a mounted file system to its device's size; `root` is any open file of it.
pub fn grow_file_system(device: &Path, fs: FsType, root: &File) -> Result<()> {
    let size = device_size(device)?;
    match fs {
        FsType::Ext4 => ext4::grow(root, ext4_superblock(device)?, size, device),
        FsType::Xfs => xfs::grow(root, size, device),
        FsType::Btrfs => btrfs::grow(root, device),
    }
}

/// Whether the file system ends before its device does, by its superblock.
pub(crate) fn is_smaller(device: &Path, fs: FsType) -> Result<bool> {
    let size = match fs {
        FsType::Ext4 => {
            let superblock = ext4_superblock(device)?;
            superblock.blocks.saturating_mul(superblock.block_size)
        }
        FsType::Xfs => parsed(device, xfs::size_in(&read(device, 0, 512)?))?,
        FsType::Btrfs => parsed(device, btrfs::size_in(read(device, 64 << 10, 4096)?))?,
    };
    // One block less is what rounding leaves.
    Ok(size.saturating_add(64 << 10) < device_size(device)?)
}

pub(crate) fn ext4_superblock(device: &Path) -> Result<ext4::Superblock> {
    parsed(device, ext4::Superblock::parse(&read(device, 1024, 1024)?))
}

fn parsed<T>(device: &Path, found: Option<T>) -> Result<T> {
    let damaged = || io::Error::other("it is damaged or not what the volume's tag says");
    found
        .ok_or_else(damaged)
        .map_err(MountError::io("read the superblock of", device))
}

fn read(device: &Path, offset: u64, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let file = File::open(device).map_err(|source| open_error("open", device, source))?;
    file.read_exact_at(&mut bytes, offset)
        .map_err(MountError::io("read the superblock of", device))?;
    Ok(bytes)
}
