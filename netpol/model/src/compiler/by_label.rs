//! Atoms by a label that pods must have to be meant, so that a pod is asked about few of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::atoms::{Atom, AtomId};
use crate::cluster::{Labels, Requirement};

/// Atoms that look at pods.
#[derive(Debug, Default)]
pub(crate) struct ByLabel {
    /// Those that ask for one of some values of a label, under each of them.
    values: HashMap<Arc<str>, HashMap<Arc<str>, Vec<AtomId>>>,
    /// All others.
    rest: HashSet<AtomId>,
}

impl ByLabel {
    pub(crate) fn add(&mut self, id: AtomId, atom: &Atom) {
        let Some((key, values)) = asked(atom) else {
            self.rest.insert(id);
            return;
        };
        let known = self.values.entry(Arc::clone(key)).or_default();
        for value in values {
            known.entry(Arc::clone(value)).or_default().push(id);
        }
    }

    pub(crate) fn remove(&mut self, id: AtomId, atom: &Atom) {
        let Some((key, values)) = asked(atom) else {
            self.rest.remove(&id);
            return;
        };
        let Some(known) = self.values.get_mut(key) else {
            return;
        };
        for value in values {
            if let Some(atoms) = known.get_mut(value) {
                atoms.retain(|one| *one != id);
                if atoms.is_empty() {
                    known.remove(value);
                }
            }
        }
        if known.is_empty() {
            self.values.remove(key);
        }
    }

    /// Those that may match a pod with these labels, each once.
    pub(crate) fn candidates(&self, labels: &Labels) -> impl Iterator<Item = AtomId> {
        let of = |(key, value)| self.values.get(key)?.get(value);
        let asked = labels.iter().filter_map(of).flatten();
        asked.chain(&self.rest).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.rest.is_empty()
    }
}

/// A label, and the values of which an atom's pods must have one.
fn asked(atom: &Atom) -> Option<(&Arc<str>, &[Arc<str>])> {
    let requirements = atom.pods()?.requirements.iter();
    let mut asked = requirements.filter_map(|requirement| match requirement {
        Requirement::In(key, values) => Some((key, &values[..])),
        _ => None,
    });
    asked.next()
}
