//! Free extents of a volume group, and the largest volume that fits into them.
//!
//! The rules are those of LVM's policy `normal` (`lib/metadata/lv_manip.c`) when the physical volumes that
//! [`Space::place`] names are on the command line, and stricter where LVM would put two legs of a RAID on
//! one disk: a leg stays on one physical volume, so that losing one disk loses one leg. Each leg of a
//! RAID has one extent of metadata beside its data. Parity legs are not kept on their disk when LVM
//! allocates in several pieces, so RAID 5 takes one range from each disk. dm-integrity's metadata of a leg
//! has to be one range too; so with it a leg takes the start of the longest range of its disk, and its
//! metadata is in what is left of that or in the next longest.

#[cfg(test)]
mod tests;

use crate::Layout;

/// The free extents of one physical volume that LVM may allocate from (present, allocatable).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PvSpace {
    /// Lengths of its free ranges in extents, in any order.
    pub free: Vec<u64>,
}

impl PvSpace {
    fn sum(&self) -> u64 {
        self.free.iter().sum()
    }

    fn longest(&self) -> u64 {
        self.ranges()[0]
    }

    /// The two longest ranges.
    fn ranges(&self) -> [u64; 2] {
        let mut two = [0, 0];
        for range in &self.free {
            if *range > two[0] {
                two = [*range, two[0]];
            } else if *range > two[1] {
                two[1] = *range;
            }
        }
        two
    }
}

/// The free extents of a volume group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Space {
    /// Bytes of an extent.
    pub extent_size: u64,
    /// Its physical volumes.
    pub pvs: Vec<PvSpace>,
    /// Extents that no thick volume takes: pools of the group grow into them.
    pub reserved: u64,
}

/// There is no room: `RESOURCE_EXHAUSTED`, so that a scheduler tries another node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Not enough free extents, or not on enough disks.
    #[error(
        "{wanted} bytes do not fit into the volume group: {layout} can have {largest} bytes at most"
    )]
    Group {
        /// Bytes asked.
        wanted: u64,
        /// The layout, for reading.
        layout: String,
        /// Bytes that fit.
        largest: u64,
    },
    /// The pool has promised what it may.
    #[error(
        "{wanted} bytes are more than the thin pool may promise: {largest} bytes are left of \
         {limit} ({percent}% of what the pool has and can grow to)"
    )]
    Promised {
        /// Bytes asked.
        wanted: u64,
        /// Bytes left.
        largest: u64,
        /// All that may be promised.
        limit: u64,
        /// The class's ratio.
        percent: u32,
    },
    /// The pool's data is nearly used, and it cannot grow.
    #[error(
        "the thin pool's {what} is full to {percent}% with all it can grow by, {most}% is the most \
         for a new volume: add a disk to the volume group or delete volumes"
    )]
    Filled {
        /// `data` or `metadata`.
        what: &'static str,
        /// Used hundredths of all that the pool can have.
        percent: u64,
        /// The most.
        most: u64,
    },
    /// device-mapper does not let the pool be written.
    #[error(
        "the thin pool cannot take new volumes: it is read-only, failed or needs a check; see the \
         page on storage, what happens when a pool fills"
    )]
    Unusable,
    /// LVM's metadata would not fit.
    #[error(
        "the volume group's metadata area is full: {used} of {usable} bytes are used and a volume \
         takes about {needed}; see the page on storage, preparing disks"
    )]
    MetadataArea {
        /// Bytes used.
        used: u64,
        /// Bytes that can be used.
        usable: u64,
        /// Bytes that the volume needs.
        needed: u64,
    },
    /// The configured number of volumes is reached.
    #[error("the node has {volumes} volumes, {limit} are allowed (limits.volumes)")]
    Volumes {
        /// Volumes there are.
        volumes: u64,
        /// Volumes there may be.
        limit: u64,
    },
}

impl Space {
    /// All free extents.
    #[must_use]
    pub fn free_extents(&self) -> u64 {
        self.pvs.iter().map(PvSpace::sum).sum()
    }

    /// Extents of the largest thick LV of this layout; 0 for thin ones, whose pool decides.
    #[must_use]
    pub fn largest(&self, layout: &Layout) -> u64 {
        let free = self.free_extents();
        let budget = free.saturating_sub(self.reserved);
        match layout {
            Layout::Thin { .. } => 0,
            Layout::Linear => budget,
            Layout::Striped { stripes } => {
                let stripes = u64::from(*stripes);
                let leg = self.nth(stripes, PvSpace::sum);
                leg.min(budget / stripes.max(1)) * stripes
            }
            Layout::Raid1 { integrity } => self.raid(1, 2, *integrity, PvSpace::sum, budget),
            Layout::Raid5 {
                stripes, integrity, ..
            } => {
                let stripes = u64::from(*stripes);
                self.raid(stripes, stripes + 1, *integrity, PvSpace::longest, budget)
            }
        }
    }

