//! The pure allocator: which address of a set comes next. No clock, no file.
//!
//! Next after the last one given out; an address that was freed is last in line. Among addresses that
//! are known to be freed, the one that is free the longest comes first.

use std::net::IpAddr;

use crate::range::RangeSet;

/// An address that was given out before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Which one.
    pub(crate) address: IpAddr,
    /// Number of the change that freed it; none while it is held.
    pub(crate) freed: Option<u64>,
}

/// The address to give out after `last`, or none when the set is exhausted. `known` are at most `most`
/// addresses, each once; those outside of the set are skipped.
///
/// n addresses are not to be taken, so one of the next n + 1 on the ring is free, or the ring is
/// shorter: a map of that window is enough for a set of any size.
pub(crate) fn next(
    set: &RangeSet,
    last: Option<IpAddr>,
    (known, most): (impl Iterator<Item = Known> + Clone, usize),
) -> Option<IpAddr> {
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
    let specials = set.ranges().iter().flat_map(crate::Range::specials);
    let never: Vec<IpAddr> = specials.collect();

    let window = size.min((most + never.len()) as u128 + 1);
    let mut taken = vec![false; usize::try_from(window).unwrap_or(usize::MAX)];
    let avoided = never
        .iter()
        .copied()
        .chain(known.clone().map(|known| known.address));
    for index in avoided.filter_map(distance) {
        if let Some(mark) = usize::try_from(index)
            .ok()
            .and_then(|index| taken.get_mut(index))
        {
            *mark = true;
        }
    }
    if let Some(index) = taken.iter().position(|taken| !taken) {
        return set.at((start + index as u128) % size);
    }
    let mine = |address| set.position(address).is_some() && !never.contains(&address);
    known
        .filter_map(|known| Some((known.freed?, known.address)))
        .filter(|(_, address)| mine(*address))
        .min()
        .map(|(_, address)| address)
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
