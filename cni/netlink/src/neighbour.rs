//! Neighbours and forwarding entries (`linux/neighbour.h`).

use std::fmt;
use std::net::IpAddr;

use crate::flags::flags;
use crate::types::{Family, LinkIndex, Mac};
use crate::wire::{Attrs, Bytes as _, Writer};

/// `RTM_NEWNEIGH`, `RTM_DELNEIGH`, `RTM_GETNEIGH`.
pub(crate) const NEW: u16 = 28;
pub(crate) const DELETE: u16 = 29;
pub(crate) const GET: u16 = 30;

/// Length of `struct ndmsg`.
const HEADER: usize = 12;

/// `AF_BRIDGE`: the family of forwarding entries.
pub(crate) const BRIDGE: u8 = 7;

/// `NDA_*`.
pub(crate) mod attr {
    pub(crate) const DST: u16 = 1;
    pub(crate) const LLADDR: u16 = 2;
    pub(crate) const VLAN: u16 = 5;
    pub(crate) const PORT: u16 = 6;
    pub(crate) const VNI: u16 = 7;
    pub(crate) const IFINDEX: u16 = 8;
    pub(crate) const MASTER: u16 = 9;
    pub(crate) const PROTOCOL: u16 = 12;
    pub(crate) const NH_ID: u16 = 13;
}

flags! {
    /// What the kernel knows about a neighbour (`NUD_*`).
    NeighbourState(u16) {
        /// It is being asked for.
        INCOMPLETE = 0x01, "incomplete";
        /// It answered lately.
        REACHABLE = 0x02, "reachable";
        /// It may have changed.
        STALE = 0x04, "stale";
        /// It is about to be asked again.
        DELAY = 0x08, "delay";
        /// It is being asked again.
        PROBE = 0x10, "probe";
        /// It did not answer.
        FAILED = 0x20, "failed";
        /// The link does without.
        NO_ARP = 0x40, "noarp";
        /// It holds until it is removed.
        PERMANENT = 0x80, "permanent";
    }
}

flags! {
    /// A neighbour's flags (`NTF_*`).
    NeighbourFlags(u8) {
        /// Kept up by the kernel.
        USE = 0x01, "use";
        /// In the link's own table.
        SELF = 0x02, "self";
        /// In the table of the link's master.
        MASTER = 0x04, "master";
        /// Answered for somebody else.
        PROXY = 0x08, "proxy";
        /// Learnt by somebody other than the kernel.
        EXTERNALLY_LEARNT = 0x10, "extern_learn";
        /// Held fast against learning.
        STICKY = 0x40, "sticky";
        /// A router.
        ROUTER = 0x80, "router";
    }
}

/// A neighbour: the hardware address behind an address on a link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Neighbour {
    /// The link.
    pub link: LinkIndex,
    /// The address.
    pub ip: IpAddr,
    /// The hardware address, when it is known.
    pub mac: Option<Mac>,
    /// What the kernel knows.
    pub state: NeighbourState,
    /// Its flags.
    pub flags: NeighbourFlags,
    /// Who set it (`RTPROT_*`), 0 for unknown.
    pub protocol: u8,
}

impl Neighbour {
    /// One that holds until it is removed.
    #[must_use]
    pub fn permanent(link: LinkIndex, ip: IpAddr, mac: Mac) -> Self {
        Self {
            link,
            ip,
            mac: Some(mac),
            state: NeighbourState::PERMANENT,
            flags: NeighbourFlags(0),
            protocol: 0,
        }
    }

    pub(crate) fn write_new(&self, w: &mut Writer, flags: u16) {
        w.message(NEW, flags, |w| self.write(w));
    }

    pub(crate) fn write_delete(&self, w: &mut Writer) {
        w.message(DELETE, 0, |w| self.write(w));
    }

    fn write(&self, w: &mut Writer) {
        put_header(
            w,
            Family::of(self.ip).number(),
            self.link,
            self.state,
            self.flags,
        );
        w.ip(attr::DST, self.ip);
        if let Some(mac) = self.mac {
            w.attr(attr::LLADDR, &mac.0);
        }
        if self.protocol != 0 {
            w.u8(attr::PROTOCOL, self.protocol);
        }
    }

    /// Reads the body of a message; `None` when it is malformed or a forwarding entry.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        Family::from_number(body.u8_at(0)?)?;
        Some(Self {
            link: LinkIndex(body.u32_at(4)?),
            ip: attrs.find(attr::DST)?.ip()?,
            mac: attrs
                .find(attr::LLADDR)
                .and_then(|mac| mac.array(0))
                .map(Mac),
            state: NeighbourState(body.u16_at(8)?),
            flags: NeighbourFlags(body.u8_at(10)?),
            protocol: attrs
                .find(attr::PROTOCOL)
                .and_then(|value| value.u8_at(0))
                .unwrap_or(0),
        })
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "neighbour {}", self.ip)?;
        if let Some(mac) = self.mac {
            write!(f, " at {mac}")?;
        }
        write!(f, " on link {}", self.link)
    }
}

