//! Which parts of a thin snapshot hold data, or differ from an earlier one: from the pool's own metadata,
//! without reading the data.
//!
//! The pool keeps its metadata as it is at one moment for a reader (`reserve_metadata_snap` of dm-thin-pool's
//! `admin-guide/device-mapper/thin-provisioning.rst`). It can do so once at a time, and its trees grow while it
//! does, so answers come in parts, and each part reserves and releases for itself: snapshots do not change, so
//! the parts fit. A reader that is slow, or never comes back, holds nothing.

mod changes;
mod format;
mod reserve;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::changes::Limits;
use self::format::{BLOCK, BlockError, Superblock};
use self::reserve::Pool;
use self::tree::Source;
use crate::disk::Disk;
use crate::dm::{DeviceMapper, Key};
use crate::probe::dm_uuid;
use crate::{Command, Layout, Lv, LvUuid, Lvm, LvmError, Result, Vg, VgUuid};

/// How long the metadata device is waited for.
const DEADLINE: Duration = Duration::from_secs(30);
/// A part of an answer: a megabyte of ranges, from 64 MiB of metadata.
const PART: Limits = Limits {
    runs: 1 << 16,
    blocks: 1 << 14,
};

/// Reads which parts of snapshots hold data or have changed.
#[derive(Debug)]
pub struct ChangedBlocks {
    lvm: Arc<Lvm>,
    /// Where it is noted which pools hold a reservation of ours; lost at reboot.
    notes: PathBuf,
    /// How long a reservation that is not ours may stand in the way.
    patience: Duration,
    pools: Mutex<BTreeMap<LvUuid, Arc<Mutex<Pool>>>>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockQuery {
    /// The volume group.
    pub vg: VgUuid,
    /// A thin volume of the same pool whose parts count as known; `None`: all that holds data is told.
    pub base: Option<LvUuid>,
    /// A thin volume that nobody writes.
    pub target: LvUuid,
    /// First byte that matters.
    pub start: u64,
}

/// A part of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockRanges {
    /// Bytes of the target, ascending; whole chunks, so the last may go past the volume's end, and the first
    /// begin before the query's start.
    pub ranges: Vec<Range<u64>>,
    /// Where the next part starts; `None` when this was the last.
    pub next: Option<u64>,
}

impl ChangedBlocks {
    /// Reads with `lvm`; notes are made in a directory that only this process uses.
    #[must_use]
    pub fn new(lvm: Arc<Lvm>, notes: PathBuf) -> Self {
        Self {
            lvm,
            notes,
            patience: Duration::from_mins(10),
            pools: Mutex::default(),
        }
    }

    /// Says how long a reservation of another program is left alone, as long as nothing changes about it.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The next part of an answer. A pool that is not active is made so, and goes back with the last part.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for volumes that are not thin or not of one pool; `InUse` while another program has
    /// reserved the pool's metadata; `Damaged` when it cannot be; those of [`Lvm::vg`] and [`Lvm::run`].
    pub fn part(&self, query: &BlockQuery) -> Result<BlockRanges> {
        let vg = self.lvm.vg_by_uuid(&query.vg)?;
        let pool = pool_of(&vg, &query.target)?;
        if let Some(base) = &query.base
            && pool_of(&vg, base)?.uuid != pool.uuid
        {
            return Err(LvmError::Invalid {
                what: "base",
                value: base.to_string(),
                legal: "a thin volume of the target's pool",
            });
        }
        let state = self.state(pool.uuid);
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.lvm.status(&vg, pool)?.active {
            let lv = pool.uuid;
            self.lvm.run(&vg.uuid, &Command::Activate { lv })?;
            state.activated = true;
        }
        let answer = self.of_pool(&vg, pool, &mut state, query);
        if !answer.as_ref().is_ok_and(|part| part.next.is_some()) {
            self.give_back(&vg, pool, &mut state);
        }
        answer
    }

    /// Makes a pool inactive again that was made active for a reader, unless it has got another user.
    fn give_back(&self, vg: &Vg, pool: &Lv, state: &mut Pool) {
        if !std::mem::take(&mut state.activated) {
            return;
        }
        let lv = pool.uuid;
        let given = self.lvm.status(vg, pool).and_then(|status| {
            // The device by which LVM keeps the pool active holds it too.
            if status.open <= 1 {
                self.lvm.run(&vg.uuid, &Command::Deactivate { lv })?;
            }
            Ok(())
        });
        if let Err(error) = given {
            tracing::warn!(pool = pool.name, vg = vg.name, "stays active: {error}");
        }
    }

