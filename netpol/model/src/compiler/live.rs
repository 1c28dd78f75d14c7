//! The sets that endpoints have, each once, and their entries in the maps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Counts;
use super::atoms::AtomId;
use super::classes::Classes;
use super::ports::Partition;
use super::sets::{Piece, Plan, RulesId};
use crate::tables::{ClassId, Mask, PortsId, Set, SetId, Tables, Write};

/// Rules, and the sets that they make.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) set: Set,
    pub(crate) pieces: Vec<SetId>,
    pub(crate) partition: Partition,
    /// How many directions of endpoints have them.
    users: usize,
    /// In which epoch the last left.
    idle_since: u64,
}

/// A set that some rules make.
#[derive(Debug)]
struct Kept {
    piece: Piece,
    /// How many rules make it.
    users: usize,
    /// How many of them make it behind another.
    behind: usize,
}

/// All rules that endpoints have, and their sets.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    rules: HashMap<RulesId, Live>,
    pieces: HashMap<SetId, Kept>,
    /// How many sets have pages.
    ports: HashMap<PortsId, usize>,
    idle: BTreeSet<(u64, RulesId)>,
}

impl Sets {
    pub(crate) fn get(&self, id: RulesId) -> Option<&Live> {
        self.rules.get(&id)
    }

    pub(crate) fn piece(&self, id: SetId) -> Option<&Piece> {
        self.pieces.get(&id).map(|kept| &kept.piece)
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.values().map(|kept| &kept.piece)
    }

    /// One more direction has these rules. Returns whether they are known.
    pub(crate) fn hold(&mut self, id: RulesId) -> bool {
        let Some(live) = self.rules.get_mut(&id) else {
            return false;
        };
        if live.users == 0 {
            self.idle.remove(&(live.idle_since, id));
        }
        live.users += 1;
        true
    }

    /// One direction less has them.
    pub(crate) fn release(&mut self, epoch: u64, id: RulesId) {
        if let Some(live) = self.rules.get_mut(&id) {
            live.users -= 1;
            if live.users == 0 {
                live.idle_since = epoch;
                self.idle.insert((epoch, id));
            }
        }
    }

    /// Adds rules that one direction has. Returns the atoms that no set named before.
    pub(crate) fn add(
        &mut self,
        id: RulesId,
        plan: Plan,
        classes: &mut Classes,
        writes: &mut Vec<Write>,
    ) -> Vec<AtomId> {
        let live = Live {
            set: plan.set(),
            pieces: plan.pieces.iter().map(|piece| piece.set.id).collect(),
            partition: plan.partition,
            users: 1,
            idle_since: 0,
        };
        self.rules.insert(id, live);
        let mut fresh = Vec::new();
        for (at, piece) in plan.pieces.into_iter().enumerate() {
            let set = piece.set;
            if !self.pieces.contains_key(&set.id) {
                for atom in piece.masks.keys() {
                    if classes.name(*atom, &plan.atoms[atom], set.id) {
                        fresh.push(*atom);
                    }
                }
                self.enter(&piece, classes, writes);
                let kept = Kept {
                    piece,
                    users: 0,
                    behind: 0,
                };
                self.pieces.insert(set.id, kept);
            }
            if let Some(kept) = self.pieces.get_mut(&set.id) {
                kept.users += 1;
                if at > 0 {
                    kept.behind += 1;
                    if kept.behind == 1 {
                        writes.push(Write::Set(set.id, Some(set)));
                    }
                }
            }
        }
        fresh
    }

    /// Writes the entries of a set.
    fn enter(&mut self, piece: &Piece, classes: &Classes, writes: &mut Vec<Write>) {
        if let Some(ports) = piece.set.ports {
            let users = self.ports.entry(ports).or_default();
            *users += 1;
            if *users == 1 {
                let pages = piece.pages.iter().cloned();
                writes.extend(pages.map(|(key, page)| Write::Page(key, Some(page))));
            }
        }
        let id = piece.set.id;
        let prefixes = piece.prefixes.iter();
        writes.extend(prefixes.map(|(prefix, mask)| Write::Prefix(id, *prefix, Some(*mask))));
        let cells = cells_of_set(piece, classes).into_iter();
        writes.extend(cells.map(|(class, mask)| Write::Cell(id, class, Some(mask))));
    }

