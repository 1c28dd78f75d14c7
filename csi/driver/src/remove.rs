//! Removal of what was put aside (`fl.d`): by `DeleteVolume` of a class with `wipe: delete`, at once; by
//! hand with `fairlead volume gc --delete`, after the grace.
//!
//! Content that a class wants erased is overwritten first, so its space is free only afterwards. A crash on the
//! way is followed by the same work from the start: the tag stays until the volume goes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fairlead_csi_lvm::{Command, Layout};
use fairlead_csi_mount::wipe;
use fairlead_csi_volume::aside::due;

use crate::background::LATER;
use crate::controller::delete::wipes;
use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Found;
use crate::node::{activate, deactivate};

/// Bytes that are read and overwritten at once: the least chunk of a pool.
const PIECE: usize = 64 << 10;

/// Removes everything whose time has come. What fails is told and tried again at the next turn.
pub(crate) fn turn(shared: &Shared) -> Duration {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    for group in shared.groups.readable() {
        for found in group.all(&shared.config.cluster) {
            let Some(seconds) = found.record.put_aside else {
                continue;
            };
            if due(seconds, shared.config.grace) > now.as_secs() {
                continue;
            }
            if let Err(error) = remove(shared, &found) {
                tracing::warn!(id = %found.id(), "cannot be removed: {error}");
            }
        }
    }
    LATER
}

fn remove(shared: &Shared, found: &Found) -> Result<(), DriverError> {
    let id = found.id();
    let _claim = shared.inflight.claim("volume", &id.to_string())?;
    let Some(found) = shared.groups.find(found.record.kind, &id)? else {
        return Ok(());
    };
    if found.record.put_aside.is_none() {
        return Ok(());
    }
    if wipes(&found.record) && !erased(shared, &found)? {
        return Ok(());
    }
    let lvs = vec![id.lv];
    shared.lvm.run(&id.vg, &Command::Remove { lvs })?;
    tracing::info!(%id, "removed");
    Ok(())
}

/// Overwrites it; `false` when the process ends before that is done.
fn erased(shared: &Shared, found: &Found) -> Result<bool, DriverError> {
    activate(shared, found)?;
    let device = found.vg().device(found.lv());
    let size = found.vg().bytes(found.lv());
    let done = match &found.lv().layout {
        Layout::Thin { .. } => thin(shared, found)?,
        _ => wipe(&device, 0, &mut |_| !shared.background.is_ending())? >= size,
    };
    deactivate(shared, found)?;
    Ok(done)
}

/// Overwrites what a thin volume has got. Blocks that it never had read as zeros, and are left out: to write
/// them would take room of the pool.
fn thin(shared: &Shared, found: &Found) -> Result<bool, DriverError> {
    let path = found.vg().device(found.lv());
    let fault = |error: std::io::Error| DriverError::Path {
        path: path.clone(),
        why: format!("erase: {error}"),
    };
    let mut device = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(fault)?;
    let mut piece = vec![0; PIECE];
    let zeros = vec![0; PIECE];
    let mut at = 0;
    loop {
        if shared.background.is_ending() {
            return Ok(false);
        }
        let length = device.read(&mut piece).map_err(fault)?;
        if length == 0 {
            break;
        }
        if piece[..length].iter().any(|byte| *byte != 0) {
            device.seek(SeekFrom::Start(at)).map_err(fault)?;
            device.write_all(&zeros[..length]).map_err(fault)?;
        }
        at += length as u64;
    }
    device.sync_all().map_err(fault)?;
    Ok(true)
}