    fn state(&self, pool: LvUuid) -> Arc<Mutex<Pool>> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(pools.entry(pool).or_default())
    }

    fn of_pool(
        &self,
        vg: &Vg,
        pool: &Lv,
        state: &mut Pool,
        query: &BlockQuery,
    ) -> Result<BlockRanges> {
        let device = dm_uuid(&vg.uuid, &pool.uuid);
        let reserved = reserve::reserve(&self.lvm, (vg, pool), state, &self.notes, self.patience)?;
        // Numbers of volumes that are there after the reservation are those of the reserved metadata.
        let vg = self.lvm.vg_by_uuid(&vg.uuid)?;
        let target = number(&vg, &query.target)?;
        let base = query
            .base
            .as_ref()
            .map(|base| number(&vg, base))
            .transpose()?;
        let path = metadata(&vg, pool, &device)?;
        let mut disk = Metadata(Disk::new(path.clone()));
        let answer = ranges(&mut disk, reserved.block(), base, target, query.start);
        answer.map_err(|error| match error {
            BlockError::Read { source, .. } => LvmError::Io {
                operation: "read the metadata of the pool on",
                path,
                source,
            },
            BlockError::Damaged { .. } => LvmError::Damaged {
                device: path.display().to_string(),
                reason: error.to_string(),
            },
        })
    }
}

/// Answers from the copy of the superblock in block `held`.
fn ranges(
    source: &mut impl Source,
    held: u64,
    base: Option<u32>,
    target: u32,
    start: u64,
) -> Result<BlockRanges, BlockError> {
    let superblock = Superblock::parse(&source.read(held)?, held)?;
    let mut root = |number: u32| {
        let root = tree::find(source, superblock.volumes, number.into())?;
        root.ok_or_else(|| BlockError::damaged(held, format!("no volume with number {number}")))
    };
    let target = root(target)?;
    let base = base.map(root).transpose()?;
    let chunk = superblock.chunk;
    let chunks = changes::chunks(source, base, target, start / chunk, PART)?;
    let bytes = |chunks: u64| chunks.saturating_mul(chunk);
    let ranges = chunks.runs.iter();
    Ok(BlockRanges {
        ranges: ranges
            .map(|(first, count)| bytes(*first)..bytes(first + count))
            .collect(),
        next: chunks.next.map(bytes),
    })
}

/// The device with a pool's metadata.
struct Metadata(Disk);

impl Source for Metadata {
    fn read(&mut self, at: u64) -> Result<Vec<u8>, BlockError> {
        let read = self
            .0
            .read(at.saturating_mul(BLOCK as u64), BLOCK, DEADLINE);
        read.map_err(|source| BlockError::Read { at, source })
    }
}

fn thin<'a>(vg: &'a Vg, lv: &LvUuid) -> Result<(&'a str, u32)> {
    let found = vg.lv(lv).ok_or_else(|| LvmError::NotFound {
        what: "logical volume",
        name: lv.to_string(),
    })?;
    match &found.layout {
        Layout::Thin {
            pool, device_id, ..
        } => Ok((pool, *device_id)),
        _ => Err(LvmError::Invalid {
            what: "volume",
            value: found.name.clone(),
            legal: "a thin volume: only thin pools know which blocks have changed",
        }),
    }
}

fn number(vg: &Vg, lv: &LvUuid) -> Result<u32> {
    thin(vg, lv).map(|(_, number)| number)
}

fn pool_of<'a>(vg: &'a Vg, lv: &LvUuid) -> Result<&'a Lv> {
    let (pool, _) = thin(vg, lv)?;
    vg.lv_named(pool).ok_or_else(|| LvmError::NotFound {
        what: "logical volume",
        name: pool.to_owned(),
    })
}

/// The node of the volume that a pool's metadata is on.
fn metadata(vg: &Vg, pool: &Lv, device: &str) -> Result<PathBuf> {
    let Layout::ThinPool { metadata, .. } = &pool.layout else {
        return Err(LvmError::NotFound {
            what: "thin pool",
            name: pool.name.clone(),
        });
    };
    let missing = || LvmError::NotFound {
        what: "device of logical volume",
        name: metadata.clone(),
    };
    let uuid = vg.lv_named(metadata).ok_or_else(missing)?.uuid;
    let uuid = format!("{}-tmeta", dm_uuid(&vg.uuid, &uuid));
    let found = DeviceMapper::open()
        .and_then(|dm| dm.device(Key::Uuid(&uuid)))
        .map_err(LvmError::io("ask device-mapper for", device))?;
    Ok(Path::new("/dev/mapper").join(found.ok_or_else(missing)?.name))
}
