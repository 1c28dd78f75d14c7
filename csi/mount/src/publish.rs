//! Shows what is staged at a pod's path: bind mounts of a directory, or of a device node onto a file.
//!
//! The kubelet sees these mounts only if the path lies in a mount that is shared with the host; the
//! driver's container has to have it with `mountPropagation: Bidirectional`.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::mount::MsFlags;

use crate::device::{DeviceNumber, device_number};
use crate::error::{MountError, Result};
use crate::mount::{Done, bind, make_directory, unmount};
use crate::mountinfo::{MountEntry, Mounts};
use crate::options::MountOptions;

/// Binds a staged file system to a path, whose directory is made (its parent has to be there).
pub fn publish_mount(
    staged: &Path,
    target: &Path,
    read_only: bool,
    options: &MountOptions,
) -> Result<Done> {
    let mounts = Mounts::read()?;
    let source = mounts.at(staged).ok_or_else(|| MountError::NotFound {
        operation: "publish, for want of a staged volume,",
        path: staged.to_owned(),
    })?;
    let read_only = read_only || options.read_only;
    if let Some(there) = mounts.at(target) {
        return already(there, source, read_only, target);
    }
    make_directory(target)?;
    let mut flags = options.per_mount();
    flags.set(MsFlags::MS_RDONLY, read_only);
    bind(staged, target, flags)?;
    Ok(Done::Now)
}

fn already(
    there: &MountEntry,
    source: &MountEntry,
    read_only: bool,
    target: &Path,
) -> Result<Done> {
    let same = there.device == source.device && there.root == source.root;
    if same && there.read_only() == (read_only || source.read_only()) {
        return Ok(Done::Already);
    }
    let how = if read_only { "ro" } else { "rw" };
    Err(MountError::Conflict {
        target: target.to_owned(),
        found: there.in_words(),
        wanted: format!("{} ({how})", source.mount_point.display()),
    })
}

/// Binds a device node onto a file, which is made. A read-only bind keeps nobody from writing to the
/// device (device nodes ignore it): the container runtime does that with its device rules, and
/// [`crate::set_read_only`] where nobody may write.
pub fn publish_block(device: &Path, target: &Path, read_only: bool) -> Result<Done> {
    let number = device_number(device)?;
    if let Some(there) = Mounts::read()?.at(target) {
        return already_block(there, number, device, read_only, target);
    }
    make_file(target)?;
    let flags = if read_only {
        MsFlags::MS_RDONLY
    } else {
        MsFlags::empty()
    };
    bind(device, target, flags)?;
    Ok(Done::Now)
}

fn already_block(
    there: &MountEntry,
    number: DeviceNumber,
    device: &Path,
    read_only: bool,
    target: &Path,
) -> Result<Done> {
    let shown = fs::metadata(target).map(|file| DeviceNumber::from_raw(file.rdev()));
    if shown.is_ok_and(|shown| shown == number) && there.read_only() == read_only {
        return Ok(Done::Already);
    }
    let how = if read_only { "ro" } else { "rw" };
    Err(MountError::Conflict {
        target: target.to_owned(),
        found: there.in_words(),
        wanted: format!("{} ({how})", device.display()),
    })
}

fn make_file(target: &Path) -> Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(target);
    made.map(drop)
        .map_err(MountError::io("make the file", target))
}

/// Unmounts a pod's path and removes what was made for it. Missing is success; in use is
/// [`MountError::Busy`], and nothing that holds data is ever removed.
pub fn unpublish(target: &Path) -> Result<()> {
    unmount(target)?;
    let removed = match fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(target),
        Ok(metadata) if metadata.is_file() && metadata.len() > 0 => Err(io::Error::other(
            "it is a file with content, which this driver did not make",
        )),
        Ok(_) => fs::remove_file(target),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(MountError::io("remove", target)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpublish_of_nothing_is_success() {
        let dir = tempfile::tempdir().unwrap();
        unpublish(&dir.path().join("gone")).unwrap();
        unpublish(&dir.path().join("gone/deeper")).unwrap();
    }

    #[test]
    fn unpublish_removes_an_empty_directory_and_an_empty_file_only() {
        let dir = tempfile::tempdir().unwrap();
        let (empty, full) = (dir.path().join("empty"), dir.path().join("full"));
        fs::create_dir(&empty).unwrap();
        fs::create_dir_all(full.join("data")).unwrap();
        unpublish(&empty).unwrap();
        assert!(!empty.exists());
        assert!(
            unpublish(&full)
                .unwrap_err()
                .to_string()
                .contains("not empty")
        );
        let (blank, kept) = (dir.path().join("blank"), dir.path().join("kept"));
        fs::write(&blank, "").unwrap();
        fs::write(&kept, "data").unwrap();
        unpublish(&blank).unwrap();
        assert!(!blank.exists());
        let error = unpublish(&kept).unwrap_err().to_string();
        assert!(
            error.ends_with("it is a file with content, which this driver did not make"),
            "{error}"
        );
    }
}
