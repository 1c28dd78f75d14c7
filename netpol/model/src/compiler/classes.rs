//! Atoms that live sets name, classes of addresses, and which address has which.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::atoms::{Atom, AtomId, Subject};
use super::by_address::ByAddress;
use super::by_label::ByLabel;
use super::ids::{Digest, Key, Kind};
use super::inputs::Inputs;
use crate::cluster::Pod;
use crate::tables::{ClassId, SetId};

/// Pods of so many namespaces are asked namespace by namespace about an atom, those of more by their labels.
const FEW: usize = 8;

/// An atom that a live set names, or that a class still has.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) atom: Atom,
    /// The sets that name it. None: no class gets it any more.
    pub(crate) sets: Vec<SetId>,
    /// The classes that have it.
    pub(crate) classes: HashSet<ClassId>,
}

/// A class of addresses.
#[derive(Debug)]
pub(crate) struct Class {
    /// In order.
    pub(crate) atoms: Box<[AtomId]>,
    /// The addresses that have it.
    pub(crate) addresses: ByAddress<()>,
    /// In which epoch the last address left it.
    idle_since: u64,
}

/// All atoms and classes, and the class of each address.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    pub(crate) atoms: HashMap<AtomId, Known>,
    pub(crate) known: HashMap<ClassId, Class>,
    pub(crate) addresses: ByAddress<ClassId>,
    idle: BTreeSet<(u64, ClassId)>,
    blocks: Blocks,
    selectors: ByLabel,
}

/// Atoms by their blocks.
#[derive(Debug, Default)]
struct Blocks {
    atoms: HashMap<IpNetwork, Vec<AtomId>>,
    /// How many blocks have a length, of IPv4 and of IPv6.
    lengths: [BTreeMap<u8, usize>; 2],
}

/// The id of the class of all addresses that these atoms, and no others, match.
pub(crate) fn class_id(key: &Key, atoms: &[AtomId]) -> ClassId {
    let mut digest = Digest::new(key, Kind::Class);
    for atom in atoms {
        digest.number(atom.0);
    }
    ClassId(digest.id())
}

/// The addresses that atoms match, and which of them.
pub(crate) fn matched<'a>(
    inputs: &'a Inputs,
    atoms: impl Iterator<Item = (AtomId, &'a Atom)>,
) -> BTreeMap<IpAddr, Vec<AtomId>> {
    let atoms: HashMap<AtomId, &Atom> = atoms.collect();
    let mut matched: BTreeMap<IpAddr, Vec<AtomId>> = BTreeMap::new();
    let mut add = |address, id| matched.entry(address).or_default().push(id);
    let mut wide = ByLabel::default();
    let mut narrow: BTreeMap<&Arc<str>, ByLabel> = BTreeMap::new();
    for (id, atom) in &atoms {
        if let Some(cidr) = atom.cidr() {
            for (address, owner) in inputs.owners.inside(cidr) {
                let pod = inputs.resolve(owner).0;
                let subject = pod.map(|pod| Subject::new(pod, inputs.namespace_of(pod)));
                if atom.matches_address(address, subject.as_ref()) {
                    add(address, *id);
                }
            }
        }
        match atom.namespaces(inputs, FEW) {
            None => wide.add(*id, atom),
            Some(namespaces) => {
                for namespace in namespaces {
                    narrow.entry(namespace).or_default().add(*id, atom);
                }
            }
        }
    }
    let mut ask = |pod: &Arc<Pod>, candidates: &[AtomId]| {
        let subject = Subject::new(pod, inputs.namespace_of(pod));
        for id in candidates {
            if atoms[id].matches(&subject) {
                let addresses = inputs.addresses_of(pod);
                addresses.for_each(|address| add(address, *id));
            }
        }
    };
    let candidates =
        |index: &ByLabel, labels| -> Vec<AtomId> { index.candidates(labels).collect() };
    for (namespace, index) in &narrow {
        for pod in inputs.pods_in(namespace) {
            ask(pod, &candidates(index, &pod.labels));
        }
    }
    if !wide.is_empty() {
        for (labels, pods) in inputs.alike.iter() {
            let candidates = candidates(&wide, labels);
            if !candidates.is_empty() {
                for pod in pods {
                    ask(pod, &candidates);
                }
            }
        }
    }
    for atoms in matched.values_mut() {
        atoms.sort_unstable();
        atoms.dedup();
    }
    matched
}

impl Classes {
    /// A set names an atom now. Returns whether no other did.
    pub(crate) fn name(&mut self, id: AtomId, atom: &Atom, set: SetId) -> bool {
        let known = self.atoms.entry(id).or_insert_with(|| Known {
            atom: atom.clone(),
            sets: Vec::new(),
            classes: HashSet::new(),
        });
        let fresh = known.sets.is_empty();
        known.sets.push(set);
        if fresh {
            match known.atom.cidr() {
                Some(cidr) => self.blocks.add(cidr, id),
                None => self.selectors.add(id, &known.atom),
            }
        }
        fresh
    }

