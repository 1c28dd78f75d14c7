//! Changing and deleting links.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::{Bridge, DELETE, LinkFlags, NEW, SET, Vxlan, attr, put_link};
use crate::types::{Family, LinkIndex, LinkName, LinkRef, Mac};
use crate::wire::Writer;

/// `IFLA_INET6_ADDR_GEN_MODE` and its values.
const ADDRESS_GENERATION: u16 = 8;
const GENERATE_EUI64: u8 = 0;
const GENERATE_NONE: u8 = 1;

/// `IFLA_INET_CONF`.
const IPV4_CONF: u16 = 1;

/// A key below `/proc/sys/net/ipv4/conf/<link>` that a change can set; the numbers are `IPV4_DEVCONF_*`.
/// There is no such way for IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv4Conf {
    /// Whether redirects are believed.
    AcceptRedirects = 4,
    /// Whether redirects are sent.
    SendRedirects = 6,
    /// The check for false source addresses: 1 strict, 2 loose (RFC 3704).
    RpFilter = 8,
    /// Whether new addresses are announced when the link comes up.
    ArpNotify = 22,
}

/// A change of a link; what is not named stays.
#[derive(Debug, Clone)]
pub struct LinkChange<'fd> {
    link: LinkRef,
    flags: LinkFlags,
    mask: LinkFlags,
    name: Option<LinkName>,
    mtu: Option<u32>,
    mac: Option<Mac>,
    master: Option<u32>,
    alias: Option<String>,
    tx_queue_length: Option<u32>,
    bridge: Option<Bridge>,
    vxlan: Option<Vxlan>,
    link_local: Option<bool>,
    ipv4: Vec<(Ipv4Conf, u32)>,
    netns: Option<BorrowedFd<'fd>>,
}

impl<'fd> LinkChange<'fd> {
    /// A change of `link` that changes nothing yet.
    #[must_use]
    pub fn of(link: impl Into<LinkRef>) -> Self {
        Self {
            link: link.into(),
            flags: LinkFlags(0),
            mask: LinkFlags(0),
            name: None,
            mtu: None,
            mac: None,
            master: None,
            alias: None,
            tx_queue_length: None,
            bridge: None,
            vxlan: None,
            link_local: None,
            ipv4: Vec::new(),
            netns: None,
        }
    }

    fn flag(mut self, flag: LinkFlags, on: bool) -> Self {
        self.mask = self.mask | flag;
        self.flags = if on {
            self.flags | flag
        } else {
            self.flags.without(flag)
        };
        self
    }

    /// Sets it up.
    #[must_use]
    pub fn up(self) -> Self {
        self.flag(LinkFlags::UP, true)
    }

    /// Sets it down.
    #[must_use]
    pub fn down(self) -> Self {
        self.flag(LinkFlags::UP, false)
    }

    /// Takes all packets, or only its own.
    #[must_use]
    pub fn promisc(self, on: bool) -> Self {
        self.flag(LinkFlags::PROMISC, on)
    }

    /// Uses ARP and neighbour discovery, or not.
    #[must_use]
    pub fn arp(self, on: bool) -> Self {
        self.flag(LinkFlags::NO_ARP, !on)
    }

    /// Gives it another name; the kernel may want it down for that.
    #[must_use]
    pub fn rename(mut self, name: LinkName) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the largest packet in bytes.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// Sets the hardware address.
    #[must_use]
    pub fn mac(mut self, mac: Mac) -> Self {
        self.mac = Some(mac);
        self
    }

    /// Makes it a port of a bridge, or of none.
    #[must_use]
    pub fn master(mut self, master: Option<LinkIndex>) -> Self {
        self.master = Some(master.map_or(0, |master| master.0));
        self
    }