/// A forwarding entry: where frames to a hardware address go, in a bridge or through a VXLAN device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FdbEntry {
    /// The bridge port or the VXLAN device.
    pub link: LinkIndex,
    /// The hardware address; all zero for unknown ones.
    pub mac: Mac,
    /// The tunnel endpoint.
    pub destination: Option<IpAddr>,
    /// The nexthop object with the tunnel endpoints.
    pub next_hop: Option<u32>,
    /// The UDP port of the tunnel endpoint, when it is not the device's.
    pub port: Option<u16>,
    /// The network identifier, when it is not the device's.
    pub vni: Option<u32>,
    /// The VLAN.
    pub vlan: Option<u16>,
    /// The bridge, as the kernel reports it.
    pub master: Option<LinkIndex>,
    /// `PERMANENT` for a bridge's own addresses and for static VXLAN entries, `NO_ARP` for static ones
    /// of a bridge, `REACHABLE` for ones that may age.
    pub state: NeighbourState,
    /// `SELF` for the device's own table, `MASTER` for its bridge's.
    pub flags: NeighbourFlags,
    /// Who set it (`RTPROT_*`), 0 for unknown.
    pub protocol: u8,
}

impl FdbEntry {
    /// An entry in the device's own table that holds until it is removed.
    #[must_use]
    pub fn new(link: LinkIndex, mac: Mac) -> Self {
        Self {
            link,
            mac,
            destination: None,
            next_hop: None,
            port: None,
            vni: None,
            vlan: None,
            master: None,
            state: NeighbourState::PERMANENT,
            flags: NeighbourFlags::SELF,
            protocol: 0,
        }
    }

    /// The entry of a VXLAN device for `mac` behind the tunnel endpoint `destination`.
    #[must_use]
    pub fn remote(link: LinkIndex, mac: Mac, destination: IpAddr) -> Self {
        Self {
            destination: Some(destination),
            ..Self::new(link, mac)
        }
    }

    /// A static entry of the bridge that `port` belongs to.
    #[must_use]
    pub fn bridged(port: LinkIndex, mac: Mac) -> Self {
        Self {
            state: NeighbourState::NO_ARP,
            flags: NeighbourFlags::MASTER,
            ..Self::new(port, mac)
        }
    }

    pub(crate) fn write_new(&self, w: &mut Writer, flags: u16) {
        w.message(NEW, flags, |w| self.write(w));
    }

    pub(crate) fn write_delete(&self, w: &mut Writer) {
        w.message(DELETE, 0, |w| self.write(w));
    }

    fn write(&self, w: &mut Writer) {
        put_header(w, BRIDGE, self.link, self.state, self.flags);
        w.attr(attr::LLADDR, &self.mac.0);
        if let Some(destination) = self.destination {
            w.ip(attr::DST, destination);
        }
        if let Some(id) = self.next_hop {
            w.u32(attr::NH_ID, id);
        }
        if let Some(port) = self.port {
            w.be16(attr::PORT, port);
        }
        if let Some(vni) = self.vni {
            w.u32(attr::VNI, vni);
        }
        if let Some(vlan) = self.vlan {
            w.u16(attr::VLAN, vlan);
        }
        if self.protocol != 0 {
            w.u8(attr::PROTOCOL, self.protocol);
        }
    }

    /// Reads the body of a message; `None` when it is malformed or no forwarding entry.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        if body.u8_at(0)? != BRIDGE {
            return None;
        }
        let mac = attrs
            .find(attr::LLADDR)
            .and_then(|mac| mac.array(0))
            .map(Mac)?;
        let mut entry = Self::new(LinkIndex(body.u32_at(4)?), mac);
        entry.state = NeighbourState(body.u16_at(8)?);
        entry.flags = NeighbourFlags(body.u8_at(10)?);
        for (kind, value) in attrs {
            match kind {
                attr::DST => entry.destination = value.ip(),
                attr::NH_ID => entry.next_hop = value.u32_at(0),
                attr::PORT => entry.port = value.be16_at(0),
                attr::VNI => entry.vni = value.u32_at(0),
                attr::VLAN => entry.vlan = value.u16_at(0),
                attr::MASTER => entry.master = value.u32_at(0).map(LinkIndex),
                attr::PROTOCOL => entry.protocol = value.u8_at(0)?,
                _ => {}
            }
        }
        Some(entry)
    }
}

impl fmt::Display for FdbEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "forwarding entry {} on link {}", self.mac, self.link)?;
        if let Some(destination) = self.destination {
            write!(f, " to {destination}")?;
        }
        if let Some(id) = self.next_hop {
            write!(f, " through nexthop {id}")?;
        }
        Ok(())
    }
}

/// Writes `struct ndmsg`.
pub(crate) fn put_header(
    w: &mut Writer,
    family: u8,
    link: LinkIndex,
    state: NeighbourState,
    flags: NeighbourFlags,
) {
    w.put(&[family, 0, 0, 0]);
    w.put(&link.0.to_ne_bytes());
    w.put(&state.0.to_ne_bytes());
    w.put(&[flags.0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Messages;

    #[test]
    fn neighbours_and_forwarding_entries_come_back_as_written() {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        for ip in ["10.0.0.1", "fe80::1"] {
            let neighbour = Neighbour::permanent(LinkIndex(2), ip.parse().unwrap(), mac);
            let mut w = Writer::default();
            neighbour.write_new(&mut w, 0);
            let message = Messages(w.bytes()).next().unwrap();
            assert_eq!(Neighbour::read(message.body), Some(neighbour));
            assert_eq!(FdbEntry::read(message.body), None);
        }
        let mut entry = FdbEntry::remote(LinkIndex(2), mac, "192.0.2.1".parse().unwrap());
        (entry.port, entry.vni, entry.protocol) = (Some(4789), Some(7), 76);
        let mut w = Writer::default();
        entry.write_new(&mut w, 0);
        let message = Messages(w.bytes()).next().unwrap();
        assert_eq!(FdbEntry::read(message.body), Some(entry));
        assert_eq!(Neighbour::read(message.body), None);
    }
}
