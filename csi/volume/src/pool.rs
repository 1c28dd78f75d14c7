//! Thin pools: what may be made in one, and when it grows.
//!
//! A pool starts small and grows into the volume group. What it "can have" is its data and all free
//! extents of the group. Volumes are promised a share of that by the class's ratio; snapshots are not
//! counted, they share their origin's blocks, and like volumes they are refused by the pool's fill.

#[cfg(test)]
mod tests;

use crate::space::Full;
use crate::{Layout, ParameterError, Reserve, WhenFull};

/// A thin pool as LVM and device-mapper have it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Size of the data device.
    pub data: u64,
    /// Used of it.
    pub data_used: u64,
    /// Size of the metadata device.
    pub metadata: u64,
    /// Used of it.
    pub metadata_used: u64,
    /// Bytes of a chunk.
    pub chunk: u64,
    /// Sizes of all volumes in it together, without snapshots.
    pub promised: u64,
    /// What it does when full.
    pub when_full: WhenFull,
    /// Whether device-mapper has it in read-write mode with no need of a check.
    pub usable: bool,
}

/// How much may be promised of a pool, by its device class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Promised bytes for a hundred bytes that the pool can have; 100 promises nothing twice.
    pub overprovision_percent: u32,
    /// Kept free in the volume group for the pool to grow into.
    pub reserve: Reserve,
}

/// The volume group around a pool, in extents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Bytes of an extent.
    pub extent_size: u64,
    /// Free extents.
    pub free: u64,
    /// All extents.
    pub total: u64,
}

/// By how many extents a pool grows now; 0 for not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Growth {
    /// Of the metadata; grown first. The group's spare metadata grows by as much.
    pub metadata: u64,
    /// Of the data.
    pub data: u64,
}

/// Sizes of a pool that does not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// Extents of data.
    pub data: u64,
    /// Extents of metadata; the group's spare metadata takes as many again.
    pub metadata: u64,
    /// Bytes of a chunk.
    pub chunk: u64,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// LVM's own default and dm-thin's least.
const CHUNK: u64 = 64 << 10;
/// dm-thin's metadata cannot be larger (`THIN_METADATA_MAX_SECTORS`), in bytes.
const METADATA_MOST: u64 = 255 * ((1 << 14) - 64) * 4096;
/// Bytes of metadata for a mapped chunk, with room for what snapshots split.
const METADATA_FOR_CHUNK: u64 = 64;
/// New volumes are refused from this fill on, in hundredths of what the pool can have.
pub const DATA_MOST: u64 = 95;
/// The same of the metadata: without metadata nothing can be written at all.
pub const METADATA_FILL_MOST: u64 = 90;
/// LVM makes nothing new in a pool with less free metadata than this, or than a quarter of it.
const METADATA_FREE: u64 = 4 * MIB;
/// Data grows from this fill on.
pub const GROW_DATA_AT: u64 = 70;
/// The kernel tells when so much of the data is used. LVM makes nothing new in a pool that is fuller than
/// that, so it is not less than [`DATA_MOST`].
pub const EVENT_AT: u64 = DATA_MOST;
/// Metadata grows from this fill on: earlier than data.
pub const GROW_METADATA_AT: u64 = 50;

fn percent(part: u64, whole: u64) -> u64 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    u64::try_from(percent).unwrap_or(u64::MAX)
}

impl Group {
    fn bytes(&self, extents: u64) -> u64 {
        extents.saturating_mul(self.extent_size)
    }

    /// Extents that hold so many bytes.
    fn extents(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.extent_size.max(1))
    }
}

impl Pool {
    /// Data that the pool can have.
    fn can_have(&self, group: &Group) -> u64 {
        self.data.saturating_add(group.bytes(group.free))
    }

    /// Metadata that the pool can have: growth takes twice its size, for the spare.
    fn metadata_can_have(&self, group: &Group) -> u64 {
        let grown = self.metadata.saturating_add(group.bytes(group.free / 2));
        grown.min(METADATA_MOST.max(self.metadata))
    }

    /// Bytes that may be promised to volumes.
    fn limit(&self, policy: &Policy, group: &Group) -> u64 {
        let limit =
            u128::from(self.can_have(group)) * u128::from(policy.overprovision_percent) / 100;
        u64::try_from(limit).unwrap_or(u64::MAX)
    }
}

/// Whether the pool takes anything new, by its fill; snapshots, restores and clones ask this too.
///
/// # Errors
/// It is too full, or device-mapper does not let it be written.
pub fn fill(pool: &Pool, group: &Group) -> Result<(), Full> {
    if !pool.usable {
        return Err(Full::Unusable);
    }
    let metadata = pool.metadata_can_have(group);
    let kept = METADATA_FREE.min(metadata / 4);
    let fills = [
        (
            "data",
            percent(pool.data_used, pool.can_have(group)),
            DATA_MOST,
        ),
        (
            "metadata",
            percent(pool.metadata_used, metadata),
            METADATA_FILL_MOST.min(percent(metadata - kept, metadata)),
        ),
    ];
    for (what, percent, most) in fills {
        if percent >= most {
            return Err(Full::Filled {
                what,
                percent,
                most,
            });
        }
    }
    Ok(())
}

