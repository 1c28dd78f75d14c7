//! Thin pools: what may be made in one, and when it grows.

use crate::{Reserve, WhenFull};

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
    /// Sizes of all thin volumes and snapshots in it together.
    pub promised: u64,
    /// What it does when full.
    pub when_full: WhenFull,
    /// Whether device-mapper has it in read-write mode with no need of a check.
    pub usable: bool,
}

/// How much may be promised of a pool, by its device class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Promised bytes for a hundred bytes that the pool has or can grow to; 100 promises nothing twice.
    pub overprovision_percent: u32,
    /// Kept free in the volume group for the pool to grow into.
    pub reserve: Reserve,
}
