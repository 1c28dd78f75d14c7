//! Which chunks of a thin volume are there, or differ from those of another, in pages.
//!
//! The volumes are snapshots that nobody writes. A chunk that both have at the same place of the pool is
//! the same: a write to a volume that shares it would have put it elsewhere. A part of the tree that both
//! have in common is not read at all, so the work follows what has changed, not how large the volumes are.

use super::format::BlockError;
use super::tree::{Front, Source, Walk};

/// A part of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chunks {
    /// First chunk and how many, ascending.
    pub(super) runs: Vec<(u64, u64)>,
    /// Chunk at which the next part starts; `None` when this was the last.
    pub(super) next: Option<u64>,
}

/// How far one part goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Runs of chunks.
    pub(super) runs: usize,
    /// Blocks to read; more are read where fewer would lead nowhere.
    pub(super) blocks: u64,
}

/// Counts what is read.
struct Counted<'a, S> {
    source: &'a mut S,
    blocks: u64,
}

impl<S: Source> Source for Counted<'_, S> {
    fn read(&mut self, at: u64) -> Result<Vec<u8>, BlockError> {
        self.blocks += 1;
        self.source.read(at)
    }
}

/// Chunks from `start` on that the volume with root `target` has, or has otherwise than that with root `base`.
pub(super) fn chunks(
    source: &mut impl Source,
    base: Option<u64>,
    target: u64,
    start: u64,
    limits: Limits,
) -> Result<Chunks, BlockError> {
    let mut source = Counted { source, blocks: 0 };
    let mut base = match base {
        Some(root) => Some(Walk::new(&mut source, root, start)?),
        None => None,
    };
    let mut target = Walk::new(&mut source, target, start)?;
    let mut chunks = Chunks::default();
    loop {
        let fronts = (base.as_mut().and_then(Walk::front), target.front());
        let stands = match fronts {
            (None, None) => return Ok(chunks),
            (Some(front), None) | (None, Some(front)) => front.key(),
            (Some(base), Some(target)) => base.key().min(target.key()),
        };
        let full = chunks.runs.len() >= limits.runs || source.blocks >= limits.blocks;
        if full && stands > start {
            chunks.next = Some(stands);
            return Ok(chunks);
        }
        let changed = match base.as_mut() {
            Some(base) => step(&mut source, base, &mut target)?,
            None => target.entry(&mut source)?.map(|(key, _)| key),
        };
        if let Some(chunk) = changed {
            match chunks.runs.last_mut() {
                Some((first, count)) if *first + *count == chunk => *count += 1,
                _ => chunks.runs.push((chunk, 1)),
            }
        }
    }
}

/// Goes on by one step in one walk or both; a chunk that differs is returned.
fn step(
    source: &mut impl Source,
    base: &mut Walk,
    target: &mut Walk,
) -> Result<Option<u64>, BlockError> {
    use Front::{Entry, Subtree};
    let (Some(one), Some(other)) = (base.front(), target.front()) else {
        let rest = if base.front().is_some() { base } else { target };
        return Ok(rest.entry(source)?.map(|(key, _)| key));
    };
    match (one, other) {
        (
            Subtree {
                block: a, level, ..
            },
            Subtree {
                block: b,
                level: same,
                ..
            },
        ) if a == b && level == same => {
            base.skip();
            target.skip();
        }
        (
            Subtree {
                key: a,
                level: high,
                ..
            },
            Subtree {
                key: b, level: low, ..
            },
        ) => {
            // Where one tree is higher, its nodes come to the level of the other's first.
            if high > low || (high == low && a <= b) {
                base.descend(source)?;
            }
            if low > high || (high == low && b <= a) {
                target.descend(source)?;
            }
        }
        (
            Entry { key: a, value },
            Entry {
                key: b,
                value: other,
            },
        ) if a == b => {
            base.skip();
            target.skip();
            return Ok((place(value) != place(other)).then_some(a));
        }
        (Entry { key, .. }, front) if key < front.key() => {
            base.skip();
            return Ok(Some(key));
        }
        (front, Entry { key, .. }) if key < front.key() => {
            target.skip();
            return Ok(Some(key));
        }
        (Subtree { .. }, _) => base.descend(source)?,
        (_, Subtree { .. }) => target.descend(source)?,
        // Of two entries one is the lower, or both are the same.
        (Entry { .. }, Entry { .. }) => base.skip(),
    }
    Ok(None)
}

/// Where a chunk lies in the pool, without the time at which it came there.
fn place(value: u64) -> u64 {
    value >> 24
}