/// The largest new volume, or the most bytes by which volumes may grow: whole extents, 0 when full.
#[must_use]
pub fn largest(pool: &Pool, policy: &Policy, group: &Group) -> u64 {
    if fill(pool, group).is_err() {
        return 0;
    }
    let left = pool.limit(policy, group).saturating_sub(pool.promised);
    let extents = (left / group.extent_size.max(1)).min(u64::from(u32::MAX));
    group.bytes(extents)
}

/// Whether a new volume of so many bytes may be made, or volumes may grow by so many.
///
/// # Errors
/// The pool is too full, or has promised what it may.
pub fn admit(pool: &Pool, policy: &Policy, group: &Group, bytes: u64) -> Result<(), Full> {
    fill(pool, group)?;
    let largest = largest(pool, policy, group);
    if bytes > largest {
        return Err(Full::Promised {
            wanted: bytes,
            largest,
            limit: pool.limit(policy, group),
            percent: policy.overprovision_percent,
        });
    }
    Ok(())
}

/// Whether a class's parameters agree with the pool that stands.
///
/// # Errors
/// `chunk` or `whenFull` say something else.
pub fn agrees(layout: &Layout, name: &str, pool: &Pool) -> Result<(), ParameterError> {
    let Layout::Thin {
        chunk, when_full, ..
    } = layout
    else {
        return Ok(());
    };
    let differs = |key: &str, value: String, has: String| ParameterError {
        key: key.to_owned(),
        value,
        allowed: format!("the pool {name} has {has}: leave this away or name another pool"),
    };
    if let Some(chunk) = chunk.filter(|chunk| *chunk != pool.chunk) {
        let text = crate::quantity::short;
        return Err(differs("chunk", text(chunk), text(pool.chunk)));
    }
    if let Some(when) = when_full.filter(|when| *when != pool.when_full) {
        let has = pool.when_full.as_str().to_owned();
        return Err(differs("whenFull", when.as_str().to_owned(), has));
    }
    Ok(())
}

/// Whether a pool is so full that it has to grow.
#[must_use]
pub fn is_due(pool: &Pool) -> bool {
    percent(pool.metadata_used, pool.metadata) >= GROW_METADATA_AT
        || percent(pool.data_used, pool.data) >= GROW_DATA_AT
}

/// By how much a pool grows now: metadata from half full on, by as much as it has; data from 70% on, by a
/// quarter and at least 1 GiB. Data leaves free what the metadata needs to double once more.
#[must_use]
pub fn grow(pool: &Pool, group: &Group) -> Growth {
    let mut growth = Growth::default();
    let mut free = group.free;
    let metadata_step = group.extents(pool.metadata).max(1);
    let metadata_room = METADATA_MOST.saturating_sub(pool.metadata) / group.extent_size.max(1);
    if percent(pool.metadata_used, pool.metadata) >= GROW_METADATA_AT {
        growth.metadata = metadata_step.min(metadata_room).min(free / 2);
        free -= 2 * growth.metadata;
    }
    if percent(pool.data_used, pool.data) >= GROW_DATA_AT {
        let step = group.extents((pool.data / 4).max(GIB));
        let kept = if metadata_room == 0 {
            0
        } else {
            (2 * metadata_step).min(free / 10)
        };
        growth.data = step.min(free - kept);
    }
    growth
}

/// The sizes of a new pool: a tenth of what is free and at least 1 GiB of data, as far as there is room.
///
/// # Errors
/// There is no room for one extent of data beside the metadata and its spare.
pub fn first(group: &Group, chunk: Option<u64>) -> Result<First, Full> {
    let chunk = chunk.unwrap_or(CHUNK);
    let wanted = group.extents((group.bytes(group.free) / 10).max(GIB));
    // Room for twice the data before it has to grow.
    let mapped = group.bytes(wanted).saturating_mul(2) / chunk * METADATA_FOR_CHUNK;
    let metadata = group.extents(mapped.clamp(16 * MIB, METADATA_MOST));
    let metadata = metadata.min((group.free / 8).max(1));
    let data = wanted.min(group.free.saturating_sub(2 * metadata));
    if data == 0 {
        return Err(Full::Group {
            wanted: group.bytes(wanted),
            layout: "a thin pool beside its metadata".to_owned(),
            largest: 0,
        });
    }
    Ok(First {
        data,
        metadata,
        chunk,
    })
}

impl First {
    /// The pool as it stands once made, and the group around it: for asking what a class without a pool
    /// could hold.
    #[must_use]
    pub fn made(&self, group: &Group, when_full: WhenFull) -> (Pool, Group) {
        let pool = Pool {
            data: group.bytes(self.data),
            data_used: 0,
            metadata: group.bytes(self.metadata),
            metadata_used: 0,
            chunk: self.chunk,
            promised: 0,
            when_full,
            usable: true,
        };
        let free = group.free.saturating_sub(self.data + 2 * self.metadata);
        (pool, Group { free, ..*group })
    }
}
