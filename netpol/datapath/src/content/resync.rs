//! Brings the maps to tables, whatever is in them.
//!
//! First comes what nobody refers to yet: new sets with their entries. Then verdicts change. A packet between two
//! pods is judged by the receiver's set and the sender's class, which change one after the other: so that old sets
//! know the new classes meanwhile, cells for them are written before, and go with the rest that nobody
//! refers to any more. Pods that are new are told last: old sets say nothing of them.

use std::collections::HashMap;

use fairlead_netpol_model::tables::{Tables, Write};

use super::missing::Missing;
use super::standing::Standing;
use super::{Content, put, remove};
use crate::Applied;
use crate::encode;
use crate::error::DatapathError;
use crate::layout::{Addr, Address, CellKey, Direction, Page, PageKey, PrefixKey};
use crate::table::{Prefix, Store, Table};

/// What stands in the maps and has not been found wanted.
struct Rest {
    pages: HashMap<PageKey, Page>,
    sets: HashMap<u64, Direction>,
    cells: HashMap<CellKey, u64>,
    prefixes: HashMap<Prefix<PrefixKey>, u64>,
    addresses: HashMap<Addr, Address>,
}

impl Content {
    /// Brings the maps to `tables`.
    pub(crate) fn resync(&mut self, tables: &Tables) -> Result<Applied, DatapathError> {
        self.change(|content| content.bring(tables))
    }

    fn bring(&mut self, tables: &Tables) -> Result<Applied, DatapathError> {
        self.applied = Applied::default();
        self.missing = Missing::default();
        self.sets.clone_from(&tables.sets);
        self.endpoints.clone_from(&tables.endpoints);
        self.read_endpoints()?;
        let mut rest = Rest {
            pages: self.maps.ports.dump()?,
            sets: self.maps.sets.dump()?,
            cells: self.maps.cells.dump()?,
            prefixes: self.maps.prefixes.dump()?,
            addresses: self.maps.addresses.dump()?,
        };
        let standing = Standing {
            endpoints: &self.written,
            sets: &rest.sets,
            cells: &rest.cells,
            addresses: &rest.addresses,
        };
        let between = standing.cells_between(tables);
        self.add(tables, &mut rest)?;
        for (key, mask) in &between {
            // Without room the packets that it is about are dropped for a moment.
            let _ = put(&mut self.maps.cells, key, mask, &mut self.applied)?;
        }
        self.flip(tables, &mut rest)?;
        for key in between.keys() {
            remove(&mut self.maps.cells, key, &mut self.applied)?;
        }
        self.remove_rest(&rest)?;
        self.settle()?;
        Ok(self.applied)
    }

    /// Writes what nobody refers to yet.
    fn add(&mut self, tables: &Tables, rest: &mut Rest) -> Result<(), DatapathError> {
        for (key, page) in &tables.pages {
            if rest.pages.remove(&encode::page_key(key)) != Some(encode::page(page)) {
                self.write(&Write::Page(*key, Some(page.clone())))?;
            }
        }
        for (id, set) in &tables.sets {
            if rest.sets.remove(&id.0) != Some(encode::direction(set)) {
                self.write(&Write::Set(*id, Some(*set)))?;
            }
        }
        for ((set, class), mask) in &tables.cells {
            let key = encode::cell_key(*set, *class);
            if rest.cells.remove(&key) != Some(*mask) {
                self.write(&Write::Cell(*set, *class, Some(*mask)))?;
            }
        }
        for ((set, network), mask) in &tables.prefixes {
            let key = encode::prefix_key(*set, network);
            if rest.prefixes.remove(&key) != Some(*mask) {
                self.write(&Write::Prefix(*set, *network, Some(*mask)))?;
            }
        }
        Ok(())
    }

    /// Changes verdicts: the classes of known pods, the sets of ours, then pods that were not known.
    fn flip(&mut self, tables: &Tables, rest: &mut Rest) -> Result<(), DatapathError> {
        let mut new = Vec::new();
        for (ip, address) in &tables.addresses {
            let write = Write::Address(*ip, Some(*address));
            match rest.addresses.remove(&(*ip).into()) {
                None => new.push(write),
                Some(found) if found != encode::address(address) => self.write(&write)?,
                Some(_) => {}
            }
        }
        self.refresh()?;
        new.iter().try_for_each(|write| self.write(write))
    }

    /// Removes what nobody refers to any more.
    fn remove_rest(&mut self, rest: &Rest) -> Result<(), DatapathError> {
        self.remove_strangers()?;
        let (maps, applied) = (&mut self.maps, &mut self.applied);
        remove_all(&mut maps.addresses, &rest.addresses, applied)?;
        remove_all(&mut maps.cells, &rest.cells, applied)?;
        remove_all(&mut maps.prefixes, &rest.prefixes, applied)?;
        remove_all(&mut maps.sets, &rest.sets, applied)?;
        remove_all(&mut maps.ports, &rest.pages, applied)
    }
}

fn remove_all<S: Store>(
    table: &mut Table<S>,
    rest: &HashMap<S::Key, S::Value>,
    applied: &mut Applied,
) -> Result<(), DatapathError> {
    rest.keys().try_for_each(|key| remove(table, key, applied))
}
