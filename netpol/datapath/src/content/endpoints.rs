//! Endpoints, with the slots and sources that belong to them.

use std::collections::BTreeSet;

use fairlead_netpol_model::tables::{IfIndex, Set};

use super::{Content, Extra, put, remove};
use crate::encode;
use crate::error::DatapathError;
use crate::layout::{self, ENDPOINT_BRIDGE, ENDPOINT_NO_SHORTCUT};
use crate::table::Put;

impl Content {
    /// Reads what the maps hold of endpoints.
    pub(super) fn read_endpoints(&mut self) -> Result<(), DatapathError> {
        self.written = self.maps.endpoints.dump()?.into_iter().collect();
        self.sources.clear();
        for (key, _) in self.maps.sources.dump()? {
            self.sources.entry(key.1.ifindex).or_default().insert(key);
        }
        Ok(())
    }

    /// Removes endpoints that are not wanted, and slots that are nobody's.
    pub(super) fn remove_strangers(&mut self) -> Result<(), DatapathError> {
        let links: BTreeSet<IfIndex> = self
            .written
            .keys()
            .chain(self.sources.keys())
            .copied()
            .collect();
        for link in links {
            if !self.endpoints.contains_key(&link) && !self.bridges.contains(&link) {
                self.remove_endpoint(link)?;
            }
        }
        for (slot, link) in self.maps.slots.dump()? {
            let owner = self.written.get(&link);
            if owner.is_none_or(|owner| u32::from(owner.slot) != slot) {
                remove(&mut self.maps.slots, &slot, &mut self.applied)?;
            }
        }
        Ok(())
    }

    /// Says what policy does not decide of an endpoint.
    pub(crate) fn extra(
        &mut self,
        link: IfIndex,
        change: impl FnOnce(&mut Extra),
    ) -> Result<(), DatapathError> {
        change(self.extras.entry(link).or_default());
        self.change(|content| content.refresh_endpoint(link))
    }

    /// Says that a link is a bridge, or no more.
    pub(crate) fn bridge(&mut self, link: IfIndex, bridge: bool) -> Result<(), DatapathError> {
        self.change(|content| {
            if bridge {
                content.bridges.insert(link);
                content.refresh_endpoint(link)
            } else if content.bridges.remove(&link) {
                content.remove_endpoint(link)
            } else {
                Ok(())
            }
        })
    }

    /// Links that are said to be bridges.
    pub(crate) fn bridges(&self) -> Vec<IfIndex> {
        self.bridges.iter().copied().collect()
    }

    /// Brings all endpoints to what is wanted of them.
    pub(super) fn refresh(&mut self) -> Result<(), DatapathError> {
        let links: Vec<IfIndex> = self.endpoints.keys().copied().collect();
        let bridges = self.bridges.clone();
        for link in links.into_iter().chain(bridges) {
            self.refresh_endpoint(link)?;
        }
        Ok(())
    }

    /// Brings an endpoint to what is wanted of it, by one write at most.
    pub(super) fn refresh_endpoint(&mut self, link: IfIndex) -> Result<(), DatapathError> {
        let Some(wanted) = self.wanted(link) else {
            return Ok(());
        };
        let sources = self
            .endpoints
            .get(&link)
            .map(|of| encode::sources(link, &of.sources));
        let sources: BTreeSet<_> = sources.into_iter().flatten().collect();
        let stood = self.sources.get(&link).cloned().unwrap_or_default();
        for key in sources.difference(&stood) {
            // Without it the pod's packets from there are dropped.
            if put(&mut self.maps.sources, key, &1, &mut self.applied)? == Put::Done {
                self.sources.entry(link).or_default().insert(*key);
            }
        }
        let before = self.written.get(&link).copied();
        if before != Some(wanted) {
            if wanted.slot != 0 {
                let slot = u32::from(wanted.slot);
                let _ = put(&mut self.maps.slots, &slot, &link, &mut self.applied)?;
            }
            match put(&mut self.maps.endpoints, &link, &wanted, &mut self.applied)? {
                Put::Done => self.written.insert(link, wanted),
                Put::Full => None,
            };
            self.release_slot(link, before, wanted.slot)?;
        }
        if self.endpoints.contains_key(&link) {
            for key in stood.difference(&sources) {
                remove(&mut self.maps.sources, key, &mut self.applied)?;
                self.sources.entry(link).or_default().remove(key);
            }
        }
        Ok(())
    }

    /// What has to stand for a link; `None`: it is not for us to say.
    fn wanted(&self, link: IfIndex) -> Option<layout::Endpoint> {
        if self.bridges.contains(&link) {
            return Some(layout::Endpoint {
                flags: ENDPOINT_BRIDGE,
                ..layout::Endpoint::default()
            });
        }
        let extra = self.extras.get(&link).copied().unwrap_or_default();
        let mut wanted = match self.endpoints.get(&link) {
            Some(of) => encode::endpoint(of, self.direction(of.ingress), self.direction(of.egress)),
            // Nobody has said anew what holds for it.
            None => *self.written.get(&link)?,
        };
        wanted.grace_until = extra.grace_until;
        wanted.flags &= !ENDPOINT_NO_SHORTCUT;
        if extra.queued {
            wanted.flags |= ENDPOINT_NO_SHORTCUT;
        }
        Some(wanted)
    }

    /// A direction by its set, or the set that allows nothing where some of it is missing.
    fn direction(&self, set: Option<Set>) -> layout::Direction {
        match set {
            None => layout::Direction::default(),
            Some(set) if self.missing.is_complete(set, &self.sets) => encode::direction(&set),
            Some(_) => encode::direction(&Set::DENY),
        }
    }

    pub(super) fn remove_endpoint(&mut self, link: IfIndex) -> Result<(), DatapathError> {
        remove(&mut self.maps.endpoints, &link, &mut self.applied)?;
        let before = self.written.remove(&link);
        self.release_slot(link, before, 0)?;
        for key in self.sources.remove(&link).unwrap_or_default() {
            remove(&mut self.maps.sources, &key, &mut self.applied)?;
        }
        Ok(())
    }

    /// Removes the slot that a link had and has no more, unless it is another's by now.
    fn release_slot(
        &mut self,
        link: IfIndex,
        before: Option<layout::Endpoint>,
        slot: u16,
    ) -> Result<(), DatapathError> {
        let Some(old) = before
            .map(|before| before.slot)
            .filter(|old| *old != 0 && *old != slot)
        else {
            return Ok(());
        };
        let mut others = self.written.iter().filter(|(other, _)| **other != link);
        if !others.any(|(_, other)| other.slot == old) {
            remove(&mut self.maps.slots, &u32::from(old), &mut self.applied)?;
        }
        Ok(())
    }
}
