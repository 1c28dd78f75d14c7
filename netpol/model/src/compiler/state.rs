//! What stands in the maps, and the writes that bring it from one state of the cluster to the next.
//!
//! Ids are of contents, so what is added changes nothing before something refers to it. What is written for one event:
//!
//! 1. new pages, prefixes, cells and sets, cells for every set and class that stands or comes;
//! 2. the addresses that rules new to this node match get classes that say so. That changes no verdict: the sets that
//!    stand do not ask for it;
//! 3. the flips of what has changed, see [`super::flips`].
//!
//! What nobody refers to any more stands until an update that is asked for later: packets that are being judged may
//! have looked up what led to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::Counts;
use super::atoms::AtomId;
use super::classes::{Classes, matched};
use super::ids::Key;
use super::inputs::{Attached, Inputs};
use super::live::Sets;
use super::sets::{Plan, Rules, RulesId};
use crate::cluster::{Pod, Protocol, Sources};
use crate::oracle::Direction;
use crate::tables::{Address, ClassId, Endpoint, IfIndex, Link, Set, SetId, Tables, Update, Write};

/// Host end and MAC addresses of both ends, of a routed pod of this node.
pub(crate) type Local = Option<(IfIndex, [u8; 6], [u8; 6])>;

/// What stands in the maps once all pending writes are made.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) key: Key,
    /// Counts updates: what nobody has referred to since an earlier one may go.
    pub(crate) epoch: u64,
    pub(crate) classes: Classes,
    pub(crate) sets: Sets,
    pub(crate) endpoints: BTreeMap<IfIndex, At>,
    /// Addresses of pods of this node.
    here: HashMap<IpAddr, (IfIndex, Local)>,
    pending: Vec<Write>,
    /// Removals of what stood between two states only: of this update, and of the one before.
    pub(crate) passing: Vec<Write>,
    passed: Vec<Write>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) endpoint: Endpoint,
    pub(crate) ingress: Option<RulesId>,
    pub(crate) egress: Option<RulesId>,
    /// The named ports of its egress rules.
    named: BTreeSet<(Arc<str>, Protocol)>,
}

/// An endpoint that is to change.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) index: IfIndex,
    pub(crate) before: Option<At>,
    pub(crate) now: Option<At>,
}

/// An address that is to change.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) address: IpAddr,
    pub(crate) before: Option<ClassId>,
    pub(crate) now: Option<ClassId>,
    pub(crate) local: Local,
    /// The interface of this node that had it, or has it.
    pub(crate) here: Option<IfIndex>,
}

impl Move {
    /// The write that gives it a class.
    pub(crate) fn to(&self, class: Option<ClassId>) -> Write {
        let local = self.local;
        Write::Address(self.address, class.map(|class| Address { class, local }))
    }
}

impl State {
    pub(crate) fn new(key: Key) -> Self {
        Self {
            key,
            epoch: 1,
            classes: Classes::default(),
            sets: Sets::default(),
            endpoints: BTreeMap::new(),
            here: HashMap::new(),
            pending: Vec::new(),
            passing: Vec::new(),
            passed: Vec::new(),
        }
    }

    /// Comes to what `inputs` say of these addresses and endpoints; nothing else has changed. `first`: nothing is
    /// enforced yet, so the order of writes does not matter.
    pub(crate) fn advance(
        &mut self,
        inputs: &Inputs,
        addresses: BTreeSet<IpAddr>,
        endpoints: BTreeSet<IfIndex>,
        first: bool,
    ) {
        let mut writes = Vec::new();
        let mut fresh = Vec::new();
        let mut turns = Vec::new();
        for index in endpoints {
            let now = self.wanted(inputs, index, &mut writes, &mut fresh);
            let before = self.endpoints.get(&index).cloned();
            if now == before {
                self.release(now.as_ref());
            } else {
                turns.push(Turn { index, before, now });
            }
        }
        let mut neutral = Vec::new();
        self.extend(inputs, &fresh, &addresses, &mut writes, &mut neutral);
        let moves = self.moves(inputs, addresses, &mut writes);
        let flips = self.flips(&turns, &moves, first, &mut writes);
        self.pending.append(&mut writes);
        self.pending.append(&mut neutral);
        self.pending.extend(flips);
        for turn in turns {
            self.release(turn.before.as_ref());
            match turn.now {
                Some(now) => drop(self.endpoints.insert(turn.index, now)),
                None => drop(self.endpoints.remove(&turn.index)),
            }
        }
    }

