//! Trees as the kernel could have made them, built from a model, walked and compared.

use std::collections::BTreeMap;

use super::changes::{Chunks, Limits, chunks};
use super::format::{BlockError, HIGHEST, write};
use super::tree::{Source, Walk, find};

/// Metadata in memory. Trees share the nodes that are the same.
#[derive(Debug, Default)]
struct Pool {
    blocks: BTreeMap<u64, Vec<u8>>,
    nodes: BTreeMap<(bool, Vec<(u64, u64)>), u64>,
    reads: u64,
}

impl Source for Pool {
    fn read(&mut self, at: u64) -> Result<Vec<u8>, BlockError> {
        self.reads += 1;
        Ok(self.blocks.get(&at).cloned().unwrap_or_default())
    }
}

impl Pool {
    fn node(&mut self, leaf: bool, entries: &[(u64, u64)]) -> u64 {
        let next = 1 + self.blocks.len() as u64;
        let at = *self.nodes.entry((leaf, entries.to_vec())).or_insert(next);
        self.blocks
            .entry(at)
            .or_insert_with(|| write::node(at, leaf, entries));
        at
    }

    /// A tree with nodes that end where `ends` says, so that the same entries stand in the same nodes whatever
    /// stands before them; the root's block.
    fn tree(&mut self, entries: &BTreeMap<u64, u64>, ends: impl Fn(u64) -> bool) -> u64 {
        let mut level: Vec<(u64, u64)> =
            entries.iter().map(|(key, value)| (*key, *value)).collect();
        let mut leaf = true;
        loop {
            let mut above = Vec::new();
            let mut node: Vec<(u64, u64)> = Vec::new();
            for (nth, entry) in level.iter().enumerate() {
                node.push(*entry);
                let end = node.len() == 252 || (node.len() > 1 && ends(entry.0));
                if end || nth + 1 == level.len() {
                    above.push((node[0].0, self.node(leaf, &node)));
                    node.clear();
                }
            }
            match above.as_slice() {
                [] => return self.node(true, &[]),
                [(_, root)] => return *root,
                _ => (level, leaf) = (above, false),
            }
        }
    }
}

const NO_LIMIT: Limits = Limits {
    runs: usize::MAX,
    blocks: u64::MAX,
};

fn place(block: u64, time: u64) -> u64 {
    (block << 24) | time
}

fn all(runs: &[(u64, u64)]) -> Vec<u64> {
    let chunks = runs.iter().flat_map(|(first, count)| *first..first + count);
    chunks.collect()
}

/// All parts of an answer, put together.
fn in_parts(
    pool: &mut Pool,
    base: Option<u64>,
    target: u64,
    start: u64,
    limits: Limits,
) -> Vec<u64> {
    let (mut found, mut start) = (Vec::new(), start);
    loop {
        let part = chunks(pool, base, target, start, limits).expect("whole");
        assert!(part.runs.len() <= limits.runs);
        found.extend(all(&part.runs));
        match part.next {
            Some(next) => {
                assert!(next > start, "a part leads on");
                start = next;
            }
            None => return found,
        }
    }
}

#[test]
fn answers_are_those_of_the_model_in_whatever_parts_they_come() {
    type Input = (Vec<(u16, u8)>, Vec<(u16, u8)>, u16, u8, u8);
    bolero::check!()
        .with_type::<Input>()
        .for_each(|(first, writes, start, limit, shape)| {
            let model = |entries: &[(u16, u8)], time: u64| -> BTreeMap<u64, u64> {
                let entry =
                    |(key, value): &(u16, u8)| (u64::from(*key), place((*value).into(), time));
                entries.iter().map(entry).collect()
            };
            let base = model(first, 1);
            let mut target = base.clone();
            for (key, value) in model(writes, 2) {
                // An even one is a write, an odd one a discard.
                match value >> 24 & 1 {
                    0 => target.insert(key, value),
                    _ => target.remove(&key),
                };
            }
            let start = u64::from(*start);
            let there: Vec<u64> = target.range(start..).map(|(key, _)| *key).collect();
            let differs = |key: &u64| {
                base.get(key).map(|value| value >> 24) != target.get(key).map(|value| value >> 24)
            };
            let mut keys: Vec<u64> = base.keys().chain(target.keys()).copied().collect();
            keys.sort_unstable();
            keys.dedup();
            let changed: Vec<u64> = keys
                .into_iter()
                .filter(|key| *key >= start && differs(key))
                .collect();

            let mut pool = Pool::default();
            let ends = |key: u64| key.is_multiple_of(2 + u64::from(*shape % 16));
            let base = pool.tree(&base, ends);
            let target = pool.tree(&target, ends);
            let limits = Limits {
                runs: 1 + usize::from(*limit),
                blocks: u64::from(*limit),
            };
            for limits in [NO_LIMIT, limits] {
                assert_eq!(in_parts(&mut pool, None, target, start, limits), there);
                assert_eq!(
                    in_parts(&mut pool, Some(base), target, start, limits),
                    changed
                );
            }
        });
}

