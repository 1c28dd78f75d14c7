//! From an active device to a mounted one, whatever was interrupted before, and back.
//!
//! ```text
//! mounted there already? ── yes ─► the same: done; another: conflict
//!        │ no
//! tag × probe (decide) ── refuse ─► words
//!        │ use                           │ format
//! LUKS: copy's own UUID, open      ─► record: begun
//! probe again inside               LUKS: format, open
//! copy: own UUID ─► record         mkfs
//! ext4: fsck -p                    ─► record
//!        │                               │
//!        └──────────────┬────────────────┘
//! read-only: replay and grow unseen, then mount
//! read-write: mount, grow to the device, XFS retry limits
//! ```
//! The record (a tag) is written before the first mount: whatever was mounted once is never formatted. It says that
//! formatting has begun before the first byte is written: `mkfs` writes in an order of its own, and what it leaves when it
//! dies may bear nobody's name.

use std::error::Error as StdError;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::copy;
use crate::decide::{Decision, Formatted, Wanted, decide};
use crate::device::{device_number, device_size};
use crate::error::{MountError, Result};
use crate::exec::Tools;
use crate::format::{MkfsOptions, format};
use crate::fs_type::FsType;
use crate::grow::{grow_file_system, is_smaller};
use crate::luks::{Key, is_luks_open, luks_close, luks_format, luks_open, luks_set_uuid};
use crate::mount::{Done, mount_device, unmount};
use crate::mountinfo::Mounts;
use crate::options::MountOptions;
use crate::probe::{Probe, inspect, probe};
use crate::uuid::Uuid;
use crate::wipe::zero;
use crate::{ext4, xfs};

/// Notes in the volume's tag what it holds; called before the first mount.
pub type Recorder<'a> =
    dyn FnMut(Formatted) -> std::result::Result<(), Box<dyn StdError + Send + Sync>> + 'a;

/// What to stage.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    /// The active LV's node.
    pub device: &'a Path,
    /// Its UUID by LVM, with or without dashes.
    pub lv: &'a str,
    /// What its tag says.
    pub state: Formatted,
    /// The key, where its class has encryption.
    pub key: Option<&'a Key>,
    /// As what.
    pub access: Access<'a>,
}

/// How a volume is used.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// As a block device.
    Block,
    /// As a file system.
    Mount {
        /// Which one.
        fs: FsType,
        /// How it is made.
        mkfs: &'a MkfsOptions,
        /// How it is mounted.
        options: &'a MountOptions,
        /// Where.
        target: &'a Path,
    },
}

/// A staged volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The device that its user sees: the LV or its LUKS mapping.
    pub device: PathBuf,
    /// Nothing had to be done.
    pub already: bool,
}

/// Stages a volume. Repeating it is harmless, also after it was interrupted anywhere.
pub fn stage(tools: &Tools, request: &Stage<'_>, record: &mut Recorder<'_>) -> Result<Staged> {
    let open = is_luks_open(request.lv)?;
    if let Some(staged) = already(request, open.as_deref())? {
        return Ok(staged);
    }
    let fs = match request.access {
        Access::Block => None,
        Access::Mount { fs, .. } => Some(fs),
    };
    let wanted = Wanted {
        fs,
        uuid: Uuid::derived(request.lv),
        encrypted: request.key.is_some(),
    };
    let seen = inspect(tools, request.device)?;
    let device = match decide(request.state, &wanted, &seen) {
        Decision::Refuse(why) => return Err(refused(request.device, why)),
        Decision::Format => fresh(tools, request, &wanted, &seen, record)?,
        Decision::Use { copied, .. } => used(tools, request, &wanted, &seen, copied, record)?,
    };
    if let Access::Mount {
        fs,
        options,
        target,
        ..
    } = request.access
    {
        mount_settled(&device, target, fs, options, wanted.uuid)?;
    }
    Ok(Staged {
        device,
        already: false,
    })
}

fn refused(device: &Path, why: String) -> MountError {
    MountError::Refused {
        device: device.to_owned(),
        why,
    }
}

/// Staged before, by the mount table and the state of the mapping.
fn already(request: &Stage<'_>, open: Option<&Path>) -> Result<Option<Staged>> {
    let device = open.unwrap_or(request.device);
    let staged = Staged {
        device: device.to_owned(),
        already: true,
    };
    match request.access {
        Access::Block => {
            let ready = request.state == Formatted::Raw && request.key.is_some() == open.is_some();
            Ok(ready.then_some(staged))
        }
        Access::Mount {
            fs,
            options,
            target,
            ..
        } => {
            if Mounts::read()?.at(target).is_none() {
                return Ok(None);
            }
            mount_device(device, target, fs, options)?;
            Ok(Some(staged))
        }
    }
}

