//! A table of ours as a value: what is in it, how it is read, and what makes one into another.

use std::collections::BTreeSet;

use fairlead_cni_netlink::NetlinkError;
use fairlead_cni_netlink::nft::{Batch, Chain, Element, Nft, Rule, Set, TableName};

/// Everything in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// The table.
    pub table: TableName,
    /// Chains, in any order.
    pub chains: Vec<Chain>,
    /// Sets with their elements, in any order.
    pub sets: Vec<(Set, BTreeSet<Element>)>,
    /// Rules, in order within their chains.
    pub rules: Vec<Rule>,
}

impl Ruleset {
    /// A table with nothing in it.
    #[must_use]
    pub fn new(table: TableName) -> Self {
        Self {
            table,
            chains: Vec::new(),
            sets: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// The table as it stands; `None` when there is none.
    ///
    /// # Errors
    ///
    /// The kernel's, with what was asked.
    pub fn read(nft: &mut Nft, table: &TableName) -> Result<Option<Self>, NetlinkError> {
        if !nft.tables()?.iter().any(|found| found.name == *table) {
            return Ok(None);
        }
        let mut sets = Vec::new();
        for set in nft.sets(table)? {
            let elements = nft.elements(&set)?.into_iter().collect();
            sets.push((set, elements));
        }
        let chains = nft
            .chains()?
            .into_iter()
            .filter(|chain| chain.table == *table)
            .collect();
        Ok(Some(Self {
            table: table.clone(),
            chains,
            sets,
            rules: nft.rules(table, None)?,
        }))
    }

    /// Whether chains, rules and the kinds of sets are the same; elements may differ.
    #[must_use]
    pub fn same_shape(&self, other: &Self) -> bool {
        let chains = |of: &Self| -> BTreeSet<String> {
            of.chains
                .iter()
                .map(|chain| format!("{} {:?}", chain.name, chain.base))
                .collect()
        };
        let sets = |of: &Self| -> BTreeSet<String> {
            of.sets
                .iter()
                .map(|(set, _)| format!("{} {:?} {:?}", set.name, set.key, set.flags))
                .collect()
        };
        let rules = |of: &Self, chain: &str| -> Vec<Rule> {
            of.rules
                .iter()
                .filter(|rule| rule.chain == chain)
                .cloned()
                .collect()
        };
        let same_rules = |chain: &Chain| {
            let (ours, theirs) = (rules(self, &chain.name), rules(other, &chain.name));
            ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| a.same(b))
        };
        chains(self) == chains(other)
            && sets(self) == sets(other)
            && self.chains.iter().all(same_rules)
    }

    /// Writes all of it into `batch`, for a table in which nothing of it is.
    pub fn put(&self, batch: &mut Batch) {
        batch.add_table(&self.table);
        for (set, elements) in &self.sets {
            batch.add_set(set);
            add(batch, set, elements.iter());
        }
        self.chains.iter().for_each(|chain| batch.add_chain(chain));
        self.rules.iter().for_each(|rule| batch.append_rule(rule));
    }

    /// Writes the elements into `batch` that differ from those of `actual`, which has the same sets.
    pub fn put_elements(&self, batch: &mut Batch, actual: &Self) {
        for (set, wanted) in &self.sets {
            let found = actual.sets.iter().find(|(other, _)| other.name == set.name);
            let Some((_, found)) = found.filter(|(_, found)| found != wanted) else {
                continue;
            };
            // A range may overlap an old one, of which the kernel forgets only in the next transaction.
            if set.is_interval() {
                batch.flush_set(&set.table, &set.name);
                add(batch, set, wanted.iter());
                continue;
            }
            let gone: Vec<_> = found.difference(wanted).cloned().collect();
            if !gone.is_empty() {
                batch.delete_elements(set, &gone);
            }
            add(batch, set, wanted.difference(found));
        }
    }
}

fn add<'a>(batch: &mut Batch, set: &Set, elements: impl Iterator<Item = &'a Element>) {
    let elements: Vec<_> = elements.cloned().collect();
    if !elements.is_empty() {
        batch.add_elements(set, &elements);
    }
}
