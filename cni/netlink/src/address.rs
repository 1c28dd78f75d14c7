//! Addresses of links (`linux/if_addr.h`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;

use crate::flags::flags;
use crate::route::Scope;
use crate::types::{Family, LinkIndex, network};
use crate::wire::{Attrs, Bytes, Writer};

/// `RTM_NEWADDR`, `RTM_DELADDR`, `RTM_GETADDR`.
pub(crate) const NEW: u16 = 20;
pub(crate) const DELETE: u16 = 21;
pub(crate) const GET: u16 = 22;

/// Length of `struct ifaddrmsg`.
const HEADER: usize = 8;

/// `IFA_*`.
mod attr {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const LOCAL: u16 = 2;
    pub(super) const LABEL: u16 = 3;
    pub(super) const BROADCAST: u16 = 4;
    pub(super) const CACHEINFO: u16 = 6;
    pub(super) const FLAGS: u16 = 8;
    pub(super) const METRIC: u16 = 9;
    pub(super) const PROTOCOL: u16 = 11;
}

flags! {
    /// An address's flags (`IFA_F_*`).
    AddressFlags(u32) {
        /// A further address of the same network.
        SECONDARY = 0x01, "secondary";
        /// No duplicate address detection: the address works at once.
        NODAD = 0x02, "nodad";
        /// Detection is optimistic (RFC 4429).
        OPTIMISTIC = 0x04, "optimistic";
        /// Somebody else has it.
        DAD_FAILED = 0x08, "dadfailed";
        /// Not preferred for new flows.
        DEPRECATED = 0x20, "deprecated";
        /// Detection is under way.
        TENTATIVE = 0x40, "tentative";
        /// Lives until it is removed.
        PERMANENT = 0x80, "permanent";
        /// The kernel makes no route to its network.
        NO_PREFIX_ROUTE = 0x200, "noprefixroute";
    }
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The link.
    pub link: LinkIndex,
    /// The address, and the length of the network on the link.
    pub ip: IpNetwork,
    /// The other end of a point-to-point link; the network is then its.
    pub peer: Option<IpNetwork>,
    /// How far it is valid.
    pub scope: Scope,
    /// Its flags; the kernel adds some of its own, such as `PERMANENT`.
    pub flags: AddressFlags,
    /// The broadcast address, IPv4 only.
    pub broadcast: Option<Ipv4Addr>,
    /// The label, IPv4 only: the link's name, or that and a suffix.
    pub label: Option<String>,
    /// The metric of the route to its network.
    pub metric: Option<u32>,
    /// Who set it (`IFAPROT_*`), 0 for unknown.
    pub protocol: u8,
    /// Seconds for which it is valid and preferred; `None` for ever.
    pub lifetime: Option<Lifetime>,
}

/// How long an address lives, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Until it is removed.
    pub valid: u32,
    /// Until it is no longer preferred.
    pub preferred: u32,
}

impl Address {
    /// `ip` on `link` with the kernel's defaults.
    #[must_use]
    pub fn new(link: LinkIndex, ip: IpNetwork) -> Self {
        Self {
            link,
            ip,
            peer: None,
            scope: if ip.ip().is_loopback() {
                Scope::Host
            } else {
                Scope::Universe
            },
            flags: AddressFlags(0),
            broadcast: None,
            label: None,
            metric: None,
            protocol: 0,
            lifetime: None,
        }
    }

    /// The same without duplicate address detection.
    #[must_use]
    pub fn nodad(mut self) -> Self {
        self.flags = self.flags | AddressFlags::NODAD;
        self
    }

    /// The same without the kernel's own route to its network.
    #[must_use]
    pub fn noprefixroute(mut self) -> Self {
        self.flags = self.flags | AddressFlags::NO_PREFIX_ROUTE;
        self
    }

    pub(crate) fn write_new(&self, w: &mut Writer, flags: u16) {
        w.message(NEW, flags, |w| self.write(w));
    }

    pub(crate) fn write_delete(&self, w: &mut Writer) {
        w.message(DELETE, 0, |w| self.write(w));
    }

