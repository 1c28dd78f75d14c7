//! Mounts devices and unmounts paths, by system call.

use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::device::{DeviceNumber, device_number};
use crate::error::{MountError, Result};
use crate::fs_type::FsType;
use crate::holders::holders_of;
use crate::mountinfo::{MountEntry, Mounts};
use crate::options::MountOptions;

/// Whether a call changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It did.
    Now,
    /// It was so before.
    Already,
}

/// Mounts a device; the directory is made if its parent is there. The same device there with the same
/// writability is [`Done::Already`]; anything else there is [`MountError::Conflict`].
pub fn mount_device(
    device: &Path,
    target: &Path,
    fs: FsType,
    options: &MountOptions,
) -> Result<Done> {
    let number = device_number(device)?;
    if let Some(there) = Mounts::read()?.at(target) {
        return already(there, number, device, target, options);
    }
    make_directory(target)?;
    let data = options.data();
    let data = (!data.is_empty()).then_some(data.as_str());
    mount(Some(device), target, Some(fs.name()), options.flags(), data).map_err(|errno| {
        MountError::Mount {
            device: device.to_owned(),
            target: target.to_owned(),
            fs,
            options: options.in_words(),
            source: errno.into(),
            words: hint(errno).to_owned(),
        }
    })?;
    Ok(Done::Now)
}

/// The kernel tells more in its log only; these are the usual reasons.
fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EINVAL => {
            "the file system does not know one of the options, or it is damaged: see dmesg"
        }
        Errno::EUCLEAN | Errno::EBADMSG => "the file system is damaged: see dmesg",
        Errno::EEXIST | Errno::ENOTUNIQ => "a file system with the same UUID is mounted",
        Errno::EBUSY => "the device is in use",
        Errno::ENODEV => "this kernel does not have that file system",
        _ => "",
    }
}

fn already(
    there: &MountEntry,
    number: DeviceNumber,
    device: &Path,
    target: &Path,
    options: &MountOptions,
) -> Result<Done> {
    if there.is_of(number) && there.read_only() == options.read_only {
        return Ok(Done::Already);
    }
    Err(MountError::Conflict {
        target: target.to_owned(),
        found: there.in_words(),
        wanted: format!("{} ({})", device.display(), options.in_words()),
    })
}

impl MountEntry {
    /// Whether this shows the file system on that device. btrfs has numbers of its own (major 0):
    /// there the source tells.
    #[must_use]
    pub fn is_of(&self, device: DeviceNumber) -> bool {
        self.device == device
            || (self.device.major == 0 && device_number(&self.source).is_ok_and(|it| it == device))
    }
}

pub(crate) fn make_directory(target: &Path) -> Result<()> {
    match fs::create_dir(target) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(MountError::Io {
            operation: "make the directory",
            object: target.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Unmounts all that is mounted at a path. Nothing there is success; in use is [`MountError::Busy`], with
/// who uses it where that can be seen. Never lazy, never forced.
pub fn unmount(target: &Path) -> Result<Done> {
    let mut done = Done::Already;
    while let Some(entry) = Mounts::read()?.at(target).cloned() {
        match umount2(&entry.mount_point, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => done = Done::Now,
            Err(Errno::EBUSY) => {
                return Err(MountError::Busy {
                    operation: "unmount",
                    object: target.to_owned(),
                    holders: holders_of(&entry.mount_point),
                });
            }
            // Somebody else was faster; the table says so in the next round.
            Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(MountError::errno("unmount", target)(errno)),
        }
    }
    Ok(done)
}

/// Binds what is at one path to another, with these flags from its first moment where the kernel can
/// (5.12), else by a remount right after.
pub(crate) fn bind(source: &Path, target: &Path, flags: MsFlags) -> Result<()> {
    match crate::sys::bind(source, target, flags) {
        Err(error) if error.raw_os_error() == Some(Errno::ENOSYS as i32) => {}
        result => return result.map_err(MountError::io("bind", target)),
    }
    mount(
        Some(source),
        target,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .map_err(MountError::errno("bind", target))?;
    if flags.is_empty() {
        return Ok(());
    }
    let remount = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags;
    mount(None::<&str>, target, None::<&str>, remount, None::<&str>).map_err(|errno| {
        // Half published is worse than not: what cannot be restricted is not left behind.
        let _ = umount2(target, MntFlags::UMOUNT_NOFOLLOW);
        MountError::errno("restrict the bind at", target)(errno)
    })
}
