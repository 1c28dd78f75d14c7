//! Changes of a volume group as types.

use std::collections::BTreeSet;

use crate::{LvUuid, WhenFull};

/// Extents of a physical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PvRange {
    /// The physical volume's id, without dashes.
    pub pv: String,
    /// First extent.
    pub start: u64,
    /// How many.
    pub extents: u64,
}

/// What a thick volume is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Extents one after the other.
    Linear,
    /// Spread over as many physical volumes.
    Striped {
        /// At least 2.
        stripes: u32,
    },
    /// Mirrored.
    Raid1 {
        /// Mirrors beside the data: at least 1.
        mirrors: u32,
        /// With dm-integrity below.
        integrity: bool,
    },
    /// One parity.
    Raid5 {
        /// Stripes of data, at least 2; one more physical volume is needed.
        stripes: u32,
        /// With dm-integrity below.
        integrity: bool,
    },
}

/// One change of a volume group. Volumes are named by id: what their names are now is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Makes a pool of thin volumes.
    CreatePool {
        /// Name.
        name: String,
        /// Extents of data.
        extents: u64,
        /// Bytes of metadata (LVM makes as much again for repair, the spare); at least 2 MiB, at most 15.8 GiB.
        metadata: u64,
        /// Bytes of a chunk; `None` leaves it to LVM.
        chunk: Option<u64>,
        /// What writes to the full pool meet.
        when_full: WhenFull,
        /// Tags.
        tags: BTreeSet<String>,
    },
    /// Makes a thin volume, not active, with activation skip.
    CreateThin {
        /// Name.
        name: String,
        /// The pool.
        pool: LvUuid,
        /// Extents.
        extents: u64,
        /// Tags.
        tags: BTreeSet<String>,
    },
    /// Makes a thick volume with activation skip. What was on the extents before is still on them.
    CreateThick {
        /// Name.
        name: String,
        /// Extents of data. LVM rounds up to full stripes.
        extents: u64,
        /// Made of what.
        kind: Kind,
        /// Only from these; empty: from all.
        on: Vec<PvRange>,
        /// Whether it is active afterwards.
        active: bool,
        /// Tags.
        tags: BTreeSet<String>,
    },
    /// Makes a thin snapshot (or a clone, or a restore: it is the same), not active, with activation skip.
    Snapshot {
        /// Of a thin volume.
        of: LvUuid,
        /// Name.
        name: String,
        /// Whether it can be written.
        read_only: bool,
        /// Tags.
        tags: BTreeSet<String>,
    },
    /// Makes a copy-on-write snapshot of a thick volume. It is active when its origin is.
    CowSnapshot {
        /// Of a thick volume.
        of: LvUuid,
        /// Name.
        name: String,
        /// Extents for changes.
        extents: u64,
        /// Tags.
        tags: BTreeSet<String>,
    },
    /// Grows a volume (a copy-on-write snapshot: its store). No shrinking; it is done when it is as large already.
    Extend {
        /// The volume.
        lv: LvUuid,
        /// Extents afterwards.
        to_extents: u64,
        /// Only from these; empty: from all.
        on: Vec<PvRange>,
    },
    /// Grows the data of a pool.
    ExtendPool {
        /// The pool.
        pool: LvUuid,
        /// Extents afterwards.
        to_extents: u64,
    },
    /// Grows the metadata of a pool.
    ExtendPoolMetadata {
        /// The pool.
        pool: LvUuid,
        /// Extents afterwards.
        to_extents: u64,
    },
    /// Says what writes to the full pool meet.
    SetWhenFull {
        /// The pool.
        pool: LvUuid,
        /// What.
        when_full: WhenFull,
    },
    /// Removes volumes; of those that are gone already nothing is said. At most 40.
    Remove {
        /// Which.
        lvs: Vec<LvUuid>,
    },
    /// Changes tags.
    Retag {
        /// The volume.
        lv: LvUuid,
        /// Tags to have.
        add: BTreeSet<String>,
        /// Tags to have no more.
        remove: BTreeSet<String>,
    },
    /// Changes a name.
    Rename {
        /// The volume.
        lv: LvUuid,
        /// The new name.
        to: String,
    },
    /// Says whether only staging activates it.
    SetSkipActivation {
        /// The volume.
        lv: LvUuid,
        /// Whether.
        skip: bool,
    },
    /// Makes it active, activation skip or not.
    Activate {
        /// The volume.
        lv: LvUuid,
    },
    /// Makes it inactive.
    Deactivate {
        /// The volume.
        lv: LvUuid,
    },
    /// Loads what the metadata says into the kernel again (after a command died half-way).
    Refresh {
        /// The volume.
        lv: LvUuid,
    },
}

impl Command {
    /// Whether it makes a volume: done before it runs, it was somebody else's work.
    pub(crate) fn makes(&self) -> bool {
        matches!(
            self,
            Self::CreatePool { .. }
                | Self::CreateThin { .. }
                | Self::CreateThick { .. }
                | Self::Snapshot { .. }
                | Self::CowSnapshot { .. }
        )
    }

    /// Whether it changes the metadata on the disks.
    pub(crate) fn writes(&self) -> bool {
        !matches!(
            self,
            Self::Activate { .. } | Self::Deactivate { .. } | Self::Refresh { .. }
        )
    }
}
