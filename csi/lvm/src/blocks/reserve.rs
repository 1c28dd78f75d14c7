//! The one reservation that a pool has: taken, given back, and found again after a crash.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::dm::{DeviceMapper, Key};
use crate::probe::dm_uuid;
use crate::{Lv, Lvm, LvmError, Result, Vg};

/// What is known of a pool between the parts of answers.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Whether it is active only for a reader here.
    pub(super) activated: bool,
    /// A reservation that is not ours: its block, and since when it was seen.
    seen: Option<(u64, Instant)>,
}

/// A reservation; it ends when dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    dm: DeviceMapper,
    uuid: String,
    note: PathBuf,
    block: u64,
}

impl Reserved {
    /// Block of the superblock's copy.
    pub(super) fn block(&self) -> u64 {
        self.block
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let released = release(&self.dm, &self.uuid, &self.note);
        if let Err(error) = released {
            // The note says that it is ours: the next reader releases it.
            tracing::warn!(
                device = self.uuid,
                "metadata snapshot of a pool is not released: {error}"
            );
        }
    }
}

/// Reserves the metadata of a pool as it is now. The caller sees to it that nobody else here does.
pub(super) fn reserve(
    lvm: &Lvm,
    (vg, pool): (&Vg, &Lv),
    state: &mut Pool,
    notes: &Path,
    patience: Duration,
) -> Result<Reserved> {
    let uuid = format!("{}-tpool", dm_uuid(&vg.uuid, &pool.uuid));
    let note = notes.join(pool.uuid.to_string());
    let refused = |source: io::Error| LvmError::Io {
        operation: "reserve the metadata of",
        path: vg.device(pool),
        source,
    };
    let dm = DeviceMapper::open().map_err(refused)?;
    let held = || -> Result<Option<u64>> {
        let status = lvm.status(vg, pool)?.pool;
        Ok(status.and_then(|pool| pool.held_root))
    };
    if let Some(block) = held()? {
        if !note.exists() && !state.is_old(block, patience) {
            return Err(foreign(vg, pool, block, patience));
        }
        tracing::warn!(
            pool = pool.name,
            vg = vg.name,
            block,
            "releases a metadata snapshot that was left"
        );
        release(&dm, &uuid, &note).map_err(refused)?;
    }
    state.seen = None;
    fs::create_dir_all(notes).map_err(LvmError::io("create", notes))?;
    fs::write(&note, []).map_err(LvmError::io("write", &note))?;
    match dm.message(Key::Uuid(&uuid), "reserve_metadata_snap") {
        Ok(()) => {}
        Err(error) => {
            // Nothing of ours is held: the note would let a later reader release what is not ours.
            fs::remove_file(&note).map_err(LvmError::io("remove", &note))?;
            return match held()? {
                Some(block) => Err(foreign(vg, pool, block, patience)),
                None => Err(refused(error)),
            };
        }
    }
    let mut reserved = Reserved {
        dm,
        uuid,
        note,
        block: 0,
    };
    let missing = || {
        refused(io::Error::other(
            "the pool took the message and reserved nothing",
        ))
    };
    reserved.block = held()?.ok_or_else(missing)?;
    Ok(reserved)
}

impl Pool {
    /// Whether a reservation of others stands unchanged for so long that nobody reads it any more.
    fn is_old(&mut self, block: u64, patience: Duration) -> bool {
        match self.seen {
            Some((seen, since)) if seen == block => since.elapsed() >= patience,
            _ => {
                self.seen = Some((block, Instant::now()));
                false
            }
        }
    }
}

fn release(dm: &DeviceMapper, uuid: &str, note: &Path) -> io::Result<()> {
    dm.message(Key::Uuid(uuid), "release_metadata_snap")?;
    match fs::remove_file(note) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn foreign(vg: &Vg, pool: &Lv, block: u64, patience: Duration) -> LvmError {
    LvmError::InUse {
        vg: vg.name.clone(),
        lv: pool.name.clone(),
        by: format!(
            "another program has reserved its metadata (block {block}); if that has ended, `dmsetup message \
             <pool> 0 release_metadata_snap` frees it, and so does a reader after {patience:?}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_of_others_is_left_alone_until_it_is_old() {
        let mut pool = Pool::default();
        assert!(!pool.is_old(7, Duration::ZERO), "seen for the first time");
        assert!(!pool.is_old(7, Duration::from_mins(10)));
        assert!(pool.is_old(7, Duration::ZERO));
        assert!(!pool.is_old(8, Duration::ZERO), "another one");
    }
}