    fn write(&self, w: &mut Writer) {
        let prefix = self.peer.unwrap_or(self.ip).prefix();
        let low_flags = self.flags.0.to_ne_bytes()[0];
        let family = Family::of(self.ip.ip()).number();
        w.put(&[family, prefix, low_flags, self.scope.number()]);
        w.put(&self.link.0.to_ne_bytes());
        w.ip(attr::LOCAL, self.ip.ip());
        w.ip(attr::ADDRESS, self.peer.unwrap_or(self.ip).ip());
        if self.flags.0 != 0 {
            w.u32(attr::FLAGS, self.flags.0);
        }
        if let Some(broadcast) = self.broadcast {
            w.ip(attr::BROADCAST, broadcast.into());
        }
        if let Some(label) = &self.label {
            w.text(attr::LABEL, label);
        }
        if let Some(metric) = self.metric {
            w.u32(attr::METRIC, metric);
        }
        if self.protocol != 0 {
            w.u8(attr::PROTOCOL, self.protocol);
        }
        if let Some(lifetime) = self.lifetime {
            w.within(attr::CACHEINFO, |w| {
                w.put(&lifetime.preferred.to_ne_bytes());
                w.put(&lifetime.valid.to_ne_bytes());
                w.put(&[0; 8]);
            });
        }
    }

    /// Reads the body of a message; `None` when it is malformed.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        Family::from_number(body.u8_at(0)?)?;
        let prefix = body.u8_at(1)?;
        let address = attrs.find(attr::ADDRESS).and_then(Bytes::ip);
        let local = attrs.find(attr::LOCAL).and_then(Bytes::ip);
        let ip = local.or(address)?;
        let peer = address.filter(|&peer| peer != ip);
        let own = if peer.is_some() {
            Family::of(ip).bits()
        } else {
            prefix
        };
        let mut found = Self::new(LinkIndex(body.u32_at(4)?), network(ip, own)?);
        found.peer = match peer {
            Some(peer) => Some(network(peer, prefix)?),
            None => None,
        };
        found.scope = Scope::from_number(body.u8_at(3)?);
        found.flags = AddressFlags(u32::from(body.u8_at(2)?));
        for (kind, value) in attrs {
            match kind {
                attr::FLAGS => found.flags = AddressFlags(value.u32_at(0)?),
                attr::LABEL => found.label = Some(value.text()),
                attr::METRIC => found.metric = value.u32_at(0),
                attr::PROTOCOL => found.protocol = value.u8_at(0)?,
                attr::BROADCAST => {
                    found.broadcast = value.ip().and_then(|ip| match ip {
                        IpAddr::V4(ip) => Some(ip),
                        IpAddr::V6(_) => None,
                    });
                }
                attr::CACHEINFO => {
                    let lifetime = Lifetime {
                        preferred: value.u32_at(0)?,
                        valid: value.u32_at(4)?,
                    };
                    found.lifetime = Some(lifetime).filter(|lifetime| lifetime.valid != u32::MAX);
                }
                _ => {}
            }
        }
        Some(found)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {}", self.ip)?;
        if let Some(peer) = self.peer {
            write!(f, " peer {peer}")?;
        }
        write!(f, " on link {}", self.link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Messages;

    #[test]
    fn an_address_comes_back_as_written() {
        let mut address = Address::new(LinkIndex(3), "10.1.2.3/24".parse().unwrap()).nodad();
        address.broadcast = Some([10, 1, 2, 255].into());
        address.label = Some("eth0:1".into());
        address.lifetime = Some(Lifetime {
            valid: 60,
            preferred: 30,
        });
        let mut pointed = Address::new(LinkIndex(4), "fd00::1/128".parse().unwrap());
        pointed.peer = Some("fd00::2/127".parse().unwrap());
        for address in [address, pointed] {
            let mut w = Writer::default();
            address.write_new(&mut w, 0);
            let message = Messages(w.bytes()).next().unwrap();
            assert_eq!(Address::read(message.body), Some(address));
        }
    }
}