    /// Endpoints whose egress rules ask for one of these named ports.
    pub(crate) fn asking<'a>(
        &'a self,
        ports: &'a BTreeSet<(Arc<str>, Protocol)>,
    ) -> impl Iterator<Item = IfIndex> + 'a {
        let asking = |at: &At| !at.named.is_disjoint(ports);
        let endpoints = self.endpoints.iter().filter(move |(_, at)| asking(at));
        endpoints.map(|(index, _)| *index)
    }

    /// What an endpoint has to be; its rules are held.
    fn wanted(
        &mut self,
        inputs: &Inputs,
        index: IfIndex,
        writes: &mut Vec<Write>,
        fresh: &mut Vec<AtomId>,
    ) -> Option<At> {
        let attached = inputs.attached.get(&index)?;
        let pod = inputs.pod_at(attached).filter(|pod| !pod.host_network);
        let mut at = At {
            endpoint: Endpoint {
                attachment: attached.attachment.clone(),
                ingress: Some(Set::DENY),
                egress: Some(Set::DENY),
                sources: Sources::Own,
            },
            ingress: None,
            egress: None,
            named: BTreeSet::new(),
        };
        if let Some(pod) = pod {
            at.endpoint.sources = pod.sources.clone();
            let rules = rules(&self.key, inputs, pod, Direction::Ingress);
            (at.ingress, at.endpoint.ingress) = self.hold(rules, writes, fresh).unzip();
            let rules = rules_and_names(&self.key, inputs, pod, &mut at.named);
            (at.egress, at.endpoint.egress) = self.hold(rules, writes, fresh).unzip();
        }
        Some(at)
    }

    /// Holds rules for one direction, and makes their sets when they are new.
    fn hold(
        &mut self,
        rules: Option<Rules>,
        writes: &mut Vec<Write>,
        fresh: &mut Vec<AtomId>,
    ) -> Option<(RulesId, Set)> {
        let rules = rules?;
        let id = rules.id(&self.key);
        if !self.sets.hold(id) {
            let plan = Plan::new(&self.key, rules);
            fresh.extend(self.sets.add(id, plan, &mut self.classes, writes));
        }
        self.sets.get(id).map(|live| (id, live.set))
    }

    fn release(&mut self, at: Option<&At>) {
        for rules in at.iter().flat_map(|at| [at.ingress, at.egress]).flatten() {
            self.sets.release(self.epoch, rules);
        }
    }

    /// Gives addresses that fresh atoms match the classes that have them. Not those that change anyway.
    fn extend(
        &mut self,
        inputs: &Inputs,
        fresh: &[AtomId],
        but: &BTreeSet<IpAddr>,
        writes: &mut Vec<Write>,
        neutral: &mut Vec<Write>,
    ) {
        if fresh.is_empty() {
            return;
        }
        let mut known: HashMap<(ClassId, Vec<AtomId>), ClassId> = HashMap::new();
        let atoms = fresh
            .iter()
            .filter_map(|id| Some((*id, &self.classes.atoms.get(id)?.atom)));
        for (address, more) in matched(inputs, atoms) {
            let Some(before) = self.classes.addresses.get(address).copied() else {
                continue;
            };
            if but.contains(&address) {
                continue;
            }
            let same = (before, more);
            let class = known.get(&same).copied().unwrap_or_else(|| {
                let atoms = self.classes.known.get(&before).map(|class| &*class.atoms);
                let mut atoms = atoms.unwrap_or_default().to_vec();
                atoms.extend(&same.1);
                atoms.sort_unstable();
                atoms.dedup();
                let class = self.class(atoms, writes);
                known.insert(same, class);
                class
            });
            if class != before {
                self.classes.place(self.epoch, address, Some(class));
                neutral.push(self.entry(address, class));
            }
        }
    }

    /// The entry of an address that stays where it is.
    fn entry(&self, address: IpAddr, class: ClassId) -> Write {
        let local = self.here.get(&address).and_then(|(_, local)| *local);
        Write::Address(address, Some(Address { class, local }))
    }

    /// The class of these atoms; its cells are written when it is new.
    fn class(&mut self, atoms: Vec<AtomId>, writes: &mut Vec<Write>) -> ClassId {
        let (id, new) = self.classes.class(&self.key, self.epoch, atoms);
        if let Some(class) = self.classes.known.get(&id).filter(|_| new) {
            let cells = self.sets.cells_of_class(&self.classes, &class.atoms);
            writes.extend(
                cells
                    .iter()
                    .map(|(set, mask)| Write::Cell(*set, id, Some(*mask))),
            );
        }
        id
    }

    /// Gives addresses the classes that they have to have.
    fn moves(
        &mut self,
        inputs: &Inputs,
        addresses: BTreeSet<IpAddr>,
        writes: &mut Vec<Write>,
    ) -> Vec<Move> {
        let mut moves = Vec::new();
        for address in addresses {
            let atoms = self.classes.matching(inputs, address);
            let now = atoms.map(|atoms| self.class(atoms, writes));
            let index = inputs.owner(address).and_then(|(_, index)| index);
            let here = index.and_then(|index| {
                let local = local(index, inputs.attached.get(&index)?);
                Some((index, local))
            });
            let was = match here {
                Some(here) => self.here.insert(address, here),
                None => self.here.remove(&address),
            };
            let before = self.classes.place(self.epoch, address, now);
            if before != now || was != here {
                moves.push(Move {
                    address,
                    before,
                    now,
                    local: here.and_then(|(_, local)| local),
                    here: here.or(was).map(|(index, _)| index),
                });
            }
        }
        moves
    }

    /// All writes since the last call, and the removal of what nobody has referred to since before it.
    pub(crate) fn take(&mut self) -> Update {
        let mut writes = std::mem::take(&mut self.pending);
        writes.splice(0..0, std::mem::take(&mut self.passed));
        self.collect(&mut writes);
        self.passed = std::mem::take(&mut self.passing);
        self.epoch += 1;
        Update { writes }
    }

    fn collect(&mut self, writes: &mut Vec<Write>) {
        let (sets, classes) = (&mut self.sets, &mut self.classes);
        let stale = sets.remove_idle(self.epoch, classes, writes);
        while let Some((id, class)) = self.classes.take_idle(self.epoch) {
            let cells = self.sets.cells_of_class(&self.classes, &class.atoms);
            writes.extend(cells.into_keys().map(|set| Write::Cell(set, id, None)));
            self.classes.forget(class.atoms);
        }
        let known = stale.iter().filter_map(|atom| self.classes.atoms.get(atom));
        let trimmed: BTreeSet<ClassId> = known
            .flat_map(|known| known.classes.iter().copied())
            .collect();
        for class in trimmed {
            self.trim(class, writes);
        }
        self.classes.forget(stale);
    }

    /// Gives the addresses of a class the one without atoms that no set names. That changes no verdict.
    fn trim(&mut self, id: ClassId, writes: &mut Vec<Write>) {
        let Some(class) = self.classes.known.get(&id) else {
            return;
        };
        let addresses: Vec<IpAddr> = class.addresses.keys().collect();
        if addresses.is_empty() {
            return;
        }
        let mut atoms = class.atoms.to_vec();
        let known = &self.classes.atoms;
        atoms.retain(|atom| known.get(atom).is_some_and(|known| !known.sets.is_empty()));
        let class = self.class(atoms, writes);
        for address in addresses {
            self.classes.place(self.epoch, address, Some(class));
            writes.push(self.entry(address, class));
        }
    }

    /// What stands in the maps once all pending writes are made.
    pub(crate) fn tables(&self) -> Tables {
        let mut tables = Tables::default();
        self.sets.write(&mut tables);
        for (id, class) in &self.classes.known {
            let cells = self
                .sets
                .cells_of_class(&self.classes, &class.atoms)
                .into_iter();
            tables
                .cells
                .extend(cells.map(|(set, mask)| ((set, *id), mask)));
        }
        for (address, class) in self.classes.addresses.iter() {
            tables.write(&self.entry(address, *class));
        }
        let endpoints = self.endpoints.iter();
        tables.endpoints = endpoints
            .map(|(index, at)| (*index, at.endpoint.clone()))
            .collect();
        tables
    }

    pub(crate) fn counts(&self) -> Counts {
        let classes = self.classes.known.values();
        let cells =
            classes.map(|class| self.sets.cells_of_class(&self.classes, &class.atoms).len());
        Counts {
            addresses: self.classes.addresses.len(),
            atoms: self.classes.atoms.len(),
            classes: self.classes.known.len(),
            cells: cells.sum(),
            ..self.sets.counts()
        }
    }

    /// Which directions of which endpoints have a set.
    pub(crate) fn holders(&self, set: SetId) -> Vec<(IfIndex, Direction)> {
        let has = |rules: Option<RulesId>| {
            let live = rules.and_then(|rules| self.sets.get(rules));
            live.is_some_and(|live| live.pieces.contains(&set))
        };
        let both = |(index, at): (&IfIndex, &At)| {
            [
                (*index, Direction::Ingress, at.ingress),
                (*index, Direction::Egress, at.egress),
            ]
        };
        let all = self.endpoints.iter().flat_map(both);
        let holders = all.filter(|(.., rules)| has(*rules));
        holders
            .map(|(index, direction, _)| (index, direction))
            .collect()
    }

    /// The addresses of a class.
    pub(crate) fn addresses(&self, class: ClassId) -> impl Iterator<Item = IpAddr> {
        let class = self.classes.known.get(&class);
        class.into_iter().flat_map(|class| class.addresses.keys())
    }

    /// Whether there is nothing to write or to remove.
    pub(crate) fn is_settled(&self) -> bool {
        let written = self.pending.is_empty() && self.passing.is_empty() && self.passed.is_empty();
        written && self.sets.is_settled() && self.classes.is_settled()
    }
}

/// The entry of an address whose pod is routed by this node.
pub(crate) fn local(index: IfIndex, at: &Attached) -> Local {
    match at.attachment.link {
        Link::Routed { pod_mac, host_mac } => Some((index, pod_mac, host_mac)),
        Link::Bridged { .. } => None,
    }
}

/// The rules of one direction of a pod; `None`: it is not isolated.
pub(crate) fn rules(key: &Key, inputs: &Inputs, pod: &Pod, direction: Direction) -> Option<Rules> {
    let policies = inputs.policies(&pod.name.namespace).map(|policy| &**policy);
    let policies = policies.filter(|policy| policy.selects(pod));
    Rules::of(key, pod, direction, policies, &inputs.numbers)
}

/// The egress rules of a pod, and the named ports that they ask for.
fn rules_and_names(
    key: &Key,
    inputs: &Inputs,
    pod: &Pod,
    names: &mut BTreeSet<(Arc<str>, Protocol)>,
) -> Option<Rules> {
    let mut rules = rules(key, inputs, pod, Direction::Egress)?;
    *names = std::mem::take(&mut rules.named);
    Some(rules)
}
