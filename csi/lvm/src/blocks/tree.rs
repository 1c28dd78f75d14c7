//! Walks through the trees of a thin pool's metadata: in the order of the keys, and no further than asked.

use std::ops::Range;

use super::format::{BLOCK, BlockError, HIGHEST, Node};

/// Where blocks come from.
pub(super) trait Source {
    /// The 4 KiB of a block; less only at the device's end.
    fn read(&mut self, at: u64) -> Result<Vec<u8>, BlockError>;
}

/// What stands next in a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    /// A node that is not read yet; its keys are `key` at least. Leaves have level 0.
    Subtree { key: u64, level: u32, block: u64 },
    /// An entry of the tree.
    Entry { key: u64, value: u64 },
}

impl Front {
    pub(super) fn key(self) -> u64 {
        match self {
            Self::Subtree { key, .. } | Self::Entry { key, .. } => key,
        }
    }
}

/// A walk from a key on. It holds one node of each level.
#[derive(Debug)]
pub(super) struct Walk {
    start: u64,
    path: Vec<Step>,
}

/// A node on the way down. Level 0 is a leaf.
#[derive(Debug)]
struct Step {
    level: u32,
    entries: Vec<(u64, u64)>,
    next: usize,
    /// Keys that are below it: up to this one, inclusive.
    last: u64,
}

impl Walk {
    /// A walk through the tree with this root, over the keys from `start` on.
    pub(super) fn new(source: &mut impl Source, root: u64, start: u64) -> Result<Self, BlockError> {
        let (mut height, mut block) = (1, root);
        loop {
            let node = node(source, block)?;
            match node.entries.first() {
                Some((_, first)) if !node.leaf => block = *first,
                _ => break,
            }
            height += 1;
            if height > HIGHEST {
                return Err(BlockError::damaged(
                    root,
                    format!("a tree of {height} levels"),
                ));
            }
        }
        let above = Step {
            level: height,
            entries: vec![(0, root)],
            next: 0,
            last: u64::MAX,
        };
        Ok(Self {
            start,
            path: vec![above],
        })
    }

    /// What stands next; `None` at the end.
    pub(super) fn front(&mut self) -> Option<Front> {
        while let Some(step) = self.path.last() {
            if let Some((key, value)) = step.entries.get(step.next).copied() {
                return Some(match step.level {
                    0 => Front::Entry { key, value },
                    level => Front::Subtree {
                        key: key.max(self.start),
                        level: level - 1,
                        block: value,
                    },
                });
            }
            self.path.pop();
        }
        None
    }

    /// Leaves out what stands next: an entry, or a node with all below it.
    pub(super) fn skip(&mut self) {
        if let Some(step) = self.path.last_mut() {
            step.next += 1;
        }
    }

    /// Reads the node that stands next and goes into it; an entry stays what it is.
    pub(super) fn descend(&mut self, source: &mut impl Source) -> Result<(), BlockError> {
        let Some(Front::Subtree { level, block, .. }) = self.front() else {
            return Ok(());
        };
        let Some(range) = self.bounds() else {
            return Ok(());
        };
        let node = node(source, block)?;
        if node.leaf != (level == 0) {
            return Err(BlockError::damaged(
                block,
                "a leaf where the tree has none, or none at its end",
            ));
        }
        let inside = |(key, _): &(u64, u64)| (range.0..=range.1).contains(key);
        if !node.entries.iter().all(inside) {
            let what = format!("keys that are not between {} and {}", range.0, range.1);
            return Err(BlockError::damaged(block, what));
        }
        let next = if node.leaf {
            node.entries.partition_point(|(key, _)| *key < self.start)
        } else {
            let after = node.entries.partition_point(|(key, _)| *key <= self.start);
            after.saturating_sub(1)
        };
        self.skip();
        self.path.push(Step {
            level,
            entries: node.entries,
            next,
            last: range.1,
        });
        Ok(())
    }

    /// The next entry, which is left behind; `None` at the end.
    pub(super) fn entry(
        &mut self,
        source: &mut impl Source,
    ) -> Result<Option<(u64, u64)>, BlockError> {
        loop {
            match self.front() {
                None => return Ok(None),
                Some(Front::Entry { key, value }) => {
                    self.skip();
                    return Ok(Some((key, value)));
                }
                Some(Front::Subtree { .. }) => self.descend(source)?,
            }
        }
    }

    /// First and last key that may stand in the node that is next.
    fn bounds(&self) -> Option<(u64, u64)> {
        let step = self.path.last()?;
        let (first, _) = step.entries.get(step.next)?;
        let last = match step.entries.get(step.next + 1) {
            Some((key, _)) => key - 1,
            None => step.last,
        };
        Some((*first, last))
    }
}

/// The value of a key.
pub(super) fn find(
    source: &mut impl Source,
    root: u64,
    key: u64,
) -> Result<Option<u64>, BlockError> {
    let entry = Walk::new(source, root, key)?.entry(source)?;
    Ok(entry
        .filter(|(found, _)| *found == key)
        .map(|(_, value)| value))
}

fn node(source: &mut impl Source, at: u64) -> Result<Node, BlockError> {
    Node::parse(&source.read(at)?, at)
}

/// Blocks at the start of a device.
impl Source for &[u8] {
    fn read(&mut self, at: u64) -> Result<Vec<u8>, BlockError> {
        let start = usize::try_from(at)
            .unwrap_or(usize::MAX)
            .saturating_mul(BLOCK);
        let range: Range<usize> =
            start.min(self.len())..start.saturating_add(BLOCK).min(self.len());
        Ok(self[range].to_vec())
    }
}
