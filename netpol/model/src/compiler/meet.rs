//! What two sets, or two classes, have in common.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;

use super::atoms::AtomId;
use super::flips::Change;
use super::ids::{Digest, Kind};
use super::live::Live;
use super::ports::{Partition, Slice};
use super::prefixes::lookup;
use super::sets::{Piece, RulesId};
use super::state::{At, Move, State};
use crate::tables::{ClassId, Mask, Set, SetId, Write};

/// One of two plans, seen through the port classes that tell both apart.
struct Side<'a> {
    pieces: Vec<&'a Piece>,
    /// Where each class stands: in which set, as which class; `None`: in none.
    places: Vec<Option<(usize, u8)>>,
}

impl Side<'_> {
    /// Which port classes these masks, one of each set, and those of everybody allow.
    fn allowed(&self, mask: impl Fn(&Piece) -> Mask) -> Vec<bool> {
        let masks = self.pieces.iter().map(|piece| mask(piece) | piece.set.any);
        let masks: Vec<Mask> = masks.collect();
        let allowed = |place: &Option<(usize, u8)>| {
            place.is_some_and(|(piece, class)| masks[piece] >> class & 1 == 1)
        };
        self.places.iter().map(allowed).collect()
    }
}

/// What two sets have in common, by port classes of its own.
#[derive(Default)]
struct Meet {
    any: Vec<bool>,
    cells: BTreeMap<ClassId, Vec<bool>>,
    prefixes: BTreeMap<IpNetwork, Vec<bool>>,
    /// Whether it is all of the one, and all of the other.
    is: (bool, bool),
}

impl State {
    /// One direction of an endpoint in the meantime.
    pub(crate) fn middle(
        &mut self,
        before: &At,
        now: &At,
        of: impl Fn(&At) -> (Option<RulesId>, Option<Set>),
        writes: &mut Vec<Write>,
    ) -> Option<Set> {
        let ((one, before), (other, now)) = (of(before), of(now));
        let change = match (before, now) {
            _ if before == now => Change::Grows,
            (None, _) | (_, Some(Set::DENY)) => Change::Shrinks,
            (_, None) | (Some(Set::DENY), _) => Change::Grows,
            _ => match one.zip(other) {
                Some((one, other)) => self.meet(one, other, writes),
                None => Change::Shrinks,
            },
        };
        match change {
            Change::Between(set) => Some(set),
            Change::Grows => before,
            Change::Shrinks => now,
        }
    }

    fn meet(&mut self, one: RulesId, other: RulesId, writes: &mut Vec<Write>) -> Change<Set> {
        let (Some(one), Some(other)) = (self.sets.get(one), self.sets.get(other)) else {
            return Change::Shrinks;
        };
        let (product, pairs) = one.partition.product(&other.partition);
        let meet = self.compared(one, other, &pairs);
        match meet.is {
            (true, _) => return Change::Grows,
            (_, true) => return Change::Shrinks,
            _ => {}
        }
        let (one, other) = (one.set.id, other.set.id);
        let mut next = None;
        for (at, slice) in product.slices().iter().enumerate().rev() {
            let mut digest = Digest::new(&self.key, Kind::Meet);
            digest.number(one.0);
            digest.number(other.0);
            digest.number(at as u64);
            let id = SetId(digest.id());
            let set = self.write_meet(id, &product, slice, &meet, next, writes);
            if at > 0 {
                self.passing.push(Write::Set(id, None));
                writes.push(Write::Set(id, Some(set)));
            }
            next = Some(set);
        }
        next.map_or(Change::Shrinks, Change::Between)
    }

    fn compared(&self, one: &Live, other: &Live, pairs: &[(u16, u16)]) -> Meet {
        let side = |live: &Live, classes: Vec<u16>| {
            let slices = live.partition.slices();
            let place = |class: &u16| {
                slices
                    .iter()
                    .enumerate()
                    .find_map(|(at, slice)| Some((at, slice.place(*class)?)))
            };
            Side {
                pieces: live
                    .pieces
                    .iter()
                    .filter_map(|id| self.sets.piece(*id))
                    .collect(),
                places: [0].iter().chain(&classes).map(place).collect(),
            }
        };
        let one = side(one, pairs.iter().map(|pair| pair.0).collect());
        let other = side(other, pairs.iter().map(|pair| pair.1).collect());
        let mut meet = Meet {
            is: (true, true),
            ..Meet::default()
        };
        meet.any = meet.add(&one.allowed(|_| 0), &other.allowed(|_| 0));
        let pieces = || one.pieces.iter().chain(&other.pieces);
        let atoms: BTreeSet<AtomId> = pieces()
            .flat_map(|piece| piece.masks.keys().copied())
            .collect();
        let known = atoms.iter().filter_map(|atom| self.classes.atoms.get(atom));
        let classes: BTreeSet<ClassId> = known
            .flat_map(|known| known.classes.iter().copied())
            .collect();
        for id in classes {
            if let Some(class) = self.classes.known.get(&id) {
                let cell = |piece: &Piece| piece.cell(&class.atoms);
                let both = meet.add(&one.allowed(cell), &other.allowed(cell));
                meet.cells.insert(id, both);
            }
        }
        let prefixes: BTreeSet<IpNetwork> = pieces()
            .flat_map(|piece| piece.prefixes.keys().copied())
            .collect();
        for prefix in prefixes {
            let mask = |piece: &Piece| lookup(&piece.prefixes, &prefix);
            let both = meet.add(&one.allowed(mask), &other.allowed(mask));
            meet.prefixes.insert(prefix, both);
        }
        meet
    }

