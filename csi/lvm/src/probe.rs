//! A logical volume in the kernel: which devices LVM makes of it, and what they say together.

use std::io;

use crate::dm::{self, Device, DeviceMapper, Key, Target};
use crate::{Layout, Lv, LvUuid, PoolStatus, RaidStatus, Status, Vg, VgUuid};

const SECTOR: u64 = 512;

/// The uuid that LVM gives the device of a volume; parts have a dash and a word behind it.
pub(crate) fn dm_uuid(vg: &VgUuid, lv: &LvUuid) -> String {
    format!("LVM-{vg}{lv}")
}

/// Asks for everything of a volume.
pub(crate) fn status(dm: &DeviceMapper, vg: &Vg, lv: &Lv) -> io::Result<Status> {
    let uuid = dm_uuid(&vg.uuid, &lv.uuid);
    if let Layout::ThinPool { .. } = lv.layout {
        return pool(dm, &uuid);
    }
    let Some((device, targets)) = dm.status(Key::Uuid(&uuid))? else {
        return Ok(Status::default());
    };
    let words = |kind: &str| {
        let target = targets.iter().find(|target| target.kind == kind);
        target.map(|target| target.words.as_str())
    };
    let mut status = of_device(&device, &targets);
    status.thin = words("thin").and_then(dm::thin);
    status.cow = words("snapshot").and_then(dm::cow);
    status.raid = match (&lv.layout, words("raid")) {
        (_, Some(words)) => dm::raid(words),
        // With copy-on-write snapshots the raid is one device deeper.
        (Layout::Raid1 { .. } | Layout::Raid5 { .. }, None) => raid_below(dm, &uuid)?,
        _ => None,
    };
    Ok(status)
}

fn raid_below(dm: &DeviceMapper, uuid: &str) -> io::Result<Option<RaidStatus>> {
    let below = dm.status(Key::Uuid(&format!("{uuid}-real")))?;
    Ok(below.and_then(|(_, targets)| dm::raid(&targets.first()?.words)))
}

/// The pool's device is there while any of its volumes is active.
fn pool(dm: &DeviceMapper, uuid: &str) -> io::Result<Status> {
    let inner = format!("{uuid}-tpool");
    let Some((device, targets)) = dm.status(Key::Uuid(&inner))? else {
        return Ok(Status::default());
    };
    let mut status = of_device(&device, &targets);
    status.pool = pool_of(dm, &inner, &targets)?;
    Ok(status)
}

fn pool_of(dm: &DeviceMapper, uuid: &str, targets: &[Target]) -> io::Result<Option<PoolStatus>> {
    let table = dm.table(Key::Uuid(uuid))?;
    let block = table.as_ref().and_then(|(_, targets)| targets.first());
    let words = targets.first().filter(|target| target.kind == "thin-pool");
    Ok(match (words, block) {
        (Some(words), Some(block)) => dm::pool(&words.words, &block.words),
        _ => None,
    })
}

fn of_device(device: &Device, targets: &[Target]) -> Status {
    Status {
        active: device.live,
        suspended: device.suspended,
        open: device.open,
        read_only: device.read_only,
        number: Some(device.number),
        bytes: targets.iter().map(|target| target.length * SECTOR).sum(),
        ..Status::default()
    }
}
