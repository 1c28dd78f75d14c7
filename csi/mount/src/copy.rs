//! Copies: thin snapshots and clones carry their source's UUID and its unfinished log.

use std::path::Path;

use crate::error::{MountError, Result};
use crate::exec::Tools;
use crate::fs_type::FsType;
use crate::grow;
use crate::sys::{self, Detached};
use crate::uuid::Uuid;
use crate::{btrfs, ext4};

/// Makes a copy fit to be mounted beside its source, before its first mount. What was fsynced before the copy
/// was taken stays: logs are replayed or kept, never thrown away.
///
/// - ext4: `e2fsck -p` replays the journal, `tune2fs -U` where that is one write.
/// - XFS: nothing. Its UUID stays, and it is mounted with `nouuid` for ever: `xfs_admin -U` writes the log anew, and a
///   power failure meanwhile leaves one that no kernel mounts.
/// - btrfs: the superblocks are rewritten; where they cannot be, the volume is refused.
pub(crate) fn prepare(tools: &Tools, device: &Path, fs: FsType, uuid: Uuid) -> Result<()> {
    match fs {
        FsType::Ext4 => {
            ext4::check(tools, device)?;
            let free = grow::ext4_superblock(device)?.free_uuid;
            ext4::set_uuid(tools, device, uuid, free)
        }
        FsType::Xfs => Ok(()),
        FsType::Btrfs => btrfs::set_uuid(device, uuid),
    }
}

/// Mounts read-write where nobody sees it, so that logs are replayed and a larger device is filled;
/// then a read-only mount finds nothing to write.
pub(crate) fn settle(device: &Path, fs: FsType) -> Result<()> {
    let mount = mount_unseen(device, fs)?;
    if grow::is_smaller(device, fs)? {
        grow::grow_file_system(device, fs, mount.root())?;
    }
    mount
        .root()
        .sync_all()
        .map_err(MountError::io("sync the file system of", device))
}

fn mount_unseen(device: &Path, fs: FsType) -> Result<Detached> {
    let options: &[&str] = if fs == FsType::Xfs { &["nouuid"] } else { &[] };
    sys::mount_detached(fs.name(), device, options).map_err(|failure| MountError::Mount {
        device: device.to_owned(),
        target: "a place of its own".into(),
        fs,
        options: options.join(","),
        source: failure.source,
        words: failure.words,
    })
}