    /// Removes rules that nobody has had since before this epoch. Returns the atoms that no set names any more.
    pub(crate) fn remove_idle(
        &mut self,
        epoch: u64,
        classes: &mut Classes,
        writes: &mut Vec<Write>,
    ) -> Vec<AtomId> {
        let mut stale = Vec::new();
        while let Some((_, id)) = self
            .idle
            .first()
            .filter(|(since, _)| *since < epoch)
            .copied()
        {
            self.idle.pop_first();
            let pieces = self.rules.remove(&id).map(|live| live.pieces);
            for (at, set) in pieces.unwrap_or_default().into_iter().enumerate() {
                self.leave(set, at > 0, classes, writes, &mut stale);
            }
        }
        stale
    }

    fn leave(
        &mut self,
        id: SetId,
        behind: bool,
        classes: &mut Classes,
        writes: &mut Vec<Write>,
        stale: &mut Vec<AtomId>,
    ) {
        let Some(kept) = self.pieces.get_mut(&id) else {
            return;
        };
        kept.users -= 1;
        if behind {
            kept.behind -= 1;
            if kept.behind == 0 {
                writes.push(Write::Set(id, None));
            }
        }
        if kept.users > 0 {
            return;
        }
        let Some(Kept { piece, .. }) = self.pieces.remove(&id) else {
            return;
        };
        let cells = cells_of_set(&piece, classes).into_keys();
        writes.extend(cells.map(|class| Write::Cell(id, class, None)));
        let prefixes = piece.prefixes.keys();
        writes.extend(prefixes.map(|prefix| Write::Prefix(id, *prefix, None)));
        if let Some(users) = piece.set.ports.and_then(|ports| self.ports.get_mut(&ports)) {
            *users -= 1;
            if *users == 0 {
                writes.extend(piece.pages.iter().map(|(key, _)| Write::Page(*key, None)));
            }
        }
        self.ports.retain(|_, users| *users > 0);
        let atoms = piece.masks.into_keys();
        stale.extend(atoms.filter(|atom| classes.unname(*atom, id)));
    }

    /// The cells of a class of these atoms in all sets.
    pub(crate) fn cells_of_class(
        &self,
        classes: &Classes,
        atoms: &[AtomId],
    ) -> BTreeMap<SetId, Mask> {
        let mut cells = BTreeMap::new();
        for atom in atoms {
            let known = classes.atoms.get(atom);
            for set in known.iter().flat_map(|known| &known.sets) {
                let mask = self
                    .pieces
                    .get(set)
                    .and_then(|kept| kept.piece.masks.get(atom));
                *cells.entry(*set).or_default() |= mask.copied().unwrap_or(0);
            }
        }
        cells
    }

    /// Adds the entries of all sets but their cells.
    pub(crate) fn write(&self, tables: &mut Tables) {
        for Kept { piece, behind, .. } in self.pieces.values() {
            let set = piece.set;
            tables.pages.extend(piece.pages.iter().cloned());
            let prefixes = piece.prefixes.iter();
            tables
                .prefixes
                .extend(prefixes.map(|(prefix, mask)| ((set.id, *prefix), *mask)));
            if *behind > 0 {
                tables.sets.insert(set.id, set);
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let pages: BTreeMap<PortsId, usize> = self
            .pieces()
            .filter_map(|piece| Some((piece.set.ports?, piece.pages.len())))
            .collect();
        Counts {
            sets: self.pieces.len(),
            prefixes: self.pieces().map(|piece| piece.prefixes.len()).sum(),
            pages: pages.values().sum(),
            left_out: self
                .rules
                .values()
                .map(|live| live.partition.left_out())
                .sum(),
            ..Counts::default()
        }
    }

    /// Whether there are no rules that nobody has.
    pub(crate) fn is_settled(&self) -> bool {
        self.idle.is_empty()
    }
}

/// The cells of a set for all classes.
fn cells_of_set(piece: &Piece, classes: &Classes) -> BTreeMap<ClassId, Mask> {
    let mut cells = BTreeMap::new();
    for (atom, mask) in &piece.masks {
        let known = classes.atoms.get(atom);
        for class in known.iter().flat_map(|known| &known.classes) {
            *cells.entry(*class).or_default() |= *mask;
        }
    }
    cells
}
