//! Making links: one message each, a veth's peer wherever it belongs.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::{Bridge, LinkFlags, NEW, Vxlan, attr, put_header};
use crate::types::{LinkIndex, LinkName, Mac};
use crate::wire::{Writer, flag};

/// `VETH_INFO_PEER`.
const VETH_PEER: u16 = 1;

/// A link to be made. The kernel takes an alias only for a link that is there: see
/// [`LinkChange::alias`](super::LinkChange::alias).
#[derive(Debug, Clone)]
pub struct NewLink<'fd> {
    /// Its name.
    pub name: LinkName,
    /// What it is to be.
    pub kind: NewKind<'fd>,
    /// Its number; the kernel chooses when `None`.
    pub index: Option<LinkIndex>,
    /// Its hardware address. One that is set here is kept by systemd's `MACAddressPolicy`.
    pub mac: Option<Mac>,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// The bridge that it becomes a port of.
    pub master: Option<LinkIndex>,
    /// Whether it is set up at once.
    pub up: bool,
    /// The namespace to make it in; the socket's when `None`.
    pub netns: Option<BorrowedFd<'fd>>,
    /// Receive and transmit queues of a veth, both ends. More than one costs time and memory for each.
    pub queues: u32,
}

/// What a new link is.
#[derive(Debug, Clone)]
pub enum NewKind<'fd> {
    /// A veth pair.
    Veth(Peer<'fd>),
    /// A bridge.
    Bridge(Bridge),
    /// A VXLAN tunnel endpoint.
    Vxlan(Vxlan),
    /// Any other kind without options, by the kernel's name for it.
    Other(String),
}

/// The other end of a new veth pair. It is made down: set it up through a socket of its namespace.
#[derive(Debug, Clone)]
pub struct Peer<'fd> {
    /// Its name.
    pub name: LinkName,
    /// The namespace that it is made in; that of the first end when `None`.
    pub netns: Option<BorrowedFd<'fd>>,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
}

impl<'fd> NewLink<'fd> {
    /// A link of `kind` with the kernel's defaults, down.
    #[must_use]
    pub const fn new(name: LinkName, kind: NewKind<'fd>) -> Self {
        Self {
            name,
            kind,
            index: None,
            mac: None,
            mtu: None,
            master: None,
            up: false,
            netns: None,
            queues: 1,
        }
    }

    /// A veth pair.
    #[must_use]
    pub const fn veth(name: LinkName, peer: Peer<'fd>) -> Self {
        Self::new(name, NewKind::Veth(peer))
    }

    /// A bridge.
    #[must_use]
    pub const fn bridge(name: LinkName, bridge: Bridge) -> Self {
        Self::new(name, NewKind::Bridge(bridge))
    }

    /// A VXLAN tunnel endpoint.
    #[must_use]
    pub const fn vxlan(name: LinkName, vxlan: Vxlan) -> Self {
        Self::new(name, NewKind::Vxlan(vxlan))
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.message(NEW, flag::CREATE | flag::EXCL, |w| {
            let up = if self.up { LinkFlags::UP.0 } else { 0 };
            put_header(w, 0, self.index.map_or(0, |index| index.0), up, up);
            w.text(attr::IFNAME, self.name.as_str());
            put_common(w, self.mac, self.mtu, self.netns);
            if let Some(master) = self.master {
                w.u32(attr::MASTER, master.0);
            }
            if matches!(self.kind, NewKind::Veth(_)) {
                self.put_queues(w);
            }
            w.nest(attr::LINKINFO, |w| self.put_kind(w));
        });
    }

    fn put_kind(&self, w: &mut Writer) {
        match &self.kind {
            NewKind::Veth(peer) => {
                w.text(attr::INFO_KIND, "veth");
                w.nest(attr::INFO_DATA, |w| {
                    w.within(VETH_PEER, |w| self.put_peer(w, peer));
                });
            }
            NewKind::Bridge(bridge) => {
                w.text(attr::INFO_KIND, "bridge");
                if !bridge.is_default() {
                    w.nest(attr::INFO_DATA, |w| bridge.write(w));
                }
            }
            NewKind::Vxlan(vxlan) => {
                w.text(attr::INFO_KIND, "vxlan");
                w.nest(attr::INFO_DATA, |w| vxlan.write(w));
            }
            NewKind::Other(kind) => w.text(attr::INFO_KIND, kind),
        }
    }

    fn put_peer(&self, w: &mut Writer, peer: &Peer<'fd>) {
        put_header(w, 0, 0, 0, 0);
        w.text(attr::IFNAME, peer.name.as_str());
        put_common(w, peer.mac, peer.mtu, peer.netns);
        self.put_queues(w);
    }

    fn put_queues(&self, w: &mut Writer) {
        w.u32(attr::NUM_TX_QUEUES, self.queues);
        w.u32(attr::NUM_RX_QUEUES, self.queues);
    }
}

fn put_common(w: &mut Writer, mac: Option<Mac>, mtu: Option<u32>, netns: Option<BorrowedFd<'_>>) {
    if let Some(mac) = mac {
        w.attr(attr::ADDRESS, &mac.0);
    }
    if let Some(mtu) = mtu {
        w.u32(attr::MTU, mtu);
    }
    if let Some(netns) = netns {
        w.attr(attr::NET_NS_FD, &netns.as_raw_fd().to_ne_bytes());
    }
}
