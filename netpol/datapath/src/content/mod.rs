//! What is in the maps that policy decides, and what of it did not fit.
//!
//! A map that is full never lets anything through: of a set that lacks an entry, the pods that are judged by it are
//! denied in that direction, by one write each, until there is room and the entry is written. An address
//! that lacks its entry is no known pod, which allows less and never more.

mod endpoints;
mod missing;
mod resync;
mod standing;

use std::collections::{BTreeMap, BTreeSet};

use fairlead_netpol_model::tables::{Endpoint, IfIndex, Set, SetId, Update, Write};
use missing::Missing;

use crate::encode;
use crate::error::{DatapathError, Full};
use crate::layout::{self, ENDPOINT_BRIDGE, ENDPOINT_NO_SHORTCUT, SourceKey};
use crate::maps::PolicyMaps;
use crate::table::{Prefix, Put, Store, Table};
use crate::{Applied, Direction, Fill};

/// What of an endpoint policy does not decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extra {
    /// `CLOCK_MONOTONIC` in ns; 0: none.
    pub(crate) grace_until: u64,
    /// Packets have to pass a queueing discipline.
    pub(crate) queued: bool,
}

/// The maps, what is wanted of them that they do not tell themselves, and what they hold of endpoints.
#[derive(Debug)]
pub(crate) struct Content {
    maps: PolicyMaps,
    endpoints: BTreeMap<IfIndex, Endpoint>,
    sets: BTreeMap<SetId, Set>,
    missing: Missing,
    extras: BTreeMap<IfIndex, Extra>,
    bridges: BTreeSet<IfIndex>,
    written: BTreeMap<IfIndex, layout::Endpoint>,
    sources: BTreeMap<IfIndex, BTreeSet<Prefix<SourceKey>>>,
    applied: Applied,
}

impl Content {
    /// Takes over what the maps hold; `now` is `CLOCK_MONOTONIC` in ns.
    pub(crate) fn new(maps: PolicyMaps, now: u64) -> Result<Self, DatapathError> {
        let mut content = Self {
            maps,
            endpoints: BTreeMap::new(),
            sets: BTreeMap::new(),
            missing: Missing::default(),
            extras: BTreeMap::new(),
            bridges: BTreeSet::new(),
            written: BTreeMap::new(),
            sources: BTreeMap::new(),
            applied: Applied::default(),
        };
        content.read_endpoints()?;
        for (link, endpoint) in &content.written {
            let extra = Extra {
                grace_until: Some(endpoint.grace_until)
                    .filter(|until| *until > now)
                    .unwrap_or(0),
                queued: endpoint.flags & ENDPOINT_NO_SHORTCUT != 0,
            };
            if endpoint.flags & ENDPOINT_BRIDGE != 0 {
                content.bridges.insert(*link);
            } else if extra != Extra::default() {
                content.extras.insert(*link, extra);
            }
        }
        // Who wrote last may have died before saying so.
        content.judge_anew()?;
        Ok(content)
    }

    /// Has every packet judged from now on by what the maps say now, also where an earlier one of its flow was: to be
    /// called after each change, also one that failed half-way.
    pub(crate) fn judge_anew(&mut self) -> Result<(), DatapathError> {
        self.maps.generation.next()
    }

    /// Makes a change, after which all is judged anew.
    fn change<T>(
        &mut self,
        make: impl FnOnce(&mut Self) -> Result<T, DatapathError>,
    ) -> Result<T, DatapathError> {
        let result = make(self);
        self.judge_anew()?;
        result
    }

    /// Makes the writes in their order.
    pub(crate) fn apply(&mut self, update: &Update) -> Result<Applied, DatapathError> {
        self.change(|content| {
            content.applied = Applied::default();
            for write in &update.writes {
                content.write(write)?;
            }
            content.settle()?;
            Ok(content.applied)
        })
    }

