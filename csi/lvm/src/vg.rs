//! A volume group as its metadata describes it: pure values, made by the reader.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{LvUuid, VgUuid};

/// A volume group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vg {
    /// Its name at the time of reading; an administrator may change it.
    pub name: String,
    /// Its id, for life.
    pub uuid: VgUuid,
    /// Grows by one with each change of the metadata.
    pub seqno: u64,
    /// Bytes of an extent.
    pub extent_size: u64,
    /// Tags of the group.
    pub tags: BTreeSet<String>,
    /// Physical volumes, in the metadata's order.
    pub pvs: Vec<Pv>,
    /// Logical volumes with their hidden parts, in the metadata's order. Readings share those that stay the same.
    pub lvs: Vec<Arc<Lv>>,
    /// Room that the metadata has.
    pub metadata_area: MetadataArea,
}

/// Room of the metadata text: the smallest area among the physical volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetadataArea {
    /// Bytes that one text may have (LVM keeps two in the area).
    pub size: u64,
    /// Bytes of the present text.
    pub used: u64,
}

/// A physical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pv {
    /// Its id, without dashes.
    pub uuid: String,
    /// The name of it inside the metadata text: `pv0`.
    pub name: String,
    /// Where it is now; `None` when no disk carries its label, or LVM has marked it missing.
    pub device: Option<PathBuf>,
    /// Extents that it holds.
    pub extents: u64,
    /// Whether LVM may allocate from it.
    pub allocatable: bool,
    /// Extents that no logical volume uses, ascending, merged.
    pub free: Vec<Range<u64>>,
    /// Byte at which its first extent starts.
    pub start: u64,
    /// Tags.
    pub tags: BTreeSet<String>,
}

impl Pv {
    /// Extents that may be allocated here.
    #[must_use]
    pub fn free_extents(&self) -> u64 {
        if !self.allocatable || self.device.is_none() {
            return 0;
        }
        self.free.iter().map(|range| range.end - range.start).sum()
    }
}

/// A logical volume.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of the metadata"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lv {
    /// Its name at the time of reading.
    pub name: String,
    /// Its id, for life.
    pub uuid: LvUuid,
    /// Its size in extents. Of a copy-on-write snapshot: of the store of its changes.
    pub extents: u64,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// What it is made of.
    pub layout: Layout,
    /// Whether it is a volume of its own; parts of others are not.
    pub visible: bool,
    /// Whether it may be written.
    pub writable: bool,
    /// Whether only `lvchange -K` activates it.
    pub skip_activation: bool,
    /// When it was made, seconds since 1970.
    pub created: Option<u64>,
    /// Whether a part of it lies on a physical volume that is missing.
    pub partial: bool,
    /// Extents of the physical volumes that it uses, its parts not included: name of the physical volume in
    /// the metadata ([`Pv::name`]) and range, in the order of the data.
    pub areas: Vec<(String, Range<u64>)>,
    /// Names of the hidden volumes that it is made of (for a thin volume: its pool).
    pub parts: Vec<String>,
}

/// What a logical volume is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Extents one after the other.
    Linear,
    /// Spread over `stripes` physical volumes.
    Striped {
        /// How many.
        stripes: u32,
    },
    /// Mirrored.
    Raid1 {
        /// How often the data is there: 2 for one mirror.
        copies: u32,
        /// Whether dm-integrity is below the copies.
        integrity: bool,
    },
    /// Striped with one parity.
    Raid5 {
        /// Stripes of data, parity not counted.
        stripes: u32,
        /// Whether dm-integrity is below the devices.
        integrity: bool,
    },
    /// Thin.
    Thin {
        /// Name of its pool.
        pool: String,
        /// Name of the thin volume that it is a snapshot of, while that is there.
        origin: Option<String>,
        /// Its id inside of the pool.
        device_id: u32,
    },
    /// A pool of thin volumes.
    ThinPool {
        /// Name of the volume that holds the data.
        data: String,
        /// Name of the volume that holds the mappings.
        metadata: String,
        /// Bytes of a chunk.
        chunk: u64,
        /// What writes meet when the data is full.
        when_full: WhenFull,
        /// Whether new blocks are zeroed before first use.
        zero: bool,
        /// LVM's count of the pool's changes; device-mapper must have the same.
        transaction_id: u64,
        /// What LVM has still to tell the kernel's pool: none, unless a command is at it or died there.
        messages: Vec<PoolMessage>,
    },
    /// A copy-on-write snapshot of a thick volume.
    CowSnapshot {
        /// Name of the volume that it is a snapshot of.
        origin: String,
    },
    /// Anything else: LVM's name of the segment type.
    Other(String),
}

/// A change of a thin pool that LVM has written down before it tells the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolMessage {
    /// A thin volume is made: its name.
    Create(String),
    /// A thin volume goes: its id inside of the pool.
    Delete(u32),
}

/// What writes to a full pool meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// They wait for room, a minute by default (`no_space_timeout` of dm-thin-pool), and fail then.
    Queue,
    /// They fail at once.
    Error,
}

impl Vg {
    /// Extents that may still be allocated, on all physical volumes that are here.
    #[must_use]
    pub fn free_extents(&self) -> u64 {
        self.pvs.iter().map(Pv::free_extents).sum()
    }

    /// All extents of the physical volumes.
    #[must_use]
    pub fn extents(&self) -> u64 {
        self.pvs.iter().map(|pv| pv.extents).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Lv> {
        self.lvs.iter().map(Arc::as_ref)
    }

    /// The logical volume with an id.
    #[must_use]
    pub fn lv(&self, uuid: &LvUuid) -> Option<&Lv> {
        self.all().find(|lv| lv.uuid == *uuid)
    }

    /// The logical volume with a name.
    #[must_use]
    pub fn lv_named(&self, name: &str) -> Option<&Lv> {
        self.all().find(|lv| lv.name == name)
    }

    /// Logical volumes with a tag.
    pub fn tagged(&self, tag: &str) -> impl Iterator<Item = &Lv> {
        self.all().filter(move |lv| lv.tags.contains(tag))
    }

    /// Thin volumes of a pool.
    pub fn thins_of(&self, pool: &str) -> impl Iterator<Item = &Lv> {
        self.all()
            .filter(move |lv| matches!(&lv.layout, Layout::Thin { pool: of, .. } if of == pool))
    }

    /// Copy-on-write snapshots of a volume; an origin with some cannot be removed alone.
    pub fn cow_snapshots_of(&self, origin: &str) -> impl Iterator<Item = &Lv> {
        self.all().filter(
            move |lv| matches!(&lv.layout, Layout::CowSnapshot { origin: of } if of == origin),
        )
    }

    /// Ids of the physical volumes that no disk carries.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.pvs
            .iter()
            .filter(|pv| pv.device.is_none())
            .map(|pv| pv.uuid.clone())
            .collect()
    }

    /// Whether a physical volume is missing.
    #[must_use]
    pub fn partial(&self) -> bool {
        self.pvs.iter().any(|pv| pv.device.is_none())
    }

    /// The node of a volume: `/dev/<vg>/<lv>`. It is there only while the volume is active.
    #[must_use]
    pub fn device(&self, lv: &Lv) -> PathBuf {
        Path::new("/dev").join(&self.name).join(&lv.name)
    }

    /// Bytes of a volume.
    #[must_use]
    pub fn bytes(&self, lv: &Lv) -> u64 {
        lv.extents * self.extent_size
    }
}