    /// The physical volumes, by index, that are named to LVM for a new LV of so many extents.
    ///
    /// # Errors
    /// It does not fit.
    pub fn place(&self, layout: &Layout, extents: u64) -> Result<Vec<usize>, Full> {
        let largest = self.largest(layout);
        if extents > largest {
            return Err(Full::Group {
                wanted: extents.saturating_mul(self.extent_size),
                layout: describe(layout),
                largest: largest.saturating_mul(self.extent_size),
            });
        }
        let mut pvs: Vec<usize> = (0..self.pvs.len())
            .filter(|index| self.pvs[*index].sum() > 0)
            .collect();
        let (legs, by): (u64, fn(&PvSpace) -> u64) = match layout {
            Layout::Thin { .. } | Layout::Linear => return Ok(pvs),
            Layout::Striped { stripes } => (u64::from(*stripes), PvSpace::sum),
            Layout::Raid1 { .. } => (2, PvSpace::sum),
            Layout::Raid5 { stripes, .. } => (u64::from(*stripes) + 1, PvSpace::longest),
        };
        pvs.sort_by_key(|index| {
            let pv = &self.pvs[*index];
            std::cmp::Reverse((self.room(pv, layout, by), pv.sum()))
        });
        pvs.truncate(usize::try_from(legs).unwrap_or(usize::MAX));
        pvs.sort_unstable();
        Ok(pvs)
    }

    /// Extents by which an LV can grow whose legs lie on the physical volumes `legs`, by index; those are
    /// named to LVM. For a linear LV all free extents count.
    #[must_use]
    pub fn growth(&self, layout: &Layout, legs: &[usize]) -> u64 {
        let budget = self.free_extents().saturating_sub(self.reserved);
        let devices = u64::try_from(legs.len()).unwrap_or(u64::MAX).max(1);
        let sums = legs
            .iter()
            .map(|leg| self.pvs.get(*leg).map_or(0, PvSpace::sum));
        let leg = sums.min().unwrap_or_default().min(budget / devices);
        match layout {
            Layout::Thin { .. } => 0,
            Layout::Linear => budget,
            Layout::Striped { stripes } => leg * u64::from(*stripes),
            Layout::Raid1 { integrity } => self.grown(leg, *integrity),
            Layout::Raid5 {
                stripes, integrity, ..
            } => self.grown(leg, *integrity) * u64::from(*stripes),
        }
    }

    /// Extents of data by which a leg grows into so many free ones.
    fn grown(&self, free: u64, integrity: bool) -> u64 {
        if !integrity {
            return free;
        }
        // How large the leg is already is not asked: its journal may grow from the least to the most.
        let journal = (60_u64 << 20).div_ceil(self.extent_size.max(1));
        self.leg_with_integrity([free.saturating_sub(journal), 0])
    }

    /// The `n`th best physical volume's extents.
    fn nth(&self, n: u64, by: impl Fn(&PvSpace) -> u64) -> u64 {
        let mut sizes: Vec<_> = self.pvs.iter().map(by).collect();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        let index = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
        sizes.get(index).copied().unwrap_or_default()
    }

    /// Extents of the largest RAID with `data` legs of data among `legs`, where all legs together with
    /// their metadata stay within `budget`.
    fn raid(
        &self,
        data: u64,
        legs: u64,
        integrity: bool,
        by: fn(&PvSpace) -> u64,
        budget: u64,
    ) -> u64 {
        let leg = self.nth(legs, |pv| self.leg(pv, by, integrity));
        let each = PvSpace {
            free: vec![budget / legs],
        };
        leg.min(self.leg(&each, by, integrity)) * data
    }

    /// What a physical volume gives to a leg, by the order of [`Space::place`].
    fn room(&self, pv: &PvSpace, layout: &Layout, by: fn(&PvSpace) -> u64) -> u64 {
        match layout {
            Layout::Raid1 { integrity } | Layout::Raid5 { integrity, .. } => {
                self.leg(pv, by, *integrity)
            }
            Layout::Thin { .. } | Layout::Linear | Layout::Striped { .. } => by(pv),
        }
    }

    /// Extents of data for a leg on a disk, beside the extent of RAID's metadata.
    fn leg(&self, pv: &PvSpace, by: fn(&PvSpace) -> u64, integrity: bool) -> u64 {
        if integrity {
            self.leg_with_integrity(pv.ranges())
        } else {
            by(pv).saturating_sub(1)
        }
    }

    /// The same above dm-integrity, on a disk with these longest ranges.
    fn leg_with_integrity(&self, [longest, next]: [u64; 2]) -> u64 {
        // More data never needs less integrity metadata: halving finds the most that fits.
        let (mut fits, mut over) = (0, longest.max(1));
        while over - fits > 1 {
            let middle = fits + (over - fits) / 2;
            let left = (longest - middle - 1).max(next);
            if self.integrity_extents(middle) <= left {
                fits = middle;
            } else {
                over = middle;
            }
        }
        fits
    }

    /// Extents of dm-integrity's metadata for so many extents of data: 4 MiB for each begun 500 MiB, and
    /// room for the journal (`lib/metadata/integrity_manip.c`).
    fn integrity_extents(&self, data: u64) -> u64 {
        const MIB: u64 = 1 << 20;
        let bytes = data.saturating_mul(self.extent_size);
        let journal = match bytes {
            0..=0x2000_0000 => 4,
            0x2000_0001..=0x4000_0000 => 8,
            0x4000_0001..=0x1_0000_0000 => 32,
            _ => 64,
        };
        ((bytes / (500 * MIB) + 1) * 4 * MIB + journal * MIB).div_ceil(self.extent_size.max(1))
    }
}

fn describe(layout: &Layout) -> String {
    match layout {
        Layout::Thin { .. } => "a thin volume without a pool".to_owned(),
        Layout::Linear => "a linear volume".to_owned(),
        Layout::Striped { stripes } => format!("a volume of {stripes} stripes"),
        Layout::Raid1 { .. } => "a volume of raid1, on two disks,".to_owned(),
        Layout::Raid5 { stripes, .. } => {
            format!("a volume of raid5, on {} disks,", stripes + 1)
        }
    }
}
