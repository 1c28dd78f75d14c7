//! Ranges of extents: what is used, merged, and what is left between.

use std::ops::Range;

/// What of `0..end` none of the ranges covers; ascending, merged.
pub(crate) fn gaps(mut used: Vec<Range<u64>>, end: u64) -> Vec<Range<u64>> {
    used.retain(|range| range.start < range.end);
    used.sort_by_key(|range| range.start);
    let mut free = Vec::new();
    let mut next = 0;
    for range in used {
        if range.start.min(end) > next {
            free.push(next..range.start.min(end));
        }
        next = next.max(range.end);
        if next >= end {
            break;
        }
    }
    if next < end {
        free.push(next..end);
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_no_range_covers() {
        bolero::check!()
            .with_type::<(Vec<(u8, u8)>, u8)>()
            .for_each(|(ranges, end)| {
                let used: Vec<_> = ranges
                    .iter()
                    .map(|(start, len)| u64::from(*start)..u64::from(*start) + u64::from(*len))
                    .collect();
                let end = u64::from(*end);
                let free = gaps(used.clone(), end);
                for extent in 0..end {
                    let covered = used.iter().any(|range| range.contains(&extent));
                    let listed = free.iter().filter(|range| range.contains(&extent)).count();
                    assert_eq!(listed, usize::from(!covered), "extent {extent} of {used:?}");
                }
                assert!(free.windows(2).all(|two| two[0].end < two[1].start));
            });
    }
}
