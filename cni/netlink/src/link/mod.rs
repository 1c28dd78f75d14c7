//! Links: what they are, how they are made, changed and read.
//!
//! Constants are those of `linux/if_link.h`.

mod bridge;
mod change;
mod decode;
mod new;
mod port;
#[cfg(test)]
mod tests;
mod vlan;
mod vxlan;

use std::fmt;

pub use bridge::Bridge;
pub(crate) use change::write_delete;
pub use change::{Ipv4Conf, LinkChange};
pub(crate) use decode::subject;
pub use new::{NewKind, NewLink, Peer};
pub use port::{BridgePort, PortChange};
pub use vlan::PortVlan;
pub(crate) use vlan::{BRIDGE, WITH_VLANS};
pub use vxlan::Vxlan;

use crate::flags::flags;
use crate::types::{LinkIndex, LinkName, LinkRef, Mac};
use crate::wire::Writer;

/// `RTM_NEWLINK`, `RTM_DELLINK`, `RTM_GETLINK`, `RTM_SETLINK`.
pub(crate) const NEW: u16 = 16;
pub(crate) const DELETE: u16 = 17;
pub(crate) const GET: u16 = 18;
pub(crate) const SET: u16 = 19;

/// Length of `struct ifinfomsg`.
pub(crate) const HEADER: usize = 16;

/// `IFLA_*`.
pub(crate) mod attr {
    pub(crate) const ADDRESS: u16 = 1;
    pub(crate) const IFNAME: u16 = 3;
    pub(crate) const MTU: u16 = 4;
    pub(crate) const LINK: u16 = 5;
    pub(crate) const MASTER: u16 = 10;
    pub(crate) const TXQLEN: u16 = 13;
    pub(crate) const OPERSTATE: u16 = 16;
    pub(crate) const LINKINFO: u16 = 18;
    pub(crate) const IFALIAS: u16 = 20;
    pub(crate) const STATS64: u16 = 23;
    pub(crate) const AF_SPEC: u16 = 26;
    pub(crate) const NET_NS_FD: u16 = 28;
    pub(crate) const EXT_MASK: u16 = 29;
    pub(crate) const PROMISCUITY: u16 = 30;
    pub(crate) const NUM_TX_QUEUES: u16 = 31;
    pub(crate) const NUM_RX_QUEUES: u16 = 32;
    pub(crate) const CARRIER: u16 = 33;
    pub(crate) const LINK_NETNSID: u16 = 37;
    pub(crate) const PROP_LIST: u16 = 52;
    pub(crate) const ALT_IFNAME: u16 = 53;
    /// Inside `LINKINFO`.
    pub(crate) const INFO_KIND: u16 = 1;
    pub(crate) const INFO_DATA: u16 = 2;
    pub(crate) const INFO_SLAVE_KIND: u16 = 4;
    pub(crate) const INFO_SLAVE_DATA: u16 = 5;
}

flags! {
    /// A link's flags (`IFF_*`, netdevice(7)).
    LinkFlags(u32) {
        /// Set up by an administrator.
        UP = 0x1, "up";
        /// Has a broadcast address.
        BROADCAST = 0x2, "broadcast";
        /// Is a loopback device.
        LOOPBACK = 0x8, "loopback";
        /// Is a point-to-point link.
        POINT_TO_POINT = 0x10, "pointopoint";
        /// Operational, as RFC 2863 has it.
        RUNNING = 0x40, "running";
        /// Does not use ARP.
        NO_ARP = 0x80, "noarp";
        /// Takes all packets.
        PROMISC = 0x100, "promisc";
        /// Takes all multicast packets.
        ALL_MULTICAST = 0x200, "allmulti";
        /// Has multicast.
        MULTICAST = 0x1000, "multicast";
        /// The driver signals a carrier.
        LOWER_UP = 0x1_0000, "lower_up";
        /// The driver signals that the link waits for something.
        DORMANT = 0x2_0000, "dormant";
    }
}

