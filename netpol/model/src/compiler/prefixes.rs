//! Blocks, flattened: prefixes of which the longest that has an address says what all blocks together say.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use crate::cluster::IpBlock;
use crate::tables::Mask;

/// A prefix, ordered so that one comes right before those inside of it.
type Key = (bool, u128, u8);

/// The prefixes of one family that are around the one being looked at, outermost first.
struct Open {
    /// How many blocks give each bit here.
    counts: [u32; 64],
    /// Where each begins, what it changed, and the mask inside of it.
    around: Vec<(Key, Change, Mask)>,
}

/// What begins at a prefix: masks of blocks, and of blocks that except it.
#[derive(Default)]
struct Change {
    gives: Vec<Mask>,
    takes: Vec<Mask>,
}

/// Flattens canonical blocks, each with the mask of what it may use.
pub(crate) fn flatten<'a>(
    blocks: impl Iterator<Item = (&'a IpBlock, Mask)>,
) -> BTreeMap<IpNetwork, Mask> {
    let mut changes: BTreeMap<Key, Change> = BTreeMap::new();
    for (block, mask) in blocks {
        changes
            .entry(key(&block.cidr))
            .or_default()
            .gives
            .push(mask);
        for except in &block.except {
            changes.entry(key(except)).or_default().takes.push(mask);
        }
    }
    let mut open = Open {
        counts: [0; 64],
        around: Vec::new(),
    };
    let mut prefixes = BTreeMap::new();
    for (key, change) in changes {
        open.leave(&key);
        let before = open.around.last().map_or(0, |(.., mask)| *mask);
        let mask = open.enter(key, change);
        if mask != before {
            prefixes.insert(network(key), mask);
        }
    }
    prefixes
}

impl Open {
    /// Closes what does not have `next` inside.
    fn leave(&mut self, next: &Key) {
        while let Some((key, change, _)) = self.around.pop_if(|(key, ..)| !inside(key, next)) {
            debug_assert!(!inside(&key, next), "only what is left is closed");
            self.count(&change.takes, &change.gives);
        }
    }

    fn enter(&mut self, key: Key, change: Change) -> Mask {
        self.count(&change.gives, &change.takes);
        let given = |bit: &usize| self.counts[*bit] > 0;
        let mask = (0..64).filter(given).fold(0, |mask, bit| mask | 1 << bit);
        self.around.push((key, change, mask));
        mask
    }

    fn count(&mut self, more: &[Mask], less: &[Mask]) {
        for bit in 0..64 {
            let of = |masks: &[Mask]| -> u32 {
                let with = masks.iter().filter(|mask| **mask >> bit & 1 == 1).count();
                u32::try_from(with).unwrap_or(u32::MAX)
            };
            self.counts[bit] = self.counts[bit] + of(more) - of(less);
        }
    }
}

fn key(network: &IpNetwork) -> Key {
    match network {
        IpNetwork::V4(v4) => (false, u128::from(v4.network().to_bits()) << 96, v4.prefix()),
        IpNetwork::V6(v6) => (true, v6.network().to_bits(), v6.prefix()),
    }
}

fn network((v6, bits, prefix): Key) -> IpNetwork {
    let address = if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits >> 96).unwrap_or(0)))
    };
    IpNetwork::new(address, prefix).unwrap_or_else(|_| IpNetwork::from(address))
}

/// Whether `inner` lies in `outer`.
fn inside(outer: &Key, inner: &Key) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(outer.2)).unwrap_or(0);
    outer.0 == inner.0 && outer.2 <= inner.2 && inner.1 & mask == outer.1
}

/// The mask of a prefix: that of the longest that it lies in.
pub(crate) fn lookup(prefixes: &BTreeMap<IpNetwork, Mask>, prefix: &IpNetwork) -> Mask {
    let around = |length| {
        let wide = IpNetwork::new(prefix.network(), length).ok()?;
        let network = IpNetwork::new(wide.network(), length).ok()?;
        prefixes.get(&network).copied()
    };
    (0..=prefix.prefix()).rev().find_map(around).unwrap_or(0)
}
