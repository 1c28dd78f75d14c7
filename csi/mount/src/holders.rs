//! Who keeps a file system busy, as far as `/proc` shows it cheaply.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::device::device_number;
use crate::error::Holder;
use crate::mountinfo::Mounts;

/// Enough to act on; a busy shell session has dozens.
const AT_MOST: usize = 5;

/// Processes with a file, directory or root in the file system that is mounted here, and mounts below.
pub(crate) fn holders_of(mount_point: &Path) -> Vec<Holder> {
    let Ok(device) = fs::metadata(mount_point).map(|metadata| metadata.dev()) else {
        return Vec::new();
    };
    let mut found = mounts_below(mount_point);
    let Ok(processes) = fs::read_dir("/proc") else {
        return found;
    };
    for process in processes.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(what) = held(&process.path(), device) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let what = what.display().to_string();
            found.push(Holder {
                pid,
                name: name.trim().to_owned(),
                what,
            });
        }
        if found.len() >= AT_MOST {
            break;
        }
    }
    found
}

/// Mounts of a device's file system, for a mapping that cannot be closed.
pub(crate) fn holders_of_device(device: &Path) -> Vec<Holder> {
    let Ok(number) = device_number(device) else {
        return Vec::new();
    };
    let mounted = |mounts: &Mounts| {
        let points = mounts.of_device(number).take(AT_MOST);
        points
            .map(|entry| mount_as_holder(&entry.mount_point))
            .collect()
    };
    Mounts::read().as_ref().map(mounted).unwrap_or_default()
}

fn mount_as_holder(point: &Path) -> Holder {
    let what = format!("a mount at {}", point.display());
    Holder {
        pid: 0,
        name: "kernel".to_owned(),
        what,
    }
}

fn mounts_below(mount_point: &Path) -> Vec<Holder> {
    let below = |mounts: &Mounts| {
        mounts
            .iter()
            .filter(|entry| {
                entry.mount_point != mount_point && entry.mount_point.starts_with(mount_point)
            })
            .take(AT_MOST)
            .map(|entry| mount_as_holder(&entry.mount_point))
            .collect()
    };
    Mounts::read().as_ref().map(below).unwrap_or_default()
}

/// The first thing that this process holds on the device.
fn held(process: &Path, device: u64) -> Option<PathBuf> {
    let on_device = |link: &PathBuf| fs::metadata(link).is_ok_and(|file| file.dev() == device);
    let fixed = ["cwd", "root", "exe"].map(|name| process.join(name));
    let open = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    let link = fixed
        .into_iter()
        .chain(open.map(|entry| entry.path()))
        .find(on_device)?;
    Some(fs::read_link(&link).unwrap_or(link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_its_own_temporary_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let device = file.as_file().metadata().unwrap().dev();
        assert!(held(Path::new("/proc/self"), device).is_some());
        assert!(held(Path::new("/proc/self"), u64::MAX).is_none());
    }
}
