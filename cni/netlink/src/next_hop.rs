//! Nexthop objects (`linux/nexthop.h`): gateways that many routes share.

use std::fmt;
use std::net::IpAddr;

use crate::route::Scope;
use crate::types::{Family, LinkIndex};
use crate::wire::{Attrs, Bytes as _, Writer};

/// `RTM_NEWNEXTHOP`, `RTM_DELNEXTHOP`, `RTM_GETNEXTHOP`.
pub(crate) const NEW: u16 = 104;
pub(crate) const DELETE: u16 = 105;
pub(crate) const GET: u16 = 106;

/// Length of `struct nhmsg`.
const HEADER: usize = 8;

/// `RTNH_F_ONLINK`.
const ONLINK: u32 = 4;

/// `NHA_*`.
mod attr {
    pub(super) const ID: u16 = 1;
    pub(super) const GROUP: u16 = 2;
    pub(super) const BLACKHOLE: u16 = 4;
    pub(super) const OIF: u16 = 5;
    pub(super) const GATEWAY: u16 = 6;
    pub(super) const FDB: u16 = 11;
}

/// A nexthop object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// Its id, from 1.
    pub id: u32,
    /// The family of routes that use it; groups have none.
    pub family: Option<Family>,
    /// The gateway, or the tunnel endpoint when `fdb`.
    pub via: Option<IpAddr>,
    /// The link.
    pub link: Option<LinkIndex>,
    /// Who made it (`RTPROT_*`).
    pub protocol: u8,
    /// How far it reaches, as the kernel reports it; it cannot be asked for.
    pub scope: Scope,
    /// The gateway is on the link although no route says so.
    pub onlink: bool,
    /// It is a tunnel endpoint for forwarding entries.
    pub fdb: bool,
    /// It drops packets silently.
    pub blackhole: bool,
    /// The members of a group with their weight, from 1.
    pub group: Vec<(u32, u16)>,
}

impl NextHop {
    fn empty(id: u32, family: Option<Family>) -> Self {
        Self {
            id,
            family,
            via: None,
            link: None,
            protocol: 0,
            scope: Scope::Universe,
            onlink: false,
            fdb: false,
            blackhole: false,
            group: Vec::new(),
        }
    }

    /// A gateway on a link.
    #[must_use]
    pub fn via(id: u32, gateway: IpAddr, link: LinkIndex) -> Self {
        let family = Some(Family::of(gateway));
        Self {
            via: Some(gateway),
            link: Some(link),
            ..Self::empty(id, family)
        }
    }

    /// A tunnel endpoint for forwarding entries.
    #[must_use]
    pub fn tunnel(id: u32, endpoint: IpAddr) -> Self {
        Self {
            via: Some(endpoint),
            fdb: true,
            ..Self::empty(id, Some(Family::of(endpoint)))
        }
    }

    /// A group of other objects with their weights, from 1.
    #[must_use]
    pub fn group(id: u32, members: Vec<(u32, u16)>) -> Self {
        Self {
            group: members,
            ..Self::empty(id, None)
        }
    }

    pub(crate) fn write_new(&self, w: &mut Writer, flags: u16) {
        w.message(NEW, flags, |w| {
            let family = self.family.map_or(0, Family::number);
            w.put(&[family, 0, self.protocol, 0]);
            w.put(&(if self.onlink { ONLINK } else { 0 }).to_ne_bytes());
            w.u32(attr::ID, self.id);
            if self.blackhole {
                w.attr(attr::BLACKHOLE, &[]);
            }
            if self.fdb {
                w.attr(attr::FDB, &[]);
            }
            if let Some(link) = self.link {
                w.u32(attr::OIF, link.0);
            }
            if let Some(via) = self.via {
                w.ip(attr::GATEWAY, via);
            }
            if !self.group.is_empty() {
                w.within(attr::GROUP, |w| {
                    for (id, weight) in &self.group {
                        let [low, high] = weight.saturating_sub(1).to_le_bytes();
                        w.put(&id.to_ne_bytes());
                        w.put(&[low, high, 0, 0]);
                    }
                });
            }
        });
    }

    /// Reads the body of a message; `None` when it is malformed.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        let mut found = Self::empty(0, Family::from_number(body.u8_at(0)?));
        found.scope = Scope::from_number(body.u8_at(1)?);
        found.protocol = body.u8_at(2)?;
        found.onlink = body.u32_at(4)? & ONLINK != 0;
        for (kind, value) in attrs {
            match kind {
                attr::ID => found.id = value.u32_at(0)?,
                attr::BLACKHOLE => found.blackhole = true,
                attr::FDB => found.fdb = true,
                attr::OIF => found.link = value.u32_at(0).map(LinkIndex),
                attr::GATEWAY => found.via = value.ip(),
                attr::GROUP => found.group = value.chunks_exact(8).filter_map(member).collect(),
                _ => {}
            }
        }
        if !found.group.is_empty() {
            found.family = None;
        }
        Some(found)
    }
}

/// Reads one `struct nexthop_grp`: the weight less one, its upper byte apart.
fn member(value: &[u8]) -> Option<(u32, u16)> {
    let weight = u16::from_le_bytes([value.u8_at(4)?, value.u8_at(5)?]);
    Some((value.u32_at(0)?, weight.saturating_add(1)))
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nexthop {}", self.id)?;
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(link) = self.link {
            write!(f, " on link {link}")?;
        }
        Ok(())
    }
}

pub(crate) fn write_delete(w: &mut Writer, id: u32) {
    w.message(DELETE, 0, |w| {
        w.put(&[0; HEADER]);
        w.u32(attr::ID, id);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Messages;

    #[test]
    fn nexthop_objects_come_back_as_written() {
        let gateway = "10.0.0.1".parse().unwrap();
        let mut via = NextHop::via(7, gateway, LinkIndex(3));
        (via.protocol, via.onlink) = (76, true);
        for object in [
            via,
            NextHop::tunnel(8, gateway),
            NextHop::group(9, vec![(7, 1), (8, 256)]),
        ] {
            let mut w = Writer::default();
            object.write_new(&mut w, 0);
            let message = Messages(w.bytes()).next().unwrap();
            assert_eq!(NextHop::read(message.body), Some(object));
        }
    }
}
