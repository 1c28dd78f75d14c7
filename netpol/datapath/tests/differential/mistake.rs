//! Compilers that are wrong, to show that the test would notice: each changes what the right one says is to be
//! written, in a way that a data path for `NetworkPolicy` has been wrong before.

use std::collections::{BTreeMap, BTreeSet};

use fairlead_netpol_model::tables::{ClassId, Tables, Update, Write};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A longer prefix has only the rules of its own blocks, not those of the blocks around it.
    PrefixAlone,
    /// What a block excepts is merged into the block: another rule's block around it loses it too, or gets it.
    ExceptForgotten,
    /// The number of a class that nobody has any more is given to the next new one, in the same update.
    ClassReused,
    /// Pods are switched before what they are switched to is written.
    SwitchedFirst,
}

/// A compiler with a mistake.
#[derive(Debug)]
pub(crate) struct Wrong {
    mistake: Mistake,
    /// What the right one has written.
    right: Tables,
    /// The number of each class.
    numbers: BTreeMap<ClassId, u64>,
}

impl Wrong {
    pub(crate) fn new(mistake: Mistake) -> Self {
        Self {
            mistake,
            right: Tables::default(),
            numbers: BTreeMap::new(),
        }
    }

    /// What it says instead.
    pub(crate) fn update(&mut self, right: &Update) -> Update {
        for write in &right.writes {
            self.right.write(write);
        }
        let mut writes = right.writes.clone();
        match self.mistake {
            Mistake::PrefixAlone => {
                for write in &mut writes {
                    self.alone(write);
                }
            }
            Mistake::ExceptForgotten => writes.retain(|write| !self.takes_away(write)),
            Mistake::ClassReused => {
                self.give_numbers();
                for write in &mut writes {
                    self.number(write);
                }
            }
            Mistake::SwitchedFirst => writes.reverse(),
        }
        Update { writes }
    }

    /// The masks of all shorter prefixes of the same set around one.
    fn around(&self, write: &Write) -> Option<u64> {
        let Write::Prefix(set, prefix, Some(_)) = write else {
            return None;
        };
        let of_set = self.right.prefixes.iter().filter(|((id, _), _)| id == set);
        let around = of_set.filter(|((_, other), _)| {
            other.prefix() < prefix.prefix() && other.contains(prefix.ip())
        });
        around.map(|(_, mask)| *mask).reduce(|a, b| a | b)
    }

    fn alone(&self, write: &mut Write) {
        let around = self.around(write).unwrap_or(0);
        if let Write::Prefix(_, _, Some(mask)) = write {
            *mask &= !around;
        }
    }

    fn takes_away(&self, write: &Write) -> bool {
        let around = self.around(write).unwrap_or(0);
        matches!(write, Write::Prefix(_, _, Some(mask)) if around & !mask != 0)
    }

    fn give_numbers(&mut self) {
        let used: BTreeSet<ClassId> = self.right.addresses.values().map(|at| at.class).collect();
        self.numbers.retain(|class, _| used.contains(class));
        for class in used {
            let taken: BTreeSet<u64> = self.numbers.values().copied().collect();
            let free = (1..u64::MAX).find(|number| !taken.contains(number));
            let free = free.unwrap_or(u64::MAX);
            self.numbers.entry(class).or_insert(free);
        }
    }

    fn number(&self, write: &mut Write) {
        let number = |class: &mut ClassId| {
            // Cells of classes that are not used yet, or no more, are nobody's.
            class.0 = self.numbers.get(class).copied().unwrap_or(u64::MAX);
        };
        match write {
            Write::Cell(_, class, _) => number(class),
            Write::Address(_, Some(address)) => number(&mut address.class),
            _ => {}
        }
    }
}
