//! What stands in the maps before they are brought to other tables, and what of it has to hold meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fairlead_netpol_model::tables::{IfIndex, SETS_IN_A_ROW, Tables};

use crate::encode;
use crate::layout::{Addr, Address, CellKey, Direction, Endpoint};

/// The content of the maps by which peers that are known pods are judged.
pub(super) struct Standing<'a> {
    pub(super) endpoints: &'a BTreeMap<IfIndex, Endpoint>,
    pub(super) sets: &'a HashMap<u64, Direction>,
    pub(super) cells: &'a HashMap<CellKey, u64>,
    pub(super) addresses: &'a HashMap<Addr, Address>,
}

impl Standing<'_> {
    /// The cells that the sets of pods need for classes which the peers they allow are about to get.
    ///
    /// Sets that are wanted later need none: what both states allow has its cell there, and another pod may come to
    /// be judged by them. A class that many old ones become is allowed what all of these are, and one that somebody has already what
    /// it is allowed by now: nothing passes that neither the old state allows nor the new one.
    pub(super) fn cells_between(&self, tables: &Tables) -> BTreeMap<CellKey, u64> {
        let mut moves: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for (ip, address) in &tables.addresses {
            let new = encode::address(address).class;
            let old = self.addresses.get(&(*ip).into()).map(|old| old.class);
            if let Some(old) = old.filter(|old| *old != new) {
                moves.entry(new).or_default().insert(old);
            }
        }
        if moves.is_empty() {
            return BTreeMap::new();
        }
        for address in self.addresses.values() {
            if let Some(olds) = moves.get_mut(&address.class) {
                olds.insert(address.class);
            }
        }
        let wanted: BTreeSet<CellKey> = tables
            .cells
            .keys()
            .map(|(set, class)| encode::cell_key(*set, *class))
            .collect();
        let mut between = BTreeMap::new();
        let (used, later) = (self.sets_in_use(), sets_of(tables));
        for set in used.difference(&later).copied() {
            for (new, olds) in &moves {
                let cell = |class: &u64| CellKey { set, class: *class };
                let masks = olds.iter().map(|old| self.cells.get(&cell(old)).copied());
                let mask = masks.fold(u64::MAX, |all, mask| all & mask.unwrap_or(0));
                let key = cell(new);
                if mask != 0 && !wanted.contains(&key) && !self.cells.contains_key(&key) {
                    between.insert(key, mask);
                }
            }
        }
        between
    }

    /// The sets that pods are judged by, with those that they lead to.
    fn sets_in_use(&self) -> BTreeSet<u64> {
        let mut used = BTreeSet::new();
        for endpoint in self.endpoints.values() {
            for first in [&endpoint.ingress, &endpoint.egress] {
                let mut next = Some(first);
                for _ in 0..SETS_IN_A_ROW {
                    let Some(set) = next.filter(|set| set.set != 0) else {
                        break;
                    };
                    used.insert(set.set);
                    next = self.sets.get(&set.next);
                }
            }
        }
        used
    }
}

/// The sets that tables have pods judged by, and those that these lead to.
fn sets_of(tables: &Tables) -> BTreeSet<u64> {
    let endpoints = tables.endpoints.values();
    let direct = endpoints.flat_map(|endpoint| [endpoint.ingress, endpoint.egress]);
    let direct = direct.flatten().map(|set| set.id.0);
    direct.chain(tables.sets.keys().map(|id| id.0)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use fairlead_netpol_model::tables::{self, ClassId, SetId};

    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    /// Peers with their old classes, cells of old sets, one pod judged by set 1, which leads to set 2.
    fn between(
        old: &[(u8, u64)],
        cells: &[(u64, u64, u64)],
        new: &[(u8, u64)],
        kept: &[u64],
    ) -> Vec<(u64, u64, u64)> {
        let direction = |set, next| Direction {
            set,
            next,
            ..Direction::default()
        };
        let pod = Endpoint {
            ingress: direction(1, 2),
            ..Endpoint::default()
        };
        let address = |class| Address {
            class,
            ..Address::default()
        };
        let standing = Standing {
            endpoints: &[(7, pod)].into(),
            sets: &[(2, direction(2, 0)), (3, direction(3, 0))].into(),
            cells: &cells
                .iter()
                .map(|(set, class, mask)| (encode::cell_key(SetId(*set), ClassId(*class)), *mask))
                .collect(),
            addresses: &old
                .iter()
                .map(|(last, class)| (ip(*last).into(), address(*class)))
                .collect(),
        };
        let mut tables = Tables::default();
        for id in kept {
            tables.sets.insert(SetId(*id), tables::Set::DENY);
        }
        for (last, class) in new {
            let address = tables::Address {
                class: ClassId(*class),
                local: None,
            };
            tables.addresses.insert(ip(*last), address);
        }
        let found = standing.cells_between(&tables);
        found
            .into_iter()
            .map(|(key, mask)| (key.set, key.class, mask))
            .collect()
    }

    #[test]
    fn old_sets_learn_the_new_classes_of_the_peers_they_allow() {
        let cells = [(1, 10, 3), (2, 10, 4), (3, 10, 5)];
        let found = between(&[(1, 10)], &cells, &[(1, 20)], &[]);
        assert_eq!(found, [(1, 20, 3), (2, 20, 4)], "set 3 judges nobody");
        let found = between(&[(1, 10)], &cells, &[(1, 20)], &[2]);
        assert_eq!(found, [(1, 20, 3)], "set 2 says itself what holds");
    }

    #[test]
    fn peers_that_become_one_class_are_allowed_what_all_were() {
        let old = [(1, 10), (2, 11), (3, 12)];
        let cells = [(1, 10, 0b111), (1, 11, 0b110), (2, 10, 1)];
        let found = between(&old, &cells, &[(1, 20), (2, 20), (3, 12)], &[]);
        assert_eq!(found, [(1, 20, 0b110)]);
    }

    #[test]
    fn a_class_that_somebody_has_already_is_allowed_no_more_than_it_is() {
        let old = [(1, 10), (2, 20)];
        assert_eq!(between(&old, &[(1, 10, 1)], &[(1, 20), (2, 20)], &[]), []);
    }

    #[test]
    fn pods_that_were_not_known_are_allowed_nothing_by_old_sets() {
        assert_eq!(between(&[], &[(1, 10, 1)], &[(1, 20)], &[]), []);
        assert_eq!(between(&[(1, 10)], &[(1, 10, 1)], &[(1, 10)], &[]), []);
    }
}
