//! From what stands to what should, in an order that never leaves a route without its way.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::{Mac, Wanted};

/// What stands on the device. A value is `None` where an entry is not of the kind that we make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actual {
    /// Forwarding entries; the kernel keeps several for one hardware address.
    pub fdb: Vec<(Mac, Option<IpAddr>)>,
    /// Neighbours.
    pub neighbours: Vec<(IpAddr, Option<Mac>)>,
    /// Nexthop objects of ours.
    pub next_hops: Vec<(u32, Option<IpAddr>)>,
}

/// One entry to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Makes or overwrites a forwarding entry.
    SetFdb(Mac, IpAddr),
    /// Makes or overwrites a neighbour.
    SetNeighbour(IpAddr, Mac),
    /// Makes a nexthop object.
    AddNextHop(u32, IpAddr),
    /// Removes a nexthop object; the kernel removes routes that lead there.
    DeleteNextHop(u32),
    /// Removes a neighbour.
    DeleteNeighbour(IpAddr),
    /// Removes the forwarding entry at this place in [`Actual::fdb`].
    DeleteFdb(usize),
}

/// All that differs. Routes are written in between, by whoever keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// To be written, in this order, before routes are.
    pub first: Vec<Change>,
    /// To be written, in this order, once routes are as they should be.
    pub last: Vec<Change>,
}

impl Changes {
    /// Whether all is as wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.last.is_empty()
    }
}

/// Compares.
#[must_use]
pub fn diff(wanted: &Wanted, actual: &Actual) -> Changes {
    let fdb = compare(&wanted.fdb, &actual.fdb);
    let neighbours = compare(&wanted.neighbours, &actual.neighbours);
    let next_hops = compare(&wanted.next_hops, &actual.next_hops);
    let mut changes = Changes::default();
    let first = &mut changes.first;
    first.extend(fdb.set.into_iter().map(|(mac, to)| Change::SetFdb(mac, to)));
    first.extend(
        neighbours
            .set
            .into_iter()
            .map(|(ip, mac)| Change::SetNeighbour(ip, mac)),
    );
    first.extend(
        next_hops
            .set
            .into_iter()
            .map(|(id, via)| Change::AddNextHop(id, via)),
    );
    let last = &mut changes.last;
    let gone = next_hops.delete.into_iter();
    last.extend(gone.map(|at| Change::DeleteNextHop(actual.next_hops[at].0)));
    let gone = neighbours.delete.into_iter();
    last.extend(gone.map(|at| Change::DeleteNeighbour(actual.neighbours[at].0)));
    last.extend(fdb.delete.into_iter().map(Change::DeleteFdb));
    changes
}

/// What differs in one table.
struct Table<K, V> {
    set: Vec<(K, V)>,
    /// Places in the dump.
    delete: Vec<usize>,
}

fn compare<K: Ord + Copy, V: PartialEq + Copy>(
    wanted: &BTreeMap<K, V>,
    actual: &[(K, Option<V>)],
) -> Table<K, V> {
    let mut order: Vec<usize> = (0..actual.len()).collect();
    order.sort_unstable_by_key(|at| (actual[*at].0, *at));
    let mut standing = order.into_iter().peekable();
    let mut table = Table {
        set: Vec::new(),
        delete: Vec::new(),
    };
    // Both sides in the order of their keys: neither is looked up in the other.
    for (key, value) in wanted {
        while let Some(at) = standing.next_if(|at| actual[*at].0 < *key) {
            table.delete.push(at);
        }
        let mut right = false;
        while let Some(at) = standing.next_if(|at| actual[*at].0 == *key) {
            right |= actual[at].1 == Some(*value);
        }
        if !right {
            table.set.push((*key, *value));
        }
    }
    table.delete.extend(standing);
    table
}
