//! Transactions.

use super::chain::{self, Chain};
use super::element::{self, Element};
use super::rule::{self, Rule};
use super::set::{self, Set};
use super::table::{self, TableName};
use super::{msg, put_header};
use crate::wire::{Writer, flag};

/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`, and the subsystem that they name.
const BEGIN: u16 = 16;
const END: u16 = 17;
const NFTABLES: u16 = 10;

/// `NFNL_BATCH_GENID`.
const GENERATION: u16 = 1;

/// Bytes of elements in one message, well below the limit of an attribute.
const ELEMENTS_LIMIT: usize = 32 * 1024;

/// Changes that hold together or not at all: apply them with [`Nft::commit`](super::Nft::commit).
#[derive(Debug, Default, Clone)]
pub struct Batch {
    changes: Writer,
    sets: u32,
}

impl Batch {
    /// A transaction without changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it holds no change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.starts().is_empty()
    }

    /// How many messages it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.starts().len()
    }

    /// The whole as it goes to the kernel; with a generation it holds only on top of that one.
    pub(super) fn transaction(&self, generation: Option<u32>) -> Writer {
        let mut whole = Writer::default();
        whole.message(BEGIN, 0, |w| {
            put_header(w, 0, NFTABLES);
            if let Some(generation) = generation {
                w.be32(GENERATION, generation);
            }
        });
        whole.append(&self.changes);
        whole.message(END, 0, |w| put_header(w, 0, NFTABLES));
        whole
    }

    fn add(&mut self, kind: u16, table: &TableName, flags: u16, body: impl FnOnce(&mut Writer)) {
        self.changes.message(kind, flags, |w| {
            put_header(w, table.family.number(), 0);
            body(w);
        });
    }

    /// Makes a table; one that is there stays.
    pub fn add_table(&mut self, table: &TableName) {
        self.put_table(table, flag::CREATE);
    }

    /// Makes a table; `EEXIST` when it is there.
    pub fn create_table(&mut self, table: &TableName) {
        self.put_table(table, flag::CREATE | flag::EXCL);
    }

    fn put_table(&mut self, table: &TableName, flags: u16) {
        self.add(msg::NEW_TABLE, table, flags, |w| {
            w.text(table::attr::NAME, &table.name);
            w.be32(table::attr::FLAGS, 0);
        });
    }

    /// Deletes a table with all that is in it; `ENOENT` when it is not there.
    pub fn delete_table(&mut self, table: &TableName) {
        self.add(msg::DELETE_TABLE, table, 0, |w| {
            w.text(table::attr::NAME, &table.name);
        });
    }

    /// Deletes a table with all that is in it; one that is not there is success.
    pub fn remove_table(&mut self, table: &TableName) {
        self.add_table(table);
        self.delete_table(table);
    }

    /// Deletes all rules of a table; chains and sets stay.
    pub fn flush_table(&mut self, table: &TableName) {
        self.add(msg::DELETE_RULE, table, 0, |w| {
            w.text(rule::attr::TABLE, &table.name);
        });
    }

    /// Makes a chain; one that is there and the same stays, with the policy that is given.
    pub fn add_chain(&mut self, chain: &Chain) {
        self.add(msg::NEW_CHAIN, &chain.table, flag::CREATE, |w| {
            chain.write(w);
        });
    }

    /// Deletes a chain; `EBUSY` while rules jump to it.
    pub fn delete_chain(&mut self, table: &TableName, chain: &str) {
        self.add(msg::DELETE_CHAIN, table, 0, |w| {
            w.text(chain::attr::TABLE, &table.name);
            w.text(chain::attr::NAME, chain);
        });
    }

    /// Deletes all rules of a chain.
    pub fn flush_chain(&mut self, table: &TableName, chain: &str) {
        self.add(msg::DELETE_RULE, table, 0, |w| {
            w.text(rule::attr::TABLE, &table.name);
            w.text(rule::attr::CHAIN, chain);
        });
    }

    /// Makes a set or map; one that is there and the same stays.
    pub fn add_set(&mut self, set: &Set) {
        self.sets += 1;
        let id = self.sets;
        self.add(msg::NEW_SET, &set.table, flag::CREATE, |w| set.write(w, id));
    }

    /// Deletes a set or map; `EBUSY` while rules use it.
    pub fn delete_set(&mut self, table: &TableName, set: &str) {
        self.add(msg::DELETE_SET, table, 0, |w| {
            w.text(set::attr::TABLE, &table.name);
            w.text(set::attr::NAME, set);
        });
    }

    /// Adds elements; ones that are there and the same stay, `EEXIST` when data differ or ranges overlap.
    pub fn add_elements(&mut self, set: &Set, elements: &[Element]) {
        self.put_elements(msg::NEW_ELEMENTS, flag::CREATE, set, elements);
    }

    /// Adds elements; `EEXIST` when one is there.
    pub fn create_elements(&mut self, set: &Set, elements: &[Element]) {
        self.put_elements(msg::NEW_ELEMENTS, flag::CREATE | flag::EXCL, set, elements);
    }

    /// Deletes elements; `ENOENT` when one is not there.
    pub fn delete_elements(&mut self, set: &Set, elements: &[Element]) {
        self.put_elements(msg::DELETE_ELEMENTS, 0, set, elements);
    }

    /// Deletes all elements of a set or map.
    pub fn flush_set(&mut self, table: &TableName, set: &str) {
        self.add(msg::DELETE_ELEMENTS, table, 0, |w| {
            w.text(element::attr::TABLE, &table.name);
            w.text(element::attr::SET, set);
        });
    }

    fn put_elements(&mut self, kind: u16, flags: u16, set: &Set, elements: &[Element]) {
        let mut rest = elements.iter().peekable();
        while rest.peek().is_some() {
            self.add(kind, &set.table, flags, |w| {
                w.text(element::attr::TABLE, &set.table.name);
                w.text(element::attr::SET, &set.name);
                w.nest(element::attr::ELEMENTS, |w| {
                    let end = w.bytes().len() + ELEMENTS_LIMIT;
                    while let Some(element) = rest.next_if(|_| w.bytes().len() < end) {
                        element.write(w, set);
                    }
                });
            });
        }
    }

    /// Adds a rule at the end of its chain.
    pub fn append_rule(&mut self, rule: &Rule) {
        let flags = flag::CREATE | flag::APPEND;
        self.add(msg::NEW_RULE, &rule.table, flags, |w| rule.write(w));
    }

    /// Adds a rule at the head of its chain.
    pub fn insert_rule(&mut self, rule: &Rule) {
        self.add(msg::NEW_RULE, &rule.table, flag::CREATE, |w| rule.write(w));
    }

    /// Deletes the rule with a number; `ENOENT` when it is not there.
    pub fn delete_rule(&mut self, table: &TableName, chain: &str, handle: u64) {
        self.add(msg::DELETE_RULE, table, 0, |w| {
            w.text(rule::attr::TABLE, &table.name);
            w.text(rule::attr::CHAIN, chain);
            w.be64(rule::attr::HANDLE, handle);
        });
    }
}
