//! What is wanted in the maps and does not fit.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use fairlead_netpol_model::cluster::Protocol;
use fairlead_netpol_model::tables::{
    Address, ClassId, Mask, Page, PageKey, PortsId, SETS_IN_A_ROW, Set, SetId, Write,
};
use ipnetwork::{IpNetwork, Ipv4Network};

/// The entries that found their map full.
#[derive(Debug, Default)]
pub(super) struct Missing {
    pages: BTreeMap<PageKey, Page>,
    sets: BTreeMap<SetId, Set>,
    cells: BTreeMap<(SetId, ClassId), Mask>,
    prefixes: BTreeMap<(SetId, IpNetwork), Mask>,
    addresses: BTreeMap<IpAddr, Address>,
    /// Whether a set may lack less than before.
    relieved: bool,
}

/// How many are missing of each map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) pages: usize,
    pub(super) sets: usize,
    pub(super) cells: usize,
    pub(super) prefixes: usize,
    pub(super) addresses: usize,
}

impl Missing {
    /// Remembers a write that found no room; says whether sets that lacked nothing may lack something now.
    pub(super) fn add(&mut self, write: &Write) -> bool {
        match write {
            Write::Page(key, Some(page)) => {
                let known = self.lacks_pages(key.ports);
                self.pages.insert(*key, page.clone());
                !known
            }
            Write::Set(id, Some(set)) => self.sets.insert(*id, *set).is_none(),
            Write::Cell(set, class, Some(mask)) => {
                let known = self.lacks_entries(*set);
                self.cells.insert((*set, *class), *mask);
                !known
            }
            Write::Prefix(set, network, Some(mask)) => {
                let known = self.lacks_entries(*set);
                self.prefixes.insert((*set, *network), *mask);
                !known
            }
            Write::Address(ip, Some(address)) => {
                self.addresses.insert(*ip, *address);
                false
            }
            _ => false,
        }
    }

    /// Forgets an entry: it is written, or not wanted any more.
    pub(super) fn forget(&mut self, write: &Write) {
        self.relieved |= match write {
            Write::Page(key, _) => self.pages.remove(key).is_some(),
            Write::Set(id, _) => self.sets.remove(id).is_some(),
            Write::Cell(set, class, _) => self.cells.remove(&(*set, *class)).is_some(),
            Write::Prefix(set, network, _) => self.prefixes.remove(&(*set, *network)).is_some(),
            Write::Address(ip, _) => {
                self.addresses.remove(ip);
                false
            }
            Write::Endpoint(..) => false,
        };
    }

    /// How many there are.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            pages: self.pages.len(),
            sets: self.sets.len(),
            cells: self.cells.len(),
            prefixes: self.prefixes.len(),
            addresses: self.addresses.len(),
        }
    }

    /// Whether entries were forgotten since this was asked.
    pub(super) fn take_relieved(&mut self) -> bool {
        std::mem::take(&mut self.relieved)
    }

    /// The writes that are still to be made, what others refer to first.
    pub(super) fn writes(&self) -> Vec<Write> {
        let mut writes = Vec::new();
        for (key, page) in &self.pages {
            writes.push(Write::Page(*key, Some(page.clone())));
        }
        for (id, set) in &self.sets {
            writes.push(Write::Set(*id, Some(*set)));
        }
        for ((set, class), mask) in &self.cells {
            writes.push(Write::Cell(*set, *class, Some(*mask)));
        }
        for ((set, network), mask) in &self.prefixes {
            writes.push(Write::Prefix(*set, *network, Some(*mask)));
        }
        for (ip, address) in &self.addresses {
            writes.push(Write::Address(*ip, Some(*address)));
        }
        writes
    }

    /// Whether a set, and those of `sets` that it leads to, lack nothing.
    pub(super) fn is_complete(&self, set: Set, sets: &BTreeMap<SetId, Set>) -> bool {
        let mut next = Some(set);
        for _ in 0..SETS_IN_A_ROW {
            let Some(set) = next else { return true };
            let lacks_set = set.next.is_some_and(|id| self.sets.contains_key(&id));
            let lacks_pages = set.ports.is_some_and(|ports| self.lacks_pages(ports));
            if lacks_set || lacks_pages || self.lacks_entries(set.id) {
                return false;
            }
            next = set.next.and_then(|id| sets.get(&id).copied());
        }
        true
    }

    fn lacks_pages(&self, ports: PortsId) -> bool {
        let first = PageKey {
            ports,
            protocol: Protocol::Tcp,
            high: 0,
        };
        let mut from = self.pages.range(first..);
        from.next().is_some_and(|(key, _)| key.ports == ports)
    }

    /// Whether cells or prefixes of a set are missing.
    fn lacks_entries(&self, set: SetId) -> bool {
        let lowest = IpNetwork::V4(Ipv4Network::from(Ipv4Addr::UNSPECIFIED));
        let lowest = IpNetwork::new(lowest.ip(), 0).unwrap_or(lowest);
        let mut cells = self.cells.range((set, ClassId(0))..);
        let mut prefixes = self.prefixes.range((set, lowest)..);
        cells.next().is_some_and(|((of, _), _)| *of == set)
            || prefixes.next().is_some_and(|((of, _), _)| *of == set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(id: u64, next: Option<u64>) -> Set {
        Set {
            id: SetId(id),
            next: next.map(SetId),
            ports: Some(PortsId(id)),
            ..Set::DENY
        }
    }

    #[test]
    fn a_set_lacks_what_those_behind_it_lack() {
        let sets: BTreeMap<_, _> = [(SetId(3), set(3, None))].into();
        let first = set(2, Some(3));
        let network = "0.0.0.0/0".parse().unwrap();
        let key = PageKey {
            ports: PortsId(3),
            protocol: Protocol::Sctp,
            high: 255,
        };
        for write in [
            Write::Cell(SetId(2), ClassId(9), Some(1)),
            Write::Cell(SetId(3), ClassId(9), Some(1)),
            Write::Prefix(SetId(3), network, Some(1)),
            Write::Page(key, Some(Page(Box::new([0; 256])))),
            Write::Set(SetId(3), Some(set(3, None))),
        ] {
            let mut missing = Missing::default();
            assert!(missing.is_complete(first, &sets));
            assert!(missing.add(&write));
            assert!(!missing.add(&write), "known by now");
            assert!(!missing.is_complete(first, &sets), "{write:?}");
            assert!(missing.is_complete(set(4, None), &sets), "{write:?}");
            assert_eq!(missing.writes(), std::slice::from_ref(&write));
            missing.forget(&write);
            assert!(
                missing.counts() == Counts::default()
                    && missing.take_relieved()
                    && !missing.take_relieved()
            );
            assert!(missing.is_complete(first, &sets));
        }
    }

    #[test]
    fn sets_that_lead_in_a_circle_end() {
        let sets: BTreeMap<_, _> = [(SetId(3), set(3, Some(3)))].into();
        assert!(Missing::default().is_complete(set(3, Some(3)), &sets));
    }
}