/// The operational state of RFC 2863 (`IF_OPER_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OperState {
    /// The driver does not tell.
    #[default]
    Unknown,
    /// The device is gone.
    NotPresent,
    /// It cannot carry packets.
    Down,
    /// A link below it is down.
    LowerLayerDown,
    /// It is under test.
    Testing,
    /// It waits for something outside, such as 802.1X.
    Dormant,
    /// It carries packets.
    Up,
}

impl OperState {
    pub(crate) const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::NotPresent,
            2 => Self::Down,
            3 => Self::LowerLayerDown,
            4 => Self::Testing,
            5 => Self::Dormant,
            6 => Self::Up,
            _ => Self::Unknown,
        }
    }
}

/// What a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// A device without a kind: hardware, or the loopback.
    Physical,
    /// One end of a veth pair.
    Veth,
    /// A bridge.
    Bridge(Bridge),
    /// A VXLAN tunnel endpoint.
    Vxlan(Box<Vxlan>),
    /// Any other kind, by the kernel's name for it.
    Other(String),
}

impl LinkKind {
    /// The kernel's name, empty for a physical device.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Physical => "",
            Self::Veth => "veth",
            Self::Bridge(_) => "bridge",
            Self::Vxlan(_) => "vxlan",
            Self::Other(name) => name,
        }
    }
}

/// Counters since the link was made (`rtnl_link_stats64`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the kernel's and say it")]
pub struct LinkStats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
}

/// A link as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: LinkIndex,
    /// Its name.
    pub name: LinkName,
    /// Further names (`ip link property add … altname`).
    pub alt_names: Vec<String>,
    /// What it is.
    pub kind: LinkKind,
    /// Its hardware address, when that is six bytes long.
    pub mac: Option<Mac>,
    /// The largest packet in bytes, link header not counted.
    pub mtu: u32,
    /// Its flags.
    pub flags: LinkFlags,
    /// Its operational state.
    pub state: OperState,
    /// Whether the driver signals a carrier.
    pub carrier: bool,
    /// The bridge or other device that it belongs to.
    pub master: Option<LinkIndex>,
    /// The other end of a veth pair, the device below a tunnel: a number in namespace `peer_netns`.
    pub peer: Option<LinkIndex>,
    /// The id of the peer's namespace in this one; `None` when it is the same.
    pub peer_netns: Option<i32>,
    /// A text of the administrator.
    pub alias: Option<String>,
    /// How many users hold it promiscuous.
    pub promiscuity: u32,
    /// Counters.
    pub stats: LinkStats,
    /// Its options as a port of a bridge.
    pub port: Option<BridgePort>,
    /// How many transmit queues it has.
    pub tx_queues: u32,
    /// How many receive queues it has.
    pub rx_queues: u32,
    /// Length of the transmit queue in packets.
    pub tx_queue_length: u32,
}

impl Link {
    /// Whether an administrator set it up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flags.contains(LinkFlags::UP)
    }

    /// Whether it is up and carries packets.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.flags.contains(LinkFlags::RUNNING)
    }

    /// Whether it is the loopback.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.flags.contains(LinkFlags::LOOPBACK)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.name)
    }
}

/// Writes `struct ifinfomsg`: family, number, flags and which of them change.
pub(crate) fn put_header(w: &mut Writer, family: u8, index: u32, flags: u32, change: u32) {
    w.put(&[family, 0, 0, 0]);
    w.put(&index.to_ne_bytes());
    w.put(&flags.to_ne_bytes());
    w.put(&change.to_ne_bytes());
}

/// Writes the header and the name that together say which link is meant.
pub(crate) fn put_link(w: &mut Writer, family: u8, link: &LinkRef, flags: u32, change: u32) {
    match link {
        LinkRef::Index(index) => put_header(w, family, index.0, flags, change),
        LinkRef::Name(name) => {
            put_header(w, family, 0, flags, change);
            w.text(attr::IFNAME, name.as_str());
        }
    }
}