#[test]
fn what_two_volumes_share_is_not_read() {
    let mut pool = Pool::default();
    let mut entries: BTreeMap<u64, u64> = (0..100_000).map(|key| (key, place(key, 1))).collect();
    let base = pool.tree(&entries, |_| false);
    entries.insert(77_777, place(200_000, 2));
    let target = pool.tree(&entries, |_| false);
    let found = chunks(&mut pool, Some(base), target, 0, NO_LIMIT).expect("whole");
    let expected = Chunks {
        runs: vec![(77_777, 1)],
        next: None,
    };
    assert_eq!(found, expected);
    // Three levels: both ways down, and the left edge for the height of each tree.
    assert!(
        pool.reads <= 12,
        "{} blocks of {} read",
        pool.reads,
        pool.blocks.len()
    );
}

#[test]
fn a_later_time_of_the_same_place_is_no_change() {
    let mut pool = Pool::default();
    let base = pool.tree(
        &BTreeMap::from([(1, place(5, 1)), (2, place(6, 1))]),
        |_| false,
    );
    let target = pool.tree(
        &BTreeMap::from([(1, place(5, 9)), (2, place(7, 9))]),
        |_| false,
    );
    let found = chunks(&mut pool, Some(base), target, 0, NO_LIMIT).expect("whole");
    assert_eq!(found.runs, [(2, 1)]);
}

#[test]
fn a_volume_is_found_by_its_number() {
    let mut pool = Pool::default();
    let volumes: BTreeMap<u64, u64> = (0..600).map(|number| (number * 2, number + 1000)).collect();
    let root = pool.tree(&volumes, |_| false);
    assert_eq!(find(&mut pool, root, 500).expect("whole"), Some(1250));
    assert_eq!(find(&mut pool, root, 501).expect("whole"), None);
    assert_eq!(find(&mut pool, root, 5000).expect("whole"), None);
}

#[test]
fn trees_that_cannot_be_are_refused_with_the_reason() {
    let mut pool = Pool::default();
    let words = |pool: &mut Pool, root| {
        let found = chunks(pool, None, root, 0, NO_LIMIT);
        found.expect_err("refused").to_string()
    };
    // Each block is made by hand: its number is the next one.
    pool.blocks.insert(1, write::node(1, false, &[(0, 1)]));
    assert_eq!(
        words(&mut pool, 1),
        format!("block 1: a tree of {} levels", HIGHEST + 1)
    );
    pool.blocks
        .insert(2, write::node(2, true, &[(0, 0), (20, 0)]));
    pool.blocks
        .insert(3, write::node(3, false, &[(0, 2), (10, 4)]));
    pool.blocks.insert(4, write::node(4, true, &[(10, 0)]));
    assert_eq!(
        words(&mut pool, 3),
        "block 2: keys that are not between 0 and 9"
    );
    pool.blocks
        .insert(5, write::node(5, false, &[(0, 4), (11, 3)]));
    assert_eq!(
        words(&mut pool, 5),
        "block 3: a leaf where the tree has none, or none at its end"
    );
    assert_eq!(
        words(&mut pool, 99),
        "block 99: the device ends in it, after 0 bytes"
    );
}

#[test]
fn no_metadata_of_any_nodes_leads_astray() {
    // Valid checksums, any content: every walk ends, with an answer that ascends or a refusal.
    bolero::check!()
        .with_type::<(Vec<(bool, Vec<(u8, u8)>)>, u8)>()
        .for_each(|(nodes, start)| {
            let mut pool = Pool::default();
            for (at, (leaf, entries)) in (0_u64..).zip(nodes) {
                let entries: BTreeMap<u64, u64> = entries
                    .iter()
                    .take(252)
                    .map(|(key, value)| ((*key).into(), u64::from(*value) % 8))
                    .collect();
                let entries: Vec<_> = entries.into_iter().collect();
                pool.blocks.insert(at, write::node(at, *leaf, &entries));
            }
            for base in [None, Some(1)] {
                let limits = Limits {
                    runs: 10_000,
                    blocks: 10_000,
                };
                if let Ok(found) = chunks(&mut pool, base, 0, (*start).into(), limits) {
                    assert!(all(&found.runs).is_sorted_by(|one, next| one < next));
                }
            }
            if let Ok(mut walk) = Walk::new(&mut pool, 0, 0) {
                while let Ok(Some(_)) = walk.entry(&mut pool) {}
            }
        });
}
