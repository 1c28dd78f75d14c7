//! Policy sets: the rules of one direction of a pod, all policies together, as the maps hold them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::atoms::{Atom, AtomId, Who};
use super::ids::{Digest, Key, Kind};
use super::ports::{Partition, PortSet, Slice};
use super::prefixes::flatten;
use crate::cluster::{NamedPort, Pod, Policy, Port, Ports, Protocol, Rule};
use crate::oracle::Direction;
use crate::tables::{Mask, Page, PageKey, Set, SetId};

/// Who may use some ports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Users {
    /// Everybody.
    pub(crate) any: bool,
    pub(crate) atoms: BTreeSet<AtomId>,
}

/// The rules of one direction of a pod, in the one form that all rules have that say the same by the same peers.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// By their ports; `None`: rules without.
    by_ports: BTreeMap<Option<PortSet>, Users>,
    pub(crate) atoms: HashMap<AtomId, Atom>,
    /// The named ports of which it matters what numbers pods give them.
    pub(crate) named: BTreeSet<(Arc<str>, Protocol)>,
}

/// Names rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RulesId(u64);

/// Which numbers pods give to a named port.
pub(crate) trait Numbers {
    /// All numbers that a port of this name and protocol has at any pod.
    fn of(&self, name: &Arc<str>, protocol: Protocol) -> Vec<u16>;
}

impl Rules {
    /// The rules of `policies` for this direction of `pod`; `None` when none of them isolates it.
    pub(crate) fn of<'a>(
        key: &Key,
        pod: &Pod,
        direction: Direction,
        policies: impl Iterator<Item = &'a Policy>,
        numbers: &impl Numbers,
    ) -> Option<Self> {
        let mut all: Option<Self> = None;
        for policy in policies {
            let rules = match direction {
                Direction::Ingress => &policy.ingress,
                Direction::Egress => &policy.egress,
            };
            if let Some(rules) = rules {
                let all = all.get_or_insert_default();
                for rule in rules {
                    all.add(key, pod, direction, policy, rule, numbers);
                }
            }
        }
        all
    }

    fn add(
        &mut self,
        key: &Key,
        pod: &Pod,
        direction: Direction,
        policy: &Policy,
        rule: &Rule,
        numbers: &impl Numbers,
    ) {
        let peers: Vec<Atom> = rule
            .peers
            .iter()
            .map(|peer| Atom::new(policy, peer))
            .collect();
        if rule.ports.is_empty() {
            self.allow(key, None, &peers);
            return;
        }
        let mut ranges = Vec::new();
        for port in &rule.ports {
            match (&port.which, direction) {
                (Ports::All, _) => ranges.push((port.protocol, 0, u16::MAX)),
                (Ports::Range(first, last), _) => ranges.push((port.protocol, *first, *last)),
                (Ports::Named(name), Direction::Ingress) => {
                    let this = pod.named_ports.iter();
                    let this = this.filter(|at| at.name == *name && at.protocol == port.protocol);
                    ranges.extend(this.map(|at| (at.protocol, at.port, at.port)));
                }
                (Ports::Named(name), Direction::Egress) => {
                    self.add_named(key, &peers, port, name, numbers);
                }
            }
        }
        let ports = PortSet::new(ranges);
        if !ports.is_empty() {
            self.allow(key, Some(ports), &peers);
        }
    }

    /// A named port of an egress rule: each number that it has somewhere, at the peers that give it that number.
    fn add_named(
        &mut self,
        key: &Key,
        peers: &[Atom],
        port: &Port,
        name: &Arc<str>,
        numbers: &impl Numbers,
    ) {
        self.named.insert((Arc::clone(name), port.protocol));
        for number in numbers.of(name, port.protocol) {
            let with = |who: &Who| Atom {
                who: who.clone(),
                port: Some(NamedPort {
                    name: Arc::clone(name),
                    protocol: port.protocol,
                    port: number,
                }),
            };
            let peers: Vec<Atom> = if peers.is_empty() {
                vec![with(&Who::Any)]
            } else {
                peers.iter().map(|peer| with(&peer.who)).collect()
            };
            let ports = PortSet::new(vec![(port.protocol, number, number)]);
            self.allow(key, Some(ports), &peers);
        }
    }

    /// What names them, their named ports aside.
    pub(crate) fn id(&self, key: &Key) -> RulesId {
        let mut digest = Digest::new(key, Kind::Rules);
        for (ports, users) in &self.by_ports {
            let ranges = ports.as_ref().map(PortSet::ranges);
            digest.number(ranges.map_or(u64::MAX, |ranges| ranges.len() as u64));
            for (protocol, first, last) in ranges.unwrap_or_default() {
                digest.protocol(*protocol);
                digest.number(u64::from(*first) << 16 | u64::from(*last));
            }
            digest.number(users.any.into());
            digest.number(users.atoms.len() as u64);
            for atom in &users.atoms {
                digest.number(atom.0);
            }
        }
        RulesId(digest.id())
    }

    fn allow(&mut self, key: &Key, ports: Option<PortSet>, peers: &[Atom]) {
        let users = self.by_ports.entry(ports).or_default();
        users.any |= peers.is_empty();
        for atom in peers {
            let id = atom.id(key);
            users.atoms.insert(id);
            self.atoms.entry(id).or_insert_with(|| atom.clone());
        }
    }
}

