//! The tables, made from nothing: what the compiler, which goes step by step, has to come to.

use std::collections::{BTreeMap, HashMap};

use super::atoms::{Atom, AtomId};
use super::classes::{class_id, matched};
use super::ids::Key;
use super::inputs::Inputs;
use super::sets::Plan;
use super::state::{local, rules};
use crate::cluster::Sources;
use crate::oracle::Direction;
use crate::tables::{Address, ClassId, Endpoint, Set, Tables};

/// Makes the tables.
pub(crate) fn tables(key: &Key, inputs: &Inputs) -> Tables {
    let mut tables = Tables::default();
    let mut plans = Vec::new();
    for (index, attached) in &inputs.attached {
        let pod = inputs.pod_at(attached).filter(|pod| !pod.host_network);
        let mut set = |direction| match pod {
            None => Some(Set::DENY),
            Some(pod) => rules(key, inputs, pod, direction).map(|rules| {
                let plan = Plan::new(key, rules);
                let set = plan.set();
                plans.push(plan);
                set
            }),
        };
        let endpoint = Endpoint {
            attachment: attached.attachment.clone(),
            ingress: set(Direction::Ingress),
            egress: set(Direction::Egress),
            sources: pod.map_or(Sources::Own, |pod| pod.sources.clone()),
        };
        tables.endpoints.insert(*index, endpoint);
    }
    let mut atoms: HashMap<AtomId, &Atom> = HashMap::new();
    for plan in &plans {
        atoms.extend(plan.atoms.iter().map(|(id, atom)| (*id, atom)));
    }
    let mut matched = matched(inputs, atoms.iter().map(|(id, atom)| (*id, *atom)));
    let mut classes: BTreeMap<ClassId, Vec<AtomId>> = BTreeMap::new();
    for (address, owner) in inputs.owners.iter() {
        let (_, interface) = inputs.resolve(owner);
        let class = matched.remove(&address).unwrap_or_default();
        let id = class_id(key, &class);
        classes.insert(id, class);
        let local = interface.and_then(|index| local(index, inputs.attached.get(&index)?));
        tables
            .addresses
            .insert(address, Address { class: id, local });
    }
    for (at, piece) in plans.iter().flat_map(|plan| plan.pieces.iter().enumerate()) {
        let id = piece.set.id;
        tables.pages.extend(piece.pages.iter().cloned());
        if at > 0 {
            tables.sets.insert(id, piece.set);
        }
        let cell = |(class, atoms): (&ClassId, &Vec<AtomId>)| ((id, *class), piece.cell(atoms));
        let cells = classes.iter().map(cell).filter(|(_, mask)| *mask != 0);
        tables.cells.extend(cells);
        let prefixes = piece.prefixes.iter();
        tables
            .prefixes
            .extend(prefixes.map(|(prefix, mask)| ((id, *prefix), *mask)));
    }
    tables
}
