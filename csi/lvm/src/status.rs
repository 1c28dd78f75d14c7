//! What device-mapper says of a logical volume: activity, fill, health.

/// State of a logical volume in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Whether it is active: a device is there.
    pub active: bool,
    /// Whether its input and output are held.
    pub suspended: bool,
    /// How often it is open (mounts, other devices above it, programs).
    pub open: u32,
    /// Whether the device was made read-only.
    pub read_only: bool,
    /// Major and minor number.
    pub number: Option<(u32, u32)>,
    /// Bytes of the active device; smaller than the volume right after an extension that could not be applied.
    pub bytes: u64,
    /// Of a thin volume.
    pub thin: Option<ThinStatus>,
    /// Of a thin pool that is active, be it only by one of its volumes.
    pub pool: Option<PoolStatus>,
    /// Of a copy-on-write snapshot.
    pub cow: Option<CowStatus>,
    /// Of a raid.
    pub raid: Option<RaidStatus>,
}

/// A thin volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThinStatus {
    /// Bytes that it has of the pool, shared ones included.
    pub mapped: u64,
    /// Whether the kernel has given it up (`Fail`).
    pub failed: bool,
}

/// A thin pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// LVM's count of changes as the kernel has it.
    pub transaction_id: u64,
    /// Bytes of data in use.
    pub data_used: u64,
    /// Bytes of data.
    pub data_total: u64,
    /// Bytes of metadata in use.
    pub metadata_used: u64,
    /// Bytes of metadata.
    pub metadata_total: u64,
    /// Free bytes of data at which the kernel tells of it ([`crate::Events`]); 0: only when none are left.
    pub low_water: u64,
    /// What it still does.
    pub mode: PoolMode,
    /// Whether `thin_check` must repair it first.
    pub needs_check: bool,
    /// Whether writes wait when it is full.
    pub queue_when_full: bool,
    /// Block of the reserved metadata snapshot, if there is one.
    pub held_root: Option<u64>,
}

impl PoolStatus {
    /// Whether the kernel has stopped it after an error: it takes no change until it was deactivated and activated again,
    /// which has `thin_check` look at it.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.needs_check || matches!(self.mode, PoolMode::ReadOnly | PoolMode::Failed)
    }
}

/// What a pool still does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// All.
    ReadWrite,
    /// Its metadata is read-only: no new block.
    ReadOnly,
    /// No room for data.
    OutOfDataSpace,
    /// Nothing.
    Failed,
}

/// A copy-on-write snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CowStatus {
    /// Bytes in use, metadata included.
    pub used: u64,
    /// Bytes of the store.
    pub total: u64,
    /// Whether it is lost: overflown, or its store failed.
    pub invalid: bool,
}

/// A raid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaidStatus {
    /// A character a device: `A` alive and in sync, `a` alive but not in sync, `D` dead.
    pub health: String,
    /// Sectors in sync, and of how many.
    pub in_sync: (u64, u64),
    /// `idle`, `resync`, `recover`, `check`, `repair`, `reshape`, `frozen`.
    pub action: String,
    /// Mismatches that the last check found.
    pub mismatches: u64,
}

impl RaidStatus {
    /// Whether a device of it is dead.
    #[must_use]
    pub fn degraded(&self) -> bool {
        self.health.contains('D')
    }
}
