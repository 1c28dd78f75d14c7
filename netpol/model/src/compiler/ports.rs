//! Ports: sets of them in one form, and their partition into the port classes of a policy set.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::{Digest, Key, Kind};
use crate::cluster::Protocol;
use crate::tables::{Mask, Page, PageKey, PortsId, SETS_IN_A_ROW};

const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// Ports, as sorted ranges (both ends included) that neither overlap nor touch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct PortSet(Vec<(Protocol, u16, u16)>);

impl PortSet {
    pub(crate) fn new(mut ranges: Vec<(Protocol, u16, u16)>) -> Self {
        ranges.retain(|(_, first, last)| first <= last);
        ranges.sort_unstable();
        let mut merged: Vec<(Protocol, u16, u16)> = Vec::with_capacity(ranges.len());
        for (protocol, first, last) in ranges {
            match merged.last_mut() {
                Some(before)
                    if before.0 == protocol && u32::from(first) <= u32::from(before.2) + 1 =>
                {
                    before.2 = before.2.max(last);
                }
                _ => merged.push((protocol, first, last)),
            }
        }
        Self(merged)
    }

    pub(crate) fn ranges(&self) -> &[(Protocol, u16, u16)] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Ports by their class: class 0 is of all that no set has, and each of the others is of the ports that the same sets
/// have.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    /// Sorted ranges of classes from 1 on.
    ranges: Vec<(Protocol, u16, u16, u16)>,
    /// Of each class, from 1 on: the sets that have its ports, by their place.
    pub(crate) members: Vec<Vec<usize>>,
}

impl Partition {
    pub(crate) fn new(sets: &[&PortSet]) -> Self {
        let mut partition = Self::default();
        let mut known: BTreeMap<Vec<usize>, u16> = BTreeMap::new();
        for protocol in PROTOCOLS {
            // Where the sets that have a port change: at the first port of a range, and behind its last.
            let mut edges: BTreeMap<u32, Vec<(usize, bool)>> = BTreeMap::new();
            for (at, set) in sets.iter().enumerate() {
                for (_, first, last) in set.ranges().iter().filter(|range| range.0 == protocol) {
                    edges.entry((*first).into()).or_default().push((at, true));
                    let behind = u32::from(*last) + 1;
                    edges.entry(behind).or_default().push((at, false));
                }
            }
            let mut inside: BTreeSet<usize> = BTreeSet::new();
            let mut edges = edges.into_iter().peekable();
            while let Some((from, changes)) = edges.next() {
                for (at, enters) in changes {
                    if enters {
                        inside.insert(at);
                    } else {
                        inside.remove(&at);
                    }
                }
                let Some((behind, _)) = edges.peek() else {
                    break;
                };
                if !inside.is_empty() {
                    let members: Vec<usize> = inside.iter().copied().collect();
                    let next = u16::try_from(known.len() + 1).unwrap_or(u16::MAX);
                    let class = *known.entry(members).or_insert(next);
                    partition.push(protocol, from, behind - 1, class);
                }
            }
        }
        let mut members: Vec<(u16, Vec<usize>)> = known
            .into_iter()
            .map(|(sets, class)| (class, sets))
            .collect();
        members.sort_unstable();
        partition.members = members.into_iter().map(|(_, sets)| sets).collect();
        partition
    }

    fn push(&mut self, protocol: Protocol, first: u32, last: u32, class: u16) {
        let number = |port: u32| u16::try_from(port).unwrap_or(u16::MAX);
        self.ranges
            .push((protocol, number(first), number(last), class));
    }

    /// How many classes there are, class 0 included.
    pub(crate) fn classes(&self) -> usize {
        self.members.len() + 1
    }

    /// The class of a port.
    pub(crate) fn class(&self, protocol: Protocol, port: u16) -> u16 {
        let behind = |range: &(Protocol, u16, u16, u16)| (range.0, range.1) <= (protocol, port);
        let at = self.ranges.partition_point(behind);
        match at.checked_sub(1).map(|at| self.ranges[at]) {
            Some((of, _, last, class)) if of == protocol && port <= last => class,
            _ => 0,
        }
    }

    /// The partition that tells apart what one of two does: of each class from 1 on its class in both.
    pub(crate) fn product(&self, other: &Self) -> (Self, Vec<(u16, u16)>) {
        let mut product = Self::default();
        let mut known: BTreeMap<(u16, u16), u16> = BTreeMap::new();
        let mut pairs = Vec::new();
        for protocol in PROTOCOLS {
            let of = |partition: &Self| -> Vec<u32> {
                let ranges = partition.ranges.iter().filter(|range| range.0 == protocol);
                let edges = ranges.flat_map(|range| [range.1.into(), u32::from(range.2) + 1]);
                edges.collect()
            };
            let edges: BTreeSet<u32> = of(self).into_iter().chain(of(other)).collect();
            let edges: Vec<u32> = edges.into_iter().collect();
            for edge in edges.windows(2) {
                let port = u16::try_from(edge[0]).unwrap_or(u16::MAX);
                let pair = (self.class(protocol, port), other.class(protocol, port));
                if pair != (0, 0) {
                    let class = *known.entry(pair).or_insert_with(|| {
                        pairs.push(pair);
                        u16::try_from(pairs.len()).unwrap_or(u16::MAX)
                    });
                    product.push(protocol, edge[0], edge[1] - 1, class);
                }
            }
        }
        product.members = vec![Vec::new(); pairs.len()];
        (product, pairs)
    }

