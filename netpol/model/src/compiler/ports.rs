//! Ports: sets of them in one form, and their partition into the port classes of a policy set.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::{Digest, Key, Kind};
use crate::cluster::Protocol;
use crate::tables::{Page, PageKey, PortsId};

pub(crate) const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

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

    /// The pages of the partition, its classes renamed to those of a set.
    pub(crate) fn pages(&self, key: &Key, rename: impl Fn(u16) -> u8) -> Pages {
        let mut pages = Pages::default();
        for (at, protocol) in PROTOCOLS.into_iter().enumerate() {
            let mut ports = vec![0_u8; 1 << 16];
            for (_, first, last, class) in self.ranges.iter().filter(|range| range.0 == protocol) {
                ports[usize::from(*first)..=usize::from(*last)].fill(rename(*class));
            }
            pages.add(at, protocol, &ports);
        }
        pages.name(key);
        pages
    }
}

/// What a set knows of its ports.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) id: Option<PortsId>,
    pub(crate) rest: [u8; 3],
    pages: Vec<(Protocol, u8, Page)>,
}

impl Pages {
    /// Adds the pages of one protocol: those that are not all of the class that most whole pages have.
    fn add(&mut self, at: usize, protocol: Protocol, ports: &[u8]) {
        let whole = |page: &[u8]| {
            page.iter()
                .all(|class| *class == page[0])
                .then_some(page[0])
        };
        let mut counts = [0_u16; 256];
        for page in ports.chunks(256) {
            if let Some(class) = whole(page) {
                counts[usize::from(class)] += 1;
            }
        }
        let most = counts.iter().copied().max().unwrap_or(0);
        let rest = counts.iter().position(|count| *count == most).unwrap_or(0);
        self.rest[at] = u8::try_from(rest).unwrap_or(0);
        for (high, page) in (0_u8..=255).zip(ports.chunks(256)) {
            if whole(page) != Some(self.rest[at]) {
                let mut content = Box::new([0; 256]);
                content.copy_from_slice(page);
                self.pages.push((protocol, high, Page(content)));
            }
        }
    }

    fn name(&mut self, key: &Key) {
        if self.pages.is_empty() {
            return;
        }
        let mut digest = Digest::new(key, Kind::Ports);
        for (protocol, high, page) in &self.pages {
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
        self.pages
            .into_iter()
            .map(|(protocol, high, page)| (key(protocol, high), page))
            .collect()
    }
}
