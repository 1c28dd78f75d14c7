//! Devices that a dead command left suspended. Whoever writes to one waits, so this comes before anything else.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::dm::{Device, DeviceMapper, Key};
use crate::{Layout, LvUuid, Vg};

/// Between two looks at a lock that LVM holds.
const PAUSE: Duration = Duration::from_millis(20);

/// Lets go on what can without LVM: devices with no other table than the one they had. What has another one is
/// returned: only LVM knows from the metadata which table holds; its volumes are refreshed.
///
/// The lock of the volume group is held meanwhile: what is suspended under it is nobody's work any more.
pub(crate) fn resume(
    dm: &DeviceMapper,
    vg: &Vg,
    locks: &Path,
    at_most: Duration,
) -> io::Result<Vec<LvUuid>> {
    if suspended(dm, vg)?.is_empty() {
        return Ok(Vec::new());
    }
    let Some(_lock) = lock(&locks.join(format!("V_{}", vg.name)), at_most)? else {
        // A command of somebody else works; it resumes what it suspends.
        return Ok(Vec::new());
    };
    let mut left = suspended(dm, vg)?;
    // A device whose lower ones are suspended would wait for them in the kernel.
    while let Some(at) = next(dm, &left)? {
        let device = left.swap_remove(at);
        tracing::warn!(
            device = device.name,
            "resumed: a dead command left it suspended"
        );
        dm.resume(Key::Uuid(&device.uuid))?;
    }
    let mut owners: Vec<LvUuid> = left.iter().filter_map(|device| owner(vg, device)).collect();
    owners.sort_unstable();
    owners.dedup();
    Ok(owners)
}

/// The next that can be resumed by itself.
fn next(dm: &DeviceMapper, left: &[Device]) -> io::Result<Option<usize>> {
    for (index, device) in left.iter().enumerate() {
        if device.inactive || !device.live {
            continue;
        }
        let below = dm.below(Key::Uuid(&device.uuid))?;
        if !left.iter().any(|other| below.contains(&other.number)) {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Suspended devices of a volume group.
fn suspended(dm: &DeviceMapper, vg: &Vg) -> io::Result<Vec<Device>> {
    let prefix = format!("LVM-{}", vg.uuid);
    let mut found = Vec::new();
    for name in dm.names()? {
        let device = dm.device(Key::Name(&name))?;
        found.extend(device.filter(|device| device.suspended && device.uuid.starts_with(&prefix)));
    }
    Ok(found)
}

/// The volume whose refresh sets a device right: its own, or the pool that it is a part of.
fn owner(vg: &Vg, device: &Device) -> Option<LvUuid> {
    let id = device.uuid.get(36..68)?.parse().ok()?;
    let mut lv = vg.lv(&id)?;
    while !lv.visible && !matches!(lv.layout, Layout::ThinPool { .. }) {
        lv = vg.lvs.iter().find(|above| {
            above.parts.contains(&lv.name) && !matches!(above.layout, Layout::Thin { .. })
        })?;
    }
    Some(lv.uuid)
}

/// LVM's lock of a volume group, exclusive (`lib/locking/file_locking.c` of LVM): a file that its last holder
/// removes. `None`: someone else holds it all the time.
pub(crate) fn lock(path: &Path, at_most: Duration) -> io::Result<Option<Flock<File>>> {
    let until = Instant::now() + at_most;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    loop {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                let same = fs::metadata(path)
                    .is_ok_and(|there| lock.metadata().is_ok_and(|ours| ours.ino() == there.ino()));
                if same {
                    return Ok(Some(lock));
                }
            }
            Err((_, Errno::EWOULDBLOCK)) => thread::sleep(PAUSE),
            Err((_, error)) => return Err(error.into()),
        }
        if Instant::now() >= until {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_waited_for_and_a_removed_file_is_no_lock() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("V_vg");
        let held = lock(&path, Duration::ZERO).expect("works").expect("free");
        assert!(lock(&path, Duration::ZERO).expect("works").is_none());
        // LVM removes the file: whoever comes then has another one.
        fs::remove_file(&path).expect("removed");
        assert!(lock(&path, Duration::ZERO).expect("works").is_some());
        drop(held);
    }
}
