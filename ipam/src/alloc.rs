//! The pure allocator: which address of a set comes next. No clock, no file.
//!
//! Next after the last one given out; an address that was freed is last in line. Among addresses that
//! are known to be freed, the one that is free the longest comes first.

use std::net::IpAddr;

use crate::range::RangeSet;

/// What is known about the addresses of a file; those outside of the set are skipped.
pub(crate) struct Known<'a> {
    /// Addresses in use.
    pub(crate) held: &'a [IpAddr],
    /// Freed addresses with the number of the change that freed them.
    pub(crate) freed: &'a [(u64, IpAddr)],
    /// Addresses that the caller keeps for itself.
    pub(crate) reserved: &'a [IpAddr],
}

/// The address to give out after `last`, or none when the set is exhausted.
///
/// n addresses are not to be taken, so one of the next n + 1 on the ring is free, or the ring is
/// shorter: a bitmap over that window is enough for a set of any size.
pub(crate) fn next(set: &RangeSet, last: Option<IpAddr>, known: &Known<'_>) -> Option<IpAddr> {
    let size = set.size();
    let start = last
        .and_then(|last| set.position(last))
        .map_or(0, |p| p.saturating_add(1) % size);
    let distance = |address| {
        let position = set.position(address)?;
        Some(if position >= start {
            position - start
        } else {
            position + (size - start)
        })
    };
    let blocked = set.ranges().iter().flat_map(crate::Range::specials);
    let avoided: Vec<u128> = blocked
        .chain(known.reserved.iter().copied())
        .chain(known.held.iter().copied())
        .chain(known.freed.iter().map(|(_, address)| *address))
        .filter_map(distance)
        .collect();

    let window = size.min(avoided.len() as u128 + 1);
    let mut seen = vec![false; usize::try_from(window).unwrap_or(usize::MAX)];
    for index in avoided {
        if let Some(mark) = usize::try_from(index)
            .ok()
            .and_then(|index| seen.get_mut(index))
        {
            *mark = true;
        }
    }
    if let Some(index) = seen.iter().position(|seen| !seen) {
        return set.at((start + index as u128) % size);
    }
    oldest_freed(set, known)
}

fn oldest_freed(set: &RangeSet, known: &Known<'_>) -> Option<IpAddr> {
    known
        .freed
        .iter()
        .filter(|(_, address)| !known.reserved.contains(address))
        .filter(|(_, address)| {
            set.range_of(*address)
                .is_some_and(|r| r.special(*address).is_none())
        })
        .min_by_key(|(freed, address)| (*freed, *address))
        .map(|(_, address)| *address)
}

/// How many addresses of `set` can still be given out while `held` are in use.
pub(crate) fn free(set: &RangeSet, held: u64) -> u128 {
    let specials = set.ranges().iter().flat_map(crate::Range::specials).count() as u128;
    set.size()
        .saturating_sub(specials)
        .saturating_sub(held.into())
}

#[cfg(test)]
mod tests;