    /// A set no longer names an atom. Returns whether none does.
    pub(crate) fn unname(&mut self, id: AtomId, set: SetId) -> bool {
        let Some(known) = self.atoms.get_mut(&id) else {
            return false;
        };
        known.sets.retain(|one| *one != set);
        if !known.sets.is_empty() {
            return false;
        }
        match known.atom.cidr() {
            Some(cidr) => self.blocks.remove(&cidr, id),
            None => self.selectors.remove(id, &known.atom),
        }
        true
    }

    /// Forgets atoms that neither a set nor a class has.
    pub(crate) fn forget(&mut self, atoms: impl IntoIterator<Item = AtomId>) {
        for id in atoms {
            let unused = |known: &Known| known.sets.is_empty() && known.classes.is_empty();
            if self.atoms.get(&id).is_some_and(unused) {
                self.atoms.remove(&id);
            }
        }
    }

    /// The atoms that match an address, in order; `None` when no pod has it.
    pub(crate) fn matching(&self, inputs: &Inputs, address: IpAddr) -> Option<Vec<AtomId>> {
        let (pod, _) = inputs.owner(address)?;
        let subject = pod.map(|pod| Subject::new(pod, inputs.namespace_of(pod)));
        let mut matching: Vec<AtomId> = self.blocks.around(address).collect();
        matching.retain(|id| {
            let atom = &self.atoms[id].atom;
            atom.matches_address(address, subject.as_ref())
        });
        if let Some(subject) = subject {
            let selectors = self.selectors.candidates(subject.labels);
            let matches = selectors.filter(|id| self.atoms[id].atom.matches(&subject));
            matching.extend(matches);
        }
        matching.sort_unstable();
        Some(matching)
    }

    /// The class of these atoms. Returns whether it is new.
    pub(crate) fn class(&mut self, key: &Key, epoch: u64, atoms: Vec<AtomId>) -> (ClassId, bool) {
        let id = class_id(key, &atoms);
        if self.known.contains_key(&id) {
            return (id, false);
        }
        for atom in &atoms {
            if let Some(known) = self.atoms.get_mut(atom) {
                known.classes.insert(id);
            }
        }
        let class = Class {
            atoms: atoms.into(),
            addresses: ByAddress::default(),
            idle_since: epoch,
        };
        self.known.insert(id, class);
        self.idle.insert((epoch, id));
        (id, true)
    }

    /// Gives an address a class, or takes it away. Returns the one it had.
    pub(crate) fn place(
        &mut self,
        epoch: u64,
        address: IpAddr,
        class: Option<ClassId>,
    ) -> Option<ClassId> {
        let before = match class {
            Some(class) => self.addresses.insert(address, class),
            None => self.addresses.remove(address),
        };
        if let Some((id, class)) = class.and_then(|id| Some((id, self.known.get_mut(&id)?))) {
            if class.addresses.is_empty() {
                self.idle.remove(&(class.idle_since, id));
            }
            class.addresses.insert(address, ());
        }
        let left = before.filter(|before| Some(*before) != class);
        if let Some((id, class)) = left.and_then(|id| Some((id, self.known.get_mut(&id)?))) {
            class.addresses.remove(address);
            if class.addresses.is_empty() {
                class.idle_since = epoch;
                self.idle.insert((epoch, id));
            }
        }
        before
    }

    /// Takes out a class that no address has had since before this epoch, with what it was to which atom.
    pub(crate) fn take_idle(&mut self, epoch: u64) -> Option<(ClassId, Class)> {
        let (_, id) = *self.idle.first().filter(|(since, _)| *since < epoch)?;
        self.idle.pop_first();
        let class = self.known.remove(&id)?;
        for atom in &class.atoms {
            if let Some(known) = self.atoms.get_mut(atom) {
                known.classes.remove(&id);
            }
        }
        Some((id, class))
    }

    /// Whether no class is without addresses.
    pub(crate) fn is_settled(&self) -> bool {
        self.idle.is_empty()
    }
}

impl Blocks {
    fn add(&mut self, cidr: IpNetwork, id: AtomId) {
        let lengths = &mut self.lengths[usize::from(cidr.is_ipv6())];
        *lengths.entry(cidr.prefix()).or_default() += 1;
        self.atoms.entry(cidr).or_default().push(id);
    }

    fn remove(&mut self, cidr: &IpNetwork, id: AtomId) {
        let lengths = &mut self.lengths[usize::from(cidr.is_ipv6())];
        if let Some(count) = lengths.get_mut(&cidr.prefix()) {
            *count -= 1;
            if *count == 0 {
                lengths.remove(&cidr.prefix());
            }
        }
        if let Some(atoms) = self.atoms.get_mut(cidr) {
            atoms.retain(|one| *one != id);
            if atoms.is_empty() {
                self.atoms.remove(cidr);
            }
        }
    }

    /// The atoms whose block is around an address, exceptions aside.
    fn around(&self, address: IpAddr) -> impl Iterator<Item = AtomId> {
        let lengths = &self.lengths[usize::from(address.is_ipv6())];
        let at = move |length: &u8| {
            let wide = IpNetwork::new(address, *length).ok()?;
            let network = IpNetwork::new(wide.network(), *length).ok()?;
            self.atoms.get(&network)
        };
        lengths.keys().filter_map(at).flatten().copied()
    }
}