/// Formats, and records it.
fn fresh(
    tools: &Tools,
    request: &Stage<'_>,
    wanted: &Wanted,
    seen: &Probe,
    record: &mut Recorder<'_>,
) -> Result<PathBuf> {
    // Of a first stage that was interrupted.
    luks_close(tools, request.lv)?;
    note(request, Formatted::Begun, record)?;
    if !seen.is_blank() {
        // Our own unfinished work.
        zero(
            request.device,
            0,
            (8 << 20).min(device_size(request.device)?),
        )?;
    }
    let device = match request.key {
        Some(key) => {
            luks_format(tools, request.device, key, wanted.uuid)?;
            luks_open(tools, request.device, request.lv, key)?
        }
        None => request.device.to_owned(),
    };
    let now = match request.access {
        Access::Block => Formatted::Raw,
        Access::Mount { fs, mkfs, .. } => {
            format(tools, &device, fs, wanted.uuid, mkfs)?;
            Formatted::As(fs)
        }
    };
    note(request, now, record)?;
    Ok(device)
}

fn note(request: &Stage<'_>, now: Formatted, record: &mut Recorder<'_>) -> Result<()> {
    if request.state == now {
        return Ok(());
    }
    let failed = |source| MountError::Record {
        device: request.device.to_owned(),
        source,
    };
    record(now).map_err(failed)
}

/// Opens what is there, and makes a copy its own.
fn used(
    tools: &Tools,
    request: &Stage<'_>,
    wanted: &Wanted,
    seen: &Probe,
    copied: bool,
    record: &mut Recorder<'_>,
) -> Result<PathBuf> {
    let device = match request.key {
        Some(key) => {
            let foreign = seen
                .luks()
                .is_some_and(|luks| luks.uuid != Some(wanted.uuid));
            if copied && foreign && is_luks_open(request.lv)?.is_none() {
                luks_set_uuid(tools, request.device, wanted.uuid)?;
            }
            luks_open(tools, request.device, request.lv, key)?
        }
        None => request.device.to_owned(),
    };
    let Some(fs) = wanted.fs else {
        note(request, Formatted::Raw, record)?;
        return Ok(device);
    };
    if request.key.is_some() {
        let inner = Wanted {
            encrypted: false,
            ..*wanted
        };
        if let Decision::Refuse(why) = decide(request.state, &inner, &probe(&device)?) {
            return Err(refused(&device, why));
        }
    }
    if is_mounted(&device)? {
        return Ok(device);
    }
    if copied {
        copy::prepare(tools, &device, fs, wanted.uuid)?;
        note(request, Formatted::As(fs), record)?;
    } else if fs == FsType::Ext4 {
        ext4::check(tools, &device)?;
    }
    Ok(device)
}

fn is_mounted(device: &Path) -> Result<bool> {
    Ok(Mounts::read()?
        .of_device(device_number(device)?)
        .next()
        .is_some())
}

fn mount_settled(
    device: &Path,
    target: &Path,
    fs: FsType,
    options: &MountOptions,
    own: Uuid,
) -> Result<()> {
    let mut options = options.clone();
    let same_uuid = || -> Result<bool> {
        let seen = probe(device)?;
        Ok(seen
            .file_system(fs)
            .is_some_and(|found| found.uuid == Some(own)))
    };
    if fs == FsType::Xfs && !same_uuid()? {
        options = options.with("nouuid");
    }
    if options.read_only && !is_mounted(device)? {
        copy::settle(device, fs)?;
    }
    if mount_device(device, target, fs, &options)? == Done::Already {
        return Ok(());
    }
    let finished = after_mount(device, target, fs, &options);
    if finished.is_err() {
        // The next call does all of it again.
        let _ = unmount(target);
    }
    finished
}

fn after_mount(device: &Path, target: &Path, fs: FsType, options: &MountOptions) -> Result<()> {
    if fs == FsType::Xfs {
        xfs::limit_retries(device_number(device)?)?;
    }
    if !options.read_only && is_smaller(device, fs)? {
        let root = File::open(target).map_err(MountError::io("open", target))?;
        grow_file_system(device, fs, &root)?;
    }
    Ok(())
}

/// Unmounts the staging path and closes the mapping; the LV may be deactivated then. Missing is
/// success, in use is [`MountError::Busy`].
pub fn unstage(tools: &Tools, lv: &str, target: Option<&Path>) -> Result<()> {
    if let Some(target) = target {
        unmount(target)?;
    }
    luks_close(tools, lv)
}