    /// Makes one write, or remembers that there was no room.
    fn write(&mut self, write: &Write) -> Result<(), DatapathError> {
        let (maps, applied) = (&mut self.maps, &mut self.applied);
        let put = match write {
            Write::Page(key, page) => {
                let page = page.as_ref().map(encode::page);
                entry(&mut maps.ports, &encode::page_key(key), page, applied)?
            }
            Write::Set(id, set) => {
                match set {
                    Some(set) => self.sets.insert(*id, *set),
                    None => self.sets.remove(id),
                };
                let set = set.as_ref().map(encode::direction);
                entry(&mut maps.sets, &id.0, set, applied)?
            }
            Write::Cell(set, class, mask) => {
                let key = encode::cell_key(*set, *class);
                entry(&mut maps.cells, &key, *mask, applied)?
            }
            Write::Prefix(set, network, mask) => {
                let key = encode::prefix_key(*set, network);
                entry(&mut maps.prefixes, &key, *mask, applied)?
            }
            Write::Address(ip, address) => {
                let address = address.as_ref().map(encode::address);
                entry(&mut maps.addresses, &(*ip).into(), address, applied)?
            }
            Write::Endpoint(link, Some(endpoint)) => {
                self.endpoints.insert(*link, Endpoint::clone(endpoint));
                return self.refresh_endpoint(*link);
            }
            Write::Endpoint(link, None) => {
                self.endpoints.remove(link);
                self.extras.remove(link);
                return self.remove_endpoint(*link);
            }
        };
        match put {
            Put::Done => self.missing.forget(write),
            Put::Full if self.missing.add(write) => self.refresh()?,
            Put::Full => {}
        }
        Ok(())
    }

    /// Writes again what did not fit, where there may be room by now.
    fn settle(&mut self) -> Result<(), DatapathError> {
        let room = self.applied.removed > 0 && !self.full().is_empty();
        if room {
            for write in self.missing.writes() {
                self.write(&write)?;
            }
        }
        if self.missing.take_relieved() || room {
            self.refresh()?;
        }
        Ok(())
    }

    /// Maps that have no room for all that is wanted.
    pub(crate) fn full(&self) -> Vec<Full> {
        let missing = self.missing.counts();
        let mut wanted_links = self.endpoints.keys().chain(&self.bridges);
        let endpoints = wanted_links
            .by_ref()
            .filter(|link| !self.written.contains_key(link));
        let sources = self.endpoints.iter().map(|(link, of)| {
            let written = self.sources.get(link).map_or(0, BTreeSet::len);
            let wanted: BTreeSet<_> = encode::sources(*link, &of.sources).into_iter().collect();
            wanted.len().saturating_sub(written)
        });
        let lacks = [
            (self.maps.endpoints.fill(), endpoints.count()),
            (self.maps.sources.fill(), sources.sum()),
            (self.maps.addresses.fill(), missing.addresses),
            (self.maps.cells.fill(), missing.cells),
            (self.maps.ports.fill(), missing.pages),
            (self.maps.sets.fill(), missing.sets),
            (self.maps.prefixes.fill(), missing.prefixes),
        ];
        let full = lacks.into_iter().filter(|(_, missing)| *missing > 0);
        full.map(|(fill, missing)| Full {
            map: fill.map,
            entries: fill.capacity,
            missing,
        })
        .collect()
    }

    /// Pods that are denied in a direction for want of room.
    pub(crate) fn denied(&self) -> Vec<(IfIndex, Direction)> {
        let mut denied = Vec::new();
        for (link, endpoint) in &self.endpoints {
            let unwritten = !self.written.contains_key(link);
            for (set, direction) in [
                (endpoint.ingress, Direction::Ingress),
                (endpoint.egress, Direction::Egress),
            ] {
                if unwritten || set.is_some_and(|set| !self.missing.is_complete(set, &self.sets)) {
                    denied.push((*link, direction));
                }
            }
        }
        denied
    }

    /// How full the maps are.
    pub(crate) fn fill(&self) -> Vec<Fill> {
        let maps = &self.maps;
        vec![
            maps.endpoints.fill(),
            maps.slots.fill(),
            maps.sources.fill(),
            maps.addresses.fill(),
            maps.cells.fill(),
            maps.ports.fill(),
            maps.sets.fill(),
            maps.prefixes.fill(),
        ]
    }
}

/// Puts an entry, or removes it when there is no value.
fn entry<S: Store>(
    table: &mut Table<S>,
    key: &S::Key,
    value: Option<S::Value>,
    applied: &mut Applied,
) -> Result<Put, DatapathError> {
    match value {
        Some(value) => put(table, key, &value, applied),
        None => remove(table, key, applied).map(|()| Put::Done),
    }
}

fn put<S: Store>(
    table: &mut Table<S>,
    key: &S::Key,
    value: &S::Value,
    applied: &mut Applied,
) -> Result<Put, DatapathError> {
    let put = table.put(key, value)?;
    if put == Put::Done {
        applied.written += 1;
    }
    Ok(put)
}

fn remove<S: Store>(
    table: &mut Table<S>,
    key: &S::Key,
    applied: &mut Applied,
) -> Result<(), DatapathError> {
    if table.remove(key)? {
        applied.removed += 1;
    }
    Ok(())
}