    /// The pages of the partition, its classes renamed to those of a set. The kind is that of their id.
    pub(crate) fn pages(&self, key: &Key, kind: Kind, slice: &Slice) -> Pages {
        let mut pages = Pages::default();
        for (at, protocol) in PROTOCOLS.into_iter().enumerate() {
            let ranges = self.ranges.iter().filter(|range| range.0 == protocol);
            let ranges = ranges.map(|(_, first, last, class)| (*first, *last, slice.local(*class)));
            pages.add(at, protocol, ranges);
        }
        pages.name(key, kind);
        pages
    }

    /// How many classes no set judges: there would be too many sets in a row.
    pub(crate) fn left_out(&self) -> usize {
        let behind = self.slices().last().map_or(1, |slice| slice.behind);
        self.classes() - behind
    }

    /// How the classes are shared out to sets.
    pub(crate) fn slices(&self) -> Vec<Slice> {
        let classes = self.classes();
        if classes <= 64 {
            let slice = Slice {
                first: 1,
                behind: classes,
            };
            return vec![slice];
        }
        let starts = (1..classes).step_by(SLICE).take(SETS_IN_A_ROW);
        let slice = |first| Slice {
            first,
            behind: (first + SLICE).min(classes),
        };
        starts.map(slice).collect()
    }
}

/// Classes of a set, when there are more than 64: class 0, 62 others, and one of all that another set has.
const SLICE: usize = 62;

/// The class, in a set, of ports that another set has.
const ELSEWHERE: u8 = 63;

/// The classes of a partition that one set judges, beside class 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    first: usize,
    behind: usize,
}

impl Slice {
    /// The classes, in the order that they have in the set from 1 on.
    pub(crate) fn classes(&self) -> std::ops::Range<usize> {
        self.first..self.behind
    }

    /// All classes that the set judges.
    pub(crate) fn mask(&self) -> Mask {
        Mask::MAX >> (63 - self.classes().len())
    }

    /// What the set calls a class that it judges.
    pub(crate) fn place(&self, class: u16) -> Option<u8> {
        let class = usize::from(class);
        if class == 0 {
            return Some(0);
        }
        let judged = self.classes().contains(&class);
        judged.then(|| u8::try_from(class - self.first + 1).unwrap_or(ELSEWHERE))
    }

    fn local(&self, class: u16) -> u8 {
        self.place(class).unwrap_or(ELSEWHERE)
    }
}

/// What a set knows of its ports.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) id: Option<PortsId>,
    pub(crate) rest: [u8; 3],
    content: Vec<(Protocol, u8, Page)>,
}

impl Pages {
    /// Adds the pages of one protocol: those that are not all of the class that most whole pages have.
    fn add(&mut self, at: usize, protocol: Protocol, ranges: impl Iterator<Item = (u16, u16, u8)>) {
        let mut whole = [Some(0_u8); 256];
        let mut mixed: BTreeMap<usize, Box<[u8; 256]>> = BTreeMap::new();
        for (first, last, class) in ranges {
            let (first, last) = (usize::from(first), usize::from(last));
            let pages = whole.iter_mut().enumerate();
            for (high, whole) in pages.take((last >> 8) + 1).skip(first >> 8) {
                let low = first.max(high << 8) & 0xff;
                let top = last.min(high << 8 | 0xff) & 0xff;
                if (low, top) == (0, 0xff) {
                    *whole = Some(class);
                } else {
                    let page = mixed.entry(high).or_insert_with(|| Box::new([0; 256]));
                    page[low..=top].fill(class);
                    *whole = page.iter().all(|one| *one == page[0]).then_some(page[0]);
                }
            }
        }
        let mut counts = [0_u16; 256];
        for class in whole.iter().flatten() {
            counts[usize::from(*class)] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(0);
        let rest = counts.iter().position(|count| *count == most);
        let rest = u8::try_from(rest.unwrap_or(0)).unwrap_or(0);
        self.rest[at] = rest;
        for (high, class) in (0_u8..=255).zip(whole) {
            let content = match class {
                Some(class) if class == rest => continue,
                Some(class) => Box::new([class; 256]),
                None => mixed
                    .remove(&high.into())
                    .unwrap_or_else(|| Box::new([0; 256])),
            };
            self.content.push((protocol, high, Page(content)));
        }
    }

    fn name(&mut self, key: &Key, kind: Kind) {
        if self.content.is_empty() {
            return;
        }
        let mut digest = Digest::new(key, kind);
        for (protocol, high, page) in &self.content {
            digest.protocol(*protocol);
            digest.number((*high).into());
            digest.bytes(&page.0[..]);
        }
        self.id = Some(PortsId(digest.id()));
    }

    /// The entries of the map.
    pub(crate) fn entries(self) -> Vec<(PageKey, Page)> {
        let Some(ports) = self.id else {
            return Vec::new();
        };
        let key = |protocol, high| PageKey {
            ports,
            protocol,
            high,
        };
        self.content
            .into_iter()
            .map(|(protocol, high, page)| (key(protocol, high), page))
            .collect()
    }
}
