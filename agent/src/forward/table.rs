//! A foreign table, read as far as it is asked for: others' may hold tens of thousands of rules.

use std::collections::HashMap;
use std::rc::Rc;

use fairlead_cni_netlink::NetlinkError;
use fairlead_cni_netlink::nft::{Element, Nft, Rule, Set, TableName};

use super::probe::Found;

/// Chains and sets of a table.
pub trait Contents {
    /// The rules of a chain, in order.
    ///
    /// # Errors
    ///
    /// The kernel's, with what was asked.
    fn rules(&mut self, chain: &str) -> Result<Rc<[Rule]>, NetlinkError>;

    /// What the set called `set` says about `key`.
    ///
    /// # Errors
    ///
    /// The kernel's, with what was asked.
    fn find(&mut self, set: &str, key: &[u8]) -> Result<Found, NetlinkError>;
}

/// A table in the kernel, with what has been read of it.
#[derive(Debug)]
pub struct Reader<'a> {
    nft: &'a mut Nft,
    table: &'a TableName,
    chains: HashMap<String, Rc<[Rule]>>,
    sets: Option<Vec<Set>>,
    elements: HashMap<String, Vec<Element>>,
}

impl<'a> Reader<'a> {
    /// Reads nothing yet.
    pub fn new(nft: &'a mut Nft, table: &'a TableName) -> Self {
        Self {
            nft,
            table,
            chains: HashMap::new(),
            sets: None,
            elements: HashMap::new(),
        }
    }
}

impl Contents for Reader<'_> {
    fn rules(&mut self, chain: &str) -> Result<Rc<[Rule]>, NetlinkError> {
        if let Some(rules) = self.chains.get(chain) {
            return Ok(Rc::clone(rules));
        }
        let rules: Rc<[Rule]> = self.nft.rules(self.table, Some(chain))?.into();
        self.chains.insert(chain.to_owned(), Rc::clone(&rules));
        Ok(rules)
    }

    fn find(&mut self, set: &str, key: &[u8]) -> Result<Found, NetlinkError> {
        let sets = match &mut self.sets {
            Some(sets) => sets,
            none => none.insert(self.nft.sets(self.table)?),
        };
        let Some(set) = sets.iter().find(|found| found.name == set) else {
            return Ok(Found::Open);
        };
        // Ranges of several fields have bounds of their own for each.
        if set.is_interval() && set.key.len() > 1 {
            return Ok(Found::Open);
        }
        if !self.elements.contains_key(&set.name) {
            let elements = self.nft.elements(set)?;
            self.elements.insert(set.name.clone(), elements);
        }
        let elements = self.elements.get(&set.name).map(Vec::as_slice);
        Ok(find(elements.unwrap_or_default(), key))
    }
}

/// The element that `key` is, or is within. The last field of several is filled up to whole words.
#[must_use]
pub fn find(elements: &[Element], key: &[u8]) -> Found {
    let length = elements.first().map_or(0, |first| first.key.bytes().len());
    let mut key = key.to_vec();
    if key.len() > 4 && key.len().next_multiple_of(4) == length {
        key.resize(length, 0);
    }
    let within = |element: &&Element| {
        let (first, last) = (&element.key, element.last.as_ref().unwrap_or(&element.key));
        first.bytes().len() == key.len() && (first.bytes()..=last.bytes()).contains(&&key[..])
    };
    let found = elements.iter().find(within);
    found.map_or(Found::Absent, |element| Found::At(element.clone()))
}
