//! Free extents of a volume group, and the largest volume that fits into them.

/// The free extents of one physical volume that LVM may allocate from (present, allocatable).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PvSpace {
    /// Lengths of its free ranges in extents, in any order.
    pub free: Vec<u64>,
}

/// The free extents of a volume group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Space {
    /// Bytes of an extent.
    pub extent_size: u64,
    /// Its physical volumes.
    pub pvs: Vec<PvSpace>,
}