    /// Sets the text for administrators.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.alias = Some(alias.into());
        self
    }

    /// Sets the length of the transmit queue in packets.
    #[must_use]
    pub fn tx_queue_length(mut self, packets: u32) -> Self {
        self.tx_queue_length = Some(packets);
        self
    }

    /// Sets options of a bridge.
    #[must_use]
    pub fn bridge(mut self, bridge: Bridge) -> Self {
        self.bridge = Some(bridge);
        self
    }

    /// Sets options of a VXLAN device. Of one that is there the kernel changes the local address within its
    /// family, the default destination, TTL, type of service and learning, and refuses to be told others.
    #[must_use]
    pub fn vxlan(mut self, vxlan: Vxlan) -> Self {
        self.vxlan = Some(vxlan);
        self
    }

    /// Whether the kernel gives it an IPv6 link-local address of its own when it is set up
    /// (`IFLA_INET6_ADDR_GEN_MODE` `eui64` or `none`). The kernel sets flags first: a change that also
    /// sets it up comes too late, send this one before.
    #[must_use]
    pub fn link_local(mut self, generate: bool) -> Self {
        self.link_local = Some(generate);
        self
    }

    /// Sets keys of its IPv4 configuration. The kernel sets flags first: a change that also sets it up
    /// comes a moment late, send this one before.
    #[must_use]
    pub fn ipv4(mut self, values: &[(Ipv4Conf, u32)]) -> Self {
        self.ipv4 = values.to_vec();
        self
    }

    /// Moves it into another namespace. That costs some 20 ms under the kernel's lock for all networking:
    /// make links where they belong instead.
    #[must_use]
    pub fn netns(mut self, netns: BorrowedFd<'fd>) -> Self {
        self.netns = Some(netns);
        self
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        // Options of a kind are taken only by RTM_NEWLINK, a new name only by RTM_SETLINK with a number.
        let has_options = self.bridge.is_some() || self.vxlan.is_some();
        let kind = if has_options { NEW } else { SET };
        w.message(kind, 0, |w| {
            put_link(w, 0, &self.link, self.flags.0, self.mask.0);
            if let Some(name) = &self.name {
                w.text(attr::IFNAME, name.as_str());
            }
            if let Some(mtu) = self.mtu {
                w.u32(attr::MTU, mtu);
            }
            if let Some(mac) = self.mac {
                w.attr(attr::ADDRESS, &mac.0);
            }
            if let Some(master) = self.master {
                w.u32(attr::MASTER, master);
            }
            if let Some(alias) = &self.alias {
                w.text(attr::IFALIAS, alias);
            }
            if let Some(packets) = self.tx_queue_length {
                w.u32(attr::TXQLEN, packets);
            }
            if let Some(netns) = self.netns {
                w.attr(attr::NET_NS_FD, &netns.as_raw_fd().to_ne_bytes());
            }
            if self.link_local.is_some() || !self.ipv4.is_empty() {
                w.nest(attr::AF_SPEC, |w| self.write_families(w));
            }
            if let Some(bridge) = self.bridge {
                w.nest(attr::LINKINFO, |w| {
                    w.text(attr::INFO_KIND, "bridge");
                    w.nest(attr::INFO_DATA, |w| bridge.write(w));
                });
            }
            if let Some(vxlan) = &self.vxlan {
                w.nest(attr::LINKINFO, |w| {
                    w.text(attr::INFO_KIND, "vxlan");
                    w.nest(attr::INFO_DATA, |w| vxlan.write(w));
                });
            }
        });
    }
}

impl LinkChange<'_> {
    fn write_families(&self, w: &mut Writer) {
        if !self.ipv4.is_empty() {
            w.nest(u16::from(Family::V4.number()), |w| {
                w.nest(IPV4_CONF, |w| {
                    for (key, value) in &self.ipv4 {
                        w.u32(*key as u16, *value);
                    }
                });
            });
        }
        if let Some(generate) = self.link_local {
            let mode = if generate {
                GENERATE_EUI64
            } else {
                GENERATE_NONE
            };
            w.nest(u16::from(Family::V6.number()), |w| {
                w.u8(ADDRESS_GENERATION, mode);
            });
        }
    }
}

pub(crate) fn write_delete(w: &mut Writer, link: &LinkRef) {
    w.message(DELETE, 0, |w| put_link(w, 0, link, 0, 0));
}
