//! Mistakes that a compiler could make, made in what it has compiled: a test that does not find them looks at nothing.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;

use crate::tables::{ClassId, Mask, SetId, Tables};

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// A prefix has what its own blocks give, and not what those around it give too.
    PrefixAlone,
    /// What an `except` takes away is still there.
    ExceptForgotten,
    /// An `except` takes away what other blocks give too.
    ExceptForAll,
    /// Addresses are given the class of others.
    ClassReused,
    /// Ports of a page have the class of the port before.
    PortsShifted,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::PrefixAlone,
        Self::ExceptForgotten,
        Self::ExceptForAll,
        Self::ClassReused,
        Self::PortsShifted,
    ];

    /// Makes it.
    pub fn make(self, tables: &mut Tables) {
        match self {
            Self::PrefixAlone => prefixes(tables, |own, around| own & !around),
            Self::ExceptForgotten => prefixes(tables, |own, around| own | around),
            Self::ExceptForAll => {
                prefixes(
                    tables,
                    |own, around| if own & around == around { own } else { 0 },
                );
            }
            Self::ClassReused => classes(tables),
            Self::PortsShifted => {
                for page in tables.pages.values_mut() {
                    page.0.rotate_right(1);
                }
            }
        }
    }
}

/// Changes prefixes that lie in others by their own mask and that of the one around them.
fn prefixes(tables: &mut Tables, change: impl Fn(Mask, Mask) -> Mask) {
    let around = |(set, prefix): &(SetId, IpNetwork)| {
        let of_set = tables.prefixes.iter().filter(|((of, _), _)| of == set);
        let wider = of_set.filter(|((_, wide), _)| {
            wide.prefix() < prefix.prefix() && wide.contains(prefix.network())
        });
        let nearest = wider.max_by_key(|((_, wide), _)| wide.prefix());
        nearest.map(|(_, mask)| *mask)
    };
    let one = |(key, mask): (&(SetId, IpNetwork), &Mask)| {
        (
            *key,
            around(key).map_or(*mask, |around| change(*mask, around)),
        )
    };
    tables.prefixes = tables.prefixes.iter().map(one).collect();
}

/// Gives every other class the id of the one before.
fn classes(tables: &mut Tables) {
    let all: BTreeSet<ClassId> = tables.addresses.values().map(|at| at.class).collect();
    let all: Vec<ClassId> = all.into_iter().collect();
    let pairs = all.chunks_exact(2).map(|pair| (pair[1], pair[0]));
    let reused: BTreeMap<ClassId, ClassId> = pairs.collect();
    for address in tables.addresses.values_mut() {
        address.class = reused.get(&address.class).copied().unwrap_or(address.class);
    }
}