/// One set, as the maps hold it.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) set: Set,
    pub(crate) pages: Vec<(PageKey, Page)>,
    /// What each atom may use.
    pub(crate) masks: HashMap<AtomId, Mask>,
    pub(crate) prefixes: BTreeMap<IpNetwork, Mask>,
}

impl Piece {
    /// The mask of a class, given as its atoms.
    pub(crate) fn cell(&self, class: &[AtomId]) -> Mask {
        if self.masks.len() < class.len() {
            let of = |(id, mask): (&AtomId, &Mask)| class.binary_search(id).map_or(0, |_| *mask);
            return self.masks.iter().map(of).fold(0, |all, mask| all | mask);
        }
        let of = |id| self.masks.get(id).copied().unwrap_or(0);
        class.iter().map(of).fold(0, |all, mask| all | mask)
    }
}

/// A set and all that it leads to.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The first is the endpoint's, each leads to the next.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) atoms: HashMap<AtomId, Atom>,
    pub(crate) partition: Partition,
}

impl Plan {
    /// Makes the sets of `rules`.
    pub(crate) fn new(key: &Key, rules: Rules) -> Self {
        let ports: Vec<&PortSet> = rules.by_ports.keys().flatten().collect();
        let partition = Partition::new(&ports);
        let mut pieces: Vec<Piece> = Vec::new();
        for slice in partition.slices().iter().rev() {
            let next = pieces.last().map(|piece| piece.set.id);
            pieces.push(piece(key, &rules, &partition, slice, next));
        }
        pieces.reverse();
        Self {
            pieces,
            atoms: rules.atoms,
            partition,
        }
    }

    /// What endpoints hold.
    pub(crate) fn set(&self) -> Set {
        self.pieces[0].set
    }
}

/// The set that judges the port classes of `slice`, and class 0.
fn piece(
    key: &Key,
    rules: &Rules,
    partition: &Partition,
    slice: &Slice,
    next: Option<SetId>,
) -> Piece {
    let pages = partition.pages(key, Kind::Ports, slice);
    let mut any = 0;
    let mut masks: HashMap<AtomId, Mask> = HashMap::new();
    let mut give = |users: &Users, mask: Mask| {
        any |= if users.any { mask } else { 0 };
        for atom in &users.atoms {
            *masks.entry(*atom).or_default() |= mask;
        }
    };
    if let Some(everywhere) = rules.by_ports.get(&None) {
        give(everywhere, slice.mask());
    }
    let with_ports = rules.by_ports.iter().filter(|(ports, _)| ports.is_some());
    let users: Vec<&Users> = with_ports.map(|(_, users)| users).collect();
    for (at, class) in slice.classes().enumerate() {
        for member in &partition.members[class - 1] {
            give(users[*member], 1 << (at + 1));
        }
    }
    let block = |(id, mask): (&AtomId, &Mask)| Some((rules.atoms[id].block()?, *mask));
    let prefixes = flatten(masks.iter().filter_map(block));
    let mut set = Set {
        id: SetId(0),
        any,
        ports: pages.id,
        rest: pages.rest,
        next,
        cells: !masks.is_empty(),
        prefixes: !prefixes.is_empty(),
    };
    set.id = name(key, &set, &masks);
    Piece {
        set,
        pages: pages.entries(),
        masks,
        prefixes,
    }
}

fn name(key: &Key, set: &Set, masks: &HashMap<AtomId, Mask>) -> SetId {
    let mut digest = Digest::new(key, Kind::Set);
    digest.number(set.any);
    digest.number(set.ports.map_or(0, |ports| ports.0));
    digest.bytes(&set.rest);
    digest.number(set.next.map_or(0, |next| next.0));
    let mut masks: Vec<_> = masks.iter().collect();
    masks.sort_unstable();
    for (atom, mask) in masks {
        digest.number(atom.0);
        digest.number(*mask);
    }
    SetId(digest.id())
}
