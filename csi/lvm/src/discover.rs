//! Which block devices may carry a label: as LVM's filters decide (`lib/filters` of LVM), from sysfs alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Devices without a life of their own below this many are followed; deeper stacks do not exist.
const DEEPEST: usize = 16;

/// Nodes of all devices that may be physical volumes, sorted. Left out are logical volumes and everything
/// above them (what a guest keeps inside is its own), components of RAID arrays and of multipath devices, disks
/// with partitions, and empty drives.
pub(crate) fn devices(sysfs: &Path, dev: &Path) -> io::Result<Vec<PathBuf>> {
    let class = sysfs.join("class/block");
    let mut found = Vec::new();
    for entry in fs::read_dir(&class)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if ["sr", "fd", "zram"].iter().any(|kind| numbered(name, kind)) {
            continue;
        }
        let at = class.join(name);
        let empty = read(&at.join("size")).is_none_or(|size| size == "0");
        if empty || is_component(&at) || has_partitions(&at, name) || above_lvm(&class, name, 0) {
            continue;
        }
        found.extend(node(&at, dev));
    }
    found.sort();
    Ok(found)
}

fn numbered(name: &str, kind: &str) -> bool {
    name.strip_prefix(kind)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim_end().to_owned())
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

fn is_component(at: &Path) -> bool {
    names(&at.join("holders")).iter().any(|holder| {
        let uuid = read(&at.join("holders").join(holder).join("dm/uuid"));
        numbered(holder, "md") || uuid.is_some_and(|uuid| uuid.starts_with("mpath-"))
    })
}

fn has_partitions(at: &Path, name: &str) -> bool {
    names(at)
        .iter()
        .any(|entry| entry.starts_with(name) && at.join(entry).join("partition").exists())
}

fn above_lvm(class: &Path, name: &str, depth: usize) -> bool {
    let at = class.join(name);
    if read(&at.join("dm/uuid")).is_some_and(|uuid| uuid.starts_with("LVM-")) || depth > DEEPEST {
        return true;
    }
    let parent = at.join("partition").exists().then(|| parent(&at)).flatten();
    names(&at.join("slaves"))
        .iter()
        .chain(&parent)
        .any(|below| above_lvm(class, below, depth + 1))
}

/// The disk of a partition: `class/block/sda1` is a link to `…/block/sda/sda1`.
fn parent(at: &Path) -> Option<String> {
    let real = fs::canonicalize(at).ok()?;
    Some(real.parent()?.file_name()?.to_str()?.to_owned())
}

/// The node under which an administrator knows it.
fn node(at: &Path, dev: &Path) -> Option<PathBuf> {
    if let Some(name) = read(&at.join("dm/name")) {
        return Some(dev.join("mapper").join(name));
    }
    let uevent = read(&at.join("uevent"))?;
    let name = uevent
        .lines()
        .find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(dev.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(sysfs: &Path, name: &str, files: &[(&str, &str)]) {
        let at = sysfs.join("class/block").join(name);
        let all = [
            ("size", "8"),
            ("uevent", &format!("MAJOR=1\nDEVNAME={name}\n")),
        ];
        for (file, content) in all.iter().chain(files) {
            let path = at.join(file);
            fs::create_dir_all(path.parent().expect("parent")).expect("directory");
            fs::write(path, content).expect("file");
        }
    }

    #[test]
    fn disks_partitions_arrays_and_multipath_are_offered_their_components_and_volumes_are_not() {
        let sysfs = tempfile::tempdir().expect("directory");
        let at = sysfs.path();
        device(at, "sda", &[]);
        device(at, "sdb", &[("sdb1/partition", "1")]);
        device(at, "sdb1", &[("partition", "1")]);
        device(at, "sdc", &[("holders/md0/x", "")]);
        device(at, "md0", &[]);
        device(at, "sdd", &[("holders/dm-0/dm/uuid", "mpath-3600")]);
        device(
            at,
            "dm-0",
            &[("dm/uuid", "mpath-3600"), ("dm/name", "mpatha")],
        );
        device(at, "dm-1", &[("dm/uuid", "LVM-abc"), ("dm/name", "vg-lv")]);
        device(
            at,
            "dm-2",
            &[
                ("dm/uuid", "CRYPT-LUKS2-x"),
                ("dm/name", "c"),
                ("slaves/dm-1/x", ""),
            ],
        );
        device(at, "sr0", &[]);
        device(at, "loop0", &[("size", "0")]);
        let found = devices(at, Path::new("/dev")).expect("found");
        let expected = ["/dev/mapper/mpatha", "/dev/md0", "/dev/sda", "/dev/sdb1"];
        assert_eq!(found, expected.map(PathBuf::from));
    }
}