    /// Writes one set of a meet; it is removed by a later update.
    fn write_meet(
        &mut self,
        id: SetId,
        product: &Partition,
        slice: &Slice,
        meet: &Meet,
        next: Option<Set>,
        writes: &mut Vec<Write>,
    ) -> Set {
        let mask = |allowed: &[bool]| {
            let classes = std::iter::once(0).chain(slice.classes()).enumerate();
            let bits = classes.filter(|(_, class)| allowed[*class]);
            bits.fold(0, |mask: Mask, (at, _)| mask | 1 << at)
        };
        let pages = product.pages(&self.key, Kind::Meet, slice);
        let set = Set {
            id,
            any: mask(&meet.any),
            ports: pages.id,
            rest: pages.rest,
            next: next.map(|next| next.id),
            cells: true,
            prefixes: !meet.prefixes.is_empty(),
        };
        for (key, page) in pages.entries() {
            writes.push(Write::Page(key, Some(page)));
            self.passing.push(Write::Page(key, None));
        }
        let cells = meet
            .cells
            .iter()
            .map(|(class, allowed)| (class, mask(allowed)));
        for (class, mask) in cells.filter(|(_, mask)| *mask != 0) {
            writes.push(Write::Cell(id, *class, Some(mask)));
            self.passing.push(Write::Cell(id, *class, None));
        }
        for (prefix, allowed) in &meet.prefixes {
            writes.push(Write::Prefix(id, *prefix, Some(mask(allowed))));
            self.passing.push(Write::Prefix(id, *prefix, None));
        }
        set
    }

    /// How an address of this node changes.
    pub(crate) fn compare(
        &mut self,
        one: &Move,
        writes: &mut Vec<Write>,
    ) -> Change<Option<ClassId>> {
        let (before, now) = (self.cells(one, one.before), self.cells(one, one.now));
        let mut both = before.clone();
        both.retain(|set, mask| {
            *mask &= now.get(set).copied().unwrap_or(0);
            *mask != 0
        });
        if both == before {
            return Change::Grows;
        }
        if both == now {
            return Change::Shrinks;
        }
        let mut digest = Digest::new(&self.key, Kind::Between);
        digest.text(&one.address.to_string());
        digest.number(one.before.map_or(0, |class| class.0));
        digest.number(one.now.map_or(0, |class| class.0));
        let class = ClassId(digest.id());
        for (set, mask) in both {
            writes.push(Write::Cell(set, class, Some(mask)));
            self.passing.push(Write::Cell(set, class, None));
        }
        Change::Between(Some(class))
    }

    /// What an address may use of each set with this class, or as the address of nobody.
    fn cells(&self, one: &Move, class: Option<ClassId>) -> BTreeMap<SetId, Mask> {
        let class = class.and_then(|class| self.classes.known.get(&class));
        let mut cells = if let Some(class) = class {
            self.sets.cells_of_class(&self.classes, &class.atoms)
        } else {
            let whole = IpNetwork::from(one.address);
            let mask = |piece: &Piece| (piece.set.id, lookup(&piece.prefixes, &whole));
            self.sets.pieces().map(mask).collect()
        };
        cells.retain(|_, mask| *mask != 0);
        cells
    }
}

impl Meet {
    /// What both allow; notes when that is not all that one of them does.
    fn add(&mut self, one: &[bool], other: &[bool]) -> Vec<bool> {
        let both: Vec<bool> = one
            .iter()
            .zip(other)
            .map(|(one, other)| *one && *other)
            .collect();
        self.is.0 &= both == one;
        self.is.1 &= both == other;
        both
    }
}
